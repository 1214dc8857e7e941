//! How a question is put: templates, and the techniques that carry a conversation.

mod answer;
pub mod chat_template;
mod completion;
mod step_by_step;
pub mod template;
mod tool_use;
mod transcript;

use crate::schema::Technique;

pub use transcript::example;

/// Every technique.
pub static TECHNIQUES: &[&dyn Technique] = &[&completion::Completion, &step_by_step::StepByStep, &tool_use::ToolUse];

/// The technique of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Technique> {
    TECHNIQUES.iter().find(|technique| technique.name() == name).copied()
}
