//! Whatever happens to a message, in whatever order and at whatever time: what holds all the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::time::Duration;

use domain::intake::NewMessage;
use domain::invariants::{check, check_step};
use domain::lifecycle::{Decision, Event, Ignored, Policy, decide, rank};
use domain::outcome::{Class, Outcome, ProviderError, Scope, Verdict};
use domain::receipt::{Receipt, ReceiptKind};
use domain::retry::RetryPolicy;
use domain::{
    AttemptNo, AttemptStatus, Failure, Message, MessageId, OnUnknown, Phase, ProviderId, SenderNo, State, Status,
    Timestamp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

const START: Timestamp = Timestamp::from_secs(1_767_225_600);
const PROOFS: [ReceiptKind; 3] = [ReceiptKind::Sent, ReceiptKind::Delivered, ReceiptKind::Read];

/// 2,000 cases, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { default } else { ProptestConfig { cases: 2_000, ..default } }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_step_of_every_life_keeps_the_invariants(life in lives()) {
        life.lived()?;
    }

    #[test]
    fn from_wherever_it_got_every_message_ends(life in lives(), answer in option::of(outcomes())) {
        // What is no fault of the message keeps it waiting until it is repaired.
        let is_held = |outcome: &Outcome| {
            matches!(outcome, Outcome::Refused(error) if matches!(error.verdict.class, Class::Throttled | Class::Blocked))
        };
        if answer.as_ref().is_some_and(is_held) {
            return Ok(());
        }
        let mut world = life.lived()?;
        // Each attempt that is left takes at most its turn, its answer and its lapse; the open one, the latter two; one
        // more that Meta defers takes a turn and an answer and is not charged.
        let mut steps = 3 * (world.state.max_attempts - world.state.attempt_count()) + 4;
        while world.state.due().is_some() {
            prop_assert!(steps > 0, "{:?} does not end", world.state.phase);
            steps -= 1;
            world.go_on(answer.as_ref())?;
        }
    }

    #[test]
    fn from_wherever_it_got_a_message_that_waits_is_sent_or_expires(life in lives()) {
        let mut world = life.lived()?;
        while world.state.due().is_some() {
            world.go_on(Some(&Outcome::Accepted(wamid(0))))?;
            if let Phase::Failed = world.state.phase {
                let code = world.state.failure.as_ref().unwrap().code.as_str();
                prop_assert!(matches!(code, "EXPIRED" | "OUTCOME_UNKNOWN"), "{code}");
            }
        }
    }

    #[test]
    fn a_receipt_that_has_come_before_changes_nothing(life in lives(), kind in kinds(), class in classes()) {
        let mut world = life.lived()?;
        for no in world.state.attempts.clone().into_iter().map(|attempt| attempt.no) {
            world.step(&receipt(no, kind, world.now, Some(class)))?;
            world.wait(MINUTE);
            let again = receipt(no, kind, world.now, None);
            prop_assert_eq!(world.decide(&again), Decision::Ignore(Ignored::Repeated));
        }
    }

    #[test]
    fn the_receipts_of_one_attempt_end_as_read_in_any_order(proofs in shuffled_proofs(), is_answered: bool) {
        let state = receive(&proofs, is_answered)?;
        prop_assert_eq!(state.phase, Phase::Read);
        prop_assert_eq!(state.read_at, Some(proved_at(ReceiptKind::Read)));
        prop_assert_eq!(state.attempts[0].status, AttemptStatus::Accepted);
        prop_assert!(proofs.iter().all(|kind| state.attempts[0].receipts.has(*kind)));
    }

    #[test]
    fn the_receipts_of_one_attempt_leave_the_same_times_in_any_order(proofs in shuffled_proofs(), is_answered: bool) {
        let times = |state: State| (state.sent_at, state.delivered_at, state.read_at);
        prop_assert_eq!(times(receive(&proofs, is_answered)?), times(receive(&PROOFS, is_answered)?));
    }
}

const MINUTE: u64 = 60;

/// A message, the settings and what happens to it.
#[derive(Clone, Debug)]
struct Life {
    send_in: Option<u64>,
    lasts: Option<u64>,
    on_unknown: Option<OnUnknown>,
    delays: Vec<u64>,
    stale_after: u64,
    default_on_unknown: OnUnknown,
    happenings: Vec<Happening>,
}

