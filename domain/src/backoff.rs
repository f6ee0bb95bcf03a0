//! Backoff: pauses that grow from try to try.

use std::time::Duration;

/// Ever longer pauses between tries of something that does not work yet.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    factor: u32,
    most: Duration,
    tries: u32,
}

impl Backoff {
    /// Pauses from `first`, doubling each time, up to `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self::growing(first, 2, most)
    }

    /// Pauses from `first`, `factor` times longer each time, up to `most`.
    pub const fn growing(first: Duration, factor: u32, most: Duration) -> Self {
        Self { first, factor, most, tries: 0 }
    }

    /// The pause before the next try.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.first.saturating_mul(self.factor.saturating_pow(self.tries)).min(self.most);
        self.tries = self.tries.saturating_add(1);
        pause
    }

    /// It worked: the next pause is the first one again.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }
}
