//! From what is probable and what is tested to a verdict, in the order of the table of verdicts; and what would change it.
#![expect(clippy::indexing_slicing, reason = "arrays by shape, of known length")]

use crate::schema::{Evidence, Verdict};
use crate::stats::{BetaBinomial, minimal_effect};

use super::definition::{ALPHA, CORRELATION, Definition, PLATEAU_MODELS};
use super::evidence::{dip, fall};
use super::level::{Level, pool};
use super::posterior::Posterior;
use super::shape::Shape;
use super::verdict::part;
use super::words;

/// The least probability of emergence that is called emergent: by simulation, the smallest of .45, .50 .. .65 at which every cell of
/// curves that do not emerge keeps to 5 % within two standard errors, with usual and with doubled noise (docs/science.md).
pub(super) const EMERGENT: f64 = 0.55;
/// The least probability with which any other shape is named.
const LIKELY: f64 = 0.5;
/// What a flat curve could not have gained unseen: at its end, as a part of the headroom; over the larger half of the models, by
/// their items.
pub(super) const SEEN_GAIN: f64 = 0.1;
/// The excess over chance for which the number of items needed is given.
const GATE: f64 = 0.03;

/// Everything that a verdict depends on.
pub(super) struct Gates<'a> {
    posterior: &'a Posterior,
    definition: Option<Definition>,
    chance: f64,
    /// The upper end of the 95 % interval of where the curve ends.
    end: f64,
    /// The excess over chance that the items of the larger half of the models would show, and that the model with the fewest would.
    resolution: f64,
    resolution_of_one: f64,
    /// The independent items that those of the larger half are worth, and the fewest of one model.
    half: usize,
    fewest: usize,
    /// P-value of all models together against chance.
    p_together: f64,
    /// Whether the items show a fall from the highest model on, and a fall into the lowest one with a rise out of it.
    falls: bool,
    dips: bool,
    /// The score of the largest model.
    largest: f64,
}

impl<'a> Gates<'a> {
    pub(super) fn new(posterior: &'a Posterior, definition: Option<Definition>, levels: &[Level], chance: f64) -> Self {
        let all = pool(levels);
        // Items of one model share its luck, so that many are worth fewer.
        let worth = |n: usize| n as f64 / (n as f64 - 1.0).mul_add(CORRELATION, 1.0);
        let half: f64 = levels.iter().skip(levels.len() / 2).map(|level| worth(level.n)).sum();
        #[expect(clippy::cast_possible_truncation, reason = "a number of items")]
        let half = half.round() as usize;
        let fewest = levels.iter().map(|level| level.n).min().unwrap_or_default();
        let items = all.items(1.0);
        let correlation = CORRELATION / levels.len() as f64;
        Self {
            posterior,
            definition,
            chance,
            end: posterior.quantiles(|_| true, |seen| seen.end, [0.95]).map_or(1.0, |[end]| end),
            resolution: minimal_effect(chance, half),
            resolution_of_one: minimal_effect(chance, fewest),
            half,
            fewest,
            p_together: BetaBinomial::with_correlation(items.n, chance.max(1e-3), correlation).upper_tail(items.right),
            falls: fall(levels) <= ALPHA,
            dips: dip(levels, 0.0).is_some(),
            largest: levels.last().map_or(0.0, Level::mean),
        }
    }

    /// The verdict. A claim must stand whatever two items do; that nothing begins here need only be likely.
    pub(super) fn verdict(&self) -> Verdict {
        let surely = |shape: Shape| self.posterior.least(shape) >= LIKELY;
        let emergence = self.posterior.least(Shape::Emergent);
        let run = self.definition.filter(|one| one.holds() && one.is_at_chance(self.chance)).map_or(0, |one| one.run);
        if surely(Shape::Inverse) && self.falls {
            Verdict::Inverse
        } else if surely(Shape::UShaped) && self.dips {
            Verdict::UShaped
        } else if emergence >= EMERGENT && run >= 2 {
            Verdict::Emergent
        } else if emergence >= EMERGENT && run == 1 {
            Verdict::EmergentLastPoint
        } else if self.is_breakthrough() {
            Verdict::BreakthroughFromPlateau
        } else if self.likely(Shape::Smooth) {
            Verdict::Smooth
        } else if self.likely(Shape::AboveChance) && self.p_together < ALPHA && self.largest >= self.chance {
            Verdict::AboveChance
        } else if self.likely(Shape::Flat) && self.end <= self.highest_flat() && self.resolution <= SEEN_GAIN {
            Verdict::Flat
        } else {
            Verdict::Unresolved
        }
    }

