//! The handle that is passed around.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use super::format::{MIGRATIONS, inspect, migrate, newest, version};
use super::journal::{self, Journal};
use super::keys::{Keys, Names, key_of};
use super::parts::Parts;
use super::read;
use super::rows::{Asked, Attempt, Complaint, Fate, Row, Spent, StoredExchange, Tally, Write};
use super::writer::{Committed, Done, Writer, commit};
use crate::schema::{ExchangeKey, Probe, Record, RecordName, Response, RunManifest, Scored};

/// How long to wait for someone who looks at the file with a tool of their own.
const BUSY: Duration = Duration::from_secs(30);

/// An open store; clones share it. The last one dropped commits what is queued and closes the file.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// Fields are dropped in this order: the writer ends and commits, the connections close, the lock is released.
struct Inner {
    writer: Option<Writer>,
    reader: Mutex<Connection>,
    exchanges: Parts,
    records: Parts,
    /// Of a store that is only read, once they are asked for; the writer has its own.
    keys: OnceLock<Keys>,
    names: Names,
    path: PathBuf,
    _lock: Option<File>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.inner.path)
            .field("writable", &self.inner.writer.is_some())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a store for writing, and makes it and its directories when they are not there. Older formats are migrated.
    ///
    /// # Errors
    /// When another process writes to it, when a newer program wrote it, when the file is damaged or something else, or
    /// when the system or SQLite refuse. The file is then unchanged.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, MIGRATIONS)
    }

    /// [`Self::open`] with another list of migrations.
    pub(super) fn open_with(path: &Path, migrations: &[&str]) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let is_new = !path.exists();
        inspect(path, newest(migrations))?;
        let sqlite = |error| StoreError::sqlite(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        prepare(&connection).map_err(sqlite)?;
        version(&connection, path, newest(migrations))?;
        // With a write-ahead log readers never wait for the writer. `FULL` syncs the log at each commit: `NORMAL` would
        // be enough for a killed process, but not for a power cut, and exchanges have been paid for.
        connection.pragma_update(None, "journal_mode", "WAL").map_err(sqlite)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(sqlite)?;
        // Every batch touches most pages of the last part of an index: the more of the log is folded back at once, the fewer pages
        // are written twice. This many are 16 MB.
        connection.pragma_update(None, "wal_autocheckpoint", 4000).map_err(sqlite)?;
        // The last parts of the indexes, which are touched again and again, should not be read again and again: 8 MB.
        connection.pragma_update(None, "cache_size", -8192).map_err(sqlite)?;
        // What refers to what is written here alone and in one transaction: it need not be looked up again with each row.
        connection.pragma_update(None, "foreign_keys", false).map_err(sqlite)?;
        migrate(&mut connection, path, migrations)?;
        // Not read-only by its flags, so that whichever connection closes last can fold the log back into the file.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        prepare(&reader).map_err(sqlite)?;
        reader.pragma_update(None, "query_only", true).map_err(sqlite)?;
        let beside = journal::beside(path);
        let io = |source| StoreError::Io { path: beside.clone(), source };
        let (mut journal, left) = Journal::open(beside.clone()).map_err(io)?;
        // What stands beside a store that is new was of one that is gone.
        if !left.is_empty() && !is_new {
            // The last process was killed before it could commit them.
            let left: Vec<Row> = left.iter().map(|exchange| Row::new(exchange.write()?)).collect::<Result<_, _>>()?;
            commit(&mut connection, &left).map_err(sqlite)?;
        }
        journal.clear().map_err(io)?;
        let keys = read::keys(&reader).map_err(sqlite)?;
        let writer = Writer::start(connection, journal, keys)
            .map_err(|source| StoreError::Io { path: path.to_path_buf(), source })?;
        Ok(Self::of(path, reader, Some(writer), Some(lock)))
    }

    /// Opens a store for reading, also while another process writes to it.
    ///
    /// # Errors
    /// When there is none, when it has another format version, when it is damaged, or when SQLite refuses.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing { path: path.to_path_buf() });
        }
        let sqlite = |error| StoreError::sqlite(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        prepare(&reader).map_err(sqlite)?;
        let supported = newest(MIGRATIONS);
        let found = version(&reader, path, supported)?;
        if found < supported {
            return Err(StoreError::Older { path: path.to_path_buf(), found, supported });
        }
        Ok(Self::of(path, reader, None, None))
    }

    fn of(path: &Path, reader: Connection, writer: Option<Writer>, lock: Option<File>) -> Self {
        Self {
            inner: Arc::new(Inner {
                writer,
                reader: Mutex::new(reader),
                exchanges: Parts::of_exchanges(),
                records: Parts::of_records(),
                keys: OnceLock::new(),
                names: Names::default(),
                path: path.to_path_buf(),
                _lock: lock,
            }),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The response of an exchange. A store that is only read may not notice what another process adds after the first time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn response(&self, key: &ExchangeKey) -> Result<Option<Response>, StoreError> {
        if let Some(writer) = &self.inner.writer {
            if !writer.may_have(key) {
                return Ok(None);
            }
            if let Some(exchange) = writer.pending(key) {
                return exchange.response().map(Some);
            }
        } else if !self.keys()?.may_have(&key.0) {
            return Ok(None);
        }
        self.read(|connection| read::response(connection, &self.inner.exchanges, key))
    }

    /// The keys of a store that is only read.
    fn keys(&self) -> Result<&Keys, StoreError> {
        if let Some(keys) = self.inner.keys.get() {
            return Ok(keys);
        }
        let keys = self.read(read::keys)?;
        Ok(self.inner.keys.get_or_init(|| keys))
    }

    /// A whole exchange.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn exchange(&self, key: &ExchangeKey) -> Result<Option<StoredExchange>, StoreError> {
        self.read(|connection| read::exchange(connection, &self.inner.exchanges, key))
    }

    /// The failed calls for an exchange, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn attempts(&self, key: &ExchangeKey) -> Result<Vec<Attempt>, StoreError> {
        self.read(|connection| read::attempts(connection, key))
    }

    /// Every run, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn runs(&self) -> Result<Vec<RunManifest>, StoreError> {
        self.read(read::runs)
    }

    /// The records of a run with their scores, by task, prompt, model, sample and repetition.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn records(&self, run: &str) -> Result<Vec<Record>, StoreError> {
        self.read(|connection| read::records(connection, run))
    }

    /// Hands on the records of a run one by one, those of a sample together: by task, sample, prompt, family, model and repetition.
    /// Nothing else can be had of the store meanwhile.
    ///
    /// # Errors
    /// When the store cannot be read; what was handed on by then is not all.
    pub fn each_scored(&self, run: &str, mut each: impl FnMut(&Scored<'_>)) -> Result<(), StoreError> {
        self.read(|connection| read::each_scored(connection, run, &mut each))
    }

    /// How the records of a run stand.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tally(&self, run: &str) -> Result<Vec<Tally>, StoreError> {
        self.read(|connection| read::tally(connection, run))
    }

    /// How many samples of a run there are of each task, prompt and model.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn asked(&self, run: &str) -> Result<Vec<Asked>, StoreError> {
        self.read(|connection| read::asked(connection, run))
    }

    /// What became of one record of a run; none when it is not there. A store that is only read may not notice what another process
    /// adds after the first time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn fate(&self, run: &str, name: &RecordName<'_>) -> Result<Option<Fate>, StoreError> {
        if !self.names(run)?.may_have(&key_of(name)) {
            return Ok(None);
        }
        self.read(|connection| read::fate(connection, &self.inner.records, run, name))
    }

    /// The names of the records of a run, whether they are committed or not; of a store that is only read, those that were there when it
    /// was first asked about the run.
    fn names(&self, run: &str) -> Result<Arc<Keys>, StoreError> {
        self.inner.names.of(run, || self.read(|connection| read::names(connection, run)))
    }

    /// What most often went wrong with the records of a run, and in how many different words.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn complaints(&self, run: &str, most: usize) -> Result<(Vec<Complaint>, usize), StoreError> {
        self.read(|connection| read::complaints(connection, run, most))
    }

    /// Number of records of a run.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn record_count(&self, run: &str) -> Result<usize, StoreError> {
        self.read(|connection| read::record_count(connection, run))
    }

    /// What a run has cost.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn spent(&self, run: &str) -> Result<Spent, StoreError> {
        self.read(|connection| read::spent(connection, run))
    }

    /// What was last found of the endpoint of that name and [`Probe::identity`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn probe(&self, endpoint: &str, identity: &str) -> Result<Option<Probe>, StoreError> {
        self.read(|connection| read::probe(connection, endpoint, identity))
    }

    /// The number of the last reservation of any run; zero where there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn last_spending(&self) -> Result<i64, StoreError> {
        self.read(read::last_spending)
    }

    /// The record of a run with that [`Record::id`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn record(&self, run: &str, id: &str) -> Result<Option<Record>, StoreError> {
        self.read(|connection| read::record(connection, run, id))
    }

    /// Writes things in one transaction, all of them or none; done once they are committed. A caller that stops waiting does not
    /// take the writes back.
    ///
    /// # Errors
    /// When the store was opened for reading, when a thing cannot be stored, or when SQLite refuses.
    pub async fn write(&self, items: Vec<Write>) -> Result<(), StoreError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.hand_over(self.rows(items)?, Done::Task(sender))?;
        self.committed(receiver.await.ok())
    }

    /// The same for callers that do not wait for the commit, which many then share; they wait only while very much is queued. An
    /// exchange outlives this process once this is done.
    ///
    /// # Errors
    /// When the store was opened for reading, when a thing cannot be stored, when the system refuses, or when something that was
    /// queued before could not be committed.
    pub async fn queue(&self, items: Vec<Write>) -> Result<(), StoreError> {
        let rows = self.rows(items)?;
        let writer = self.writer()?;
        self.handed_over(writer.send_with_room(rows).await)?;
        // Only now: what came stands in the journal, whatever became of what was before it.
        self.check(writer)
    }

    /// Waits until everything that was queued is committed.
    ///
    /// # Errors
    /// When some of it could not be.
    pub async fn settle(&self) -> Result<(), StoreError> {
        self.write(Vec::new()).await?;
        self.check(self.writer()?)
    }

    /// Waits until something that was queued could not be committed: until [`Self::settle`] would fail.
    pub async fn failure(&self) {
        match &self.inner.writer {
            Some(writer) => writer.failure().await,
            None => std::future::pending().await,
        }
    }

    /// The same for callers that are not asynchronous.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub fn write_blocking(&self, items: Vec<Write>) -> Result<(), StoreError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.hand_over(self.rows(items)?, Done::Thread(sender))?;
        self.committed(receiver.recv().ok())
    }

    fn rows(&self, items: Vec<Write>) -> Result<Vec<Row>, StoreError> {
        self.writer()?;
        let mut rows: Vec<Row> = items.into_iter().map(Row::new).collect::<Result<_, _>>()?;
        for row in &mut rows {
            if let Row::Record { record, names, .. } = row {
                *names = Some(self.names(record.run())?);
            }
        }
        Ok(rows)
    }

    fn writer(&self) -> Result<&Writer, StoreError> {
        self.inner.writer.as_ref().ok_or_else(|| StoreError::ReadOnly { path: self.inner.path.clone() })
    }

    /// Refuses to go on after something that nobody waited for could not be committed.
    fn check(&self, writer: &Writer) -> Result<(), StoreError> {
        writer.failed().map_or(Ok(()), |error| Err(StoreError::sqlite(&self.inner.path, error)))
    }

    fn hand_over(&self, rows: Vec<Row>, done: Done) -> Result<(), StoreError> {
        self.handed_over(self.writer()?.send(rows, done))
    }

    fn handed_over(&self, is_queued: std::io::Result<bool>) -> Result<(), StoreError> {
        match is_queued {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.stopped()),
            Err(source) => Err(StoreError::Io { path: journal::beside(&self.inner.path), source }),
        }
    }

    /// What a commit came to; none when there is nobody left who could say.
    fn committed(&self, committed: Option<Committed>) -> Result<(), StoreError> {
        let committed = committed.ok_or_else(|| self.stopped())?;
        committed.map_err(|error| StoreError::sqlite(&self.inner.path, error))
    }

    fn stopped(&self) -> StoreError {
        StoreError::Stopped { path: self.inner.path.clone() }
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        // A reader that panicked leaves no state behind but a transaction, which its guard has ended.
        let connection = self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner);
        query(&connection).map_err(|error| StoreError::sqlite(&self.inner.path, error))
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    // Else a statement is prepared again whenever a value is bound to it that might make another plan better.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Takes the lock of a store in the making or in being. It is a file of its own, so that a store that must not be
/// touched is not, and the system releases it whichever way the process ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(|source| StoreError::Io { path: directory.to_path_buf(), source })?;
    }
    let mut name = OsString::from(path);
    name.push(".lock");
    let beside = PathBuf::from(name);
    let io = |source| StoreError::Io { path: beside.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&beside).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_path_buf() }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}
