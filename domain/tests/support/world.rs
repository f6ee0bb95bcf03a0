//! A message in its world, which checks every step.

use std::time::Duration;

use domain::consent::Refusal;
use domain::intake::NewMessage;
use domain::invariants::{check, check_step};
use domain::lifecycle::{Decision, Event, Policy, decide};
use domain::message::Category;
use domain::outcome::Outcome;
use domain::{AttemptNo, AttemptStatus, FailureCode, Message, MessageId, OurCode, Phase, SenderNo, State, Timestamp};
use proptest::prelude::*;

use crate::lives::{What, receipt};

pub(crate) const START: Timestamp = Timestamp::from_secs(1_767_225_600);

/// Only what was postponed or cut off is not charged.
fn check_charges(before: &State, next: &State) -> Result<(), TestCaseError> {
    for attempt in next.attempts.iter().filter(|attempt| !attempt.charged) {
        // One that is learned of from a receipt never was.
        let was_charged = before.attempt(attempt.no).is_some_and(|attempt| attempt.charged);
        let is_cut_off =
            attempt.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::Ours(OurCode::CutOff));
        let is_spared = attempt.status == AttemptStatus::Failed || is_cut_off;
        prop_assert!(!was_charged || is_spared, "{} is not charged", attempt.no);
    }
    Ok(())
}

/// A message in its world: a clock, the dice, and the provider that was called.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) message: Message,
    policy: Policy,
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) roll: f64,
    calls: Vec<AttemptNo>,
}

impl World {
    pub(crate) fn new(fields: &[(&str, String)], policy: Policy) -> Self {
        let mut body =
            serde_json::json!({"to": "+1234567890", "payloadJson": {"type": "text", "text": {"body": "hi"}}});
        body.as_object_mut()
            .unwrap()
            .extend(fields.iter().map(|(name, text)| ((*name).to_owned(), text.as_str().into())));
        let new = NewMessage::parse(body.as_object().unwrap(), None, START).unwrap();
        let message = new.into_message(MessageId::from_bytes([7; 16]), "1065".parse().unwrap(), SenderNo(0), START);
        let state = State::accepted(message.send_at.unwrap_or(START), policy.retry.max_attempts(), START);
        assert_eq!(check(&message, &state), Ok(()));
        Self { message, policy, state, now: START, roll: 0.0, calls: Vec::new() }
    }

    pub(crate) fn wait(&mut self, secs: u64) {
        self.now = self.now.after(Duration::from_secs(secs));
    }

    pub(crate) fn wait_until_due(&mut self) {
        self.now = self.state.due().map_or(self.now, |due| due.max(self.now));
    }

    pub(crate) fn event(&self, what: &What) -> Event {
        let made = self.state.latest().map_or(0, |no| no.0);
        let attempt = |back: u16| AttemptNo(made.checked_sub(back).unwrap_or(made + 1));
        match what {
            What::SendPermit => Event::SendPermit,
            What::Expiry => Event::Expiry,
            What::OutcomeTimeout => Event::OutcomeTimeout,
            What::Settled { back, outcome } => {
                Event::Settled { attempt: attempt(*back), outcome: outcome.clone(), wait: None }
            }
            What::Receipt { back, kind, error, age } => {
                let at = Timestamp::from_millis(self.now.as_millis() - age * 1000);
                receipt(attempt(*back), *kind, at, *error)
            }
            What::Postpone { secs, wait } => {
                Event::Postpone { until: self.now.after(Duration::from_secs(*secs)), wait: *wait }
            }
            What::DueNow => Event::DueNow,
            What::Restored => Event::Restored,
            What::WindowClosed => Event::WindowClosed,
            What::ConsentDenied => Event::ConsentDenied(Refusal { category: Category::Marketing, revoked: None }),
            What::Cancel => Event::Cancel,
            What::Requeue => Event::Requeue,
            What::Crash => Event::Crash { cause: "index out of bounds".to_owned() },
        }
    }

    pub(crate) fn decide(&self, event: &Event) -> Decision {
        decide(&self.message, &self.state, event, &self.policy, self.now, self.roll)
    }

    /// Takes one step and checks what must hold of every step.
    pub(crate) fn step(&mut self, event: &Event) -> Result<(), TestCaseError> {
        let Decision::Move(step) = self.decide(event) else { return Ok(()) };
        let (before, next) = (&self.state, &step.next);
        prop_assert_eq!(check_step(&self.message, before, &step), Ok(()));
        prop_assert_eq!(next.updated_at, self.now);
        if let Phase::Queued { due } = next.phase {
            prop_assert!(self.message.send_at.is_none_or(|at| at <= due), "due before its time");
        }
        if let Some(no) = step.call {
            prop_assert!(!self.calls.contains(&no), "attempt {no} is called twice");
            prop_assert!(self.message.send_at.is_none_or(|at| at <= self.now), "sent before its time");
            self.calls.push(no);
        }
        check_charges(before, next)?;
        if matches!(event, Event::Postpone { .. } | Event::DueNow | Event::WindowClosed | Event::ConsentDenied(_)) {
            prop_assert_eq!(&next.attempts, &before.attempts, "no attempt is concerned");
        }
        self.state = step.next;
        Ok(())
    }

    /// The next thing that the actors would do: at its due time a send permit, then the call's answer, if any, or the outcome's
    /// timeout.
    pub(crate) fn go_on(&mut self, answer: Option<&Outcome>) -> Result<(), TestCaseError> {
        let version = self.state.version;
        let is_open =
            |no: &AttemptNo| self.state.attempt(*no).is_some_and(|attempt| attempt.status == AttemptStatus::Sending);
        let open = self.state.latest().filter(is_open);
        match (self.state.phase, open, answer) {
            (Phase::Sending { .. }, Some(attempt), Some(outcome)) => {
                self.step(&Event::Settled { attempt, outcome: outcome.clone(), wait: None })?;
            }
            (Phase::Sending { .. }, _, _) => {
                self.wait_until_due();
                self.step(&Event::OutcomeTimeout)?;
            }
            (Phase::Queued { .. }, _, _) => {
                self.wait_until_due();
                self.step(&Event::SendPermit)?;
            }
            (Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled, _, _) => {}
        }
        prop_assert_ne!(self.state.version, version, "stuck in {:?}", self.state.phase);
        Ok(())
    }

    /// Goes on until the next answer has come, or the message has ended.
    pub(crate) fn go_on_until_answered(&mut self, answer: &Outcome) -> Result<(), TestCaseError> {
        while self.state.due().is_some() {
            self.go_on(Some(answer))?;
            if let Phase::Queued { .. } = self.state.phase {
                break;
            }
        }
        Ok(())
    }
}
