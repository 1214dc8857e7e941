//! The one thread that writes, in batches.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
const ROOM: u32 = 16 << 20;

/// Rows that are written together, and whom to tell.
struct Job {
    rows: Vec<Row>,
    done: Done,
    /// Where its exchanges end in the journal, if it has any.
    journaled: Option<u64>,
}

/// Who waits for a job.
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
    jobs: Option<Sender<Job>>,
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
        Ok(Self { jobs: Some(jobs), thread: Some(thread), keys, shared })
    }

    /// Queues rows for whose commit nobody waits, and waits until there was room for them: not before, because what came must not be
    /// lost. False when the thread is gone.
    ///
    /// # Errors
    /// Those of [`Self::send`].
    pub(super) async fn send_with_room(&self, rows: Vec<Row>) -> io::Result<bool> {
        let share = rows.iter().map(Row::length).sum::<usize>();
        let share = u32::try_from(share).unwrap_or(u32::MAX).min(ROOM);
        let is_queued = self.send(rows, Done::Nobody(share));
        // The commit gives it back, also where the journal failed; without the thread there is none.
        if !matches!(is_queued, Ok(false))
            && let Ok(room) = self.shared.room.acquire_many(share).await
        {
            room.forget();
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
        self.keys.may_have(key)
    }

    /// An exchange on its way to a commit.
    pub(super) fn pending(&self, key: &ExchangeKey) -> Option<Arc<ExchangeRow>> {
        self.shared.pending.get(key)
    }

    /// Queues rows, whose exchanges outlive the process from here on; false when the thread is gone.
    ///
    /// # Errors
    /// That of the journal; the rows are queued all the same.
    pub(super) fn send(&self, mut rows: Vec<Row>, done: Done) -> io::Result<bool> {
        for row in &mut rows {
            // Before it is committed, so that what is committed is never missed.
            if let Row::Exchange { exchange, is_new } = row {
                self.shared.pending.add(Arc::clone(exchange));
                *is_new = !self.keys.add(&exchange.key);
            }
        }
        let mut exchanges = rows.iter().filter_map(Row::exchange).peekable();
        if exchanges.peek().is_none() {
            return Ok(self.queue(Job { rows, done, journaled: None }));
        }
        // Held until the job is queued, so that what stands before it in the journal also stands before it in the queue.
        let mut journal = self.shared.journal();
        let appended = journal.append(exchanges.map(AsRef::as_ref));
        let is_queued = self.queue(Job { rows, done, journaled: appended.as_ref().ok().copied() });
        appended.map(|_| is_queued)
    }

    fn queue(&self, job: Job) -> bool {
        let is_urgent = !matches!(job.done, Done::Nobody(_));
        let is_queued = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if is_urgent {
            // Perhaps it waits for more to share a commit.
            self.thread.iter().for_each(|thread| thread.thread().unpark());
        }
        is_queued
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
const PACE: Duration = Duration::from_millis(25);

/// Commits everything that has queued up since the last commit began: one sync of the disk serves all of it.
fn work(mut connection: Connection, queue: &Receiver<Job>, shared: &Shared) {
    let mut last: Option<Instant> = None;
    while let Ok(first) = queue.recv() {
        if let (Done::Nobody(_), Some(last)) = (&first.done, last) {
            std::thread::park_timeout(PACE.saturating_sub(last.elapsed()));
        }
        last = Some(Instant::now());
        let mut batch = vec![first];
        batch.extend(queue.try_iter());
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
    if let Some(before) = jobs.iter().filter_map(|job| job.journaled).max() {
        let mut journal = shared.journal();
        if committed.is_err() {
            journal.keep();
        } else if let Err(error) = journal.forget(before) {
            tracing::warn!("{}: {error}", journal.path().display());
        }
    }
    if committed.is_ok() {
        shared.pending.remove(rows(&jobs).filter_map(Row::exchange).map(|exchange| &exchange.key));
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
