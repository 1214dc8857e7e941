//! The page: one file, without scripts or anything to load.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::schema::{Analysis, Curve, Order, Point, RunManifest, Verdict};

use super::format::{self, escape};
use super::headline::headline;
use super::paired::{BASELINE_HEADER, Lead, MARKS, SIZES_HEADER, baseline_row, baseline_rows, draw, lead, shown, size_rows};
use super::view::{TaskView, VERDICT_HEADER, WARNINGS, collapse_rows, drawings, onset, verdict_rows, warning_rows};
use super::{COLLAPSE, style, svg};

/// The whole page.
pub(super) fn report(manifest: &RunManifest, analysis: &Analysis, tasks: &[TaskView<'_>]) -> String {
    let headline = headline(manifest, analysis, tasks);
    let lead = lead(analysis, tasks);
    let title = lead.as_ref().map_or(&headline.title, |lead| &lead.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{}</title><style>{}{}</style></head><body><main>\n",
        escape(title),
        style::variables(),
        style::PAGE
    );
    // Writing to a string cannot fail.
    let of = match manifest.started.as_str() {
        "" => format!("Published scores: {}", manifest.run),
        started => format!("Run {} · {started}", manifest.run),
    };
    let _ = writeln!(out, "<p class=\"eyebrow\">{}</p><h1>{}</h1>", escape(&of), escape(title));
    if let Some(Lead { findings: pairs, .. }) = &lead {
        findings(&mut out, pairs);
        let _ = writeln!(out, "<p class=\"muted\">{}</p>", escape(&headline.about));
        paired_tables(&mut out, manifest, analysis, true);
        let _ = writeln!(out, "<h2>Verdicts on the curves</h2><p>{}.</p>", escape(&headline.title));
    }
    if !analysis.warnings.is_empty() {
        let _ = writeln!(out, "<h2>{WARNINGS}</h2>");
        findings(&mut out, &warning_rows(analysis));
    }
    findings(&mut out, &headline.findings);
    if !headline.rest.is_empty() {
        let _ = write!(out, "<p>Not seen to emerge – {}.</p>", escape(&headline.rest));
    }
    if lead.is_none() {
        let _ = writeln!(out, "<p class=\"muted\">{}</p>", escape(&headline.about));
    }
    verdict_table(&mut out, manifest, analysis, tasks);
    if lead.is_none() {
        paired_tables(&mut out, manifest, analysis, false);
    }
    let collapses = collapse_rows(analysis);
    if !collapses.is_empty() {
        let _ = writeln!(out, "<h2>{COLLAPSE}</h2>");
        findings(&mut out, &collapses);
    }
    for view in tasks {
        section(&mut out, view);
    }
    footer(&mut out, manifest, analysis);
    out.push_str("</main></body></html>\n");
    out
}

fn findings(out: &mut String, findings: &[(String, String)]) {
    if findings.is_empty() {
        return;
    }
    out.push_str("<ul class=\"findings\">");
    for (task, words) in findings {
        let _ = write!(out, "<li><strong>{}</strong> {}</li>", escape(task), escape(words));
    }
    out.push_str("</ul>\n");
}

/// Prompts against their baselines and sizes against the next smaller, over all tasks; folded away where verdicts lead.
fn paired_tables(out: &mut String, manifest: &RunManifest, analysis: &Analysis, is_open: bool) {
    let mut folded = |title: &str, header: &[&str], rows: &[Vec<String>]| {
        if rows.is_empty() {
            return;
        }
        let open = if is_open { " open" } else { "" };
        let _ = write!(out, "<details{open}><summary>{title}</summary><p class=\"lead-note\">{MARKS}</p>");
        table(out, header, rows);
        out.push_str("</details>\n");
    };
    let rows: Vec<Vec<String>> = baseline_rows(manifest, analysis).into_iter().map(Vec::from).collect();
    folded("Prompts against their baselines, paired", &BASELINE_HEADER, &rows);
    let rows: Vec<Vec<String>> = size_rows(manifest, analysis).into_iter().map(Vec::from).collect();
    folded("Each size against the next smaller, paired", &SIZES_HEADER, &rows);
}

fn table(out: &mut String, header: &[&str], rows: &[Vec<String>]) {
    out.push_str("<div class=\"scroll pairs\"><table><thead><tr>");
    for title in header {
        let _ = write!(out, "<th>{title}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        let cells: String = row.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        let _ = writeln!(out, "<tr>{cells}</tr>");
    }
    out.push_str("</tbody></table></div>\n");
}

fn badge(verdict: Verdict) -> String {
    let class = match verdict {
        Verdict::Emergent => "badge yes",
        Verdict::EmergentLastPoint => "badge maybe",
        _ => "badge",
    };
    format!("<span class=\"{class}\">{}</span>", format::verdict(verdict))
}

fn verdict_table(out: &mut String, manifest: &RunManifest, analysis: &Analysis, tasks: &[TaskView<'_>]) {
    out.push_str("<div class=\"scroll\"><table><thead><tr>");
    for title in VERDICT_HEADER {
        let _ = write!(out, "<th>{title}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in verdict_rows(manifest, analysis) {
        let cells = row.cells();
        out.push_str("<tr>");
        for (column, cell) in cells.iter().enumerate() {
            let _ = match column {
                0 => {
                    let file = tasks.iter().find(|view| view.task.name == row.task).map_or("", |view| &view.file);
                    write!(out, "<td><a href=\"#{file}\" style=\"color:inherit\">{}</a></td>", escape(cell))
                }
                2 => write!(out, "<td>{}</td>", badge(row.verdict)),
                _ => write!(out, "<td>{}</td>", escape(cell)),
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

/// Why the lower plot can fall where the upper one rests at chance.
const TRANSCRIPT_NOTE: &str = " Where a model works in steps or calls a tool, the continuous metric follows its own transcript: a \
     small model that is sure of a wrong transcript scores lower than one that guesses, so such a line may fall before it rises.";

/// What the drawings beside the plot are called.
pub(super) const PANELS: &str = "Linear and logarithmic scales, score and error rate";
pub(super) const SLICES: &str = "Easy, middle and hard items, apart";

fn section(out: &mut String, view: &TaskView<'_>) {
    let drawings = drawings(view);
    let drawn = |part: &str| {
        drawings.iter().find(|(own, _)| *own == part).map_or_else(String::new, |(_, drawing)| svg::inline(drawing))
    };
    let _ = writeln!(
        out,
        "<section id=\"{}\"><h2>{}</h2><p class=\"muted\">{}</p><div class=\"task\"><figure>{}{}<figcaption>Bars are 95 % \
         intervals; lines of different prompts are set slightly apart. The numbers are below.{}</figcaption>{}</figure><div>",
        view.file,
        escape(&view.task.name),
        escape(&view.task.about),
        drawn(""),
        drawn(".training"),
        if view.continuous().next().is_some() { TRANSCRIPT_NOTE } else { "" },
        [(PANELS, ".panels"), (SLICES, ".difficulty")]
            .map(|(summary, part)| (summary, drawn(part)))
            .into_iter()
            .filter(|(_, drawing)| !drawing.is_empty())
            .map(|(summary, drawing)| format!("<details><summary>{summary}</summary>{drawing}</details>"))
            .collect::<String>()
    );
    for order in &view.orders {
        let _ = write!(out, "<p>{}</p>", escape(&order_words(view, order)));
    }
    for curve in view.main() {
        card(out, view, curve);
    }
    out.push_str("</div></div>\n");
    against(out, view);
    for curve in view.curves.iter().filter(|curve| !curve.discontinuous) {
        let words: Vec<&str> = curve.evidence.iter().map(|evidence| evidence.words.as_str()).collect();
        let _ = write!(
            out,
            "<p class=\"also\"><strong>{}</strong> with {}: {} – {}</p>",
            escape(&curve.metric),
            escape(&view.label(&curve.prompt, &curve.family)),
            format::verdict(curve.verdict),
            escape(&words.join("; "))
        );
    }
    numbers(out, view);
    out.push_str("</section>\n");
}

/// The prompts of a task against their baselines: a small plot of the differences each, and the other pairs in words.
fn against(out: &mut String, view: &TaskView<'_>) {
    let shown = shown(view);
    if shown.is_empty() {
        return;
    }
    out.push_str("<h3>Against the baseline, item by item</h3><div class=\"scroll\"><table><thead><tr>");
    for title in BASELINE_HEADER.iter().skip(1) {
        let _ = write!(out, "<th>{title}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for one in &shown {
        out.push_str("<tr>");
        for (title, cell) in BASELINE_HEADER.iter().zip(baseline_row(view, one)).skip(1) {
            let _ = match *title {
                "by size" => write!(out, "<td>{}</td>", svg::inline(&draw(one))),
                _ => write!(out, "<td>{}</td>", escape(&cell)),
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    let is_shown = |kind| shown.iter().any(|one| one.kind == kind);
    let rest: Vec<_> = view.comparisons.iter().filter(|one| !is_shown(one.kind)).collect();
    out.push_str("<details><summary>Other pairs of prompts, and each size against the next smaller</summary><ul>");
    for one in rest {
        let family = if view.many_families { format!(" ({})", one.family) } else { String::new() };
        let _ = write!(out, "<li>{}{}</li>", escape(&one.words), escape(&family));
    }
    out.push_str("</ul></details>\n");
}

/// The prompts of a task in the order in which they begin to work, as a sentence.
pub(super) fn order_words(view: &TaskView<'_>, order: &Order) -> String {
    let axis = view.main().find(|curve| curve.family == order.family).map_or("flops", |curve| curve.axis.as_str());
    let prompts: Vec<String> = order
        .prompts
        .iter()
        .map(|(prompt, above)| {
            let name = view.label(prompt, &order.family);
            above.map_or_else(
                || format!("{name} (not seen)"),
                |x| format!("{name} ({} {})", format::scale(axis, x), format::unit(axis)),
            )
        })
        .collect();
    format!("First above chance: {}.", prompts.join(", then "))
}

fn card(out: &mut String, view: &TaskView<'_>, curve: &Curve) {
    let _ = write!(
        out,
        "<div class=\"card\"><header><h3>{}</h3>{}<span class=\"muted\">{}</span></header><ul>",
        escape(&view.label(&curve.prompt, &curve.family)),
        badge(curve.verdict),
        escape(&summary(curve))
    );
    for evidence in &curve.evidence {
        let _ = write!(out, "<li>{}</li>", escape(&evidence.words));
    }
    out.push_str("</ul></div>\n");
}

/// The numbers beside a verdict: where it begins, the strength of the evidence, p and q, in one line.
pub(super) fn summary(curve: &Curve) -> String {
    let mut parts = Vec::new();
    if curve.onset.above.is_some() {
        parts.push(format!("onset {}", onset(curve)));
    }
    if curve.emergence > 0.0 {
        parts.push(format!("strength {:.2}", curve.emergence));
    }
    if let (Some(p), Some(q)) = (curve.p_value, curve.q_value)
        && curve.emergence > 0.0
    {
        parts.push(format!("p {}, q {}", format::p(p), format::p(q)));
    }
    parts.join(" · ")
}

fn numbers(out: &mut String, view: &TaskView<'_>) {
    out.push_str("<details><summary>Numbers of every point</summary><div class=\"scroll\"><table><thead><tr>");
    for title in POINT_HEADER {
        let _ = write!(out, "<th>{title}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in point_rows(view) {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td>{}</td>", escape(&cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div></details>\n");
}

/// The columns of a task's numbers.
pub(super) const POINT_HEADER: [&str; 14] = [
    "prompt",
    "metric",
    "model",
    "scale",
    "score",
    "95 % interval",
    "n",
    "bounds",
    "answered",
    "unparsed",
    "truncated",
    "refused",
    "failed",
    "missing",
];

/// The bounds that unscored records leave, and the interval of a mean between them.
fn whole(point: &Point) -> String {
    let numbers = (point.bound_low, point.bound_high, point.whole_low, point.whole_high);
    let (Some(low), Some(high), Some(least), Some(most)) = numbers else { return format::NONE.to_owned() };
    let [low, high, least, most] = [low, high, least, most].map(format::score);
    format!("{low} … {high} [{least}, {most}]")
}

/// The numbers of every point of a task.
pub(super) fn point_rows(view: &TaskView<'_>) -> Vec<[String; 14]> {
    let pair = |low: Option<f64>, high: Option<f64>| match (low, high) {
        (Some(low), Some(high)) => format!("{} … {}", format::score(low), format::score(high)),
        _ => format::NONE.to_owned(),
    };
    let curves = view.curves.iter();
    curves
        .flat_map(|curve| curve.points.iter().map(move |point| (curve, point)))
        .map(|(curve, point)| {
            [
                view.label(&curve.prompt, &curve.family),
                curve.metric.clone(),
                point.model.clone(),
                format::scale(&curve.axis, point.x),
                format::maybe(point.score, format::score),
                pair(point.low, point.high),
                point.n.to_string(),
                whole(point),
                point.answered.to_string(),
                point.unparsed.to_string(),
                point.truncated.to_string(),
                point.refused.to_string(),
                point.failed.to_string(),
                point.missing.to_string(),
            ]
        })
        .collect()
}

fn footer(out: &mut String, manifest: &RunManifest, analysis: &Analysis) {
    out.push_str(
        "<section><h2>How to read this</h2><p class=\"muted\">Verdicts are on the all-or-nothing metric. \
                  An onset is given as the last model not above chance and the first one above it. Prompts and sizes are compared item by item: \
                  McNemar\'s exact test, Tango\'s interval.</p><dl>",
    );
    let seen: BTreeSet<&str> = analysis.curves.iter().map(|curve| curve.verdict.name()).collect();
    for name in seen {
        if let Some(curve) = analysis.curves.iter().find(|curve| curve.verdict.name() == name) {
            let (word, meaning) = (format::verdict(curve.verdict), format::meaning(curve.verdict));
            let _ = write!(out, "<dt>{word}</dt><dd>{meaning}</dd>");
        }
    }
    out.push_str("</dl>");
    if !analysis.refused.is_empty() {
        out.push_str("<p>Left out:</p><ul>");
        for refusal in &analysis.refused {
            let (task, prompt, reason) = (escape(&refusal.task), escape(&refusal.prompt), escape(&refusal.reason));
            let _ = write!(out, "<li>{task} with {prompt}: {reason}</li>");
        }
        out.push_str("</ul>");
    }
    let _ = writeln!(out, "<p class=\"muted\">{}</p></section>", escape(&format::origin(manifest).join(" · ")));
}
