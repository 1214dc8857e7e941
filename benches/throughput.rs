//! How much of what an endpoint can bear a run uses, and at what cost: `cargo bench --bench throughput [-- SAMPLES...]`.
//!
//! A stub that answers after 20 ms runs in a process of its own. `wrk` (to be installed), a loop that does nothing but send with
//! `reqwest`, and `onset run` load it one after the other at 64 and at 512 in flight; rates are those that the stub saw between its
//! first and its last request. Each number of samples given is a run of its own, whose peak memory is read from the system; where none
//! is, they are 20,000 and, at 512 in flight, also as many as take about as long as wrk does.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How long the stub thinks.
const LATENCY: Duration = Duration::from_millis(20);
/// How long wrk loads it.
const SECONDS: u32 = 8;
/// What stands before the word that is to be repeated.
const MARK: &[u8] = b"Repeat: ";

/// What wrk and the bare loop send.
const BODY: &str = r#"{"model":"stub","messages":[{"role":"user","content":"Repeat: 12345"}],"max_tokens":1024}"#;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if arguments.first().is_some_and(|word| word == "stub") {
        return tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(stub());
    }
    if let Some(("loop", width, address)) =
        arguments.first_chunk::<3>().map(|[word, width, address]| (word.as_str(), width, address))
    {
        return tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(send(width.parse()?, address));
    }
    let given: Vec<usize> = arguments.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
    let mut server = Server::start()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "| in flight | load | requests | requests/s | of wrk | samples/s | CPU s per 1,000 | peak MB | score |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    for (width, usual) in [(64, [20_000].as_slice()), (512, &[20_000, 150_000])] {
        let sizes = if given.is_empty() { usual } else { &given };
        let limit = wrk(&mut server, width)?;
        let bare = bare(&mut server, width)?;
        for (name, Load { requests, rate, cpu, peak, .. }) in [("wrk", &limit), ("reqwest alone", &bare)] {
            writeln!(
                out,
                "| {width} | {name} | {requests} | {rate:.0} | {:.0} % | | {:.3} | {:.1} | |",
                100.0 * rate / limit.rate,
                cpu * 1e3 / *requests as f64,
                peak / 1e6,
            )?;
        }
        for &samples in sizes {
            let Load { requests, rate, seconds, cpu, peak, score } = run(&mut server, width, samples)?;
            writeln!(
                out,
                "| {width} | onset, {samples} samples | {requests} | {rate:.0} | {:.0} % | {:.0} | {:.3} | {:.1} | {score} |",
                100.0 * rate / limit.rate,
                samples as f64 / seconds,
                cpu * 1e3 / requests as f64,
                peak / 1e6,
            )?;
            out.flush()?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Load {
    requests: u64,
    rate: f64,
    seconds: f64,
    cpu: f64,
    peak: f64,
    score: String,
}

/// The stub in its own process.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?).arg("stub").stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut address)?;
        Ok(Self { process, address: address.trim().to_owned() })
    }

    /// Requests since the last time, and the seconds between the first and the last of them.
    fn seen(&mut self) -> Outcome<(u64, f64)> {
        let mut stream = std::net::TcpStream::connect(&self.address)?;
        stream.write_all(b"GET /seen HTTP/1.1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let (_, body) = reply.split_once("\r\n\r\n").ok_or("no body")?;
        let (requests, seconds) = body.split_once(' ').ok_or("two numbers")?;
        Ok((requests.parse()?, seconds.parse()?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wrk(server: &mut Server, width: usize) -> Outcome<Load> {
    let place = tempfile::tempdir()?;
    let script = place.path().join("post.lua");
    std::fs::write(
        &script,
        format!("wrk.method = \"POST\"\nwrk.body = '{BODY}'\nwrk.headers[\"content-type\"] = \"application/json\"\n"),
    )?;
    server.seen()?;
    let mut command = Command::new("wrk");
    command.args(["-t", "1", "-c", &width.to_string(), "-d", &format!("{SECONDS}s"), "-s"]).arg(&script);
    command.arg(format!("http://{}/v1/chat/completions", server.address));
    let mut load = measured(&mut command).map_err(|error| format!("wrk: {error} (Debian has it as a package)"))?;
    let (requests, seconds) = server.seen()?;
    load.requests = requests;
    load.rate = requests as f64 / seconds;
    Ok(load)
}

/// What the client that `onset` is built on does by itself.
fn bare(server: &mut Server, width: usize) -> Outcome<Load> {
    server.seen()?;
    let mut command = Command::new(std::env::current_exe()?);
    let mut load = measured(command.args(["loop", &width.to_string(), &server.address]))?;
    let (requests, seconds) = server.seen()?;
    load.requests = requests;
    load.rate = requests as f64 / seconds;
    Ok(load)
}

async fn send(width: usize, address: &str) -> Outcome<()> {
    let (client, until) = (reqwest::Client::new(), Instant::now() + Duration::from_secs(SECONDS.into()));
    let url: reqwest::Url = format!("http://{address}/v1/chat/completions").parse()?;
    let senders = (0..width).map(|_| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            while Instant::now() < until {
                let request = client.post(url.clone()).header("content-type", "application/json").body(BODY);
                request.send().await?.bytes().await?;
            }
            Ok::<_, reqwest::Error>(())
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await??;
    }
    Ok(())
}

fn run(server: &mut Server, width: usize, samples: usize) -> Outcome<Load> {
    let place = tempfile::tempdir()?;
    write_workspace(place.path(), &server.address, width, samples)?;
    server.seen()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_onset"));
    command.args(["run", "--json", "-q"]).current_dir(place.path());
    let mut load = measured(&mut command)?;
    let (requests, seconds) = server.seen()?;
    load.requests = requests;
    load.rate = requests as f64 / seconds;
    // One word in five is repeated wrong: a run that loses and mis-scores nothing reports exactly .8.
    let found: serde_json::Value = serde_json::from_str(&load.score)?;
    let point = found.pointer("/analysis/curves/0/points/0").ok_or("no point")?;
    load.score = format!("{} (n = {})", point["score"], point["n"]);
    Ok(load)
}

fn write_workspace(place: &Path, address: &str, width: usize, samples: usize) -> Outcome<()> {
    std::fs::create_dir(place.join("tasks"))?;
    let mut rows = std::io::BufWriter::new(std::fs::File::create(place.join("tasks/echo.jsonl"))?);
    for number in 0..samples {
        writeln!(rows, "{{\"question\":\"Repeat: {number}\",\"answer\":\"{number}\"}}")?;
    }
    rows.flush()?;
    std::fs::write(
        place.join("tasks/echo.toml"),
        "name = \"echo\"\nversion = 1\nabout = \"Numbers to repeat.\"\ndata = { file = \"echo.jsonl\" }\nanswer = \"number\"\n\
         scorers = { discontinuous = \"exact-match\", continuous = [\"edit-distance\"] }\nchance = 0.0\n",
    )?;
    std::fs::write(
        place.join("config.toml"),
        format!(
            "samples = {samples}\ntasks = [\"echo\"]\nprompts = [\"zero-shot\"]\n[endpoints.stub]\nprovider = \"openai-chat\"\n\
             base_url = \"http://{address}/v1\"\nin_flight = {width}\n[[families]]\nname = \"stub\"\nendpoint = \"stub\"\n\
             models = [{{ name = \"stub\", params = 1e6, tokens = 1e9 }}]\n"
        ),
    )?;
    Ok(())
}

/// Runs a command to its end; its output stands where the score will.
fn measured(command: &mut Command) -> Outcome<Load> {
    let started = Instant::now();
    let mut process = command.stdout(Stdio::piped()).spawn()?;
    let mut out = process.stdout.take().ok_or("no output")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let mut load = Load::default();
    let status = loop {
        // Both only grow, so that the last look is the whole but for its last milliseconds.
        if let (Some(peak), Some(cpu)) = (peak(process.id()), cpu(process.id())) {
            load.peak = peak;
            load.cpu = cpu;
        }
        if let Some(status) = process.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    load.seconds = started.elapsed().as_secs_f64();
    load.score = reader.join().map_err(|_| "the reader panicked")??;
    if status.success() { Ok(load) } else { Err(format!("{status}: {}", load.score).into()) }
}

/// The largest resident memory of a process, in bytes.
fn peak(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

/// Seconds of processor of a process; the system counts hundredths.
fn cpu(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<f64>().ok()?, fields.next()?.parse::<f64>().ok()?);
    Some((user + system) / 100.0)
}

/// Requests that the stub saw, and the first and the last moment at which it did.
#[derive(Default)]
struct Seen {
    requests: u64,
    between: Option<(Instant, Instant)>,
}

async fn stub() -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    loop {
        let (stream, _) = listener.accept().await?;
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            // A connection that breaks is its client's affair.
            let _ = serve(stream, &seen).await;
        });
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Seen>) -> Outcome<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let whole = loop {
            if let Some(length) = whole(&buffer) {
                break length;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let now = Instant::now();
        if buffer.starts_with(b"GET /seen") {
            let Seen { requests, between } = std::mem::take(&mut *seen.lock().map_err(|_| "poisoned")?);
            let seconds = between.map_or(0.0, |(first, last)| (last - first).as_secs_f64());
            return reply(&mut stream, &format!("{requests} {seconds}")).await;
        } else {
            {
                let mut seen = seen.lock().map_err(|_| "poisoned")?;
                seen.requests += 1;
                seen.between = Some((seen.between.map_or(now, |(first, _)| first), now));
            }
            let word = word(buffer.get(..whole).unwrap_or_default());
            tokio::time::sleep_until((now + LATENCY).into()).await;
            let answer = if word.ends_with(['0', '5']) { format!("7{word}") } else { word.to_owned() };
            let usage = r#""usage":{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25}"#;
            let choice =
                format!(r#"{{"index":0,"message":{{"role":"assistant","content":"{answer}"}},"finish_reason":"stop"}}"#);
            let id = r#""id":"stub","object":"chat.completion","created":0,"model":"stub""#;
            reply(&mut stream, &format!("{{{id},\"choices\":[{choice}],{usage}}}")).await?;
        }
        buffer.drain(..whole);
    }
}

/// The length of the first request, when it is there whole.
fn whole(buffer: &[u8]) -> Option<usize> {
    let head = memchr::memmem::find(buffer, b"\r\n\r\n")? + 4;
    let lower = buffer.get(..head)?.to_ascii_lowercase();
    let at = memchr::memmem::find(&lower, b"content-length: ")? + 16;
    let digits = lower.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    (buffer.len() >= head + length).then_some(head + length)
}

/// The word that is to be repeated.
fn word(request: &[u8]) -> &str {
    let Some(at) = memchr::memmem::rfind(request, MARK) else { return "" };
    let rest = request.get(at + MARK.len()..).unwrap_or_default();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(rest.get(..digits).unwrap_or_default()).unwrap_or_default()
}

async fn reply(stream: &mut TcpStream, body: &str) -> Outcome<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    Ok(stream.write_all(format!("{head}{body}").as_bytes()).await?)
}
