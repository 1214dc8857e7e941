//! What commands print when they are done.

use std::path::Path;
use std::time::Duration;

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use serde_json::json;

use super::Global;
use super::print::{eprintln, println};
use crate::plan::Plan;
use crate::report::{
    BASELINE_HEADER, COLLAPSE, MARKS, SIZES_HEADER, VERDICT_HEADER, baseline_rows, collapse_rows, pairs_lead, size_rows,
    verdict_rows, warning_rows,
};
use crate::runner::{Spending, Summary};
use crate::schema::{Analysis, Outcome, RunManifest, Verdict};
use crate::store::{Complaint, Store, StoreError};

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    // Colours are always written, and taken out again on the way to a place that shows none.
    table
        .enforce_styling()
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}

/// Reasons of failure that a summary shows.
const SHOWN_REASONS: usize = 3;
/// Warnings that are printed.
const SHOWN_WARNINGS: usize = 5;
/// Where the verdict stands in `VERDICT_HEADER`.
const VERDICT_COLUMN: usize = 2;

/// What begins stands out, and so does what falls; the rest is plain.
fn colour(verdict: Verdict) -> Option<Color> {
    match verdict {
        Verdict::Emergent | Verdict::BreakthroughFromPlateau => Some(Color::Green),
        Verdict::EmergentLastPoint => Some(Color::Yellow),
        Verdict::Inverse | Verdict::UShaped => Some(Color::Magenta),
        Verdict::Inconclusive => Some(Color::Red),
        Verdict::Unresolved => Some(Color::DarkGrey),
        Verdict::Smooth | Verdict::AboveChance | Verdict::Flat => None,
    }
}

/// A table under a title, unless it is empty.
fn titled<const N: usize>(title: &str, header: &[&str; N], cells: Vec<[String; N]>) {
    if cells.is_empty() {
        return;
    }
    let mut rows = table(header);
    for row in cells {
        rows.add_row(row);
    }
    println!("{title}\n{rows}\n");
}

/// The verdict table: one line per task and prompt, the all-or-nothing metric with the continuous one beside it. What pairs
/// of items show stands before it where sizes are few, and behind it otherwise.
pub(super) fn analysis(manifest: &RunManifest, analysis: &Analysis, global: &Global) {
    if global.json {
        println!("{}", json!(analysis));
        return;
    }
    let (is_lead, baselines) = (pairs_lead(analysis), baseline_rows(manifest, analysis));
    let title = "Prompts against their baselines, paired:";
    if is_lead {
        titled(title, &BASELINE_HEADER, baselines.clone());
        titled("Each size against the next smaller, paired:", &SIZES_HEADER, size_rows(manifest, analysis));
        println!("{MARKS}\n\nVerdicts on the curves:");
    }
    let mut rows = table(&VERDICT_HEADER);
    for row in verdict_rows(manifest, analysis) {
        let colour = colour(row.verdict);
        rows.add_row(row.cells().into_iter().enumerate().map(|(column, text)| match colour {
            Some(colour) if column == VERDICT_COLUMN => Cell::new(text).fg(colour),
            _ => Cell::new(text),
        }));
    }
    println!("{rows}");
    warn(analysis);
    if !is_lead && !baselines.is_empty() {
        println!("");
        titled(title, &BASELINE_HEADER, baselines);
        println!("{MARKS}");
    }
    let collapses = collapse_rows(analysis);
    if !collapses.is_empty() {
        println!("\n{COLLAPSE}:");
    }
    for (of, words) in collapses {
        println!("{of}: {words}");
    }
    for refusal in &analysis.refused {
        println!("left out: {} with {}: {}", refusal.task, refusal.prompt, refusal.reason);
    }
}

/// Says what verdicts are only as good as: replies that were cut, and chance levels that the data contradict.
fn warn(analysis: &Analysis) {
    let chance = analysis.curves.iter().filter(|curve| curve.discontinuous).filter_map(|curve| {
        let evidence = curve.evidence.iter().find(|evidence| evidence.part == "chance")?;
        let parts = [&curve.task, &curve.prompt, &curve.family].map(String::as_str);
        let name: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Some((name.join("/"), evidence.words.clone()))
    });
    let warnings: Vec<(String, String)> = warning_rows(analysis).into_iter().chain(chance).collect();
    for (about, words) in warnings.iter().take(SHOWN_WARNINGS) {
        println!("warning: {about}: {words}");
    }
    let more = warnings.len().saturating_sub(SHOWN_WARNINGS);
    if more > 0 {
        println!("and {more} more warnings; the report has all");
    }
}

