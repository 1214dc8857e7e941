//! Tools that a model may call.

mod calculator;

use crate::schema::Tool;

/// Every tool.
pub static TOOLS: &[&dyn Tool] = &[&calculator::Calculator];

/// The tool of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Tool> {
    TOOLS.iter().find(|tool| tool.name() == name).copied()
}
