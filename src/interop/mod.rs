//! Other people's files, read as what they mean here.

mod curves_csv;

pub use curves_csv::{CurvesFile, FileError, read_curves};
