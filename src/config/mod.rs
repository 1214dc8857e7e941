//! What people write: `config.toml`, task files and prompt files, read with the place of every name.

mod prompt_file;
mod shipped;
mod source;
mod task_file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;

use crate::schema::{Price, Prompt};

pub use prompt_file::{PromptFile, read_prompt};
pub use shipped::{SHIPPED_CONFIG, SHIPPED_PROMPTS, SHIPPED_TASKS};
pub use source::{Diagnostic, Diagnostics, Located, Place, Source, suggestion};
use source::{Table, parse};
pub use task_file::{Data, TaskFile, read_task};

/// What `samples` may be beside a number.
const UNTIL_RESOLVED: &str = "until-resolved";

/// The address of the built-in models.
pub const EMBEDDED: &str = "embedded:ladder";

/// An endpoint as the configuration says it.
#[derive(Debug, Clone)]
pub struct EndpointSpec {
    /// Unique name.
    pub name: String,
    /// The provider.
    pub provider: Located<String>,
    /// Its dialect, when said.
    pub dialect: Option<Located<String>>,
    /// Where it is; [`EMBEDDED`] for the built-in models.
    pub base_url: String,
    /// Where its key comes from.
    pub api_key: Option<Secret>,
    /// Headers of every request.
    pub headers: Vec<(String, Secret)>,
    /// How log-probabilities are had, when said.
    pub logprobs: Option<Located<String>>,
    /// Whether tools are offered as functions (`native`) or in the text (`text`), when said.
    pub tool_calls: Option<Located<String>>,
    /// The file of the model's chat template.
    pub chat_template: Option<Located<PathBuf>>,
    /// How the models are made to choose.
    pub sampling: SamplingSpec,
    /// Most tokens of a reply, instead of what the tasks suggest.
    pub max_tokens: Option<u32>,
    /// The account whose limits it shares; its own under its own name when absent.
    pub account: String,
    /// What it, or its account, allows.
    pub limits: LimitsSpec,
    /// Longest wait for one complete reply, in seconds.
    pub timeout_seconds: u64,
}

/// What an endpoint or an account allows.
#[derive(Debug, Clone, Copy)]
pub struct LimitsSpec {
    /// Requests at a time.
    pub in_flight: usize,
    /// Requests a minute, when limited.
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, when limited.
    pub tokens_per_minute: Option<u32>,
}

/// How the models of an endpoint are made to choose.
#[derive(Debug, Clone, Default)]
pub struct SamplingSpec {
    /// Temperature; zero when absent.
    pub temperature: Option<f64>,
    /// Share of the probability from which tokens are drawn.
    pub top_p: Option<f64>,
    /// How much a model that thinks is to think.
    pub reasoning_effort: Option<String>,
    /// Most tokens of thinking.
    pub thinking_budget: Option<u32>,
    /// Fields put over those of every request's body.
    pub extra_body: serde_json::Map<String, serde_json::Value>,
    /// Fields left out of every request's body.
    pub omit: Vec<String>,
}

/// A value that may have to be kept secret: it is read only when something is sent, and never written anywhere.
#[derive(Debug, Clone)]
pub struct Secret {
    origin: Origin,
    place: Place,
}

#[derive(Debug, Clone)]
enum Origin {
    Environment(String),
    File(String),
    /// A header that is no secret.
    Plain(String),
}

impl Secret {
    /// A secret comes from the environment or a file: one that is written out would end in a repository.
    fn parse(what: &str, written: &Located<String>, problems: &mut Diagnostics) -> Option<Self> {
        let origin = Self::origin(&written.value);
        if origin.is_none() {
            // The place would print the line, and with it the key.
            let message = format!("{what}: a key must not be written in the configuration");
            let help = format!("{what} = \"${{NAME}}\" takes it from the environment, \"file:PATH\" from a file");
            problems.push(Diagnostic::general(message, help));
        }
        Some(Self { origin: origin?, place: written.place.clone() })
    }

    /// The value of a header, which may be written out unless its name is that of a secret.
    fn header(name: &str, written: &Located<String>, problems: &mut Diagnostics) -> Option<Self> {
        let words = ["auth", "key", "token", "secret", "cookie", "password", "credential"];
        if words.iter().any(|word| name.to_lowercase().contains(word)) {
            return Self::parse(name, written, problems);
        }
        let origin = Self::origin(&written.value).unwrap_or_else(|| Origin::Plain(written.value.clone()));
        Some(Self { origin, place: written.place.clone() })
    }

