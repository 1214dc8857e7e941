//! The one thread that writes, in batches.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::rows::Row;

/// What a batch came to; the error is shared by all of its writes.
pub(super) type Committed = Result<(), Arc<rusqlite::Error>>;

/// Rows that are written together, and whom to tell.
pub(super) struct Job {
    pub(super) rows: Vec<Row>,
    pub(super) done: Done,
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
}

impl Writer {
    pub(super) fn start(connection: Connection) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new().name("onset-store".to_owned()).spawn(move || work(connection, &queue))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Queues a job; false when the thread is gone.
    pub(super) fn send(&self, job: Job) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
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
        }
    }
}

/// Commits everything that has queued up while the last commit was under way: one sync of the disk serves all of it,
/// and a lone write still waits for nothing.
fn work(mut connection: Connection, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter());
        match commit(&mut connection, &batch) {
            // One by one, so that a job that cannot be written does not take the others with it.
            Err(_) if batch.len() > 1 => {
                for job in batch {
                    let committed = commit(&mut connection, std::slice::from_ref(&job));
                    tell([job], &committed.map_err(Arc::new));
                }
            }
            committed => tell(batch, &committed.map_err(Arc::new)),
        }
    }
}

fn commit(connection: &mut Connection, batch: &[Job]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for row in batch.iter().flat_map(|job| &job.rows) {
        row.insert(&transaction)?;
    }
    transaction.commit()
}
