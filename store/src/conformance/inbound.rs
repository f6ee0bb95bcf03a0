//! What recipients write, the windows that it opens, and messages that expire.

use domain::{Inbound, PhoneNumberId};

use super::*;

pub(super) fn run(open: &mut dyn FnMut() -> Arc<dyn Backend>) {
    an_inbound_message_is_found_by_all_its_indexes(&Store::new(open()));
    a_long_inbound_message_comes_back_whole_and_counts_once(&Store::new(open()));
    inbound_messages_are_listed_newest_first_and_paged(&Store::new(open()));
    a_window_never_goes_back(&Store::new(open()));
    a_number_is_one_however_it_is_spelt(&Store::new(open()));
    the_expiry_index_holds_the_unfinished(&Store::new(open()));
    purging_takes_inbound_messages_along(&Store::new(open()));
}

/// The `n`th inbound message, written at second `n`.
fn inbound(n: u8) -> Inbound {
    let mut id = [0; 16];
    id[0] = n;
    Inbound {
        id: MessageId::from_bytes(id),
        provider_id: ProviderId::new(&format!("wamid.in-{n}")),
        sender: "1065".parse().unwrap(),
        sender_no: SenderNo(1),
        from: Some(format!("+4915100000{:03}", n % 2).parse().unwrap()),
        user_id: None,
        kind: "text".into(),
        opens_window: true,
        payload: br#"{"type":"text","text":{"body":"hi"}}"#.as_slice().into(),
        at: Timestamp::from_secs(n.into()),
        received_at: Timestamp::from_secs(1000),
    }
}

fn receive(store: &Store, org: OrgNo, inbound: &Inbound) {
    let mut step = Commit::new(org, EPOCH);
    step.received(inbound).unwrap();
    commit(store, step).unwrap();
}

fn page(store: &Store, org: OrgNo, from: Option<&str>) -> Vec<u8> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = store.inbound_page(org, from, before, 3).unwrap();
        assert!(page.items.len() <= 3);
        found.extend(page.items.iter().map(|inbound| inbound.id.as_bytes()[0]));
        before = page.next;
        if before.is_none() {
            return found;
        }
    }
}

fn an_inbound_message_is_found_by_all_its_indexes(store: &Store) {
    let org = OrgNo(40);
    let both = Inbound { user_id: Some("US.42".into()), ..inbound(1) };
    let hidden = Inbound { from: None, user_id: Some("US.43".into()), ..inbound(2) };
    let system = Inbound { opens_window: false, ..inbound(4) };
    for inbound in [&both, &hidden, &system] {
        receive(store, org, inbound);
        assert_eq!(store.inbound(org, inbound.id).unwrap().as_ref(), Some(inbound));
        let id = |org, sender: &PhoneNumberId| store.inbound_id(org, sender, &inbound.provider_id).unwrap();
        assert_eq!(id(org, &inbound.sender), Some(inbound.id));
        assert_eq!((id(OTHER, &inbound.sender), id(org, &"2077".parse().unwrap())), (None, None));
    }
    let last = |org, sender, to| store.last_inbound(org, SenderNo(sender), to).unwrap();
    for (name, at) in [("+4915100000001", Some(both.at)), ("US.42", Some(both.at)), ("US.43", Some(hidden.at))] {
        assert_eq!((last(org, 1, name), last(org, 2, name), last(OTHER, 1, name)), (at, None, None), "{name}");
        assert_eq!(page(store, org, Some(name)).len(), 1, "{name}");
    }
    assert_eq!(last(org, 1, "+4915100000000"), None, "it was none that opens the window");
    assert_eq!(page(store, org, None), [4, 2, 1]);
    assert!(page(store, OTHER, None).is_empty());
}

fn a_long_inbound_message_comes_back_whole_and_counts_once(store: &Store) {
    let org = OrgNo(41);
    let long = Inbound { payload: (0..900_000u32).map(|n| n.to_be_bytes()[3]).collect(), ..inbound(2) };
    for inbound in [&inbound(1), &long, &inbound(3)] {
        receive(store, org, inbound);
    }
    assert!(store.inbound(org, long.id).unwrap().unwrap() == long);
    assert_eq!(page(store, org, None), [3, 2, 1]);
    assert_eq!(store.inbound_page(org, None, Some(long.id), 9).unwrap().items, [inbound(1)]);
}

