//! An endpoint of raw bytes that misbehaves as it is told, and keeps the books: what it answered, to whom, and what it would charge.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What may happen to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    Limited,
    LimitedSeconds,
    LimitedDate,
    InternalError,
    BadGateway,
    Overloaded,
    Reset,
    Stall,
    SlowDrip,
    CutJson,
    WrongContentType,
    InvalidUtf8,
    CutStream,
    NoChoices,
    NullContent,
    Declares2Gb,
    Redirect,
    TwoReplies,
}

impl Fault {
    pub(crate) const ALL: [Self; 18] = [
        Self::Limited,
        Self::LimitedSeconds,
        Self::LimitedDate,
        Self::InternalError,
        Self::BadGateway,
        Self::Overloaded,
        Self::Reset,
        Self::Stall,
        Self::SlowDrip,
        Self::CutJson,
        Self::WrongContentType,
        Self::InvalidUtf8,
        Self::CutStream,
        Self::NoChoices,
        Self::NullContent,
        Self::Declares2Gb,
        Self::Redirect,
        Self::TwoReplies,
    ];

    /// Those that cost no time.
    pub(crate) const QUICK: [Self; 10] = [
        Self::Limited,
        Self::InternalError,
        Self::BadGateway,
        Self::Reset,
        Self::CutJson,
        Self::WrongContentType,
        Self::InvalidUtf8,
        Self::CutStream,
        Self::NoChoices,
        Self::TwoReplies,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Limited => "429 without Retry-After",
            Self::LimitedSeconds => "429, Retry-After in seconds",
            Self::LimitedDate => "429, Retry-After as a date",
            Self::InternalError => "500",
            Self::BadGateway => "502",
            Self::Overloaded => "529",
            Self::Reset => "connection reset",
            Self::Stall => "no reply",
            Self::SlowDrip => "a byte at a time",
            Self::CutJson => "JSON cut in the middle",
            Self::WrongContentType => "a web page, 200",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::CutStream => "event stream cut before its end",
            Self::NoChoices => "no choices, 200",
            Self::NullContent => "content null",
            Self::Declares2Gb => "a body declared as 2 GB",
            Self::Redirect => "redirect to another origin",
            Self::TwoReplies => "two replies to one request",
        }
    }
}

/// The fault of a request, by its body and how often it came before.
pub(crate) type Choose = Arc<dyn Fn(&Value, usize) -> Option<Fault> + Send + Sync>;

/// What the endpoint has seen and said.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Requests received, by prompt.
    pub(crate) received: HashMap<String, usize>,
    /// Whole good replies sent, by prompt.
    pub(crate) answered: HashMap<String, usize>,
    /// Prompts that must not come again, and those that did.
    pub(crate) forbidden: HashSet<String>,
    pub(crate) repeated: Vec<String>,
    /// US dollars that it would charge, at a hundred dollars for a million tokens of replies and one for those of prompts: for whatever a
    /// model computed, whether or not the reply got through.
    pub(crate) charged: f64,
    /// Requests that were turned away by the limit, and when requests were let in, with their tokens.
    pub(crate) rejected: usize,
    pub(crate) let_in: VecDeque<(Instant, u64)>,
    /// Tokens of all that were let in.
    pub(crate) tokens: u64,
    pub(crate) first: Option<Instant>,
    pub(crate) last: Option<Instant>,
}

/// What the endpoint allows over a stretch of time, whenever that begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) length: Duration,
    pub(crate) requests: usize,
    pub(crate) tokens: u64,
}

/// The endpoint; it ends with the value.
pub(crate) struct Chaos {
    pub(crate) base: String,
    books: Arc<Mutex<Books>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) const PRICE: &str = "price = { input = 1, output = 100 }";
const INPUT: f64 = 1e-6;
const OUTPUT: f64 = 1e-4;
/// Tokens of every reply.
const REPLY_TOKENS: u64 = 3;

/// Whether the endpoint gives the right answer: for four sums in five.
pub(crate) fn is_right(sum: u64) -> bool {
    !sum.is_multiple_of(5)
}

impl Chaos {
    pub(crate) async fn start(choose: Choose, window: Option<Window>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let books = Arc::new(Mutex::new(Books::default()));
        let kept = Arc::clone(&books);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                drop(stream.set_nodelay(true));
                let (choose, books) = (Arc::clone(&choose), Arc::clone(&kept));
                tokio::spawn(async move { drop(converse(stream, choose, books, window).await) });
            }
        });
        Self { base, books, task }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }
}

