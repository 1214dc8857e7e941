//! The definition of emergence, tested part by part on the data: at chance before the knee; the largest model, and all after
//! the knee together, above chance and above the plateau; an unbroken run of such models up to the largest; no fall after.
//!
//! Every part must hold, so the p-value of the whole is the largest of the parts (Berger 1982, Technometrics 24:295). The knee
//! was chosen by looking, so the part that depends on it most, the plateau, is corrected for every knee that could have been.

use crate::schema::Sizes;
use crate::stats::{BetaBinomial, Contrast, Group, contrast};

use super::likelihood::Items;

/// Level of every test.
pub(super) const ALPHA: f64 = 0.05;
/// Level of the test for a fall after the knee: small, because models differ by more than their items say, and one of them that is
/// worse than its scale is no fall.
const FALL: f64 = 0.001;
/// Correlation of items within a model that the tests allow for: the middle of the prior.
pub(super) const CORRELATION: f64 = 0.0023;
/// The smallest rate that is tested against: a strategy that never hits does not exist.
pub(super) const SMALLEST_CHANCE: f64 = 1e-3;
/// Items that may go the other way at the largest model.
const FLIPS: f64 = 2.0;
/// Fewest models on a plateau.
pub(super) const PLATEAU_MODELS: usize = 3;

/// The parts of the definition at a knee.
#[derive(Debug, Clone, Copy)]
pub(super) struct Definition {
    /// Sizes before the knee.
    pub(super) before: usize,
    /// Decades they span.
    pub(super) decades: f64,
    /// Their pooled mean.
    pub(super) plateau: f64,
    /// Their items.
    pub(super) plateau_items: f64,
    /// How far above chance a plateau may lie: a fifth of the gain, at least .02.
    pub(super) margin: f64,
    /// Models before the knee that are above chance plus the margin, each by a test corrected for their number.
    pub(super) strays: usize,
    /// How much the models before the knee rise among themselves, where that is significant and more than the margin.
    pub(super) climb: Option<f64>,
    /// P-value against a plateau above chance plus the margin, times the number of possible knees.
    pub(super) p_plateau: f64,
    /// P-value against a largest model that is at chance, or on the plateau.
    pub(super) p_largest: f64,
    /// The same with two items fewer right.
    pub(super) p_largest_less: f64,
    /// P-value against models from the knee on that do not fall; one for fewer than two sizes.
    pub(super) p_fall: f64,
    /// P-value of all models from the knee on together.
    pub(super) p_after: f64,
    /// Sizes above chance in an unbroken run up to the largest.
    pub(super) run: usize,
    /// Sizes from the knee on.
    pub(super) after: usize,
}

