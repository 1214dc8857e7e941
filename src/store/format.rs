//! The format of the database: its versions, how one becomes the next, and how a file is recognised.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StoreError;

/// Marks a SQLite file as a store of this program: `onst`.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"onst");

/// What makes each format version from the one before, beginning with an empty file; its length is the newest version.
/// Entries are added and never edited: a published version stays what it was.
pub const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    started TEXT NOT NULL,
    program TEXT NOT NULL,
    planned INTEGER NOT NULL,
    manifest TEXT NOT NULL
);
CREATE TABLE bodies (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    zstd BLOB NOT NULL
);
CREATE TABLE exchanges (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    request INTEGER NOT NULL REFERENCES bodies (id),
    response INTEGER NOT NULL REFERENCES bodies (id),
    logprob REAL,
    logprob_tokens INTEGER,
    sent TEXT NOT NULL,
    milliseconds INTEGER NOT NULL
);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    at TEXT NOT NULL,
    status INTEGER,
    milliseconds INTEGER NOT NULL,
    error TEXT NOT NULL
);
CREATE INDEX attempts_key ON attempts (key);
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    task TEXT NOT NULL,
    prompt TEXT NOT NULL,
    family TEXT NOT NULL,
    model TEXT NOT NULL,
    sample TEXT NOT NULL,
    repetition INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    answer TEXT,
    target TEXT NOT NULL,
    detail TEXT,
    exchanges BLOB NOT NULL,
    UNIQUE (run, task, prompt, model, sample, repetition)
);
CREATE TABLE scores (
    record INTEGER NOT NULL REFERENCES records (id),
    position INTEGER NOT NULL,
    scorer TEXT NOT NULL,
    value REAL,
    PRIMARY KEY (record, position)
) WITHOUT ROWID;
",
    "
ALTER TABLE records ADD COLUMN method TEXT;
ALTER TABLE records ADD COLUMN missing_mass REAL;
ALTER TABLE records ADD COLUMN reply_tokens INTEGER;
CREATE TABLE spending (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    key BLOB NOT NULL,
    reserved REAL NOT NULL,
    settled REAL
);
CREATE INDEX spending_run ON spending (run);
",
    // From here on a body may be a JSON text as it is.
    "
CREATE TABLE IF NOT EXISTS probes (
    id INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL,
    identity TEXT NOT NULL,
    model TEXT NOT NULL,
    at TEXT NOT NULL,
    findings TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS probes_identity ON probes (identity);
",
    // A short body stands in its exchange: to look for its like under a random hash would cost more than it takes.
    "
CREATE TABLE exchanges_with_short_bodies (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    request INTEGER REFERENCES bodies (id),
    short_request TEXT,
    response INTEGER REFERENCES bodies (id),
    short_response TEXT,
    logprob REAL,
    logprob_tokens INTEGER,
    sent TEXT NOT NULL,
    milliseconds INTEGER NOT NULL
);
INSERT INTO exchanges_with_short_bodies
        (id, key, endpoint, model, request, response, logprob, logprob_tokens, sent, milliseconds)
    SELECT id, key, endpoint, model, request, response, logprob, logprob_tokens, sent, milliseconds FROM exchanges;
DROP TABLE exchanges;
ALTER TABLE exchanges_with_short_bodies RENAME TO exchanges;
",
    // The indexes of exchanges and records stand apart for every 65,536 rows, and are unique in each; that they are so as a whole is
    // seen to by whoever writes.
    "
CREATE TABLE exchanges_in_parts (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    request INTEGER REFERENCES bodies (id),
    short_request TEXT,
    response INTEGER REFERENCES bodies (id),
    short_response TEXT,
    logprob REAL,
    logprob_tokens INTEGER,
    sent TEXT NOT NULL,
    milliseconds INTEGER NOT NULL
);
INSERT INTO exchanges_in_parts SELECT id, key, endpoint, model, request, short_request, response, short_response, logprob,
    logprob_tokens, sent, milliseconds FROM exchanges;
DROP TABLE exchanges;
ALTER TABLE exchanges_in_parts RENAME TO exchanges;
CREATE UNIQUE INDEX exchanges_key ON exchanges (id >> 16, key);
CREATE TABLE records_in_parts (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    task TEXT NOT NULL,
    prompt TEXT NOT NULL,
    family TEXT NOT NULL,
    model TEXT NOT NULL,
    sample TEXT NOT NULL,
    repetition INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    answer TEXT,
    target TEXT NOT NULL,
    detail TEXT,
    exchanges BLOB NOT NULL,
    method TEXT,
    missing_mass REAL,
    reply_tokens INTEGER
);
INSERT INTO records_in_parts SELECT id, run, task, prompt, family, model, sample, repetition, outcome, answer, target, detail,
    exchanges, method, missing_mass, reply_tokens FROM records;
DROP TABLE records;
ALTER TABLE records_in_parts RENAME TO records;
CREATE UNIQUE INDEX records_name ON records (run, id >> 16, task, prompt, model, sample, repetition);
",
];

/// The newest version that a list of migrations leads to.
pub(super) fn newest(migrations: &[&str]) -> u32 {
    u32::try_from(migrations.len()).unwrap_or(u32::MAX)
}

/// The version of an open database; zero for an empty one.
pub(super) fn version(connection: &Connection, path: &Path, supported: u32) -> Result<u32, StoreError> {
    let number = |pragma: &str| {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, i32>(0))
            .map_err(|error| StoreError::sqlite(path, error))
    };
    let (found, application) = (number("user_version")?, number("application_id")?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| StoreError::sqlite(path, error))?;
    let is_empty = found == 0 && application == 0 && tables == 0;
    if application != APPLICATION_ID && !is_empty {
        let reason = "it is a database of another program".to_owned();
        return Err(StoreError::Damaged { path: path.to_path_buf(), reason });
    }
    let Ok(found) = u32::try_from(found) else {
        let reason = format!("its format version is {found}");
        return Err(StoreError::Damaged { path: path.to_path_buf(), reason });
    };
    if found > supported {
        return Err(StoreError::Newer { path: path.to_path_buf(), found, supported });
    }
    Ok(found)
}

/// Refuses what must not be written to, before anything is opened in a way that could change it.
pub(super) fn inspect(path: &Path, supported: u32) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    let found = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| StoreError::sqlite(path, error))
        .and_then(|connection| version(&connection, path, supported));
    match found {
        // A process that was killed while it made the file can leave a state that only a writer may recover; the
        // version is checked again once that has happened.
        Err(StoreError::Sqlite { source, .. })
            if matches!(source.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen)) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}

/// Brings an open database to the newest version, one transaction for each step.
pub(super) fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let from = version(connection, path, newest(migrations))?;
    // Else a table that takes the name of another is refused where somebody has made a view of that one.
    connection.pragma_update(None, "legacy_alter_table", true).map_err(|error| StoreError::sqlite(path, error))?;
    for (to, step) in (1_u32..).zip(migrations) {
        if to > from {
            apply(connection, to, step).map_err(|error| StoreError::sqlite(path, error))?;
        }
    }
    Ok(())
}

fn apply(connection: &mut Connection, to: u32, step: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", to)?;
    transaction.commit()
}
