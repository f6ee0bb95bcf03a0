//! Progress on standard error while a phase runs: a line each second, rewritten in place on a terminal.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::figures::thousands;

const EVERY: Duration = Duration::from_secs(1);

/// Shows progress until it is dropped.
pub(crate) struct Progress {
    task: AbortHandle,
}

impl Progress {
    /// `count` is asked each second; `what` says of what it is.
    pub(crate) fn show(what: &'static str, total: u64, count: impl Fn() -> u64 + Send + 'static) -> Self {
        let is_terminal = stderr().is_terminal();
        let task = tokio::spawn(async move {
            // What came before is not of this rate.
            let (began, before) = (Instant::now(), count());
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let count = count();
                let rate = count.saturating_sub(before) as f64 / began.elapsed().as_secs_f64();
                let (count, total, rate) = (thousands(count as f64), thousands(total as f64), thousands(rate.round()));
                let line = format!("    {what}: {count} of {total}, {rate}/s");
                if is_terminal { eprint!("\r{line}\x1b[K") } else { eprintln!("{line}") }
            }
        });
        Self { task: task.abort_handle() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
        if stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}
