use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::format::APPLICATION_ID;
use super::*;
use crate::schema::{
    ExchangeKey, FinishReason, Input, Logprobs, Outcome, Record, RecordName, Request, Response, RunManifest, Score, Scoring,
    Usage, Wanted,
};

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("results/onset.db");
    (directory, path)
}

fn key(number: u64) -> ExchangeKey {
    ExchangeKey(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn exchange(number: u64) -> StoredExchange {
    StoredExchange {
        key: key(number),
        endpoint: "ladder".to_owned(),
        model: "rung-3".to_owned(),
        request: Request {
            input: Input::Text(format!("{number}+1=")),
            wanted: Wanted::Reply { max_tokens: 8, stop: vec!["\n".to_owned()] },
        },
        response: Response {
            logprobs: Some(Logprobs { sum: -0.1 - 0.2, tokens: 2 }),
            usage: Some(Usage { prompt_tokens: 4, completion_tokens: 1, ..Usage::default() }),
            ..Response::new("8", FinishReason::Stop)
        },
        sent: "2026-11-03T10:00:00Z".to_owned(),
        milliseconds: 12,
    }
}

fn record(run: &str, sample: usize) -> Record {
    Record {
        run: run.to_owned(),
        task: "addition".to_owned(),
        prompt: "direct".to_owned(),
        family: "ladder".to_owned(),
        model: "maker/rung-3".to_owned(),
        sample: format!("{sample:05}"),
        repetition: 0,
        outcome: Outcome::Answered,
        answer: Some("8".to_owned()),
        target: "9".to_owned(),
        detail: None,
        method: Some(Scoring::Grammar),
        missing_mass: Some(0.25),
        reply_tokens: Some(3),
        exchanges: vec![key(1), key(2)],
        scores: vec![
            Score { scorer: "exact-match".into(), value: Some(0.0) },
            Score { scorer: "answer-logprob".into(), value: Some(f64::NEG_INFINITY) },
            Score { scorer: "brier".into(), value: None },
        ],
    }
}

fn sample_of(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn manifest(run: &str) -> RunManifest {
    RunManifest {
        version: 1,
        run: run.to_owned(),
        program: "0.1.0".to_owned(),
        started: "2026-11-03T10:00:00Z".to_owned(),
        seed: 1,
        samples: 2,
        until_resolved: false,
        repetitions: 1,
        epoch: String::new(),
        tasks: Vec::new(),
        prompts: Vec::new(),
        endpoints: Vec::new(),
        models: Vec::new(),
        refused: Vec::new(),
        planned: 2,
    }
}

fn count(path: &Path, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    Connection::open(path).unwrap().query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn what_is_written_is_read_again() {
    let (_directory, path) = place();
    let attempt = Attempt {
        key: key(1),
        at: "2026-11-03T10:00:00Z".to_owned(),
        status: Some(503),
        milliseconds: 7,
        error: "overloaded".to_owned(),
    };
    let unsure = Attempt { status: None, ..attempt.clone() };
    let store = Store::open(&path).unwrap();
    for write in [
        Write::Run(Box::new(manifest("b"))),
        Write::Run(Box::new(manifest("a"))),
        Write::Attempt(attempt.clone()),
        Write::Attempt(unsure.clone()),
        exchange(1).write().unwrap(),
        Write::Record(Box::new(record("a", 2))),
        Write::Record(Box::new(record("a", 1))),
        Write::Record(Box::new(record("b", 1))),
    ] {
        store.write(vec![write]).await.unwrap();
    }
    let check = |store: &Store| {
        assert_eq!(store.response(&key(1)).unwrap(), Some(exchange(1).response));
        assert_eq!(store.response(&key(2)).unwrap(), None);
        assert_eq!(store.response(&key(1)).unwrap(), Some(exchange(1).response));
        assert_eq!(store.exchange(&key(1)).unwrap(), Some(exchange(1)));
        assert_eq!(store.exchange(&key(2)).unwrap(), None);
        assert_eq!(store.attempts(&key(1)).unwrap(), [attempt.clone(), unsure.clone()]);
        assert_eq!(store.runs().unwrap(), [manifest("b"), manifest("a")]);
        assert_eq!(store.records("a").unwrap(), [record("a", 1), record("a", 2)]);
        let id = record("a", 2).id();
        assert_eq!(store.record("a", &id).unwrap(), Some(record("a", 2)));
        assert_eq!(store.record("b", &id).unwrap(), None);
    };
    check(&store);
    check(&Store::open_read_only(&path).unwrap());
    drop(store);
    assert!(!path.with_extension("db-wal").exists(), "the log is folded into the file");
    let reader = Store::open_read_only(&path).unwrap();
    check(&reader);
    let refused = reader.write(vec![exchange(3).write().unwrap()]).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly { .. })), "{refused:?}");
}

#[test]
fn an_exchange_and_a_body_are_stored_once() {
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    let mut again = exchange(1);
    again.response.text = "9".to_owned();
    store.write_blocking(vec![exchange(1).write().unwrap()]).unwrap();
    store.write_blocking(vec![again.write().unwrap(), exchange(2).write().unwrap()]).unwrap();
    assert_eq!(store.exchange(&key(1)).unwrap(), Some(exchange(1)));
    drop(store);
    assert_eq!(count(&path, "exchanges"), 2);
    assert_eq!(count(&path, "bodies"), 0, "short ones stand in their exchanges");
    let long = |number: u64| {
        let mut long = exchange(number);
        long.request.input = Input::Text(format!("{number}{}", "+1".repeat(1_000)));
        long.response.text = "8".repeat(1_000);
        long
    };
    let store = Store::open(&path).unwrap();
    let mut again = long(3);
    again.response.text = "9".repeat(1_000);
    store.write_blocking(vec![long(3).write().unwrap()]).unwrap();
    store.write_blocking(vec![again.write().unwrap(), long(4).write().unwrap()]).unwrap();
    assert_eq!(store.exchange(&key(3)).unwrap(), Some(long(3)));
    assert_eq!(store.response(&key(4)).unwrap(), Some(long(4).response));
    drop(store);
    assert_eq!(count(&path, "exchanges"), 4);
    assert_eq!(count(&path, "bodies"), 3, "two requests that differ, one response");
}

#[tokio::test]
async fn everybody_is_told_when_some_no_longer_listen() {
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    for round in 0..20 {
        let mut writes: Vec<_> = (0..50)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { store.write(vec![exchange(50 * round + number).write().unwrap()]).await })
            })
            .collect();
        tokio::task::yield_now().await;
        writes.iter().skip(1).step_by(3).for_each(tokio::task::JoinHandle::abort);
        for (number, write) in writes.drain(..).enumerate() {
            match write.await {
                Ok(written) => written.unwrap(),
                Err(error) => assert!(error.is_cancelled() && number % 3 == 1),
            }
        }
    }
    assert_eq!(store.exchange(&key(999)).unwrap(), Some(exchange(999)));
}

