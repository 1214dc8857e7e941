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
    /// An asynchronous task.
    Task(oneshot::Sender<Told>),
}

/// What tasks are told. To wake a task from another thread takes a call of the system: one is woken that way, and tells the next,
/// whether it still listens or not.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) committed: Committed,
    others: Vec<oneshot::Sender<Self>>,
}

impl Drop for Told {
    fn drop(&mut self) {
        for other in self.others.drain(..) {
            // Who no longer listens drops it, and there are no others to be told.
            drop(other.send(Self { committed: self.committed.clone(), others: Vec::new() }));
        }
    }
}

/// Tells everybody who waits for jobs.
fn tell(jobs: impl IntoIterator<Item = Job>, committed: &Committed) {
    let mut others = Vec::new();
    for job in jobs {
        match job.done {
            // Who no longer listens need not be told.
            Done::Thread(sender) => drop(sender.send(committed.clone())),
            Done::Task(sender) => others.push(sender),
        }
    }
    if let Some(first) = others.pop() {
        drop(first.send(Told { committed: committed.clone(), others }));
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
    pub(super) fn start(connection: Connection, journal: Journal) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let journal = Arc::new(Mutex::new(journal));
        let shared = Arc::clone(&journal);
        let work = move || work(connection, &queue, &shared);
        let thread = std::thread::Builder::new().name("onset-store".to_owned()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), journal })
    }

    /// Queues rows, whose exchanges outlive the process from here on; false when the thread is gone.
    ///
    /// # Errors
    /// That of the journal.
    pub(super) fn send(&self, rows: Vec<Row>, done: Done) -> io::Result<bool> {
        let mut exchanges = rows.iter().filter_map(Row::exchange).peekable();
        if exchanges.peek().is_none() {
            return Ok(self.queue(Job { rows, done, journaled: None }));
        }
        // Held until the job is queued, so that what stands before it in the journal also stands before it in the queue.
        let mut journal = lock(&self.journal);
        let journaled = Some(journal.append(exchanges)?);
        Ok(self.queue(Job { rows, done, journaled }))
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

/// Shortest time from the beginning of a commit to that of the next, where tasks wait for it: what a commit costs beside its rows is then
/// shared by more of them.
const PACE: Duration = Duration::from_millis(10);

/// Commits everything that has queued up since the last commit began: one sync of the disk serves all of it, and a lone write
/// still waits for nothing.
fn work(mut connection: Connection, queue: &Receiver<Job>, journal: &Mutex<Journal>) {
    let mut last: Option<Instant> = None;
    while let Ok(first) = queue.recv() {
        // A thread that waits does nothing else.
        if let (Done::Task(_), Some(last)) = (&first.done, last) {
            std::thread::sleep(PACE.saturating_sub(last.elapsed()));
        }
        last = Some(Instant::now());
        let mut batch = vec![first];
        batch.extend(queue.try_iter());
        let journaled = batch.iter().filter_map(|job| job.journaled).max();
        match commit(&mut connection, batch.iter().flat_map(|job| &job.rows)) {
            // One by one, so that a job that cannot be written does not take the others with it.
            Err(_) if batch.len() > 1 => {
                for job in batch {
                    let committed = commit(&mut connection, &job.rows);
                    if committed.is_err() && job.journaled.is_some() {
                        lock(journal).keep();
                    }
                    tell([job], &committed.map_err(Arc::new));
                }
            }
            committed => {
                match (&committed, journaled) {
                    (Ok(()), Some(before)) => {
                        if let Err(error) = lock(journal).forget(before) {
                            tracing::warn!("the replies beside the store: {error}");
                        }
                    }
                    (Err(_), Some(_)) => lock(journal).keep(),
                    (_, None) => {}
                }
                tell(batch, &committed.map_err(Arc::new));
            }
        }
    }
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
