//! Logs go to standard error: text on a terminal, JSON otherwise. Never a phone number, a secret or a message.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// The log's level, which can change while the process runs.
pub(crate) struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    pub(crate) fn set(&self, log: &Log) {
        if let Err(error) = self.0.reload(filter(log)) {
            tracing::warn!(%error, "the log's level could not be changed");
        }
    }
}

fn filter(log: &Log) -> EnvFilter {
    EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Starts logging for this process. A second call changes nothing.
pub(crate) fn start(log: &Log) -> Level {
    let is_text = match log.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => stderr().is_terminal(),
    };
    let (filter, level) = reload::Layer::new(filter(log));
    let lines = fmt::layer().with_writer(stderr);
    let lines = if is_text { lines.with_ansi(stderr().is_terminal()).boxed() } else { lines.json().boxed() };
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    std::panic::set_hook(Box::new(|panic| {
        // That of an actor is logged by its supervisor, with the actor's path.
        if !actors::note_panic(panic) {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let backtrace = std::backtrace::Backtrace::force_capture();
            tracing::error!(%place, %backtrace, "a panic: {}", panic.payload_as_str().unwrap_or("of unknown cause"));
        }
    }));
    Level(level)
}
