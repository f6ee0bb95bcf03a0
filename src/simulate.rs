//! `twotick simulate`: the simulated Cloud API alone.

#![expect(clippy::print_stdout, reason = "a command speaks on standard output")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use domain::org::Secret;
use simulator::{Faults, Settings, Simulator};
use tokio::net::TcpListener;

use crate::command::{Failure, Signals};

/// Arguments of `twotick simulate`.
#[derive(Args)]
pub(crate) struct Simulate {
    /// Address and port to listen on; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// Where receipts go: twotick's webhook.
    #[arg(long)]
    webhook: Option<String>,
    /// The key of the receipts' signatures.
    #[arg(long, value_parser = secret, default_value = "app-secret")]
    app_secret: Secret,
    /// How long each call takes.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "50ms")]
    latency: Duration,
    /// The time between the answer and `sent`, `sent` and `delivered`, `delivered` and `read`.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "100ms")]
    receipt_delay: Duration,
    /// What every random decision comes from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The most statuses in one webhook call. Meta may send a thousand; some clients read the first alone.
    #[arg(long, default_value_t = 1000, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    batch: usize,
    /// A JSON file that says what goes wrong: {"rules": […]}.
    #[arg(long)]
    faults: Option<PathBuf>,
}

fn secret(text: &str) -> Result<Secret, String> {
    text.parse().map_err(str::to_owned)
}

/// The file that `--faults` names.
pub(crate) fn read_faults(path: &Path) -> Result<Faults, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(format!("--faults {}: {error}", path.display()));
    let text = std::fs::read(path).map_err(|error| usage(&error))?;
    Faults::from_json(&text).map_err(|error| usage(&error))
}

impl Simulate {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let faults = self.faults.as_deref().map(read_faults).transpose()?.unwrap_or_default();
        let listener = TcpListener::bind(self.listen).await?;
        let settings = Settings {
            latency: self.latency,
            receipt_delay: self.receipt_delay,
            seed: self.seed,
            app_secret: self.app_secret,
            webhook: self.webhook,
            batch: self.batch,
            faults,
        };
        let simulator = Simulator::start(listener, settings).await?;
        println!("listening on {}", simulator.base_url());
        Signals::new()?.next().await;
        Ok(())
    }
}
