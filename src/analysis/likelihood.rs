//! How probable the scores of a curve's models are, given a proposed curve and the noise around it.
//!
//! Items are beta-binomial about the curve. Every model stands at its scale plus a random shift of its own, because models
//! differ in how well they use their compute; the shift is integrated out. Two rare accidents have a probability of their own:
//! an evaluation that failed in part and fell to or below chance, and one that came out anywhere.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tables and grids of known length; figures that were rounded or bounded before"
)]

use std::sync::LazyLock;

use crate::schema::{CURVE_DIMENSIONS, CurveFamily, Form, Proposal, Sizes};
use crate::stats::BetaBinomial;

/// Dimensions of the cube: those of the curve, the shift of models and the correlation of items.
pub(super) const DIMENSIONS: usize = CURVE_DIMENSIONS + 2;
/// Points of the table of a model's likelihood, even in the arcsine of the root of the score.
const GRID: usize = 401;
/// Correlations of items within a model, evenly probable.
const CORRELATIONS: [f64; 5] = [2e-4, 7e-4, 2.3e-3, 7.6e-3, 2.5e-2];
/// The probability that an evaluation fell to chance or below, and that it came out anywhere.
const FELL: f64 = 0.02;
const ANYWHERE: f64 = 0.002;
/// Nodes and weights of Gauss-Hermite quadrature for the standard normal distribution (five points).
pub(super) const NODES: [(f64, f64); 5] = [
    (-2.856_970_013_872_806, 0.011_257_411_327_720_69),
    (-1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (0.0, 0.533_333_333_333_333_4),
    (1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (2.856_970_013_872_806, 0.011_257_411_327_720_69),
];

/// The same with nine points, for models of many items: between nodes farther apart than what their scores leave open, a place would
/// be missed. Without the outermost two: what they weigh, .00002, is less than an accident.
const MANY_NODES: [(f64, f64); 7] = [
    (-3.205_429_002_856_47, 0.002_789_141_321_231_769),
    (-2.076_847_978_677_83, 0.049_916_406_765_217_82),
    (-1.023_255_663_789_132_6, 0.244_097_502_894_939_53),
    (0.0, 0.406_349_206_349_206_35),
    (1.023_255_663_789_132_6, 0.244_097_502_894_939_53),
    (2.076_847_978_677_83, 0.049_916_406_765_217_82),
    (3.205_429_002_856_47, 0.002_789_141_321_231_769),
];
/// Items from which on these are needed.
const MANY_ITEMS: f64 = 400.0;

/// The same with three points, for a shift in two parts.
const FEW_NODES: [(f64, f64); 3] =
    [(-1.732_050_807_568_877, 1.0 / 6.0), (0.0, 2.0 / 3.0), (1.732_050_807_568_877, 1.0 / 6.0)];

/// One model: how many items, how many right, where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Items {
    /// Decimal logarithm of its scale.
    pub(super) x: f64,
    /// Items right, or the sum of partial credit.
    pub(super) right: f64,
    /// Number of items.
    pub(super) n: f64,
    /// Which family the model is of, where several are pooled.
    pub(super) family: usize,
}

impl Items {
    /// The mean score.
    pub(super) fn mean(&self) -> f64 {
        self.right / self.n
    }
}

/// The noise about a curve.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise {
    /// Standard deviation of a model's shift, in decades.
    pub(super) shift: f64,
    /// The part of its variance that all models of a family share, where families are pooled.
    shared: f64,
    /// Index of the correlation of items.
    correlation: usize,
}

impl Noise {
    /// The correlation of items within a model.
    pub(super) fn correlation(&self) -> f64 {
        CORRELATIONS[self.correlation]
    }
}

/// The score at a point of the grid.
fn grid_score(index: usize) -> f64 {
    let angle = index as f64 * std::f64::consts::FRAC_PI_2 / (GRID - 1) as f64;
    angle.sin().powi(2).clamp(1e-6, 1.0 - 1e-6)
}

/// Resolution of the way from a root of a score to its grid point.
const ROOTS: usize = 4096;

/// The nearest grid point of a score up to one half, by its square root.
static NEAREST: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let scale = 2.0 * (GRID - 1) as f64 / std::f64::consts::PI;
    (0..=ROOTS)
        .map(|root| {
            let root = (root as f64 + 0.5) / ROOTS as f64 * std::f64::consts::FRAC_1_SQRT_2;
            (root.min(1.0).asin() * scale).round() as u16
        })
        .collect()
});

