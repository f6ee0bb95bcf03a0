//! What is known of recipients' consent, and what they said.

use domain::consent::{Choice, Consent, Covers, Source, Statement};

use super::*;

pub(super) fn run(open: &mut dyn FnMut() -> Arc<dyn Backend>) {
    a_consent_is_found_by_every_spelling_and_its_history_is_paged(&Store::new(open()));
    all_consents_are_listed_once(&Store::new(open()));
    purging_takes_consents_along(&Store::new(open()));
}

/// The recipient says it, at the second of its number.
fn say(store: &Store, org: OrgNo, recipient: &str, record: u64, choice: Choice) -> Consent {
    let at = Timestamp::from_secs(record);
    let source = Source::Api { name: Some("test".into()), evidence: Some(b"\"proof\"".to_vec()) };
    let statement = Statement { choice, covers: Covers::Both, at, recorded_at: at, by: By::Admin, source };
    let known = store.consent(org, recipient).unwrap();
    let known = known.unwrap_or_else(|| Consent::unknown(MessageId::from_bytes([9; 16]), recipient.into()));
    let known = known.after(&statement, record).unwrap();
    let mut step = Commit::new(org, EPOCH);
    step.statement(&known, record, &statement).unwrap();
    commit(store, step).unwrap();
    known
}

fn a_consent_is_found_by_every_spelling_and_its_history_is_paged(store: &Store) {
    let org = OrgNo(50);
    let (short, long) = ("+525512345678", "+5215512345678");
    assert_eq!(store.consent(org, short).unwrap(), None);
    for record in [3, 4, 8] {
        let choice = if record == 4 { Choice::Revoked } else { Choice::Granted };
        let known = say(store, org, short, record, choice);
        for name in [short, long] {
            assert_eq!(store.consent(org, name).unwrap().as_ref(), Some(&known));
        }
    }
    say(store, org, "US.42", 5, Choice::Revoked);
    assert_eq!(store.consent(OTHER, short).unwrap(), None);
    let page = |name, before| {
        let page = store.statements(org, name, before, 2).unwrap();
        (page.items.into_iter().map(|(record, said)| (record, said.choice)).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(page(long, None), (vec![(8, Choice::Granted), (4, Choice::Revoked)], Some(4)));
    assert_eq!(page(short, Some(4)), (vec![(3, Choice::Granted)], None));
    assert_eq!(page("US.42", None), (vec![(5, Choice::Revoked)], None));
    assert!(store.statements(OTHER, short, None, 9).unwrap().items.is_empty());
}

fn all_consents_are_listed_once(store: &Store) {
    let org = OrgNo(51);
    let recipient = |n: u64| format!("+4915100000{n:03}");
    for n in 1..=7 {
        say(store, org, &recipient(n), n, Choice::Granted);
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.consents(org, after, 3).unwrap();
        assert!(page.items.len() <= 3);
        found.extend(page.items.into_iter().map(|known| known.recipient));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    found.sort();
    assert_eq!(found, (1..=7).map(recipient).collect::<Vec<_>>());
    assert!(store.consents(org, None, 7).unwrap().next.is_none(), "a page that holds all is the last");
    assert!(store.consents(OTHER, None, 7).unwrap().items.is_empty());
}

fn purging_takes_consents_along(store: &Store) {
    let org = OrgNo(52);
    say(store, org, "+4915100000001", 1, Choice::Granted);
    let mut step = Commit::new(org, EPOCH);
    step.purge(store.data_keys(org, 1000).unwrap());
    commit(store, step).unwrap();
    assert_eq!(store.consent(org, "+4915100000001").unwrap(), None);
    assert!(store.statements(org, "+4915100000001", None, 9).unwrap().items.is_empty());
}
