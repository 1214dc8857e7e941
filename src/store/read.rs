//! The queries.

use std::borrow::Cow;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Statement, params};
use serde::de::DeserializeOwned;

use super::keys::{Keys, key_of};
use super::parts::Parts;
use super::rows::{Asked, Attempt, Complaint, Fate, Spent, StoredExchange, Tally};
use crate::schema::{
    ExchangeKey, Logprobs, Outcome, Probe, Record, RecordName, Response, RunManifest, Score, Scored, Scoring,
};

type Found<T> = rusqlite::Result<T>;

const RECORD: &str = "SELECT id, run, task, prompt, family, model, sample, repetition, outcome, answer, target,
    detail, exchanges, method, missing_mass, reply_tokens FROM records";

/// The scores of a record.
const SCORES: &str = "SELECT scorer, value FROM scores WHERE record = ?1 ORDER BY position";

/// The keys of all exchanges.
pub(super) fn keys(connection: &Connection) -> Found<Keys> {
    let count = connection.query_row("SELECT count(*) FROM exchanges", [], |row| unsigned(row, 0))?;
    let keys = Keys::with_room_for(usize::try_from(count).unwrap_or(usize::MAX));
    let mut statement = connection.prepare("SELECT key FROM exchanges")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        keys.add(&row.get(0)?);
    }
    Ok(keys)
}

/// The names of the records of a run.
pub(super) fn names(connection: &Connection, run: &str) -> Found<Keys> {
    let keys = Keys::with_room_for(record_count(connection, run)?);
    let mut statement = connection.prepare("SELECT task, prompt, model, sample, repetition FROM records WHERE run = ?1")?;
    let mut rows = statement.query([run])?;
    while let Some(row) = rows.next()? {
        let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
        let (task, prompt, model, sample) = (text(0)?, text(1)?, text(2)?, text(3)?);
        keys.add(&key_of(&RecordName { task, prompt, model, sample, repetition: row.get(4)? }));
    }
    Ok(keys)
}

pub(super) fn response(connection: &Connection, parts: &Parts, key: &ExchangeKey) -> Found<Option<Response>> {
    let Some(id) = parts.find(connection, &[&key.0])? else { return Ok(None) };
    connection
        .prepare_cached(
            "SELECT coalesce(short_response, bodies.zstd), logprob, logprob_tokens
             FROM exchanges LEFT JOIN bodies ON bodies.id = response WHERE exchanges.id = ?1",
        )?
        .query_row([id], |row| with_logprobs(row, body(row, 0)?, 1))
        .optional()
}

