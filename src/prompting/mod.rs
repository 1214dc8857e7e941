//! How a question is put: templates, and the techniques that carry a conversation.

mod answer;
mod completion;
mod step_by_step;
pub mod template;
mod tool_use;

use crate::schema::{Case, Request, Technique, Wanted};

/// Every technique.
pub static TECHNIQUES: &[&dyn Technique] = &[&completion::Completion, &step_by_step::StepByStep, &tool_use::ToolUse];

/// The technique of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Technique> {
    TECHNIQUES.iter().find(|technique| technique.name() == name).copied()
}

/// A request to continue a text within the limits of a case.
fn ask(case: &Case<'_>, text: String, more_stops: &[&str]) -> Request {
    let stops = case.prompt.stop.iter().cloned().chain(more_stops.iter().map(|&stop| stop.to_owned()));
    Request { text, wanted: Wanted::Reply { max_tokens: case.max_tokens, stop: stops.collect() } }
}