#[test]
fn a_record_is_replaced_with_its_scores() {
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    store.write_blocking(vec![Write::Record(Box::new(record("a", 1)))]).unwrap();
    let mut scored = record("a", 1);
    scored.outcome = Outcome::Failed;
    scored.scores.truncate(1);
    store.write_blocking(vec![Write::Record(Box::new(scored.clone()))]).unwrap();
    assert_eq!(store.records("a").unwrap(), [scored]);
    drop(store);
    assert_eq!(count(&path, "scores"), 1);
}

#[test]
fn extreme_log_probabilities_survive_and_no_number_is_refused() {
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    let mut write = exchange(1);
    write.response.logprobs = Some(Logprobs { sum: f64::NAN, tokens: 1 });
    let refused = write.write();
    assert!(matches!(refused, Err(StoreError::Unstorable { .. })), "{refused:?}");
    write.response.logprobs = Some(Logprobs { sum: f64::NEG_INFINITY, tokens: 1 });
    store.write_blocking(vec![write.write().unwrap()]).unwrap();
    assert_eq!(store.response(&key(1)).unwrap(), Some(write.response));
}

#[test]
fn a_second_writer_is_locked_out_until_the_last_handle_is_gone() {
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    let clone = store.clone();
    drop(store);
    assert!(matches!(Store::open(&path), Err(StoreError::Locked { .. })));
    Store::open_read_only(&path).unwrap();
    drop(clone);
    Store::open(&path).unwrap();
}

