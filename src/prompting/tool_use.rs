//! A conversation in which the model may call a tool: as a function where the endpoint has functions, and else in the text,
//! where what it writes between two marks is computed and handed back.
//!
//! # What it measures
//! Whether a model that sees calls in the examples makes the right call, and goes on from its result. The task, the examples
//! and the tool are the same in both forms.
//!
//! # When it misleads
//! The work is the tool's: a score here is the ability to translate a question into a call, not to solve it. After four
//! rounds the conversation ends without an answer. A call that is no valid JSON or names no tool is answered with what was
//! wrong with it, and uses up a round.
//!
//! # Reference
//! Schick et al. 2023, Toolformer; the marks after Cobbe et al. 2021.

use serde_json::Value;

use super::answer::conclude;
use super::transcript::{argument_name, ask, extended, said};
use crate::schema::{Case, FinishReason, Input, Message, Step, Technique, ToolCall, ToolSpec, Turn};

/// Rounds of calls after which a conversation is going in circles.
const MOST_ROUNDS: usize = 4;

pub(super) struct ToolUse;

impl Technique for ToolUse {
    fn name(&self) -> &'static str {
        "tool-use"
    }

    fn source(&self) -> &'static str {
        include_str!("tool_use.rs")
    }

    fn required(&self) -> &'static [&'static str] {
        &["tool", "call"]
    }

    fn next(&self, case: &Case<'_>, turns: &[Turn]) -> Step {
        match (case.function, case.prompt.call.as_ref(), case.prompt.tool.as_ref()) {
            (Some(function), ..) => by_function(case, function, turns),
            (None, Some((open, close)), Some(tool)) => by_text(case, (open, close), tool, turns),
            _ => conclude(case, case.start, "", FinishReason::Stop),
        }
    }
}

fn by_function(case: &Case<'_>, function: &ToolSpec, turns: &[Turn]) -> Step {
    let Input::Chat(mut chat) = case.start.clone() else {
        return Step::Fail("functions need an endpoint that chats".to_owned());
    };
    chat.tools = vec![function.clone()];
    let (mut turns, mut rounds) = (turns.iter(), 0);
    while let Some(Turn::Response(response)) = turns.next() {
        // The arguments of a reply that was cut are cut too.
        if response.calls.is_empty() || response.finish != FinishReason::Stop {
            return conclude(case, &Input::Chat(chat), &response.text, response.finish);
        }
        rounds += 1;
        chat.prefix = None;
        chat.messages.push(Message::Assistant {
            text: response.text.clone(),
            calls: response.calls.clone(),
            replay: response.replay.clone(),
        });
        for call in &response.calls {
            let output = match argument(call, function) {
                Err(problem) => Err(problem),
                Ok(input) => match turns.next() {
                    Some(Turn::ToolResult { output, .. }) => output.clone(),
                    _ => return Step::CallTool { tool: function.name.clone(), input },
                },
            };
            chat.messages.push(Message::Tool {
                call: call.id.clone(),
                tool: call.tool.clone(),
                is_error: output.is_err(),
                output: output.unwrap_or_else(|problem| format!("error: {problem}")),
            });
        }
    }
    if rounds >= MOST_ROUNDS {
        return conclude(case, &Input::Chat(chat), "", FinishReason::Stop);
    }
    ask(case, Input::Chat(chat), &[])
}

/// The one argument of a call.
fn argument(call: &ToolCall, function: &ToolSpec) -> Result<String, String> {
    if call.tool != function.name {
        return Err(format!("there is no tool `{}`; there is `{}`", call.tool, function.name));
    }
    let name = argument_name(function);
    let arguments: Value =
        serde_json::from_str(&call.arguments).map_err(|error| format!("the arguments are no JSON: {error}"))?;
    match arguments.get(name) {
        Some(Value::String(input)) => Ok(input.clone()),
        Some(input @ Value::Number(_)) => Ok(input.to_string()),
        Some(_) => Err(format!("`{name}` is no string")),
        None => Err(format!("the argument `{name}` is missing")),
    }
}

