//! What every command stands on: how it fails, what it says, the configuration that it is given, and the signals that end it.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::config::Config;

/// How often long work says how far it has come.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Why a command ended badly.
pub(crate) enum Failure {
    /// Arguments or configuration cannot be used.
    Usage(String),
    /// It failed at run time.
    Runtime(anyhow::Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(reason) => f.write_str(reason),
            Self::Runtime(error) => f.write_str(&explain(error)),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Runtime(error.into())
    }
}

/// The error with its causes, but for those that it tells of itself.
fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

pub(crate) fn load(config: Option<PathBuf>) -> Result<Config, Failure> {
    Config::load(config.as_deref()).map_err(|error| Failure::Usage(error.to_string()))
}

/// Prints what a command has to say.
pub(crate) fn say(text: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Says on standard error how far long work has come, now and then.
pub(crate) struct Teller(Instant);

impl Teller {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.0.elapsed() >= TELL_EVERY {
            self.0 = Instant::now();
            eprintln!("{}", what());
        }
    }
}

/// SIGTERM and SIGINT. The second of them ends the process there and then, whatever its threads wait for.
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let one_came = Arc::new(AtomicBool::new(false));
        for kind in [SIGTERM, SIGINT] {
            // In this order: the first only tells of itself.
            flag::register_conditional_shutdown(kind, 0, Arc::clone(&one_came))?;
            flag::register(kind, Arc::clone(&one_came))?;
        }
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Returns when one comes.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
