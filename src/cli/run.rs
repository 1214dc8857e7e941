//! `onset run`, `onset plan` and `onset score`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::diagnose::Problem;
use super::print::eprintln;
use super::probe::{identity, is_to_be_calibrated};
use super::progress::Progress;
use super::{Global, What, exit, output};
use crate::analysis::{Cells, FIRST, More, Settling, round, settle};
use crate::config::{self, EMBEDDED, EndpointSpec, LimitsSpec, Workspace};
use crate::ladder::{Card, cards, cards_in, models};
use crate::plan::{self, Ladder, Plan, Quota, Selection};
use crate::runner::{self, Event, Gateway, Helper, Limiter, Limits, Observer, Options, Retries, Spending};
use crate::schema::{Finding, ModelEntry, Outcome, Probe, RunManifest, Scale, Transport};
use crate::server::{self, Hardships};
use crate::store::{Store, StoreError, Write};
use crate::tasks::generators::SPLIT;
use crate::transport::{Header, InProcess, Network};

/// Retries of a request, unless `--no-retry`.
const RETRIES: Retries = Retries { most: 5, first_wait: Duration::from_millis(500) };

/// Rebuilt records that are written in one transaction.
const WRITTEN_TOGETHER: usize = 1_000;

struct Silent;

impl Observer for Silent {
    fn event(&self, _event: &Event) {}
}

/// The workspace and the plan that the flags describe.
pub(super) fn prepare(what: &What, global: &Global) -> Result<(Workspace, Plan), Problem> {
    let default = PathBuf::from("config.toml");
    let file = what.config.clone().or_else(|| default.exists().then_some(default));
    if file.is_none() && !global.quiet {
        eprintln!("no config.toml here: running the built-in configuration (`onset init` writes it out)");
    }
    let workspace = config::load(file.as_deref(), &what.set)?;
    // A directory of that name need not be ours where nobody asks for the ladder.
    let (mut built_in, mut local) = (Vec::new(), Vec::new());
    if workspace.config.endpoints.iter().any(|endpoint| endpoint.base_url == EMBEDDED) {
        built_in = cards().map_err(Problem::other)?;
        local = cards_in(&workspace.directory().join(MODELS)).map_err(Problem::other)?;
    }
    let is_replaced = |card: &&Card| local.iter().any(|other| other.name == card.name);
    let used = local.iter().chain(built_in.iter().filter(|card| !is_replaced(card)));
    let foreign: Vec<String> = used.filter(|card| card.split != SPLIT).map(|card| card.name.clone()).collect();
    let entries = |cards: Vec<Card>| cards.into_iter().map(entry).collect();
    let ladder = Ladder { built_in: entries(built_in), local: entries(local) };
    let selection = Selection {
        only: what.only.clone(),
        samples: what.samples,
        until_resolved: what.until_resolved,
        max_samples: what.max_samples.map(|most| most as usize),
    };
    let mut plan = plan::plan(&workspace, &ladder, &selection)?;
    let is_asked = |name: &&String| plan.models.iter().any(|model| model.name == **name && model.weights.is_some());
    let foreign: Vec<&str> = foreign.iter().filter(is_asked).map(String::as_str).collect();
    if !foreign.is_empty() && !global.quiet {
        eprintln!(
            "warning: {} were trained before the problems were divided as they are now: what they are asked may have been trained on, and their scores are no evidence",
            foreign.join(", ")
        );
    }
    if what.fresh {
        let unfinished = unfinished(&plan, &store_path(&what.out))?;
        let epoch = unfinished.unwrap_or_else(|| jiff::Timestamp::now().to_string());
        plan = plan.in_epoch(epoch).map_err(Problem::other)?;
    }
    Ok((workspace, plan))
}

/// The epoch of the last fresh run of this plan, if it has records left to do: its answers are paid for.
fn unfinished(plan: &Plan, store: &Path) -> Result<Option<String>, Problem> {
    if !store.exists() {
        return Ok(None);
    }
    let store = match Store::open_read_only(store) {
        // Nothing else would migrate it for who only makes fresh runs.
        Err(StoreError::Older { .. }) => Store::open(store),
        opened => opened,
    };
    let store = store.map_err(Problem::other)?;
    let runs = store.runs().map_err(Problem::other)?;
    for run in runs.iter().rev().filter(|run| !run.epoch.is_empty()) {
        if plan.run_in(&run.epoch).map_err(Problem::other)? == run.run {
            let records = store.record_count(&run.run).map_err(Problem::other)?;
            let planned = quota_of(plan, &run.run, &store)?.sum() * plan.repetitions as usize;
            let is_over = records >= planned && (!plan.until_resolved || settling(run, &store)?.more.is_empty());
            return Ok((!is_over).then(|| run.epoch.clone()));
        }
    }
    Ok(None)
}

