//! `onset serve`: the ladder behind an OpenAI-compatible API.

use std::path::Path;
use std::time::Duration;

use super::diagnose::Problem;
use super::print::{eprintln, println};
use super::run::MODELS;
use super::{Global, exit};
use crate::server::Hardships;
use crate::{ladder, server};

/// How long replies in flight are waited for once it is to end.
const DRAIN: Duration = Duration::from_secs(30);

pub(super) fn serve(listen: &str, hardships: Hardships, global: &Global) -> Result<u8, Problem> {
    let models = ladder::models(Path::new(MODELS), |_| true).map_err(Problem::other)?;
    let runtime = tokio::runtime::Runtime::new().map_err(Problem::other)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .map_err(|error| Problem::other(format!("cannot listen on {listen}: {error}")))?;
        let address = listener.local_addr().map_err(Problem::other)?;
        let address = format!("http://{address}/v1");
        // Before anybody knows that there is a server to be ended.
        let mut signals = Signals::new().map_err(Problem::other)?;
        if global.json {
            println!("{}", serde_json::json!({ "listening": address }));
        } else {
            println!("listening on {address}");
        }
        let (tell, told) = tokio::sync::oneshot::channel();
        let stop = async {
            let _ = told.await;
        };
        // A second signal, or a client that does not come to an end, ends it.
        let at_once = async {
            signals.next().await;
            let _ = tell.send(());
            let _ = tokio::time::timeout(DRAIN, signals.next()).await;
            eprintln!("ended before every reply was written");
            Ok(exit::INTERRUPTED)
        };
        let served = async {
            server::serve(listener, server::router(models, hardships), stop).await.map_err(Problem::other)?;
            Ok(exit::DONE)
        };
        tokio::select! {
            served = served => served,
            ended = at_once => ended,
        }
    })
}

/// Ctrl-C, and what process managers send.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// From here on none of them ends the process.
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl Signals {
    /// From here on it does not end the process.
    fn new() -> std::io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
