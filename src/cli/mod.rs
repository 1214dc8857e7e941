//! The command line: the only module that prints.

mod backtest;
mod diagnose;
mod ladder;
mod list;
mod output;
mod plan;
mod print;
mod probe;
mod progress;
mod report;
mod run;
mod serve;
mod show;
mod simulate;
mod start;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::server::Hardships;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Exit codes, the same for every command.
mod exit {
    /// Done.
    pub(super) const DONE: u8 = 0;
    /// Usage or configuration.
    pub(super) const USAGE: u8 = 2;
    /// Done, but records failed, and `--retry-failed` may mend them; or the budget was used up before the end.
    pub(super) const FAILED_RECORDS: u8 = 3;
    /// An endpoint is unusable.
    pub(super) const UNUSABLE: u8 = 4;
    /// Interrupted: run it again to go on.
    pub(super) const INTERRUPTED: u8 = 130;
}

/// Measure at which scale language models gain an ability, and whether that is real or an artefact of the metric.
#[derive(Debug, Parser)]
#[command(
    name = "onset",
    version,
    after_help = "Examples:\n  onset                      run ./config.toml, or the built-in ladder\n  onset plan                 what a run would send, and send nothing\n  onset run --only 'addition-*' --samples 50\n  onset list scorers edit-distance"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    global: Global,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