    fn origin(text: &str) -> Option<Origin> {
        if let Some(variable) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
            return Some(Origin::Environment(variable.to_owned()));
        }
        text.strip_prefix("file:").map(|path| Origin::File(path.to_owned()))
    }

    /// The value itself.
    ///
    /// # Errors
    /// When it is not there, or cannot be sent.
    pub fn read(&self) -> Result<SecretString, Diagnostics> {
        let value = match &self.origin {
            Origin::Environment(variable) => {
                std::env::var(variable).map_err(|_| format!("the environment variable {variable} is not set"))
            }
            Origin::File(path) => std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}")),
            Origin::Plain(value) => Ok(value.clone()),
        };
        let may_hold = |c: char| c.is_ascii_graphic() || (c == ' ' && matches!(self.origin, Origin::Plain(_)));
        let value = value.map(|value| value.trim().to_owned()).and_then(|value| {
            let can_be_sent = !value.is_empty() && value.chars().all(may_hold);
            can_be_sent.then_some(value).ok_or_else(|| "the key is empty or holds what no header can hold".to_owned())
        });
        value.map(SecretString::from).map_err(|message| {
            let complaint = Diagnostic::at(&self.place, format!("no key: {message}"), "is needed to send anything");
            vec![complaint.with_help("leave it out where the endpoint needs none")]
        })
    }

    /// Whether the value must never be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        !matches!(self.origin, Origin::Plain(_))
    }
}

/// One model of a family.
#[derive(Debug, Clone)]
pub struct ModelSpec {
    /// Its name at the endpoint.
    pub name: Located<String>,
    /// Number of parameters.
    pub params: Option<f64>,
    /// Training tokens.
    pub tokens: Option<f64>,
    /// Training compute.
    pub flops: Option<f64>,
    /// Loss on held-out text, in nats per token.
    pub loss: Option<f64>,
    /// Seed of the training run.
    pub seed: Option<u64>,
    /// Training step, for a checkpoint that is not the last.
    pub checkpoint: Option<u64>,
    /// What it costs.
    pub price: Option<Price>,
}

/// The models of a family.
#[derive(Debug, Clone)]
pub enum ModelsSpec {
    /// Every model of an embedded endpoint, with the scales of its cards.
    All(Place),
    /// These.
    Listed(Vec<ModelSpec>),
}

/// A family of models.
#[derive(Debug, Clone)]
pub struct FamilySpec {
    /// Unique name.
    pub name: Located<String>,
    /// The endpoint that serves it.
    pub endpoint: Located<String>,
    /// Its models.
    pub models: ModelsSpec,
}

/// The configuration as it was written.
#[derive(Debug, Clone)]
pub struct Config {
    /// Seed of samples, shots and intervals.
    pub seed: u64,
    /// Samples per task; nothing where verdicts decide.
    pub samples: usize,
    /// Whether no more is asked than the verdicts need: `samples = "until-resolved"`.
    pub until_resolved: bool,
    /// The most samples then.
    pub max_samples: Option<usize>,
    /// How often each sample is asked.
    pub repetitions: u32,
    /// Names or patterns of tasks.
    pub tasks: Vec<Located<String>>,
    /// Names or patterns of prompts.
    pub prompts: Vec<Located<String>>,
    /// The endpoints.
    pub endpoints: Vec<EndpointSpec>,
    /// The families.
    pub families: Vec<FamilySpec>,
}

/// All that one directory offers: the configuration and every task and prompt, shipped ones included.
#[derive(Debug)]
pub struct Workspace {
    /// The configuration.
    pub config: Config,
    /// Every task, by name.
    pub tasks: Vec<TaskFile>,
    /// Every prompt, by name.
    pub prompts: Vec<PromptFile>,
    /// Where the configuration came from; none for the built-in one.
    pub file: Option<PathBuf>,
}

impl Workspace {
    /// The directory that the configuration lies in, and its tasks, prompts and models.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""))
    }

    /// The prompt of that name.
    #[must_use]
    pub fn prompt(&self, name: &str) -> Option<&Prompt> {
        self.prompts.iter().find(|file| file.name.value == name).map(|file| &file.prompt)
    }
}

