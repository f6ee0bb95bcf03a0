//! Plans which receipts a message gets, and when each is sent.

use std::time::Duration;

use domain::receipt::ReceiptKind;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::faults::UpTo;
use crate::matching::ReceiptPlan;

/// A receipt that is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// What it reports.
    pub(crate) kind: ReceiptKind,
    /// Whether it reports a voice message as `played`.
    pub(crate) played: bool,
    /// Meta's error code, if the message failed.
    pub(crate) error: Option<i64>,
    /// When the reported event happens, counted from the answer.
    pub(crate) happens: Duration,
    /// When the receipt is sent, counted from the answer.
    pub(crate) sent: Duration,
}

/// How far a message gets if nothing goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The last status that Meta reports for a reaction.
    Sent,
    Delivered,
    Read,
    /// The last status of a voice message.
    Played,
}

const STAGES: [(Stage, ReceiptKind); 4] = [
    (Stage::Sent, ReceiptKind::Sent),
    (Stage::Delivered, ReceiptKind::Delivered),
    (Stage::Read, ReceiptKind::Read),
    (Stage::Played, ReceiptKind::Read),
];

impl From<UpTo> for Stage {
    fn from(up_to: UpTo) -> Self {
        match up_to {
            UpTo::Sent => Self::Sent,
            UpTo::Delivered => Self::Delivered,
            UpTo::Read => Self::Read,
        }
    }
}

/// The receipts of a message that gets as far as `most`, in the order in which they are sent.
pub(crate) fn schedule(most: Stage, step: Duration, plan: ReceiptPlan, dice: &mut StdRng) -> Vec<Planned> {
    if plan.lose {
        return Vec::new();
    }
    let last = match (plan.error, plan.up_to) {
        // A message that fails at once was never sent.
        (Some(_), None) => None,
        (None, None) => Some(most),
        (_, Some(up_to)) => Some(most.min(up_to.into())),
    };
    let mut planned = Vec::with_capacity(4);
    let mut happens = Duration::ZERO;
    let reached = STAGES.into_iter().filter(|(stage, _)| last.is_some_and(|last| *stage <= last));
    let reached = reached.map(|(stage, kind)| (kind, stage == Stage::Played, None));
    for (kind, played, error) in reached.chain(plan.error.map(|code| (ReceiptKind::Failed, false, Some(code)))) {
        happens = happens.saturating_add(step);
        planned.push(Planned { kind, played, error, happens, sent: happens.saturating_add(plan.late) });
        if plan.double {
            let again = happens.saturating_add(plan.late).saturating_add(step);
            planned.push(Planned { kind, played, error, happens, sent: again });
        }
    }
    planned.sort_by_key(|receipt| receipt.sent);
    if plan.shuffle {
        shuffle(&mut planned, step, dice);
    }
    planned
}

/// Permutes the send times among the receipts so that the order changes, and adds up to one step to each.
fn shuffle(planned: &mut [Planned], step: Duration, dice: &mut StdRng) {
    let times: Vec<Duration> = planned.iter().map(|receipt| receipt.sent).collect();
    planned.shuffle(dice);
    // Compared by kind, not by time: without a step, all happen at once.
    if planned.is_sorted_by_key(|receipt| receipt.kind) {
        planned.reverse();
    }
    for (receipt, time) in planned.iter_mut().zip(times) {
        receipt.sent = time.saturating_add(step.mul_f64(dice.random()));
    }
    planned.sort_by_key(|receipt| receipt.sent);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ReceiptKind::{Delivered, Failed, Read, Sent};
    use rand::SeedableRng;

    const STEP: Duration = Duration::from_millis(10);

    fn kinds(most: Stage, plan: ReceiptPlan, seed: u64) -> Vec<ReceiptKind> {
        let planned = schedule(most, STEP, plan, &mut StdRng::seed_from_u64(seed));
        assert!(planned.is_sorted_by_key(|receipt| receipt.sent));
        planned.into_iter().map(|receipt| receipt.kind).collect()
    }

    #[test]
    fn a_message_is_sent_delivered_and_read_one_step_apart() {
        let planned = schedule(Stage::Read, STEP, ReceiptPlan::default(), &mut StdRng::seed_from_u64(0));
        let times: Vec<_> = planned.iter().map(|receipt| (receipt.kind, receipt.happens, receipt.sent)).collect();
        let expected = [(Sent, 1), (Delivered, 2), (Read, 3)].map(|(kind, n)| (kind, STEP * n, STEP * n));
        assert_eq!(times, expected);
    }

    #[test]
    fn a_reaction_is_only_sent() {
        assert_eq!(kinds(Stage::Sent, ReceiptPlan::default(), 0), [Sent]);
    }

    #[test]
    fn a_voice_message_is_played_after_it_was_read() {
        let planned = schedule(Stage::Played, STEP, ReceiptPlan::default(), &mut StdRng::seed_from_u64(0));
        let told: Vec<_> = planned.iter().map(|receipt| (receipt.kind, receipt.played)).collect();
        assert_eq!(told, [(Sent, false), (Delivered, false), (Read, false), (Read, true)]);
        let read = ReceiptPlan { up_to: Some(UpTo::Read), ..ReceiptPlan::default() };
        assert_eq!(kinds(Stage::Played, read, 0), [Sent, Delivered, Read]);
    }

    #[test]
    fn a_failure_comes_alone_or_after_the_steps_that_were_asked_for() {
        let failed = ReceiptPlan { error: Some(131_026), ..ReceiptPlan::default() };
        assert_eq!(kinds(Stage::Read, failed, 0), [Failed]);
        assert_eq!(kinds(Stage::Read, ReceiptPlan { up_to: Some(UpTo::Sent), ..failed }, 0), [Sent, Failed]);
        assert_eq!(kinds(Stage::Read, ReceiptPlan { lose: true, ..failed }, 0), []);
    }

    #[test]
    fn late_receipts_say_when_it_happened() {
        let late = ReceiptPlan { late: STEP * 100, ..ReceiptPlan::default() };
        let planned = schedule(Stage::Read, STEP, late, &mut StdRng::seed_from_u64(0));
        assert_eq!((planned[0].happens, planned[0].sent), (STEP, STEP * 101));
    }

    #[test]
    fn shuffled_receipts_are_never_in_order() {
        let shuffled = ReceiptPlan { shuffle: true, ..ReceiptPlan::default() };
        for (seed, step) in (0..100).flat_map(|seed| [(seed, STEP), (seed, Duration::ZERO)]) {
            let planned = schedule(Stage::Read, step, shuffled, &mut StdRng::seed_from_u64(seed));
            assert!(!planned.is_sorted_by_key(|receipt| receipt.kind) && planned.len() == 3, "{planned:?}");
            assert!(planned.is_sorted_by_key(|receipt| receipt.sent), "{planned:?}");
        }
    }
}
