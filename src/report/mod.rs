//! Reports of an analysis: files as bytes, and the rows of the terminal's table. Nothing here touches a disk.

mod csv;
mod format;
mod headline;
mod html;
mod markdown;
mod paired;
mod panels;
mod plot;
mod png;
mod slices;
mod style;
mod svg;
mod view;

use rayon::prelude::*;

use crate::schema::{Analysis, RunManifest};

pub use paired::{BASELINE_HEADER, MARKS, SIZES_HEADER, baseline_rows, pairs_lead, size_rows};
pub use view::{VERDICT_HEADER, VerdictRow, collapse_rows, verdict_rows, warning_rows};

/// What stands above the findings on axes over which families fall on one curve.
pub const COLLAPSE: &str = "Over which axis families fall on one curve (log marginal likelihood of the pooled curve)";

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A state could not be written as JSON.
    #[error("{file} cannot be written as JSON: {source}")]
    Json {
        /// The file.
        file: &'static str,
        /// What was wrong.
        source: serde_json::Error,
    },
    /// A plot could not be encoded.
    #[error("the plot of {task} cannot be written as PNG: {message}")]
    Png {
        /// The task.
        task: String,
        /// What was wrong.
        message: String,
    },
}

/// Every file of a run's results below its directory, with its path and content: the same analysis gives the same bytes.
///
/// # Errors
/// When a state cannot be written as JSON, or a plot as PNG.
pub fn files(manifest: &RunManifest, analysis: &Analysis) -> Result<Vec<(String, Vec<u8>)>, ReportError> {
    let tasks = view::tasks(manifest, analysis);
    let mut files = vec![
        ("manifest.json".to_owned(), json("manifest.json", manifest)?),
        ("analysis.json".to_owned(), json("analysis.json", analysis)?),
        ("curves.csv".to_owned(), csv::curves(manifest, analysis).into_bytes()),
        ("comparisons.csv".to_owned(), csv::comparisons(analysis).into_bytes()),
        ("report.md".to_owned(), markdown::report(manifest, analysis, &tasks).into_bytes()),
        ("report.html".to_owned(), html::report(manifest, analysis, &tasks).into_bytes()),
    ];
    let drawings: Vec<_> = tasks
        .iter()
        .flat_map(|task| view::drawings(task).into_iter().map(move |(part, drawing)| (task, part, drawing)))
        .collect();
    // The first alone: with it the fonts are read, by the thread that has memory left from the analysis.
    let (first, others) = drawings.split_at(drawings.len().min(1));
    let mut pngs: Vec<_> = first.iter().map(|(.., drawing)| png::png(drawing)).collect();
    pngs.par_extend(others.par_iter().map(|(.., drawing)| png::png(drawing)));
    for ((task, part, drawing), png) in drawings.iter().zip(pngs) {
        let png = png.map_err(|message| ReportError::Png { task: task.task.name.clone(), message })?;
        files.push((format!("plots/{}{part}.svg", task.file), svg::standalone(drawing).into_bytes()));
        files.push((format!("plots/{}{part}.png", task.file), png));
    }
    Ok(files)
}

fn json<T: serde::Serialize>(file: &'static str, state: &T) -> Result<Vec<u8>, ReportError> {
    let mut bytes = serde_json::to_vec_pretty(state).map_err(|source| ReportError::Json { file, source })?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests;
