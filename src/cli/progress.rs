//! Progress of a run: one bar per model at a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::print::eprintln;
use crate::runner::{Event, Observer, Waiting};
use crate::schema::Outcome;

/// Time between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// A bar for each model, and all of them.
type Bars = (MultiProgress, BTreeMap<String, ProgressBar>);

/// An observer that shows how far each model is.
pub(super) struct Progress {
    bars: Option<(Bars, ProgressBar)>,
    state: Mutex<State>,
}

struct State {
    started: Instant,
    last_line: Instant,
    done: BTreeMap<String, u64>,
    planned: BTreeMap<String, u64>,
    settled: u64,
    failed: u64,
    /// What each endpoint waits for.
    waits: BTreeMap<String, String>,
}

impl Progress {
    /// Progress over the given models; silent when `quiet`.
    pub(super) fn new(models: &[&str], quiet: bool) -> Option<Self> {
        if quiet {
            return None;
        }
        let longest = models.iter().map(|name| name.len()).max().unwrap_or_default();
        let bars = std::io::stderr().is_terminal().then(|| {
            let template = format!("{{prefix:{longest}}} {{bar:24}} {{pos}}/{{len}} {{per_sec:>12}} {{eta:>5}} {{msg}}");
            let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let multi = MultiProgress::new();
            let bars = models
                .iter()
                .map(|&name| {
                    let bar = ProgressBar::new(0).with_style(style.clone()).with_prefix(name.to_owned());
                    (name.to_owned(), multi.add(bar))
                })
                .collect();
            // The last line is what requests wait for.
            let line = ProgressBar::new_spinner()
                .with_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            let line = multi.add(line);
            ((multi, bars), line)
        });
        let now = Instant::now();
        let state = State {
            started: now,
            last_line: now,
            done: BTreeMap::new(),
            planned: BTreeMap::new(),
            settled: 0,
            failed: 0,
            waits: BTreeMap::new(),
        };
        Some(Self { bars, state: Mutex::new(state) })
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else { return };
        let bar = |model: &str| self.bars.as_ref().and_then(|((_, bars), _)| bars.get(model));
        match event {
            Event::Begun { model, records, planned } => {
                state.done.insert(model.clone(), *records as u64);
                state.planned.insert(model.clone(), *planned as u64);
                if let Some(bar) = bar(model) {
                    bar.set_length(*planned as u64);
                    bar.set_position(*records as u64);
                    bar.reset_eta();
                }
            }
            Event::Settled { model, outcome } => {
                *state.done.entry(model.clone()).or_default() += 1;
                state.settled += 1;
                state.failed += u64::from(*outcome == Outcome::Failed);
                if let Some(bar) = bar(model) {
                    bar.inc(1);
                    if state.failed > 0 {
                        bar.set_message(format!("{} failed", state.failed));
                    }
                }
            }
            Event::Waiting { endpoint, waiting } => {
                let words = waiting.as_ref().map(|Waiting { reason, left }| {
                    format!("{endpoint} waits for {reason}, {} s", left.as_secs_f64().ceil())
                });
                let _ = state.waits.remove(endpoint);
                state.waits.extend(words.map(|words| (endpoint.clone(), words)));
                if let Some((_, line)) = &self.bars {
                    line.set_message(state.waits.values().cloned().collect::<Vec<_>>().join("; "));
                }
            }
            Event::Unusable { endpoint, reason } => {
                let line = format!("{endpoint} cannot be used: {reason}");
                match &self.bars {
                    // A bar that cannot be drawn must not hide the reason.
                    Some(((multi, _), _)) => drop(multi.println(line)),
                    None => eprintln!("{line}"),
                }
            }
        }
        if self.bars.is_none() && state.last_line.elapsed() >= PLAIN_INTERVAL {
            state.last_line = Instant::now();
            let rate = state.settled as f64 / state.started.elapsed().as_secs_f64();
            let total: u64 = state.planned.values().sum();
            let done: u64 = state.done.values().sum();
            let left = total.saturating_sub(done) as f64 / rate.max(1e-9);
            let parts: Vec<String> = state.done.iter().map(|(model, done)| format!("{model} {done}")).collect();
            eprintln!(
                "{done}/{total} records, {rate:.0}/s, about {left:.0} s left, {} failed: {}{}",
                state.failed,
                parts.join(", "),
                state.waits.values().map(|words| format!("; {words}")).collect::<String>()
            );
        }
    }
}