#[derive(Clone, Debug)]
struct Happening {
    wait: Wait,
    what: What,
    roll: f64,
}

#[derive(Clone, Debug)]
enum Wait {
    Secs(u64),
    UntilDue,
}

/// An event. Attempts are counted back from the latest; the first of those beyond is attempt 0, the others
/// stand for the next: neither was ever made.
#[derive(Clone, Debug)]
enum What {
    Turn,
    Expiry,
    Lapse,
    Settled { back: u16, outcome: Outcome },
    Receipt { back: u16, kind: ReceiptKind, error: Option<Class>, age: u64 },
    Hold(u64),
    Release,
    WindowClosed,
    Cancel,
    Requeue,
    Crash,
}

fn lives() -> impl Strategy<Value = Life> {
    let on_unknown = || select(&[OnUnknown::Resend, OnUnknown::Hold]);
    let message = (option::of(0..10 * MINUTE), option::of(1..30 * MINUTE), option::of(on_unknown()));
    let policy = (vec(0..5 * MINUTE, 1..=4), 1..10 * MINUTE, on_unknown());
    (message, policy, vec(happenings(), 0..=30)).prop_map(|(message, policy, happenings)| {
        let (send_in, lasts, on_unknown) = message;
        let (delays, stale_after, default_on_unknown) = policy;
        Life { send_in, lasts, on_unknown, delays, stale_after, default_on_unknown, happenings }
    })
}

fn happenings() -> impl Strategy<Value = Happening> {
    let wait = prop_oneof![
        2 => Just(Wait::Secs(0)),
        1 => (1..5 * MINUTE).prop_map(Wait::Secs),
        3 => Just(Wait::UntilDue),
    ];
    let receipt = (0..4u16, kinds(), option::of(classes()), 0..MINUTE);
    let what = prop_oneof![
        8 => Just(What::Turn),
        1 => Just(What::Expiry),
        3 => Just(What::Lapse),
        6 => (0..4u16, outcomes()).prop_map(|(back, outcome)| What::Settled { back, outcome }),
        4 => receipt.prop_map(|(back, kind, error, age)| What::Receipt { back, kind, error, age }),
        2 => (0..2 * MINUTE).prop_map(What::Hold),
        1 => Just(What::Release),
        1 => Just(What::WindowClosed),
        1 => Just(What::Cancel),
        2 => Just(What::Requeue),
        1 => Just(What::Crash),
    ];
    (wait, what, 0.0..1.0).prop_map(|(wait, what, roll)| Happening { wait, what, roll })
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Accepted(wamid(0))),
        classes().prop_map(|class| Outcome::Refused(error(class))),
        Just(Outcome::NotSent(Failure::new("NOT_SENT", "the connection was refused"))),
        Just(Outcome::Unknown(Failure::new("NO_ANSWER", "the answer did not come in time"))),
    ]
}

fn classes() -> impl Strategy<Value = Class> {
    select(&[Class::Transient, Class::Throttled, Class::Blocked, Class::Deferred, Class::Permanent])
}

fn kinds() -> impl Strategy<Value = ReceiptKind> {
    select(&[ReceiptKind::Sent, ReceiptKind::Delivered, ReceiptKind::Read, ReceiptKind::Failed])
}

/// `sent`, `delivered` and `read`, each one to three times, in any order.
fn shuffled_proofs() -> impl Strategy<Value = Vec<ReceiptKind>> {
    (1..=3usize, 1..=3usize, 1..=3usize).prop_flat_map(|(sent, delivered, read)| {
        let all = PROOFS.into_iter().zip([sent, delivered, read]);
        Just(all.flat_map(|(kind, times)| vec![kind; times]).collect::<Vec<_>>()).prop_shuffle()
    })
}

/// When each receipt of [`shuffled_proofs`] says that it happened.
fn proved_at(kind: ReceiptKind) -> Timestamp {
    START.after(Duration::from_secs(10 * (1 + kind as u64)))
}

