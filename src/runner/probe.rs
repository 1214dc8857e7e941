//! Trying an endpoint: is it there and warm, which parameters does it honour, and are its log-probabilities true?
//!
//! A 200 is no evidence: servers ignore parameters they do not know, and some give log-probabilities of the wrong tokens. So every
//! capability is tried with a request whose right reply is known, and log-probabilities are checked against each other: the token that a
//! model writes has, when it is scored, the log-probability that it had when it was written.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::schema::{
    Call, Chat, Class, Endpoint, Finding, FinishReason, Found, HttpRequest, HttpResponse, Input, Message, Probe, Provider,
    Request, Response, Scoring, Transport, Wanted,
};
use crate::tools;

/// What a text is continued from, and what a chat is asked; any model goes on with digits. Without spaces, which some vocabularies
/// have as tokens of their own.
const COUNT: &str = "1,2,3,4,5,6,";
const ASK: &str = "Count from 1 to 20. Write only the numbers, separated by commas.";
const CALCULATE: &str = "What is 127 times 43? Use the calculator.";
/// Nats by which the log-probability of a token may differ between writing and scoring it: servers compute in few digits, and several tokens
/// may begin one text.
const TOLERANCE: f64 = 0.1;
/// Times a request is tried while an endpoint wakes up or is busy, and the wait between.
const TRIES: u32 = 4;
const WAIT: Duration = Duration::from_secs(1);
/// Seconds by which a clock may be off.
const CLOCK: i64 = 5;
/// The names under which servers tell the length of a context.
const CONTEXT: [&str; 8] = [
    "max_model_len",
    "context_length",
    "context_window",
    "max_context_length",
    "n_ctx",
    "n_ctx_train",
    "inputTokenLimit",
    "max_input_tokens",
];
/// Optional fields of a body that some endpoints reject.
const OPTIONAL: [&str; 5] = ["temperature", "seed", "top_p", "stop", "reasoning_effort"];
/// What is said where there is no token to go by.
const BLANK: &str = "the first token that it writes is blank";
/// Bytes of a message that are shown.
const SHOWN: usize = 200;

/// Why a try says nothing, or enough.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untried {
    /// The endpoint said, or showed, that it does not do that.
    #[error("{0}")]
    Rejected(String),
    /// Nothing is known: the endpoint failed, or was not reached.
    #[error("{0}")]
    Failed(String),
}

/// What an endpoint of this provider, dialect and address is known by.
#[must_use]
pub fn identity(endpoint: &Endpoint, address: &str) -> String {
    let text = format!("{}\n{}\n{address}", endpoint.provider, endpoint.dialect);
    blake3::hash(text.as_bytes()).to_hex().chars().take(16).collect()
}

/// Tries an endpoint with one of its models.
pub async fn probe(
    endpoint: &Endpoint,
    provider: &'static dyn Provider,
    transport: &dyn Transport,
    model: &str,
    identity: String,
) -> Probe {
    let mut prober =
        Prober { endpoint: endpoint.clone(), provider, transport, model, findings: Vec::new(), last: RefCell::new(None) };
    prober.all().await;
    Probe {
        endpoint: endpoint.name.clone(),
        identity,
        model: model.to_owned(),
        at: jiff::Timestamp::now().to_string(),
        findings: prober.findings,
    }
}

struct Prober<'a> {
    endpoint: Endpoint,
    provider: &'static dyn Provider,
    transport: &'a dyn Transport,
    model: &'a str,
    findings: Vec<Finding>,
    /// The last HTTP reply.
    last: RefCell<Option<HttpResponse>>,
}

