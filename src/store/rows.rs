//! What is written, and its form in the tables.

use std::cell::RefCell;

use blake3::Hash;
use rusqlite::{Connection, OptionalExtension, named_params, params};
use zstd::bulk::Compressor;

use super::StoreError;
use crate::schema::{ExchangeKey, Logprobs, Outcome, Probe, Record, Request, Response, RunManifest, Score, Scoring};

/// A request with its response, as the store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredExchange {
    /// What it is known by.
    pub key: ExchangeKey,
    /// Name of the endpoint.
    pub endpoint: String,
    /// Name of the model.
    pub model: String,
    /// What was asked.
    pub request: Request,
    /// What came back.
    pub response: Response,
    /// When it was sent, RFC 3339.
    pub sent: String,
    /// How long it took.
    pub milliseconds: u64,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The exchange it was meant to become.
    pub key: ExchangeKey,
    /// When it was sent, RFC 3339.
    pub at: String,
    /// HTTP status, when a reply came.
    pub status: Option<u16>,
    /// How long it took.
    pub milliseconds: u64,
    /// What went wrong.
    pub error: String,
}

/// What a run has cost, in US dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// All of it, with the worst case of requests of which nobody knows what they cost.
    pub usd: f64,
    /// Requests of which nobody knows: sent, and no whole reply came back.
    pub unknown: usize,
    /// Their worst cases together.
    pub unknown_usd: f64,
}

/// Records of one model that ended alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The model.
    pub model: String,
    /// What became of them.
    pub outcome: Outcome,
    /// Whether something went wrong with each of them.
    pub has_detail: bool,
    /// How many there are.
    pub records: usize,
}

/// How much a model was asked of a task with a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The task.
    pub task: String,
    /// The prompt.
    pub prompt: String,
    /// The model.
    pub model: String,
    /// Samples of which there is a record.
    pub samples: usize,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// In a word.
    pub outcome: Outcome,
    /// What went wrong.
    pub detail: Option<String>,
}

/// What went wrong with records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// In words.
    pub reason: String,
    /// With how many.
    pub records: usize,
    /// The id of one of them.
    pub example: String,
}

/// One thing to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A run's manifest; replaces an earlier one of the same run.
    Run(Box<RunManifest>),
    /// An exchange; ignored when its key is stored already.
    Exchange(Box<StoredExchange>),
    /// A failed call; always added.
    Attempt(Attempt),
    /// The most that a request may cost, in US dollars, before it is sent.
    Reserve {
        /// A number of its own.
        id: i64,
        /// The run that pays.
        run: String,
        /// The exchange that is to come of it.
        key: ExchangeKey,
        /// US dollars.
        usd: f64,
    },
    /// What it came to.
    Settle {
        /// The number of its reservation.
        id: i64,
        /// US dollars.
        usd: f64,
    },
    /// What was found of an endpoint.
    Probe(Box<Probe>),
    /// A record with its scores; replaces an earlier one of the same id in the same run.
    Record(Box<Record>),
}

/// Bytes of a JSON text from which on it is compressed and stored once: shorter ones would hardly get shorter.
const LONG: usize = 512;