fn entry(card: Card) -> ModelEntry {
    let scale = Scale {
        params: Some(card.params as f64),
        tokens: Some(card.tokens as f64),
        flops: Some(card.flops),
        loss: Some(card.losses.loss),
        seed: Some(card.seed),
        checkpoint: card.step.map(u64::from),
    };
    ModelEntry { name: card.name, family: String::new(), endpoint: String::new(), scale, weights: Some(card.weights) }
}

/// Where the models of the ladder lie that are not part of the program, beside the configuration.
pub(super) const MODELS: &str = "models";

pub(super) fn store_path(out: &Path) -> PathBuf {
    out.join("onset.db")
}

/// What moves bytes to and from an endpoint.
pub(super) fn transport(spec: &EndpointSpec, plan: &Plan, directory: &Path) -> Result<Box<dyn Transport>, Problem> {
    let planned = plan.endpoint(&spec.name).ok_or_else(|| Problem::other(format!("no endpoint `{}`", spec.name)))?;
    if spec.base_url == EMBEDDED {
        let wanted = |name: &str| plan.models.iter().any(|entry| entry.name == name);
        let models = models(&directory.join(MODELS), wanted).map_err(Problem::other)?;
        return Ok(Box::new(InProcess(server::router(models, Hardships::default()))));
    }
    let timeout = Duration::from_secs(spec.timeout_seconds);
    let mut headers = Vec::new();
    if let Some(key) = &spec.api_key {
        let (name, before) = planned.provider.authorization(&planned.endpoint.dialect);
        headers.push(Header { name: name.to_owned(), before, value: key.read()?, is_secret: true });
    }
    for (name, value) in &spec.headers {
        headers.push(Header { name: name.clone(), before: "", value: value.read()?, is_secret: value.is_secret() });
    }
    Ok(Box::new(Network::new(&spec.base_url, headers, timeout).map_err(Problem::other)?))
}

fn gateway(
    spec: &EndpointSpec,
    plan: &Plan,
    directory: &Path,
    limiter: Arc<Limiter>,
    spending: Arc<Spending>,
    retries: Retries,
) -> Result<Gateway, Problem> {
    let planned = plan.endpoint(&spec.name).ok_or_else(|| Problem::other(format!("no endpoint `{}`", spec.name)))?;
    let transport = transport(spec, plan, directory)?;
    Ok(Gateway::new(planned.endpoint.clone(), planned.provider, transport, limiter, spending, retries))
}

/// Calibrates the endpoints of which log-probabilities are needed and were never tried: what is not true must not be scored.
async fn calibrate(
    workspace: &Workspace,
    plan: &Plan,
    gateways: &HashMap<String, Arc<Gateway>>,
    store: &Store,
    stop: &watch::Receiver<bool>,
) -> Result<(), Problem> {
    for spec in &workspace.config.endpoints {
        let (Some(planned), Some(gateway)) = (plan.endpoint(&spec.name), gateways.get(&spec.name)) else { continue };
        let Some(model) = plan.models.iter().find(|model| model.endpoint == spec.name) else { continue };
        if !is_to_be_calibrated(plan, &planned.endpoint, spec, store)? {
            continue;
        }
        let identity = identity(&planned.endpoint, spec);
        let found = gateway.calibrate(&identity, &model.name, store, stop).await.map_err(Problem::other)?;
        let Some((found, words)) = found else { continue };
        let what = planned.endpoint.scoring.name().to_owned();
        let probe = Probe {
            endpoint: spec.name.clone(),
            identity,
            model: model.name.clone(),
            at: jiff::Timestamp::now().to_string(),
            findings: vec![Finding { what, found, words }],
        };
        store.write(vec![Write::Probe(Box::new(probe))]).await.map_err(Problem::other)?;
    }
    super::probe::check(workspace, plan, store)
}

/// A budget can only be held where every request has a price.
fn check_prices(workspace: &Workspace, plan: &Plan) -> Result<(), Problem> {
    let is_free = |name: &str| workspace.config.endpoints.iter().any(|spec| spec.name == name && spec.base_url == EMBEDDED);
    let unknown: Vec<&str> = plan
        .models
        .iter()
        .filter(|model| !plan.prices.contains_key(&model.name) && !is_free(&model.endpoint))
        .map(|model| model.name.as_str())
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Problem::with_help(
        format!("--budget needs the price of every model, and there is none of {}", unknown.join(", ")),
        "price = { input = 0.10, output = 0.40 } at the model, in US dollars per million tokens; both 0 where it costs nothing",
    ))
}

