//! The one thread that writes, in batches.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{Semaphore, oneshot, watch};

use super::journal::Journal;
use super::keys::{Keys, Pending};
use super::rows::{ExchangeRow, Row, Statements};
use crate::schema::ExchangeKey;

/// What a batch came to; the error is shared by all of its writes.
pub(super) type Committed = Result<(), Arc<rusqlite::Error>>;

/// Bytes of texts that may wait for a commit before whoever brings more has to wait as well.
pub(super) const ROOM: u32 = 12 << 20;

/// Rows that are written together, and whom to tell.
#[derive(Debug)]
struct Job {
    rows: Vec<Row>,
    done: Done,
    /// Of the last job of those that were written down together: where the journal ended then.
    journal_end: Option<u64>,
}

/// Who waits for a job.
#[derive(Debug)]
pub(super) enum Done {
    /// A thread.
    Thread(SyncSender<Committed>),
    /// An asynchronous task.
    Task(oneshot::Sender<Committed>),
    /// Nobody; the job takes that much of the room until it is committed.
    Nobody(u32),
}

/// The queue of the writer thread. Dropped, it waits until everything queued is committed.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<Sender<Vec<Job>>>,
    /// What was given to [`Self::send`] or [`Self::send_with_room`], and is neither in the journal nor in the queue yet: what comes at
    /// about the same time is written down together.
    handed: Mutex<Vec<Job>>,
    /// Why the journal could not be written for the first time: from then on nobody is told that an exchange is written down.
    unwritten: OnceLock<io::Error>,
    thread: Option<JoinHandle<()>>,
    /// Every exchange, committed or not.
    keys: Keys,
    shared: Arc<Shared>,
}

/// What the thread shares with those who hand over.
#[derive(Debug)]
struct Shared {
    journal: Mutex<Journal>,
    /// The exchanges that are not committed yet: they are there for whoever asks.
    pending: Pending,
    /// What is left of [`ROOM`].
    room: Semaphore,
    /// Why the first job could not be committed for which nobody waited.
    failed: watch::Sender<Option<Arc<rusqlite::Error>>>,
}

/// Lets nobody wait for room that nobody gives back any more.
struct Closing<'a>(&'a Semaphore);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Shared {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Starts the thread, with a journal of which everything is committed.
    pub(super) fn start(connection: Connection, journal: Journal, keys: Keys) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let shared = Arc::new(Shared {
            journal: Mutex::new(journal),
            pending: Pending::default(),
            room: Semaphore::new(ROOM as usize),
            failed: watch::Sender::new(None),
        });
        let own = Arc::clone(&shared);
        let work = move || {
            let _closing = Closing(&own.room);
            work(connection, &queue, &own);
        };
        let thread = std::thread::Builder::new().name("onset-store".to_owned()).spawn(work)?;
        Ok(Self {
            jobs: Some(jobs),
            handed: Mutex::default(),
            unwritten: OnceLock::new(),
            thread: Some(thread),
            keys,
            shared,
        })
    }

    /// Queues rows for whose commit nobody waits, and waits until there was room for them: not before, because what came must not be
    /// lost. Its exchanges outlive the process once this is done. False when the thread is gone.
    ///
    /// # Errors
    /// That of the journal; the rows are queued all the same.
    pub(super) async fn send_with_room(&self, rows: Vec<Row>) -> io::Result<bool> {
        let share = rows.iter().map(Row::length).sum::<usize>();
        let share = u32::try_from(share).unwrap_or(u32::MAX).min(ROOM);
        let is_journaled = rows.iter().any(|row| row.exchange().is_some());
        let is_first = self.add(rows, Done::Nobody(share));
        let is_queued = if is_journaled {
            let handing_on = HandingOn { writer: Some(self) };
            tokio::task::yield_now().await;
            handing_on.now()
        } else if is_first {
            self.hand_on()
        } else {
            // Whoever handed over the others will see to it.
            Ok(true)
        };
        // The commit gives it back, also where the journal failed; without the thread there is none.
        let room = match self.shared.room.try_acquire_many(share) {
            Ok(room) => Ok(room),
            Err(_) => {
                self.wake();
                self.shared.room.acquire_many(share).await
            }
        };
        match room {
            Ok(room) => room.forget(),
            Err(_) => return Ok(false),
        }
        is_queued
    }

    /// Why something could not be committed for which nobody waited.
    pub(super) fn failed(&self) -> Option<Arc<rusqlite::Error>> {
        self.shared.failed.borrow().clone()
    }

    /// Waits until there is such a thing.
    pub(super) async fn failure(&self) {
        // The sender is here.
        drop(self.shared.failed.subscribe().wait_for(Option::is_some).await);
    }

    /// Whether an exchange may be there, committed or not; if not, it certainly is not.
    pub(super) fn may_have(&self, key: &ExchangeKey) -> bool {
        self.keys.may_have(&key.0)
    }

    /// An exchange on its way to a commit.
    pub(super) fn pending(&self, key: &ExchangeKey) -> Option<Arc<ExchangeRow>> {
        self.shared.pending.get(key)
    }

    /// Queues rows, whose exchanges outlive the process from here on; false when the thread is gone.
    ///
    /// # Errors
    /// That of the journal; the rows are queued all the same.
    pub(super) fn send(&self, rows: Vec<Row>, done: Done) -> io::Result<bool> {
        let is_journaled = rows.iter().any(|row| row.exchange().is_some());
        self.add(rows, done);
        let is_queued = self.hand_on();
        self.wake();
        match is_queued {
            // The journal is no affair of rows that do not stand in it: they will be committed.
            Err(_) if !is_journaled => Ok(true),
            other => other,
        }
    }

    /// Has the thread commit at once: it may wait for more to share a commit.
    fn wake(&self) {
        self.thread.iter().for_each(|thread| thread.thread().unpark());
    }

    /// Adds rows to what is to be handed on; whether they are the first.
    fn add(&self, mut rows: Vec<Row>, done: Done) -> bool {
        // Held meanwhile: of two rows of one name the first that is queued is the new one.
        let mut handed = self.handed();
        for row in &mut rows {
            // Before it is committed, so that what is committed is never missed.
            match row {
                Row::Exchange { exchange, is_new } => {
                    self.shared.pending.add(Arc::clone(exchange));
                    *is_new = !self.keys.add(&exchange.key().0);
                }
                Row::Record { record, names, is_new } => {
                    *is_new = names.as_ref().is_some_and(|names| !names.add(record.key()));
                }
                _ => {}
            }
        }
        handed.push(Job { rows, done, journal_end: None });
        handed.len() == 1
    }

    /// Writes down what was handed over and queues it.
    fn hand_on(&self) -> io::Result<bool> {
        // Held until all is queued, so that what stands before something else in the journal also stands before it in the queue.
        let mut journal = self.shared.journal();
        let mut handed = std::mem::take(&mut *self.handed());
        let appended = journal.append(rows(&handed).filter_map(Row::exchange).map(AsRef::as_ref));
        let end = appended.as_ref().ok().copied();
        if let Some(last) = handed.last_mut() {
            last.journal_end = end;
        }
        let is_queued = self.jobs.as_ref().is_some_and(|jobs| handed.is_empty() || jobs.send(handed).is_ok());
        if let Err(error) = appended {
            // The first error says what is wrong.
            let _ = self.unwritten.set(error);
        }
        match self.unwritten.get() {
            Some(error) => Err(io::Error::new(error.kind(), error.to_string())),
            None => Ok(is_queued),
        }
    }

    fn handed(&self) -> MutexGuard<'_, Vec<Job>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was handed over is handed on when this ends, also where the task that would have done it is dropped.