/// The state after an attempt and its receipts.
fn receive(proofs: &[ReceiptKind], is_answered: bool) -> Result<State, TestCaseError> {
    let mut world = World::new(
        &[],
        Policy { retry: RetryPolicy::default(), stale_after: Duration::from_secs(MINUTE), on_unknown: OnUnknown::Hold },
    );
    world.step(&Event::Turn)?;
    if is_answered {
        world.step(&Event::Settled { attempt: AttemptNo(1), outcome: Outcome::Accepted(wamid(1)) })?;
    }
    for kind in proofs {
        world.wait(MINUTE);
        world.step(&receipt(AttemptNo(1), *kind, proved_at(*kind), None))?;
    }
    Ok(world.state)
}

fn receipt(attempt: AttemptNo, kind: ReceiptKind, at: Timestamp, class: Option<Class>) -> Event {
    let error = class.filter(|_| kind == ReceiptKind::Failed).map(error);
    let receipt = Receipt { provider_id: wamid(attempt.0), attempt: None, kind, at, error, pricing: None };
    Event::Receipt { attempt, receipt: Box::new(receipt) }
}

fn error(class: Class) -> ProviderError {
    ProviderError { code: 131_000, message: "as told".to_owned(), verdict: Verdict { class, scope: Scope::Message } }
}

fn wamid(no: u16) -> ProviderId {
    ProviderId::new(&format!("wamid.{no}"))
}

/// A time is only ever corrected to an earlier one, and a message has exactly the times of how far it came.
fn check_times(before: &State, next: &State) -> Result<(), TestCaseError> {
    let times = |state: &State| [state.sent_at, state.delivered_at, state.read_at];
    for (reached, (was, is)) in (1..).zip(times(before).into_iter().zip(times(next))) {
        prop_assert!(was.is_none() || is <= was, "a time moved later");
        prop_assert!(is.is_some() == (rank(next.phase) >= reached), "{:?} at {:?}", is, next.phase);
    }
    prop_assert!(times(next).into_iter().flatten().is_sorted(), "sent, delivered, read");
    Ok(())
}

impl Life {
    /// The world after it, each step of it checked.
    fn lived(&self) -> Result<World, TestCaseError> {
        let send_at = self.send_in.map(|secs| START.after(Duration::from_secs(secs)));
        let expires_at = self.lasts.map(|secs| send_at.unwrap_or(START).after(Duration::from_secs(secs)));
        let on_unknown = self.on_unknown.map(|choice| match choice {
            OnUnknown::Resend => "RESEND",
            OnUnknown::Hold => "HOLD",
        });
        let times = [("sendAt", send_at), ("expiresAt", expires_at)];
        let times = times.into_iter().filter_map(|(name, at)| Some((name, at?.to_string())));
        let fields = times.chain(on_unknown.map(|choice| ("onUnknown", choice.to_owned())));
        let retry =
            RetryPolicy { delays: self.delays.iter().map(|secs| Duration::from_secs(*secs)).collect(), jitter: 0.1 };
        let stale_after = Duration::from_secs(self.stale_after);
        let mut world =
            World::new(&fields.collect::<Vec<_>>(), Policy { retry, stale_after, on_unknown: self.default_on_unknown });
        for Happening { wait, what, roll } in &self.happenings {
            match wait {
                Wait::Secs(secs) => world.wait(*secs),
                Wait::UntilDue => world.wait_until_due(),
            }
            world.roll = *roll;
            let event = world.event(what);
            world.step(&event)?;
        }
        Ok(world)
    }
}

/// A message in its world: a clock, the dice, and the provider that was called.
#[derive(Clone, Debug)]
struct World {
    message: Message,
    policy: Policy,
    state: State,
    now: Timestamp,
    roll: f64,
    calls: Vec<AttemptNo>,
}

impl World {
    fn new(fields: &[(&str, String)], policy: Policy) -> Self {
        let mut body =
            serde_json::json!({"to": "+1234567890", "payloadJson": {"type": "text", "text": {"body": "hi"}}});
        body.as_object_mut()
            .unwrap()
            .extend(fields.iter().map(|(name, text)| ((*name).to_owned(), text.as_str().into())));
        let new = NewMessage::parse(body.as_object().unwrap(), None, START).unwrap();
        let message = new.into_message(MessageId::from_bytes([7; 16]), "1065".parse().unwrap(), SenderNo(0), START);
        let state = State::accepted(message.send_at.unwrap_or(START), policy.retry.max_attempts(), START);
        assert_eq!(check(&state), Ok(()));
        Self { message, policy, state, now: START, roll: 0.0, calls: Vec::new() }
    }

