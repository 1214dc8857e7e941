//! JSON values as text.

use serde_json::Value;

/// A value as a text without spaces, the keys of its objects in the order of the alphabet: the same as its `Display`, which takes
/// three times as long.
#[must_use]
pub fn json_text(value: &Value) -> String {
    // Only keys that are no texts cannot be written, and a value has none.
    serde_json::to_string(value).unwrap_or_default()
}
