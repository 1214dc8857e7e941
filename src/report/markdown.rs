//! The report as Markdown, for reading in a terminal or a pull request.

use std::fmt::Write;

use crate::schema::{Analysis, ComparisonKind, RunManifest};

use super::COLLAPSE;
use super::format::{self, markdown};
use super::headline::headline;
use super::html::{PANELS, POINT_HEADER, SLICES, order_words, point_rows, summary};
use super::paired::{BASELINE_HEADER, MARKS, SIZES_HEADER, baseline_row, baseline_rows, lead, shown, size_rows};
use super::view::{TaskView, VERDICT_HEADER, WARNINGS, collapse_rows, drawings, verdict_rows, warning_rows};

/// The whole report.
pub(super) fn report(manifest: &RunManifest, analysis: &Analysis, tasks: &[TaskView<'_>]) -> String {
    let headline = headline(manifest, analysis, tasks);
    let lead = lead(analysis, tasks);
    let mut out = format!("# {}\n\n", markdown(lead.as_ref().map_or(&headline.title, |lead| &lead.title)));
    let findings = |out: &mut String, findings: &[(String, String)]| {
        for (task, words) in findings {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "- **{}** {}", markdown(task), markdown(words));
        }
    };
    if let Some(lead) = &lead {
        findings(&mut out, &lead.findings);
        let _ = writeln!(out, "\n{}\n", markdown(&headline.about));
        paired_tables(&mut out, manifest, analysis);
        let _ = writeln!(out, "## Verdicts on the curves\n\n{}.\n", markdown(&headline.title));
    }
    if !analysis.warnings.is_empty() {
        let _ = writeln!(out, "## {WARNINGS}\n");
        findings(&mut out, &warning_rows(analysis));
        out.push('\n');
    }
    findings(&mut out, &headline.findings);
    if !headline.rest.is_empty() {
        let _ = writeln!(out, "\nNot seen to emerge: {}.", markdown(&headline.rest));
    }
    if lead.is_none() {
        let _ = writeln!(out, "\n{}", markdown(&headline.about));
    }
    out.push('\n');
    let rows: Vec<_> = verdict_rows(manifest, analysis).iter().map(super::VerdictRow::cells).collect();
    table(&mut out, &VERDICT_HEADER, &rows);
    if lead.is_none() {
        paired_tables(&mut out, manifest, analysis);
    }
    let collapses = collapse_rows(analysis);
    if !collapses.is_empty() {
        let _ = writeln!(out, "## {COLLAPSE}\n");
        findings(&mut out, &collapses);
        out.push('\n');
    }
    for view in tasks {
        section(&mut out, view);
    }
    for refusal in &analysis.refused {
        let (task, prompt, reason) = (markdown(&refusal.task), markdown(&refusal.prompt), markdown(&refusal.reason));
        let _ = writeln!(out, "Left out: {task} with {prompt}: {reason}\n");
    }
    let _ = writeln!(out, "{}", markdown(&format::origin(manifest).join(", ")));
    out
}

/// Prompts against their baselines and sizes against the next smaller, over all tasks.
fn paired_tables(out: &mut String, manifest: &RunManifest, analysis: &Analysis) {
    let (baselines, sizes) = (baseline_rows(manifest, analysis), size_rows(manifest, analysis));
    if !baselines.is_empty() {
        let _ = writeln!(out, "## Prompts against their baselines, paired\n");
        table(out, &BASELINE_HEADER, &baselines);
    }
    if !sizes.is_empty() {
        let _ = writeln!(out, "## Each size against the next smaller, paired\n");
        table(out, &SIZES_HEADER, &sizes);
        let _ = writeln!(out, "{}\n", markdown(MARKS));
    }
}

fn section(out: &mut String, view: &TaskView<'_>) {
    let name = markdown(&view.task.name);
    let _ = writeln!(out, "## {name}\n\n{}\n", markdown(&view.task.about));
    for (part, _) in drawings(view) {
        let file = format!("plots/{}{part}.svg", view.file);
        let _ = match part {
            ".panels" => writeln!(out, "[{PANELS}]({file})\n"),
            ".difficulty" => writeln!(out, "[{SLICES}]({file})\n"),
            _ => writeln!(out, "![{name}]({file})\n"),
        };
    }
    for order in &view.orders {
        let _ = writeln!(out, "{}\n", markdown(&order_words(view, order)));
    }
    for curve in &view.curves {
        let label = view.label(&curve.prompt, &curve.family);
        let (label, metric) = (markdown(&label), markdown(&curve.metric));
        let _ = writeln!(out, "**{label}, {metric}: {}** {}\n", format::verdict(curve.verdict), summary(curve));
        for evidence in &curve.evidence {
            let _ = writeln!(out, "- {}", markdown(&evidence.words));
        }
        out.push('\n');
    }
    let against = shown(view);
    if !against.is_empty() {
        let _ = writeln!(out, "**Against the baseline, item by item**\n");
        let rows: Vec<_> = against.iter().map(|one| baseline_row(view, one)).collect();
        table(out, &BASELINE_HEADER, &rows);
        for one in view.comparisons.iter().filter(|one| one.kind == ComparisonKind::Prompts) {
            let _ = writeln!(out, "- {}", markdown(&one.words));
        }
        out.push('\n');
    }
    table(out, &POINT_HEADER, &point_rows(view));
}

fn table<const N: usize>(out: &mut String, header: &[&str; N], rows: &[[String; N]]) {
    let _ = writeln!(out, "| {} |\n|{}", header.join(" | "), "---|".repeat(N));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| markdown(cell)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out.push('\n');
}
