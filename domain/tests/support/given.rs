//! Messages at every point of their lives, and what may happen to them there.

use std::time::Duration;

use domain::consent::Refusal;
use domain::intake::NewMessage;
use domain::invariants::check_step;
use domain::lifecycle::Event::{OutcomeTimeout, SendPermit};
use domain::lifecycle::{Decision, Event, Policy, decide};
use domain::message::Category;
use domain::outcome::Class::{self, Deferred, Permanent, Transient};
use domain::outcome::{Outcome, ProviderError, Scope, Verdict};
use domain::receipt::{Receipt, ReceiptKind};
use domain::retry::RetryPolicy;
use domain::state::Status;
use domain::{
    AttemptNo, Failure, Message, MessageId, OnUnknown, OurCode, ProviderId, SenderNo, State, Timestamp, Wait,
};

pub(crate) const MINUTE: u64 = 60;
pub(crate) const HOUR: u64 = 60 * MINUTE;
/// How long a send with no known outcome waits for its receipt.
pub(crate) const STALE: u64 = 10 * MINUTE;
/// How long it is from [`START`] to the end of time.
pub(crate) const NEVER: u64 = Timestamp::MAX.as_millis() / 1000 - START.as_millis() / 1000;
pub(crate) const START: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A message at some point of its life, and the time there.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) message: Message,
    pub(crate) state: State,
    pub(crate) now: Timestamp,
}

pub(crate) fn queued() -> Given {
    let body = serde_json::json!({"to": "+1234567890", "payloadJson": {"type": "text", "text": {"body": "hi"}}});
    let new = NewMessage::parse(body.as_object().unwrap(), None, START).unwrap();
    let message = new.into_message(MessageId::from_bytes([7; 16]), "1065".parse().unwrap(), SenderNo(0), START);
    let state = State::accepted(START, policy().retry.max_attempts(), START);
    Given { message, state, now: START }
}

pub(crate) fn scheduled_in(secs: u64) -> Given {
    let mut given = queued();
    let send_at = given.now.after(Duration::from_secs(secs));
    given.message.send_at = Some(send_at);
    given.state = State::accepted(send_at, given.state.max_attempts, given.now);
    given
}

pub(crate) fn expiring_in(secs: u64) -> Given {
    let mut given = queued();
    given.message.expires_at = Some(given.now.after(Duration::from_secs(secs)));
    given
}

pub(crate) fn holding() -> Given {
    let mut given = queued();
    given.message.on_unknown = Some(OnUnknown::Hold);
    given
}

/// Due, but held for an hour.
pub(crate) fn postponed_by(wait: Wait) -> Given {
    queued().on(postpone_for(HOUR, wait))
}

/// Its store was restored from a backup.
pub(crate) fn restored() -> Given {
    queued().on(Event::Restored)
}

pub(crate) fn sending() -> Given {
    queued().on(SendPermit)
}

pub(crate) fn unanswered() -> Given {
    sending().on(unknown(1))
}

/// Attempt 1 was refused; the time for attempt 2 has come.
pub(crate) fn retrying() -> Given {
    sending().on(refused(1, Transient)).later(MINUTE)
}

/// Attempt 1 was accepted, then failed by a receipt.
pub(crate) fn refused_by_receipt() -> Given {
    sent().on(failed_receipt(1, Transient))
}

/// Nothing was ever heard of attempt 1; attempt 2 is to follow.
pub(crate) fn resending() -> Given {
    unanswered().on(OutcomeTimeout)
}

/// Nothing was ever heard of attempt 1; attempt 2 is under way.
pub(crate) fn second_try() -> Given {
    resending().on(SendPermit)
}

/// Attempt 6 of 6 is under way.
pub(crate) fn last_try() -> Given {
    (1..6).fold(sending(), |given, no| given.on(refused(no, Transient)).on(SendPermit))
}

/// Meta holds it back from its recipient; it is tried once more a day later.
pub(crate) fn deferred() -> Given {
    sending().on(refused(1, Deferred))
}

/// That second try is under way.
pub(crate) fn deferred_try() -> Given {
    deferred().on(SendPermit)
}

pub(crate) fn sent() -> Given {
    sending().on(accepted(1))
}

/// SENT by a receipt of attempt 1 while attempt 2 is under way.
pub(crate) fn first_sent() -> Given {
    second_try().on(sent_receipt(1))
}

/// SENT by two attempts.
pub(crate) fn both_sent() -> Given {
    first_sent().on(accepted(2))
}

/// SENT by two attempts, of which the second has failed since.
pub(crate) fn one_left() -> Given {
    both_sent().on(failed_receipt(2, Permanent))
}

pub(crate) fn delivered() -> Given {
    sent().on(delivered_receipt(1))
}

pub(crate) fn read() -> Given {
    delivered().on(read_receipt(1))
}

pub(crate) fn failed() -> Given {
    sending().on(refused(1, Permanent))
}

/// FAILED since nothing was ever heard of its only attempt, and it is not to be sent twice.
pub(crate) fn held() -> Given {
    holding().on(SendPermit).on(unknown(1)).on(OutcomeTimeout)
}

pub(crate) fn cancelled() -> Given {
    resending().on(Event::Cancel)
}

impl Given {
    pub(crate) fn later(mut self, secs: u64) -> Self {
        self.now = self.now.after(Duration::from_secs(secs));
        self
    }

    /// What `event` does here and now; a receipt is of this moment, and a hold begins at it.
    pub(crate) fn decide(&self, event: &Event) -> Decision {
        decide(&self.message, &self.state, &dated(event, self.now), &policy(), self.now, 0.0)
    }

