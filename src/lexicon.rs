//! The words that problems are made of, known to the generators that ask about them and to the tool that looks them up.

/// A word and, for each of its two senses, the words that point at it.
pub type Ambiguous = (&'static str, [[&'static str; 12]; 2]);

/// Words with two senses.
pub static AMBIGUOUS: &[Ambiguous] = &[
    (
        "bank",
        [
            ["river", "shore", "mud", "reed", "flood", "stream", "canoe", "heron", "willow", "ferry", "otter", "delta"],
            [
                "loan", "cash", "money", "teller", "vault", "debt", "credit", "cheque", "savings", "interest", "deposit",
                "account",
            ],
        ],
    ),
    (
        "bat",
        [
            ["cave", "wing", "night", "fly", "fang", "roost", "insect", "echo", "vampire", "dusk", "claw", "attic"],
            ["ball", "pitch", "team", "swing", "base", "glove", "umpire", "inning", "helmet", "dugout", "homer", "catcher"],
        ],
    ),
    (
        "seal",
        [
            ["sea", "fish", "ice", "whale", "swim", "pup", "flipper", "arctic", "colony", "herring", "penguin", "blubber"],
            ["wax", "stamp", "letter", "king", "ink", "lid", "envelope", "scroll", "crest", "treaty", "emblem", "parchment"],
        ],
    ),
    (
        "spring",
        [
            ["bloom", "april", "rain", "green", "bird", "thaw", "tulip", "season", "lamb", "blossom", "meadow", "easter"],
            ["coil", "steel", "wire", "bounce", "clock", "sofa", "mattress", "tension", "metal", "lever", "hinge", "piston"],
        ],
    ),
    (
        "crane",
        [
            ["nest", "marsh", "beak", "egg", "feather", "migrate", "wetland", "flock", "plumage", "wade", "stork", "wings"],
            ["lift", "hook", "crew", "tower", "load", "site", "girder", "pulley", "dock", "cargo", "harbor", "cable"],
        ],
    ),
    (
        "match",
        [
            ["flame", "burn", "candle", "smoke", "stick", "box", "spark", "ignite", "sulfur", "torch", "campfire", "strike"],
            [
                "goal", "score", "rival", "league", "referee", "fan", "stadium", "trophy", "whistle", "penalty", "champion",
                "opponent",
            ],
        ],
    ),
    (
        "ring",
        [
            ["gold", "bride", "gem", "finger", "jewel", "wed", "diamond", "engaged", "silver", "sapphire", "groom", "ruby"],
            [
                "bell",
                "phone",
                "door",
                "alarm",
                "tone",
                "call",
                "chime",
                "caller",
                "doorbell",
                "buzz",
                "landline",
                "voicemail",
            ],
        ],
    ),
    (
        "bark",
        [
            ["tree", "oak", "trunk", "moss", "forest", "pine", "branch", "cedar", "lichen", "timber", "maple", "birch"],
            ["dog", "growl", "hound", "leash", "puppy", "tail", "kennel", "howl", "terrier", "poodle", "bone", "fetch"],
        ],
    ),
    (
        "wave",
        [
            ["surf", "beach", "tide", "foam", "storm", "ocean", "dolphin", "sailor", "lagoon", "tsunami", "coral", "kelp"],
            ["hand", "hello", "greet", "arm", "bye", "crowd", "farewell", "gesture", "parade", "signal", "salute", "flag"],
        ],
    ),
    (
        "rock",
        [
            [
                "stone", "cliff", "quartz", "boulder", "hill", "granite", "lava", "geology", "pebble", "canyon", "mineral",
                "climber",
            ],
            [
                "guitar",
                "band",
                "drum",
                "song",
                "concert",
                "stage",
                "album",
                "singer",
                "amplifier",
                "lyrics",
                "festival",
                "vocals",
            ],
        ],
    ),
    (
        "light",
        [
            ["lamp", "bulb", "sun", "glow", "beam", "lantern", "ray", "switch", "sunrise", "shine", "bright", "neon"],
            ["weight", "thin", "airy", "heavy", "carry", "soft", "balloon", "pillow", "paper", "foamy", "cotton", "slim"],
        ],
    ),
    (
        "mouse",
        [
            ["cat", "cheese", "trap", "barn", "squeak", "hole", "rodent", "whisker", "grain", "owl", "nibble", "burrow"],
            [
                "click", "screen", "cursor", "desk", "usb", "laptop", "keyboard", "monitor", "scroll", "button", "wireless",
                "pointer",
            ],
        ],
    ),
];

/// Words of five letters, no two of which are made of the same letters.
pub static WORDS: &[&str] = &[
    "apple", "beach", "bread", "chair", "cloud", "dance", "eagle", "field", "glass", "horse", "image", "joker", "knife",
    "lemon", "mouse", "nurse", "olive", "piano", "queen", "radio", "sheep", "tiger", "uncle", "video", "water", "youth",
    "zebra", "brick", "candy", "drill", "event", "fruit", "grape", "house", "index", "jelly", "knock", "light", "money",
    "night", "onion", "paint", "quilt", "round", "sugar", "tower", "union", "voice", "wheat", "yacht", "armor", "blaze",
    "crown", "dwarf", "flame", "giant", "haste", "ivory", "judge", "koala",
];

/// Alphabets to write a word in: in place of each letter from `a` to `z`, the letter that stands there. Drawn once at random.
pub static ALPHABETS: [&[u8; 26]; 4] = [
    b"moipbsqejvlragdzycfktwxnuh",
    b"qijukorfnemvazwydstchxbglp",
    b"qcjedyouhkxiavflbpwnszmgtr",
    b"srifodtbaqynxkvhmuzewpljgc",
];

/// Which of its two senses a word has beside another, counted from zero; none where the pair is not known.
#[must_use]
pub fn sense(word: &str, beside: &str) -> Option<usize> {
    let (_, senses) = AMBIGUOUS.iter().find(|(known, _)| *known == word)?;
    senses.iter().position(|contexts| contexts.contains(&beside))
}

/// The letters of a text in order.
#[must_use]
pub fn sorted(text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

/// The word that is made of these letters.
#[must_use]
pub fn unscramble(letters: &str) -> Option<&'static str> {
    let letters = sorted(letters);
    WORDS.iter().find(|word| sorted(word) == letters).copied()
}

/// A text in one of the [`ALPHABETS`], counted from one; none where there is no such alphabet, or a letter is none of `a` to `z`.
#[must_use]
pub fn transliterate(text: &str, alphabet: usize) -> Option<String> {
    let alphabet = ALPHABETS.get(alphabet.checked_sub(1)?)?;
    let letter = |byte: u8| Some(char::from(*alphabet.get(usize::from(byte.checked_sub(b'a')?))?));
    text.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_word_is_ambiguous_beyond_what_it_says() {
        for (word, senses) in AMBIGUOUS {
            let contexts: HashSet<&str> = senses.iter().flatten().copied().collect();
            assert_eq!(contexts.len(), 24, "{word}");
        }
        let letters: HashSet<String> = WORDS.iter().map(|word| sorted(word)).collect();
        assert_eq!(letters.len(), WORDS.len());
        for alphabet in ALPHABETS {
            assert_eq!(alphabet.iter().collect::<HashSet<_>>().len(), 26);
        }
        assert_eq!(sense("bank", "loan"), Some(1));
        assert_eq!(unscramble("aelpp"), Some("apple"));
        assert_eq!(transliterate("a-b", 1), None);
        assert_eq!(transliterate("ab", 5), None);
    }
}