#[expect(clippy::too_many_arguments, reason = "all that a run left")]
pub(super) fn summary(
    plan: &Plan,
    planned: usize,
    manifest: &RunManifest,
    summary: &Summary,
    spending: &Spending,
    found: &Analysis,
    elapsed: Duration,
    out: &Path,
    global: &Global,
) {
    let directory = out.join(&plan.run);
    let count = |outcome: Outcome| summary.outcomes.get(&outcome).copied().unwrap_or_default();
    let records: usize = summary.outcomes.values().sum();
    if global.json {
        let outcomes: serde_json::Map<String, serde_json::Value> =
            Outcome::ALL.iter().map(|&outcome| (outcome.name().to_owned(), json!(count(outcome)))).collect();
        println!(
            "{}",
            json!({
                "run": plan.run, "planned": planned, "records": records, "requests": summary.requests,
                "outcomes": outcomes, "incomplete": summary.incomplete, "interrupted": summary.interrupted,
                "unusable": summary.unusable, "spent_usd": (!plan.prices.is_empty()).then(|| spending.spent().usd),
                "over_budget": spending.used_up().is_some(), "seconds": elapsed.as_secs_f64(),
                "directory": directory.display().to_string(), "analysis": found,
            })
        );
        return;
    }
    analysis(manifest, found, global);
    let parts: Vec<String> = Outcome::ALL.iter().map(|&outcome| format!("{} {}", count(outcome), outcome.name())).collect();
    println!(
        "\n{records} of {planned} records ({}); {} requests sent in {:.1} s",
        parts.join(", "),
        summary.requests,
        elapsed.as_secs_f64()
    );
    for (endpoint, reason) in &summary.unusable {
        println!("{endpoint} cannot be used: {reason}");
    }
    if !plan.prices.is_empty() {
        let spent = spending.spent();
        let unknown = match spent.unknown {
            0 => String::new(),
            count => format!(
                ", of which {:.4} USD is the worst case of {count} requests of which no whole reply came back",
                spent.unknown_usd
            ),
        };
        println!("the run has cost {:.4} USD by the prices of the configuration{unknown}", spent.usd);
    }
    if let Some(budget) = spending.used_up() {
        println!("the budget of {budget} USD has no room for more: the results are partial, and a larger --budget goes on");
    }
    if summary.incomplete > 0 {
        println!("{} records lack a log-probability: --retry-failed asks for it again", summary.incomplete);
    }
    if records < planned {
        println!("{} records are still to be done: run the same command again to go on", planned - records);
    } else if count(Outcome::Failed) > 0 {
        println!("{} records failed: --retry-failed asks them again", count(Outcome::Failed));
    }
    println!("report: {}", directory.join("report.html").display());
}

/// Why records failed or lack something: the most frequent reasons, each with a record to look at. On stderr, beside the result.
pub(super) fn reasons(store: &Store, run: &str, global: &Global) -> Result<(), StoreError> {
    if global.quiet {
        return Ok(());
    }
    let (complaints, all) = store.complaints(run, SHOWN_REASONS)?;
    for Complaint { reason, records, example } in &complaints {
        eprintln!("{records} records: {reason}\n  onset show {example}");
    }
    if all > complaints.len() {
        eprintln!("and {} other reasons", all - complaints.len());
    }
    Ok(())
}

pub(super) fn scored(rebuilt: usize, absent: usize, manifest: &RunManifest, found: &Analysis, global: &Global) {
    analysis(manifest, found, global);
    if !global.json {
        println!("\n{rebuilt} records rebuilt without a request; {absent} need replies that `onset run` would ask for");
    }
}

pub(super) fn written(directory: &Path, global: &Global) {
    if global.json {
        println!("{}", json!({ "directory": directory.display().to_string() }));
    } else {
        println!("report: {}", directory.join("report.html").display());
    }
}
