//! Procedural generators of problems, and the split into problems that may be trained on and problems that are asked.

mod addition;
mod copy;
mod lookup;
mod modified_arithmetic;
mod modular_arithmetic;
mod multiplication;
mod order;
mod reverse;
mod sort;
mod subtraction;
mod transliterate;
mod unscramble;
mod word_in_context;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use crate::schema::Generator;

/// Every generator, in the order of `onset list tasks`.
pub static GENERATORS: &[&dyn Generator] = &[
    &addition::Addition,
    &subtraction::Subtraction,
    &multiplication::Multiplication,
    &modular_arithmetic::ModularArithmetic,
    &modified_arithmetic::ModifiedArithmetic,
    &copy::Copy,
    &reverse::Reverse,
    &sort::Sort,
    &order::Order,
    &unscramble::Unscramble,
    &lookup::Lookup,
    &transliterate::Transliterate,
    &word_in_context::WordInContext,
];

/// The generator of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Generator> {
    GENERATORS.iter().find(|generator| generator.name() == name).copied()
}

/// The number of the way in which problems are divided into those that may be trained on and those that are asked: it changes with
/// [`is_held_out`] and with what a problem's identity is.
pub const SPLIT: u32 = 2;

/// One problem in five is held out: asked by tasks, never trained on. Decided by the identity of the problem alone, so
/// that every task, seed and training run agrees.
#[must_use]
pub fn is_held_out(identity: &str) -> bool {
    hash_byte(identity, 0).is_multiple_of(5)
}

/// One held-out problem in eight is kept for examples and never asked: what is asked does not depend on how many examples
/// are shown.
#[must_use]
pub fn is_example(identity: &str) -> bool {
    hash_byte(identity, 1).is_multiple_of(8)
}

fn hash_byte(identity: &str, index: usize) -> u8 {
    let hash = blake3::hash(identity.as_bytes());
    hash.as_bytes().get(index).copied().unwrap_or_default()
}

/// A number of exactly that many decimal digits, uniformly.
fn number_of_digits(digits: i64, rng: &mut dyn Rng) -> i64 {
    let digits = u32::try_from(digits).unwrap_or(1).max(1);
    let low = if digits == 1 { 1 } else { 10_i64.pow(digits - 1) };
    rng.random_range(low..10_i64.pow(digits))
}

/// The decimal digits of a number, the lowest first.
fn digits_low_first(mut number: i64) -> Vec<i64> {
    let mut digits = Vec::new();
    loop {
        digits.push(number % 10);
        number /= 10;
        if number == 0 {
            return digits;
        }
    }
}

/// The schoolbook steps of adding two numbers, the lowest digits first: `7+5=12 2+1+1=4`.
fn addition_steps(a: i64, b: i64) -> String {
    let (a, b) = (digits_low_first(a), digits_low_first(b));
    let mut carry = 0;
    let mut steps = Vec::new();
    for place in 0..a.len().max(b.len()) {
        let terms: Vec<i64> =
            [a.get(place).copied(), b.get(place).copied(), (carry > 0).then_some(carry)].into_iter().flatten().collect();
        let sum: i64 = terms.iter().sum();
        carry = sum / 10;
        steps.push(format!("{}={sum}", join(&terms, "+")));
    }
    steps.join(" ")
}

fn join(terms: &[i64], separator: &str) -> String {
    terms.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

/// The steps of a chain of sums or differences: `3+5=8 8+2=10`.
fn running(terms: &[i64], sign: &str, apply: impl Fn(i64, i64) -> i64) -> String {
    let mut steps = Vec::new();
    let mut terms = terms.iter().copied();
    let mut sum = terms.next().unwrap_or_default();
    for term in terms {
        let next = apply(sum, term);
        steps.push(format!("{sum}{sign}{term}={next}"));
        sum = next;
    }
    steps.join(" ")
}

/// That many letters, each drawn by itself.
fn letters(count: i64, rng: &mut dyn Rng) -> String {
    (0..count).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

/// That many letters, all different.
fn different_letters(count: i64, rng: &mut dyn Rng) -> Vec<char> {
    let mut letters: Vec<char> = ('a'..='z').collect();
    letters.shuffle(rng);
    letters.truncate(usize::try_from(count).unwrap_or_default());
    letters
}

/// The letters of a string, one after another: `a b c`.
fn spaced(string: &str) -> String {
    string.chars().map(String::from).collect::<Vec<_>>().join(" ")
}

/// Every beginning of a string, the shortest first: `a ab abc`.
fn growing(string: &str) -> String {
    (1..=string.len()).filter_map(|end| string.get(..end)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_run() {
        assert_eq!(running(&[43, 5, 8, 2], "-", |left, term| left - term), "43-5=38 38-8=30 30-2=28");
    }

    #[test]
    fn addition_steps_carry() {
        assert_eq!(addition_steps(457, 386), "7+6=13 5+8+1=14 4+3+1=8");
        assert_eq!(addition_steps(99, 1), "9+1=10 9+1=10");
    }

    #[test]
    fn a_fifth_is_held_out() {
        let held = (0..5_000).filter(|n| is_held_out(&format!("addition {n}+1"))).count();
        assert!((900..1_100).contains(&held), "{held}");
    }
}