impl Prober<'_> {
    fn note(&mut self, what: &str, found: Found, words: impl Into<String>) {
        self.findings.push(Finding { what: what.to_owned(), found, words: words.into() });
    }

    fn note_untried(&mut self, what: &str, untried: &Untried) {
        let found = if matches!(untried, Untried::Rejected(_)) { Found::No } else { Found::Unknown };
        self.note(what, found, untried.to_string());
    }

    fn counting(&self, max_tokens: u32, stop: &[&str]) -> Request {
        let stop = stop.iter().map(|&stop| stop.to_owned()).collect();
        Request { input: calibration_input(self.provider.is_chat()), wanted: Wanted::Reply { max_tokens, stop } }
    }

    /// Sends a request as it is encoded, and again while the endpoint is busy or not awake.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Untried> {
        let mut tries = 1;
        loop {
            let sent = self.transport.send(request.clone()).await;
            // Its connection is given back by a task of its own: before the next request looks for one. A run meanwhile writes.
            tokio::task::yield_now().await;
            let (error, is_final) = match sent {
                Ok(response) if (200..300).contains(&response.status) => {
                    *self.last.borrow_mut() = Some(response.clone());
                    return Ok(response);
                }
                Ok(response) => {
                    let body: String = String::from_utf8_lossy(&response.body).chars().take(SHOWN).collect();
                    let class = self.provider.classify(&response);
                    let words = format!("HTTP {}: {}", response.status, body.replace('\n', " "));
                    *self.last.borrow_mut() = Some(response);
                    (words, !matches!(class, Class::Transient | Class::RateLimited(_)))
                }
                Err(error) => (error.to_string(), false),
            };
            if is_final {
                return Err(Untried::Rejected(error));
            }
            if tries == TRIES {
                return Err(Untried::Failed(error));
            }
            tries += 1;
            tokio::time::sleep(WAIT).await;
        }
    }

    /// The reply to a request; the stops that it sets are not looked for in it again, as a run does.
    async fn ask(&self, request: &Request) -> Result<Response, Untried> {
        let (endpoint, seed, model) = (&self.endpoint, self.endpoint.sampling.seed, self.model);
        let encoded = self.provider.encode(&Call { endpoint, model, request, seed }).map_err(Untried::Rejected)?;
        let response = self.send(encoded).await?;
        let mut bare = request.clone();
        if let Wanted::Reply { stop, .. } = &mut bare.wanted {
            stop.clear();
        }
        self.provider.decode(&Call { endpoint, model, request: &bare, seed }, &response).map_err(Untried::Rejected)
    }

    async fn all(&mut self) {
        if !self.warm().await {
            return;
        }
        self.headers();
        self.limits().await;
        self.draws().await;
        self.functions().await;
        for scoring in self.provider.scoring(&self.endpoint.dialect.clone()) {
            self.endpoint.scoring = *scoring;
            match scoring {
                Scoring::Generation => {}
                scoring => {
                    let input = calibration_input(self.provider.is_chat());
                    let found = calibrate(*scoring, &input, async |request| self.ask(&request).await).await;
                    match found {
                        Ok((found, words)) => self.note(scoring.name(), found, words),
                        Err(untried) => self.note_untried(scoring.name(), &untried),
                    }
                }
            }
        }
        self.models().await;
    }

    /// A real request: that an endpoint is healthy does not say that it answers.
    async fn warm(&mut self) -> bool {
        let request = self.counting(16, &[]);
        let clock = Instant::now();
        match self.ask(&request).await {
            Ok(response) => {
                let first = clock.elapsed().as_millis();
                let clock = Instant::now();
                // The second request shows what the first took for waking up.
                let second = self.ask(&request).await.map(|_| clock.elapsed().as_millis());
                let second = second.map_or_else(|error| error.to_string(), |second| format!("{second} ms when asked again"));
                let text: String = response.text.chars().take(60).collect();
                let model = response.model.map(|model| format!(", and says it is {model}")).unwrap_or_default();
                self.note("warm", Found::Yes, format!("replied {text:?} after {first} ms, {second}{model}"));
                true
            }
            Err(error) => {
                let mut words = format!("{}: {error}", self.transport.address());
                if let Some(field) = self.rejected(&request).await {
                    words = format!("rejects `{field}`: omit = [\"{field}\"] leaves it out ({error})");
                }
                self.note("warm", Found::No, words);
                false
            }
        }
    }

    /// The optional field without which the endpoint takes a request that it rejects.
    async fn rejected(&mut self, request: &Request) -> Option<&'static str> {
        if !self.last.borrow().as_ref().is_some_and(|response| matches!(response.status, 400 | 422)) {
            return None;
        }
        let before = self.endpoint.sampling.omit.clone();
        let mut found = None;
        for field in OPTIONAL {
            self.endpoint.sampling.omit.push(field.to_owned());
            let answered = self.ask(request).await.is_ok();
            self.endpoint.sampling.omit.clone_from(&before);
            if answered {
                found = Some(field);
                break;
            }
        }
        found
    }

    /// The clock and the quotas of the last reply.
    fn headers(&mut self) {
        let Some(response) = self.last.borrow().clone() else { return };
        match response.header("date").and_then(|date| httpdate::parse_http_date(date).ok()) {
            None => self.note("clock", Found::Unknown, "no `Date` header"),
            Some(date) => {
                let theirs = date.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
                let off = jiff::Timestamp::now().as_second() - i64::try_from(theirs).unwrap_or_default();
                let found = if off.abs() <= CLOCK { Found::Yes } else { Found::No };
                self.note("clock", found, format!("{off} s behind this machine's; a date in `Retry-After` is off by that"));
            }
        }
        let quotas = self.provider.allowance(&response).quotas;
        if quotas.is_empty() {
            self.note(
                "quotas",
                Found::Unknown,
                "no headers say what is left; requests_per_minute and tokens_per_minute would help",
            );
        } else {
            let said: Vec<String> =
                quotas.iter().map(|(left, reset)| format!("{left} left for {:.0} s", reset.as_secs_f64())).collect();
            self.note("quotas", Found::Yes, said.join(", "));
        }
    }

    /// The limit on a reply, and the text that ends it.
    async fn limits(&mut self) {
        let request = self.counting(4, &[]);
        match self.ask(&request).await {
            Ok(response) => {
                let written = response.usage.map(|usage| usage.completion_tokens);
                let is_cut = response.finish == FinishReason::Length;
                match written {
                    Some(written) if written > 4 => {
                        self.note("max_tokens", Found::No, format!("wrote {written} tokens where 4 were allowed"));
                    }
                    _ if is_cut => self.note("max_tokens", Found::Yes, "cut at 4 tokens, and says so"),
                    _ => self.note(
                        "max_tokens",
                        Found::Unknown,
                        format!("replied {:?} and does not say that it was cut", response.text),
                    ),
                }
                let found = if written.is_some() { Found::Yes } else { Found::No };
                self.note(
                    "usage",
                    found,
                    written.map_or("does not count tokens".to_owned(), |n| format!("counts tokens ({n} written)")),
                );
            }
            Err(untried) => self.note_untried("max_tokens", &untried),
        }
        // The numbers behind the stop must not be there.
        let request = self.counting(32, &["9"]);
        match self.ask(&request).await {
            Ok(response) => {
                let text: String = response.text.chars().take(60).collect();
                match (response.text.contains('8'), response.text.contains('9')) {
                    (_, true) => {
                        self.note("stop", Found::No, format!("went on behind it: {text:?}; a run cuts there itself"))
                    }
                    (true, false) => self.note("stop", Found::Yes, format!("stopped at it: {text:?}")),
                    (false, false) => self.note("stop", Found::Unknown, format!("replied {text:?}")),
                }
            }
            Err(untried) => self.note_untried("stop", &untried),
        }
    }

    /// Temperature and seed: drawn twice with one seed, and with another.
    async fn draws(&mut self) {
        let sampling = self.endpoint.sampling.clone();
        let input = start(self.provider.is_chat(), "Once upon a time", "Write a sentence about anything at all.");
        let request = Request { input, wanted: Wanted::Reply { max_tokens: 24, stop: Vec::new() } };
        let mut texts = Vec::new();
        for (temperature, seed) in [(0.0, 1), (0.0, 1), (1.0, 1), (1.0, 1), (1.0, 2), (1.0, 3)] {
            self.endpoint.sampling.temperature = Some(temperature);
            self.endpoint.sampling.seed = seed;
            match self.ask(&request).await {
                Ok(response) => texts.push(format!("{}{}", response.thinking.unwrap_or_default(), response.text)),
                Err(untried) => {
                    self.note_untried("temperature", &untried);
                    break;
                }
            }
        }
        self.endpoint.sampling = sampling;
        let [cold, again, warm, same, other, third] = texts.as_slice() else { return };
        let found = if cold == again { Found::Yes } else { Found::No };
        self.note(
            "repeatable",
            found,
            format!("temperature 0 twice: {}", if cold == again { "the same text" } else { "other texts" }),
        );
        let varies = [same, other, third].iter().any(|text| *text != warm);
        let words = if varies { "texts differ at temperature 1" } else { "always the same text at temperature 1" };
        self.note("temperature", if varies { Found::Yes } else { Found::Unknown }, words);
        let (found, words) = match (warm == same, varies) {
            (true, true) => (Found::Yes, "one seed gave one text, others others"),
            (true, false) => (Found::Unknown, "every seed gave the same text"),
            (false, _) => (Found::No, "one seed gave two texts: what is drawn cannot be repeated"),
        };
        self.note("seed", found, words);
    }

    /// Whether a function that is offered is called.
    async fn functions(&mut self) {
        if !self.provider.is_chat() || !self.provider.has_functions(&self.endpoint.dialect) {
            return;
        }
        let Some(tool) = tools::TOOLS.first() else { return };
        let messages = vec![Message::User { text: CALCULATE.to_owned() }];
        let input = Input::Chat(Chat { messages, tools: vec![tools::spec(*tool)], ..Chat::default() });
        let request = Request { input, wanted: Wanted::Reply { max_tokens: 512, stop: Vec::new() } };
        match self.ask(&request).await {
            Ok(response) => match response.calls.first() {
                Some(call) => self.note("tools", Found::Yes, format!("calls {}({})", call.tool, call.arguments)),
                None => {
                    let text: String = response.text.chars().take(60).collect();
                    self.note("tools", Found::Unknown, format!("a function was offered, and the model replied {text:?}"));
                }
            },
            Err(untried) => self.note_untried("tools", &untried),
        }
    }

    /// Whether the model is listed, and how long a context it takes.
    async fn models(&mut self) {
        let list = HttpRequest { method: "GET", path: "/models".to_owned(), headers: Vec::new(), body: Vec::new() };
        let body: Option<Value> =
            self.send(list).await.ok().and_then(|response| serde_json::from_slice(&response.body).ok());
        let listed =
            body.as_ref().and_then(|body| body.get("data").or_else(|| body.get("models"))).and_then(Value::as_array);
        let Some(listed) = listed else { return self.note("context", Found::Unknown, "the endpoint lists no models") };
        let name = |entry: &Value| {
            let text = ["id", "name", "model"].iter().find_map(|field| entry.get(*field)).and_then(Value::as_str);
            text.map(|text| text.trim_start_matches("models/").to_owned())
        };
        let own = listed.iter().find(|entry| name(entry).as_deref() == Some(self.model));
        match own.and_then(context) {
            Some(length) => self.note("context", Found::Yes, format!("{length} tokens")),
            None if own.is_some() => self.note("context", Found::Unknown, "the endpoint does not say"),
            None => {
                let names: Vec<String> = listed.iter().filter_map(name).take(8).collect();
                self.note("context", Found::Unknown, format!("the model is not listed; there are {}", names.join(", ")));
            }
        }
    }
}

