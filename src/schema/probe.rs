//! What an endpoint was found to do.

use serde::{Deserialize, Serialize};

/// Whether an endpoint does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// It does.
    Yes,
    /// It does not, or not as it should.
    No,
    /// It could not be told.
    Unknown,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was tried: `warm`, `stop`, `tools`, or the name of a way to log-probabilities.
    pub what: String,
    /// Whether the endpoint does it.
    pub found: Found,
    /// What was seen.
    pub words: String,
}

/// What was found of one model at an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Name of the endpoint.
    pub endpoint: String,
    /// A hash of its provider, dialect and address: another endpoint of the same name was not probed.
    pub identity: String,
    /// The model.
    pub model: String,
    /// When, RFC 3339.
    pub at: String,
    /// What was found, in the order in which it was tried.
    pub findings: Vec<Finding>,
}

impl Probe {
    /// What was found of something.
    #[must_use]
    pub fn found(&self, what: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.what == what)
    }
}
