//! `onset serve`: the ladder behind an OpenAI-compatible API.

use std::path::Path;

use super::diagnose::Problem;
use super::print::println;
use super::run::MODELS;
use super::{Global, exit};
use crate::server::Hardships;
use crate::{ladder, server};

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
        let stop = async {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        server::serve(listener, server::router(models, hardships), stop).await.map_err(Problem::other)
    })?;
    Ok(exit::DONE)
}
