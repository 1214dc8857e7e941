//! The report as Markdown, for reading in a terminal or a pull request.

use std::fmt::Write;

use crate::schema::{Analysis, RunManifest};

use super::format::{self, markdown};
use super::headline::headline;
use super::html::{POINT_HEADER, order_words, point_rows, summary};
use super::view::{TaskView, VERDICT_HEADER, verdict_rows};

/// The whole report.
pub(super) fn report(manifest: &RunManifest, analysis: &Analysis, tasks: &[TaskView<'_>]) -> String {
    let headline = headline(manifest, analysis, tasks);
    let mut out = format!("# {}\n\n", markdown(&headline.title));
    // Writing to a string cannot fail.
    for (task, words) in &headline.findings {
        let _ = writeln!(out, "- **{}** {}", markdown(task), markdown(words));
    }
    if !headline.rest.is_empty() {
        let _ = writeln!(out, "\nWithout emergence: {}.", markdown(&headline.rest));
    }
    let _ = writeln!(out, "\n{}\n", markdown(&headline.about));
    let rows: Vec<_> = verdict_rows(manifest, analysis).iter().map(super::VerdictRow::cells).collect();
    table(&mut out, &VERDICT_HEADER, &rows);
    for view in tasks {
        section(&mut out, view);
    }
    for refusal in &analysis.refused {
        let (task, prompt, reason) = (markdown(&refusal.task), markdown(&refusal.prompt), markdown(&refusal.reason));
        let _ = writeln!(out, "Not asked: {task} with {prompt}: {reason}\n");
    }
    let _ = writeln!(
        out,
        "onset {}, run {}, begun {}, seed {}, {} samples per task",
        markdown(&manifest.program),
        markdown(&manifest.run),
        markdown(&manifest.started),
        manifest.seed,
        manifest.samples
    );
    out
}

fn section(out: &mut String, view: &TaskView<'_>) {
    let name = markdown(&view.task.name);
    let _ = writeln!(out, "## {name}\n\n{}\n\n![{name}](plots/{}.svg)\n", markdown(&view.task.about), view.file);
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