/// Reads a configuration (the built-in one for `None`), the assignments of `--set` put over it, and all tasks and prompts.
///
/// # Errors
/// Everything that is wrong in any of the files.
pub fn load(file: Option<&Path>, assignments: &[String]) -> Result<Workspace, Diagnostics> {
    let source = match file {
        None => Source { file: "built-in config.toml".to_owned(), text: SHIPPED_CONFIG.to_owned() },
        Some(path) => read_source(path).map_err(|problem| vec![problem])?,
    };
    let mut problems = Diagnostics::new();
    let mut table = parse(&Arc::new(source)).map_err(|problem| vec![*problem])?;
    for assignment in assignments {
        let source = Arc::new(Source { file: format!("--set {assignment}"), text: assignment.clone() });
        match parse(&source) {
            Ok(over) => table.merge(over),
            Err(problem) => {
                let help = "write it as TOML: --set samples=50, --set 'endpoints.vllm.base_url=\"http://..\"'";
                problems.push(problem.with_help(help));
            }
        }
    }
    let directory = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let config = read_config(table, directory, &mut problems);
    let tasks = load_all(SHIPPED_TASKS, &directory.join("tasks"), &mut problems, read_task, |task| &task.name);
    let prompts = load_all(
        SHIPPED_PROMPTS,
        &directory.join("prompts"),
        &mut problems,
        |source, _| read_prompt(source),
        |prompt| &prompt.name,
    );
    match config {
        Some(config) if problems.is_empty() => Ok(Workspace { config, tasks, prompts, file: file.map(Path::to_owned) }),
        _ => Err(problems),
    }
}

fn read_source(path: &Path) -> Result<Source, Diagnostic> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Diagnostic::general(format!("cannot read {}: {error}", path.display()), "`onset init` writes one to start from")
    })?;
    Ok(Source { file: path.display().to_string(), text })
}

/// The shipped files, then those of a directory, which override by name.
fn load_all<T>(
    shipped: &[(&str, &str)],
    directory: &Path,
    problems: &mut Diagnostics,
    read: impl Fn(&Arc<Source>, Option<&Path>) -> Result<T, Diagnostics>,
    name: impl Fn(&T) -> &Located<String>,
) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    let mut sources: Vec<Source> =
        shipped.iter().map(|&(file, text)| Source { file: format!("built-in {file}"), text: text.to_owned() }).collect();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    for path in paths {
        match read_source(&path) {
            Ok(source) => sources.push(source),
            Err(problem) => problems.push(problem),
        }
    }
    for (index, source) in sources.into_iter().enumerate() {
        let source = Arc::new(source);
        match read(&source, Some(directory)) {
            Ok(item) if index >= shipped.len() && own.contains_key(name(&item).value.as_str()) => {
                let name = name(&item);
                let earlier = own.get(&name.value).cloned().unwrap_or_default();
                problems.push(Diagnostic::at(
                    &name.place,
                    format!("{earlier} has this name already"),
                    "a name of its own is needed",
                ));
            }
            Ok(item) => {
                if index >= shipped.len() {
                    own.insert(name(&item).value.clone(), source.file.clone());
                }
                match all.iter_mut().find(|known| name(known).value == name(&item).value) {
                    Some(known) => *known = item,
                    None => all.push(item),
                }
            }
            Err(more) => problems.extend(more),
        }
    }
    all
}

fn read_config(mut table: Table, directory: &Path, problems: &mut Diagnostics) -> Option<Config> {
    let seed = table.take("seed").and_then(|node| node.integer(0, problems)).unwrap_or(1);
    let max_samples = table.take("max_samples").and_then(|node| node.integer(1, problems));
    let mut until_resolved = false;
    let samples = table.require("samples", problems).and_then(|node| match &node.value {
        source::Value::String(word) if word == UNTIL_RESOLVED => {
            until_resolved = true;
            Some(0)
        }
        source::Value::String(_) => {
            let message = format!("`samples` is a number or \"{UNTIL_RESOLVED}\"");
            problems.push(Diagnostic::at(&node.place, message, format!("expected a number or \"{UNTIL_RESOLVED}\"")));
            None
        }
        _ => node.integer(1, problems),
    });
    let repetitions = table.take("repetitions").map_or(Some(1), |node| {
        let place = node.place.clone();
        let repetitions = node.integer(1, problems)?;
        let found = u16::try_from(repetitions).ok();
        if found.is_none() {
            problems.push(Diagnostic::at(&place, "too many repetitions", format!("at most {}", u16::MAX)));
        }
        found
    });
    let tasks = table.require("tasks", problems).and_then(|node| node.some("tasks", problems)?.strings(problems));
    let prompts = table.require("prompts", problems).and_then(|node| node.some("prompts", problems)?.strings(problems));
    let accounts = table.take("accounts").and_then(|node| node.table(problems)).map(|mut table| table.rest());
    let endpoints = table.require("endpoints", problems).and_then(|node| node.table(problems));
    let families = table.require("families", problems).and_then(|node| node.some("families", problems)?.list(problems));
    table.finish(problems);
    let accounts: Vec<(String, LimitsSpec)> = accounts
        .into_iter()
        .flatten()
        .filter_map(|(name, node)| {
            let mut table = node.table(problems)?;
            let limits = read_limits(&mut table, problems);
            table.finish(problems);
            Some((name.value, limits))
        })
        .collect();
    let endpoints = endpoints
        .map(|mut table| table.rest())
        .into_iter()
        .flatten()
        .filter_map(|(name, node)| read_endpoint(name.value, node.table(problems)?, directory, &accounts, problems))
        .collect();
    let families = families.into_iter().flatten().filter_map(|node| read_family(node.table(problems)?, problems)).collect();
    Some(Config {
        seed: seed.unsigned_abs(),
        samples: usize::try_from(samples?).unwrap_or(usize::MAX),
        until_resolved,
        max_samples: max_samples.map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
        repetitions: u32::from(repetitions?),
        tasks: tasks?,
        prompts: prompts?,
        endpoints,
        families,
    })
}

