//! The only place that reads the time and draws random numbers.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::audit::Salt;
use domain::{MessageId, Timestamp};
use tokio::time::Instant;
use uuid::{ContextV7, Uuid};

/// Wall-clock time, rolls and new ids.
#[derive(Debug)]
pub struct Clock {
    source: Source,
    started: Instant,
    /// Keeps ids that are drawn within one millisecond in order.
    ids: Mutex<ContextV7>,
}

#[derive(Debug)]
enum Source {
    /// The system's clock.
    System,
    /// A wall clock that moves with tokio's, so that a paused clock stops it too.
    Tokio { start: Timestamp },
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self { source: Source::System, started: Instant::now(), ids: Mutex::new(ContextV7::new()) }
    }

    /// A clock that begins at `start` and moves with tokio's: for tests that pause it.
    pub fn following_tokio(start: Timestamp) -> Self {
        Self { source: Source::Tokio { start }, started: Instant::now(), ids: Mutex::new(ContextV7::new()) }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match self.source {
            Source::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
            }
            Source::Tokio { start } => start.after(self.uptime()),
        }
    }

    /// How long this clock has run; never goes back.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// A random number in `0.0..1.0`.
    pub fn roll(&self) -> f64 {
        rand::random()
    }

    /// Random bytes that nobody can guess.
    pub fn salt(&self) -> Salt {
        rand::random()
    }

    /// A new message id, later than every one drawn before.
    pub fn new_message_id(&self, now: Timestamp) -> MessageId {
        let millis = now.as_millis();
        let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
        MessageId::from_uuid(Uuid::new_v7(uuid::Timestamp::from_unix(&self.ids, millis / 1000, nanos)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_drawn_in_one_millisecond_are_in_order() {
        let clock = Clock::system();
        let ids: Vec<_> = (0..1000).map(|_| clock.new_message_id(Timestamp::from_secs(1))).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
    }
}