thread_local! {
    /// Making one costs more than most bodies take to compress.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// A JSON text, as it is stored.
#[derive(Debug)]
pub(super) enum Body {
    /// As it is, in its exchange.
    Short(String),
    /// Compressed, and known by the hash of the text itself.
    Long { hash: Hash, zstd: Vec<u8> },
}

impl Body {
    fn of<T: serde::Serialize>(value: &T) -> Result<Self, StoreError> {
        let unstorable = |error: &dyn std::fmt::Display| StoreError::Unstorable { reason: error.to_string() };
        let json = serde_json::to_string(value).map_err(|error| unstorable(&error))?;
        if json.len() < LONG {
            return Ok(Self::Short(json));
        }
        let zstd = COMPRESSOR.with_borrow_mut(|slot| {
            let compressor = match slot {
                Some(compressor) => compressor,
                None => slot.insert(Compressor::new(zstd::DEFAULT_COMPRESSION_LEVEL)?),
            };
            compressor.compress(json.as_bytes())
        });
        Ok(Self::Long { hash: blake3::hash(json.as_bytes()), zstd: zstd.map_err(|error| unstorable(&error))? })
    }

    /// The text of a short body.
    fn short(&self) -> Option<&str> {
        if let Self::Short(text) = self { Some(text) } else { None }
    }

    /// The id of a long body, which is added when it is not there.
    fn id(&self, connection: &Connection) -> rusqlite::Result<Option<i64>> {
        let Self::Long { hash, zstd } = self else { return Ok(None) };
        let hash = hash.as_bytes();
        let found = connection
            .prepare_cached("SELECT id FROM bodies WHERE hash = ?1")?
            .query_row([hash], |row| row.get(0))
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
        connection.prepare_cached("INSERT INTO bodies (hash, zstd) VALUES (?1, ?2)")?.insert(params![hash, zstd]).map(Some)
    }
}

/// A write in the form of its rows. Made where the write is asked for: what cannot be stored then fails alone, not with
/// its batch, and compression does not burden the one thread that commits.
#[derive(Debug)]
pub(super) enum Row {
    Run { manifest: Box<RunManifest>, json: String },
    Exchange { exchange: Box<StoredExchange>, request: Body, response: Body, logprobs: Option<Logprobs> },
    Attempt(Attempt),
    Reserve { id: i64, run: String, key: ExchangeKey, usd: f64 },
    Settle { id: i64, usd: f64 },
    Probe { probe: Box<Probe>, findings: String },
    Record(Box<Record>),
}

impl Row {
    pub(super) fn new(write: Write) -> Result<Self, StoreError> {
        Ok(match write {
            Write::Run(manifest) => {
                let json = serde_json::to_string(&manifest)
                    .map_err(|error| StoreError::Unstorable { reason: error.to_string() })?;
                Self::Run { manifest, json }
            }
            Write::Exchange(mut exchange) => {
                // In columns of their own log-probabilities can be queried, and they survive exactly: JSON has no
                // infinities, and its readers may round the last bit.
                let logprobs = exchange.response.logprobs.take();
                if logprobs.is_some_and(|logprobs| logprobs.sum.is_nan()) {
                    let reason = format!("the log-probability of exchange {} is no number", exchange.key);
                    return Err(StoreError::Unstorable { reason });
                }
                let (request, response) = (Body::of(&exchange.request)?, Body::of(&exchange.response)?);
                Self::Exchange { exchange, request, response, logprobs }
            }
            Write::Attempt(attempt) => Self::Attempt(attempt),
            Write::Reserve { id, run, key, usd } => Self::Reserve { id, run, key, usd },
            Write::Settle { id, usd } => Self::Settle { id, usd },
            Write::Probe(probe) => {
                let findings = serde_json::to_string(&probe.findings)
                    .map_err(|error| StoreError::Unstorable { reason: error.to_string() })?;
                Self::Probe { probe, findings }
            }
            Write::Record(record) => Self::Record(record),
        })
    }

    /// Writes the row, inside the transaction of its batch.
    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        match self {
            Self::Run { manifest, json } => run(connection, manifest, json),
            Self::Exchange { exchange, request, response, logprobs } => {
                insert_exchange(connection, exchange, request, response, *logprobs)
            }
            Self::Attempt(attempt) => insert_attempt(connection, attempt),
            Self::Reserve { id, run, key, usd } => {
                let sql = "INSERT INTO spending (id, run, key, reserved) VALUES (?1, ?2, ?3, ?4)";
                connection.prepare_cached(sql)?.execute(params![id, run, key.0, usd]).map(drop)
            }
            Self::Settle { id, usd } => {
                let sql = "UPDATE spending SET settled = ?2 WHERE id = ?1";
                connection.prepare_cached(sql)?.execute(params![id, usd]).map(drop)
            }
            Self::Probe { probe, findings } => {
                let sql = "INSERT INTO probes (endpoint, identity, model, at, findings) VALUES (?1, ?2, ?3, ?4, ?5)";
                let values = params![probe.endpoint, probe.identity, probe.model, probe.at, findings];
                connection.prepare_cached(sql)?.execute(values).map(drop)
            }
            Self::Record(record) => insert_record(connection, record),
        }
    }
}

/// SQLite has signed integers only; what exceeds them is no duration or count of ours.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn run(connection: &Connection, manifest: &RunManifest, json: &str) -> rusqlite::Result<()> {
    let planned = i64::try_from(manifest.planned).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "INSERT INTO runs (run, started, program, planned, manifest) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (run) DO UPDATE SET started = excluded.started, program = excluded.program,
                 planned = excluded.planned, manifest = excluded.manifest",
        )?
        .execute(params![manifest.run, manifest.started, manifest.program, planned, json])?;
    Ok(())
}

