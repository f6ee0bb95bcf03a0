//! Organisations: keys, senders, tokens, the end.

use actors::{ChangeError, DECLARED, Directory, Manual, OrgChange};
use domain::audit::By;
use domain::org::{ApiKey, KeyScope, PutOrg};
use domain::{OrgId, Status};
use serde_json::json;

use crate::provider::Say;
use crate::support::{HOUR, MINUTE, SECOND, START, World, eventually, org_id, pass, sender, sender_at};

fn key(id: &str, text: &str) -> ApiKey {
    ApiKey {
        id: id.into(),
        name: id.into(),
        hash: Directory::hash(text),
        scopes: vec![KeyScope::Send],
        created_at: START,
        expires_at: None,
    }
}

async fn change(world: &World, org: &OrgId, change: OrgChange) -> Result<(), ChangeError> {
    world.outbox.change_org(org, change, By::Admin).await.map(|_| ())
}

fn whose(world: &World, text: &str) -> Option<String> {
    let hash = Directory::hash(text);
    let identity = world.outbox.directory().authenticate(&hash, world.outbox.clock().now()).ok()?;
    Some(format!("{}/{}", identity.org.id, identity.key.name))
}

#[tokio::test(start_paused = true)]
async fn a_key_opens_until_it_is_revoked_or_expires() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let short = ApiKey { expires_at: Some(START.after(HOUR)), ..key("short", "two") };
    change(&world, &acme, OrgChange::AddKey(key("long", "one"))).await.unwrap();
    change(&world, &acme, OrgChange::AddKey(short)).await.unwrap();
    assert_eq!(whose(&world, "one").as_deref(), Some("acme/long"));
    assert_eq!(whose(&world, "two").as_deref(), Some("acme/short"));
    assert_eq!(whose(&world, "three"), None);
    world.restart().await;
    assert_eq!(whose(&world, "one").as_deref(), Some("acme/long"));
    pass(HOUR).await;
    assert_eq!(whose(&world, "two"), None);
    change(&world, &acme, OrgChange::RevokeKey("long".into())).await.unwrap();
    assert_eq!(whose(&world, "one"), None);
    let again = change(&world, &acme, OrgChange::RevokeKey("long".into())).await;
    assert!(matches!(again, Err(ChangeError::NotFound)));
}

