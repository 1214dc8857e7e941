//! `onset probe`: what an endpoint does, tried with real requests; and whether a plan needs what an endpoint was found not to do.

use serde_json::json;

use super::diagnose::Problem;
use super::print::println;
use super::run::{prepare, store_path, transport};
use super::{Global, What, exit, output};
use crate::config::{EMBEDDED, EndpointSpec, Workspace, suggestion};
use crate::plan::Plan;
use crate::runner;
use crate::schema::{Endpoint, Found, Probe, SamplesError, Scoring};
use crate::store::{Store, Write};
use crate::transport::public_part;

pub(super) fn probe(name: Option<&str>, what: &What, global: &Global) -> Result<u8, Problem> {
    let (workspace, plan) = prepare(what, global)?;
    let known: Vec<&str> = plan.endpoints.iter().map(|planned| planned.endpoint.name.as_str()).collect();
    if let Some(name) = name.filter(|name| !known.contains(name)) {
        return Err(Problem::with_help(
            format!("no model of the plan is at an endpoint `{name}`"),
            &suggestion(name, &known),
        ));
    }
    let store = Store::open(&store_path(&what.out)).map_err(Problem::other)?;
    let runtime = tokio::runtime::Runtime::new().map_err(Problem::other)?;
    let mut probes = Vec::new();
    for spec in workspace.config.endpoints.iter().filter(|spec| name.is_none_or(|name| spec.name == name)) {
        let Some(planned) = plan.endpoint(&spec.name) else { continue };
        let Some(model) = plan.models.iter().find(|model| model.endpoint == spec.name) else { continue };
        let transport = transport(spec, &plan, workspace.directory())?;
        let identity = identity(&planned.endpoint, spec);
        let tried = runner::probe(&planned.endpoint, planned.provider, transport.as_ref(), &model.name, identity);
        let probe = runtime.block_on(tried);
        store.write_blocking(vec![Write::Probe(Box::new(probe.clone()))]).map_err(Problem::other)?;
        probes.push(probe);
    }
    if global.json {
        println!("{}", json!({ "probes": probes }));
    } else {
        probes.iter().for_each(show);
    }
    let is_there = |probe: &Probe| probe.found("warm").is_some_and(|warm| warm.found == Found::Yes);
    Ok(if probes.iter().all(is_there) { exit::DONE } else { exit::UNUSABLE })
}

fn show(probe: &Probe) {
    println!("{} with {}:", probe.endpoint, probe.model);
    let mut rows = output::table(&["", "", "seen"]);
    for finding in &probe.findings {
        let found = match finding.found {
            Found::Yes => "yes",
            Found::No => "no",
            Found::Unknown => "?",
        };
        rows.add_row([finding.what.as_str(), found, finding.words.as_str()]);
    }
    println!("{rows}\n");
}

/// What an endpoint is known by in the store.
pub(super) fn identity(endpoint: &Endpoint, spec: &EndpointSpec) -> String {
    let address = if spec.base_url == EMBEDDED { EMBEDDED.to_owned() } else { public_part(&spec.base_url) };
    runner::identity(endpoint, &address)
}

/// What a plan needs of an endpoint beside replies.
#[derive(Debug, Clone, Copy)]
struct Needs {
    logprobs: bool,
    functions: bool,
}

fn needs(plan: &Plan, endpoint: &str) -> Result<Needs, SamplesError> {
    let Some(model) = plan.models.iter().position(|model| model.endpoint == endpoint) else {
        return Ok(Needs { logprobs: false, functions: false });
    };
    let mut needs = Needs { logprobs: false, functions: false };
    for cell in 0..plan.cells.len() {
        let Some(parts) = plan.first(cell, model)? else { continue };
        needs.logprobs |= !parts.probabilities().is_empty();
        needs.functions |= parts.start().is_ok_and(|start| parts.case(&start).function.is_some());
    }
    Ok(needs)
}

/// Whether log-probabilities are needed of an endpoint on the network that nobody has tried for them.
pub(super) fn is_to_be_calibrated(
    plan: &Plan,
    endpoint: &Endpoint,
    spec: &EndpointSpec,
    store: &Store,
) -> Result<bool, Problem> {
    if spec.base_url == EMBEDDED || !needs(plan, &endpoint.name).map_err(Problem::other)?.logprobs {
        return Ok(false);
    }
    let probe = store.probe(&endpoint.name, &identity(endpoint, spec)).map_err(Problem::other)?;
    Ok(probe.is_none_or(|probe| probe.found(endpoint.scoring.name()).is_none()))
}

/// Refuses a plan that needs what its endpoint was found not to do.
pub(super) fn check(workspace: &Workspace, plan: &Plan, store: &Store) -> Result<(), Problem> {
    for planned in &plan.endpoints {
        let endpoint = &planned.endpoint;
        let Some(spec) = workspace.config.endpoints.iter().find(|spec| spec.name == endpoint.name) else { continue };
        let Some(probe) = store.probe(&endpoint.name, &identity(endpoint, spec)).map_err(Problem::other)? else { continue };
        let needs = needs(plan, &endpoint.name).map_err(Problem::other)?;
        let lacks = |what: &str| probe.found(what).filter(|finding| finding.found == Found::No);
        let when = |words: &str| format!("{words} (probed at {}; `onset probe {}` tries again)", probe.at, endpoint.name);
        if let Some(finding) = lacks(endpoint.scoring.name()).filter(|_| needs.logprobs) {
            let others = planned.provider.scoring(&endpoint.dialect).iter();
            let works = |scoring: &&&Scoring| probe.found(scoring.name()).is_some_and(|other| other.found == Found::Yes);
            let other = others.filter(|scoring| **scoring != endpoint.scoring).find(|scoring| works(&scoring));
            let help = format!(
                "logprobs = \"{}\" at the endpoint; metrics that need more stay without a score",
                other.copied().unwrap_or(Scoring::Generation).name()
            );
            let message = format!(
                "log-probabilities by `{}` of endpoint `{}` are not to be had, or not to be trusted: {}",
                endpoint.scoring.name(),
                endpoint.name,
                when(&finding.words)
            );
            return Err(Problem::with_help(message, &help));
        }
        if let Some(finding) = lacks("tools").filter(|_| needs.functions) {
            let message = format!("endpoint `{}` takes no functions: {}", endpoint.name, when(&finding.words));
            return Err(Problem::with_help(message, "tool_calls = \"text\" has the model write its calls in the text"));
        }
    }
    Ok(())
}