struct HandingOn<'a> {
    writer: Option<&'a Writer>,
}

impl HandingOn<'_> {
    fn now(mut self) -> io::Result<bool> {
        self.writer.take().map_or(Ok(true), Writer::hand_on)
    }
}

impl Drop for HandingOn<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.writer.map(Writer::hand_on) {
            tracing::error!("replies could not be written down: {error}");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread ends when the queue has no sender left and is empty.
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the writer of the store panicked");
                self.shared.journal().keep();
            }
        }
        let journal = self.shared.journal();
        if let Err(error) = journal.close() {
            tracing::warn!("{}: {error}", journal.path().display());
        }
    }
}

/// Shortest time from the beginning of a commit to that of the next, where nobody waits for what is in it: what a commit costs beside its
/// rows is then shared by more of them.
const PACE: Duration = Duration::from_millis(250);

/// Commits everything that has queued up since the last commit began: one sync of the disk serves all of it.
fn work(mut connection: Connection, queue: &Receiver<Vec<Job>>, shared: &Shared) {
    let mut last: Option<Instant> = None;
    while let Ok(mut batch) = queue.recv() {
        // What somebody waits for may stand behind what nobody does.
        batch.extend(queue.try_iter().flatten());
        if let (Some(last), true) = (last, batch.iter().all(|job| matches!(job.done, Done::Nobody(_)))) {
            std::thread::park_timeout(PACE.saturating_sub(last.elapsed()));
        }
        last = Some(Instant::now());
        batch.extend(queue.try_iter().flatten());
        let committed = commit(&mut connection, rows(&batch));
        match &committed {
            // One by one, so that a job that cannot be written does not take the others with it.
            Err(_) if batch.len() > 1 => {
                for job in batch {
                    let committed = commit(&mut connection, &job.rows);
                    finish(vec![job], committed, shared);
                }
            }
            _ => finish(batch, committed, shared),
        }
    }
}

fn rows(jobs: &[Job]) -> impl Iterator<Item = &Row> {
    jobs.iter().flat_map(|job| &job.rows)
}

/// Ends jobs that came to the same.
fn finish(jobs: Vec<Job>, committed: rusqlite::Result<()>, shared: &Shared) {
    if committed.is_err() && rows(&jobs).any(|row| row.exchange().is_some()) {
        // First of all: the journal is the one place where they are.
        shared.journal().keep();
    }
    if let Some(before) = jobs.iter().filter_map(|job| job.journal_end).max() {
        let mut journal = shared.journal();
        if let Err(error) = journal.forget(before) {
            tracing::warn!("{}: {error}", journal.path().display());
        }
    }
    if committed.is_ok() {
        shared.pending.remove(rows(&jobs).filter_map(Row::exchange).map(|exchange| exchange.key()));
    }
    let committed = committed.map_err(Arc::new);
    let mut room = 0;
    for job in jobs {
        match job.done {
            // Who no longer listens need not be told.
            Done::Thread(sender) => drop(sender.send(committed.clone())),
            Done::Task(sender) => drop(sender.send(committed.clone())),
            Done::Nobody(share) => {
                room += share as usize;
                if let Err(error) = &committed {
                    let first = |slot: &mut Option<_>| slot.is_none() && slot.replace(Arc::clone(error)).is_none();
                    shared.failed.send_if_modified(first);
                }
            }
        }
    }
    shared.room.add_permits(room);
}

/// Writes rows in one transaction.
pub(super) fn commit<'a>(connection: &mut Connection, rows: impl IntoIterator<Item = &'a Row>) -> rusqlite::Result<()> {
    // Whoever looks at the file with a tool of his own is waited for, but not once a transaction has read something.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut statements = Statements::new(&transaction)?;
        for row in rows {
            row.insert(&mut statements)?;
        }
    }
    transaction.commit()
}
