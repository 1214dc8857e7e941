//! The one thread that writes, in batches.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::journal::Journal;
use super::keys::Pending;
use super::rows::{Row, Statements};

/// What a batch came to; the error is shared by all of its writes.
pub(super) type Committed = Result<(), Arc<rusqlite::Error>>;

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
    /// An asynchronous task, which does nothing else meanwhile where it is urgent.
    Task {
        /// Whom to tell.
        sender: oneshot::Sender<Committed>,
        /// Whether others cannot be waited for.
        is_urgent: bool,
    },
}

/// Tells everybody who waits for jobs; who no longer listens need not be told.
fn tell(jobs: Vec<Job>, committed: &Committed) {
    for job in jobs {
        match job.done {
            Done::Thread(sender) => drop(sender.send(committed.clone())),
            Done::Task { sender, .. } => drop(sender.send(committed.clone())),
        }
    }
}

/// The queue of the writer thread. Dropped, it waits until everything queued is committed.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    journal: Arc<Mutex<Journal>>,
}

fn lock(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    /// Starts the thread, with a journal of which everything is committed.
    pub(super) fn start(connection: Connection, journal: Journal, pending: Arc<Pending>) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let journal = Arc::new(Mutex::new(journal));
        let shared = Arc::clone(&journal);
        let work = move || work(connection, &queue, &shared, &pending);
        let thread = std::thread::Builder::new().name("onset-store".to_owned()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), journal })
    }

    /// Queues rows, whose exchanges outlive the process from here on; false when the thread is gone.
    ///
    /// # Errors
    /// That of the journal; the rows are queued all the same.
    pub(super) fn send(&self, rows: Vec<Row>, done: Done) -> io::Result<bool> {
        let mut exchanges = rows.iter().filter_map(Row::exchange).peekable();
        if exchanges.peek().is_none() {
            return Ok(self.queue(Job { rows, done, journaled: None }));
        }
        // Held until the job is queued, so that what stands before it in the journal also stands before it in the queue.
        let mut journal = lock(&self.journal);
        let appended = journal.append(exchanges);
        let is_queued = self.queue(Job { rows, done, journaled: appended.as_ref().ok().copied() });
        appended.map(|_| is_queued)
    }

    fn queue(&self, job: Job) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }

    /// The file in which exchanges stand until they are committed.
    pub(super) fn journal(&self) -> PathBuf {
        lock(&self.journal).path().to_path_buf()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread ends when the queue has no sender left and is empty.
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the store panicked");
            lock(&self.journal).keep();
        }
        let journal = lock(&self.journal);
        if let Err(error) = journal.close() {
            tracing::warn!("{}: {error}", journal.path().display());
        }
    }
}

/// Shortest time from the beginning of a commit to that of the next, where nothing in it is urgent: what a commit costs beside its rows is
/// then shared by more of them.
const PACE: Duration = Duration::from_millis(10);

/// Commits everything that has queued up since the last commit began: one sync of the disk serves all of it.
fn work(mut connection: Connection, queue: &Receiver<Job>, journal: &Mutex<Journal>, pending: &Pending) {
    let mut last: Option<Instant> = None;
    while let Ok(first) = queue.recv() {
        if let (Done::Task { is_urgent: false, .. }, Some(last)) = (&first.done, last) {
            std::thread::sleep(PACE.saturating_sub(last.elapsed()));
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
                    finish(vec![job], committed, journal, pending);
                }
            }
            _ => finish(batch, committed, journal, pending),
        }
    }
}

fn rows(jobs: &[Job]) -> impl Iterator<Item = &Row> {
    jobs.iter().flat_map(|job| &job.rows)
}

/// Ends jobs that came to the same.
fn finish(jobs: Vec<Job>, committed: rusqlite::Result<()>, journal: &Mutex<Journal>, pending: &Pending) {
    if let Some(before) = jobs.iter().filter_map(|job| job.journaled).max() {
        let mut journal = lock(journal);
        if committed.is_err() {
            journal.keep();
        } else if let Err(error) = journal.forget(before) {
            tracing::warn!("{}: {error}", journal.path().display());
        }
    }
    pending.remove(rows(&jobs).filter_map(Row::exchange).map(|(exchange, _)| &exchange.key));
    tell(jobs, &committed.map_err(Arc::new));
}

/// Writes rows in one transaction.
pub(super) fn commit<'a>(connection: &mut Connection, rows: impl IntoIterator<Item = &'a Row>) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut statements = Statements::new(&transaction)?;
        for row in rows {
            row.insert(&mut statements)?;
        }
    }
    transaction.commit()
}