impl Definition {
    /// Tests the definition with the models below `knee` as the plateau, or as much of one as it asks for; `above` are the models'
    /// exact p-values against chance.
    pub(super) fn at(knee: f64, items: &[Items], above: &[f64], sizes: &Sizes, is_pooled: bool) -> Option<Self> {
        let chance = sizes.chance;
        let cut = knee.max(sizes.plateau_end + 1e-6).min(sizes.last);
        let (before, after): (Vec<Items>, Vec<Items>) = items.iter().partition(|item| item.x < cut);
        let (plateau, rest) = (pool(&before)?, pool(&after)?);
        let at_the_end = pool(&after.iter().copied().filter(|item| item.x >= sizes.last).collect::<Vec<_>>())?;
        let margin = margin(rest.mean().max(at_the_end.mean()) - chance);
        // A model of the plateau is worth fewer items than it has, because its items are correlated.
        let worth = |item: &Items| 1.0 / (item.n - 1.0).mul_add(CORRELATION, 1.0);
        let (mut right, mut wrong) = (1.0, 1.0);
        for item in &before {
            right += item.right * worth(item);
            wrong += (item.n - item.right) * worth(item);
        }
        let p = |item: &Items, less: f64| {
            let hits = (item.right - less).max(0.0);
            let at_chance =
                BetaBinomial::with_correlation(item.n, chance.max(SMALLEST_CHANCE), CORRELATION).upper_tail(hits);
            let own = worth(item);
            let on_plateau = BetaBinomial { n: item.n * own, alpha: right, beta: wrong }.upper_tail(hits * own);
            at_chance.max(on_plateau)
        };
        let largest: Vec<&Items> = if is_pooled {
            // The largest eighth of many families: one of them may be poor at any size.
            items.iter().rev().take((items.len() / 8).max(1)).collect()
        } else {
            items.iter().filter(|item| item.x >= sizes.last).collect()
        };
        let median = |less: f64| {
            let mut values: Vec<f64> = largest.iter().map(|item| p(item, less)).collect();
            values.sort_by(f64::total_cmp);
            // Twice the median of several p-values is one again, however they depend on one another (Rueschendorf 1982).
            let times = if values.len() > 1 { 2.0 } else { 1.0 };
            values.get(values.len() / 2).map_or(1.0, |median| (times * median).min(1.0))
        };
        let worth_after = after.iter().map(|item| item.n * worth(item)).sum::<f64>() / rest.n;
        let (n, hits) = (rest.n * worth_after, rest.right * worth_after);
        let pooled = BetaBinomial::with_correlation(n, chance.max(SMALLEST_CHANCE), 1e-4).upper_tail(hits);
        let p_after = pooled.max(BetaBinomial { n, alpha: right, beta: wrong }.upper_tail(hits));
        let is_above = |(item, p): &(&Items, &f64)| **p < ALPHA && item.mean() > chance + margin && item.x >= cut;
        let stray = |item: &&Items| {
            let at_chance = BetaBinomial::with_correlation(item.n, chance.max(SMALLEST_CHANCE), CORRELATION);
            item.mean() > chance + margin && at_chance.upper_tail(item.right) < ALPHA / before.len() as f64
        };
        // Of several models of one size, such as seeds, more than half have to be above: as for the largest by its median.
        let tested: Vec<(&Items, &f64)> = items.iter().zip(above).collect();
        let by_size = tested.chunk_by(|a, b| a.0.x.total_cmp(&b.0.x).is_eq());
        let run = by_size.rev().take_while(|size| size.iter().filter(|one| is_above(one)).count() > size.len() / 2).count();
        let highest = (chance + margin).min(1.0 - 1e-9);
        // At or below the plateau's score if it were at the margin: as many wrong or more.
        let many = BetaBinomial::with_correlation(plateau.n, 1.0 - highest, CORRELATION / before.len() as f64);
        let knees = (distinct(items.iter().map(|item| item.x)) + 1).saturating_sub(PLATEAU_MODELS + 1).max(1);
        Some(Self {
            before: distinct(before.iter().map(|item| item.x)),
            decades: before.last()?.x - before.first()?.x,
            plateau: plateau.mean(),
            plateau_items: plateau.n.round(),
            margin,
            // Where families are pooled, one that is ahead of its scale is no model of the plateau out of order.
            strays: if is_pooled { 0 } else { before.iter().filter(stray).count() },
            climb: if is_pooled { None } else { climb(&before, worth).filter(|rise| *rise > margin) },
            p_plateau: (many.upper_tail(plateau.n - plateau.right) * knees as f64).min(1.0),
            p_largest: median(0.0),
            p_largest_less: median(FLIPS),
            p_fall: trend(&after, worth).map_or(1.0, |trend| trend.p_fall),
            p_after,
            run,
            after: distinct(after.iter().map(|item| item.x)),
        })
    }

    /// The p-value of the whole.
    pub(super) fn p_value(&self) -> f64 {
        self.p_plateau.max(self.p_largest).max(self.p_after)
    }

    /// Whether the plateau is at chance and the rise is there, whatever two items of the largest model do.
    pub(super) fn holds(&self) -> bool {
        self.rises() && self.before >= PLATEAU_MODELS
    }

    /// Whether the models after the knee are above chance and above what was before, and do not fall.
    pub(super) fn rises(&self) -> bool {
        self.p_largest < ALPHA && self.p_largest_less < ALPHA && self.p_after < ALPHA && !self.falls()
    }

    /// Whether the models from the knee on fall among themselves.
    pub(super) fn falls(&self) -> bool {
        self.p_fall < FALL
    }

    /// Whether the plateau's mean is within the margin of chance, and so is every model of it but one in ten, and it does not climb.
    pub(super) fn is_at_chance(&self, chance: f64) -> bool {
        self.plateau <= chance + self.margin && self.strays <= self.before / 10 && self.climb.is_none()
    }
}

/// How far above chance a plateau may lie before a rise by so much.
pub(super) fn margin(gain: f64) -> f64 {
    (0.2 * gain).max(0.02)
}

/// The linear trend of models' items.
fn trend(models: &[Items], worth: impl Fn(&Items) -> f64) -> Option<Contrast> {
    let mean = pool(models)?.mean();
    let group =
        |item: &Items| Group { x: item.x, mean: item.mean(), n: item.n * worth(item), variance: mean * (1.0 - mean) };
    contrast(&models.iter().map(group).collect::<Vec<_>>())
}

/// How much models rise from the first to the last; none unless it is significant.
fn climb(models: &[Items], worth: impl Fn(&Items) -> f64) -> Option<f64> {
    let trend = trend(models, worth).filter(|trend| trend.p_rise < ALPHA)?;
    Some(trend.slope * (models.last()?.x - models.first()?.x))
}

fn pool(items: &[Items]) -> Option<Items> {
    let first = items.first()?;
    let sum = |value: fn(&Items) -> f64| items.iter().map(value).sum::<f64>();
    Some(Items { x: first.x, right: sum(|item| item.right), n: sum(|item| item.n), family: first.family })
}

/// Number of different values among sorted ones.
fn distinct(values: impl Iterator<Item = f64>) -> usize {
    let mut values: Vec<f64> = values.collect();
    values.dedup();
    values.len()
}