fn nearest(nearest: &[u16], score: f64) -> usize {
    let root = |score: f64| usize::from(nearest[(score.sqrt() * (ROOTS as f64 * std::f64::consts::SQRT_2)) as usize]);
    if score <= 0.5 { root(score) } else { GRID - 1 - root(1.0 - score) }
}

/// The grid's distributions for no items at all, whose parameters do not depend on the data: by correlation, then score.
static GRID_LEVELS: LazyLock<Vec<BetaBinomial>> = LazyLock::new(|| {
    let of = |rho: f64| (0..GRID).map(move |index| BetaBinomial::with_correlation(0.0, grid_score(index), rho));
    CORRELATIONS.iter().flat_map(|&rho| of(rho)).collect()
});

/// The part of their likelihoods that does not depend on the data.
static GRID_CONSTANTS: LazyLock<Vec<f64>> = LazyLock::new(|| GRID_LEVELS.iter().map(BetaBinomial::ln_constant).collect());

/// The likelihood of one model's items at every correlation and grid point. In single precision the row of every model of a curve
/// stays in the fastest memory; what underflows is far below the probability of an accident.
struct Table(Vec<f32>);

impl Table {
    fn new(items: &Items) -> Self {
        let level = |(level, constant): (&BetaBinomial, &f64)| {
            BetaBinomial { n: items.n, ..*level }.ln_pmf_with(items.right, *constant).exp() as f32
        };
        Self(GRID_LEVELS.iter().zip(GRID_CONSTANTS.iter()).map(level).collect())
    }
}

/// The likelihood of a set of models, ready to be evaluated many times.
pub(super) struct Likelihood {
    places: Vec<f64>,
    tables: Vec<Table>,
    /// Per model the nodes that its shift is integrated over.
    nodes: Vec<&'static [(f64, f64)]>,
    accidents: Vec<f64>,
    /// The models of every family; none unless several are pooled.
    families: Vec<Vec<usize>>,
    sizes: Sizes,
    shifts: (f64, f64),
    nearest: &'static [u16],
}

impl Likelihood {
    /// `is_pooled`: models of several families, which differ more in their use of compute than those of one.
    pub(super) fn new(items: &[Items], sizes: Sizes, is_pooled: bool) -> Self {
        let accident = |item: &Items| {
            let chance = sizes.chance * item.n;
            let fell = if item.right <= chance + 1e-9 { FELL / (chance.floor() + 1.0) } else { 0.0 };
            ANYWHERE / (item.n + 1.0) + fell
        };
        Self {
            places: items.iter().map(|item| item.x).collect(),
            tables: items.iter().map(Table::new).collect(),
            nodes: items.iter().map(|item| if item.n < MANY_ITEMS { &NODES[..] } else { &MANY_NODES[..] }).collect(),
            accidents: items.iter().map(accident).collect(),
            families: if is_pooled { families(items) } else { Vec::new() },
            sizes,
            shifts: if is_pooled { (0.10, 0.60) } else { (0.02, 0.40) },
            nearest: &NEAREST,
        }
    }

    /// Number of models.
    pub(super) fn models(&self) -> usize {
        self.places.len()
    }

    /// The curve and the noise at a point of the cube.
    pub(super) fn propose(&self, family: &dyn CurveFamily, cube: &[f64; DIMENSIONS]) -> (Proposal, Noise) {
        let mut own = [0.0; CURVE_DIMENSIONS];
        own.copy_from_slice(&cube[..CURVE_DIMENSIONS]);
        let (low, high) = self.shifts;
        // Even, and not even in the logarithm: a curve that jumps says little of the shift, and a prior that favours small ones
        // would make the interval of its knee too narrow.
        let shift = (high - low).mul_add(cube[CURVE_DIMENSIONS], low);
        // One axis of the cube has room for two: which correlation, and how far along its part of the axis the place is.
        let place = cube[CURVE_DIMENSIONS + 1] * CORRELATIONS.len() as f64;
        let correlation = (place as usize).min(CORRELATIONS.len() - 1);
        let shared = (place - correlation as f64).clamp(0.0, 1.0);
        (family.propose(&own, &self.sizes), Noise { shift, shared, correlation })
    }

    /// The probability of one model's items.
    pub(super) fn of_model(&self, model: usize, proposal: &Proposal, noise: Noise) -> f64 {
        let [probability] = self.about([self], model, proposal, noise, 0.0, noise.shift, self.nodes[model]);
        probability
    }

