//! The `onset` binary: parse, call, map to an exit code.

use std::process::ExitCode;

// A request allocates some hundred times; the allocator of the C library takes a fifth of a run for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    onset::cli::main()
}