fn by_text(case: &Case<'_>, (open, close): (&str, &str), tool: &str, turns: &[Turn]) -> Step {
    let (mut start, mut written) = (case.start.clone(), String::new());
    let mut last = None;
    for turn in turns {
        match turn {
            Turn::Response(response) => {
                written.push_str(&response.text);
                last = Some(response);
            }
            Turn::ToolResult { output, .. } => {
                let output = output.as_deref().unwrap_or("error");
                match &mut start {
                    Input::Text(_) => written.push_str(&format!("{close}{output}\n")),
                    // In a chat nobody but the model writes in its name.
                    Input::Chat(chat) => {
                        let prefix = chat.prefix.take().unwrap_or_default();
                        chat.messages.push(said(format!("{prefix}{written}{close}")));
                        chat.messages.push(Message::User { text: output.to_owned() });
                        written.clear();
                    }
                }
                last = None;
            }
        }
    }
    let input = extended(&start, &written);
    match last {
        None if turns.len() > 2 * MOST_ROUNDS => conclude(case, &start, &written, FinishReason::Stop),
        None => ask(case, input, &[close]),
        Some(response) => match response.text.rsplit_once(open) {
            // An opened call whose line goes on to its end was stopped by the closing mark.
            Some((_, input)) if response.finish == FinishReason::Stop && !input.contains('\n') => {
                Step::CallTool { tool: tool.to_owned(), input: input.to_owned() }
            }
            _ => conclude(case, &start, &written, response.finish),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::example;
    use super::*;
    use crate::schema::{AnswerKind, Chat, Outcome, Prompt, Request, Response, Sample};

    fn sample() -> Sample {
        Sample {
            id: "1".into(),
            question: "12+34".into(),
            answer: "46".into(),
            steps: None,
            expression: Some("12+34".into()),
            choices: vec![],
        }
    }

    fn function() -> ToolSpec {
        let properties = json!({ "expression": { "type": "string" } });
        let parameters = json!({ "type": "object", "properties": properties, "required": ["expression"] });
        ToolSpec { name: "calculator".into(), about: "computes".into(), parameters }
    }

    fn calling(calls: &[(&str, &str, &str)]) -> Turn {
        let call = |&(id, tool, arguments): &(&str, &str, &str)| ToolCall {
            id: id.into(),
            tool: tool.into(),
            arguments: arguments.into(),
        };
        let calls = calls.iter().map(call).collect();
        Turn::Response(Box::new(Response { calls, ..Response::new("", FinishReason::Stop) }))
    }

    fn result(output: &str) -> Turn {
        Turn::ToolResult { tool: "calculator".into(), input: String::new(), output: Ok(output.into()) }
    }

    fn next(function: Option<&ToolSpec>, turns: &[Turn]) -> Step {
        let (sample, start) = (sample(), Input::Chat(Chat::default()));
        let call = Some(("<c>".to_owned(), "</c>".to_owned()));
        let prompt = Prompt { tool: Some("calculator".into()), call, ..Prompt::default() };
        let answer = AnswerKind::Number;
        let case = Case { sample: &sample, answer, prompt: &prompt, start: &start, template: None, function, max_tokens: 8 };
        ToolUse.next(&case, turns)
    }

    fn asked(step: Step) -> Chat {
        match step {
            Step::Ask(Request { input: Input::Chat(chat), .. }) => chat,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parallel_calls_are_computed_one_by_one_and_a_malformed_one_is_answered() {
        let function = function();
        let calls = calling(&[
            ("a", "calculator", r#"{"expression": "12+34"}"#),
            ("b", "calculator", r#"{"expression": "12"#),
            ("c", "abacus", "{}"),
            ("d", "calculator", r#"{"expression": 7}"#),
        ]);
        let mut turns = vec![calls];
        assert_eq!(next(Some(&function), &turns), Step::CallTool { tool: "calculator".into(), input: "12+34".into() });
        turns.push(result("46"));
        assert_eq!(next(Some(&function), &turns), Step::CallTool { tool: "calculator".into(), input: "7".into() });
        turns.push(result("7"));
        let chat = asked(next(Some(&function), &turns));
        let outputs: Vec<(&str, &str, bool)> = chat
            .messages
            .iter()
            .filter_map(|message| match message {
                Message::Tool { call, output, is_error, .. } => Some((call.as_str(), output.as_str(), *is_error)),
                _ => None,
            })
            .collect();
        assert_eq!((outputs[0], outputs[3]), (("a", "46", false), ("d", "7", false)));
        assert!(outputs[1].1.contains("no JSON") && outputs[1].2, "{outputs:?}");
        assert!(outputs[2].1.contains("no tool `abacus`; there is `calculator`"), "{outputs:?}");
        turns.push(Turn::Response(Box::new(Response::new("It is 46.", FinishReason::Stop))));
        let Step::Answer(answer) = next(Some(&function), &turns) else { panic!() };
        assert_eq!((answer.outcome, answer.text.as_deref()), (Outcome::Answered, Some("46")));
    }

    #[test]
    fn a_conversation_in_circles_ends_without_an_answer_and_a_cut_call_as_truncated() {
        let function = function();
        let round = [calling(&[("a", "calculator", r#"{"expression": "1"}"#)]), result("1")];
        let turns: Vec<Turn> = round.iter().cycle().take(2 * MOST_ROUNDS).cloned().collect();
        assert!(matches!(next(Some(&function), &turns[2..]), Step::Ask(_)));
        let Step::Answer(answer) = next(Some(&function), &turns) else { panic!() };
        assert_eq!(answer.outcome, Outcome::Unparsed);
        let Turn::Response(mut cut) = round[0].clone() else { panic!() };
        cut.finish = FinishReason::Length;
        let Step::Answer(answer) = next(Some(&function), &[Turn::Response(cut)]) else { panic!() };
        assert_eq!(answer.outcome, Outcome::Truncated);
    }

    #[test]
    fn a_call_in_the_text_of_a_chat_is_answered_by_a_message() {
        let call = Turn::Response(Box::new(Response::new("C:<c>12+34", FinishReason::Stop)));
        assert_eq!(
            next(None, std::slice::from_ref(&call)),
            Step::CallTool { tool: "calculator".into(), input: "12+34".into() }
        );
        let chat = asked(next(None, &[call, result("46")]));
        assert_eq!(chat.messages, [said("C:<c>12+34</c>"), Message::User { text: "46".into() }]);
    }

    #[test]
    fn an_example_takes_the_form_of_the_conversation() {
        let call = Some(("<c>".to_owned(), "</c>".to_owned()));
        let prompt = Prompt { call, ..Prompt::default() };
        let reply = "C:<c>1+2</c>3\nA:3";
        let text = example(&prompt, reply, None, 0);
        assert_eq!(text, [said("C:<c>1+2</c>"), Message::User { text: "3".into() }, said("A:3")]);
        let functions = example(&prompt, reply, Some(&function()), 0);
        let Message::Assistant { calls, .. } = &functions[0] else { panic!() };
        assert_eq!(calls[0].arguments, r#"{"expression":"1+2"}"#);
        assert!(matches!(&functions[1], Message::Tool { output, .. } if output == "3"));
        assert_eq!(example(&prompt, "A:3", None, 0), [said("A:3")]);
    }
}
