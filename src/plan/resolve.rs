//! Resolving names, checking pairs and drawing samples.

use std::collections::BTreeSet;
use std::sync::Arc;

use wildmatch::WildMatch;

use super::{Cell, CellTurns, Plan, PlannedEndpoint, PlannedTask};
use crate::config::{
    Data, Diagnostic, Diagnostics, EMBEDDED, EndpointSpec, Located, ModelsSpec, PromptFile, TaskFile, Workspace, suggestion,
};
use crate::prompting::chat_template::ModelTemplate;
use crate::prompting::template::{Template, VARIABLES, check, uses};
use crate::schema::{
    AnswerKind, Call, ChatTemplate, DataSource, Endpoint, ModelEntry, Parameters, Prompt, Refusal, Sample, SamplesError,
    Sampling, Scale, Scoring, Step, Task, json_text,
};
use crate::tasks::DrawError;
use crate::{prompting, providers, scorers, tasks, tools};

/// What the command line narrows.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Patterns; a task, prompt or model stays when a pattern of its kind matches it, or when none of its kind matches anything.
    pub only: Vec<String>,
    /// Samples per task instead of the configured number.
    pub samples: Option<usize>,
    /// Ask no more than the verdicts need, whatever the configuration says.
    pub until_resolved: bool,
    /// The most samples then.
    pub max_samples: Option<usize>,
}

/// The models behind `embedded:` addresses.
#[derive(Debug, Clone, Default)]
pub struct Ladder {
    /// Those inside the program: what `models = "all"` means.
    pub built_in: Vec<ModelEntry>,
    /// Those that lie beside the configuration, which are asked for by name; one of the name of a built-in one replaces it.
    pub local: Vec<ModelEntry>,
}

impl Ladder {
    /// Every model.
    fn entries(&self) -> impl Iterator<Item = &ModelEntry> {
        let is_replaced = |model: &ModelEntry| self.local.iter().any(|other| other.name == model.name);
        self.local.iter().chain(self.built_in.iter().filter(move |model| !is_replaced(model)))
    }
}

/// What to do where samples cannot be kept.
const KEPT_SOMEWHERE: &str = "it needs room for the samples of the run; TMPDIR names another directory";
/// The most samples of a run that asks no more than its verdicts need, unless it is said.
const MAX_SAMPLES: usize = 500;
/// Limits on the tokens of a reply are multiples of this.
const LIMIT_STEP: usize = 16;

