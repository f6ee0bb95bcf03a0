//! Decides which faults apply to a request.

use std::collections::HashMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::checks::Parsed;
use crate::errors::Refusal;
use crate::faults::{Fault, Faults, Rule, UpTo};

/// At most one rule of each family applies to a request; see [`Faults`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Delay,
    Throttle,
    Answer,
    ReceiptError,
    Receipts,
}

const fn family(fault: &Fault) -> Family {
    match fault {
        Fault::Delay { .. } => Family::Delay,
        Fault::Throttle { .. } => Family::Throttle,
        Fault::Error { .. }
        | Fault::DropBefore {}
        | Fault::DropAfter {}
        | Fault::NotJson { .. }
        | Fault::NoEnvelope { .. } => Family::Answer,
        Fault::ReceiptError { .. } => Family::ReceiptError,
        Fault::Receipts { .. } => Family::Receipts,
    }
}

/// How a call is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallPlan {
    /// How long the answer is delayed.
    pub(crate) delay: Duration,
    /// Whether the message is accepted.
    pub(crate) accept: bool,
    /// What the caller sees.
    pub(crate) answer: Answer,
}

/// What the caller sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Meta's answer for an accepted message.
    Success,
    /// Meta's error envelope.
    Error(Refusal),
    /// No answer: the connection is closed.
    Nothing,
    /// Status 200 with a body that is not JSON.
    NotJson,
    /// This status without Meta's envelope.
    NoEnvelope(u16),
}

/// What goes wrong with the receipts of a message; by default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReceiptPlan {
    /// The message fails with this code.
    pub(crate) error: Option<i64>,
    /// How long the receipts are delayed.
    pub(crate) late: Duration,
    /// Whether each comes twice.
    pub(crate) double: bool,
    /// Whether they come in a wrong order.
    pub(crate) shuffle: bool,
    /// Whether none comes.
    pub(crate) lose: bool,
    /// Whether they omit `biz_opaque_callback_data`.
    pub(crate) no_opaque: bool,
    /// The last status that is reported.
    pub(crate) up_to: Option<UpTo>,
}

/// The rules, how often each may still apply, and the random generator.
#[derive(Debug)]
pub(crate) struct Matcher {
    rules: Vec<ActiveRule>,
    dice: StdRng,
}

#[derive(Debug)]
struct ActiveRule {
    rule: Rule,
    family: Family,
    digits: Option<String>,
    left: u64,
    /// The token bucket of each phone number id.
    buckets: HashMap<String, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    level: f64,
    at: Instant,
}

impl Matcher {
    /// A matcher for these faults.
    pub(crate) fn new(faults: Faults, seed: u64) -> Self {
        let mut matcher = Self { rules: Vec::new(), dice: StdRng::seed_from_u64(seed) };
        matcher.set(faults);
        matcher
    }

    /// Replaces the rules. The random generator does not start again.
    pub(crate) fn set(&mut self, faults: Faults) {
        self.rules = faults.rules.into_iter().map(ActiveRule::new).collect();
    }

    /// The rules as they were given.
    pub(crate) fn faults(&self) -> Faults {
        Faults { rules: self.rules.iter().map(|active| active.rule.clone()).collect() }
    }

    /// The random generator, for the other random choices about a message.
    pub(crate) const fn dice(&mut self) -> &mut StdRng {
        &mut self.dice
    }

    /// Decides how a call is answered.
    pub(crate) fn call(&mut self, request: &Parsed, now: Instant) -> CallPlan {
        let delay = match self.apply(Family::Delay, request) {
            Some(Fault::Delay { ms }) => Duration::from_millis(ms),
            Some(_) | None => Duration::ZERO,
        };
        let throttled = self.first(Family::Throttle, request).and_then(|active| active.throttle(request, now));
        if let Some(refusal) = throttled {
            return CallPlan { delay, accept: false, answer: Answer::Error(refusal) };
        }
        let (accept, answer) = match self.apply(Family::Answer, request) {
            Some(Fault::Error { code, subcode, http_status, accept }) => {
                let usual = Refusal::new(code).with_subcode(subcode, &request.phone_number_id);
                let http_status = http_status.unwrap_or(usual.http_status);
                (accept, Answer::Error(Refusal { http_status, ..usual }))
            }
            Some(Fault::DropBefore {}) => (false, Answer::Nothing),
            Some(Fault::DropAfter {}) => (true, Answer::Nothing),
            Some(Fault::NotJson { accept }) => (accept, Answer::NotJson),
            Some(Fault::NoEnvelope { status, accept }) => (accept, Answer::NoEnvelope(status)),
            Some(
                Fault::ReceiptError { .. } | Fault::Throttle { .. } | Fault::Delay { .. } | Fault::Receipts { .. },
            )
            | None => (true, Answer::Success),
        };
        CallPlan { delay, accept, answer }
    }

    /// Decides what goes wrong with the receipts of an accepted message.
    pub(crate) fn receipts(&mut self, request: &Parsed) -> ReceiptPlan {
        let error = match self.apply(Family::ReceiptError, request) {
            Some(Fault::ReceiptError { code }) => Some(code),
            Some(_) | None => None,
        };
        match self.apply(Family::Receipts, request) {
            Some(Fault::Receipts { late_ms, double, shuffle, lose, no_opaque, up_to }) => {
                let late = Duration::from_millis(late_ms);
                ReceiptPlan { error, late, double, shuffle, lose, no_opaque, up_to }
            }
            Some(_) | None => ReceiptPlan { error, ..ReceiptPlan::default() },
        }
    }

    /// The first rule of a family that applies. This does not use up its count.
    fn first(&mut self, family: Family, request: &Parsed) -> Option<&mut ActiveRule> {
        let Self { rules, dice } = self;
        rules.iter_mut().find(|active| active.family == family && active.applies(request, dice))
    }

    fn apply(&mut self, family: Family, request: &Parsed) -> Option<Fault> {
        self.first(family, request).map(|active| {
            active.spend();
            active.rule.fault.clone()
        })
    }
}

impl ActiveRule {
    fn new(rule: Rule) -> Self {
        let digits = rule.to.as_ref().map(|to| to.chars().filter(char::is_ascii_digit).collect());
        let left = rule.count.unwrap_or(u64::MAX);
        Self { family: family(&rule.fault), digits, left, buckets: HashMap::new(), rule }
    }

    fn applies(&self, request: &Parsed, dice: &mut StdRng) -> bool {
        self.left > 0
            && self.digits.as_ref().is_none_or(|digits| *digits == request.wa_id)
            && self.rule.phone_number_id.as_ref().is_none_or(|id| *id == request.phone_number_id)
            && self.rule.share.is_none_or(|share| dice.random::<f64>() < share)
    }

    const fn spend(&mut self) {
        if self.rule.count.is_some() {
            self.left = self.left.saturating_sub(1);
        }
    }

    /// Refuses the request if the sender's token bucket is empty.
    fn throttle(&mut self, request: &Parsed, now: Instant) -> Option<Refusal> {
        let Fault::Throttle { per_second, code } = self.rule.fault else { return None };
        let most = if per_second > 0.0 { per_second.max(1.0) } else { 0.0 };
        let bucket =
            self.buckets.entry(request.phone_number_id.clone()).or_insert_with(|| Bucket { level: most, at: now });
        let refill = now.saturating_duration_since(bucket.at).as_secs_f64() * per_second;
        *bucket = Bucket { level: (bucket.level + refill).min(most), at: now };
        if bucket.level >= 1.0 {
            bucket.level -= 1.0;
            return None;
        }
        self.spend();
        Some(Refusal::new(code))
    }
}
