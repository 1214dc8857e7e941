//! Complaints with file, line and caret.

use std::fmt::Write;

use super::Global;
use super::print::{eprintln, println};
use crate::config::{Diagnostic, Diagnostics};
use anstyle::AnsiColor;

/// Why a command could not do its work.
pub(super) enum Problem {
    /// What a person wrote is wrong.
    Written(Diagnostics),
    /// Anything else, and what to do about it.
    Other(String, Option<String>),
}

impl From<Diagnostics> for Problem {
    fn from(problems: Diagnostics) -> Self {
        Self::Written(problems)
    }
}

impl Problem {
    pub(super) fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string(), None)
    }

    pub(super) fn with_help(error: impl std::fmt::Display, help: &str) -> Self {
        Self::Other(error.to_string(), Some(help.to_owned()))
    }

    pub(super) fn print(&self, global: &Global) {
        let problems = match self {
            Self::Written(problems) => problems.clone(),
            Self::Other(message, help) => {
                vec![Diagnostic { message: message.clone(), place: None, label: String::new(), help: help.clone() }]
            }
        };
        if global.json {
            let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
            println!("{}", serde_json::json!({ "errors": messages }));
        }
        for problem in &problems {
            eprintln!("{}", render(problem).trim_end());
        }
    }
}

/// One complaint as people read it:
/// ```text
/// error: unknown key `smaples`
///   --> config.toml:4:1
///    |
///  4 | smaples = 100
///    | ^^^^^^^ no key of this name
///    = help: did you mean `samples`?
/// ```
fn render(problem: &Diagnostic) -> String {
    let (red, cyan) = (AnsiColor::Red.on_default().bold(), AnsiColor::Cyan.on_default());
    let mut out = format!("{red}error{red:#}: {}\n", problem.message);
    // Writing to a string cannot fail.
    if let Some(place) = &problem.place {
        let text = &place.source.text;
        let start = place.range.start.min(text.len());
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_number = before.matches('\n').count() + 1;
        let line = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        let line = without_key(line);
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        let covered = text.get(start..place.range.end.min(line_start + line.len())).unwrap_or_default();
        let shown = line.chars().count().saturating_sub(column).max(1);
        let carets = "^".repeat(covered.chars().count().clamp(1, shown));
        let margin = " ".repeat(line_number.to_string().len());
        let _ = writeln!(out, " {margin}--> {}:{line_number}:{}", place.source.file, column + 1);
        let _ = writeln!(
            out,
            " {margin} |\n {line_number} | {line}\n {margin} | {}{red}{carets} {}{red:#}",
            " ".repeat(column),
            problem.label
        );
        if let Some(help) = &problem.help {
            let _ = writeln!(out, " {margin} = {cyan}help{cyan:#}: {help}");
        }
    } else if let Some(help) = &problem.help {
        let _ = writeln!(out, "  {cyan}help{cyan:#}: {help}");
    }
    out
}

/// The line up to the value of anything that could be an `api_key`, however it is spelt: a key that was written out must not
/// be repeated in a log.
fn without_key(line: &str) -> String {
    let mut start = 0;
    for word in line.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')) {
        start += word.len();
        let name = word.trim_end_matches(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).to_lowercase();
        let rest = line.get(start..).unwrap_or_default();
        let is_key = name.len() >= 4 && strsim::damerau_levenshtein(&name.replace('-', "_"), "api_key") <= 3;
        if is_key && (word.ends_with('=') || rest.trim_start().starts_with('=')) {
            return format!("{} ..", line.get(..start).unwrap_or_default().trim_end());
        }
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::without_key;

    #[test]
    fn the_value_of_a_key_is_not_shown_however_it_is_spelt() {
        for line in
            ["api_key = \"sk-1\"", "api_kye=\"sk-1\"", "e = { base_url = \"x\", apikey = [\"sk-1\"] }", "API-KEY = sk-1"]
        {
            assert!(!without_key(line).contains("sk-1"), "{line}");
        }
        assert_eq!(without_key("base_url = \"http://x\""), "base_url = \"http://x\"");
    }
}
