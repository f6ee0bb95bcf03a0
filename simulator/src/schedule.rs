//! When the receipts of one message go out.

use std::time::Duration;

use domain::receipt::ReceiptKind;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::faults::UpTo;
use crate::matching::ReceiptPlan;

/// One receipt to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// What it says.
    pub(crate) kind: ReceiptKind,
    /// Meta's code, if it failed.
    pub(crate) error: Option<i64>,
    /// When what it says happened, counted from the answer.
    pub(crate) happens: Duration,
    /// When it is sent, counted from the answer.
    pub(crate) sent: Duration,
}

/// The receipts of a message of type `kind`, in the order in which they are sent.
pub(crate) fn schedule(kind: &str, step: Duration, plan: ReceiptPlan, dice: &mut StdRng) -> Vec<Planned> {
    if plan.lose {
        return Vec::new();
    }
    let up_to = match (plan.error, plan.up_to) {
        // What fails at once was never sent.
        (Some(_), None) => None,
        // Meta reports nothing more of a reaction.
        _ if kind == "reaction" => Some(UpTo::Sent),
        (None, None) => Some(UpTo::Read),
        (_, Some(up_to)) => Some(up_to),
    };
    let reached: &[ReceiptKind] = match up_to {
        None => &[],
        Some(UpTo::Sent) => &[ReceiptKind::Sent],
        Some(UpTo::Delivered) => &[ReceiptKind::Sent, ReceiptKind::Delivered],
        Some(UpTo::Read) => &[ReceiptKind::Sent, ReceiptKind::Delivered, ReceiptKind::Read],
    };
    let mut planned = Vec::with_capacity(4);
    let mut happens = Duration::ZERO;
    let kinds = reached.iter().map(|kind| (*kind, None));
    for (kind, error) in kinds.chain(plan.error.map(|code| (ReceiptKind::Failed, Some(code)))) {
        happens = happens.saturating_add(step);
        planned.push(Planned { kind, error, happens, sent: happens.saturating_add(plan.late) });
        if plan.double {
            let again = happens.saturating_add(plan.late).saturating_add(step);
            planned.push(Planned { kind, error, happens, sent: again });
        }
    }
    planned.sort_by_key(|receipt| receipt.sent);
    if plan.shuffle {
        shuffle(&mut planned, step, dice);
    }
    planned
}

/// Deals the receipts out to each other's times, never as they were, and adds up to a step to each.
fn shuffle(planned: &mut [Planned], step: Duration, dice: &mut StdRng) {
    let times: Vec<Duration> = planned.iter().map(|receipt| receipt.sent).collect();
    planned.shuffle(dice);
    // By kind and not by time: without a step, all happen at once.
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

    fn kinds(kind: &str, plan: ReceiptPlan, seed: u64) -> Vec<ReceiptKind> {
        let planned = schedule(kind, STEP, plan, &mut StdRng::seed_from_u64(seed));
        assert!(planned.is_sorted_by_key(|receipt| receipt.sent));
        planned.into_iter().map(|receipt| receipt.kind).collect()
    }

    #[test]
    fn a_message_is_sent_delivered_and_read_one_step_apart() {
        let planned = schedule("text", STEP, ReceiptPlan::default(), &mut StdRng::seed_from_u64(0));
        let times: Vec<_> = planned.iter().map(|receipt| (receipt.kind, receipt.happens, receipt.sent)).collect();
        let expected = [(Sent, 1), (Delivered, 2), (Read, 3)].map(|(kind, n)| (kind, STEP * n, STEP * n));
        assert_eq!(times, expected);
    }

    #[test]
    fn a_reaction_is_only_sent() {
        assert_eq!(kinds("reaction", ReceiptPlan::default(), 0), [Sent]);
    }

    #[test]
    fn a_failure_comes_alone_or_after_the_steps_that_were_asked_for() {
        let failed = ReceiptPlan { error: Some(131_026), ..ReceiptPlan::default() };
        assert_eq!(kinds("text", failed, 0), [Failed]);
        assert_eq!(kinds("text", ReceiptPlan { up_to: Some(UpTo::Sent), ..failed }, 0), [Sent, Failed]);
        assert_eq!(kinds("text", ReceiptPlan { lose: true, ..failed }, 0), []);
    }

    #[test]
    fn late_receipts_say_when_it_happened() {
        let late = ReceiptPlan { late: STEP * 100, ..ReceiptPlan::default() };
        let planned = schedule("text", STEP, late, &mut StdRng::seed_from_u64(0));
        assert_eq!((planned[0].happens, planned[0].sent), (STEP, STEP * 101));
    }

    #[test]
    fn shuffled_receipts_are_never_in_order() {
        let shuffled = ReceiptPlan { shuffle: true, ..ReceiptPlan::default() };
        for (seed, step) in (0..100).flat_map(|seed| [(seed, STEP), (seed, Duration::ZERO)]) {
            let planned = schedule("text", step, shuffled, &mut StdRng::seed_from_u64(seed));
            assert!(!planned.is_sorted_by_key(|receipt| receipt.kind) && planned.len() == 3, "{planned:?}");
            assert!(planned.is_sorted_by_key(|receipt| receipt.sent), "{planned:?}");
        }
    }
}
