//! Reading the answer out of what a model wrote.

use std::sync::LazyLock;

use regex::Regex;

use super::transcript::{extended, put};
use crate::schema::{Answer, AnswerKind, Case, FinishReason, Input, Outcome, Step};

#[expect(clippy::expect_used, reason = "the pattern is a constant; a test compiles it")]
static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[-+\u{2212}]?(?:\d[\d.,]*\d|\d)").expect("a valid pattern"));

/// Words that announce an answer in a reply that is free in its form.
#[expect(clippy::expect_used, reason = "the pattern is a constant; a test compiles it")]
static ANNOUNCED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\\boxed\{|####|\b(?:answer|result)\**\s*(?:is\b|:|=)(?:\s*:)?").expect("a valid pattern")
});

/// Ends a conversation: finds the answer in what the model wrote after `start`.
///
/// A reply that was cut still answers when the line of its answer is complete. A reply without the mark that stands before
/// an answer gets the mark appended to its context, so that a log-probability of the target is defined for it too.
pub(super) fn conclude(case: &Case<'_>, start: &Input, written: &str, finish: FinishReason) -> Step {
    let is_free = matches!(start, Input::Chat(_));
    let mark = case.prompt.answer_after.as_deref();
    let marked = mark.and_then(|mark| {
        // A reply of its own may begin with a mark that stands on a new line elsewhere.
        let at_start = written.trim_start().strip_prefix(mark.trim_start()).filter(|_| is_free);
        let found = written.find(mark).map(|start| written.split_at(start + mark.len()));
        at_start.map(|rest| (&written[..written.len() - rest.len()], rest)).or(found)
    });
    let (context, rest) = match (mark, marked) {
        (_, Some((before, rest))) => (extended(start, before), Some(rest)),
        (None, None) => (start.clone(), Some(written).filter(|_| !is_free)),
        (Some(_), None) if is_free && case.prompt.turns.is_none() => (start.clone(), None),
        (Some(mark), None) => (extended(start, &format!("{written}{mark}")), None),
    };
    let is_cut = finish == FinishReason::Length && !rest.is_some_and(|rest| rest.trim_start().contains('\n'));
    let found = match rest {
        _ if is_cut => None,
        Some(rest) => read(case, rest),
        None if is_free => read_free(case, written),
        None => None,
    };
    // How long a free reply may become cannot be known beforehand.
    let cut_is_unparsed = case.prompt.cut_is_unparsed && !is_free;
    let outcome = match (&found, finish) {
        (_, FinishReason::Refusal) => Outcome::Refused,
        (Some(_), _) => Outcome::Answered,
        (None, _) if is_cut && !cut_is_unparsed => Outcome::Truncated,
        (None, _) => Outcome::Unparsed,
    };
    match put(case, context) {
        Ok(context) => Step::Answer(Answer { outcome, text: found.filter(|_| outcome == Outcome::Answered), context }),
        Err(reason) => Step::Fail(reason),
    }
}

/// The answer in the first line of a reply that holds anything.
///
/// A number is what follows the last `=`, or else the last number of the line, as written: `31+38 = 69` and `The sum of 31
/// and 38 is 69` both answer 69, and whether `6,9` is a number is for the scorer to say. A choice is the one option that the
/// line names; a line that names two has chosen none.
fn read(case: &Case<'_>, reply: &str) -> Option<String> {
    let line = reply.lines().map(str::trim).find(|line| !line.is_empty())?;
    match case.answer {
        AnswerKind::Text => Some(line.to_owned()),
        AnswerKind::Number => {
            let result = line.rsplit('=').find_map(|part| NUMBER.find(part));
            let last = if line.contains('=') { result } else { NUMBER.find_iter(line).last() };
            last.map(|found| found.as_str().to_owned())
        }
        AnswerKind::Choice => choice(case, line),
    }
}

/// The answer in a reply whose form is free, as chats give it.
///
/// What follows the last announcement (`the answer is`, `Answer:`, `\boxed{`, `####`) comes first. Without one a number is
/// read from the last line that holds one, a choice is the one option that the first line names, or else the whole reply, and
/// a text is the first line without the signs of emphasis around it.
fn read_free(case: &Case<'_>, reply: &str) -> Option<String> {
    let announced = ANNOUNCED.find_iter(reply).last().map(|found| reply.get(found.end()..).unwrap_or_default());
    let announced = announced.map(|rest| rest.trim_start_matches(|c: char| c.is_whitespace() || "*:_`\"'$\\({".contains(c)));
    let first = |text: &str| text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    match case.answer {
        AnswerKind::Number => {
            let line = announced.and_then(first);
            // An announcement is followed by its number, and perhaps by more about it.
            let told = line.as_deref().and_then(|line| {
                let value = line.rsplit_once('=').map_or(line, |(_, value)| value);
                NUMBER.find(value)
            });
            let told = told.map(|found| found.as_str().to_owned());
            told.or_else(|| reply.lines().rev().find(|line| NUMBER.is_match(line)).and_then(|line| read(case, line)))
        }
        AnswerKind::Choice => announced
            .and_then(|rest| choice(case, first(rest)?.as_str()))
            .or_else(|| choice(case, first(reply)?.as_str()))
            .or_else(|| choice(case, reply)),
        AnswerKind::Text => {
            let line = announced.and_then(first).or_else(|| first(reply))?;
            let inner = line.trim_matches(|c: char| c.is_whitespace() || "*_`\"'}$".contains(c)).trim_end_matches('.');
            let inner = inner.trim_matches(|c: char| "*_`\"'".contains(c));
            (!inner.is_empty()).then(|| inner.to_owned())
        }
    }
}

