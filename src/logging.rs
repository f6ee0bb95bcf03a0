//! Logs go to standard error: text on a terminal, JSON otherwise. Never a phone number, a secret or a message.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging for this process. A second call changes nothing.
pub(crate) fn start(log: &Log) {
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let is_text = match log.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let _ = if is_text { builder.with_ansi(stderr().is_terminal()).try_init() } else { builder.json().try_init() };
    std::panic::set_hook(Box::new(|panic| {
        // That of an actor is logged by its supervisor, with the actor's path.
        if !actors::note_panic(panic) {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let backtrace = std::backtrace::Backtrace::force_capture();
            tracing::error!(%place, %backtrace, "a panic: {}", panic.payload_as_str().unwrap_or("of unknown cause"));
        }
    }));
}
