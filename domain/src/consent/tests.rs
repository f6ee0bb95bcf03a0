//! What consent lets through, and what changes it.

use proptest::prelude::*;

use super::*;
use crate::audit::By;
use crate::ids::{AttemptNo, AttemptRef, MessageId};
use crate::message::Category;
use crate::time::Timestamp;
use Category::{Confirmation, Marketing, Transactional};
use Choice::{Granted, Revoked};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const NOBODY: MessageId = MessageId::from_bytes([1; 16]);

fn unknown() -> Consent {
    Consent::unknown(NOBODY, "+4915112345678".into())
}

fn api() -> Source {
    Source::Api { name: None, evidence: None }
}

fn word() -> Source {
    Source::Word { inbound: NOBODY }
}

/// Of WhatsApp's own switch, so many milliseconds after [`NOW`].
fn preference(millis: u64) -> Source {
    Source::Preference { told_at: Timestamp::from_millis(NOW.as_millis() + millis), detail: None }
}

fn opt_out() -> Source {
    Source::OptOut { attempt: AttemptRef { message: NOBODY, attempt: AttemptNo(1) } }
}

/// A statement so many milliseconds after [`NOW`].
fn said(choice: Choice, covers: Covers, millis: u64, source: Source) -> Statement {
    let at = Timestamp::from_millis(NOW.as_millis() + millis);
    Statement { choice, covers, at, recorded_at: at, by: By::System, source }
}

/// What is known after these statements, each of which tells something new; their ids are 1, 2, 3 …
fn after(statements: &[Statement]) -> Consent {
    (1..).zip(statements).fold(unknown(), |known, (record, statement)| known.after(statement, record).unwrap())
}

fn standings(known: &Consent) -> [Option<Choice>; 2] {
    [known.transactional, known.marketing].map(|standing| standing.map(|standing| standing.choice))
}

#[test]
fn what_each_policy_lets_through() {
    use ConsentPolicy::{Default, Off, Required};
    let known = |choice| after(&[said(choice, Covers::Both, 0, api())]);
    let (granted, revoked) = (known(Granted), known(Revoked));
    #[rustfmt::skip]
    let table = [
        // policy, category: nothing known, granted, revoked
        (Default, Transactional, [true, true, false]),
        (Default, Marketing, [false, true, false]),
        (Required, Transactional, [false, true, false]),
        (Required, Marketing, [false, true, false]),
        (Off, Transactional, [true, true, true]),
        (Off, Marketing, [true, true, true]),
        (Default, Confirmation, [true, true, true]),
        (Required, Confirmation, [true, true, true]),
    ];
    for (policy, category, expected) in table {
        let may_go = [None, Some(&granted), Some(&revoked)].map(|known| check(policy, category, known).is_ok());
        assert_eq!(may_go, expected, "{policy:?} {category:?}");
    }
}

#[test]
fn a_refusal_names_the_record_that_decided_and_not_the_recipient() {
    let known = after(&[said(Granted, Covers::Both, 0, api()), said(Revoked, Covers::Marketing, 1000, word())]);
    let refusal = check(ConsentPolicy::Default, Marketing, Some(&known)).unwrap_err();
    assert_eq!(refusal.revoked.map(|standing| standing.record), Some(2));
    let text = refusal.to_string();
    assert!(text.contains("MARKETING") && text.contains("record 2") && !text.contains("49151"), "{text}");
    assert_eq!(check(ConsentPolicy::Required, Transactional, None).unwrap_err().revoked, None);
    assert!(!format!("{known:?}").contains("49151"));
}

#[test]
fn a_statement_holds_for_what_it_covers() {
    let known = after(&[said(Granted, Covers::Both, 0, api()), said(Revoked, Covers::Marketing, 0, opt_out())]);
    assert_eq!(standings(&known), [Some(Granted), Some(Revoked)]);
    let known = after(&[said(Revoked, Covers::Transactional, 0, api())]);
    assert_eq!(standings(&known), [Some(Revoked), None]);
}

