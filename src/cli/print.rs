//! Printing to stdout and stderr: colours where they are wanted, and a reader who goes away ends the program in peace.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use super::exit;

/// A line on stdout.
macro_rules! println {
    ($($text:tt)*) => { $crate::cli::print::out(&format_args!("{}\n", format_args!($($text)*))) };
}

/// A line on stderr.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::cli::print::err(&format_args!("{}\n", format_args!($($text)*))) };
}

pub(super) use {eprintln, println};

pub(super) fn out(text: &Arguments<'_>) {
    if let Err(error) = anstream::stdout().write_fmt(*text)
        && error.kind() == ErrorKind::BrokenPipe
    {
        // `onset list | head` has what it wanted; whatever was paid for is committed by the time results are printed.
        #[expect(clippy::exit, reason = "nobody reads any more, and that is no failure")]
        std::process::exit(i32::from(exit::DONE));
    }
}

pub(super) fn err(text: &Arguments<'_>) {
    // There is nowhere left to complain.
    let _ = anstream::stderr().write_fmt(*text);
}
