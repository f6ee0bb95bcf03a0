//! What must hold at the end of a play, by what clients and Meta have seen.

use std::time::Duration;

use domain::invariants::check_call;
use domain::receipt::ReceiptKind;
use domain::{AttemptStatus, MessageId, Status};

use super::meta::Told;
use super::play::{Play, Posted};
use crate::provider::Call;

/// Times are kept in milliseconds.
const ROUNDING: Duration = Duration::from_millis(2);

/// Judges every message.
pub(super) fn judge(play: &Play) {
    let calls = play.world.provider.calls();
    for call in &calls {
        has_its_intent(call);
    }
    let all = play.posted.iter().map(|posted| (posted, true)).chain(play.gone.iter().map(|gone| (gone, false)));
    for (posted, is_there) in all {
        let Some(id) = posted.id else {
            assert!(posted.is_blocked, "never accepted");
            continue;
        };
        let calls: Vec<&Call> = calls.iter().filter(|call| call.attempt.message == id).collect();
        let told: Vec<&Told> = play.told.iter().filter(|told| told.attempt.message == id).collect();
        comes_in_its_time(play, posted, &calls);
        waits_for_a_person_in_a_copy(play, posted, &calls);
        is_sent_twice_only_with_need(play, posted, &calls, &told);
        if is_there {
            stands_as_told(play, posted, id, &calls, &told);
        }
    }
    let known =
        |call: &Call| play.posted.iter().chain(&play.gone).any(|posted| posted.id == Some(call.attempt.message));
    assert!(calls.iter().all(known), "a message was sent that no client knows of");
}

/// No call before its attempt is durable.
fn has_its_intent(call: &Call) {
    let stored = call.stored.as_ref().expect("a call for a message that is not stored");
    assert_eq!(check_call(stored, call.attempt.attempt), Ok(()), "{}: {stored:?}", call.attempt);
}

/// Not before its time nor after its end, not when it was cancelled, not to whom it must not go.
fn comes_in_its_time(play: &Play, posted: &Posted, calls: &[&Call]) {
    let revoked = play.revoked.get(&(posted.org.clone(), posted.recipient));
    for Call { at, attempt, .. } in calls {
        assert!(posted.send_at.is_none_or(|send| *at + ROUNDING >= send), "{attempt} at {at:?}: before its time");
        assert!(posted.expires_at.is_none_or(|end| *at <= end + ROUNDING), "{attempt} at {at:?}: it had expired");
        assert!(posted.cancelled.is_none_or(|cancelled| *at <= cancelled), "{attempt} at {at:?}: it was cancelled");
        assert!(revoked.is_none_or(|revoked| at <= revoked), "{attempt} at {at:?}: consent was revoked");
    }
}

/// What the original may have sent goes from a copy only once a person has asked for it.
fn waits_for_a_person_in_a_copy(play: &Play, posted: &Posted, calls: &[&Call]) {
    for copied in &posted.copied {
        for Call { at, attempt, .. } in calls.iter().filter(|call| call.at >= *copied) {
            assert!(is_asked(play, posted, *copied, *at), "{attempt} at {at:?} from a copy of {copied:?}");
        }
    }
}

/// Whether a person asked for it between `from` and `to`: for it alone, or for all of which a copy did not know.
fn is_asked(play: &Play, posted: &Posted, from: Duration, to: Duration) -> bool {
    let between = |at: &Duration| (from..=to).contains(at);
    let released = play.released.iter().filter(|(org, at)| *org == posted.org && between(at));
    let is_of_copy = |at: &Duration| posted.copied.iter().any(|copied| from <= *copied && copied <= at);
    posted.retried.iter().any(between) || released.into_iter().any(|(_, at)| is_of_copy(at))
}

/// A second time only when a person asked, when Meta reported that the first failed, or when it was not known to be taken:
/// without an answer, and without a receipt for as long as `stale_after`.
fn is_sent_twice_only_with_need(play: &Play, posted: &Posted, calls: &[&Call], told: &[&Told]) {
    let taken: Vec<&&Call> = calls.iter().filter(|call| call.is_taken()).collect();
    for (first, again) in taken.iter().zip(taken.iter().skip(1)) {
        let of_first = || told.iter().filter(|told| told.attempt == first.attempt);
        // It may be on record although the 200 never came.
        let is_told = |told: &&Told| told.first_told.is_some_and(|at| at <= again.at);
        let has_failed = of_first().any(|told| is_told(told) && told.receipt.kind == ReceiptKind::Failed);
        if is_asked(play, posted, first.at, again.at) || has_failed {
            continue;
        }
        let after = again.at - first.at;
        let what = format!("{} is sent again as {} after {after:?}", first.attempt, again.attempt);
        assert!(!posted.holds, "{what}: it was to be held");
        assert!(after + ROUNDING >= play.world.settings.policy.stale_after, "{what}: too soon");
        let has_come =
            of_first().any(|told| told.is_named() && !told.is_lost && told.at.is_some_and(|at| at < again.at));
        assert!(!has_come, "{what}: a receipt had come");
        let stored = again.stored.as_ref().and_then(|state| state.attempt(first.attempt.attempt));
        assert!(stored.is_some_and(|attempt| attempt.status == AttemptStatus::Unknown), "{what}: {stored:?}");
    }
}

/// Where it stands is what Meta told of it.
fn stands_as_told(play: &Play, posted: &Posted, id: MessageId, calls: &[&Call], told: &[&Told]) {
    let state = play.world.state(&posted.org, id);
    let status = state.phase.status();
    let best = |of: &dyn Fn(&Told) -> bool| {
        let kinds = told.iter().filter(|told| of(told)).map(|told| match told.receipt.kind {
            ReceiptKind::Read => 2,
            ReceiptKind::Delivered => 1,
            ReceiptKind::Sent | ReceiptKind::Failed => 0,
        });
        kinds.max().unwrap_or(0)
    };
    let reached = match status {
        Status::Read => 2,
        Status::Delivered => 1,
        Status::Queued | Status::Sending | Status::Sent | Status::Failed | Status::Cancelled => 0,
    };
    assert!(told.iter().all(|told| told.at.is_some()), "{id}: a receipt was never taken");
    // One without a name finds its message only if the answer was recorded.
    let (least, most) = (best(&|told| told.is_named() && !told.is_lost), best(&|_| true));
    assert!((least..=most).contains(&reached), "{id} is {status}, told {least} to {most}");
    match status {
        Status::Queued | Status::Sending => panic!("{id} is {status}"),
        Status::Sent => assert!(calls.iter().any(|call| call.is_taken()), "{id} is SENT, and was not taken"),
        Status::Cancelled => assert!(posted.is_unwanted, "{id} is CANCELLED, and nobody asked for it"),
        Status::Delivered | Status::Read | Status::Failed => {}
    }
}