pub(super) fn run(
    what: &What,
    retry_failed: bool,
    no_retry: bool,
    budget: Option<f64>,
    global: &Global,
) -> Result<u8, Problem> {
    let started = Instant::now();
    let (workspace, plan) = prepare(what, global)?;
    if budget.is_some() {
        check_prices(&workspace, &plan)?;
    }
    if !global.quiet {
        super::plan::unscored(&plan).map_err(Problem::other)?.iter().for_each(|line| eprintln!("not scored: {line}"));
        super::plan::repetitive(&plan).iter().for_each(|line| eprintln!("note: {line}"));
    }
    let plan = Arc::new(plan);
    // One thread, or two with connections of their own: to hand a request from one to another costs more than is gained.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Problem::other)?;
    let store = Store::open(&store_path(&what.out)).map_err(Problem::other)?;
    let known = store.runs().map_err(Problem::other)?.into_iter().find(|run| run.run == plan.run);
    let manifest = match known {
        Some(manifest) => manifest,
        None => {
            let manifest = plan.manifest(jiff::Timestamp::now().to_string());
            store.write_blocking(vec![Write::Run(Box::new(manifest.clone()))]).map_err(Problem::other)?;
            manifest
        }
    };
    let spending = Spending::new(&plan.run, plan.prices.clone(), budget, &store).map_err(Problem::other)?;
    let spending = Arc::new(spending);
    let retries = if no_retry { Retries { most: 0, ..RETRIES } } else { RETRIES };
    let (summary, quota) = runtime.block_on(async {
        let (mut gateways, mut limiters) = (HashMap::new(), HashMap::new());
        for spec in &workspace.config.endpoints {
            if plan.models.iter().any(|model| model.endpoint == spec.name) {
                let LimitsSpec { in_flight, requests_per_minute, tokens_per_minute } = spec.limits;
                let limits = Limits { in_flight, requests_per_minute, tokens_per_minute };
                // Endpoints of one account share its limits.
                let limiter = limiters.entry(spec.account.clone()).or_insert_with(|| Arc::new(Limiter::new(limits)));
                gateways.insert(
                    spec.name.clone(),
                    Arc::new(gateway(
                        spec,
                        &plan,
                        workspace.directory(),
                        Arc::clone(limiter),
                        Arc::clone(&spending),
                        retries,
                    )?),
                );
            }
        }
        let models: Vec<&str> = plan.models.iter().map(|model| model.name.as_str()).collect();
        let observer: Arc<dyn Observer> = match Progress::new(&models, global.quiet) {
            Some(progress) => Arc::new(progress),
            None => Arc::new(Silent),
        };
        let stop = interruptions().map_err(Problem::other)?;
        // Who asks nothing need not know whether the replies would be true.
        let there = store.record_count(&plan.run).map_err(Problem::other)?;
        if retry_failed || there < plan.len() {
            calibrate(&workspace, &plan, &gateways, &store, &stop).await?;
        }
        let mut quota = quota_of(&plan, &plan.run, &store)?;
        // In which order a run that was cut off goes on.
        if plan.until_resolved && there > 0 && there < quota.sum() * plan.repetitions as usize {
            let more = settling(&manifest, &store)?.more;
            quota.ask_first(more.iter().filter_map(|more| place(&plan, more)));
        }
        let helper = Helper::where_wanted(gateways.values());
        let mut options = Options { retry_failed, helper: helper.as_ref().map(Helper::handle) };
        loop {
            let gateways = gateways.clone();
            let round = runner::run(
                Arc::clone(&plan),
                &quota,
                store.clone(),
                gateways,
                options.clone(),
                stop.clone(),
                Arc::clone(&observer),
            );
            let summary = round.await.map_err(Problem::other)?;
            // What failed again in this round is not asked a third time in the next.
            options.retry_failed = false;
            let is_over = !plan.until_resolved || summary.interrupted || spending.used_up().is_some();
            if is_over || !ask_more(&plan, &manifest, &store, &mut quota, global)? {
                return Ok::<_, Problem>((summary, quota));
            }
        }
    })?;
    // Its connections and buffers make room for the analysis.
    drop(runtime);
    let analysis = super::report::derive(&store, &manifest, None, &what.out)?;
    super::report::point_latest(&what.out, &manifest.run)?;
    let planned = quota.sum() * plan.repetitions as usize;
    output::summary(&plan, planned, &manifest, &summary, &spending, &analysis, started.elapsed(), &what.out, global);
    let failed = summary.outcomes.get(&Outcome::Failed).copied().unwrap_or_default();
    if failed + summary.incomplete > 0 {
        output::reasons(&store, &plan.run, global).map_err(Problem::other)?;
    }
    Ok(if summary.interrupted {
        exit::INTERRUPTED
    } else if !summary.unusable.is_empty() {
        exit::UNUSABLE
    } else if failed + summary.incomplete > 0 || spending.used_up().is_some() {
        exit::FAILED_RECORDS
    } else {
        exit::DONE
    })
}