#[test]
fn of_two_statements_the_later_second_counts_and_within_one_the_later_to_come() {
    #[rustfmt::skip]
    let table = [
        // first, then: what holds
        ((Granted, 5_000, word()), (Revoked, 4_000, word()), Granted),
        ((Granted, 5_000, api()), (Revoked, 4_000, preference(4_000)), Granted),
        ((Granted, 5_000, api()), (Revoked, 4_999, opt_out()), Granted),
        ((Granted, 5_700, api()), (Revoked, 5_000, word()), Revoked),
        ((Revoked, 5_000, word()), (Granted, 5_000, word()), Granted),
        ((Revoked, 5_000, word()), (Granted, 6_000, preference(6_000)), Granted),
        // A client speaks of the present, whatever the clocks say.
        ((Revoked, 5_000, word()), (Granted, 1_000, api()), Granted),
    ];
    for ((first, at, source), (second, later, other), expected) in table {
        let known = after(&[said(first, Covers::Marketing, at, source)]);
        let next = known.after(&said(second, Covers::Marketing, later, other), 2).unwrap_or(known);
        assert_eq!(standings(&next), [None, Some(expected)], "{first:?} at {at}, {second:?} at {later}");
    }
}

#[test]
fn a_stop_that_is_late_for_one_category_still_holds_for_the_other() {
    let known = after(&[said(Granted, Covers::Marketing, 9_000, api()), said(Revoked, Covers::Both, 4_000, word())]);
    assert_eq!(standings(&known), [Some(Revoked), Some(Granted)]);
}

#[test]
fn a_preference_that_comes_again_tells_nothing_even_within_its_second() {
    let stop = said(Revoked, Covers::Marketing, 0, preference(0));
    let known = after(&[stop.clone(), said(Granted, Covers::Marketing, 700, api())]);
    assert_eq!(known.after(&stop, 3), None);
    let resume = said(Granted, Covers::Marketing, 1_000, preference(1_000));
    assert_eq!(after(&[stop.clone(), resume]).after(&stop, 3), None);
}

#[test]
fn within_one_second_a_repeat_of_a_resume_does_not_undo_the_stop_after_it() {
    let said_at_once = |choice| said(choice, Covers::Marketing, 0, preference(0));
    let (resume, stop) = (said_at_once(Granted), said_at_once(Revoked));
    let known = after(&[resume.clone(), stop.clone()]);
    assert_eq!(standings(&known), [None, Some(Revoked)]);
    assert_eq!([known.after(&resume, 3), known.after(&stop, 3)], [None, None]);
}

#[test]
fn a_preference_from_far_ahead_ranks_by_when_it_came_and_is_known_when_it_comes_again() {
    let far = 3_600_000;
    let ahead = said(Revoked, Covers::Marketing, 0, preference(far));
    let resume = said(Granted, Covers::Marketing, 1_000, preference(1_000));
    let known = after(&[ahead.clone(), resume.clone()]);
    assert_eq!(standings(&known), [None, Some(Granted)]);
    // Still ahead, and when its time has come.
    for later in [2_000, far, 2 * far] {
        assert_eq!(known.after(&again(&ahead, later), 3), None, "{later}");
    }
    assert_eq!(known.after(&again(&resume, 2_000), 3), None);
    // However many of them come, none is said again, but for those long forgotten.
    let many: Vec<_> =
        (0..20).map(|n| said(Revoked, Covers::Marketing, n * 1000, preference(n * 1000 + far))).collect();
    let known = after(&many);
    assert!(many.iter().rev().take(16).all(|ahead| known.after(&again(ahead, 30_000), 99).is_none()));
    assert_eq!(
        known.after(&said(Granted, Covers::Marketing, 30_000, preference(30_000)), 99).map(|known| standings(&known)),
        Some([None, Some(Granted)])
    );
}

#[test]
fn each_choice_is_confirmed_once_a_day() {
    let mut known = unknown();
    let at = |hours: u64| NOW.after(std::time::Duration::from_secs(hours * 3600));
    assert!(known.confirm(Revoked, at(0)));
    assert!(!known.confirm(Revoked, at(23)));
    assert!(known.confirm(Granted, at(23)));
    assert!(known.confirm(Revoked, at(24)));
}

