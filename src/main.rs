//! The `onset` binary: parse, call, map to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    onset::cli::main()
}