/// Makes the plan of a workspace. The ladder is behind `embedded:` addresses.
///
/// # Errors
/// Everything that is wrong: unknown names, templates that do not fit, pairs of which none goes together, too few samples.
pub fn plan(workspace: &Workspace, ladder: &Ladder, selection: &Selection) -> Result<Plan, Diagnostics> {
    let mut problems = Diagnostics::new();
    let config = &workspace.config;
    let all_tasks: Vec<(&TaskFile, Option<Task>)> =
        workspace.tasks.iter().map(|file| (file, resolve_task(file, &mut problems))).collect();
    if selection.samples == Some(0) {
        problems.push(Diagnostic::general("--samples 0 asks nothing", "at least one sample is needed"));
    }
    let until_resolved = selection.until_resolved || (config.until_resolved && selection.samples.is_none());
    if selection.max_samples.is_some() && !until_resolved {
        let message =
            "--max-samples bounds a run that asks until its verdicts are resolved, and this one asks a fixed number";
        problems.push(Diagnostic::general(message, "add --until-resolved, or give the number with --samples"));
    }
    for file in &workspace.prompts {
        check_prompt(file, &workspace.prompts, &mut problems);
    }
    let task_names: Vec<&str> = workspace.tasks.iter().map(|task| task.name.value.as_str()).collect();
    let prompt_names: Vec<&str> = workspace.prompts.iter().map(|prompt| prompt.name.value.as_str()).collect();
    let mut task_names = select("task", &config.tasks, &task_names, &mut problems);
    let mut prompt_names = select("prompt", &config.prompts, &prompt_names, &mut problems);
    let mut models = resolve_models(workspace, ladder, &mut problems);
    let endpoints: Vec<Option<PlannedEndpoint>> =
        config.endpoints.iter().map(|spec| resolve_endpoint(spec, config.seed, &mut problems)).collect();
    let offered: Vec<&str> = (workspace.tasks.iter().map(|task| &task.name))
        .chain(workspace.prompts.iter().map(|prompt| &prompt.name))
        .map(|name| name.value.as_str())
        .collect();
    narrow(selection, &offered, &mut task_names, &mut prompt_names, &mut models, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }

    let most = selection.max_samples.or(config.max_samples).unwrap_or(MAX_SAMPLES);
    let samples = selection.samples.unwrap_or(if until_resolved { most } else { config.samples });
    let prompts: Vec<Prompt> =
        prompt_names.iter().filter_map(|name| find(&workspace.prompts, name)).map(|file| file.prompt.clone()).collect();
    let most_shots = prompts.iter().map(|prompt| prompt.shots).max().unwrap_or_default();
    let mut planned = Vec::new();
    for name in &task_names {
        let task = all_tasks.iter().find(|(file, _)| file.name.value == *name).and_then(|(_, task)| task.clone());
        let Some(task) = task else { continue };
        match tasks::draw(&task, config.seed, samples, most_shots) {
            Ok(samples) => planned.push(PlannedTask { task, samples }),
            Err(error) => {
                let help = match error {
                    DrawError::TooFew { available: 0, .. } => {
                        "the task needs more rows, or the run prompts with fewer examples".to_owned()
                    }
                    DrawError::TooFew { available, .. } => {
                        let with = if until_resolved { "`max_samples` or --max-samples" } else { "`samples` or --samples" };
                        format!("ask for at most {available}, with {with}, or leave the task out")
                    }
                    DrawError::Samples(_) => KEPT_SOMEWHERE.to_owned(),
                };
                problems.push(Diagnostic::general(error.to_string(), help));
            }
        }
    }
    let (mut cells, mut refused) = (Vec::new(), Vec::new());
    for (task_index, task) in planned.iter().enumerate() {
        for (prompt_index, prompt) in prompts.iter().enumerate() {
            match make_cell(task, task_index, prompt, prompt_index) {
                Ok(cell) => cells.push(cell),
                Err(Misfit::Pair(reason)) => {
                    refused.push(Refusal { task: task.task.name.clone(), prompt: prompt.name.clone(), reason });
                }
                Err(Misfit::Samples(error)) => problems.push(Diagnostic::general(error.to_string(), KEPT_SOMEWHERE)),
            }
        }
    }
    let listed = config.families.iter().filter_map(|family| match &family.models {
        ModelsSpec::Listed(models) => Some(models),
        ModelsSpec::All(_) => None,
    });
    let prices = listed.flatten().filter_map(|model| Some((model.name.value.clone(), model.price?))).collect();
    if cells.is_empty() && problems.is_empty() {
        let reasons: BTreeSet<String> = refused.iter().map(|refusal| refusal.reason.clone()).collect();
        let reasons: Vec<String> = reasons.into_iter().collect();
        problems.push(Diagnostic::general("no task goes with any prompt", reasons.join("; ")));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let plan = Plan {
        run: String::new(),
        seed: config.seed,
        samples,
        until_resolved,
        repetitions: config.repetitions,
        epoch: String::new(),
        tasks: planned,
        prompts,
        endpoints: endpoints
            .into_iter()
            .flatten()
            .filter(|planned| models.iter().any(|model| model.endpoint == planned.endpoint.name))
            .collect(),
        models,
        prices,
        cells,
        refused,
    };
    let unreadable = |error: SamplesError| vec![Diagnostic::general(error.to_string(), KEPT_SOMEWHERE)];
    check_requests(&plan, workspace, &mut problems).map_err(unreadable)?;
    if problems.is_empty() { plan.in_epoch(String::new()).map_err(unreadable) } else { Err(problems) }
}

/// An endpoint with its provider, dialect and capabilities.
fn resolve_endpoint(spec: &EndpointSpec, seed: u64, problems: &mut Diagnostics) -> Option<PlannedEndpoint> {
    let Some(provider) = providers::find(&spec.provider.value) else {
        let known: Vec<&str> = providers::PROVIDERS.iter().map(|provider| provider.name()).collect();
        problems.push(Diagnostic::unknown("provider", &spec.provider, &known));
        return None;
    };
    let before = problems.len();
    let dialects = provider.dialects();
    let dialect = match &spec.dialect {
        Some(dialect) if !dialects.contains(&dialect.value.as_str()) => {
            problems.push(Diagnostic::unknown(&format!("dialect of {}", provider.name()), dialect, dialects));
            return None;
        }
        Some(dialect) => dialect.value.clone(),
        None => (*dialects.first()?).to_owned(),
    };
    let offered = provider.scoring(&dialect);
    let scoring = match &spec.logprobs {
        None => offered.first().copied().unwrap_or(Scoring::Generation),
        Some(wanted) => {
            let found = offered.iter().copied().find(|scoring| scoring.name() == wanted.value);
            if found.is_none() {
                let names: Vec<&str> = offered.iter().map(|scoring| scoring.name()).collect();
                let complaint = if Scoring::ALL.iter().any(|scoring| scoring.name() == wanted.value) {
                    let message = format!("{} ({dialect}) has no log-probabilities by `{}`", provider.name(), wanted.value);
                    Diagnostic::at(&wanted.place, message, "not to be had here")
                        .with_help(format!("it has: {}", names.join(", ")))
                } else {
                    Diagnostic::unknown("way to log-probabilities", wanted, &names)
                };
                problems.push(complaint);
            }
            found.unwrap_or(Scoring::Generation)
        }
    };
    let has_functions = match spec.tool_calls.as_ref().map(|wanted| (wanted, wanted.value.as_str())) {
        None => provider.has_functions(&dialect),
        Some((_, "text")) => false,
        Some((wanted, "native")) => {
            if !provider.has_functions(&dialect) {
                let message = format!("{} ({dialect}) has no functions", provider.name());
                let complaint = Diagnostic::at(&wanted.place, message, "not to be had here");
                problems.push(complaint.with_help("tool_calls = \"text\" has the model write its calls in the text"));
            }
            true
        }
        Some((wanted, _)) => {
            problems.push(Diagnostic::unknown("form of tool calls", wanted, &["native", "text"]));
            false
        }
    };
    let mut template: Option<Arc<dyn ChatTemplate>> = None;
    if let Some(path) = &spec.chat_template {
        if provider.is_chat() {
            let message = format!("{} takes messages: the server has the template", provider.name());
            problems.push(Diagnostic::at(&path.place, message, "for a completions endpoint"));
        }
        match ModelTemplate::read(&path.value) {
            Ok(read) => template = Some(Arc::new(read)),
            Err(error) => {
                let message = format!("no chat template in {}: {error}", path.value.display());
                problems.push(Diagnostic::at(&path.place, message, "a Jinja file, or a tokenizer_config.json"));
            }
        }
    }
    let written = spec.sampling.clone();
    let sampling = Sampling {
        temperature: Some(written.temperature.unwrap_or_default()),
        top_p: written.top_p,
        seed,
        reasoning_effort: written.reasoning_effort,
        thinking_budget: written.thinking_budget,
        extra_body: written.extra_body,
        omit: written.omit,
    };
    let provider_name = provider.name().to_owned();
    let endpoint = Endpoint { name: spec.name.clone(), provider: provider_name, dialect, scoring, has_functions, sampling };
    let sampling = json_text(&serde_json::json!(endpoint.sampling));
    (problems.len() == before).then_some(PlannedEndpoint {
        endpoint,
        provider,
        template,
        max_tokens: spec.max_tokens,
        sampling,
    })
}

/// Makes the first request of every cell for every endpoint, so that what cannot be asked is said before anything is sent.
fn check_requests(plan: &Plan, workspace: &Workspace, problems: &mut Diagnostics) -> Result<(), SamplesError> {
    for planned in &plan.endpoints {
        let Some(spec) = workspace.config.endpoints.iter().find(|spec| spec.name == planned.endpoint.name) else { continue };
        let Some(model) = plan.models.iter().position(|model| model.endpoint == planned.endpoint.name) else { continue };
        for cell in 0..plan.cells.len() {
            let Some(parts) = plan.first(cell, model)? else { continue };
            let reason = match parts.start() {
                Err(error) => Some(error.to_string()),
                Ok(start) => match parts.cell.technique.next(&parts.case(&start), &[]) {
                    Step::Ask(request) => {
                        let endpoint = &planned.endpoint;
                        let call = Call { endpoint, model: &parts.model.name, request: &request, seed: plan.seed };
                        planned.provider.encode(&call).err()
                    }
                    Step::Fail(reason) => Some(reason),
                    Step::CallTool { .. } | Step::Answer(_) => None,
                },
            };
            if let Some(reason) = reason {
                let label = format!("asked {} by {}", parts.task.name, parts.prompt.name);
                problems.push(Diagnostic::at(&spec.provider.place, reason, label));
                // One example of what cannot be asked says it.
                break;
            }
        }
    }
    Ok(())
}

fn find<'a>(prompts: &'a [PromptFile], name: &str) -> Option<&'a PromptFile> {
    prompts.iter().find(|prompt| prompt.name.value == name)
}

