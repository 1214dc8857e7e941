//! Prompt files: how any question is put.

use std::sync::Arc;

use super::source::{Diagnostic, Diagnostics, Located, Source, Table, parse};
use crate::schema::{Prompt, Turns};

/// A prompt as its file says it, with the places of what is checked later.
#[derive(Debug, Clone)]
pub struct PromptFile {
    /// Unique name.
    pub name: Located<String>,
    /// The technique.
    pub technique: Located<String>,
    /// The tool, if any.
    pub tool: Option<Located<String>>,
    /// The prompt it is compared with.
    pub baseline: Option<Located<String>>,
    /// Template of one example.
    pub shot: Located<String>,
    /// Template of the question.
    pub ask: Located<String>,
    /// Templates of the turns of a chat: what the person says, what the model replies, how its reply begins.
    pub turns: Vec<Located<String>>,
    /// The prompt itself.
    pub prompt: Prompt,
}

/// Reads a prompt file.
///
/// # Errors
/// Everything that is wrong in it.
pub fn read_prompt(source: &Arc<Source>) -> Result<PromptFile, Diagnostics> {
    let mut problems = Diagnostics::new();
    let problems_ref = &mut problems;
    let mut table = parse(source).map_err(|problem| vec![*problem])?;
    let mut string = |key: &'static str, required: bool| {
        let node = if required { table.require(key, problems_ref) } else { table.take(key) };
        node.and_then(|node| node.string(problems_ref))
    };
    let (name, about) = (string("name", true), string("about", true));
    let (technique, shot, ask) = (string("technique", true), string("shot", true), string("ask", true));
    let (tool, baseline) = (string("tool", false), string("baseline", false));
    let (answer_after, on_cut) = (string("answer_after", false), string("on_cut", false));
    let version = table.require("version", &mut problems).and_then(|node| node.integer(1, &mut problems));
    let shots = table.require("shots", &mut problems).and_then(|node| node.integer(0, &mut problems));
    let stop = table.take("stop").and_then(|node| node.strings(&mut problems)).unwrap_or_default();
    let call = table.take("call").and_then(|node| {
        let place = node.place.clone();
        let marks = node.strings(&mut problems)?;
        match marks.as_slice() {
            [open, close] if !open.value.is_empty() && !close.value.is_empty() => {
                Some((open.value.clone(), close.value.clone()))
            }
            _ => {
                problems.push(Diagnostic::at(&place, "`call` needs two marks", "as [\"<calc>\", \"</calc>\"]"));
                None
            }
        }
    });
    let turns = table.take("turns").and_then(|node| read_turns(node.table(&mut problems)?, &mut problems));
    table.finish(&mut problems);
    let mut cut_is_unparsed = false;
    if let Some(on_cut) = &on_cut {
        cut_is_unparsed = on_cut.value == "unparsed";
        if !cut_is_unparsed && on_cut.value != "truncated" {
            problems.push(Diagnostic::unknown("value of `on_cut`", on_cut, &["unparsed", "truncated"]));
        }
    }
    match (name, about, technique, shot, ask, version, shots) {
        (Some(name), Some(about), Some(technique), Some(shot), Some(ask), Some(version), Some(shots))
            if problems.is_empty() =>
        {
            let plain = |located: &Option<Located<String>>| located.as_ref().map(|located| located.value.clone());
            let prompt = Prompt {
                name: name.value.clone(),
                version: u32::try_from(version).unwrap_or(u32::MAX),
                about: about.value,
                technique: technique.value.clone(),
                shots: usize::try_from(shots).unwrap_or_default(),
                shot: shot.value.clone(),
                ask: ask.value.clone(),
                stop: stop.into_iter().map(|stop| stop.value).collect(),
                turns: turns.as_ref().map(|(turns, _)| turns.clone()),
                answer_after: plain(&answer_after),
                tool: plain(&tool),
                call,
                baseline: plain(&baseline),
                cut_is_unparsed,
            };
            let turns = turns.map(|(_, places)| places).unwrap_or_default();
            Ok(PromptFile { name, technique, tool, baseline, shot, ask, turns, prompt })
        }
        _ => Err(problems),
    }
}

/// The turns of a chat, and the places of their templates.
fn read_turns(mut table: Table, problems: &mut Diagnostics) -> Option<(Turns, Vec<Located<String>>)> {
    let ask = table.require("ask", problems).and_then(|node| node.string(problems));
    let reply = table.require("reply", problems).and_then(|node| node.string(problems));
    let system = table.take("system").and_then(|node| node.string(problems));
    let prefix = table.take("prefix").and_then(|node| node.string(problems));
    let stop = table.take("stop").and_then(|node| node.strings(problems)).unwrap_or_default();
    table.finish(problems);
    let (ask, reply) = (ask?, reply?);
    let turns = Turns {
        system: system.map(|system| system.value),
        ask: ask.value.clone(),
        reply: reply.value.clone(),
        prefix: prefix.as_ref().map(|prefix| prefix.value.clone()),
        stop: stop.into_iter().map(|stop| stop.value).collect(),
    };
    Some((turns, [Some(ask), Some(reply), prefix].into_iter().flatten().collect()))
}
