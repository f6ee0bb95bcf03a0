//! Organisations and their secrets: whole when they come back with the key, and nowhere in clear.

use domain::SenderNo;
use domain::org::{Org, Sender};

use super::*;
use crate::codec::encode_wire;
use crate::records::{OrgV2, Wire};
use crate::{MasterKey, Reencrypted, StoreError};

const SECRETS: [&str; 4] = ["the-access-token", "the-app-secret", "the-verify-token", "the-secret-before"];

pub(super) fn run(open: &mut dyn FnMut() -> Arc<dyn Backend>) {
    for case in [
        an_organisation_may_grow_and_shrink,
        secrets_are_found_with_their_key_only,
        an_encrypted_secret_is_not_decrypted_in_anothers_place,
        what_was_kept_in_clear_is_encrypted,
        a_change_of_the_master_key_may_be_cut_off,
    ] {
        let locked = Store::new(open());
        case(&locked);
        let mut written = Vec::new();
        let prefix = vec![crate::keys::ORGS];
        let note = &mut |key: &[u8], _: &[u8]| {
            written.push(Write::Delete(key.to_vec()));
            ControlFlow::Continue(())
        };
        locked.scan(prefix, Order::Ascending, note).unwrap();
        locked.backend.apply(written).unwrap();
    }
}

fn key(byte: &str) -> MasterKey {
    byte.repeat(32).parse().unwrap()
}

fn org(no: u32) -> Org {
    let [access_token, app_secret, verify_token, previous] = SECRETS.map(|secret| secret.parse().unwrap());
    let sender = Sender {
        no: SenderNo(1),
        phone_number_id: format!("{no}1").parse().unwrap(),
        waba_id: None,
        access_token,
        app_secret,
        verify_token,
        messages_per_second: None,
        paused: None,
        previous_app_secret: Some(previous),
    };
    let more = Sender { no: SenderNo(2), previous_app_secret: None, ..sender.clone() };
    let org = Org::new(format!("org-{no}").parse().unwrap(), OrgNo(no), Timestamp::EPOCH);
    Org { senders: vec![sender, more], ..org }
}

fn put(store: &Store, before: Option<&Org>, after: &Org) {
    let mut step = Commit::new(after.no, EPOCH);
    step.org(store.master_key().unwrap(), before, after).unwrap();
    commit(store, step).unwrap();
}

/// As a version before encryption wrote it.
fn put_in_clear(store: &Store, org: &Org) {
    let mut bytes = encode_wire("organisation", 1, &OrgV2::of(org)).unwrap();
    bytes.truncate(bytes.len() - 3);
    store.backend.apply(vec![Write::Put(crate::keys::org_part(org.no, 0), bytes)]).unwrap();
}

fn is_in_clear(store: &Store) -> bool {
    let mut found = false;
    let everything: (&[u8], &[u8]) = (&[0], &[255]);
    let look = &mut |key: &[u8], value: &[u8]| {
        let has = |secret: &str| [key, value].iter().any(|b| b.windows(secret.len()).any(|w| w == secret.as_bytes()));
        found |= SECRETS.into_iter().any(has);
        ControlFlow::Continue(())
    };
    store.backend.scan(everything.0..everything.1, Order::Ascending, look).unwrap();
    found
}

fn an_organisation_may_grow_and_shrink(locked: &Store) {
    let store = &locked.clone().with_key(key("a1"));
    let small = org(ORG.0);
    let large = Org { name: "x".repeat(20_000), ..small.clone() };
    for (before, after) in [(None, &small), (Some(&small), &large), (Some(&large), &small)] {
        put(store, before, after);
        assert_eq!(store.orgs().unwrap(), std::slice::from_ref(after));
    }
    let mut step = Commit::new(ORG, EPOCH);
    step.forget_org(store.master_key().unwrap(), Some(&small)).unwrap();
    commit(store, step).unwrap();
    assert_eq!(store.orgs().unwrap(), []);
}

fn secrets_are_found_with_their_key_only(locked: &Store) {
    let store = locked.clone().with_key(key("a1"));
    let (one, other) = (org(1), org(2));
    put(&store, None, &one);
    put(&store, None, &other);
    assert!(!is_in_clear(&store));
    assert_eq!(store.orgs().unwrap(), [one.clone(), other]);
    let seen = locked.orgs_without_secrets().unwrap();
    assert_eq!((seen.len(), &seen[0].id, seen[0].senders.len()), (2, &one.id, 2));
    assert!(seen[0].senders.iter().flat_map(Sender::app_secrets).all(|secret| secret.expose().is_empty()));
    assert!(matches!(locked.orgs(), Err(StoreError::Locked)));
    assert!(matches!(locked.clone().with_key(key("b2")).orgs(), Err(StoreError::OtherKey { .. })));
    let ids = store.keys_in_use().unwrap();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [key("a1").id()]);
}

fn an_encrypted_secret_is_not_decrypted_in_anothers_place(locked: &Store) {
    let store = locked.clone().with_key(key("a1"));
    put(&store, None, &org(1));
    let part = crate::keys::org_part(OrgNo(1), 0);
    let bytes = store.backend.get(&part).unwrap().unwrap();
    let as_written = |bytes: Vec<u8>| store.backend.apply(vec![Write::Put(part.clone(), bytes)]).unwrap();
    let mut torn = bytes.clone();
    *torn.last_mut().unwrap() ^= 1;
    as_written(torn);
    assert!(matches!(store.orgs(), Err(StoreError::Damaged { what: "secret" })));
    // The number of the organisation stands behind its id: the secrets are now another's.
    let at = bytes.windows(6).position(|window| window == b"org-1\x01").unwrap() + 5;
    let mut moved = bytes;
    moved[at] = 2;
    as_written(moved);
    assert!(matches!(store.orgs(), Err(StoreError::Damaged { what: "secret" })));
}

fn what_was_kept_in_clear_is_encrypted(locked: &Store) {
    let plain = org(1);
    put_in_clear(locked, &plain);
    assert!(is_in_clear(locked) && locked.keys_in_use().unwrap().is_empty());
    let store = locked.clone().with_key(key("a1"));
    assert_eq!(store.reencrypt(None).unwrap(), Reencrypted { plain: 1, old: 0 });
    assert_eq!(store.reencrypt(None).unwrap(), Reencrypted::default());
    assert!(!is_in_clear(&store));
    assert_eq!(store.orgs().unwrap(), [plain]);
}

fn a_change_of_the_master_key_may_be_cut_off(locked: &Store) {
    let [old, new] = ["a1", "b2"].map(|byte| locked.clone().with_key(key(byte)));
    // One is done, as after a kill.
    put(&new, None, &org(1));
    put(&old, None, &org(2));
    put_in_clear(&old, &org(3));
    assert_eq!(new.keys_in_use().unwrap().len(), 2);
    assert!(matches!(new.reencrypt(Some(&key("c3"))), Err(StoreError::OtherKey { .. })), "a wrong old key");
    assert_eq!(new.reencrypt(Some(&key("a1"))).unwrap(), Reencrypted { plain: 1, old: 1 });
    assert_eq!(new.orgs().unwrap(), [org(1), org(2), org(3)]);
    assert!(matches!(old.orgs(), Err(StoreError::OtherKey { .. })));
}
