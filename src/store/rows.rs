//! What is written, and its form in the tables.

use std::cell::RefCell;

use blake3::Hash;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
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
    Run {
        manifest: Box<RunManifest>,
        json: String,
    },
    Exchange {
        exchange: Box<StoredExchange>,
        request: Body,
        response: Body,
        logprobs: Option<Logprobs>,
        /// Whether there certainly is no other of its key.
        is_new: bool,
    },
    Attempt(Attempt),
    Reserve {
        id: i64,
        run: String,
        key: ExchangeKey,
        usd: f64,
    },
    Settle {
        id: i64,
        usd: f64,
    },
    Probe {
        probe: Box<Probe>,
        findings: String,
    },
    Record(Box<Record>),
}

/// What most rows are written with, made ready once for a batch.
pub(super) struct Statements<'a> {
    connection: &'a Connection,
    exchange: CachedStatement<'a>,
    record: CachedStatement<'a>,
    score: CachedStatement<'a>,
}

impl<'a> Statements<'a> {
    pub(super) fn new(connection: &'a Connection) -> rusqlite::Result<Self> {
        let exchange =
            "INSERT OR IGNORE INTO exchanges (key, endpoint, model, request, short_request, response, short_response,
                logprob, logprob_tokens, sent, milliseconds)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        Ok(Self {
            connection,
            exchange: connection.prepare_cached(exchange)?,
            record: connection.prepare_cached(NEW_RECORD)?,
            score: connection
                .prepare_cached("INSERT INTO scores (record, position, scorer, value) VALUES (?1, ?2, ?3, ?4)")?,
        })
    }
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
                Self::Exchange { exchange, request, response, logprobs, is_new: false }
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

    /// The exchange and its log-probability, where the row is one.
    pub(super) fn exchange(&self) -> Option<(&StoredExchange, Option<Logprobs>)> {
        match self {
            Self::Exchange { exchange, logprobs, .. } => Some((exchange, *logprobs)),
            _ => None,
        }
    }

    /// Writes the row, inside the transaction of its batch.
    pub(super) fn insert(&self, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        let connection = statements.connection;
        match self {
            Self::Run { manifest, json } => run(connection, manifest, json),
            Self::Exchange { exchange, request, response, logprobs, is_new } => {
                // Looked up first, so that a second reply to the same request leaves no body that nothing refers to.
                if !is_new && is_there(connection, &exchange.key)? {
                    return Ok(());
                }
                insert_exchange(statements, exchange, request, response, *logprobs)
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
            Self::Record(record) => insert_record(statements, record),
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

fn is_there(connection: &Connection, key: &ExchangeKey) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM exchanges WHERE key = ?1")?.exists([key.0])
}

fn insert_exchange(
    statements: &mut Statements<'_>,
    exchange: &StoredExchange,
    request: &Body,
    response: &Body,
    logprobs: Option<Logprobs>,
) -> rusqlite::Result<()> {
    let connection = statements.connection;
    statements.exchange.execute(params![
        exchange.key.0,
        exchange.endpoint,
        exchange.model,
        request.id(connection)?,
        request.short(),
        response.id(connection)?,
        response.short(),
        logprobs.map(|logprobs| logprobs.sum),
        logprobs.map(|logprobs| logprobs.tokens),
        exchange.sent,
        signed(exchange.milliseconds),
    ])?;
    Ok(())
}

fn insert_attempt(connection: &Connection, attempt: &Attempt) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO attempts (key, at, status, milliseconds, error) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![attempt.key.0, attempt.at, attempt.status, signed(attempt.milliseconds), attempt.error])?;
    Ok(())
}

/// A record, whose values are bound in the order of its columns, where there is none of its name.
const NEW_RECORD: &str =
    "INSERT INTO records (run, task, prompt, family, model, sample, repetition, outcome, answer, target, detail,
        exchanges, method, missing_mass, reply_tokens)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT DO NOTHING";

/// The record of that name in its new form. It keeps its row's id, where a delete and an insert would leave the old scores behind.
const CHANGED_RECORD: &str =
    "UPDATE records SET family = ?4, outcome = ?8, answer = ?9, target = ?10, detail = ?11, exchanges = ?12,
        method = ?13, missing_mass = ?14, reply_tokens = ?15
    WHERE run = ?1 AND task = ?2 AND prompt = ?3 AND model = ?5 AND sample = ?6 AND repetition = ?7 RETURNING id";

fn insert_record(statements: &mut Statements<'_>, record: &Record) -> rusqlite::Result<()> {
    let connection = statements.connection;
    let exchanges: Vec<u8> = record.exchanges.iter().flat_map(|key| key.0).collect();
    let values = params![
        record.run,
        record.task,
        record.prompt,
        record.family,
        record.model,
        record.sample,
        record.repetition,
        record.outcome.name(),
        record.answer,
        record.target,
        record.detail,
        exchanges,
        record.method.map(Scoring::name),
        record.missing_mass,
        record.reply_tokens.map(signed),
    ];
    let id = if statements.record.execute(values)? == 1 {
        connection.last_insert_rowid()
    } else {
        let id = connection.prepare_cached(CHANGED_RECORD)?.query_row(values, |row| row.get::<_, i64>(0))?;
        connection.prepare_cached("DELETE FROM scores WHERE record = ?1")?.execute([id])?;
        id
    };
    for (position, Score { scorer, value }) in (0_i64..).zip(&record.scores) {
        statements.score.execute(params![id, position, scorer, value])?;
    }
    Ok(())
}