/// The keys of limits.
const LIMITS: [&str; 3] = ["in_flight", "requests_per_minute", "tokens_per_minute"];

fn read_limits(table: &mut Table, problems: &mut Diagnostics) -> LimitsSpec {
    let [in_flight, requests_per_minute, tokens_per_minute] = LIMITS.map(|key| {
        let count = table.take(key).and_then(|node| node.integer(1, problems));
        count.map(|count| u32::try_from(count).unwrap_or(u32::MAX))
    });
    LimitsSpec { in_flight: in_flight.unwrap_or(32) as usize, requests_per_minute, tokens_per_minute }
}

fn read_endpoint(
    name: String,
    mut table: Table,
    directory: &Path,
    accounts: &[(String, LimitsSpec)],
    problems: &mut Diagnostics,
) -> Option<EndpointSpec> {
    let provider = table.require("provider", problems).and_then(|node| node.string(problems));
    let base_url = table.require("base_url", problems).and_then(|node| node.string(problems));
    let mut string = |key: &'static str| table.take(key).and_then(|node| node.string(problems));
    let (api_key, dialect, logprobs) = (string("api_key"), string("dialect"), string("logprobs"));
    let (tool_calls, chat_template) = (string("tool_calls"), string("chat_template"));
    let reasoning_effort = string("reasoning_effort").map(|effort| effort.value);
    let account = string("account");
    let has_limits = table.has_any(&LIMITS);
    let mut limits = read_limits(&mut table, problems);
    let mut count = |key: &'static str| table.take(key).and_then(|node| node.integer(1, problems));
    let (max_tokens, thinking_budget, timeout) = (count("max_tokens"), count("thinking_budget"), count("timeout_seconds"));
    let temperature = table.take("temperature").and_then(|node| node.within(0.0, 2.0, problems));
    let top_p = table.take("top_p").and_then(|node| node.within(0.0, 1.0, problems));
    let extra_body = table.take("extra_body").and_then(|node| node.json_table(problems)).unwrap_or_default();
    let omit = table.take("omit").and_then(|node| node.strings(problems)).unwrap_or_default();
    let headers = table.take("headers").and_then(|node| node.table(problems)).map(|mut table| table.rest());
    table.finish(problems);
    let base_url = base_url?;
    let known = ["http://", "https://"].iter().any(|prefix| base_url.value.starts_with(prefix));
    if !known && base_url.value != EMBEDDED {
        problems.push(
            Diagnostic::at(&base_url.place, "not an address", format!("expected http://, https:// or {EMBEDDED}"))
                .with_help("for a local server: base_url = \"http://localhost:8000/v1\""),
        );
    }
    let api_key = match api_key {
        None => None,
        Some(written) => Some(Secret::parse("api_key", &written, problems)?),
    };
    let mut read = Vec::new();
    for (name, node) in headers.into_iter().flatten() {
        let value = node.string(problems)?;
        let secret = Secret::header(&name.value, &value, problems)?;
        if !name.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') || name.value.is_empty() {
            problems.push(Diagnostic::at(&name.place, "no name of a header", "letters, digits, - and _"));
        }
        read.push((name.value.to_lowercase(), secret));
    }
    let account = match account {
        None => name.clone(),
        Some(account) => {
            let names: Vec<&str> = accounts.iter().map(|(name, _)| name.as_str()).collect();
            match accounts.iter().find(|(name, _)| *name == account.value) {
                None if names.is_empty() => {
                    let complaint = Diagnostic::at(&account.place, "there is no account", "names none");
                    problems.push(complaint.with_help(format!("[accounts.{}] has its limits", account.value)));
                }
                None => problems.push(Diagnostic::unknown("account", &account, &names)),
                Some(_) if has_limits => {
                    let message = format!("the limits of `{name}` are those of its account");
                    let help =
                        format!("in_flight, requests_per_minute and tokens_per_minute go to [accounts.{}]", account.value);
                    problems.push(Diagnostic::at(&account.place, message, "has limits of its own").with_help(help));
                }
                Some((_, shared)) => limits = *shared,
            }
            format!("account {}", account.value)
        }
    };
    let narrow = |value: Option<i64>| value.map(|value| u32::try_from(value).unwrap_or(u32::MAX));
    Some(EndpointSpec {
        name,
        provider: provider?,
        dialect,
        base_url: base_url.value,
        api_key,
        headers: read,
        logprobs,
        tool_calls,
        chat_template: chat_template.map(|path| Located { value: directory.join(&path.value), place: path.place }),
        sampling: SamplingSpec {
            temperature,
            top_p,
            reasoning_effort,
            thinking_budget: narrow(thinking_budget),
            extra_body,
            omit: omit.into_iter().map(|name| name.value).collect(),
        },
        max_tokens: narrow(max_tokens),
        account,
        limits,
        timeout_seconds: timeout.unwrap_or(120).unsigned_abs(),
    })
}

