//! What is written, and its form in the tables.

use std::cell::RefCell;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, params};
use zstd::bulk::Compressor;

use super::StoreError;
use super::keys::{Keys, key_of};
use super::parts::Parts;
use crate::schema::{
    ExchangeKey, Logprobs, Outcome, Probe, Record, RecordName, Request, Response, RunManifest, Score, Scoring,
};

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
    Exchange(Arc<ExchangeRow>),
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

/// Several texts in one piece of memory: it is made by one thread and freed by another, which costs both of them more than its bytes do,
/// and for each text once more where they are apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Texts<const N: usize> {
    all: String,
    ends: [usize; N],
}

impl<const N: usize> Texts<N> {
    fn of(texts: [&str; N]) -> Self {
        let mut end = 0;
        let ends = texts.map(|text| {
            end += text.len();
            end
        });
        Self { all: texts.concat(), ends }
    }

    fn get(&self) -> [&str; N] {
        let mut begin = 0;
        self.ends.map(|end| self.all.get(std::mem::replace(&mut begin, end)..end).unwrap_or_default())
    }
}

/// An exchange in the form in which it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct ExchangeRow {
    key: ExchangeKey,
    /// Those of [`ExchangeTexts`].
    texts: Texts<5>,
    /// In columns of its own it can be queried, and survives exactly: JSON has no infinities, and its readers may round the last bit.
    logprobs: Option<Logprobs>,
    milliseconds: u64,
}

/// The texts of an exchange.
pub(super) struct ExchangeTexts<'a> {
    pub(super) endpoint: &'a str,
    pub(super) model: &'a str,
    /// As JSON.
    pub(super) request: &'a str,
    /// As JSON, without its log-probability.
    pub(super) response: &'a str,
    pub(super) sent: &'a str,
}

impl ExchangeRow {
    /// An exchange by its key, with the names of its endpoint and its model, when it was sent (RFC 3339) and how long it took.
    ///
    /// # Errors
    /// When it cannot be stored: its log-probability is no number.
    pub fn new(
        key: ExchangeKey,
        [endpoint, model]: [&str; 2],
        request: &Request,
        response: &Response,
        sent: &str,
        milliseconds: u64,
    ) -> Result<Self, StoreError> {
        let logprobs = response.logprobs;
        if logprobs.is_some_and(|logprobs| logprobs.sum.is_nan()) {
            let reason = format!("the log-probability of exchange {key} is no number");
            return Err(StoreError::Unstorable { reason });
        }
        let response = match logprobs {
            None => json(response)?,
            Some(_) => json(&Response { logprobs: None, ..response.clone() })?,
        };
        let texts = Texts::of([endpoint, model, &json(request)?, &response, sent]);
        Ok(Self { key, texts, logprobs, milliseconds })
    }

    pub(super) fn key(&self) -> &ExchangeKey {
        &self.key
    }

    pub(super) fn texts(&self) -> ExchangeTexts<'_> {
        let [endpoint, model, request, response, sent] = self.texts.get();
        ExchangeTexts { endpoint, model, request, response, sent }
    }

    pub(super) fn logprobs(&self) -> Option<Logprobs> {
        self.logprobs
    }

    pub(super) fn milliseconds(&self) -> u64 {
        self.milliseconds
    }

    /// The response, as it was.
    pub(super) fn response(&self) -> Result<Response, StoreError> {
        let unstorable = |error: serde_json::Error| StoreError::Unstorable { reason: error.to_string() };
        let response: Response = serde_json::from_str(self.texts().response).map_err(unstorable)?;
        Ok(Response { logprobs: self.logprobs, ..response })
    }

    fn insert(&self, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        let connection = statements.connection;
        let ExchangeTexts { endpoint, model, request, response, sent } = self.texts();
        let (long_request, long_response) = (long_body(connection, request)?, long_body(connection, response)?);
        statements.exchange.execute(params![
            self.key.0,
            endpoint,
            model,
            long_request,
            long_request.is_none().then_some(request),
            long_response,
            long_response.is_none().then_some(response),
            self.logprobs.map(|logprobs| logprobs.sum),
            self.logprobs.map(|logprobs| logprobs.tokens),
            sent,
            signed(self.milliseconds),
        ])?;
        Ok(())
    }
}

