use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A command that runs the program in a directory, without colours.
pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onset"));
    command.current_dir(directory).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn onset(directory: &Path, arguments: &[&str]) -> Output {
    command(directory).args(arguments).output().expect("the program starts")
}

/// What it printed on stdout, as JSON.
pub(crate) fn json(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    })
}

/// Its exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}
