//! The queries.

use std::borrow::Cow;
use std::collections::HashMap;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde::de::DeserializeOwned;

use super::rows::{Attempt, Spent, StoredExchange};
use crate::schema::{ExchangeKey, Logprobs, Outcome, Probe, Record, Response, RunManifest, Score, Scoring};

type Found<T> = rusqlite::Result<T>;

const RECORD: &str = "SELECT id, run, task, prompt, family, model, sample, repetition, outcome, answer, target,
    detail, exchanges, method, missing_mass, reply_tokens FROM records";

pub(super) fn has(connection: &Connection, key: &ExchangeKey) -> Found<bool> {
    connection.prepare_cached("SELECT 1 FROM exchanges WHERE key = ?1")?.exists([key.0])
}

pub(super) fn response(connection: &Connection, key: &ExchangeKey) -> Found<Option<Response>> {
    connection
        .prepare_cached(
            "SELECT bodies.zstd, logprob, logprob_tokens FROM exchanges JOIN bodies ON bodies.id = response
             WHERE key = ?1",
        )?
        .query_row([key.0], |row| with_logprobs(row, body(row, 0)?, 1))
        .optional()
}

pub(super) fn exchange(connection: &Connection, key: &ExchangeKey) -> Found<Option<StoredExchange>> {
    connection
        .prepare_cached(
            "SELECT endpoint, model, asked.zstd, said.zstd, logprob, logprob_tokens, sent, milliseconds
             FROM exchanges JOIN bodies AS asked ON asked.id = request JOIN bodies AS said ON said.id = response
             WHERE key = ?1",
        )?
        .query_row([key.0], |row| {
            Ok(StoredExchange {
                key: *key,
                endpoint: row.get(0)?,
                model: row.get(1)?,
                request: body(row, 2)?,
                response: with_logprobs(row, body(row, 3)?, 4)?,
                sent: row.get(6)?,
                milliseconds: unsigned(row, 7)?,
            })
        })
        .optional()
}

pub(super) fn attempts(connection: &Connection, key: &ExchangeKey) -> Found<Vec<Attempt>> {
    connection
        .prepare_cached("SELECT at, status, milliseconds, error FROM attempts WHERE key = ?1 ORDER BY id")?
        .query_map([key.0], |row| {
            Ok(Attempt {
                key: *key,
                at: row.get(0)?,
                status: row.get(1)?,
                milliseconds: unsigned(row, 2)?,
                error: row.get(3)?,
            })
        })?
        .collect()
}

/// What was never settled counts at its worst case.
pub(super) fn spent(connection: &Connection, run: &str) -> Found<Spent> {
    connection
        .prepare_cached(
            "SELECT total(coalesce(settled, reserved)), count(*) FILTER (WHERE settled IS NULL),
                 total(reserved) FILTER (WHERE settled IS NULL) FROM spending WHERE run = ?1",
        )?
        .query_row([run], |row| {
            let unknown = usize::try_from(unsigned(row, 1)?).unwrap_or(usize::MAX);
            Ok(Spent { usd: row.get(0)?, unknown, unknown_usd: row.get(2)? })
        })
}

/// The last probe of an endpoint of that identity.
pub(super) fn probe(connection: &Connection, endpoint: &str, identity: &str) -> Found<Option<Probe>> {
    connection
        .prepare_cached(
            "SELECT endpoint, identity, model, at, findings FROM probes WHERE endpoint = ?1 AND identity = ?2
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row([endpoint, identity], |row| {
            let findings = serde_json::from_str(row.get_ref(4)?.as_str()?);
            Ok(Probe {
                endpoint: row.get(0)?,
                identity: row.get(1)?,
                model: row.get(2)?,
                at: row.get(3)?,
                findings: findings.map_err(|error| unreadable(4, Type::Text, error))?,
            })
        })
        .optional()
}

pub(super) fn record_count(connection: &Connection, run: &str) -> Found<usize> {
    let count: i64 =
        connection.prepare_cached("SELECT count(*) FROM records WHERE run = ?1")?.query_row([run], |row| row.get(0))?;
    usize::try_from(count).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, count))
}

pub(super) fn last_spending(connection: &Connection) -> Found<i64> {
    connection.query_row("SELECT coalesce(max(id), 0) FROM spending", [], |row| row.get(0))
}

/// In the order in which they were first written, which is the order in which they began.
pub(super) fn runs(connection: &Connection) -> Found<Vec<RunManifest>> {
    connection
        .prepare_cached("SELECT manifest FROM runs ORDER BY id")?
        .query_map([], |row| {
            serde_json::from_str(row.get_ref(0)?.as_str()?).map_err(|error| unreadable(0, Type::Text, error))
        })?
        .collect()
}

