//! Reading the answer out of a transcript.

use std::sync::LazyLock;

use regex::Regex;

use crate::schema::{Answer, AnswerKind, Case, FinishReason, Outcome};

#[expect(clippy::expect_used, reason = "the pattern is a constant; a test compiles it")]
static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[-+\u{2212}]?(?:\d[\d.,]*\d|\d)").expect("a valid pattern"));

/// Ends a conversation: finds the answer in what the model wrote after the case's text.
///
/// A reply that was cut still answers when the line of its answer is complete. A reply without the mark that stands before
/// an answer gets the mark appended to its context, so that a log-probability of the target is defined for it too.
pub(super) fn conclude(case: &Case<'_>, written: &str, finish: FinishReason) -> Answer {
    let text = case.text;
    let (context, rest) = match case.prompt.answer_after.as_deref() {
        None => (text.to_owned(), Some(written)),
        Some(mark) => match written.find(mark).map(|start| written.split_at(start + mark.len())) {
            Some((before, rest)) => (format!("{text}{before}"), Some(rest)),
            None => (format!("{text}{written}{mark}"), None),
        },
    };
    let is_cut = finish == FinishReason::Length && !rest.is_some_and(|rest| rest.trim_start().contains('\n'));
    let found = if is_cut { None } else { rest.and_then(|rest| read(case, rest)) };
    let outcome = match (&found, finish) {
        (_, FinishReason::Refusal) => Outcome::Refused,
        (Some(_), _) => Outcome::Answered,
        (None, _) if is_cut && !case.prompt.cut_is_unparsed => Outcome::Truncated,
        (None, _) => Outcome::Unparsed,
    };
    Answer { outcome, text: found.filter(|_| outcome == Outcome::Answered), context }
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
        AnswerKind::Choice => {
            let words = words(line);
            let names = |choice: &&String| {
                let choice = self::words(choice);
                !choice.is_empty() && words.windows(choice.len()).any(|window| window == choice)
            };
            let choices = &case.sample.choices;
            let whole = choices.iter().find(|choice| choice.to_lowercase() == line.to_lowercase());
            let mut named = choices.iter().filter(names);
            let only = named.next().filter(|_| named.next().is_none());
            whole.or(only).cloned()
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Prompt, Sample};

    fn conclude_with(kind: AnswerKind, mark: Option<&str>, written: &str, finish: FinishReason) -> Answer {
        let sample = Sample {
            id: "1".into(),
            question: "q".into(),
            answer: "a".into(),
            steps: None,
            expression: None,
            choices: vec!["yes".into(), "no".into()],
        };
        let prompt = Prompt {
            name: "p".into(),
            version: 1,
            about: String::new(),
            technique: "completion".into(),
            shots: 0,
            shot: String::new(),
            ask: String::new(),
            stop: vec![],
            answer_after: mark.map(Into::into),
            tool: None,
            call: None,
            baseline: None,
            cut_is_unparsed: false,
        };
        let case = Case { sample: &sample, answer: kind, prompt: &prompt, text: "Q:", max_tokens: 8 };
        conclude(&case, written, finish)
    }

    #[test]
    fn outcomes() {
        use FinishReason::{Length, Refusal, Stop};
        let number = |written, finish| conclude_with(AnswerKind::Number, Some("\nA:"), written, finish);
        let answer = number(" 1+2=3\nA: 1,203.", Stop);
        assert_eq!((answer.outcome, answer.text.as_deref()), (Outcome::Answered, Some("1,203")));
        assert_eq!(answer.context, "Q: 1+2=3\nA:");
        assert_eq!(number(" 1+2=3\nA:12", Length).outcome, Outcome::Truncated);
        assert_eq!(number(" 1+2=3\nA:12\nQ:", Length).text.as_deref(), Some("12"));
        assert_eq!(number(" 1+2=3", Stop).outcome, Outcome::Unparsed);
        assert_eq!(number("x", Stop).context, "Q:x\nA:");
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
}
