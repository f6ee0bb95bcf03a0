//! When to kill the service. A moment is observed from outside: in the clients' history, in the simulator's counts, or
//! in `/proc`. The release binary has no hooks for this.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simulator::Simulator;
use tokio::time::{sleep, timeout};

use crate::clients::History;

/// How long to wait for a moment.
const WITHIN: Duration = Duration::from_secs(1);
const POLL_EVERY: Duration = Duration::from_millis(1);
/// The name of the thread that writes commits.
const COMMIT_THREAD: &str = "commit";
/// The name of the thread that flushes memtables into blocks.
const FLUSHER_THREAD: &str = "flusher";

/// A moment to kill at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Any moment.
    Random,
    /// A client has just read a 201.
    Acknowledged,
    /// A call has reached WhatsApp, which has not accepted the message yet. The attempt's intent is durable.
    Called,
    /// WhatsApp has just accepted a message and has not answered yet.
    Taken,
    /// Receipts have just been answered with 200.
    Receipt,
    /// The thread that commits is inside `fdatasync`.
    CommitSync,
    /// The thread that flushes memtables into blocks is inside `fdatasync`.
    FlushSync,
    /// The service was started and does not listen yet.
    Start,
    /// The service received SIGTERM and is stopping.
    Drain,
}

impl Moment {
    pub(crate) const ALL: [Self; 9] = [
        Self::Random,
        Self::Acknowledged,
        Self::Called,
        Self::Taken,
        Self::Receipt,
        Self::CommitSync,
        Self::FlushSync,
        Self::Start,
        Self::Drain,
    ];

    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Random => "at any moment",
            Self::Acknowledged => "right after a client read its 201",
            Self::Called => "after the intent, its call under way",
            Self::Taken => "after WhatsApp took a message, before its answer",
            Self::Receipt => "right after receipts were answered 200",
            Self::CommitSync => "inside the fdatasync of a commit",
            Self::FlushSync => "inside an fdatasync of records moved into blocks",
            Self::Start => "while it starts",
            Self::Drain => "while it stops",
        }
    }

    /// Waits for the moment and kills the service. Returns whether the moment came; if it did not, the service is
    /// killed all the same.
    pub(crate) async fn kill(self, pid: Pid, simulator: &Simulator, history: &Arc<History>) -> anyhow::Result<bool> {
        let came = match self {
            Self::Random | Self::Start | Self::Drain => true,
            Self::Acknowledged => {
                let mut count = history.count.subscribe();
                matches!(timeout(WITHIN, count.changed()).await, Ok(Ok(())))
            }
            Self::Called => grows(|| simulator.stats().requests).await,
            Self::Taken => grows(|| simulator.stats().accepted).await,
            Self::Receipt => grows(|| simulator.stats().receipts_sent).await,
            Self::CommitSync => tokio::task::spawn_blocking(move || is_syncing(pid, COMMIT_THREAD)).await?,
            Self::FlushSync => tokio::task::spawn_blocking(move || is_syncing(pid, FLUSHER_THREAD)).await?,
        };
        kill(pid, Signal::SIGKILL)?;
        Ok(came)
    }
}

async fn grows(count: impl Fn() -> u64) -> bool {
    let (before, began) = (count(), Instant::now());
    while count() == before {
        if began.elapsed() > WITHIN {
            return false;
        }
        sleep(POLL_EVERY).await;
    }
    true
}

/// Polls the thread of this name until it is inside `fdatasync`, which takes a fraction of a millisecond.
fn is_syncing(pid: Pid, name: &str) -> bool {
    let Some(thread) = thread(pid, name) else { return false };
    let (path, wanted, began) = (thread.join("syscall"), format!("{} ", libc::SYS_fdatasync), Instant::now());
    while began.elapsed() < WITHIN {
        match std::fs::read_to_string(&path) {
            Ok(call) if call.starts_with(&wanted) => return true,
            Ok(_) => std::thread::yield_now(),
            Err(_) => return false,
        }
    }
    false
}

fn thread(pid: Pid, name: &str) -> Option<PathBuf> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let is_it =
        |thread: &PathBuf| std::fs::read_to_string(thread.join("comm")).is_ok_and(|found| found.trim_end() == name);
    threads.filter_map(|thread| Some(thread.ok()?.path())).find(is_it)
}
