//! `cargo run --release -p torture -- --minutes N`; the library documents what it does.

#![expect(clippy::print_stdout, reason = "a command prints its result on standard output")]

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use torture::{Plan, Report, run};

/// Kills twotick over and over under load, and compares its data with what its clients and WhatsApp saw. If they
/// disagree, exits with 1 and keeps the folder.
#[derive(Parser)]
struct Arguments {
    /// How long the service is killed and restarted. The final checks come after.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// The seed of all random decisions; random if absent.
    #[arg(long)]
    seed: Option<u64>,
    /// The number of organisations. Their messages end in different statuses.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    orgs: u16,
    /// The number of concurrent clients of each organisation.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    clients: u16,
    /// The longest pause of a client between two messages.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "100ms")]
    rest: Duration,
    /// The service's `outbound.stale_after`.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "30s")]
    stale_after: Duration,
    /// Verify the folder after every N kills.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    verify_every: u64,
    /// The twotick binary to kill. By default the one of this workspace, which is built first.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// The folder to work in, which must not exist. By default a temporary folder.
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    match Arguments::parse().play() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    /// Runs the torture. Returns whether the witnesses agree.
    fn play(self) -> anyhow::Result<bool> {
        ensure!(self.minutes >= 0.0 && self.minutes < 100_000.0, "--minutes must be a number of minutes");
        let binary = self.binary.map_or_else(build, Ok)?;
        let binary = binary.canonicalize().with_context(|| format!("--binary {}", binary.display()))?;
        let folder = match self.folder {
            Some(folder) => {
                std::fs::create_dir(&folder).with_context(|| format!("--folder {}", folder.display()))?;
                folder.canonicalize()?
            }
            None => tempfile::Builder::new().prefix("torture-").tempdir()?.keep(),
        };
        let plan = Plan {
            binary,
            folder,
            seed: self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())),
            duration: Duration::from_secs_f64(self.minutes * 60.0),
            orgs: self.orgs.into(),
            clients: self.clients.into(),
            rest: self.rest,
            stale_after: self.stale_after,
            verify_every: self.verify_every,
        };
        eprintln!("seed {}, folder {}", plan.seed, plan.folder.display());
        let report = tokio::runtime::Runtime::new()?.block_on(run(&plan, &mut |line| eprintln!("{line}")));
        match report {
            Ok(report) => conclude(&plan, &report),
            Err(error) => Err(error.context(kept(&plan))),
        }
    }
}

fn conclude(plan: &Plan, report: &Report) -> anyhow::Result<bool> {
    print!("{report}");
    for example in &report.examples {
        println!("{example}");
    }
    if report.is_clean() {
        std::fs::remove_dir_all(&plan.folder)?;
    } else {
        eprintln!("the witnesses disagree: {}", kept(plan));
    }
    Ok(report.is_clean())
}

fn kept(plan: &Plan) -> String {
    format!("seed {}, folder {} is kept", plan.seed, plan.folder.display())
}

/// Builds twotick with the profile of this tool, and returns the path of the binary.
fn build() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").context("not started by cargo: name the twotick binary with --binary")?;
    let mut build = Command::new(cargo);
    build.args(["build", "--package", "twotick", "--bin", "twotick"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    ensure!(build.status()?.success(), "building twotick failed");
    Ok(std::env::current_exe()?.with_file_name("twotick"))
}
