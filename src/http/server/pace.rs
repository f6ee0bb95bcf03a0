//! What a connection is doing, and until when it may: a client that is slow on purpose must not hold a place for ever.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long a connection may take over each of its steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From its start, or from the first byte of a later request, until a request's head is here. TLS included. No part of a
    /// large answer may wait longer to be taken.
    pub(crate) head: Duration,
    /// From its head until it is answered, body included.
    pub(crate) request: Duration,
    /// From an answer until it was taken and the next request begins.
    pub(crate) idle: Duration,
}

/// Beyond what the handlers grant themselves, so that their answer comes first.
const MARGIN: Duration = Duration::from_secs(5);

/// Answers up to this size lie with the system while they are taken; a larger one costs us memory.
const LARGE: u64 = 64 * 1024;
/// It must be taken at so many bytes per second at least.
const TAKES_PER_SECOND: u64 = 128 * 1024;

/// The clock of one connection.
pub(crate) struct Pace {
    patience: Patience,
    step: Mutex<Step>,
}

#[derive(Clone, Copy)]
struct Step {
    is_idle: bool,
    until: Instant,
    /// Bytes of a large answer that were not taken yet, and until when they must be.
    left: Option<(u64, Instant)>,
}

impl Pace {
    pub(crate) fn new(patience: Patience) -> Self {
        let step = Step { is_idle: false, until: Instant::now() + patience.head, left: None };
        Self { patience, step: Mutex::new(step) }
    }

    /// Bytes came. The first of a request start its clock; later ones do not grant more time.
    pub(crate) fn heard(&self) {
        let mut step = self.step();
        if step.is_idle {
            *step = Step { is_idle: false, until: Instant::now() + self.patience.head, left: None };
        }
    }

    /// The head of a request is here.
    pub(crate) fn asked(&self) {
        let until = Instant::now() + self.patience.request + MARGIN;
        *self.step() = Step { is_idle: false, until, left: None };
    }

    /// Its answer is ready, of so many bytes.
    pub(crate) fn answered(&self, size: u64) {
        let now = Instant::now();
        *self.step() = match size {
            ..LARGE => Step { is_idle: true, until: now + self.patience.idle, left: None },
            LARGE.. => {
                let in_all = now + self.patience.head + Duration::from_secs(size / TAKES_PER_SECOND);
                Step { is_idle: false, until: now + self.patience.head, left: Some((size, in_all)) }
            }
        };
    }

    /// So many bytes of an answer were taken.
    pub(crate) fn took(&self, bytes: usize) {
        let (mut step, now) = (self.step(), Instant::now());
        let Some((left, in_all)) = step.left else { return };
        *step = match left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX)) {
            0 => Step { is_idle: true, until: now + self.patience.idle, left: None },
            left => Step { until: in_all.min(now + self.patience.head), left: Some((left, in_all)), ..*step },
        };
    }

    /// Returns once a step has taken too long.
    pub(crate) async fn over(&self) {
        loop {
            let until = self.step().until;
            if until <= Instant::now() {
                return;
            }
            // A step may end sooner than the one before it, so this looks again at least so often.
            sleep_until(until.min(Instant::now() + self.patience.head)).await;
        }
    }

    fn step(&self) -> MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { head: Duration::from_secs(10), request: Duration::from_secs(60), idle: Duration::from_secs(75) };

    /// How long until a connection is over, in seconds.
    async fn lasts(pace: &Pace) -> u64 {
        let began = Instant::now();
        pace.over().await;
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn each_step_has_its_own_time() {
        let pace = Pace::new(PATIENCE);
        assert_eq!(lasts(&pace).await, 10, "nothing ever came");
        pace.asked();
        assert_eq!(lasts(&pace).await, 65);
        pace.answered(100);
        assert_eq!(lasts(&pace).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_take_a_large_answer_is_cut_off_and_whoever_is_slow_has_time_by_its_size() {
        let pace = Pace::new(PATIENCE);
        pace.answered(10 << 20);
        assert_eq!(lasts(&pace).await, 10, "nothing was taken");
        let drips = async |bytes: usize| {
            pace.answered(10 << 20);
            let drip = async {
                loop {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    pace.took(bytes);
                }
            };
            tokio::select! {
                () = drip => 0,
                lasted = lasts(&pace) => lasted,
            }
        };
        assert!((90..=100).contains(&drips(1).await), "80 seconds by its size, and 10 more");
        pace.answered(10 << 20);
        pace.took(10 << 20);
        assert_eq!(lasts(&pace).await, 75, "all was taken");
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_drip_in_do_not_prolong_a_head() {
        let pace = Pace::new(PATIENCE);
        pace.answered(0);
        let drip = async {
            loop {
                pace.heard();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = drip => {}
            lasted = lasts(&pace) => assert!((10..=20).contains(&lasted), "{lasted}"),
        }
    }
}