pub(super) fn exchange(connection: &Connection, parts: &Parts, key: &ExchangeKey) -> Found<Option<StoredExchange>> {
    let Some(id) = parts.find(connection, &[&key.0])? else { return Ok(None) };
    connection
        .prepare_cached(
            "SELECT endpoint, model, coalesce(short_request, asked.zstd), coalesce(short_response, said.zstd), logprob,
                 logprob_tokens, sent, milliseconds
             FROM exchanges LEFT JOIN bodies AS asked ON asked.id = request LEFT JOIN bodies AS said ON said.id = response
             WHERE exchanges.id = ?1",
        )?
        .query_row([id], |row| {
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

/// How the records of a run stand: by model and outcome, those with a complaint apart.
pub(super) fn tally(connection: &Connection, run: &str) -> Found<Vec<Tally>> {
    connection
        .prepare_cached(
            "SELECT model, outcome, detail IS NOT NULL, count(*) FROM records WHERE run = ?1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        )?
        .query_map([run], |row| {
            let records = usize::try_from(unsigned(row, 3)?).unwrap_or(usize::MAX);
            Ok(Tally { model: row.get(0)?, outcome: outcome(row, 1)?, has_detail: row.get(2)?, records })
        })?
        .collect()
}

/// How many samples of a run there are of each task, prompt and model.
pub(super) fn asked(connection: &Connection, run: &str) -> Found<Vec<Asked>> {
    connection
        .prepare_cached(
            "SELECT task, prompt, model, count(DISTINCT sample) FROM records WHERE run = ?1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        )?
        .query_map([run], |row| {
            let samples = usize::try_from(unsigned(row, 3)?).unwrap_or(usize::MAX);
            Ok(Asked { task: row.get(0)?, prompt: row.get(1)?, model: row.get(2)?, samples })
        })?
        .collect()
}

/// What became of one record.
pub(super) fn fate(connection: &Connection, parts: &Parts, run: &str, name: &RecordName<'_>) -> Found<Option<Fate>> {
    let RecordName { task, prompt, model, sample, repetition } = name;
    let Some(id) = parts.find(connection, &[&run, task, prompt, model, sample, repetition])? else { return Ok(None) };
    connection
        .prepare_cached("SELECT outcome, detail FROM records WHERE id = ?1")?
        .query_row([id], |row| Ok(Fate { outcome: outcome(row, 0)?, detail: row.get(1)? }))
        .optional()
}

/// The most frequent complaints of a run's records, and how many different ones there are.
pub(super) fn complaints(connection: &Connection, run: &str, most: usize) -> Found<(Vec<Complaint>, usize)> {
    let snapshot = connection.unchecked_transaction()?;
    let all = snapshot
        .prepare_cached("SELECT count(DISTINCT detail) FROM records WHERE run = ?1")?
        .query_row([run], |row| unsigned(row, 0))?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    // With a single `min`, the other columns are those of its row.
    let complaints = snapshot
        .prepare_cached(
            "SELECT detail, count(*), concat_ws('/', task, prompt, model, sample, repetition), min(id) FROM records
             WHERE run = ?1 AND detail IS NOT NULL GROUP BY detail ORDER BY 2 DESC, 4 LIMIT ?2",
        )?
        .query_map(params![run, most], |row| {
            let records = usize::try_from(unsigned(row, 1)?).unwrap_or(usize::MAX);
            Ok(Complaint { reason: row.get(0)?, records, example: row.get(2)? })
        })?
        .collect::<Found<_>>()?;
    Ok((complaints, usize::try_from(all).unwrap_or(usize::MAX)))
}

/// Every record of a run, in an order of its own and not as they were written: concurrent runs of the same plan then read the same.
pub(super) fn records(connection: &Connection, run: &str) -> Found<Vec<Record>> {
    let snapshot = connection.unchecked_transaction()?;
    let order = "ORDER BY task, prompt, model, sample, repetition";
    let mut statement = snapshot.prepare_cached(&format!("{RECORD} WHERE run = ?1 {order}"))?;
    let mut scores = snapshot.prepare_cached(SCORES)?;
    statement.query_and_then([run], |row| record_of(&mut scores, row))?.collect()
}

/// Hands on what is analysed of every record of a run, those of a sample together. No text is copied, and nothing else is read: all of
/// it is sorted.
pub(super) fn each_scored(connection: &Connection, run: &str, each: &mut dyn FnMut(&Scored<'_>)) -> Found<()> {
    let snapshot = connection.unchecked_transaction()?;
    let mut statement = snapshot.prepare_cached(
        "SELECT id, task, prompt, family, model, sample, outcome, target, method, missing_mass, reply_tokens FROM records
         WHERE run = ?1 ORDER BY task, sample, prompt, family, model, repetition",
    )?;
    let (mut rows, mut of_record, mut scores) = (statement.query([run])?, snapshot.prepare_cached(SCORES)?, Vec::new());
    while let Some(row) = rows.next()? {
        read_scores(&mut of_record, row.get(0)?, &mut scores)?;
        let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
        each(&Scored {
            task: text(1)?,
            prompt: text(2)?,
            family: text(3)?,
            model: text(4)?,
            sample: text(5)?,
            outcome: outcome(row, 6)?,
            target: text(7)?,
            method: method(row, 8)?,
            missing_mass: row.get(9)?,
            reply_tokens: row.get::<_, Option<i64>>(10)?.map(i64::unsigned_abs),
            scores: &scores,
        });
    }
    Ok(())
}

/// The scores of a record in place of those of another, which mostly have the same names.
fn read_scores(statement: &mut Statement<'_>, record: i64, scores: &mut Vec<Score>) -> Found<()> {
    let (mut rows, mut count) = (statement.query([record])?, 0);
    while let Some(row) = rows.next()? {
        let (scorer, value) = (row.get_ref(0)?.as_str()?, row.get(1)?);
        match scores.get_mut(count) {
            Some(known) if known.scorer == scorer => known.value = value,
            Some(known) => *known = Score { scorer: scorer.to_owned().into(), value },
            None => scores.push(Score { scorer: scorer.to_owned().into(), value }),
        }
        count += 1;
    }
    scores.truncate(count);
    Ok(())
}

/// By its whole id, since a name may hold the separator.
pub(super) fn record(connection: &Connection, run: &str, id: &str) -> Found<Option<Record>> {
    let snapshot = connection.unchecked_transaction()?;
    let named = "WHERE run = ?1 AND concat_ws('/', task, prompt, model, sample, repetition) = ?2 LIMIT 1";
    let mut statement = snapshot.prepare_cached(&format!("{RECORD} {named}"))?;
    let mut scores = snapshot.prepare_cached(SCORES)?;
    statement.query_row(params![run, id], |row| record_of(&mut scores, row)).optional()
}

fn record_of(statement: &mut Statement<'_>, row: &Row<'_>) -> Found<Record> {
    let mut scores = Vec::new();
    read_scores(statement, row.get(0)?, &mut scores)?;
    Ok(Record {
        scores,
        run: row.get(1)?,
        task: row.get(2)?,
        prompt: row.get(3)?,
        family: row.get(4)?,
        model: row.get(5)?,
        sample: row.get(6)?,
        repetition: row.get(7)?,
        outcome: outcome(row, 8)?,
        answer: row.get(9)?,
        target: row.get(10)?,
        detail: row.get(11)?,
        exchanges: exchanges(row, 12)?,
        method: method(row, 13)?,
        missing_mass: row.get(14)?,
        reply_tokens: row.get::<_, Option<i64>>(15)?.map(i64::unsigned_abs),
    })
}

fn outcome(row: &Row<'_>, column: usize) -> Found<Outcome> {
    let name = row.get_ref(column)?.as_str()?;
    Outcome::from_name(name).ok_or_else(|| unreadable(column, Type::Text, format!("unknown outcome {name}")))
}

fn method(row: &Row<'_>, column: usize) -> Found<Option<Scoring>> {
    let Some(name) = row.get_ref(column)?.as_str_or_null()? else { return Ok(None) };
    let known = Scoring::ALL.into_iter().find(|scoring| scoring.name() == name);
    known.map(Some).ok_or_else(|| unreadable(column, Type::Text, format!("unknown method {name}")))
}

fn exchanges(row: &Row<'_>, column: usize) -> Found<Vec<ExchangeKey>> {
    let (keys, rest) = row.get_ref(column)?.as_blob()?.as_chunks();
    if rest.is_empty() {
        Ok(keys.iter().copied().map(ExchangeKey).collect())
    } else {
        Err(unreadable(column, Type::Blob, "the keys are cut"))
    }
}

fn body<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Found<T> {
    let bytes = row.get_ref(column)?.as_bytes()?;
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
