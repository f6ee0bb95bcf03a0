//! `twotick bench`: what the crate `bench` measures.

use bench::Bench;

use super::command::{Failure, Signals};
use super::logging;
use super::simulate::read_faults;
use crate::config::{Log, LogFormat};

pub(crate) async fn run(bench: Bench) -> Result<(), Failure> {
    logging::start(&Log { level: "warn".into(), format: LogFormat::Auto });
    let faults = bench.faults.as_deref().map(read_faults).transpose()?.unwrap_or_default();
    let mut signals = Signals::new()?;
    tokio::select! {
        outcome = bench.measure(faults) => outcome.map_err(Failure::Runtime),
        () = signals.next() => Err(Failure::Runtime(anyhow::anyhow!("interrupted"))),
    }
}