/// Turns true when the user interrupts the run. Heard in a thread of its own, whatever the run is busy with.
fn interruptions() -> std::io::Result<watch::Receiver<bool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, stop) = watch::channel(false);
    let listen = async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            eprintln!("\ninterrupted: finishing the requests in flight (again to stop at once)");
            // Nobody listens any more only when the run is over.
            let _ = sender.send(true);
            if tokio::signal::ctrl_c().await.is_ok() {
                #[expect(clippy::exit, reason = "the user asked twice; whatever is committed stays committed")]
                std::process::exit(i32::from(exit::INTERRUPTED));
            }
        }
        // Dropping the sender would look like a change to the other side.
        std::future::pending::<()>().await;
    };
    std::thread::Builder::new().name("onset-signals".to_owned()).spawn(move || runtime.block_on(listen))?;
    Ok(stop)
}

/// What a run asks: all, or, where verdicts decide, what it asked by now, each cell to the end of its round.
fn quota_of(plan: &Plan, run: &str, store: &Store) -> Result<Quota, Problem> {
    let mut quota = plan.first_quota(FIRST);
    if plan.until_resolved {
        for asked in store.asked(run).map_err(Problem::other)? {
            if let Some((cell, model)) = plan.place(&asked.task, &asked.prompt, &asked.model) {
                quota.raise(cell, model, round(asked.samples, plan.samples));
            }
        }
    }
    Ok(quota)
}

/// How the verdicts of a run stand.
fn settling(manifest: &RunManifest, store: &Store) -> Result<Settling, Problem> {
    let mut cells = Cells::new(manifest);
    store.each_scored(&manifest.run, |record| cells.push(record)).map_err(Problem::other)?;
    Ok(settle(manifest, &cells))
}

/// Where a plan has a cell.
fn place(plan: &Plan, more: &More) -> Option<(usize, usize)> {
    plan.place(&more.task, &more.prompt, &more.model)
}

/// Raises the quota where a verdict is not settled, and has that asked first; whether anything is left to ask.
fn ask_more(
    plan: &Plan,
    manifest: &RunManifest,
    store: &Store,
    quota: &mut Quota,
    global: &Global,
) -> Result<bool, Problem> {
    let Settling { more, settled, curves } = settling(manifest, store)?;
    let before = quota.sum();
    for more in &more {
        if let Some((cell, model)) = place(plan, more) {
            quota.raise(cell, model, more.samples);
        }
    }
    quota.ask_first(more.iter().filter_map(|more| place(plan, more)));
    let asked = (quota.sum() - before) * plan.repetitions as usize;
    if !global.quiet {
        let rest = if asked > 0 {
            format!("; {asked} more records where they are not")
        } else if settled < curves {
            "; for the others more models are needed, more samples than the most, or fewer records without a score"
                .to_owned()
        } else {
            String::new()
        };
        eprintln!("{settled} of {curves} verdicts are settled{rest}");
    }
    Ok(asked > 0)
}

pub(super) fn score(what: &What, global: &Global) -> Result<u8, Problem> {
    let (workspace, plan) = prepare(what, global)?;
    let path = store_path(&what.out);
    if !path.exists() {
        // There must be one: what is rebuilt was paid for before.
        drop(super::report::open(&what.out)?);
    }
    let store = Store::open(&path).map_err(Problem::other)?;
    let known = store.runs().map_err(Problem::other)?.into_iter().find(|run| run.run == plan.run);
    let manifest = known.unwrap_or_else(|| plan.manifest(jiff::Timestamp::now().to_string()));
    let runtime = tokio::runtime::Runtime::new().map_err(Problem::other)?;
    store.write_blocking(vec![Write::Run(Box::new(manifest.clone()))]).map_err(Problem::other)?;
    let quota = quota_of(&plan, &plan.run, &store)?;
    let (mut rebuilt, mut count, mut absent) = (Vec::new(), 0, 0);
    for spec in &workspace.config.endpoints {
        for unit in plan.units(&spec.name, &quota) {
            match runtime.block_on(runner::rebuild(&plan, unit, &store)).map_err(Problem::other)? {
                Some(record) => rebuilt.push(Write::Record(Box::new(record))),
                None => absent += 1,
            }
            if rebuilt.len() >= WRITTEN_TOGETHER {
                count += rebuilt.len();
                store.write_blocking(std::mem::take(&mut rebuilt)).map_err(Problem::other)?;
            }
        }
    }
    count += rebuilt.len();
    store.write_blocking(rebuilt).map_err(Problem::other)?;
    let analysis = super::report::derive(&store, &manifest, None, &what.out)?;
    super::report::point_latest(&what.out, &manifest.run)?;
    output::scored(count, absent, &manifest, &analysis, global);
    Ok(exit::DONE)
}
