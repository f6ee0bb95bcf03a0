//! Templates that Meta has paused. Times are of the wall clock.

use std::collections::HashMap;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::circuit::Circuit;
use crate::time::Timestamp;

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

/// While a probe is under way, the others ask again after this time.
const PROBE_ANSWERED_IN: Duration = Duration::from_secs(5);

/// The paused templates. One message at a time probes whether Meta accepts a template again.
#[derive(Clone, Debug, Default)]
pub struct TemplateGates {
    shut: HashMap<TemplateKey, Circuit>,
}

impl TemplateGates {
    /// A message that [`Self::shut_until`] let through is sent. No other message of the template is, until its answer.
    pub fn goes(&mut self, template: &TemplateKey, now: Timestamp) {
        if let Some(circuit) = self.shut.get_mut(template) {
            circuit.ask(now);
        }
    }

    /// How long a message of this template must wait; `None` if it may try.
    pub fn shut_until(&self, template: &TemplateKey, now: Timestamp) -> Option<Timestamp> {
        let circuit = self.shut.get(template)?;
        let until = circuit.until(now)?;
        Some(if circuit.is_probing() { until.min(now.after(PROBE_ANSWERED_IN)) } else { until })
    }

    /// Meta refused the template. It is shut for longer each time, and at least for `at_least`.
    pub fn refused(&mut self, template: TemplateKey, now: Timestamp, at_least: Duration) {
        let fresh = || Circuit::new(Backoff::new(FIRST_TRY_AFTER, TRY_AT_LEAST_EVERY));
        self.shut.entry(template).or_insert_with(fresh).failed(now, at_least);
    }

    /// Meta accepted or approved the template. Returns whether it was shut.
    pub fn open(&mut self, template: &TemplateKey) -> bool {
        self.shut.remove(template).is_some()
    }

    /// Opens all templates: a person wants to try again.
    pub fn open_all(&mut self) {
        self.shut.clear();
    }

    /// Whether no template is shut. Usually none is, and nobody need parse a payload for its template.
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
            gates.refused(template(), now, Duration::ZERO);
            gates.refused(template(), now, Duration::ZERO);
            let until = gates.shut_until(&template(), now).unwrap();
            pauses.push(until.since(now).as_secs() / 60);
            now = until;
            assert_eq!(gates.shut_until(&template(), now), None, "one may try it now");
            gates.goes(&template(), now);
            assert_eq!(gates.shut_until(&template(), now), Some(now.after(PROBE_ANSWERED_IN)), "and only one");
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 360]);
    }

    #[test]
    fn an_opened_template_begins_anew() {
        let mut gates = TemplateGates::default();
        gates.refused(template(), NOW, Duration::from_secs(7200));
        assert_eq!(gates.shut_until(&template(), NOW), Some(NOW.after(Duration::from_secs(7200))), "as Meta says");
        assert!(gates.open(&template()));
        assert!(!gates.open(&template()));
        assert!(gates.is_empty());
    }
}