    /// Goes through `event`. A send permit or a timeout comes when it is due.
    pub(crate) fn on(mut self, event: Event) -> Self {
        if matches!(event, SendPermit | OutcomeTimeout) {
            self.now = self.now.max(self.state.due().unwrap());
        }
        let at = self.now;
        self.told(event, at)
    }

    /// Goes through `event`, whose receipt says that it happened `at` another time.
    pub(crate) fn told(self, event: Event, at: Timestamp) -> Self {
        let event = dated(&event, at);
        let decision = decide(&self.message, &self.state, &event, &policy(), self.now, 0.0);
        let Decision::Move(step) = decision else { panic!("{event:?} does nothing here") };
        assert_eq!(check_step(&self.message, &self.state, &step), Ok(()));
        Self { state: step.next, ..self }
    }

    pub(crate) fn status(&self) -> Status {
        self.state.phase.status()
    }
}

fn dated(event: &Event, at: Timestamp) -> Event {
    let mut event = event.clone();
    if let Event::Receipt { receipt, .. } = &mut event {
        receipt.at = at;
    }
    if let Event::Postpone { until, .. } = &mut event {
        *until = at.after(until.since(START));
    }
    event
}

fn policy() -> Policy {
    Policy { retry: RetryPolicy::default(), stale_after: Duration::from_secs(STALE), on_unknown: OnUnknown::Resend }
}

pub(crate) fn accepted(no: u16) -> Event {
    Event::Settled { attempt: AttemptNo(no), outcome: Outcome::Accepted(wamid(no)), wait: None }
}

pub(crate) fn refused(no: u16, class: Class) -> Event {
    refused_for(no, class, Scope::Message)
}

pub(crate) fn refused_for(no: u16, class: Class, scope: Scope) -> Event {
    Event::Settled { attempt: AttemptNo(no), outcome: Outcome::Refused(error(class, scope)), wait: None }
}

pub(crate) fn not_sent(no: u16) -> Event {
    let failure = Failure::new(OurCode::ConnectionClosed, "the connection was refused");
    Event::Settled { attempt: AttemptNo(no), outcome: Outcome::NotSent(failure), wait: None }
}

pub(crate) fn refused_until(no: u16, class: Class, secs: u64) -> Event {
    let outcome = Outcome::Refused(error(class, Scope::Message));
    Event::Settled { attempt: AttemptNo(no), outcome, wait: Some(Duration::from_secs(secs)) }
}

pub(crate) fn unreachable(no: u16) -> Event {
    let failure = Failure::new(OurCode::ConnectFailed, "the connection was refused");
    Event::Settled { attempt: AttemptNo(no), outcome: Outcome::Unreachable(failure), wait: None }
}

pub(crate) fn cut_off(no: u16) -> Event {
    let failure = Failure::new(OurCode::CutOff, "the service stopped before the answer came");
    Event::Settled { attempt: AttemptNo(no), outcome: Outcome::CutOff(failure), wait: None }
}

pub(crate) fn unknown(no: u16) -> Event {
    let failure = Failure::new(OurCode::NoAnswer, "the answer did not come in time");
    Event::Settled { attempt: AttemptNo(no), outcome: Outcome::Unknown(failure), wait: None }
}

pub(crate) fn sent_receipt(no: u16) -> Event {
    receipt(no, ReceiptKind::Sent, None)
}

pub(crate) fn delivered_receipt(no: u16) -> Event {
    receipt(no, ReceiptKind::Delivered, None)
}

pub(crate) fn read_receipt(no: u16) -> Event {
    receipt(no, ReceiptKind::Read, None)
}

pub(crate) fn failed_receipt(no: u16, class: Class) -> Event {
    failed_receipt_for(no, class, Scope::Message)
}

pub(crate) fn failed_receipt_for(no: u16, class: Class, scope: Scope) -> Event {
    receipt(no, ReceiptKind::Failed, Some(error(class, scope)))
}

pub(crate) fn failed_receipt_without_code(no: u16) -> Event {
    receipt(no, ReceiptKind::Failed, None)
}

pub(crate) fn receipt(no: u16, kind: ReceiptKind, error: Option<ProviderError>) -> Event {
    let receipt = Receipt { provider_id: wamid(no), attempt: None, kind, at: START, error, pricing: None };
    Event::Receipt { attempt: AttemptNo(no), receipt: Box::new(receipt) }
}

/// The same receipt of another attempt with the same number: a restored copy and its original may each have made one.
pub(crate) fn of_another(event: Event) -> Event {
    let Event::Receipt { attempt, mut receipt } = event else { panic!("{event:?} is no receipt") };
    receipt.provider_id = wamid(99);
    Event::Receipt { attempt, receipt }
}

/// Held for so long from the moment that it comes.
pub(crate) fn postpone_for(secs: u64, wait: Wait) -> Event {
    Event::Postpone { until: START.after(Duration::from_secs(secs)), wait }
}

/// The recipient has not agreed to it.
pub(crate) fn consent_denied() -> Event {
    Event::ConsentDenied(Refusal { category: Category::Transactional, revoked: None })
}

pub(crate) fn crash() -> Event {
    Event::Crash { cause: "index out of bounds".to_owned() }
}

fn error(class: Class, scope: Scope) -> ProviderError {
    ProviderError { code: 131_000, message: "as told".to_owned(), verdict: Verdict { class, scope } }
}

pub(crate) fn wamid(no: u16) -> ProviderId {
    ProviderId::new(&format!("wamid.{no}"))
}
