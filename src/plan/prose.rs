//! Plain sentences for the training mix: what a model knows of a text that asks nothing, as the perplexity of WikiText says of a
//! larger one. The sentences that are measured never occur in training.
//!
//! What who does, to what and where, is no accident: everyone has a few favourites, most of which only a larger model has room for.
//! So the cross-entropy goes on falling with size.

use rand::{Rng, RngExt};

use crate::ladder::Document;
use crate::tasks::generators::is_held_out;

static WHO: &[&str] = &[
    "actor", "baker", "barber", "child", "clerk", "cook", "dancer", "doctor", "driver", "farmer", "fisher", "gardener",
    "guard", "hunter", "judge", "knight", "lawyer", "maid", "mason", "merchant", "miller", "miner", "monk", "nurse",
    "painter", "pilot", "poet", "porter", "priest", "sailor", "servant", "shepherd", "singer", "smith", "soldier", "tailor",
    "teacher", "thief", "waiter", "widow",
];
static DID: &[&str] = &[
    "borrowed",
    "bought",
    "broke",
    "buried",
    "burned",
    "carried",
    "cleaned",
    "counted",
    "drew",
    "dropped",
    "fixed",
    "found",
    "gave away",
    "guarded",
    "hid",
    "kept",
    "lifted",
    "lost",
    "made",
    "moved",
    "needed",
    "opened",
    "painted",
    "pulled",
    "sold",
    "stole",
    "threw",
    "took",
    "wanted",
    "washed",
];
static WHAT: &[&str] = &[
    "anchor", "apron", "arrow", "barrel", "basket", "blanket", "bottle", "bucket", "button", "candle", "cart", "chain",
    "chest", "coat", "coin", "drum", "feather", "flag", "flute", "hammer", "helmet", "kettle", "ladder", "lantern",
    "letter", "map", "mirror", "needle", "oar", "parcel", "pillow", "plate", "purse", "ribbon", "saddle", "shovel", "spoon",
    "table", "violin", "wheel",
];
static WHERE: &[&str] = &[
    "at dawn",
    "at the harbour",
    "behind the mill",
    "by the lake",
    "during the storm",
    "in the cellar",
    "in the market",
    "in the snow",
    "near the well",
    "on the bridge",
    "on the hill",
    "under the oak",
];

/// Sentences in one document.
const SENTENCES: std::ops::RangeInclusive<usize> = 2..=5;
/// How many of a kind are favourites, and how often it is one of them.
const FAVOURITES: u64 = 3;
const SHARE: f64 = 0.85;

/// A short story, of held-out sentences only or of all others.
pub(super) fn document(held_out: bool, rng: &mut dyn Rng) -> Document {
    let mut document = Document::default();
    for _ in 0..rng.random_range(SENTENCES) {
        let sentence = loop {
            let who = choose("", WHO, rng);
            let did = choose(who, DID, rng);
            let what = choose(&format!("{who} {did}"), WHAT, rng);
            let place = choose(what, WHERE, rng);
            let sentence = format!("the {who} {did} the {what} {place}. ");
            if is_held_out(&sentence) == held_out {
                break sentence;
            }
        };
        document.push(&sentence, true);
    }
    document
}

/// One of some words: mostly a favourite of what went before, and any where nothing did.
fn choose(before: &str, words: &[&'static str], rng: &mut dyn Rng) -> &'static str {
    let count = words.len() as u64;
    let any = rng.random_range(0..count);
    let place = if before.is_empty() || !rng.random_bool(SHARE) {
        any
    } else {
        let hash = blake3::hash(format!("{before} {}", any % FAVOURITES).as_bytes());
        u64::from_le_bytes(hash.as_bytes().first_chunk().copied().unwrap_or_default()) % count
    };
    usize::try_from(place).ok().and_then(|place| words.get(place)).copied().unwrap_or_default()
}
