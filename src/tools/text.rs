//! A tool that works on letters and words.
//!
//! # What it measures
//! Nothing by itself: it carries out the command that a model wrote, within 200 characters. What is measured is whether the model
//! says what is to be done.
//!
//! # When it misleads
//! `follow` and `same` take over the whole of a problem that a model finds hard; a score with this tool is the ability to copy.
//!
//! # Example
//! `copy ab` gives `ab`; `rev abc` `cba`; `sort cab` `abc`; `anagram pplea` the word `apple`; `follow qd dk ka;2q` follows the
//! pairs two steps from `q`, to `k`; `write 1 ab` writes in the first of four alphabets; `same bank river loan` says `no`,
//! because the two words go with different senses of `bank`. Anything else is an error, which the model reads as `error`.

use crate::lexicon::{sense, sorted, transliterate, unscramble};
use crate::schema::Tool;

const LONGEST_INPUT: usize = 200;

pub(super) struct Text;

impl Tool for Text {
    fn name(&self) -> &'static str {
        "text"
    }

    fn source(&self) -> &'static str {
        include_str!("text.rs")
    }

    fn about(&self) -> (&'static str, &'static str, &'static str) {
        (
            "Works on letters and words. `copy X`, `rev X` (backwards) and `sort X` (in alphabetical order) take a string; `anagram X` \
             finds the word made of these letters; `follow AB BC CD;2A` follows the pairs that many steps from a letter; `write N X` \
             writes X in the alphabet of that number, 1 to 4; `same WORD X Y` says whether the word has the same sense beside both.",
            "command",
            "The command, such as rev abc.",
        )
    }

    fn call(&self, input: &str) -> Result<String, String> {
        if input.len() > LONGEST_INPUT {
            return Err(format!("the command is longer than {LONGEST_INPUT} bytes"));
        }
        let (verb, rest) = input.trim().split_once(' ').ok_or("a command is a verb and what it works on")?;
        match verb {
            "copy" => Ok(rest.to_owned()),
            "rev" => Ok(rest.chars().rev().collect()),
            "sort" => Ok(sorted(rest)),
            "anagram" => unscramble(rest).map(str::to_owned).ok_or_else(|| format!("no word is made of `{rest}`")),
            "follow" => follow(rest),
            "write" => rest
                .split_once(' ')
                .and_then(|(alphabet, text)| transliterate(text, alphabet.parse().ok()?))
                .ok_or_else(|| "it takes the number of an alphabet, and letters".to_owned()),
            "same" => same(rest),
            _ => Err(format!("there is no command `{verb}`")),
        }
    }
}

/// `AB BC;2A`: two steps from `A`.
fn follow(text: &str) -> Result<String, String> {
    let form = || "it takes pairs of letters, a semicolon, and how many steps from which letter".to_owned();
    let (pairs, start) = text.split_once(';').ok_or_else(form)?;
    let mut start = start.chars();
    let letter = start.next_back().ok_or_else(form)?;
    // One digit: more steps than a table of a few letters has are a mistake.
    let steps = start.next().and_then(|digit| digit.to_digit(10)).filter(|_| start.as_str().is_empty()).ok_or_else(form)?;
    let mut at = letter;
    for _ in 0..steps {
        let next = pairs.split(' ').find_map(|pair| pair.strip_prefix(at));
        let mut next = next.ok_or_else(|| format!("no pair begins with `{at}`"))?.chars();
        at = next.next().filter(|_| next.as_str().is_empty()).ok_or_else(form)?;
    }
    Ok(at.to_string())
}

/// `bank river loan`: whether `bank` has the same sense beside both.
fn same(text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split(' ').collect();
    let [word, first, second] = words.as_slice() else { return Err("it takes a word and two others".to_owned()) };
    let known = |beside: &str| sense(word, beside).ok_or_else(|| format!("`{word}` is not known beside `{beside}`"));
    Ok(if known(first)? == known(second)? { "yes" } else { "no" }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_carried_out_and_others_refused() {
        for (command, expected) in [
            ("copy ab", "ab"),
            ("rev abc", "cba"),
            ("sort cab", "abc"),
            ("anagram pplea", "apple"),
            ("follow qd dk ka;2q", "k"),
            ("same bank river loan", "no"),
            ("same bank river mud", "yes"),
        ] {
            assert_eq!(Text.call(command).as_deref(), Ok(expected));
        }
        for command in [
            "",
            "rev",
            "dance ab",
            "anagram zzz",
            "follow",
            "follow ab;",
            "follow ab;1",
            "follow ab;1b",
            "follow abc;1a",
            "write 9 ab",
            "write ab",
            "same bank",
            "same bank moon loan",
            &"rev ab".repeat(50),
        ] {
            assert!(Text.call(command).is_err(), "{command}");
        }
    }
}
