//! Whatever happens to a message, in whatever order and at whatever time: what holds all the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[path = "support/lives.rs"]
mod lives;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use domain::lifecycle::{Decision, Event, Ignored, Policy};
use domain::outcome::Outcome;
use domain::receipt::ReceiptKind;
use domain::retry::RetryPolicy;
use domain::{AttemptNo, AttemptStatus, FailureCode, OnUnknown, OurCode, Phase, State, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use lives::{MINUTE, kinds, lives, other_outcomes, postponements, receipt, verdicts, wamid};
use world::{START, World};

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
    fn from_wherever_it_got_every_message_that_is_not_held_ends(
        life in lives(),
        answer in option::of(other_outcomes()),
    ) {
        let mut world = life.lived()?;
        // Each attempt that is left takes at most its permit, its answer and its timeout; the open one, the latter two; one
        // more that Meta defers takes a permit and an answer and is not charged.
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
                let code = &world.state.failure.as_ref().unwrap().code;
                let is_over = matches!(code, FailureCode::Ours(OurCode::Expired | OurCode::OutcomeUnknown));
                prop_assert!(is_over, "{code}");
            }
        }
    }

    #[test]
    fn from_wherever_it_got_a_message_waits_without_charge_until_what_holds_it_is_repaired(
        life in lives(),
        answers in vec(postponements(), 1..=20),
    ) {
        let mut world = life.lived()?;
        let unnamed = |state: &State| state.attempts.iter().filter(|it| it.is_forgettable()).count();
        let (charged, spared) = (world.state.attempt_count(), unnamed(&world.state));
        for answer in &answers {
            world.go_on_until_answered(answer)?;
        }
        prop_assert!(world.state.attempt_count() <= charged);
        prop_assert!(unnamed(&world.state) <= spared + 1, "one refusal tells enough");
        if let Phase::Queued { .. } = world.state.phase {
            world.go_on_until_answered(&Outcome::Accepted(wamid(0)))?;
            let code = world.state.failure.as_ref().map(|failure| &failure.code);
            prop_assert!(world.state.phase == Phase::Sent || code == Some(&FailureCode::Ours(OurCode::Expired)));
        }
    }

    #[test]
    fn a_receipt_that_has_come_before_changes_nothing(life in lives(), kind in kinds(), error in verdicts()) {
        let mut world = life.lived()?;
        for attempt in world.state.attempts.clone() {
            let told = |at, error| {
                let mut event = receipt(attempt.no, kind, at, error);
                if let (Event::Receipt { receipt, .. }, Some(known)) = (&mut event, &attempt.provider_id) {
                    receipt.provider_id = known.clone();
                }
                event
            };
            world.step(&told(world.now, Some(error)))?;
            world.wait(MINUTE);
            let again = told(world.now, None);
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
    world.step(&Event::SendPermit)?;
    if is_answered {
        world.step(&Event::Settled { attempt: AttemptNo(1), outcome: Outcome::Accepted(wamid(1)), wait: None })?;
    }
    for kind in proofs {
        world.wait(MINUTE);
        world.step(&receipt(AttemptNo(1), *kind, proved_at(*kind), None))?;
    }
    Ok(world.state)
}
