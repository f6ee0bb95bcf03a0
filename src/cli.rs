//! The commands and their exit codes: 0 clean stop, 1 failure at run time, 2 unusable arguments or configuration.

mod admin;
mod bench;
mod client;
mod command;
mod compact;
mod demo;
mod doctor;
mod logging;
mod rekey;
mod restore;
mod serve;
mod simulate;
mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use domain::Timestamp;
use tokio::runtime::Runtime;

use crate::http::Tls;
use command::{Failure, load, say};

/// A durable, multi-tenant outbox for WhatsApp.
#[derive(Parser)]
#[command(name = "twotick", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service.
    Serve(serve::Serve),
    /// Watch messages go from accepted to read, against a simulated WhatsApp. Needs nothing else.
    Demo(demo::Demo),
    /// Run a simulated WhatsApp Cloud API alone.
    Simulate(simulate::Simulate),
    /// Show and change the organisations of a running service.
    Org(admin::org::Org),
    /// Make, list and end the API keys of a running service, and exchange its admin key.
    Key(admin::key::Key),
    /// Check configuration, data folder, store, clock and every sender, and say what to mend.
    Doctor(doctor::Doctor),
    /// Check a data folder that no service uses: whether anything is lost, damaged or contradicts itself.
    Verify(verify::Verify),
    /// Write a data folder that no service uses anew: what was deleted is then gone from it, and its space is free.
    Compact(compact::Compact),
    /// Write the store to a file, checked, while the service runs or is stopped. Cut off, run it again: it goes on.
    Backup(admin::backup::Backup),
    /// Make a data folder from a backup. Messages that the original may have sent are held there.
    Restore(restore::Restore),
    /// Send or cancel what is held since a restore.
    Release(admin::release::Release),
    /// Measure durable messages per second, latency, memory and disk, against a simulated WhatsApp.
    Bench(::bench::Bench),
    /// Encrypt the secrets in a stopped service's store under a new master key.
    Rekey(rekey::Rekey),
    /// Print the configuration in force, with secrets masked.
    CheckConfig {
        /// The configuration file; without it `config.toml` here, if there is one.
        #[arg(long)]
        config: Option<PathBuf>,
    },
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    // clap itself ends with 2 on wrong arguments and 0 on --help and --version.
    let command = Cli::parse().command;
    let result = clock_can_be_written().and_then(|()| match command {
        Command::Serve(serve) => run(serve.run()),
        Command::Demo(demo) => run(demo.run()),
        Command::Simulate(simulate) => run(simulate.run()),
        Command::Org(org) => run(org.run()),
        Command::Key(key) => run(key.run()),
        Command::Doctor(doctor) => run(doctor.run()),
        Command::Verify(verify) => run_verify(verify),
        Command::Compact(compact) => run_compact(compact),
        Command::Backup(backup) => run(backup.run()),
        Command::Restore(restore) => restore.run(),
        Command::Release(release) => run(release.run()),
        Command::Bench(options) => run(bench::run(options)),
        Command::Rekey(rekey) => rekey.run(),
        Command::CheckConfig { config } => check_config(config),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "twotick: {failure}");
            match failure {
                Failure::Usage(_) => ExitCode::from(2),
                Failure::Runtime(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// Times before 1970 and after the year 9999 cannot be written, and libraries panic over them.
fn clock_can_be_written() -> Result<(), Failure> {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) if since.as_secs() * 1000 < Timestamp::MAX.as_millis() => Ok(()),
        Ok(_) | Err(_) => {
            let reason = "this machine's clock is before 1970 or after the year 9999: set it (`timedatectl set-ntp true`, or `date`), \
                          and start again; nothing was changed";
            Err(anyhow::anyhow!(reason).into())
        }
    }
}

fn run(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = Runtime::new()?;
    let result = runtime.block_on(command);
    // A blocking read that is still going on must not hold up the end.
    runtime.shutdown_background();
    result
}

fn check_config(config: Option<PathBuf>) -> Result<(), Failure> {
    let config = load(config)?;
    config.http.check_exposure().map_err(|error| Failure::Usage(error.to_string()))?;
    if config.http.has_tls() {
        Tls::load(&config.http.tls_cert, &config.http.tls_key).map_err(Failure::Usage)?;
    }
    say(config.to_masked_toml().map_err(|error| Failure::Usage(error.to_string()))?.trim_end());
    Ok(())
}

fn run_compact(compact: compact::Compact) -> Result<(), Failure> {
    let config = load(compact.config.clone())?;
    Ok(compact.run(&config)?)
}

fn run_verify(verify: verify::Verify) -> Result<(), Failure> {
    let config = load(verify.config.clone())?;
    Ok(verify.run(&config)?)
}
