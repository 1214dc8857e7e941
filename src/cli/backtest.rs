//! `onset backtest`: how well smaller models would have foretold the larger ones, and what all of them say of ten times the largest.

use std::path::Path;

use serde_json::json;

use super::diagnose::Problem;
use super::print::println;
use super::{Global, exit, output, report};
use crate::analysis::{Accuracy, Axis, Backtest, backtest};
use crate::schema::{Analysis, RunManifest};

/// Projections that are printed; all are in the document that `--json` prints.
const SHOWN: usize = 40;

pub(super) fn run(what: Option<&str>, axis: Option<&str>, pool: bool, out: &Path, global: &Global) -> Result<u8, Problem> {
    let (manifest, analysis): (RunManifest, Analysis) = match what.filter(|what| report::is_file(what)) {
        Some(file) => report::of_file(Path::new(file), axis, pool, global)?,
        None => {
            let (store, manifest) = report::find(what, out)?;
            let axis = axis.map(report::named).transpose()?;
            let analysis = report::analyse(&store, &manifest, axis)?;
            (manifest, analysis)
        }
    };
    let found = backtest(&manifest, &analysis);
    if found.predictions.is_empty() && found.projections.is_empty() {
        return Err(Problem::other(
            "nothing can be foretold: a forecast needs four sizes to learn from and a metric with a chance level",
        ));
    }
    if global.json {
        println!("{}", json!(found));
    } else {
        print(&found);
    }
    Ok(exit::DONE)
}

fn print(found: &Backtest) {
    let mut rows = output::table(&[
        "predictions",
        "method",
        "models",
        "tasks",
        "refused",
        "mean error, points",
        "in 90 % interval",
        "its width",
    ]);
    for one in &found.accuracy {
        rows.add_row(row(one));
    }
    println!("Larger models that were run, foretold from smaller ones:\n{rows}\n");
    if found.projections.is_empty() {
        return;
    }
    let mut rows = output::table(&["task", "prompt", "at the largest", "projected", "90 % interval"]);
    for one in found.projections.iter().take(SHOWN) {
        let place = |x: f64| Axis::named(&one.axis).map_or_else(|| x.to_string(), |axis| axis.text(x));
        let prompt = [one.prompt.as_str(), one.family.as_str()].into_iter().filter(|word| !word.is_empty());
        rows.add_row([
            one.task.clone(),
            prompt.collect::<Vec<_>>().join(", "),
            format!("{:.3} at {}", one.largest, place(one.from)),
            format!("{:.3} at {}", one.projected.score, place(one.x)),
            format!("{:.3} to {:.3}", one.projected.low, one.projected.high),
        ]);
    }
    println!("Projections, a decade beyond the largest model; no such model was run:\n{rows}");
    if found.projections.len() > SHOWN {
        println!("and {} more (--json has all)", found.projections.len() - SHOWN);
    }
}

fn row(one: &Accuracy) -> [String; 9] {
    let interval = |interval: Option<[f64; 2]>, digits: usize| {
        interval.map_or_else(String::new, |[low, high]| format!(" [{low:.digits$}, {high:.digits$}]"))
    };
    let number = |value: Option<f64>, digits: usize| value.map_or_else(String::new, |value| format!("{value:.digits$}"));
    [
        one.ahead.clone(),
        one.method.name().to_owned(),
        one.n.to_string(),
        one.tasks.to_string(),
        one.refused.to_string(),
        format!("{}{}", number(one.error, 1), interval(one.interval, 1)),
        number(one.error_of_curves, 1),
        format!("{}{}", number(one.coverage, 2), interval(one.coverage_interval, 2)),
        number(one.width, 1),
    ]
}
