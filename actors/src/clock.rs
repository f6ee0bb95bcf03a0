//! The only place that reads the time and draws random numbers.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::audit::Salt;
use domain::{MessageId, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tokio::time::Instant;
use uuid::{Builder, ContextV7, Uuid};

/// It is looked at no less often while the process runs.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What lies between two looks beyond that and this is time in which the process stood still.
const LATE: Duration = Duration::from_secs(1);

/// Wall-clock time, rolls and new ids.
#[derive(Debug)]
pub struct Clock {
    source: Source,
    started: Instant,
    dice: Mutex<Dice>,
    last: Mutex<Look>,
}

/// The last look at the time, and what was seen by then.
#[derive(Debug)]
struct Look {
    wall: Timestamp,
    uptime: Duration,
    /// When the process last went on after it had stood still, and for how long it had.
    stood_still: Option<(Timestamp, Duration)>,
}

/// Where rolls and ids come from.
#[derive(Debug)]
enum Dice {
    /// The system's random numbers. The context keeps ids that are drawn within one millisecond in order.
    System(ContextV7),
    /// A seed; the count does what the context does.
    Seeded(Box<StdRng>, u32),
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
        Self::new(Source::System)
    }

    /// A clock that begins at `start` and moves with tokio's: for tests that pause it.
    pub fn following_tokio(start: Timestamp) -> Self {
        Self::new(Source::Tokio { start })
    }

    fn new(source: Source) -> Self {
        let last = Mutex::new(Look { wall: Timestamp::EPOCH, uptime: Duration::ZERO, stood_still: None });
        let clock = Self { source, started: Instant::now(), dice: Mutex::new(Dice::System(ContextV7::new())), last };
        clock.last().wall = clock.now();
        clock
    }

    /// The same with rolls and ids that come from `seed`: for simulations that must repeat exactly.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        Self { dice: Mutex::new(Dice::Seeded(Box::new(StdRng::seed_from_u64(seed)), 0)), ..self }
    }

    fn last(&self) -> MutexGuard<'_, Look> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Until when silence proves nothing, because the process stood still not long ago: it was stopped, or suspended with its
    /// machine, and received nothing. It gets the same time again, but `at_most` so much, to catch up with what came meanwhile.
    pub(crate) fn catching_up_until(&self, at_most: Duration) -> Option<Timestamp> {
        let (wall, uptime) = (self.now(), self.uptime());
        let mut last = self.last();
        // The one stops with the machine, the other can be set.
        let passed = wall.since(last.wall).max(uptime.saturating_sub(last.uptime));
        (last.wall, last.uptime) = (wall, uptime);
        if passed > LOOK_EVERY + LATE {
            last.stood_still = Some((wall, passed));
        }
        let until = last.stood_still.map(|(since, long)| since.after(long.min(at_most)));
        until.filter(|until| *until > wall)
    }

    /// A random number in `0.0..1.0`.
    pub fn roll(&self) -> f64 {
        match &mut *self.dice() {
            Dice::System(_) => rand::random(),
            Dice::Seeded(dice, _) => dice.random(),
        }
    }

    /// Random bytes that nobody can guess.
    pub fn salt(&self) -> Salt {
        rand::random()
    }

    /// A new message id, later than every one drawn before.
    pub fn new_message_id(&self, now: Timestamp) -> MessageId {
        let millis = now.as_millis();
        let uuid = match &mut *self.dice() {
            Dice::System(context) => {
                let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
                Uuid::new_v7(uuid::Timestamp::from_unix(&*context, millis / 1000, nanos))
            }
            Dice::Seeded(dice, count) => {
                *count = count.wrapping_add(1);
                // Nothing, the count, and random bytes: the version and the variant take the first bits of the first and
                // the third.
                let [a, b, c, d] = count.to_be_bytes();
                let [e, f, g, ..] = dice.next_u32().to_be_bytes();
                Builder::from_unix_timestamp_millis(millis, &[0, 0, 0, a, b, c, d, e, f, g]).into_uuid()
            }
        };
        MessageId::from_uuid(uuid)
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
    #[test]
    fn one_seed_gives_the_same_rolls_and_ids_in_order() {
        let draw = |seed| {
            let clock = Clock::system().seeded(seed);
            let ids: Vec<_> = (0..1000).map(|_| clock.new_message_id(Timestamp::from_secs(1))).collect();
            (ids, clock.roll().to_bits())
        };
        assert!(draw(1).0.is_sorted_by(|a, b| a < b));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