/// What log-probabilities are asked for when a run calibrates an endpoint before it believes it.
#[must_use]
pub(super) fn calibration_input(is_chat: bool) -> Input {
    start(is_chat, COUNT, ASK)
}

fn start(is_chat: bool, text: &str, ask: &str) -> Input {
    if is_chat {
        Input::Chat(Chat { messages: vec![Message::User { text: ask.to_owned() }], ..Chat::default() })
    } else {
        Input::Text(text.to_owned())
    }
}

/// Whether the log-probability of a text is true: of the token that the model writes it is what it was when it was written, and texts that
/// exclude one another do not add up to more than one.
///
/// # Errors
/// When that could not be tried.
pub(super) async fn calibrate(
    scoring: Scoring,
    input: &Input,
    ask: impl AsyncFn(Request) -> Result<Response, Untried>,
) -> Result<(Found, String), Untried> {
    let found = try_to_calibrate(scoring, input, ask).await;
    match found {
        Err(Untried::Rejected(words)) => Ok((Found::No, words)),
        found => found,
    }
}

async fn try_to_calibrate(
    scoring: Scoring,
    input: &Input,
    ask: impl AsyncFn(Request) -> Result<Response, Untried>,
) -> Result<(Found, String), Untried> {
    let written = match written(input, &ask).await {
        Err(failed @ Untried::Failed(_)) => return Err(failed),
        written => written,
    };
    if scoring == Scoring::FirstToken {
        return Ok(match written? {
            Some((text, logprob)) => (Found::Yes, format!("writes {text:?} with a log-probability of {logprob:.3}")),
            None => (Found::Unknown, BLANK.to_owned()),
        });
    }
    let text = if let Ok(Some((text, _))) = &written { text.clone() } else { "7".to_owned() };
    let scored = async |continuation: &str| {
        let wanted = Wanted::Logprob { continuation: continuation.to_owned() };
        let response = ask(Request { input: input.clone(), wanted }).await?;
        let missing = || Untried::Rejected(format!("no log-probability of {continuation:?}"));
        response.logprobs.map(|logprobs| logprobs.sum).ok_or_else(missing)
    };
    let own = scored(&text).await?;
    let mut together = own.exp();
    for other in ["9", " cat", "xyz"] {
        if !text.trim().starts_with(other.trim()) && !other.trim().starts_with(text.trim()) {
            together += scored(other).await?.exp();
        }
    }
    if own > 0.0 || together > 1.0 + TOLERANCE {
        return Ok((Found::No, format!("texts that exclude one another have a probability of {together:.2} together")));
    }
    Ok(match written {
        Ok(Some((_, logprob))) => {
            let found = if (own - logprob).abs() <= TOLERANCE { Found::Yes } else { Found::No };
            (found, format!("{text:?} has {logprob:.3} nats when it is written and {own:.3} when it is scored"))
        }
        other => {
            let why = other.err().map_or_else(|| BLANK.to_owned(), |untried| untried.to_string());
            (Found::Unknown, format!("{text:?} has {own:.3} nats; not compared with a token as it is written: {why}"))
        }
    })
}

/// The token that the model writes, and its log-probability as it writes it; none when that is a blank.
async fn written(
    input: &Input,
    ask: &impl AsyncFn(Request) -> Result<Response, Untried>,
) -> Result<Option<(String, f64)>, Untried> {
    let reply = Wanted::Reply { max_tokens: 1, stop: Vec::new() };
    // Who does not even reply says nothing of log-probabilities.
    let reply = ask(Request { input: input.clone(), wanted: reply }).await;
    let text = reply.map_err(|untried| Untried::Failed(untried.to_string()))?.text;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let options = Wanted::Options { options: vec![text.clone()] };
    let response = ask(Request { input: input.clone(), wanted: options }).await?;
    let logprob = response.options.and_then(|options| options.options.into_iter().next().flatten());
    let missing = || Untried::Rejected(format!("{text:?}, which it writes, is not among the tokens it lists"));
    logprob.map(|logprob| Some((text.clone(), logprob))).ok_or_else(missing)
}

/// The length of a context, wherever an entry has it.
fn context(entry: &Value) -> Option<u64> {
    let fields = entry.as_object()?;
    let own = CONTEXT.iter().find_map(|name| fields.get(*name).and_then(Value::as_u64));
    own.or_else(|| fields.values().find_map(context))
}