    /// The probability of one model's items in each of several data sets, with a shift of its own about a place beside its scale.
    #[expect(
        clippy::suboptimal_flops,
        clippy::too_many_arguments,
        reason = "a fused operation is a slow call where the processor is not known to have one; the place of one model's integral"
    )]
    fn about<const SETS: usize>(
        &self,
        sets: [&Self; SETS],
        model: usize,
        proposal: &Proposal,
        noise: Noise,
        aside: f64,
        shift: f64,
        nodes: &[(f64, f64)],
    ) -> [f64; SETS] {
        let rows = sets.map(|set| &set.tables[model].0[noise.correlation * GRID..(noise.correlation + 1) * GRID]);
        let index = |x: f64| nearest(self.nearest, proposal.score(x, &self.sizes));
        let place = self.places[model] + aside;
        let mut seen = [0.0; SETS];
        let mut add = |weight: f64, index: usize| {
            for (seen, row) in seen.iter_mut().zip(rows) {
                *seen += weight * f64::from(row[index]);
            }
        };
        // Nodes are in rising order: where the last is on the plateau, all are.
        if nodes.last().is_some_and(|(node, _)| place + shift * node < proposal.level_until()) {
            add(1.0, index(place));
        } else {
            for (node, weight) in nodes {
                add(*weight, index(place + shift * node));
            }
        }
        std::array::from_fn(|set| (1.0 - FELL - ANYWHERE) * seen[set] + sets[set].accidents[model])
    }

    /// The probability of a family's items: its models share a shift, and have one of their own each. `other` has the items of one
    /// model changed.
    fn of_family(&self, members: &[usize], other: Option<(usize, &Self)>, proposal: &Proposal, noise: Noise) -> f64 {
        let of = |model: usize| other.filter(|(changed, _)| *changed == model).map_or(self, |(_, other)| other);
        if let [model] = members {
            return of(*model).of_model(*model, proposal, noise);
        }
        if proposal.form == Form::Flat {
            return members.iter().map(|&model| of(model).of_model(model, proposal, noise)).product();
        }
        let (common, own) = (noise.shift * noise.shared.sqrt(), noise.shift * (1.0 - noise.shared).sqrt());
        let given = |aside: f64| -> f64 {
            let of_one = |&model: &usize| self.about([of(model)], model, proposal, noise, aside, own, &FEW_NODES)[0];
            members.iter().map(of_one).product()
        };
        FEW_NODES.iter().map(|(node, weight)| weight * given(common * node)).sum()
    }

    /// How much more probable the data are with the items of one model as they are in each of the others.
    pub(super) fn ratios(&self, model: usize, others: [&Self; 2], proposal: &Proposal, noise: Noise) -> [f64; 2] {
        match self.families.iter().find(|members| members.contains(&model)) {
            Some(members) => {
                let own = self.of_family(members, None, proposal, noise);
                others.map(|other| self.of_family(members, Some((model, other)), proposal, noise) / own)
            }
            None => {
                let sets = [self, others[0], others[1]];
                let [own, first, second] = self.about(sets, model, proposal, noise, 0.0, noise.shift, self.nodes[model]);
                [first / own, second / own]
            }
        }
    }

    /// The logarithm of the probability of all.
    pub(super) fn log(&self, proposal: &Proposal, noise: Noise) -> f64 {
        if !self.families.is_empty() {
            return self
                .families
                .iter()
                .map(|members| self.of_family(members, None, proposal, noise).max(f64::MIN_POSITIVE).ln())
                .sum();
        }
        // The logarithm of a product of a few is cheaper than the logarithms of all; eight cannot become zero.
        let mut sum = 0.0;
        let mut product = 1.0;
        for model in 0..self.places.len() {
            product *= self.of_model(model, proposal, noise);
            if model % 8 == 7 {
                sum += product.ln();
                product = 1.0;
            }
        }
        sum + product.ln()
    }
}

/// The models of every family, by index.
fn families(items: &[Items]) -> Vec<Vec<usize>> {
    let count = items.iter().map(|item| item.family + 1).max().unwrap_or_default();
    let mut found = vec![Vec::new(); count];
    for (model, item) in items.iter().enumerate() {
        found[item.family].push(model);
    }
    found.retain(|members| !members.is_empty());
    found
}
