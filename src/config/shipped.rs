//! The tasks, prompts and the configuration inside the binary, so that it works from any directory.

/// The built-in configuration: the main job.
pub const SHIPPED_CONFIG: &str = include_str!("../../config.toml");

macro_rules! shipped {
    ($directory:literal: $($name:literal),* $(,)?) => {
        &[$((
            concat!($directory, "/", $name, ".toml"),
            include_str!(concat!("../../", $directory, "/", $name, ".toml")),
        )),*]
    };
}

/// Task files, in the order of listings.
pub static SHIPPED_TASKS: &[(&str, &str)] = shipped!("tasks":
    "addition-1", "addition-2", "addition-3", "addition-4", "addition-5", "subtraction-1", "subtraction-2", "subtraction-3",
    "subtraction-4", "subtraction-5", "multiplication-3", "modular-arithmetic", "modified-arithmetic", "copy-8", "reverse-5",
    "sort-5", "order-6", "unscramble", "lookup-1", "lookup-3", "transliterate", "word-in-context",
);

/// Prompt files, in the order of listings.
pub static SHIPPED_PROMPTS: &[(&str, &str)] =
    shipped!("prompts": "zero-shot", "instruction", "few-shot", "step-by-step", "scratchpad", "calculator", "text-tool");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_two_directories_is_in_the_binary() {
        for (directory, shipped) in [("tasks", SHIPPED_TASKS), ("prompts", SHIPPED_PROMPTS)] {
            let mut files: Vec<String> = std::fs::read_dir(directory)
                .unwrap()
                .map(|entry| format!("{directory}/{}", entry.unwrap().file_name().to_string_lossy()))
                .filter(|file| file.ends_with(".toml"))
                .collect();
            files.sort();
            let mut names: Vec<&str> = shipped.iter().map(|&(file, _)| file).collect();
            names.sort_unstable();
            assert_eq!(files, names, "name the file in src/config/shipped.rs");
        }
    }
}
