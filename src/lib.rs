//! Measure at which scale language models gain an ability, and whether that is real or an artefact of the metric.
//!
//! The map of the house; a module imports strictly lower floors, or itself (`tests/house.rs` guards it):
//!
//! | floor | modules | what is there |
//! |---|---|---|
//! | 4 | [`cli`] | the only module that prints |
//! | 3 | [`runner`], [`server`] | drive a plan; serve the ladder |
//! | 2 | [`plan`], [`analysis`] | configuration to units; records to verdicts: pure |
//! | 1 | [`config`] [`tasks`] [`prompting`] [`providers`] [`transport`] [`tools`] [`scorers`] [`curves`] [`interop`] [`store`] [`report`] [`ladder`] | siblings never import one another |
//! | 0 | [`schema`], [`stats`], [`lexicon`] | plain states and the traits; numeric kernels; words |
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::cast_possible_truncation,
        clippy::suboptimal_flops,
        clippy::indexing_slicing,
        reason = "tests compare with known values"
    )
)]

pub mod analysis;
pub mod cli;
pub mod config;
pub mod curves;
pub mod interop;
pub mod ladder;
pub mod lexicon;
pub mod plan;
pub mod prompting;
pub mod providers;
pub mod report;
pub mod runner;
pub mod schema;
pub mod scorers;
pub mod server;
pub mod stats;
pub mod store;
pub mod tasks;
pub mod tools;
pub mod transport;
