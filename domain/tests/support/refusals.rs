//! What each kind of refusal leads to, for each scope, whether an answer or a `failed` receipt reports it.

use std::time::Duration;

use domain::lifecycle::Event::SendPermit;
use domain::outcome::Class::{self, Blocked, Deferred, OptedOut, Permanent, Throttled, Transient};
use domain::outcome::Scope::{self, Account, App, Marketing, Message, Number, Pair, Recipient, Template};
use domain::state::Status::{Failed, Queued};
use domain::{AttemptStatus, Wait};

use crate::given::*;

const CLASSES: [Class; 6] = [Transient, Throttled, Blocked, Deferred, Permanent, OptedOut];
const ALL: [Scope; 8] = [Message, Recipient, Marketing, Pair, Template, Number, Account, App];

/// What becomes of a message after a refusal.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// Tried again so many seconds later, by the schedule; the attempt counts.
    Retries(u64),
    /// Waits so many seconds, or until its ProviderActor lets it go; the attempt does not count.
    Waits(Wait, u64),
    /// FAILED.
    Ends,
}
use Then::{Ends, Retries, Waits};

#[rustfmt::skip]
const TABLE: &[(Class, &[Scope], Then)] = &[
    (Transient, &ALL, Retries(MINUTE)),
    (Throttled, &[Pair, Recipient], Waits(Wait::Pair, 0)),
    (Throttled, &[Template], Waits(Wait::Template, 0)),
    (Throttled, &[Message, Marketing, Number, Account, App], Waits(Wait::Rate, 0)),
    (Blocked, &[Template], Waits(Wait::Template, 0)),
    (Blocked, &[Message, Recipient, Marketing, Pair, Number, Account, App], Waits(Wait::Sender, 0)),
    (Deferred, &ALL, Waits(Wait::Deferred, 24 * HOUR)),
    (Permanent, &ALL, Ends),
    (OptedOut, &ALL, Ends),
];

fn rows() -> impl Iterator<Item = (Class, Scope, Then)> {
    TABLE.iter().flat_map(|(class, scopes, then)| scopes.iter().map(|scope| (*class, *scope, *then)))
}

fn then(after: &Given) -> Then {
    let (state, attempt) = (&after.state, &after.state.attempts[0]);
    assert_eq!(attempt.status, AttemptStatus::Failed);
    assert_eq!((&state.failure, attempt.failure.is_some()), (&attempt.failure, true), "the last error is kept");
    assert_eq!((state.sent_at, attempt.finished_at), (None, Some(after.now)));
    let due_in = state.due().map(|due| due.since(after.now).as_secs());
    assert_eq!(attempt.next_retry_at, state.due());
    match (after.status(), due_in, attempt.charged) {
        (Queued, Some(secs), true) if state.wait == Wait::Retry => Retries(secs),
        (Queued, Some(secs), false) => Waits(state.wait, secs),
        (Failed, None, true) => Ends,
        other => panic!("{other:?}, {:?}", state.wait),
    }
}

#[test]
fn a_refusal_leads_to_the_same_in_an_answer_in_its_place_and_after_it() {
    for (class, scope, expected) in rows() {
        let refused = sending().later(5).on(refused_for(1, class, scope));
        let in_its_place = sending().later(5).on(failed_receipt_for(1, class, scope));
        let after_it = sending().later(5).on(accepted(1)).on(failed_receipt_for(1, class, scope));
        for message in [refused, in_its_place, after_it] {
            assert_eq!(then(&message), expected, "{class:?} for {scope:?}");
        }
    }
}

#[test]
fn the_refusals_have_one_row_for_every_class_and_scope() {
    for class in CLASSES {
        for scope in ALL {
            assert_eq!(rows().filter(|row| (row.0, row.1) == (class, scope)).count(), 1, "{class:?} for {scope:?}");
        }
    }
}

#[test]
fn no_refusal_lets_a_message_wait_beyond_its_expiry() {
    for (class, scope, expected) in rows() {
        let message = expiring_in(9).on(SendPermit).on(refused_for(1, class, scope));
        let due = START.after(Duration::from_secs(match expected {
            Retries(secs) | Waits(_, secs) => secs.min(9),
            Ends => continue,
        }));
        assert_eq!(message.state.due(), Some(due), "{class:?} for {scope:?}");
        assert_eq!(message.state.attempts[0].next_retry_at, Some(due));
    }
}
