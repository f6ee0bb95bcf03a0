//! Doors that Meta shuts for a while: paused templates, and probes of a paused sender. Times are of the wall clock.

use std::collections::HashMap;
use std::time::Duration;

use crate::time::Timestamp;

/// Ever longer pauses between tries of something that does not work yet.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    /// From `first`, doubling, to `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, tries: 0 }
    }

    /// The pause before the next try.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.first.saturating_mul(1 << self.tries.min(20)).min(self.most);
        self.tries += 1;
        pause
    }

    /// It worked: begin again at the first pause.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A template in one language.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TemplateKey {
    /// Its name.
    pub name: String,
    /// Its language's code.
    pub language: String,
}

/// Meta pauses a template for 3 hours, then for 6; a try finds out sooner if a person has repaired it.
const FIRST_TRY_AFTER: Duration = Duration::from_secs(600);
const TRY_AT_LEAST_EVERY: Duration = Duration::from_secs(6 * 3600);

/// The templates that are shut.
#[derive(Clone, Debug, Default)]
pub struct TemplateGates {
    shut: HashMap<TemplateKey, (Timestamp, Backoff)>,
}

impl TemplateGates {
    /// Until when a template is shut; `None` if a message may try it.
    pub fn shut_until(&self, template: &TemplateKey, now: Timestamp) -> Option<Timestamp> {
        self.shut.get(template).map(|(until, _)| *until).filter(|until| *until > now)
    }

    /// Meta refused it: shut for longer each time. Refusals that come while it is shut were under way together.
    pub fn refused(&mut self, template: TemplateKey, now: Timestamp) {
        let fresh = || (Timestamp::EPOCH, Backoff::new(FIRST_TRY_AFTER, TRY_AT_LEAST_EVERY));
        let (until, backoff) = self.shut.entry(template).or_insert_with(fresh);
        if *until <= now {
            *until = now.after(backoff.next_pause());
        }
    }

    /// Meta took it, or says that it is approved: open. Says whether it was shut before.
    pub fn open(&mut self, template: &TemplateKey) -> bool {
        self.shut.remove(template).is_some()
    }

    /// Whether none is shut: the usual, and then nobody need look for a message's template.
    pub fn is_empty(&self) -> bool {
        self.shut.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn template() -> TemplateKey {
        TemplateKey { name: "hello".into(), language: "en".into() }
    }

    #[test]
    fn a_refused_template_is_shut_for_longer_each_time() {
        let mut gates = TemplateGates::default();
        let mut now = NOW;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            gates.refused(template(), now);
            gates.refused(template(), now);
            let until = gates.shut_until(&template(), now).unwrap();
            pauses.push(until.since(now).as_secs() / 60);
            now = until;
            assert_eq!(gates.shut_until(&template(), now), None, "one may try it now");
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 360]);
    }

    #[test]
    fn an_opened_template_begins_anew() {
        let mut gates = TemplateGates::default();
        gates.refused(template(), NOW);
        assert!(gates.open(&template()));
        assert!(!gates.open(&template()));
        assert!(gates.is_empty());
    }
}