fn insert_exchange(
    connection: &Connection,
    exchange: &StoredExchange,
    request: &Body,
    response: &Body,
    logprobs: Option<Logprobs>,
) -> rusqlite::Result<()> {
    // Looked up first, so that a second reply to the same request leaves no body that nothing refers to.
    if connection.prepare_cached("SELECT 1 FROM exchanges WHERE key = ?1")?.exists([exchange.key.0])? {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO exchanges
                 (key, endpoint, model, request, short_request, response, short_response, logprob, logprob_tokens, sent,
                 milliseconds)
             VALUES (:key, :endpoint, :model, :request, :short_request, :response, :short_response, :logprob,
                 :logprob_tokens, :sent, :milliseconds)",
        )?
        .execute(named_params! {
            ":key": exchange.key.0,
            ":endpoint": exchange.endpoint,
            ":model": exchange.model,
            ":request": request.id(connection)?,
            ":short_request": request.short(),
            ":response": response.id(connection)?,
            ":short_response": response.short(),
            ":logprob": logprobs.map(|logprobs| logprobs.sum),
            ":logprob_tokens": logprobs.map(|logprobs| logprobs.tokens),
            ":sent": exchange.sent,
            ":milliseconds": signed(exchange.milliseconds),
        })?;
    Ok(())
}

fn insert_attempt(connection: &Connection, attempt: &Attempt) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO attempts (key, at, status, milliseconds, error) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![attempt.key.0, attempt.at, attempt.status, signed(attempt.milliseconds), attempt.error])?;
    Ok(())
}

/// The columns of a record, each with the parameter of its name.
const RECORD: &str = "(run, task, prompt, family, model, sample, repetition, outcome, answer, target, detail, exchanges, method,
        missing_mass, reply_tokens)
    VALUES (:run, :task, :prompt, :family, :model, :sample, :repetition, :outcome, :answer, :target, :detail, :exchanges, :method,
        :missing_mass, :reply_tokens)";

fn insert_record(connection: &Connection, record: &Record) -> rusqlite::Result<()> {
    let exchanges: Vec<u8> = record.exchanges.iter().flat_map(|key| key.0).collect();
    let tokens = record.reply_tokens.map(signed);
    let values = named_params! {
        ":run": record.run,
        ":task": record.task,
        ":prompt": record.prompt,
        ":family": record.family,
        ":model": record.model,
        ":sample": record.sample,
        ":repetition": record.repetition,
        ":outcome": record.outcome.name(),
        ":answer": record.answer,
        ":target": record.target,
        ":detail": record.detail,
        ":exchanges": exchanges,
        ":method": record.method.map(Scoring::name),
        ":missing_mass": record.missing_mass,
        ":reply_tokens": tokens,
    };
    let id = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let new = connection
        .prepare_cached(&format!("INSERT INTO records {RECORD} ON CONFLICT DO NOTHING RETURNING id"))?
        .query_row(values, id)
        .optional()?;
    let id = match new {
        Some(id) => id,
        // An update in place keeps the row's id, where a delete and an insert would leave the old scores behind.
        None => {
            let sql = format!(
                "INSERT INTO records {RECORD} ON CONFLICT (run, task, prompt, model, sample, repetition) DO UPDATE SET
                 family = excluded.family, outcome = excluded.outcome, answer = excluded.answer, target = excluded.target,
                 detail = excluded.detail, exchanges = excluded.exchanges, method = excluded.method,
                 missing_mass = excluded.missing_mass, reply_tokens = excluded.reply_tokens RETURNING id"
            );
            let id = connection.prepare_cached(&sql)?.query_row(values, id)?;
            connection.prepare_cached("DELETE FROM scores WHERE record = ?1")?.execute([id])?;
            id
        }
    };
    let mut insert =
        connection.prepare_cached("INSERT INTO scores (record, position, scorer, value) VALUES (?1, ?2, ?3, ?4)")?;
    for (position, Score { scorer, value }) in (0_i64..).zip(&record.scores) {
        insert.execute(params![id, position, scorer, value])?;
    }
    Ok(())
}