    /// Whether what an unresolved curve lacks is models, which no number of samples takes the place of.
    pub(super) fn lacks_models(&self, verdict: Verdict) -> bool {
        let rise = self.posterior.shapes[Shape::Emergent as usize] + self.posterior.shapes[Shape::Breakthrough as usize];
        let is_short = self.definition.is_some_and(|definition| definition.before < PLATEAU_MODELS);
        verdict == Verdict::Unresolved && (self.likely(Shape::TooShort) || (rise >= LIKELY && is_short))
    }

    fn likely(&self, shape: Shape) -> bool {
        self.posterior.shapes[shape as usize] >= LIKELY
    }

    fn is_breakthrough(&self) -> bool {
        self.posterior.least_rise >= EMERGENT
            && self.posterior.shapes[Shape::Breakthrough as usize] > self.posterior.shapes[Shape::Emergent as usize]
            && self.definition.is_some_and(|definition| definition.rises())
    }

    /// The highest end of a flat curve.
    fn highest_flat(&self) -> f64 {
        SEEN_GAIN.mul_add(1.0 - self.chance, self.chance)
    }

    /// What the number of items could have shown.
    pub(super) fn resolution_words(&self, verdict: Verdict) -> Evidence {
        let mut words = format!(
            "the items of the larger half of the models, worth {} independent ones, would show an excess over chance of {} four times out of \
             five, the {} of one model {}",
            self.half,
            self.excess(self.resolution),
            self.fewest,
            self.excess(self.resolution_of_one)
        );
        if verdict == Verdict::Unresolved {
            words += &format!("; for {} at one model {} are needed", words::score(GATE), needed(self.chance, GATE));
        }
        part("resolution", Some(self.resolution), None, words)
    }

    /// An excess over chance in words; one beyond the headroom is none.
    fn excess(&self, excess: f64) -> String {
        if excess > 1.0 - self.chance {
            "none".to_owned()
        } else if excess < 0.001 {
            "less than 0.001".to_owned()
        } else {
            words::score(excess)
        }
    }

    /// What would change the verdict; of an unresolved curve, what is missing.
    pub(super) fn change(&self, verdict: Verdict) -> String {
        let least = |shape: Shape| {
            format!(
                "it stands as long as its probability is at least {LIKELY:.2}, now {:.2} whatever two items do",
                self.posterior.least(shape)
            )
        };
        let likely = |shape: Shape| {
            format!(
                "it stands as long as its probability is at least {LIKELY:.2}, now {:.2}",
                self.posterior.shapes[shape as usize]
            )
        };
        let emergence = format!(
            "it stands as long as the probability of emergence is at least {EMERGENT:.2}, now {:.2} whatever two items do",
            self.posterior.least(Shape::Emergent)
        );
        match verdict {
            Verdict::Emergent => format!("{emergence}; models between the two of the onset would narrow it"),
            Verdict::EmergentLastPoint => {
                format!(
                    "{emergence}; a larger model that is above chance too would make it emergent, one at chance would undo it"
                )
            }
            Verdict::BreakthroughFromPlateau => format!(
                "it stands as long as the probability of a rise from a plateau is at least {EMERGENT:.2}, now {:.2} whatever two items do; with a chance level as high as the plateau it would be emergent",
                self.posterior.least_rise
            ),
            Verdict::Smooth => format!("{}; smaller models at chance would make it emergent", likely(Shape::Smooth)),
            Verdict::AboveChance => {
                format!(
                    "{}; smaller models at chance, or larger ones that grow, would change it",
                    likely(Shape::AboveChance)
                )
            }
            Verdict::Flat => format!("{}; a larger model above chance would change it", likely(Shape::Flat)),
            Verdict::Inverse => least(Shape::Inverse),
            Verdict::UShaped => least(Shape::UShaped),
            Verdict::Unresolved | Verdict::Inconclusive => self.missing(),
        }
    }