/// The names that a list of names and patterns selects, in the order of the list.
fn select(what: &str, wanted: &[Located<String>], known: &[&str], problems: &mut Diagnostics) -> Vec<String> {
    let mut selected: Vec<String> = Vec::new();
    for pattern in wanted {
        let matcher = WildMatch::new(&pattern.value);
        let matched: Vec<&&str> = known.iter().filter(|name| matcher.matches(name)).collect();
        if matched.is_empty() {
            problems.push(Diagnostic::unknown(what, pattern, known));
        }
        for name in matched {
            if !selected.iter().any(|selected| selected == name) {
                selected.push((*name).to_owned());
            }
        }
    }
    selected
}

fn narrow(
    selection: &Selection,
    offered: &[&str],
    tasks: &mut Vec<String>,
    prompts: &mut Vec<String>,
    models: &mut Vec<ModelEntry>,
    problems: &mut Diagnostics,
) {
    let matchers: Vec<(&String, WildMatch)> = selection.only.iter().map(|only| (only, WildMatch::new(only))).collect();
    let hits = |name: &str| matchers.iter().any(|(_, matcher)| matcher.matches(name));
    for (only, matcher) in &matchers {
        let names = tasks.iter().chain(prompts.iter()).chain(models.iter().map(|model| &model.name));
        if !names.clone().any(|name| matcher.matches(name)) {
            let known: Vec<&str> = names.map(String::as_str).collect();
            let help = match offered.iter().find(|name| matcher.matches(name)) {
                Some(name) => format!("`{name}` exists, but `tasks` and `prompts` of the configuration do not name it"),
                None => suggestion(only, &known),
            };
            problems.push(Diagnostic::general(format!("--only {only} matches no task, prompt or model of the run"), help));
        }
    }
    if tasks.iter().any(|name| hits(name)) {
        tasks.retain(|name| hits(name));
    }
    if prompts.iter().any(|name| hits(name)) {
        prompts.retain(|name| hits(name));
    }
    if models.iter().any(|model| hits(&model.name)) {
        models.retain(|model| hits(&model.name));
    }
}

