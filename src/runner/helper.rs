//! A second thread for conversations, where more of them are led at a time than one thread can keep up with.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{JoinHandle, available_parallelism};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::gateway::Gateway;

/// Most conversations with an endpoint at a time that one thread leads alone.
pub(super) const BY_ONE: usize = 256;

/// A thread that runs what is spawned on its handle, until it is dropped.
#[derive(Debug)]
pub struct Helper {
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Helper {
    /// Starts the thread where one of the endpoints wants it and a processor is free for it; where it cannot be had, one thread does.
    pub fn where_wanted<'a>(gateways: impl IntoIterator<Item = &'a Arc<Gateway>>) -> Option<Self> {
        let is_wanted = gateways.into_iter().any(|gateway| gateway.in_flight() > BY_ONE);
        let is_free = available_parallelism().is_ok_and(|processors| processors.get() > 1);
        (is_wanted && is_free).then(Self::start)?.ok()
    }

    fn start() -> std::io::Result<Self> {
        let (end, ended) = oneshot::channel();
        let (sender, receiver) = sync_channel(1);
        let work = move || {
            // A runtime of its own: what one with two threads hands from one to the other costs more than is gained.
            let (runtime, handle) = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let handle = runtime.handle().clone();
                    (Some(runtime), Ok(handle))
                }
                Err(error) => (None, Err(error)),
            };
            if sender.send(handle).is_ok()
                && let Some(runtime) = runtime
            {
                // Whether it is told to end or its owner is gone is the same.
                drop(runtime.block_on(ended));
            }
        };
        let thread = std::thread::Builder::new().name("onset-helper".to_owned()).spawn(work)?;
        let handle = receiver.recv().map_err(std::io::Error::other)??;
        Ok(Self { handle, end: Some(end), thread: Some(thread) })
    }

    /// Where to spawn.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.end.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the second thread of the run panicked");
        }
    }
}
