//! `onset simulate`: what the analyzer says of curves whose truth is known.

use clap::Args;
use serde_json::json;

use super::diagnose::Problem;
use super::print::{eprintln, println};
use super::{Global, exit, output};
use crate::analysis::{Cell, ForecastCell, Setting, Truth, simulate, simulate_forecasts};
use crate::stats::area_under_curve;

/// What is simulated.
#[derive(Debug, Clone, Args)]
pub(super) struct Grid {
    /// Curves per cell, over chance levels of 0, .25 and .5 in turn.
    #[arg(long, default_value_t = 60)]
    curves: usize,
    /// Numbers of models.
    #[arg(long, value_delimiter = ',', default_value = "6,8,12,30")]
    models: Vec<usize>,
    /// Items per model.
    #[arg(long, value_delimiter = ',', default_value = "50,200,1000")]
    items: Vec<usize>,
    /// Standard deviation of a model's shift along the axis, in decades.
    #[arg(long, default_value_t = 0.15)]
    shift: f64,
    /// Families that are pooled.
    #[arg(long, default_value_t = 1)]
    families: usize,
    /// Simulate forecasts of the last decade in place of verdicts.
    #[arg(long)]
    forecasts: bool,
    /// Only true curves whose name begins so.
    #[arg(long)]
    truth: Option<String>,
}

pub(super) fn run(grid: &Grid, global: &Global) -> Result<u8, Problem> {
    let names = Truth::ALL.map(Truth::name);
    let truths: Vec<Truth> = Truth::ALL
        .into_iter()
        .filter(|truth| grid.truth.as_ref().is_none_or(|name| truth.name().starts_with(name)))
        .collect();
    if truths.is_empty() {
        let name = grid.truth.clone().unwrap_or_default();
        return Err(Problem::with_help(format!("no true curve `{name}`"), &crate::config::suggestion(&name, &names)));
    }
    if grid.models.iter().any(|models| *models < 3) || grid.families == 0 || grid.curves == 0 || grid.items.contains(&0) {
        return Err(Problem::other("a simulation needs curves, items, a family and at least three models"));
    }
    if grid.forecasts {
        return Ok(forecasts(grid, &truths, global));
    }
    let mut cells = Vec::new();
    for &truth in &truths {
        for &models in &grid.models {
            for &items in &grid.items {
                let Grid { shift, families, curves, .. } = *grid;
                cells.push(simulate(Setting { truth, models, items, shift, families }, curves));
                if !global.quiet {
                    eprintln!("{} with {models} models of {items} items", truth.name());
                }
            }
        }
    }
    if global.json {
        println!("{}", json!({ "cells": cells, "auc": auc(&cells) }));
        return Ok(exit::DONE);
    }
    let mut header: Vec<String> = vec!["true curve".to_owned(), "emerges".to_owned()];
    for models in &grid.models {
        header.extend(grid.items.iter().map(|items| format!("N={models} n={items}")));
    }
    header.extend(["mean", "knee error", "coverage", "most frequent verdicts"].map(str::to_owned));
    let mut rows = output::table(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for &truth in &truths {
        let own: Vec<&Cell> = cells.iter().filter(|cell| cell.setting.truth == truth).collect();
        let mean = own.iter().map(|cell| cell.emergent).sum::<f64>() / own.len() as f64;
        let mut row = vec![truth.name().to_owned(), if truth.is_emergent() { "yes" } else { "no" }.to_owned()];
        row.extend(own.iter().map(|cell| format!("{:.3}", cell.emergent)));
        let weighted = |value: fn(&Cell) -> Option<f64>| {
            let known: Vec<(f64, f64)> =
                own.iter().filter_map(|cell| Some((value(cell)?, cell.emergent * cell.curves as f64))).collect();
            let weight: f64 = known.iter().map(|(_, weight)| weight).sum();
            if weight > 0.0 {
                format!("{:.3}", known.iter().map(|(value, weight)| value * weight).sum::<f64>() / weight)
            } else {
                String::new()
            }
        };
        row.extend([format!("{mean:.3}"), weighted(|cell| cell.knee_error), weighted(|cell| cell.coverage), frequent(&own)]);
        rows.add_row(row);
    }
    println!("{rows}");
    if let Some(auc) = auc(&cells) {
        println!("AUC of emergence, curves that emerge against those that do not: {auc:.3}");
    }
    Ok(exit::DONE)
}

/// Per true curve, how often the 90 % intervals hold the score and how far off the forecasts are.
fn forecasts(grid: &Grid, truths: &[Truth], global: &Global) -> u8 {
    let Grid { shift, families, curves, .. } = *grid;
    let mut cells = Vec::new();
    for &truth in truths {
        for &models in &grid.models {
            for &items in &grid.items {
                cells.push(simulate_forecasts(Setting { truth, models, items, shift, families }, curves));
            }
        }
        if !global.quiet {
            eprintln!("{}", truth.name());
        }
    }
    let mean = |own: &[&ForecastCell], value: fn(&ForecastCell) -> f64| {
        let n: usize = own.iter().map(|cell| cell.n).sum();
        own.iter().map(|cell| value(cell) * cell.n as f64).sum::<f64>() / n as f64
    };
    let all: Vec<&ForecastCell> = cells.iter().collect();
    if global.json {
        println!("{}", json!({ "cells": cells, "coverage": mean(&all, |cell| cell.coverage) }));
        return exit::DONE;
    }
    let mut rows =
        output::table(&["true curve", "models foretold", "in 90 % interval", "its width", "error, points", "of last value"]);
    let mut add = |name: &str, own: &[&ForecastCell]| {
        let n: usize = own.iter().map(|cell| cell.n).sum();
        let coverage = format!("{:.3}", mean(own, |cell| cell.coverage));
        let others =
            [|cell: &ForecastCell| cell.width, |cell: &ForecastCell| cell.error, |cell: &ForecastCell| cell.error_of_last];
        let mut row = vec![name.to_owned(), n.to_string(), coverage];
        row.extend(others.map(|value| format!("{:.1}", mean(own, value))));
        rows.add_row(row);
    };
    for &truth in truths {
        let own: Vec<&ForecastCell> = cells.iter().filter(|cell| cell.setting.truth == truth).collect();
        add(truth.name(), &own);
    }
    add("all", &all);
    println!("{rows}");
    exit::DONE
}

fn frequent(cells: &[&Cell]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for (name, count) in cells.iter().flat_map(|cell| &cell.verdicts) {
        match counts.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += count,
            None => counts.push((name, *count)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    let words = counts.iter().take(3).map(|(name, count)| format!("{name} {:.2}", *count as f64 / total as f64));
    words.collect::<Vec<_>>().join(", ")
}

/// How well the strength of the evidence tells curves that emerge from those that do not.
fn auc(cells: &[Cell]) -> Option<f64> {
    let of = |is_emergent: bool| -> Vec<f64> {
        let own = cells.iter().filter(|cell| cell.setting.truth.is_emergent() == is_emergent);
        own.flat_map(|cell| cell.emergence.iter().copied()).collect()
    };
    area_under_curve(&of(true), &of(false))
}