    fn wait(&mut self, secs: u64) {
        self.now = self.now.after(Duration::from_secs(secs));
    }

    fn wait_until_due(&mut self) {
        self.now = self.state.due().map_or(self.now, |due| due.max(self.now));
    }

    fn event(&self, what: &What) -> Event {
        let made = self.state.latest().map_or(0, |no| no.0);
        let attempt = |back: u16| AttemptNo(made.checked_sub(back).unwrap_or(made + 1));
        match what {
            What::Turn => Event::Turn,
            What::Expiry => Event::Expiry,
            What::Lapse => Event::Lapse,
            What::Settled { back, outcome } => Event::Settled { attempt: attempt(*back), outcome: outcome.clone() },
            What::Receipt { back, kind, error, age } => {
                let at = Timestamp::from_millis(self.now.as_millis() - age * 1000);
                receipt(attempt(*back), *kind, at, *error)
            }
            What::Hold(secs) => {
                Event::Hold { until: self.now.after(Duration::from_secs(*secs)), wait: domain::Wait::Template }
            }
            What::Release => Event::Release,
            What::WindowClosed => Event::WindowClosed,
            What::Cancel => Event::Cancel,
            What::Requeue => Event::Requeue,
            What::Crash => Event::Crash { cause: "index out of bounds".to_owned() },
        }
    }

    fn decide(&self, event: &Event) -> Decision {
        decide(&self.message, &self.state, event, &self.policy, self.now, self.roll)
    }

    /// Takes one step and checks what must hold of every step.
    fn step(&mut self, event: &Event) -> Result<(), TestCaseError> {
        let Decision::Move(step) = self.decide(event) else { return Ok(()) };
        let (before, next) = (&self.state, &step.next);
        prop_assert_eq!(check_step(before, next), Ok(()));
        prop_assert_eq!(next.updated_at, self.now);
        if let Phase::Queued { due } = next.phase {
            prop_assert!(self.message.expires_at.is_none_or(|at| due <= at), "waits beyond its expiry");
            prop_assert!(next.attempt_count() < next.max_attempts, "waits for an attempt that it may not make");
        }
        check_times(before, next)?;
        prop_assert!(next.phase != Phase::Sent || next.attempts.iter().any(|it| it.status == AttemptStatus::Accepted));
        if let Some(no) = step.call {
            prop_assert!(!self.calls.contains(&no), "attempt {no} is called twice");
            prop_assert_eq!((before.phase.status(), next.phase.status()), (Status::Queued, Status::Sending));
            prop_assert_eq!(next.attempt(no).unwrap().status, AttemptStatus::Sending);
            prop_assert!(!self.message.is_expired(self.now), "sent after its expiry");
            prop_assert!(self.message.send_at.is_none_or(|at| at <= self.now), "sent before its time");
            self.calls.push(no);
        }
        prop_assert_eq!(next.latest(), self.calls.last().copied(), "one call for each attempt");
        prop_assert!(next.attempts.is_sorted_by(|a, b| a.no < b.no), "no number is used twice");
        prop_assert!(next.attempts.len() <= self.calls.len());
        prop_assert!(next.max_attempts == before.max_attempts || *event == Event::Requeue);
        self.state = step.next;
        Ok(())
    }

    /// The next thing that the actors would do: at its due time a turn, then the call's answer, if any, or the lapse.
    fn go_on(&mut self, answer: Option<&Outcome>) -> Result<(), TestCaseError> {
        let version = self.state.version;
        let is_open =
            |no: &AttemptNo| self.state.attempt(*no).is_some_and(|attempt| attempt.status == AttemptStatus::Sending);
        let open = self.state.latest().filter(is_open);
        match (self.state.phase, open, answer) {
            (Phase::Sending { .. }, Some(attempt), Some(outcome)) => {
                self.step(&Event::Settled { attempt, outcome: outcome.clone() })?;
            }
            (Phase::Sending { .. }, _, _) => {
                self.wait_until_due();
                self.step(&Event::Lapse)?;
            }
            (Phase::Queued { .. }, _, _) => {
                self.wait_until_due();
                self.step(&Event::Turn)?;
            }
            (Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled, _, _) => {}
        }
        prop_assert_ne!(self.state.version, version, "stuck in {:?}", self.state.phase);
        Ok(())
    }
}
