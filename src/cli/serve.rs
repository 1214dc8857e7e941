//! `onset serve`: the ladder behind an OpenAI-compatible API.

use std::path::Path;
use std::time::Duration;

use super::diagnose::Problem;
use super::print::println;
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
        if global.json {
            println!("{}", serde_json::json!({ "listening": address }));
        } else {
            println!("listening on {address}");
        }
        let (told, heard) = tokio::sync::oneshot::channel();
        let stop = async {
            signal().await;
            let _ = told.send(());
        };
        // A second signal, or a client that does not come to an end, ends it.
        let at_once = async {
            let _ = heard.await;
            let _ = tokio::time::timeout(DRAIN, signal()).await;
            Ok(())
        };
        let served =
            async { server::serve(listener, server::router(models, hardships), stop).await.map_err(Problem::other) };
        tokio::select! {
            served = served => served,
            ended = at_once => ended,
        }
    })?;
    Ok(exit::DONE)
}

/// Waits for Ctrl-C, or for what process managers send.
async fn signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => (),
        () = terminate => (),
    }
}