/// By name, not as they were written: concurrent runs of the same plan then read the same.
pub(super) fn records(connection: &Connection, run: &str) -> Found<Vec<Record>> {
    // One snapshot for both queries.
    let snapshot = connection.unchecked_transaction()?;
    let mut scores: HashMap<i64, Vec<Score>> = HashMap::new();
    let mut statement = snapshot.prepare_cached(
        "SELECT record, scorer, value FROM scores JOIN records ON records.id = record WHERE run = ?1
         ORDER BY record, position",
    )?;
    let mut rows = statement.query([run])?;
    while let Some(row) = rows.next()? {
        scores.entry(row.get(0)?).or_default().push(Score { scorer: row.get(1)?, value: row.get(2)? });
    }
    let order = "WHERE run = ?1 ORDER BY task, prompt, model, sample, repetition";
    select(&snapshot, &format!("{RECORD} {order}"), [run], &mut scores)
}

/// By its whole id, since a name may hold the separator.
pub(super) fn record(connection: &Connection, run: &str, id: &str) -> Found<Option<Record>> {
    let snapshot = connection.unchecked_transaction()?;
    let named = "WHERE run = ?1 AND concat_ws('/', task, prompt, model, sample, repetition) = ?2 LIMIT 1";
    let row: Option<i64> = snapshot
        .prepare_cached(&format!("SELECT id FROM records {named}"))?
        .query_row(params![run, id], |row| row.get(0))
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    let scores = snapshot
        .prepare_cached("SELECT scorer, value FROM scores WHERE record = ?1 ORDER BY position")?
        .query_map([row], |score| Ok(Score { scorer: score.get(0)?, value: score.get(1)? }))?
        .collect::<Found<_>>()?;
    let mut scores = HashMap::from([(row, scores)]);
    Ok(select(&snapshot, &format!("{RECORD} WHERE id = ?1"), [row], &mut scores)?.pop())
}

fn select(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    scores: &mut HashMap<i64, Vec<Score>>,
) -> Found<Vec<Record>> {
    connection
        .prepare_cached(sql)?
        .query_map(parameters, |row| {
            let outcome: String = row.get(8)?;
            Ok(Record {
                scores: scores.remove(&row.get(0)?).unwrap_or_default(),
                run: row.get(1)?,
                task: row.get(2)?,
                prompt: row.get(3)?,
                family: row.get(4)?,
                model: row.get(5)?,
                sample: row.get(6)?,
                repetition: row.get(7)?,
                outcome: Outcome::from_name(&outcome)
                    .ok_or_else(|| unreadable(8, Type::Text, format!("unknown outcome {outcome}")))?,
                answer: row.get(9)?,
                target: row.get(10)?,
                detail: row.get(11)?,
                exchanges: keys(row, 12)?,
                method: row
                    .get::<_, Option<String>>(13)?
                    .map(|name| {
                        let known = Scoring::ALL.into_iter().find(|scoring| scoring.name() == name);
                        known.ok_or_else(|| unreadable(13, Type::Text, format!("unknown method {name}")))
                    })
                    .transpose()?,
                missing_mass: row.get(14)?,
                reply_tokens: row.get::<_, Option<i64>>(15)?.map(i64::unsigned_abs),
            })
        })?
        .collect()
}

fn keys(row: &Row<'_>, column: usize) -> Found<Vec<ExchangeKey>> {
    let (keys, rest) = row.get_ref(column)?.as_blob()?.as_chunks();
    if rest.is_empty() {
        Ok(keys.iter().copied().map(ExchangeKey).collect())
    } else {
        Err(unreadable(column, Type::Blob, "the keys are cut"))
    }
}

fn body<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Found<T> {
    let bytes = row.get_ref(column)?.as_blob()?;
    // No JSON text begins as a frame of zstd does.
    let json = if bytes.starts_with(&zstd::zstd_safe::MAGICNUMBER.to_le_bytes()) {
        Cow::Owned(zstd::stream::decode_all(bytes).map_err(|error| unreadable(column, Type::Blob, error))?)
    } else {
        Cow::Borrowed(bytes)
    };
    serde_json::from_slice(&json).map_err(|error| unreadable(column, Type::Blob, error))
}

fn with_logprobs(row: &Row<'_>, mut response: Response, column: usize) -> Found<Response> {
    let (sum, tokens): (Option<f64>, Option<u32>) = (row.get(column)?, row.get(column + 1)?);
    response.logprobs = sum.zip(tokens).map(|(sum, tokens)| Logprobs { sum, tokens });
    Ok(response)
}

fn unsigned(row: &Row<'_>, column: usize) -> Found<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

fn unreadable(column: usize, kind: Type, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, error.into())
}