fn inbound_messages_are_listed_newest_first_and_paged(store: &Store) {
    let org = OrgNo(42);
    for n in 1..=6 {
        receive(store, org, &inbound(n));
    }
    assert_eq!(page(store, org, None), [6, 5, 4, 3, 2, 1]);
    assert_eq!(page(store, org, Some("+4915100000001")), [5, 3, 1]);
    assert!(page(store, org, Some("+4915100000002")).is_empty());
    let whole = store.inbound_page(org, None, None, 6).unwrap();
    assert_eq!((whole.items.len(), whole.next), (6, None), "a page that holds all is the last");
}

fn a_window_never_goes_back(store: &Store) {
    let org = OrgNo(43);
    let last = || store.last_inbound(org, SenderNo(1), "+4915100000001").unwrap();
    assert_eq!(last(), None);
    for (n, expected) in [(3, 3), (9, 9), (5, 9)] {
        receive(store, org, &inbound(n));
        assert_eq!(last(), Some(Timestamp::from_secs(expected)));
    }
    receive(store, org, &Inbound { at: Timestamp::from_secs(5000), ..inbound(11) });
    assert_eq!(last(), Some(Timestamp::from_secs(1000)), "not later than it came");
}

fn a_number_is_one_however_it_is_spelt(store: &Store) {
    let org = OrgNo(44);
    let (short, long) = ("+525512345678", "+5215512345678");
    receive(store, org, &Inbound { from: Some(long.parse().unwrap()), ..inbound(1) });
    for to in [short, long] {
        assert_eq!(store.last_inbound(org, SenderNo(1), to).unwrap(), Some(Timestamp::from_secs(1)));
        assert_eq!(page(store, org, Some(to)), [1]);
        assert_eq!(store.latest_message_to(org, to).unwrap(), None);
    }
    for (n, to) in [(2, long), (5, short), (3, long)] {
        let (message, state) = message(n);
        accept(store, org, &Message { to: to.parse().unwrap(), ..message }, &state);
    }
    let (latest, _) = message(5);
    for to in [short, long] {
        assert_eq!(store.latest_message_to(org, to).unwrap(), Some(latest.id));
        assert_eq!(store.latest_message_to(OTHER, to).unwrap(), None);
    }
}

fn the_expiry_index_holds_the_unfinished(store: &Store) {
    let org = OrgNo(45);
    let expiring = || {
        let mut found = Vec::new();
        store
            .expiring(org, &mut |at, id| {
                found.push((at.as_millis() / 1000, id.as_bytes()[0]));
                if found.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .unwrap();
        found
    };
    for (n, at) in [(1, Some(9)), (2, None), (3, Some(5)), (4, Some(700)), (5, Some(800))] {
        let (message, state) = message(n);
        accept(store, org, &Message { expires_at: at.map(Timestamp::from_secs), ..message }, &state);
    }
    assert_eq!(expiring(), [(5, 3), (9, 1), (700, 4)], "and no more than was asked for");
    let (message, queued) = message(3);
    let message = Message { expires_at: Some(Timestamp::from_secs(5)), ..message };
    let is_in = || expiring().contains(&(5, 3));
    let phases = [
        (Phase::Sending { due: Timestamp::from_secs(50) }, true),
        (Phase::Sent, false),
        (Phase::Delivered, false),
        (Phase::Queued { due: Timestamp::from_secs(60) }, true),
        (Phase::Failed, false),
    ];
    let mut before = queued;
    for (phase, expected) in phases {
        let after = State { phase, ..before.clone() };
        let mut step = Commit::new(org, EPOCH);
        step.moved(&message, &before, &after).unwrap();
        commit(store, step).unwrap();
        assert_eq!(is_in(), expected, "{phase:?}");
        before = after;
    }
}

fn purging_takes_inbound_messages_along(store: &Store) {
    let org = OrgNo(46);
    receive(store, org, &inbound(1));
    let (message, state) = message(1);
    accept(store, org, &Message { expires_at: Some(Timestamp::EPOCH), ..message }, &state);
    let mut step = Commit::new(org, EPOCH);
    step.purge(store.data_keys(org, 1000).unwrap());
    commit(store, step).unwrap();
    assert!(page(store, org, None).is_empty() && page(store, org, Some("+4915100000001")).is_empty());
    assert_eq!(store.inbound_id(org, &inbound(1).sender, &inbound(1).provider_id).unwrap(), None);
    assert_eq!(store.last_inbound(org, SenderNo(1), "+4915100000001").unwrap(), None);
    store.expiring(org, &mut |_, _| panic!("nothing is left")).unwrap();
}