/// Answers the requests of one connection until it ends, or a fault ends it.
async fn converse(
    stream: TcpStream,
    choose: Choose,
    books: Arc<Mutex<Books>>,
    window: Option<Window>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let lower = line.trim().to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if lower.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let request: Value = serde_json::from_slice(&body).unwrap();
        let prompt = prompt(&request);
        let (before, rejected) = {
            let mut books = books.lock().unwrap();
            if books.forbidden.contains(&prompt) {
                books.repeated.push(prompt.clone());
            }
            let count = books.received.entry(prompt.clone()).or_default();
            *count += 1;
            let before = *count - 1;
            (before, window.is_some_and(|window| !let_in(&mut books, window, (body.len() / 4) as u64 + REPLY_TOKENS)))
        };
        let fault = if rejected { Some(Fault::Limited) } else { choose(&request, before) };
        let is_computed = !matches!(
            fault,
            Some(
                Fault::Limited
                    | Fault::LimitedSeconds
                    | Fault::LimitedDate
                    | Fault::InternalError
                    | Fault::BadGateway
                    | Fault::Overloaded
                    | Fault::Redirect
            )
        );
        let tokens = (body.len() / 4) as u64;
        if is_computed {
            books.lock().unwrap().charged += tokens as f64 * INPUT + REPLY_TOKENS as f64 * OUTPUT;
        }
        let good = good(&prompt, tokens).to_string();
        let text = |status: &str, headers: &str, body: &str| {
            format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
        };
        let json = "content-type: application/json\r\n";
        let reply = match fault {
            None => text("200 OK", json, &good),
            Some(Fault::TwoReplies) => [text("200 OK", json, &good), text("200 OK", json, &good)].concat(),
            Some(Fault::Limited) => text("429 Too Many Requests", "", "slow down"),
            Some(Fault::LimitedSeconds) => text("429 Too Many Requests", "retry-after: 1\r\n", "slow down"),
            Some(Fault::LimitedDate) => {
                let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(1));
                text("429 Too Many Requests", &format!("retry-after: {date}\r\n"), "slow down")
            }
            Some(Fault::InternalError) => text("500 Internal Server Error", "", "out of order"),
            Some(Fault::BadGateway) => text("502 Bad Gateway", "", "nobody there"),
            Some(Fault::Overloaded) => text("529 Overloaded", "", "{\"type\":\"error\"}"),
            Some(Fault::Redirect) => {
                text("307 Temporary Redirect", "location: http://elsewhere.invalid/v1/chat/completions\r\n", "")
            }
            Some(Fault::WrongContentType) => text("200 OK", "content-type: text/html\r\n", "<html>Sign in, please</html>"),
            Some(Fault::CutJson) => text("200 OK", json, good.get(..good.len() / 2).unwrap()),
            Some(Fault::NoChoices) => text("200 OK", json, "{\"choices\":[]}"),
            Some(Fault::NullContent) => {
                let body = json!({ "choices": [{ "message": { "content": null }, "finish_reason": "stop" }] }).to_string();
                text("200 OK", json, &body)
            }
            Some(Fault::InvalidUtf8) => {
                let mut reply = text("200 OK", json, &good.replace("\"content\":\"", "\"content\":\"?"));
                if let Some(place) = reply.iter().rposition(|byte| *byte == b'?') {
                    reply[place] = 0xff;
                }
                reply
            }
            Some(Fault::CutStream) => {
                let delta = json!({ "choices": [{ "delta": { "content": "1" }, "finish_reason": null }] });
                text("200 OK", "content-type: text/event-stream\r\n", &format!("data: {delta}\n\n"))
            }
            Some(Fault::Declares2Gb) => {
                let head = format!("HTTP/1.1 200 OK\r\n{json}content-length: 2147483648\r\n\r\n{{");
                stream.get_mut().write_all(head.as_bytes()).await?;
                // The client hangs up; whoever waits for the rest would wait for ever.
                std::future::pending::<()>().await;
                return Ok(());
            }
            Some(Fault::Reset) => {
                // Without lingering, closing is a reset.
                stream.get_ref().set_zero_linger()?;
                return Ok(());
            }
            Some(Fault::Stall) => {
                std::future::pending::<()>().await;
                return Ok(());
            }
            Some(Fault::SlowDrip) => {
                for byte in text("200 OK", json, &good) {
                    stream.get_mut().write_all(&[byte]).await?;
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
                continue;
            }
        };
        stream.get_mut().write_all(&reply).await?;
        if matches!(fault, None | Some(Fault::TwoReplies)) {
            *books.lock().unwrap().answered.entry(prompt).or_default() += 1;
        }
    }
}

/// Whether a request is within what is allowed over any stretch that ends now.
fn let_in(books: &mut Books, window: Window, tokens: u64) -> bool {
    let now = Instant::now();
    books.first.get_or_insert(now);
    while books.let_in.front().is_some_and(|(then, _)| now.duration_since(*then) >= window.length) {
        books.let_in.pop_front();
    }
    let used: u64 = books.let_in.iter().map(|(_, tokens)| tokens).sum();
    if books.let_in.len() >= window.requests || used + tokens > window.tokens {
        books.rejected += 1;
        return false;
    }
    books.let_in.push_back((now, tokens));
    books.tokens += tokens;
    books.last = Some(now);
    true
}

/// The model and the last message.
fn prompt(request: &Value) -> String {
    let text = request["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap();
    format!("{}: {text}", request["model"].as_str().unwrap())
}

/// A good reply: the sum, or another number where it is wrong.
fn good(prompt: &str, tokens: u64) -> Value {
    let numbers: Vec<u64> = prompt
        .rsplit(": ")
        .next()
        .unwrap()
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .collect();
    let sum: u64 = numbers.iter().sum();
    let said = if is_right(sum) { sum } else { sum + 1 };
    json!({
        "choices": [{ "message": { "role": "assistant", "content": said.to_string() }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": tokens, "completion_tokens": REPLY_TOKENS },
    })
}