struct Global {
    /// One JSON document on stdout; progress goes to stderr.
    #[arg(long, global = true)]
    json: bool,
    /// No progress.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Log what happens, to stderr; twice for more.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// When to colour the output; NO_COLOR is honoured.
    #[arg(long, value_enum, default_value = "auto", global = true)]
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// What to run, for commands that read the configuration.
#[derive(Debug, Clone, Default, Args)]
struct What {
    /// The configuration; ./config.toml, or the built-in one where there is none.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a key of the configuration, as TOML: samples=50.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Only tasks, prompts or models that match the pattern; may be repeated.
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Samples per task, whatever the configuration says.
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Ask only until every verdict is settled: more where it is not.
    #[arg(long, conflicts_with = "samples")]
    until_resolved: bool,
    /// The most samples per task with --until-resolved.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_samples: Option<u32>,
    /// Ask everything anew: answers of earlier runs are not used. A fresh run that was interrupted goes on.
    #[arg(long)]
    fresh: bool,
    /// Where results go.
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
}

fn dollars(text: &str) -> Result<f64, String> {
    let dollars = text.strip_prefix('$').unwrap_or(text).parse::<f64>().ok().filter(|usd| usd.is_finite() && *usd >= 0.0);
    dollars.ok_or_else(|| "an amount of US dollars, as 2.50".to_owned())
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plan, send what is missing, score, analyse, report.
    Run {
        #[command(flatten)]
        what: What,
        /// Ask failed records again, and incomplete ones for what they lack.
        #[arg(long)]
        retry_failed: bool,
        /// Try every request once.
        #[arg(long)]
        no_retry: bool,
        /// Most that the run may cost, in US dollars, earlier goes at it included; what there is no room for stays to be done.
        #[arg(long, value_name = "USD", value_parser = dollars)]
        budget: Option<f64>,
    },
    /// What a run would send, and what the store already has; sends nothing.
    Plan {
        #[command(flatten)]
        what: What,
    },
    /// Try what endpoints do: whether they are there, which parameters they honour, and whether their log-probabilities are true.
    Probe {
        /// The endpoint; all of them by default.
        endpoint: Option<String>,
        #[command(flatten)]
        what: What,
    },
    /// Rebuild the records and scores of a configuration from the stored replies; sends nothing.
    Score {
        #[command(flatten)]
        what: What,
    },
    /// Rebuild the analysis of a run from its records, or analyse a CSV file of scores.
    Analyze {
        /// The run, the last one by default; or a file whose name ends in .csv.
        what: Option<String>,
        /// What models are ordered by; by default the first of these that they have.
        #[arg(long, value_name = "flops|params|tokens|loss|perplexity")]
        x: Option<String>,
        /// Analyse the models of all families of a file as one curve too.
        #[arg(long, value_name = "families")]
        pool: Option<Pool>,
        #[command(flatten)]
        results: Results,
    },
    /// Rebuild the report of a run from its records.
    Report {
        /// The run; the last one by default.
        run: Option<String>,
        #[command(flatten)]
        results: Results,
    },
    /// One record as it was: what was sent, what came back, what was read from it.
    Show {
        /// The record, as task/prompt/model/sample/repetition.
        record: String,
        /// The run; the last one by default.
        #[arg(long)]
        run: Option<String>,
        #[command(flatten)]
        results: Results,
    },
    /// What there is, one line each, or the manual page of one.
    List {
        /// A family of things; without one, the families.
        #[arg(value_enum)]
        kind: Option<list::Kind>,
        /// The name of one.
        name: Option<String>,
        /// The configuration whose directory may hold further tasks and prompts.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Write a commented config.toml, an example task and an example prompt.
    Init {
        /// Where.
        #[arg(default_value = ".")]
        directory: PathBuf,
    },
    /// How well smaller models would have foretold the larger ones, and what all say of ten times the largest.
    Backtest {
        /// The run, the last one by default; or a file whose name ends in .csv.
        what: Option<String>,
        /// What models are ordered by.
        #[arg(long, value_name = "flops|params|tokens|loss|perplexity")]
        x: Option<String>,
        /// Foretell the models of all families of a file together too, and each family from the others.
        #[arg(long, value_name = "families")]
        pool: Option<Pool>,
        #[command(flatten)]
        results: Results,
    },
    /// Analyse curves whose truth is known: how often each is called emergent, and how near the onset is.
    Simulate(simulate::Grid),
    /// Serve the ladder behind an OpenAI-compatible API.
    Serve {
        /// Address to listen on; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: String,
        /// Requests that are allowed in a minute, for testing clients.
        #[arg(long, value_name = "REQUESTS")]
        rpm: Option<NonZeroU32>,
        /// Tokens that are allowed in a minute: those of the prompts, and the most that replies may have.
        #[arg(long, value_name = "TOKENS")]
        tpm: Option<NonZeroU32>,
        /// Meet a quarter of the requests with faults, decided by this seed.
        #[arg(long, value_name = "SEED")]
        chaos: Option<u64>,
    },
    /// Train the ladder, or list its cards.
    Ladder {
        #[command(subcommand)]
        action: ladder::Action,
    },
}

/// What is analysed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pool {
    /// All families.
    Families,
}

/// Where runs are.
#[derive(Debug, Clone, Args)]
struct Results {
    /// Where the results are.
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
}

/// Parses the command line, does what it says and gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; a broken pipe while printing them is none either.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::DONE });
        }
    };
    match cli.global.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    let level = match cli.global.verbose {
        0 => "error",
        1 => "onset=debug,warn",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    // A second subscriber in the same process is refused; the first one stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never)
        .with_writer(std::io::stderr)
        .try_init();
    let global = &cli.global;
    let command = cli.command.unwrap_or(Command::Run {
        what: What { out: "results".into(), ..What::default() },
        retry_failed: false,
        no_retry: false,
        budget: None,
    });
    let result = match command {
        Command::Run { what, retry_failed, no_retry, budget } => run::run(&what, retry_failed, no_retry, budget, global),
        Command::Plan { what } => plan::plan(&what, global),
        Command::Probe { endpoint, what } => probe::probe(endpoint.as_deref(), &what, global),
        Command::Score { what } => run::score(&what, global),
        Command::Analyze { what: Some(file), x, pool, results } if report::is_file(&file) => {
            report::analyze_file(std::path::Path::new(&file), x.as_deref(), pool.is_some(), &results.out, global)
        }
        Command::Analyze { pool: Some(_), .. } => {
            Err(diagnose::Problem::other("--pool is for files whose name ends in .csv"))
        }
        Command::Analyze { what, x, results, .. } => report::analyze(what.as_deref(), x.as_deref(), &results.out, global),
        Command::Backtest { what, x, pool, results } => {
            backtest::run(what.as_deref(), x.as_deref(), pool.is_some(), &results.out, global)
        }
        Command::Report { run, results } => report::report(run.as_deref(), &results.out, global),
        Command::Show { record, run, results } => show::show(&record, run.as_deref(), &results.out, global),
        Command::List { kind, name, config } => list::list(kind, name.as_deref(), config.as_deref(), global),
        Command::Init { directory } => start::init(&directory, global),
        Command::Simulate(grid) => simulate::run(&grid, global),
        Command::Serve { listen, rpm, tpm, chaos } => {
            let hardships = Hardships { requests_per_minute: rpm, tokens_per_minute: tpm, chaos };
            serve::serve(&listen, hardships, global)
        }
        Command::Ladder { action } => ladder::ladder(action, global),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            problem.print(global);
            ExitCode::from(exit::USAGE)
        }
    }
}