impl StoredExchange {
    /// As it is written.
    ///
    /// # Errors
    /// Those of [`ExchangeRow::new`].
    pub fn write(&self) -> Result<Write, StoreError> {
        let Self { key, endpoint, model, request, response, sent, milliseconds } = self;
        let row = ExchangeRow::new(*key, [endpoint, model], request, response, sent, *milliseconds)?;
        Ok(Write::Exchange(Arc::new(row)))
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
    Record {
        record: Box<RecordRow>,
        /// Those of its run, where it is known of them.
        names: Option<Arc<Keys>>,
        /// Whether there certainly is no other of its name in its run.
        is_new: bool,
    },
}

/// What most rows are written with, made ready once for a batch.
pub(super) struct Statements<'a> {
    connection: &'a Connection,
    exchange: CachedStatement<'a>,
    record: CachedStatement<'a>,
    score: CachedStatement<'a>,
    exchanges: Parts,
    records: Parts,
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
            exchanges: Parts::of_exchanges(),
            records: Parts::of_records(),
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
            Write::Exchange(exchange) => Self::Exchange { exchange, is_new: false },
            Write::Attempt(attempt) => Self::Attempt(attempt),
            Write::Reserve { id, run, key, usd } => Self::Reserve { id, run, key, usd },
            Write::Settle { id, usd } => Self::Settle { id, usd },
            Write::Probe(probe) => {
                let findings = json(&probe.findings)?;
                Self::Probe { probe, findings }
            }
            Write::Record(record) => Self::Record { record: Box::new(RecordRow::new(&record)), names: None, is_new: false },
        })
    }

    /// Bytes that it takes, roughly, where it is one of those that come by the thousand.
    pub(super) fn length(&self) -> usize {
        const OVERHEAD: usize = 512;
        match self {
            Self::Exchange { exchange, .. } => OVERHEAD + exchange.texts.all.len(),
            Self::Record { record, .. } => OVERHEAD + record.texts.all.len(),
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
                // Of one key there is one exchange; a second reply to the same request leaves nothing, no body either.
                if !is_new && statements.exchanges.find(connection, &[&exchange.key().0])?.is_some() {
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
            Self::Record { record, is_new, .. } => record.insert(*is_new, statements),
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

fn insert_attempt(connection: &Connection, attempt: &Attempt) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO attempts (key, at, status, milliseconds, error) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![attempt.key.0, attempt.at, attempt.status, signed(attempt.milliseconds), attempt.error])?;
    Ok(())
}

/// A record, whose values are bound in the order of its columns.
const NEW_RECORD: &str =
    "INSERT INTO records (run, task, prompt, family, model, sample, repetition, outcome, answer, target, detail,
        exchanges, method, missing_mass, reply_tokens)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

/// The record of that id in its new form. It keeps its row's id, where a delete and an insert would leave the old scores behind.
const CHANGED_RECORD: &str =
    "UPDATE records SET family = ?2, outcome = ?3, answer = ?4, target = ?5, detail = ?6, exchanges = ?7,
        method = ?8, missing_mass = ?9, reply_tokens = ?10 WHERE id = ?1";

/// A record in the form in which it is kept.
#[derive(Debug)]
pub(super) struct RecordRow {
    /// Run, task, prompt, family, model, sample, answer, target and detail.
    texts: Texts<9>,
    has_answer: bool,
    has_detail: bool,
    repetition: u32,
    outcome: Outcome,
    /// The keys one behind the other.
    exchanges: Vec<u8>,
    method: Option<Scoring>,
    missing_mass: Option<f64>,
    reply_tokens: Option<u64>,
    scores: Vec<Score>,
    key: [u8; 32],
}

impl RecordRow {
    fn new(record: &Record) -> Self {
        let Record { run, task, prompt, family, model, sample, answer, target, detail, .. } = record;
        let or_empty = |text| Option::as_deref(text).unwrap_or_default();
        Self {
            texts: Texts::of([run, task, prompt, family, model, sample, or_empty(answer), target, or_empty(detail)]),
            has_answer: answer.is_some(),
            has_detail: detail.is_some(),
            repetition: record.repetition,
            outcome: record.outcome,
            exchanges: record.exchanges.iter().flat_map(|key| key.0).collect(),
            method: record.method,
            missing_mass: record.missing_mass,
            reply_tokens: record.reply_tokens,
            scores: record.scores.clone(),
            key: key_of(&RecordName { task, prompt, model, sample, repetition: record.repetition }),
        }
    }

    pub(super) fn run(&self) -> &str {
        let [run, ..] = self.texts.get();
        run
    }

    /// What stands for its name among those of its run.
    pub(super) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    fn insert(&self, is_new: bool, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        let connection = statements.connection;
        let [run, task, prompt, family, model, sample, answer, target, detail] = self.texts.get();
        let (answer, detail) = (self.has_answer.then_some(answer), self.has_detail.then_some(detail));
        let (outcome, method) = (self.outcome.name(), self.method.map(Scoring::name));
        let (exchanges, missing_mass, reply_tokens) = (&self.exchanges, self.missing_mass, self.reply_tokens.map(signed));
        let name: [&dyn ToSql; 6] = [&run, &task, &prompt, &model, &sample, &self.repetition];
        let known = if is_new { None } else { statements.records.find(connection, &name)? };
        let id = if let Some(id) = known {
            connection.prepare_cached(CHANGED_RECORD)?.execute(params![
                id,
                family,
                outcome,
                answer,
                target,
                detail,
                exchanges,
                method,
                missing_mass,
                reply_tokens,
            ])?;
            connection.prepare_cached("DELETE FROM scores WHERE record = ?1")?.execute([id])?;
            id
        } else {
            statements.record.insert(params![
                run,
                task,
                prompt,
                family,
                model,
                sample,
                self.repetition,
                outcome,
                answer,
                target,
                detail,
                exchanges,
                method,
                missing_mass,
                reply_tokens,
            ])?
        };
        for (position, Score { scorer, value }) in (0_i64..).zip(&self.scores) {
            statements.score.execute(params![id, position, scorer, value])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_one_piece_are_what_they_were() {
        for texts in [["", "", ""], ["a", "", "\u{e9}\n"], ["", "\u{1f980}", ""]] {
            assert_eq!(Texts::of(texts).get(), texts);
        }
    }
}
