//! A conversation in text in which the model may call a tool: what it writes between two marks is computed and handed back.
//!
//! # What it measures
//! Whether a model that sees calls in the examples writes the right call, and goes on from its result.
//!
//! # When it misleads
//! The work is the tool's: a score here is the ability to translate a question into a call, not to solve it. After four calls
//! the conversation ends without an answer.
//!
//! # Reference
//! Schick et al. 2023, Toolformer; the marks after Cobbe et al. 2021.

use super::answer::conclude;
use super::ask;
use crate::schema::{Case, FinishReason, Step, Technique, Turn};

/// Calls after which a conversation is going in circles.
const MOST_CALLS: usize = 4;

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
        let (Some((open, close)), Some(tool)) = (case.prompt.call.as_ref(), case.prompt.tool.as_ref()) else {
            return Step::Answer(conclude(case, "", FinishReason::Stop));
        };
        let mut written = String::new();
        let mut last = None;
        for turn in turns {
            match turn {
                Turn::Response { response, .. } => {
                    written.push_str(&response.text);
                    last = Some(response);
                }
                Turn::ToolResult { output, .. } => {
                    let output = output.as_deref().unwrap_or("error");
                    written.push_str(&format!("{close}{output}\n"));
                    last = None;
                }
            }
        }
        match last {
            None if turns.len() > 2 * MOST_CALLS => Step::Answer(conclude(case, &written, FinishReason::Stop)),
            None => Step::Ask(ask(case, format!("{}{written}", case.text), &[close])),
            Some(response) => match response.text.rsplit_once(open.as_str()) {
                // An opened call whose line goes on to its end was stopped by the closing mark.
                Some((_, input)) if response.finish == FinishReason::Stop && !input.contains('\n') => {
                    Step::CallTool { tool: tool.clone(), input: input.to_owned() }
                }
                _ => Step::Answer(conclude(case, &written, response.finish)),
            },
        }
    }
}
