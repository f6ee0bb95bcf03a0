//! What a connection is doing, and until when it may: a client that is slow on purpose must not hold a place for ever.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long a connection may take over each of its steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From its start, or from the first byte of a later request, until a request's head is here. TLS included.
    pub(crate) head: Duration,
    /// From its head until it is answered, body included.
    pub(crate) request: Duration,
    /// From an answer until it was taken and the next request begins.
    pub(crate) idle: Duration,
}

/// Beyond what the handlers grant themselves, so that their answer comes first.
const MARGIN: Duration = Duration::from_secs(5);

/// The clock of one connection.
pub(crate) struct Pace {
    patience: Patience,
    step: Mutex<Step>,
}

#[derive(Clone, Copy)]
struct Step {
    is_idle: bool,
    until: Instant,
}

impl Pace {
    pub(crate) fn new(patience: Patience) -> Self {
        let step = Step { is_idle: false, until: Instant::now() + patience.head };
        Self { patience, step: Mutex::new(step) }
    }

    /// Bytes came. The first of a request start its clock; later ones do not grant more time.
    pub(crate) fn heard(&self) {
        let mut step = self.step();
        if step.is_idle {
            *step = Step { is_idle: false, until: Instant::now() + self.patience.head };
        }
    }

    /// The head of a request is here.
    pub(crate) fn asked(&self) {
        *self.step() = Step { is_idle: false, until: Instant::now() + self.patience.request + MARGIN };
    }

    /// Its answer is ready.
    pub(crate) fn answered(&self) {
        *self.step() = Step { is_idle: true, until: Instant::now() + self.patience.idle };
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
        pace.answered();
        assert_eq!(lasts(&pace).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_drip_in_do_not_prolong_a_head() {
        let pace = Pace::new(PATIENCE);
        pace.answered();
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