#[test]
fn a_newer_store_is_refused_and_unchanged() {
    let (_directory, path) = place();
    drop(Store::open(&path).unwrap());
    let newer = i32::try_from(MIGRATIONS.len() + 1).unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", newer).unwrap();
    let before = std::fs::read(&path).unwrap();
    for opened in [Store::open(&path), Store::open_read_only(&path)] {
        let found = u32::try_from(newer).unwrap();
        assert!(
            matches!(opened, Err(StoreError::Newer { found: f, supported, .. }) if f == found && supported == found - 1)
        );
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn what_is_no_store_is_refused_and_unchanged() {
    let (_directory, path) = place();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    for garbage in [b"hello".to_vec(), vec![0x5a; 10_000]] {
        std::fs::write(&path, &garbage).unwrap();
        for opened in [Store::open(&path), Store::open_read_only(&path)] {
            assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), garbage);
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Store::open_read_only(&path), Err(StoreError::Missing { .. })));
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Damaged { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_cut_store_is_damaged_and_unchanged() {
    let (_directory, path) = place();
    drop(Store::open(&path).unwrap());
    let whole = std::fs::read(&path).unwrap();
    let half = whole.get(..whole.len() / 2).unwrap();
    std::fs::write(&path, half).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Damaged { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), half);
}

#[test]
fn an_older_store_is_migrated_with_its_content() {
    let (_directory, path) = place();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Version 0: marked as ours, before the first migration.
    Connection::open(&path).unwrap().pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    assert!(matches!(Store::open_read_only(&path), Err(StoreError::Older { found: 0, .. })));
    let store = Store::open(&path).unwrap();
    store.write_blocking(vec![Write::Record(Box::new(record("a", 1)))]).unwrap();
    drop(store);
    // A version that does not exist yet, made from the newest one.
    let mut next = MIGRATIONS.to_vec();
    next.push("ALTER TABLE records ADD COLUMN note TEXT; CREATE TABLE added (a);");
    let store = Store::open_with(&path, &next).unwrap();
    assert_eq!(store.records("a").unwrap(), [record("a", 1)]);
    drop(store);
    assert_eq!(count(&path, "added"), 0);
    assert!(matches!(Store::open(&path), Err(StoreError::Newer { .. })));
    // A step that fails leaves the version before it.
    next.push("CREATE TABLE more (a); CREATE TABLE added (a);");
    assert!(matches!(Store::open_with(&path, &next), Err(StoreError::Sqlite { .. })));
    next.pop();
    Store::open_with(&path, &next).unwrap();
}

#[test]
fn what_stands_in_another_part_of_an_index_is_found_and_not_stored_again() {
    let (_directory, path) = place();
    let known = |number: u64| Write::Record(Box::new(record("a", sample_of(number))));
    let fate = |store: &Store, run: &str, number: u64| {
        let Record { task, prompt, model, sample, repetition, .. } = &record("a", sample_of(number));
        let name = RecordName { task, prompt, model, sample, repetition: *repetition };
        store.fate(run, &name).unwrap().map(|fate| fate.outcome)
    };
    Store::open(&path)
        .unwrap()
        .write_blocking((1..5).flat_map(|number| [exchange(number).write().unwrap(), known(number)]).collect())
        .unwrap();
    // One row in each part, and parts without any.
    let apart = "PRAGMA foreign_keys = off; UPDATE exchanges SET id = id * 131072; UPDATE records SET id = id * 131072;
        UPDATE scores SET record = record * 131072";
    Connection::open(&path).unwrap().execute_batch(apart).unwrap();
    let check = |store: &Store| {
        for number in (1..5).chain((1..5).rev()) {
            assert_eq!(store.exchange(&key(number)).unwrap(), Some(exchange(number)));
            assert_eq!(store.response(&key(number)).unwrap(), Some(exchange(number).response));
            assert_eq!(fate(store, "a", number), Some(Outcome::Answered));
        }
        assert_eq!((store.exchange(&key(9)).unwrap(), store.response(&key(9)).unwrap()), (None, None));
        assert_eq!((fate(store, "a", 9), fate(store, "b", 1)), (None, None));
    };
    check(&Store::open_read_only(&path).unwrap());
    let store = Store::open(&path).unwrap();
    check(&store);
    let mut other = exchange(2);
    other.response.text = "9".to_owned();
    let changed = |number| Record { outcome: Outcome::Unparsed, ..record("a", number) };
    let again = |number| Write::Record(Box::new(changed(number)));
    store.write_blocking(vec![other.write().unwrap(), again(1), again(4), known(5), again(5)]).unwrap();
    store.write_blocking(vec![exchange(5).write().unwrap(), exchange(5).write().unwrap()]).unwrap();
    assert_eq!(store.exchange(&key(2)).unwrap(), Some(exchange(2)));
    assert_eq!(store.records("a").unwrap(), [changed(1), record("a", 2), record("a", 3), changed(4), changed(5)]);
    assert_eq!(fate(&store, "a", 4), Some(Outcome::Unparsed));
    assert_eq!(["exchanges", "records", "scores"].map(|table| count(&path, table)), [5, 5, 15]);
}

#[test]
fn of_many_that_write_the_same_at_once_one_is_stored() {
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    for round in 0..100 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let writes = vec![exchange(round).write().unwrap(), Write::Record(Box::new(record("a", sample_of(round))))];
                scope.spawn(|| store.write_blocking(writes).unwrap());
            }
        });
    }
    assert_eq!(["exchanges", "records", "scores"].map(|table| count(&path, table)), [100, 100, 300]);
}

