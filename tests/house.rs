use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Modules by floor, the ground floor first.
const FLOORS: &[&[&str]] = &[
    &["schema", "stats", "lexicon"],
    &[
        "config",
        "tasks",
        "prompting",
        "providers",
        "transport",
        "tools",
        "scorers",
        "curves",
        "interop",
        "store",
        "report",
        "ladder",
    ],
    &["plan", "analysis"],
    &["runner", "server"],
    &["cli"],
];

/// Directories that hold a family: every file beside `mod.rs` is one entry, registered in it.
const FAMILIES: &[(&str, &[&str])] = &[
    ("src/tasks/generators", &[]),
    ("src/prompting", &["answer", "chat_template", "template", "transcript"]),
    ("src/scorers", &["goldens"]),
    ("src/providers", &["event_stream", "openai", "status"]),
    ("src/tools", &[]),
    ("src/curves", &["prior"]),
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Names of modules that a text refers to through `crate::`, each with its line; of a list in braces, every first name.
fn references(text: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for (start, found) in text.match_indices("crate::") {
        let line = text[..start].matches('\n').count() + 1;
        let rest = &text[start + found.len()..];
        let word =
            |text: &str| -> String { text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
        let Some(list) = rest.strip_prefix('{') else {
            names.push((line, word(rest)));
            continue;
        };
        let (mut depth, mut is_first) = (0, true);
        for (index, c) in list.char_indices() {
            if is_first && c.is_alphabetic() {
                names.push((line, word(&list[index..])));
                is_first = false;
            }
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => is_first = true,
                _ => {}
            }
        }
    }
    names
}

#[test]
fn references_are_found_in_lists_of_lists_over_several_lines() {
    let text = "x\nuse crate::{\n    schema::{Task, Sample},\n    plan,\n    cli::run,\n};\nuse crate::store::Store;\n";
    let names: Vec<String> = references(text).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["schema", "plan", "cli", "store"]);
}

#[test]
fn modules_import_only_lower_floors_or_themselves() {
    let mut breaches = Vec::new();
    for path in sources(Path::new("src")) {
        let module = path.iter().nth(1).unwrap().to_str().unwrap().to_owned();
        let Some(own) = floor(&module) else { continue };
        let text = std::fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line }).collect();
        for (number, name) in references(&code.join("\n")) {
            if name != module && floor(&name).is_some_and(|other| other >= own) {
                breaches.push(format!("{}:{number}: {module} imports {name}", path.display()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn only_the_command_line_prints() {
    // The standard macros are denied by a lint; these are the others.
    for path in sources(Path::new("src")).iter().filter(|path| !path.starts_with("src/cli")) {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(!text.contains("anstream") && !text.contains("stdout()"), "{} prints", path.display());
    }
}

#[test]
fn every_module_of_the_library_has_a_floor() {
    let known: BTreeSet<&str> = FLOORS.iter().flat_map(|modules| modules.iter().copied()).collect();
    for entry in std::fs::read_dir("src").unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(known.contains(name), "{name} stands on no floor");
        }
    }
}

#[test]
fn every_file_of_a_family_is_registered_and_has_a_manual_page() {
    for (directory, helpers) in FAMILIES {
        let registry = std::fs::read_to_string(Path::new(directory).join("mod.rs")).unwrap();
        let slice = registry.split("pub static").nth(1).unwrap().split("];").next().unwrap();
        for path in sources(Path::new(directory)) {
            let name = path.file_stem().unwrap().to_str().unwrap();
            if name == "mod" || helpers.contains(&name) {
                continue;
            }
            assert!(slice.contains(&format!("&{name}::")), "{} is not registered", path.display());
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("//! "), "{} has no manual page", path.display());
        }
    }
}

#[test]
fn names_in_a_family_are_unique() {
    let families: [Vec<&str>; 6] = [
        onset::tasks::generators::GENERATORS.iter().map(|entry| entry.name()).collect(),
        onset::prompting::TECHNIQUES.iter().map(|entry| entry.name()).collect(),
        onset::scorers::SCORERS.iter().map(|entry| entry.name()).collect(),
        onset::providers::PROVIDERS.iter().map(|entry| entry.name()).collect(),
        onset::tools::TOOLS.iter().map(|entry| entry.name()).collect(),
        onset::curves::CURVES.iter().map(|entry| entry.name()).collect(),
    ];
    for names in families {
        assert!(!names.is_empty());
        let unique: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(unique.len(), names.len(), "{names:?}");
    }
}

#[test]
fn the_embedded_ladder_spans_three_decades_in_fourteen_rungs() {
    let cards = onset::ladder::cards().unwrap();
    assert_eq!(cards.len(), 14);
    let (first, last) = (cards.first().unwrap(), cards.last().unwrap());
    assert!(last.flops / first.flops >= 1e3);
    assert!(cards.windows(2).all(|pair| pair[0].flops < pair[1].flops && pair[0].losses.loss > pair[1].losses.loss));
    assert_eq!(
        onset::ladder::models(Path::new("models"), |name| cards.iter().any(|card| card.name == name)).unwrap().len(),
        cards.len()
    );
}