fn resolve_task(file: &TaskFile, problems: &mut Diagnostics) -> Option<Task> {
    let before = problems.len();
    let known: Vec<&str> = scorers::SCORERS.iter().map(|scorer| scorer.name()).collect();
    for name in std::iter::once(&file.discontinuous).chain(&file.continuous) {
        match scorers::find(&name.value) {
            None => problems.push(Diagnostic::unknown("scorer", name, &known)),
            Some(scorer) if !scorer.fits(file.answer) => {
                let message = format!("the scorer `{}` does not judge a {} answer", name.value, file.answer.name());
                problems.push(Diagnostic::at(&name.place, message, "does not fit `answer`"));
            }
            Some(_) => {}
        }
    }
    let data = match &file.data {
        Data::Rows(rows) => {
            let lacks = |row: &Sample| !row.choices.contains(&row.answer);
            if file.answer == AnswerKind::Choice && rows.iter().any(|row| row.is_ok_and(|row| lacks(&row))) {
                let message = "a choice task needs `choices` in every row, the answer among them";
                problems.push(Diagnostic::at(&file.name.place, message, "this task"));
            }
            DataSource::Rows(rows.clone())
        }
        Data::Generator(name, written) => {
            let generators: Vec<&str> = tasks::generators::GENERATORS.iter().map(|generator| generator.name()).collect();
            let Some(generator) = tasks::generators::find(&name.value) else {
                problems.push(Diagnostic::unknown("generator", name, &generators));
                return None;
            };
            let declared = generator.parameters();
            let mut parameters = Parameters(declared.iter().map(|p| (p.name.to_owned(), p.default)).collect());
            for (key, value, place) in written {
                let names: Vec<&str> = declared.iter().map(|parameter| parameter.name).collect();
                match declared.iter().find(|parameter| parameter.name == key.value) {
                    None => problems.push(Diagnostic::unknown("parameter", key, &names)),
                    Some(p) if !(p.low..=p.high).contains(value) => {
                        let label = format!("from {} to {}", p.low, p.high);
                        problems.push(Diagnostic::at(place, format!("`{}` is out of range", p.name), label));
                    }
                    Some(p) => {
                        parameters.0.insert(p.name.to_owned(), *value);
                    }
                }
            }
            DataSource::Generator { name: name.value.clone(), parameters }
        }
    };
    (problems.len() == before).then(|| Task {
        name: file.name.value.clone(),
        version: file.version,
        about: file.about.clone(),
        data,
        answer: file.answer,
        discontinuous: file.discontinuous.value.clone(),
        continuous: file.continuous.iter().map(|name| name.value.clone()).collect(),
        chance: file.chance,
    })
}

