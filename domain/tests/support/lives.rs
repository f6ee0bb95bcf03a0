//! What may happen to a message, in any order and at any time.

use std::time::Duration;

use domain::lifecycle::{Event, Policy};
use domain::outcome::{Class, Outcome, ProviderError, Scope, Verdict};
use domain::receipt::{Receipt, ReceiptKind};
use domain::retry::RetryPolicy;
use domain::{AttemptNo, Failure, OnUnknown, OurCode, ProviderId, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::world::{START, World};

pub(crate) const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

/// A message, the settings and what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Life {
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
pub(crate) enum What {
    SendPermit,
    Expiry,
    OutcomeTimeout,
    Settled { back: u16, outcome: Outcome },
    Receipt { back: u16, kind: ReceiptKind, error: Option<Verdict>, age: u64 },
    Postpone { secs: u64, wait: domain::Wait },
    DueNow,
    Restored,
    WindowClosed,
    ConsentDenied,
    Cancel,
    Requeue,
    Crash,
}

pub(crate) fn lives() -> impl Strategy<Value = Life> {
    let on_unknown = || select(&[OnUnknown::Resend, OnUnknown::Hold]);
    let lasts = prop_oneof![3 => 1..30 * MINUTE, 1 => 1..3 * DAY];
    let message = (option::of(0..10 * MINUTE), option::of(lasts), option::of(on_unknown()));
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
    let receipt = (0..4u16, kinds(), option::of(verdicts()), 0..MINUTE);
    let what = prop_oneof![
        8 => Just(What::SendPermit),
        1 => Just(What::Expiry),
        3 => Just(What::OutcomeTimeout),
        6 => (0..4u16, outcomes()).prop_map(|(back, outcome)| What::Settled { back, outcome }),
        4 => receipt.prop_map(|(back, kind, error, age)| What::Receipt { back, kind, error, age }),
        2 => (0..2 * DAY, waits()).prop_map(|(secs, wait)| What::Postpone { secs, wait }),
        2 => Just(What::DueNow),
        1 => Just(What::Restored),
        1 => Just(What::WindowClosed),
        1 => Just(What::ConsentDenied),
        1 => Just(What::Cancel),
        2 => Just(What::Requeue),
        1 => Just(What::Crash),
    ];
    (wait, what, 0.0..1.0).prop_map(|(wait, what, roll)| Happening { wait, what, roll })
}

pub(crate) fn outcomes() -> impl Strategy<Value = Outcome> {
    let cut_off = Outcome::CutOff(Failure::new(OurCode::CutOff, "the service stopped before the answer came"));
    let unreachable = Outcome::Unreachable(Failure::new(OurCode::ConnectFailed, "the connection was refused"));
    prop_oneof![2 => postponements(), 4 => other_outcomes(), 1 => Just(cut_off), 1 => Just(unreachable)]
}

/// Refusals that are no fault of the message: it waits for a repair, however often they come.
pub(crate) fn postponements() -> impl Strategy<Value = Outcome> {
    verdicts_of(&[Class::Throttled, Class::Blocked]).prop_map(|verdict| Outcome::Refused(error(verdict)))
}

pub(crate) fn other_outcomes() -> impl Strategy<Value = Outcome> {
    let verdicts = verdicts_of(&[Class::Transient, Class::Deferred, Class::Permanent, Class::OptedOut]);
    prop_oneof![
        1 => Just(Outcome::Accepted(wamid(0))),
        2 => verdicts.prop_map(|verdict| Outcome::Refused(error(verdict))),
        1 => Just(Outcome::NotSent(Failure::new(OurCode::ConnectionClosed, "the connection was refused"))),
        1 => Just(Outcome::Unknown(Failure::new(OurCode::NoAnswer, "the answer did not come in time"))),
    ]
}

pub(crate) fn verdicts() -> impl Strategy<Value = Verdict> {
    use Class::{Blocked, Deferred, OptedOut, Permanent, Throttled, Transient};
    verdicts_of(&[Transient, Throttled, Blocked, Deferred, Permanent, OptedOut])
}

fn verdicts_of(classes: &'static [Class]) -> impl Strategy<Value = Verdict> {
    (select(classes), scopes()).prop_map(|(class, scope)| Verdict { class, scope })
}

fn scopes() -> impl Strategy<Value = Scope> {
    use Scope::{Account, App, Marketing, Message, Number, Pair, Recipient, Template};
    select(&[Message, Recipient, Marketing, Pair, Template, Number, Account, App])
}

fn waits() -> impl Strategy<Value = domain::Wait> {
    use domain::Wait::{DailyQuota, Pair, Rate, RecipientQuota, Sender, Template};
    select(&[Pair, Rate, Sender, Template, DailyQuota, RecipientQuota])
}

pub(crate) fn kinds() -> impl Strategy<Value = ReceiptKind> {
    select(&[ReceiptKind::Sent, ReceiptKind::Delivered, ReceiptKind::Read, ReceiptKind::Failed])
}

pub(crate) fn receipt(attempt: AttemptNo, kind: ReceiptKind, at: Timestamp, verdict: Option<Verdict>) -> Event {
    let error = verdict.filter(|_| kind == ReceiptKind::Failed).map(error);
    let receipt = Receipt { provider_id: wamid(attempt.0), attempt: None, kind, at, error, pricing: None };
    Event::Receipt { attempt, receipt: Box::new(receipt) }
}

fn error(verdict: Verdict) -> ProviderError {
    ProviderError { code: 131_000, message: "as told".to_owned(), verdict }
}

pub(crate) fn wamid(no: u16) -> ProviderId {
    ProviderId::new(&format!("wamid.{no}"))
}

impl Life {
    /// The world after it, each step of it checked.
    pub(crate) fn lived(&self) -> Result<World, TestCaseError> {
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