/// The one option that a text names.
fn choice(case: &Case<'_>, text: &str) -> Option<String> {
    let words = words(text);
    let names = |choice: &&String| {
        let choice = self::words(choice);
        !choice.is_empty() && words.windows(choice.len()).any(|window| window == choice)
    };
    let choices = &case.sample.choices;
    let whole = choices.iter().find(|choice| choice.to_lowercase() == text.trim().to_lowercase());
    let mut named = choices.iter().filter(names);
    let only = named.next().filter(|_| named.next().is_none());
    whole.or(only).cloned()
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Chat, Prompt, Sample};

    fn conclude_in(start: &Input, kind: AnswerKind, mark: Option<&str>, written: &str, finish: FinishReason) -> Answer {
        let sample = Sample {
            id: "1".into(),
            question: "q".into(),
            answer: "a".into(),
            steps: None,
            expression: None,
            choices: vec!["yes".into(), "no".into()],
        };
        let prompt = Prompt { answer_after: mark.map(Into::into), ..Prompt::default() };
        let case =
            Case { sample: &sample, answer: kind, prompt: &prompt, start, template: None, function: None, max_tokens: 8 };
        match conclude(&case, start, written, finish) {
            Step::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn conclude_with(kind: AnswerKind, mark: Option<&str>, written: &str, finish: FinishReason) -> Answer {
        conclude_in(&Input::Text("Q:".into()), kind, mark, written, finish)
    }

    #[test]
    fn outcomes() {
        use FinishReason::{Length, Refusal, Stop};
        let number = |written, finish| conclude_with(AnswerKind::Number, Some("\nA:"), written, finish);
        let answer = number(" 1+2=3\nA: 1,203.", Stop);
        assert_eq!((answer.outcome, answer.text.as_deref()), (Outcome::Answered, Some("1,203")));
        assert_eq!(answer.context, Input::Text("Q: 1+2=3\nA:".into()));
        assert_eq!(number(" 1+2=3\nA:12", Length).outcome, Outcome::Truncated);
        assert_eq!(number(" 1+2=3\nA:12\nQ:", Length).text.as_deref(), Some("12"));
        assert_eq!(number(" 1+2=3", Stop).outcome, Outcome::Unparsed);
        assert_eq!(number("x", Stop).context, Input::Text("Q:x\nA:".into()));
        assert_eq!(number("\nA:3", Refusal).outcome, Outcome::Refused);
        let choice = |written| conclude_with(AnswerKind::Choice, None, written, Stop).text;
        assert_eq!(choice(" No, because").as_deref(), Some("no"));
        assert_eq!(choice("maybe"), None);
        assert_eq!(choice("yes or no"), None);
    }

    #[test]
    fn numbers_are_read_where_a_line_gives_its_result() {
        for (line, expected) in [
            ("69", Some("69")),
            ("31+38 = 69.", Some("69")),
            ("The sum of 31 and 38 is 69", Some("69")),
            ("69 = 31 + 38 = 69", Some("69")),
            ("\u{2212}69", Some("\u{2212}69")),
            ("-1.5 apples", Some("-1.5")),
            ("6,9", Some("6,9")),
            ("none", None),
        ] {
            let read = conclude_with(AnswerKind::Number, None, line, FinishReason::Stop).text;
            assert_eq!(read.as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn the_answer_of_a_chat_is_found_among_its_words() {
        let chat = Input::Chat(Chat::default());
        let read = |kind, written: &str| conclude_in(&chat, kind, Some("\nA:"), written, FinishReason::Stop).text;
        for (reply, expected) in [
            ("69", "69"),
            ("The sum of 31 and 38 is **69**.", "69"),
            ("Let us add:\n\n31 + 38 = 69\n\nThat is all.", "69"),
            ("1. Add 1 and 8.\n2. Add 30 and 30.\n\nThe final answer is: $\\boxed{69}$. I checked 2 times.", "69"),
            ("The answer is 69, since 31 + 38 = 69.", "69"),
            ("**Answer:** 69\n\nNote 1: none", "69"),
            ("A: 69\nQ: 12+3\nA: 15", "69"),
            ("T: one\nA: 69", "69"),
        ] {
            assert_eq!(read(AnswerKind::Number, reply).as_deref(), Some(expected), "{reply}");
        }
        for (reply, expected) in [
            ("Yes.", Some("yes")),
            ("**No**, it is not. One might say yes.", None),
            ("No.\nSome would say yes.", Some("no")),
            ("It depends. The answer is yes, not no.", None),
            ("Some say yes.\nThe answer is: **no**", Some("no")),
            ("Let me think.\nThey differ, so no.", Some("no")),
        ] {
            assert_eq!(read(AnswerKind::Choice, reply).as_deref(), expected, "{reply}");
        }
        for (reply, expected) in
            [("**Paris**", "Paris"), ("The answer is \"Paris\".", "Paris"), ("Paris.\nIt is large.", "Paris")]
        {
            assert_eq!(read(AnswerKind::Text, reply).as_deref(), Some(expected), "{reply}");
        }
        // Where the reply is cut nothing is read, whatever the prompt file says of texts.
        let cut = conclude_in(&chat, AnswerKind::Number, None, "First, 31 + 3", FinishReason::Length);
        assert_eq!((cut.outcome, cut.text), (Outcome::Truncated, None));
    }
}