fn check_prompt(file: &PromptFile, all: &[PromptFile], problems: &mut Diagnostics) {
    for template in [&file.shot, &file.ask].into_iter().chain(&file.turns) {
        if let Err(error) = check(&template.value) {
            let mut place = template.place.clone();
            // The place of a string includes its quotes; escapes before the fault would shift it, so look the name up.
            if let Some(unknown) = &error.unknown
                && let Some(text) = place.source.text.get(place.range.clone())
                && let Some(offset) = text.find(unknown.as_str())
            {
                place.range = place.range.start + offset..place.range.start + offset + unknown.len();
            }
            let help = error.unknown.as_ref().map(|unknown| suggestion(unknown, &VARIABLES));
            let mut complaint = Diagnostic::at(&place, format!("bad template: {}", error.message), "here");
            complaint.help = help;
            problems.push(complaint);
        }
    }
    if !file.shot.value.starts_with(&file.ask.value) {
        let message = "`shot` does not begin as `ask` does, so that an example would not show what is asked";
        let complaint = Diagnostic::at(&file.shot.place, message, "must begin with the text of `ask`");
        problems.push(complaint.with_help(format!("`ask` is {:?}", file.ask.value)));
    }
    let techniques: Vec<&str> = prompting::TECHNIQUES.iter().map(|technique| technique.name()).collect();
    match prompting::find(&file.technique.value) {
        None => problems.push(Diagnostic::unknown("technique", &file.technique, &techniques)),
        Some(technique) => {
            let prompt = &file.prompt;
            for key in technique.required() {
                let is_there = match *key {
                    "tool" => prompt.tool.is_some(),
                    "call" => prompt.call.is_some(),
                    _ => prompt.answer_after.is_some(),
                };
                if !is_there {
                    let message = format!("the technique `{}` needs the key `{key}`", technique.name());
                    problems.push(Diagnostic::at(&file.technique.place, message, format!("needs `{key} = ..`")));
                }
            }
        }
    }
    if let Some(tool) = &file.tool
        && tools::find(&tool.value).is_none()
    {
        let known: Vec<&str> = tools::TOOLS.iter().map(|tool| tool.name()).collect();
        problems.push(Diagnostic::unknown("tool", tool, &known));
    }
    if let Some(baseline) = &file.baseline
        && find(all, &baseline.value).is_none()
    {
        let known: Vec<&str> = all.iter().map(|prompt| prompt.name.value.as_str()).collect();
        problems.push(Diagnostic::unknown("prompt", baseline, &known));
    }
}

