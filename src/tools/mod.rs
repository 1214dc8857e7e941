//! Tools that a model may call.

mod calculator;
mod text;

use serde_json::json;

use crate::schema::{Tool, ToolSpec};

/// Every tool.
pub static TOOLS: &[&dyn Tool] = &[&calculator::Calculator, &text::Text];

/// The tool of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Tool> {
    TOOLS.iter().find(|tool| tool.name() == name).copied()
}

/// A tool as it is offered to a model.
#[must_use]
pub fn spec(tool: &dyn Tool) -> ToolSpec {
    let (about, argument, meaning) = tool.about();
    let properties = json!({ argument: { "type": "string", "description": meaning } });
    let parameters =
        json!({ "type": "object", "properties": properties, "required": [argument], "additionalProperties": false });
    ToolSpec { name: tool.name().to_owned(), about: about.to_owned(), parameters }
}
