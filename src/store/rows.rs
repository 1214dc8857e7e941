//! What is written, and its form in the tables.

use std::cell::RefCell;
use std::sync::Arc;

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

/// An exchange with its bodies as JSON texts.
#[derive(Debug)]
pub(super) struct ExchangeRow {
    pub(super) key: ExchangeKey,
    pub(super) endpoint: String,
    pub(super) model: String,
    pub(super) request: String,
    /// Without its log-probability.
    pub(super) response: String,
    /// In columns of its own it can be queried, and survives exactly: JSON has no infinities, and its readers may round the last bit.
    pub(super) logprobs: Option<Logprobs>,
    pub(super) sent: String,
    pub(super) milliseconds: u64,
}

impl ExchangeRow {
    pub(super) fn new(exchange: StoredExchange) -> Result<Self, StoreError> {
        let StoredExchange { key, endpoint, model, request, mut response, sent, milliseconds } = exchange;
        let logprobs = response.logprobs.take();
        if logprobs.is_some_and(|logprobs| logprobs.sum.is_nan()) {
            let reason = format!("the log-probability of exchange {key} is no number");
            return Err(StoreError::Unstorable { reason });
        }
        let (request, response) = (json(&request)?, json(&response)?);
        Ok(Self { key, endpoint, model, request, response, logprobs, sent, milliseconds })
    }

    /// The response, as it was.
    pub(super) fn response(&self) -> Result<Response, StoreError> {
        let unstorable = |error: serde_json::Error| StoreError::Unstorable { reason: error.to_string() };
        let response: Response = serde_json::from_str(&self.response).map_err(unstorable)?;
        Ok(Response { logprobs: self.logprobs, ..response })
    }

    fn insert(&self, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        let connection = statements.connection;
        let (request, response) = (long_body(connection, &self.request)?, long_body(connection, &self.response)?);
        let short = |id: Option<i64>, text| if id.is_none() { Some(text) } else { None };
        statements.exchange.execute(params![
            self.key.0,
            self.endpoint,
            self.model,
            request,
            short(request, &self.request),
            response,
            short(response, &self.response),
            self.logprobs.map(|logprobs| logprobs.sum),
            self.logprobs.map(|logprobs| logprobs.tokens),
            self.sent,
            signed(self.milliseconds),
        ])?;
        Ok(())
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unstorable { reason: error.to_string() })
}

/// The id of a long text, which is compressed and added where it is not there; none of a short one, which stands in its exchange.
fn long_body(connection: &Connection, text: &str) -> rusqlite::Result<Option<i64>> {
    if text.len() < LONG {
        return Ok(None);
    }
    let hash = blake3::hash(text.as_bytes());
    let found = connection
        .prepare_cached("SELECT id FROM bodies WHERE hash = ?1")?
        .query_row([hash.as_bytes()], |row| row.get(0))
        .optional()?;
    if found.is_some() {
        return Ok(found);
    }
    let zstd = COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(Compressor::new(zstd::DEFAULT_COMPRESSION_LEVEL)?),
        };
        compressor.compress(text.as_bytes())
    });
    let zstd = zstd.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let sql = "INSERT INTO bodies (hash, zstd) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.insert(params![hash.as_bytes(), zstd]).map(Some)
}

/// A write in the form of its rows. Made where the write is asked for: what cannot be stored then fails alone, not with its batch.
#[derive(Debug)]
pub(super) enum Row {
    Run {
        manifest: Box<RunManifest>,
        json: String,
    },
    Exchange {
        exchange: Arc<ExchangeRow>,
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
                let json = json(&manifest)?;
                Self::Run { manifest, json }
            }
            Write::Exchange(exchange) => Self::Exchange { exchange: Arc::new(ExchangeRow::new(*exchange)?), is_new: false },
            Write::Attempt(attempt) => Self::Attempt(attempt),
            Write::Reserve { id, run, key, usd } => Self::Reserve { id, run, key, usd },
            Write::Settle { id, usd } => Self::Settle { id, usd },
            Write::Probe(probe) => {
                let findings = json(&probe.findings)?;
                Self::Probe { probe, findings }
            }
            Write::Record(record) => Self::Record(record),
        })
    }

    /// Bytes that it takes, roughly, where it is one of those that come by the thousand.
    pub(super) fn length(&self) -> usize {
        const OVERHEAD: usize = 512;
        match self {
            Self::Exchange { exchange, .. } => OVERHEAD + exchange.request.len() + exchange.response.len(),
            Self::Record(record) => {
                let texts = [&record.answer, &record.detail].into_iter().flatten().map(String::len);
                OVERHEAD + record.target.len() + texts.sum::<usize>()
            }
            _ => OVERHEAD,
        }
    }

    /// The exchange, where the row is one.
    pub(super) fn exchange(&self) -> Option<&Arc<ExchangeRow>> {
        if let Self::Exchange { exchange, .. } = self { Some(exchange) } else { None }
    }

    /// Writes the row, inside the transaction of its batch.
    pub(super) fn insert(&self, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        let connection = statements.connection;
        match self {
            Self::Run { manifest, json } => run(connection, manifest, json),
            Self::Exchange { exchange, is_new } => {
                // Looked up first, so that a second reply to the same request leaves no body that nothing refers to.
                if !is_new && is_there(connection, &exchange.key)? {
                    return Ok(());
                }
                exchange.insert(statements)
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
