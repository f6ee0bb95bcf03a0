//! What every command stands on: how it fails, what it says, the configuration that it is given, and the signals that end it.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use store::DataFolder;
use store::folder::FolderError;
use tempfile::TempDir;

use crate::config::{Config, SecretRef};
use crate::service::engine::has_room;

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

/// The secret that an argument names: `env:NAME`, `file:PATH`, or `-` for a line of standard input. One that is written out is
/// taken, too, with a warning.
pub(crate) fn secret_argument(name: &str, given: &SecretRef) -> Result<String, Failure> {
    let wrong = |reason: String| Failure::Usage(format!("{name}: {reason}"));
    if *given == SecretRef::from("-".to_owned()) {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(|error| wrong(error.to_string()))?;
        let secret = line.trim();
        return if secret.is_empty() {
            Err(wrong("standard input has no line for it".into()))
        } else {
            Ok(secret.into())
        };
    }
    let secret = given.resolve().map_err(wrong)?;
    if given.is_literal() {
        eprintln!(
            "twotick: warning: {name} is written out, where every user of this machine sees it (ps) and the shell keeps it: give \
             env:NAME, file:PATH, or - and the secret on standard input; exchange this one if others could have seen it"
        );
    }
    Ok(secret)
}

/// A data folder that no service uses, to be looked at: itself, or where it takes no writes a copy of it.
pub(crate) struct Looked {
    pub(crate) folder: DataFolder,
    /// Removed with it.
    pub(crate) copy: Option<TempDir>,
}

/// Opens the data folder at `path` to be looked at. Opening a store writes; where the disk is full, or may only be read, a copy
/// in the folder for temporary files (TMPDIR) is opened in its place.
pub(crate) fn look_into(path: &Path) -> anyhow::Result<Looked> {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let reason = match DataFolder::open_existing(path) {
        Ok(folder) => match has_room(path) {
            Ok(()) => return Ok(Looked { folder, copy: None }),
            Err(error) => error,
        },
        Err(FolderError::Io { source, .. }) if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem) => source,
        Err(error) => return Err(error.into()),
    };
    let copy = tempfile::Builder::new().prefix("twotick-").tempdir()?;
    eprintln!(
        "{} takes no writes ({reason}): a copy in {} is looked at, and removed again; TMPDIR names another place",
        path.display(),
        copy.path().display()
    );
    let folder = store::scratch::copy(path, copy.path())?;
    Ok(Looked { folder, copy: Some(copy) })
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
