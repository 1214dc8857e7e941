//! Whether a word with two senses is used in the same sense in two contexts.
//!
//! # What it measures
//! A word-in-context judgement: sixteen words with two senses each, every sense known by six context words. The question
//! gives a word and two context words; the answer is `yes` when both belong to the same sense. A direct answer has to
//! recall two facts and compare them in one step; the scratchpad names the two senses first.
//!
//! # When it misleads
//! It is a two-way choice, so chance is one half and small samples say little: a hundred questions cannot tell 0.5 from 0.6.
//!
//! # Example
//! `bank:river loan`, steps `1 2`, answer `no`.
//!
//! # Reference
//! An analogue of Pilehvar and Camacho-Collados 2019, WiC: the Word-in-Context Dataset; figure 2H of Wei et al. 2022.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

use crate::schema::{Generator, Parameter, Parameters, Problem};

/// A word and, for each of its two senses, the context words that point at it.
type Word = (&'static str, [[&'static str; 6]; 2]);

static WORDS: &[Word] = &[
    ("bank", [["river", "shore", "mud", "reed", "flood", "stream"], ["loan", "cash", "money", "teller", "vault", "debt"]]),
    ("bat", [["cave", "wing", "night", "fly", "fang", "roost"], ["ball", "pitch", "team", "swing", "base", "glove"]]),
    ("seal", [["sea", "fish", "ice", "whale", "swim", "pup"], ["wax", "stamp", "letter", "king", "ink", "lid"]]),
    ("spring", [["bloom", "april", "rain", "green", "bird", "thaw"], ["coil", "steel", "wire", "bounce", "clock", "sofa"]]),
    ("crane", [["nest", "marsh", "beak", "heron", "egg", "feather"], ["lift", "hook", "crew", "tower", "load", "site"]]),
    (
        "match",
        [["flame", "burn", "candle", "smoke", "stick", "box"], ["goal", "score", "rival", "league", "referee", "fan"]],
    ),
    ("ring", [["gold", "bride", "gem", "finger", "jewel", "wed"], ["bell", "phone", "door", "alarm", "tone", "call"]]),
    ("bark", [["tree", "oak", "trunk", "moss", "forest", "pine"], ["dog", "growl", "hound", "leash", "puppy", "tail"]]),
    ("wave", [["surf", "beach", "tide", "foam", "storm", "ocean"], ["hand", "hello", "greet", "arm", "bye", "crowd"]]),
    (
        "rock",
        [["stone", "cliff", "quartz", "cave", "boulder", "hill"], ["guitar", "band", "drum", "song", "concert", "stage"]],
    ),
    ("light", [["lamp", "bulb", "sun", "glow", "beam", "torch"], ["weight", "thin", "airy", "heavy", "carry", "soft"]]),
    ("palm", [["coconut", "island", "sand", "leaf", "tropic", "date"], ["wrist", "thumb", "grip", "clap", "fist", "skin"]]),
    ("nail", [["hammer", "wood", "wall", "plank", "iron", "saw"], ["polish", "toe", "trim", "file", "salon", "hand"]]),
    ("pen", [["paper", "write", "note", "ink", "desk", "draft"], ["pig", "sheep", "farm", "fence", "hay", "pasture"]]),
    ("mouse", [["cat", "cheese", "trap", "barn", "squeak", "hole"], ["click", "screen", "cursor", "desk", "usb", "laptop"]]),
    ("date", [["day", "month", "year", "diary", "week", "time"], ["fruit", "sweet", "fig", "palm", "sugar", "dried"]]),
];

pub(super) struct WordInContext;

impl Generator for WordInContext {
    fn name(&self) -> &'static str {
        "word-in-context"
    }

    fn source(&self) -> &'static str {
        include_str!("word_in_context.rs")
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn problem(&self, _parameters: &Parameters, rng: &mut dyn Rng) -> Problem {
        let (word, senses) = WORDS.choose(rng).copied().unwrap_or(("", [[""; 6]; 2]));
        let same = rng.random_bool(0.5);
        let first = rng.random_range(0..2_usize);
        let second = if same { first } else { 1 - first };
        let mut contexts: Vec<(usize, &str)> = Vec::new();
        if same {
            let mut words = senses.get(first).copied().unwrap_or_default();
            words.shuffle(rng);
            contexts.extend(words.iter().take(2).map(|&context| (first, context)));
        } else {
            for sense in [first, second] {
                contexts.extend(senses.get(sense).and_then(|words| words.choose(rng)).map(|&context| (sense, context)));
            }
        }
        let names: Vec<&str> = contexts.iter().map(|&(_, context)| context).collect();
        let steps: Vec<String> = contexts.iter().map(|&(sense, _)| (sense + 1).to_string()).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        Problem {
            question: format!("{word}:{}", names.join(" ")),
            answer: if same { "yes" } else { "no" }.to_owned(),
            steps: Some(steps.join(" ")),
            expression: None,
            choices: vec!["yes".to_owned(), "no".to_owned()],
            identity: format!("{word}:{}", sorted.join(" ")),
        }
    }
}
