//! Panics of actors: which actor, where, and how it got there, kept for its supervisor, who logs it once.

use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::sync::Arc;

use crate::vitals::Vitals;

tokio::task_local! {
    /// The actor that is handling a message.
    static CURRENT: Arc<Vitals>;
}

/// Where an actor panicked.
#[derive(Clone, Debug)]
pub(crate) struct Panic {
    /// File, line, column.
    pub(crate) place: String,
    /// How it got there.
    pub(crate) backtrace: String,
}

/// Handles a message as this actor.
pub(crate) async fn as_actor<T>(vitals: Arc<Vitals>, work: impl Future<Output = T>) -> T {
    CURRENT.scope(vitals, work).await
}

/// To be called by the process's panic hook. Says whether an actor panicked: its supervisor then logs it, with the
/// actor's path.
pub fn note_panic(panic: &PanicHookInfo<'_>) -> bool {
    let noted = CURRENT.try_with(|vitals| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        vitals.panicked(Panic { place, backtrace: Backtrace::force_capture().to_string() });
    });
    noted.is_ok()
}