prop_compose! {
    fn from_meta()(choice in any::<bool>(), secs in 0..6u64, source in 0..3usize) -> Statement {
        let choice = if choice { Granted } else { Revoked };
        let covers = if source == 0 { Covers::Both } else { Covers::Marketing };
        said(choice, covers, secs * 1000, [word(), preference(secs * 1000), opt_out()][source].clone())
    }
}

/// Between two statements that come to us.
const BETWEEN: u64 = 350;

/// What comes to us as the `n`th: of a client, or told by Meta, whose clock may be fast or the news late; with an id of its
/// own where it has one.
fn nth(n: usize, (revoked, told, source): (bool, u64, usize)) -> Statement {
    let now = n as u64 * BETWEEN;
    let choice = if revoked { Revoked } else { Granted };
    let message = MessageId::from_bytes((n as u128).to_be_bytes());
    let attempt = AttemptRef { message, attempt: AttemptNo(1) };
    match source {
        0 => said(choice, Covers::Both, now.min(told * 1000), Source::Word { inbound: message }),
        1 | 2 => said(choice, Covers::Marketing, now.min(told * 1000), preference(told * 1000)),
        5 => said(choice, Covers::Marketing, now, preference(3_600_000 + told * 1000)),
        3 => said(Revoked, Covers::Marketing, now.min(told * 1000), Source::OptOut { attempt }),
        _ => said(choice, [Covers::Both, Covers::Transactional, Covers::Marketing][n % 3], now, api()),
    }
}

/// The same statement when Meta tells it again: what lay ahead may do so no more.
fn again(statement: &Statement, millis: u64) -> Statement {
    let now = Timestamp::from_millis(NOW.as_millis() + millis);
    let at = match statement.source {
        Source::Preference { told_at, .. } => told_at.min(now),
        Source::Api { .. } | Source::Word { .. } | Source::OptOut { .. } | Source::Linked { .. } => statement.at,
    };
    Statement { at, recorded_at: now, ..statement.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_meta_told_before_changes_nothing_when_it_comes_again(
        told in prop::collection::vec((any::<bool>(), 0..6u64, 0..6usize), 1..14), later in 0..3000u64,
    ) {
        let statements: Vec<_> = told.into_iter().enumerate().map(|(n, told)| nth(n, told)).collect();
        let mut known = unknown();
        for (n, statement) in statements.iter().enumerate() {
            let later = n as u64 * BETWEEN + later;
            known = known.after(statement, n as u64 + 1).unwrap_or(known);
            for before in statements[..=n].iter().filter(|statement| !matches!(statement.source, Source::Api { .. })) {
                prop_assert_eq!(known.after(&again(before, later), 100), None, "{:?}", before);
            }
        }
    }

    #[test]
    fn what_meta_tells_in_any_order_never_goes_back_in_time(statements in prop::collection::vec(from_meta(), 0..20)) {
        let mut known = unknown();
        for (record, statement) in (1..).zip(&statements) {
            let next = known.after(statement, record).unwrap_or_else(|| known.clone());
            for (before, after) in [(known.transactional, next.transactional), (known.marketing, next.marketing)] {
                prop_assert!(before.map(|standing| standing.at) <= after.map(|standing| standing.at));
            }
            known = next;
        }
        let last = statements.iter().map(|statement| statement.at).max();
        prop_assert_eq!(known.marketing.map(|standing| standing.at), last);
    }

    #[test]
    fn nothing_revoked_goes_but_with_consent_off(category in 0..2usize, required: bool, later: bool) {
        let policy = if required { ConsentPolicy::Required } else { ConsentPolicy::Default };
        let mut said_before = vec![said(Granted, Covers::Both, 0, api())];
        said_before.extend(later.then(|| said(Revoked, Covers::Both, 1_000, word())));
        let may_go = check(policy, [Transactional, Marketing][category], Some(&after(&said_before))).is_ok();
        prop_assert_eq!(may_go, !later);
    }
}
