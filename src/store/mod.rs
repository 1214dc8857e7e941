//! What was paid for: the SQLite store of runs, exchanges, attempts, records and scores.
//!
//! One process writes at a time, through one thread that commits in batches; any number may read. What is written is
//! acknowledged after its commit, so that neither a killed process nor a power cut loses it; an exchange outlives its process once
//! [`Store::queue`] is done with it. The tables are documented in `docs/formats.md`.

mod error;
mod format;
mod handle;
mod journal;
mod keys;
mod parts;
mod read;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

pub use error::StoreError;
pub use format::MIGRATIONS;
pub use handle::Store;
pub use rows::{Asked, Attempt, Complaint, ExchangeRow, Fate, Spent, StoredExchange, Tally, Write};