fn resolve_models(workspace: &Workspace, ladder: &Ladder, problems: &mut Diagnostics) -> Vec<ModelEntry> {
    let mut models = Vec::new();
    let endpoints: Vec<&str> = workspace.config.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    for family in &workspace.config.families {
        let Some(endpoint) = workspace.config.endpoints.iter().find(|endpoint| endpoint.name == family.endpoint.value)
        else {
            problems.push(Diagnostic::unknown("endpoint", &family.endpoint, &endpoints));
            continue;
        };
        let is_embedded = endpoint.base_url == EMBEDDED;
        if workspace.config.families.iter().filter(|other| other.name.value == family.name.value).count() > 1 {
            problems.push(Diagnostic::at(&family.name.place, "two families of one name", "a name of its own is needed"));
        }
        let entry = |name: &str, scale: Scale, weights: Option<String>| ModelEntry {
            name: name.to_owned(),
            family: family.name.value.clone(),
            endpoint: endpoint.name.clone(),
            scale,
            weights,
        };
        match &family.models {
            ModelsSpec::All(place) if !is_embedded => {
                let message = "only an embedded endpoint knows the scale of its models";
                problems.push(Diagnostic::at(place, message, "list them: [{ name = \"..\", params = .. }]"));
            }
            ModelsSpec::All(place) => {
                let is_built_in = |card: &&ModelEntry| ladder.built_in.iter().any(|model| model.name == card.name);
                let entries = ladder.entries().filter(is_built_in);
                let entries = entries.map(|card| entry(&card.name, card.scale.clone(), card.weights.clone()));
                models.extend(entries.map(|model| (model, place)));
            }
            ModelsSpec::Listed(listed) if is_embedded => {
                for model in listed {
                    let matcher = WildMatch::new(&model.name.value);
                    let named: Vec<&ModelEntry> = ladder.entries().filter(|card| matcher.matches(&card.name)).collect();
                    if named.is_empty() {
                        let cards: Vec<&str> = ladder.entries().map(|card| card.name.as_str()).collect();
                        problems.push(Diagnostic::unknown("model of the ladder", &model.name, &cards));
                    }
                    let entries = named.into_iter().map(|card| entry(&card.name, card.scale.clone(), card.weights.clone()));
                    models.extend(entries.map(|card| (card, &model.name.place)));
                }
            }
            ModelsSpec::Listed(listed) => {
                for model in listed {
                    let place = &model.name.place;
                    if model.params.is_none() && model.flops.is_none() && model.tokens.is_none() {
                        let message =
                            format!("the scale of `{}` is not known, so it has no place on a curve", model.name.value);
                        problems.push(Diagnostic::at(
                            place,
                            message,
                            "needs `params = ..`, and best `tokens = ..` or `flops = ..`",
                        ));
                    }
                    let own = Scale {
                        params: model.params,
                        tokens: model.tokens,
                        flops: model.flops,
                        loss: model.loss,
                        seed: model.seed,
                        checkpoint: model.checkpoint,
                    };
                    models.push((entry(&model.name.value, own, None), place));
                }
            }
        }
    }
    for family in &workspace.config.families {
        let own: Vec<&Scale> =
            models.iter().filter(|(model, _)| model.family == family.name.value).map(|(model, _)| &model.scale).collect();
        let measures = |scale: &&Scale| [scale.flops, scale.params, scale.tokens].map(|measure| measure.is_some());
        let shared = own.iter().map(measures).reduce(|a, b| [a[0] && b[0], a[1] && b[1], a[2] && b[2]]);
        // A model without any measure was complained of already.
        let each_has_one = own.iter().map(measures).all(|measures| measures.contains(&true));
        if each_has_one && shared == Some([false; 3]) {
            let message = format!("the models of `{}` have no measure of scale in common", family.name.value);
            problems.push(Diagnostic::at(&family.name.place, message, "all need `params`, or all `tokens`, or all `flops`"));
        }
    }
    // Records are known by the model's name.
    let mut names = BTreeSet::new();
    for (model, place) in &models {
        if !names.insert(model.name.clone()) {
            let complaint = Diagnostic::at(place, format!("the model `{}` is there twice", model.name), "here again");
            problems.push(complaint.with_help("to compare two endpoints, use two configurations and two --out directories"));
        }
    }
    models.into_iter().map(|(model, _)| model).collect()
}