#[tokio::test(start_paused = true)]
async fn declared_keys_come_and_go_with_the_file_and_others_stay() {
    let world = World::new().await;
    let acme = world.acme().await;
    change(&world, &acme, OrgChange::AddKey(key("made", "made"))).await.unwrap();
    let declare = async |texts: &[&str]| {
        let keys = texts.iter().map(|text| key(&format!("{DECLARED}{text}"), text)).collect();
        let put = PutOrg::parse(json!({"senders": [sender("1001")]}).as_object().unwrap()).unwrap();
        world.outbox.put_org(org_id("acme"), OrgChange::Declare(put, keys), By::Config).await.unwrap()
    };
    declare(&["a", "b"]).await;
    assert!(["a", "b", "made"].iter().all(|text| whose(&world, text).is_some()));
    let seq = world.store.head(world.org_no(&acme)).unwrap().last_seq;
    declare(&["a", "b"]).await;
    assert_eq!(world.store.head(world.org_no(&acme)).unwrap().last_seq, seq, "nothing new was said");
    declare(&["b"]).await;
    assert_eq!(["a", "b", "made"].map(|text| whose(&world, text).is_some()), [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_declared_key_belongs_to_one_organisation_at_a_time() {
    let world = World::new().await;
    let put = || PutOrg::parse(json!({"senders": []}).as_object().unwrap()).unwrap();
    let declare = async |id: &str, keys: Vec<ApiKey>| {
        world.outbox.put_org(org_id(id), OrgChange::Declare(put(), keys), By::Config).await
    };
    declare("acme", vec![key("config-1", "shared")]).await.unwrap();
    let taken = declare("other", vec![key("config-1", "shared")]).await;
    assert!(matches!(taken, Err(ChangeError::KeyTaken(owner)) if owner == org_id("acme")));
    declare("acme", vec![]).await.unwrap();
    declare("other", vec![key("config-1", "shared")]).await.unwrap();
    declare("acme", vec![key("config-1", "another")]).await.unwrap();
    assert_eq!(whose(&world, "shared").as_deref(), Some("other/config-1"));
}

#[tokio::test(start_paused = true)]
async fn a_number_belongs_to_one_organisation_at_a_time() {
    let mut world = World::new().await;
    world.acme().await;
    for _ in 0..2 {
        let taken = world.put("other", json!([sender("1001")])).await;
        assert!(matches!(taken, Err(ChangeError::SenderTaken(number)) if number.as_str() == "1001"));
        world.restart().await;
    }
    world.put("acme", json!([sender("1002")])).await.unwrap();
    world.put("other", json!([sender("1001")])).await.unwrap();
    let owner = |number: &str| world.outbox.directory().owner(&number.parse().unwrap()).unwrap().id.to_string();
    assert_eq!([owner("1001"), owner("1002")], ["other", "acme"]);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_put_neither_gives_a_number_away_nor_takes_one() {
    let world = World::new().await;
    world.acme().await;
    let no_secrets = json!([{"phoneNumberId": "1005"}]);
    assert!(matches!(world.put("acme", no_secrets.clone()).await, Err(ChangeError::Invalid(_))));
    assert!(matches!(world.put("nobody", no_secrets).await, Err(ChangeError::Invalid(_))));
    let taken = world.put("other", json!([sender("1001")])).await;
    assert!(matches!(taken, Err(ChangeError::SenderTaken(_))));
    world.put("other", json!([sender("1005")])).await.unwrap();
    assert!(world.outbox.directory().org(&org_id("nobody")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_a_put_replaced_is_used_by_the_next_call() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Refuse(131000)]);
    let id = world.post(&acme, json!({})).await;
    pass(SECOND).await;
    world.put("acme", json!([{"phoneNumberId": "1001", "accessToken": "fresh"}])).await.unwrap();
    world.until(&acme, id, Status::Sent, 2 * MINUTE).await;
    let tokens: Vec<_> = world.provider.calls().into_iter().map(|call| call.token).collect();
    assert_eq!(tokens, ["token-1001", "fresh"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_rate_holds_at_once() {
    let world = World::new().await;
    world.put("acme", json!([sender_at("1001", 1)])).await.unwrap();
    let acme = org_id("acme");
    let ids = world.post_many(&acme, 100, json!({})).await;
    pass(3 * SECOND).await;
    world.put("acme", json!([sender_at("1001", 100)])).await.unwrap();
    world.all_until(&acme, &ids, Status::Sent, 3 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_number_that_goes_wait_and_go_on_when_it_comes_back() {
    let world = World::new().await;
    world.put("acme", json!([sender_at("1001", 1), sender("1002")])).await.unwrap();
    let acme = org_id("acme");
    world.provider.next(&[Say::Refuse(131000)]);
    let ids = world.post_many(&acme, 10, json!({"from": "1001"})).await;
    pass(2 * SECOND).await;
    world.put("acme", json!([sender("1002")])).await.unwrap();
    pass(SECOND).await;
    let sent = world.provider.count();
    assert!(sent < 5);
    let other = world.post(&acme, json!({})).await;
    world.until(&acme, other, Status::Sent, SECOND).await;
    pass(10 * MINUTE).await;
    assert_eq!(world.provider.count(), sent + 1);
    world.nobody_left(&acme).await;
    world.put("acme", json!([sender("1001"), sender("1002")])).await.unwrap();
    world.all_until(&acme, &ids, Status::Sent, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_send_under_way_is_settled_although_its_number_has_gone() {
    let world = World::new().await;
    world.put("acme", json!([sender("1001")])).await.unwrap();
    let acme = org_id("acme");
    world.provider.always(Say::Accept, 10 * SECOND);
    world.provider.next(&[Say::Unknown]);
    let lost = world.post(&acme, json!({"onUnknown": "HOLD"})).await;
    let calling = world.post(&acme, json!({})).await;
    pass(SECOND).await;
    world.put("acme", json!([sender("1002")])).await.unwrap();
    world.until(&acme, calling, Status::Sent, 20 * SECOND).await;
    world.until(&acme, lost, Status::Failed, 11 * MINUTE).await;
    world.nobody_left(&acme).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_organisation_is_gone_with_all_its_data_and_others_keep_theirs() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    world.put("other", json!([sender("2001")])).await.unwrap();
    let other = org_id("other");
    change(&world, &acme, OrgChange::AddKey(key("k", "one"))).await.unwrap();
    let kept = world.post_many(&other, 5, json!({"dossierId": 7})).await;
    let ids = world.post_many(&acme, 50, json!({"dossierId": 7})).await;
    world.all_until(&acme, &ids, Status::Sent, MINUTE).await;
    let waiting = world.post(&acme, json!({"sendAt": World::time(HOUR)})).await;
    let no = world.org_no(&acme);

    change(&world, &acme, OrgChange::Delete).await.unwrap();
    assert!(world.outbox.directory().org(&acme).is_none());
    assert_eq!(whose(&world, "one"), None);
    let gone = || world.store.orgs().unwrap().iter().all(|org| org.no != no).then_some(());
    eventually("purged", MINUTE, gone).await;
    assert_eq!(world.store.data_keys(no, 10).unwrap(), Vec::<Vec<u8>>::new());
    assert!(world.outbox.manual(&acme, waiting, Manual::Cancel, By::Admin).await.is_err());
    let calls = world.provider.count();
    pass(2 * HOUR).await;
    assert_eq!(world.provider.count(), calls);
    world.all_until(&other, &kept, Status::Sent, SECOND).await;

    world.put("third", json!([sender("1001")])).await.unwrap();
    world.put("acme", json!([sender("1009")])).await.unwrap();
    assert_ne!(world.org_no(&acme), no);
    world.restart().await;
    world.all_until(&other, &kept, Status::Sent, SECOND).await;
    let id = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Sent, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_was_cut_off_goes_on_at_the_next_start() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    world.post_many(&acme, 10, json!({})).await;
    pass(MINUTE).await;
    let no = world.org_no(&acme);
    change(&world, &acme, OrgChange::Delete).await.unwrap();
    world.crash().await;
    assert!(world.outbox.directory().org(&acme).is_none());
    let gone = || world.store.orgs().unwrap().is_empty().then_some(());
    eventually("purged", MINUTE, gone).await;
    assert_eq!(world.store.data_keys(no, 10).unwrap(), Vec::<Vec<u8>>::new());
}
