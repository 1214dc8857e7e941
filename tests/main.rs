//! The integration tests, one binary; this file is the table of contents.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::indexing_slicing,
    clippy::float_cmp,
    clippy::suboptimal_flops,
    reason = "a test fails by panicking, and compares with known values"
)]

/// Running the built program in a directory of its own.
mod program;

/// An endpoint of raw bytes that misbehaves as it is told.
mod chaos;

/// No blind strategy beats the chance level that a task states.
mod chance;
mod exchanges;
/// An endpoint that fails, limits and hangs.
mod faults;
/// The floors of the house, and that every file of a family is registered.
mod house;
/// A configuration, a task or a prompt with a mistake in it.
mod mistakes;
/// The whole path on small embedded models, twice.
mod pipeline;
/// What an endpoint can do is found out, and what it cannot is not scored.
mod probes;
/// What becomes of records when an endpoint misbehaves, and of a run that is killed under a budget.
mod reliability;
/// A run killed at random moments against a separate server.
mod resume;
/// The weights that are shipped come from the recipe beside them, and so do new ones.
mod retrain;
/// Keys are found in nothing that is printed or written.
mod secrets;
/// What is trained on and what is asked never meet.
mod split;