/// Why a task and a prompt make no cell.
enum Misfit {
    Pair(String),
    Samples(SamplesError),
}

impl From<SamplesError> for Misfit {
    fn from(error: SamplesError) -> Self {
        Self::Samples(error)
    }
}

/// Renders the examples of a cell and finds the limit on replies, or says why the pair does not go together.
fn make_cell(task: &PlannedTask, task_index: usize, prompt: &Prompt, prompt_index: usize) -> Result<Cell, Misfit> {
    let pair = |reason: &str| Err(Misfit::Pair(reason.to_owned()));
    let first = task.samples.test.get(0)?;
    let has = |variable: &str, present: fn(&Sample) -> bool| {
        let turns = prompt.turns.iter().flat_map(|turns| [Some(&turns.ask), Some(&turns.reply), turns.prefix.as_ref()]);
        let mut templates = [&prompt.shot, &prompt.ask].into_iter().chain(turns.flatten());
        templates.any(|template| uses(template, variable)) && !first.as_deref().is_some_and(present)
    };
    if has("steps", |sample| sample.steps.is_some()) {
        return pair("the prompt shows worked steps, which the task does not have");
    }
    if has("expression", |sample| sample.expression.is_some()) {
        return pair("the prompt calls a tool, and the task has no expression for one");
    }
    let own = match &task.task.data {
        DataSource::Generator { name, .. } => tasks::generators::find(name).map_or("", |generator| generator.tool()),
        DataSource::Rows(_) => "calculator",
    };
    if let Some(tool) = prompt.tool.as_deref().filter(|tool| uses(&prompt.shot, "expression") && *tool != own) {
        return Err(Misfit::Pair(format!("the prompt calls `{tool}`, and the task is for `{own}`")));
    }
    if has("choices", |sample| !sample.choices.is_empty()) {
        return pair("the prompt lists choices, which the task does not have");
    }
    let words = |error: crate::prompting::template::TemplateError| Misfit::Pair(error.to_string());
    let (shot, ask) = (Template::new(&prompt.shot).map_err(words)?, Template::new(&prompt.ask).map_err(words)?);
    let mut longest = 0;
    for sample in tasks::extent(&task.task, &task.samples) {
        let sample = sample?;
        let (whole, question) = (shot.render(&sample).map_err(words)?, ask.render(&sample).map_err(words)?);
        if !whole.starts_with(&question) {
            return pair("`shot` does not begin as `ask` does, so that an example would not show what is asked");
        }
        longest = longest.max(whole.len() - question.len());
    }
    let shots = task.samples.shots.iter().take(prompt.shots).map(|sample| shot.render(sample));
    let shots: String = shots.collect::<Result<_, _>>().map_err(words)?;
    let turns = match &prompt.turns {
        None => None,
        Some(turns) => {
            let ask = Template::new(&turns.ask).map_err(words)?;
            let reply = Template::new(&turns.reply).map_err(words)?;
            let examples = task.samples.shots.iter().take(prompt.shots);
            let examples = examples.map(|sample| Ok((ask.render(sample)?, reply.render(sample)?)));
            let prefix = turns.prefix.as_deref().map(Template::new).transpose().map_err(words)?;
            Some(CellTurns { examples: examples.collect::<Result<_, _>>().map_err(words)?, ask, prefix })
        }
    };
    let function = prompt.tool.as_deref().and_then(tools::find).map(tools::spec);
    let technique = prompting::find(&prompt.technique).ok_or_else(|| Misfit::Pair("unknown technique".to_owned()))?;
    // A round number, so that a problem a little longer than those seen before does not change every request.
    let max_tokens = u32::try_from((2 * longest).max(1).next_multiple_of(LIMIT_STEP)).unwrap_or(u32::MAX);
    Ok(Cell { task: task_index, prompt: prompt_index, shots, ask, turns, function, max_tokens, technique })
}