#[test]
fn what_older_programs_stored_is_read_and_added_to() {
    (3..MIGRATIONS.len()).for_each(stored_by_an_older_program);
}

fn stored_by_an_older_program(older: usize) {
    let (_directory, path) = place();
    let store = Store::open_with(&path, &MIGRATIONS[..older]).unwrap();
    drop(store);
    // Once every body was compressed, however short.
    let body = |value: &serde_json::Value| zstd::bulk::compress(value.to_string().as_bytes(), 3).unwrap();
    let known = exchange(1);
    let connection = Connection::open(&path).unwrap();
    let bodies = [serde_json::json!(known.request), serde_json::json!({ "text": "8", "finish": "stop" })];
    for (id, text) in bodies.iter().enumerate() {
        let hash = blake3::hash(text.to_string().as_bytes());
        let row = rusqlite::params![i64::try_from(id).unwrap() + 1, hash.as_bytes(), body(text)];
        connection.execute("INSERT INTO bodies (id, hash, zstd) VALUES (?1, ?2, ?3)", row).unwrap();
    }
    let sql = "INSERT INTO exchanges (key, endpoint, model, request, response, sent, milliseconds) VALUES (?1, 'e', 'm', 1, 2, '', 1)";
    connection.execute(sql, [known.key.0]).unwrap();
    let sql = "INSERT INTO records (id, run, task, prompt, family, model, sample, repetition, outcome, answer, target, exchanges,
            method, missing_mass, reply_tokens)
        VALUES (7, 'a', 'addition', 'direct', 'ladder', 'maker/rung-3', '00001', 0, 'answered', '8', '9', ?1, 'grammar', 0.25, 3)";
    connection.execute(sql, [[key(1).0, key(2).0].concat()]).unwrap();
    let sql =
        "INSERT INTO scores VALUES (7, 0, 'exact-match', 0.0), (7, 1, 'answer-logprob', -9e999), (7, 2, 'brier', NULL)";
    connection.execute(sql, []).unwrap();
    connection.execute("CREATE VIEW theirs AS SELECT sample FROM records JOIN exchanges USING (model)", []).unwrap();
    drop(connection);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.records("a").unwrap(), [record("a", 1)]);
    let changed = Record { outcome: Outcome::Unparsed, ..record("a", 1) };
    let writes = [known.write().unwrap(), Write::Record(Box::new(changed.clone()))];
    store.write_blocking(writes.to_vec()).unwrap();
    assert_eq!(store.records("a").unwrap(), [changed]);
    assert_eq!(["exchanges", "records", "scores", "theirs"].map(|table| count(&path, table)), [1, 1, 3, 0]);
    assert_eq!(store.exchange(&known.key).unwrap().unwrap().request, known.request);
    assert_eq!(store.response(&known.key).unwrap().unwrap().text, "8");
    assert_eq!(store.probe("e", "i").unwrap(), None);
    store.write_blocking(vec![exchange(2).write().unwrap()]).unwrap();
    assert_eq!(store.exchange(&key(2)).unwrap().unwrap(), exchange(2));
    // The older program must not misread what is written now.
    drop(store);
    assert!(matches!(Store::open_with(&path, &MIGRATIONS[..older]), Err(StoreError::Newer { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_records_are_written_together_and_read_in_well_under_a_second() {
    const RECORDS: usize = 40_000;
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    let mut writes = Vec::new();
    for sample in 0..200 {
        let store = store.clone();
        writes.push(tokio::spawn(async move { store.write(vec![Write::Record(Box::new(record("a", sample)))]).await }));
    }
    for write in writes {
        write.await.unwrap().unwrap();
    }
    store.write_blocking((200..RECORDS).map(|sample| Write::Record(Box::new(record("a", sample)))).collect()).unwrap();
    let begun = Instant::now();
    let records = store.records("a").unwrap();
    let took = begun.elapsed();
    assert_eq!(records.len(), RECORDS);
    assert!(records.iter().all(|record| record.scores.len() == 3));
    let begun = Instant::now();
    assert!(store.record("a", &record("a", 39_999).id()).unwrap().is_some());
    let took_one = begun.elapsed();
    // Generous, since tests share the machine; measured alone the first takes 0.11 s and the second 0.01 s.
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(took_one < Duration::from_secs(1), "{took_one:?}");
}

#[tokio::test]
async fn what_was_handed_over_is_there_before_it_is_committed() {
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    for number in 0..200 {
        let mut asked = exchange(number);
        asked.response.logprobs = Some(Logprobs { sum: f64::NEG_INFINITY, tokens: 1 });
        store.queue(vec![asked.write().unwrap()]).await.unwrap();
        assert_eq!(store.response(&key(number)).unwrap(), Some(asked.response));
    }
    store.settle().await.unwrap();
    for number in 0..200 {
        assert_eq!(store.response(&key(number)).unwrap().unwrap().logprobs.unwrap().tokens, 1);
    }
    drop(store);
    // What stands beside a store that is gone is no reply of the next one.
    let (mut journal, _) = super::journal::Journal::open(super::journal::beside(&path)).unwrap();
    let Ok(Write::Exchange(row)) = exchange(7).write() else { panic!("no exchange") };
    journal.append(std::iter::once(&*row)).unwrap();
    for file in ["onset.db", "onset.db-wal", "onset.db-shm"] {
        drop(std::fs::remove_file(path.with_file_name(file)));
    }
    assert_eq!(Store::open(&path).unwrap().response(&key(7)).unwrap(), None);
}

/// Bytes in the journal of a store.
fn written(path: &Path) -> u64 {
    std::fs::metadata(super::journal::beside(path)).unwrap().len()
}

#[tokio::test]
async fn what_cannot_be_committed_stays_in_the_journal_though_what_came_with_it_is_committed() {
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    let refuse =
        "CREATE TRIGGER refuse BEFORE INSERT ON exchanges WHEN new.model = 'odd' BEGIN SELECT raise(ABORT, 'no'); END";
    Connection::open(&path).unwrap().execute_batch(refuse).unwrap();
    let odd = StoredExchange { model: "odd".to_owned(), ..exchange(1) };
    let mut large = exchange(2);
    // Enough for the journal to be cut.
    large.response.text = "x".repeat(2 << 20);
    let (first, second) = (vec![odd.write().unwrap()], vec![large.write().unwrap()]);
    let (first, second) = tokio::join!(store.queue(first), store.queue(second));
    // Whether they hear of it already depends on when the commit is tried.
    drop((first, second));
    assert!(store.settle().await.is_err());
    drop(store);
    assert_eq!(count(&path, "exchanges"), 1);
    Connection::open(&path).unwrap().execute_batch("DROP TRIGGER refuse").unwrap();
    assert_eq!(Store::open(&path).unwrap().exchange(&key(1)).unwrap(), Some(odd), "what was paid for is not lost");
}

#[tokio::test]
async fn everybody_is_told_of_a_journal_that_cannot_be_written_but_whose_rows_do_not_stand_in_it() {
    let (_directory, path) = place();
    drop(Store::open(&path).unwrap());
    let journal = super::journal::Journal::unwritable(super::journal::beside(&path));
    let connection = Connection::open(&path).unwrap();
    let writer = super::writer::Writer::start(connection, journal, super::keys::Keys::with_room_for(0)).unwrap();
    let rows = |write: Write| vec![super::rows::Row::new(write).unwrap()];
    let queue = |number| writer.send_with_room(rows(exchange(number).write().unwrap()));
    let (one, other) = tokio::join!(queue(1), queue(2));
    assert!(one.is_err() && other.is_err(), "{one:?} {other:?}");
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let reserve = Write::Reserve { id: 1, run: "a".to_owned(), key: key(3), usd: 0.5 };
    assert!(writer.send(rows(reserve), super::writer::Done::Task(sender)).unwrap());
    assert!(receiver.await.unwrap().is_ok());
    drop(writer);
    assert_eq!((count(&path, "exchanges"), count(&path, "spending")), (2, 1), "what came is committed all the same");
}

#[tokio::test]
async fn what_was_handed_over_by_a_task_that_was_dropped_is_kept() {
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    {
        let mut dropped = std::pin::pin!(store.queue(vec![exchange(1).write().unwrap()]));
        assert!(futures_util::poll!(&mut dropped).is_pending(), "others may hand over in the same turn");
        assert_eq!(store.response(&key(1)).unwrap(), Some(exchange(1).response));
        assert_eq!(written(&path), 0);
    }
    assert!(written(&path) > 0, "nobody else would write it down");
    store.queue(vec![Write::Record(Box::new(record("a", 1)))]).await.unwrap();
    store.settle().await.unwrap();
    drop(store);
    assert_eq!((count(&path, "exchanges"), count(&path, "records")), (1, 1));
}

#[tokio::test]
async fn what_nobody_waited_for_and_could_not_be_committed_is_told_to_the_next() {
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON records BEGIN SELECT raise(ABORT, 'no'); END";
    Connection::open(&path).unwrap().execute_batch(refuse).unwrap();
    // Whatever else is in the batch is committed.
    store.queue(vec![exchange(1).write().unwrap()]).await.unwrap();
    store.queue(vec![Write::Record(Box::new(record("a", 1)))]).await.unwrap();
    let told = store.settle().await;
    assert!(matches!(told, Err(StoreError::Sqlite { .. })), "{told:?}");
    let refused = store.queue(vec![exchange(2).write().unwrap()]).await;
    assert!(matches!(refused, Err(StoreError::Sqlite { .. })), "{refused:?}");
    drop(store);
    assert_eq!(count(&path, "exchanges"), 2, "what came is kept all the same");
    assert_eq!(count(&path, "records"), 0);
}

#[tokio::test]
async fn whoever_hands_over_more_than_there_is_room_for_waits_and_loses_nothing() {
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    let large = |number: u64| {
        let mut large = exchange(number);
        large.response.text = "x".repeat(1 << 20);
        vec![large.write().unwrap()]
    };
    // Nothing can be committed meanwhile.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Each takes a little more than a mebibyte.
    let fit = u64::from(super::writer::ROOM >> 20) - 1;
    for number in 0..fit {
        store.queue(large(number)).await.unwrap();
    }
    {
        let mut waiting = std::pin::pin!(store.queue(large(fit)));
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut waiting).await.is_err(), "there is room for {fit}");
        assert!(store.response(&key(fit)).unwrap().is_some());
        other.execute_batch("ROLLBACK").unwrap();
        waiting.await.unwrap();
    }
    for number in fit + 1..40 {
        store.queue(large(number)).await.unwrap();
    }
    store.settle().await.unwrap();
    drop(store);
    assert_eq!(count(&path, "exchanges"), 40);
}

const VICTIM: &str = "ONSET_TEST_STORE_TO_BE_KILLED";

/// Not a test of its own: a process that is killed. It says what was acknowledged.
#[test]
fn victim() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let store = Store::open(Path::new(&path)).unwrap();
    for number in 0.. {
        store.write_blocking(vec![exchange(number).write().unwrap()]).unwrap();
        println!("acknowledged {number}");
    }
}

/// The same, which says what was handed over and waits for no commit.
#[tokio::test]
async fn hasty_victim() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let store = Store::open(Path::new(&path)).unwrap();
    for number in (0..).step_by(2) {
        let queue = |number| store.queue(vec![exchange(number).write().unwrap()]);
        let (one, other) = tokio::join!(queue(number), queue(number + 1));
        one.and(other).unwrap();
        println!("acknowledged {number}\nacknowledged {}", number + 1);
        // Several in the time of a commit, and several commits in that of the test.
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    survives("store::tests::victim");
}

#[test]
fn a_killed_process_loses_no_exchange_that_was_handed_over() {
    survives("store::tests::hasty_victim");
}

fn survives(victim: &str) {
    let (_directory, path) = place();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", victim, "--nocapture"])
        .env(VICTIM, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        acknowledged.extend(line.unwrap().split_once("acknowledged ").and_then(|(_, number)| number.parse::<u64>().ok()));
        if acknowledged.len() == 100 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 100, "{}", acknowledged.len());
    let store = Store::open(&path).unwrap();
    for number in acknowledged {
        assert_eq!(store.exchange(&key(number)).unwrap(), Some(exchange(number)));
    }
    drop(store);
    assert!(!super::journal::beside(&path).exists(), "nothing is left to be committed");
}