fn read_family(mut table: Table, problems: &mut Diagnostics) -> Option<FamilySpec> {
    let name = table.require("name", problems).and_then(|node| node.string(problems));
    let endpoint = table.require("endpoint", problems).and_then(|node| node.string(problems));
    let shared_tokens = table.take("tokens").and_then(|node| node.positive(problems));
    let models = table.require("models", problems);
    table.finish(problems);
    let models = models.and_then(|node| match &node.value {
        source::Value::String(word) if word == "all" => Some(ModelsSpec::All(node.place)),
        source::Value::Array(_) => {
            let items = node.some("models", problems)?.list(problems)?;
            let models = items.into_iter().filter_map(|item| read_model(item.table(problems)?, shared_tokens, problems));
            Some(ModelsSpec::Listed(models.collect()))
        }
        _ => {
            let message = "`models` is either \"all\" or a list";
            problems.push(Diagnostic::at(&node.place, message, "expected \"all\" or [{ name = .., params = .. }]"));
            None
        }
    });
    Some(FamilySpec { name: name?, endpoint: endpoint?, models: models? })
}

fn read_model(mut table: Table, shared_tokens: Option<f64>, problems: &mut Diagnostics) -> Option<ModelSpec> {
    let name = table.require("name", problems).and_then(|node| node.string(problems));
    let mut number = |key: &'static str| table.take(key).and_then(|node| node.positive(problems));
    let (params, own_tokens, flops, loss) = (number("params"), number("tokens"), number("flops"), number("loss"));
    let mut whole = |key: &'static str| table.take(key).and_then(|node| node.integer(0, problems)).map(i64::unsigned_abs);
    let (seed, checkpoint) = (whole("seed"), whole("checkpoint"));
    let price = table.take("price").and_then(|node| read_price(node.table(problems)?, problems));
    table.finish(problems);
    if let (Some(name), Some(_), None) = (&name, checkpoint, own_tokens) {
        let message = format!("the checkpoint `{}` does not say how many tokens it was trained on", name.value);
        problems.push(Diagnostic::at(&name.place, message, "needs `tokens = ..` of its own"));
    }
    let tokens = own_tokens.or(shared_tokens);
    let flops = flops.or_else(|| Some(6.0 * params? * tokens?));
    Some(ModelSpec { name: name?, params, tokens, flops, loss, seed, checkpoint, price })
}

/// Dollars for a million tokens: more is a slip of units.
const HIGHEST_PRICE: f64 = 1e5;

fn read_price(mut table: Table, problems: &mut Diagnostics) -> Option<Price> {
    let mut price =
        |key: &'static str| table.require(key, problems).and_then(|node| node.within(0.0, HIGHEST_PRICE, problems));
    let (input, output) = (price("input"), price("output"));
    table.finish(problems);
    Some(Price { input: input?, output: output? })
}
