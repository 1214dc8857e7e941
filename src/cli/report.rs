//! `onset analyze` and `onset report`: what is derived, rebuilt from the store.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::diagnose::Problem;
use super::print::eprintln;
use super::run::store_path;
use super::{Global, exit, output};
use crate::analysis::Cells;
use crate::schema::{Analysis, Axis, RunManifest};
use crate::store::{Store, StoreError};
use crate::{analysis, interop, report};

/// The run of that name, or the last one: the one that `latest` points at.
pub(super) fn find(name: Option<&str>, out: &Path) -> Result<(Store, RunManifest), Problem> {
    let store = open(out)?;
    let runs = store.runs().map_err(Problem::other)?;
    let known: Vec<&str> = runs.iter().map(|run| run.run.as_str()).collect();
    let manifest = match name {
        None => {
            let latest = std::fs::read_link(out.join("latest"))
                .or_else(|_| std::fs::read_to_string(out.join("latest")).map(PathBuf::from));
            let last = latest.ok().and_then(|latest| runs.iter().find(|run| latest == Path::new(&run.run)));
            last.or(runs.last()).cloned().ok_or_else(|| Problem::other("the store holds no run"))?
        }
        Some(name) => runs
            .iter()
            .find(|run| run.run.starts_with(name))
            .cloned()
            .ok_or_else(|| Problem::with_help(format!("no run `{name}`"), &crate::config::suggestion(name, &known)))?,
    };
    Ok((store, manifest))
}

/// The store of a directory of results, for reading.
pub(super) fn open(out: &Path) -> Result<Store, Problem> {
    Store::open_read_only(&store_path(out)).map_err(|error| match error {
        StoreError::Missing { .. } => Problem::with_help(error, "`onset run` makes one; --out names another directory"),
        error => Problem::other(error),
    })
}

/// Reasons for a refusal that are said.
const SHOWN_REASONS: usize = 4;

/// The axis of that name.
pub(super) fn named(name: &str) -> Result<Axis, Problem> {
    let known = Axis::ALL.map(Axis::name);
    Axis::named(name)
        .ok_or_else(|| Problem::with_help(format!("no axis `{name}`"), &crate::config::suggestion(name, &known)))
}

/// Refuses an analysis in which no curve has a place on the axis.
fn is_there(analysis: &Analysis) -> Result<(), Problem> {
    let mut reasons: Vec<&str> = Vec::new();
    for refusal in &analysis.refused {
        if !reasons.contains(&refusal.reason.as_str()) {
            reasons.push(&refusal.reason);
        }
    }
    if analysis.curves.is_empty() && !reasons.is_empty() {
        let more = reasons.len().saturating_sub(SHOWN_REASONS);
        reasons.truncate(SHOWN_REASONS);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let words = format!("no curve has this axis. {}{more}", reasons.join("; "));
        return Err(Problem::with_help(
            words,
            "--x names another axis, and without it every curve has one that its models share",
        ));
    }
    Ok(())
}

/// Analyses a file of scores and writes the same files as for a run, under the file's name.
pub(super) fn analyze_file(file: &Path, axis: Option<&str>, pool: bool, out: &Path, global: &Global) -> Result<u8, Problem> {
    let (manifest, analysis) = of_file(file, axis, pool, global)?;
    write(&manifest, &analysis, out)?;
    output::analysis(&manifest, &analysis, global);
    Ok(exit::DONE)
}

/// Whether an argument names a file of scores, and not a run: by its name, or because it is there.
pub(super) fn is_file(what: &str) -> bool {
    let path = Path::new(what);
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) || path.is_file()
}

/// The analysis of a file of scores.
pub(super) fn of_file(
    file: &Path,
    axis: Option<&str>,
    pool: bool,
    global: &Global,
) -> Result<(RunManifest, Analysis), Problem> {
    let axis = axis.map(named).transpose()?;
    let read = interop::read_curves(file).map_err(Problem::other)?;
    if !global.quiet {
        for note in &read.notes {
            eprintln!("{}: {note}", file.display());
        }
    }
    let name = file.file_stem().map_or_else(|| "curves".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let (manifest, analysis) = analysis::analyse_published(&name, &read.scores, analysis::Options { axis, pool });
    is_there(&analysis)?;
    Ok((manifest, analysis))
}

fn write(manifest: &RunManifest, analysis: &Analysis, out: &Path) -> Result<(), Problem> {
    let directory = out.join(&manifest.run);
    for (name, bytes) in report::files(manifest, analysis).map_err(Problem::other)? {
        let path = directory.join(name);
        write_whole(&path, &bytes).map_err(|error| Problem::other(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

/// Analyses a run. Its records are taken in one by one: all of them may be more than fits the memory.
pub(super) fn analyse(store: &Store, manifest: &RunManifest, axis: Option<Axis>) -> Result<Analysis, Problem> {
    let mut cells = Cells::new(manifest);
    store.each_scored(&manifest.run, |record| cells.push(record)).map_err(Problem::other)?;
    Ok(analysis::analyse(manifest, &cells, axis))
}

/// Analyses a run and writes every derived file, each whole or not at all. Without an axis that was asked for, each family has the
/// first one that all of its models have.
pub(super) fn derive(store: &Store, manifest: &RunManifest, axis: Option<Axis>, out: &Path) -> Result<Analysis, Problem> {
    let analysis = analyse(store, manifest, axis)?;
    if axis.is_some() {
        is_there(&analysis)?;
    }
    write(manifest, &analysis, out)?;
    Ok(analysis)
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = std::path::PathBuf::from(name);
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(temporary, path)
}

/// `latest` is a link to the last run where links exist, else a file with its name.
pub(super) fn point_latest(out: &Path, run: &str) -> Result<(), Problem> {
    link(out, run).map_err(|error| Problem::other(format!("{}: {error}", out.join("latest").display())))
}

fn link(out: &Path, run: &str) -> std::io::Result<()> {
    let (latest, temporary) = (out.join("latest"), out.join("latest.new"));
    if temporary.symlink_metadata().is_ok() {
        std::fs::remove_file(&temporary)?;
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(run, &temporary)?;
    #[cfg(not(unix))]
    std::fs::write(&temporary, run)?;
    std::fs::rename(temporary, latest)
}

pub(super) fn analyze(run: Option<&str>, axis: Option<&str>, out: &Path, global: &Global) -> Result<u8, Problem> {
    let axis = axis.map(named).transpose()?;
    let (store, manifest) = find(run, out)?;
    let analysis = derive(&store, &manifest, axis, out)?;
    output::analysis(&manifest, &analysis, global);
    Ok(exit::DONE)
}

pub(super) fn report(run: Option<&str>, out: &Path, global: &Global) -> Result<u8, Problem> {
    let (store, manifest) = find(run, out)?;
    derive(&store, &manifest, None, out)?;
    output::written(&out.join(&manifest.run), global);
    Ok(exit::DONE)
}
