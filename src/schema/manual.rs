//! Manual pages: the leading `//!` comment of an entry's source file, read at run time.
//!
//! One text serves the reader of the source, the reader of the API documentation and the user of `onset list`, so the
//! three cannot drift apart.

/// The manual page held by the leading `//!` comment of a source file.
#[must_use]
pub fn page(source: &str) -> String {
    source
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .map(|line| line.trim_start_matches("//!").strip_prefix(' ').unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The first sentence of a manual page, for one-line listings.
#[must_use]
pub fn summary(source: &str) -> String {
    let page = page(source);
    let first: Vec<&str> = page.lines().take_while(|line| !line.trim().is_empty()).collect();
    first.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_the_leading_comment_and_nothing_else() {
        let source = "//! One line.\n//!\n//! # Formula\n//! a + b\n\nuse x;\n//! not this\n";
        assert_eq!(page(source), "One line.\n\n# Formula\na + b");
        assert_eq!(summary(source), "One line.");
    }
}