    /// What keeps an unresolved curve from the verdict that is nearest.
    fn missing(&self) -> String {
        let shapes = &self.posterior.shapes;
        let best = (0..Shape::COUNT).max_by(|a, b| shapes[*a].total_cmp(&shapes[*b])).unwrap_or_default();
        let mut lacks = Vec::new();
        let rise = shapes[Shape::Emergent as usize] + shapes[Shape::Breakthrough as usize];
        if best == Shape::TooShort as usize && shapes[best] >= LIKELY {
            return "smaller models would tell whether there is a plateau before the rise".to_owned();
        } else if best == Shape::Flat as usize && shapes[best] >= LIKELY {
            if self.end > self.highest_flat() {
                lacks.push(format!(
                    "the curve may end at {} (95 %), and flat is what ends at {} at the most",
                    words::score(self.end),
                    words::score(self.highest_flat())
                ));
            }
            if self.resolution > SEEN_GAIN {
                lacks.push(format!(
                    "the items of the larger half of the models would not show an excess of {}",
                    words::score(SEEN_GAIN)
                ));
            }
        } else if best == Shape::AboveChance as usize && shapes[best] >= LIKELY {
            lacks.push(format!(
                "all models together are not above chance ({}), or the largest is below it",
                words::p(self.p_together)
            ));
        } else if best == Shape::Inverse as usize && shapes[best] >= LIKELY && !self.falls {
            lacks.push("the items show no significant fall".to_owned());
        } else if best == Shape::UShaped as usize && shapes[best] >= LIKELY && !self.dips {
            lacks.push("a fall into the lowest model and a rise out of it are not both significant".to_owned());
        } else if rise >= LIKELY {
            self.lacks_of_emergence(&mut lacks);
        }
        if lacks.is_empty() {
            format!(
                "no shape has a probability of {LIKELY:.2} that stands whatever two items do; more sizes or more items decide, and they most where the score leaves chance"
            )
        } else {
            format!("not {}: {}", if rise >= LIKELY { "emergent" } else { Shape::NAMES[best] }, lacks.join("; "))
        }
    }

    fn lacks_of_emergence(&self, lacks: &mut Vec<String>) {
        let emergence = self.posterior.least(Shape::Emergent);
        if emergence < EMERGENT {
            lacks.push(format!(
                "its probability is {emergence:.2} when two items go the other way, and {EMERGENT:.2} is asked"
            ));
        }
        let Some(definition) = &self.definition else { return };
        if definition.before < PLATEAU_MODELS {
            lacks.push(format!("the plateau has {}, and {PLATEAU_MODELS} are asked", words::sizes(definition.before)));
        }
        if definition.plateau > self.chance + definition.margin {
            lacks.push("the plateau is above chance".to_owned());
        }
        if definition.strays > definition.before / 10 {
            lacks.push("a model of the plateau is above chance alone".to_owned());
        }
        if definition.climb.is_some() {
            lacks.push("the plateau rises".to_owned());
        }
        if definition.p_largest >= ALPHA {
            lacks.push("the largest model is not significantly above chance and the plateau".to_owned());
        } else if definition.p_largest_less >= ALPHA {
            lacks.push("with two items fewer right the largest model is not significantly above".to_owned());
        }
        if definition.falls() {
            lacks.push("the models from the knee on fall among themselves".to_owned());
        }
        if definition.p_after >= ALPHA {
            lacks.push("the models after the knee together are not significantly above".to_owned());
        }
        if definition.run == 0 {
            lacks.push("the largest model by itself is not above chance by the margin".to_owned());
        }
    }
}

/// The items per model with which an excess over chance would be seen four times out of five.
fn needed(chance: f64, excess: f64) -> usize {
    let (mut low, mut high) = (0, 1 << 24);
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if minimal_effect(chance, middle) <= excess {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}
