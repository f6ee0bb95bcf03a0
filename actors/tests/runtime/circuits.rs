//! WhatsApp is not reached, or throttles for long: nothing is lost or charged, single probes find the end, and all goes on.

use std::time::Duration;

use actors::OrgChange;
use domain::audit::By;
use domain::org::PausedBy;
use domain::{OrgId, Status};
use serde_json::{Value, json};
use store::search::AuditFilter;

use crate::provider::Say;
use crate::support::{DAY, HOUR, MINUTE, SECOND, World, org_id, pass, sender};

/// How the message stands at a gate: its state, what it says, and what can be done.
async fn gate(world: &World, org: &OrgId, id: domain::MessageId, name: &str) -> Value {
    let record = world.outbox.directory().org(org).unwrap();
    let explanation = world.outbox.explain(&record, id).await.unwrap().unwrap();
    let explanation = serde_json::to_value(explanation).unwrap();
    let gates = explanation["gates"].as_array().unwrap();
    gates.iter().find(|gate| gate["gate"] == name).unwrap().clone()
}

/// How many entries of this type the trail has.
fn told(world: &World, org: &OrgId, activity: &str) -> usize {
    let page = world.store.audit(world.org_no(org), &AuditFilter::default(), None, 100_000).unwrap();
    page.items.iter().filter(|(_, entry)| entry.fact.activity() == activity).count()
}

#[tokio::test(start_paused = true)]
async fn a_day_without_whatsapp_costs_no_message_an_attempt_and_all_go_when_it_is_back() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::NotSent, Duration::ZERO);
    let ids = world.post_many(&acme, 20, json!({})).await;
    let late = world.post(&acme, json!({"expiresAt": World::time(HOUR)})).await;
    pass(SECOND / 2).await;
    let sender = gate(&world, &acme, ids[7], "sender").await;
    assert_eq!((&sender["state"], sender["until"].is_string()), (&json!("WAITING"), true), "{sender}");
    assert!(sender["remedy"].as_str().unwrap().contains("DNS"), "{sender}");
    pass(DAY).await;
    assert!(ids.iter().all(|id| world.status(&acme, *id) == Status::Queued));
    assert!(ids.iter().all(|id| world.state(&acme, *id).attempt_count() == 0));
    assert_eq!(world.state(&acme, late).failure.unwrap().code.to_string(), "EXPIRED", "what is late ends all the same");
    let calls = world.provider.count();
    assert!((1440..1500).contains(&calls), "a probe in a minute: {calls}");
    let postponed = told(&world, &acme, "MESSAGE_POSTPONED");
    assert!(postponed <= 25, "the trail says once what each waits for: {postponed}");

    world.provider.always(Say::Accept, Duration::ZERO);
    world.all_until(&acme, &ids, Status::Sent, 2 * MINUTE).await;
    assert_eq!(gate_free(&world), None);
}

/// What keeps all calls back.
fn gate_free(world: &World) -> Option<String> {
    world.outbox.way().1.map(|outage| outage.failure.code.to_string())
}

#[tokio::test(start_paused = true)]
async fn one_probe_serves_all_senders() {
    let world = World::new().await;
    world.put("acme", json!([sender("1001"), sender("1002")])).await.unwrap();
    world.put("beta", json!([sender("2001")])).await.unwrap();
    let (acme, beta) = (org_id("acme"), org_id("beta"));
    world.provider.always(Say::NotSent, Duration::ZERO);
    for _ in 0..5 {
        world.post(&acme, json!({"from": "1001"})).await;
        world.post(&acme, json!({"from": "1002"})).await;
        world.post(&beta, json!({})).await;
    }
    pass(SECOND / 2).await;
    let before = world.provider.count();
    pass(HOUR).await;
    let times: Vec<_> = world.provider.calls_after(before).iter().map(|call| call.at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= SECOND), "one at a time: {times:?}");
    assert!(times.len() <= 70, "{}", times.len());
    world.provider.always(Say::Accept, Duration::ZERO);
    pass(MINUTE + SECOND).await;
    assert_eq!(world.counter(&acme, "queued") + world.counter(&beta, "queued"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_answers_in_metas_place_charges_only_the_first_that_meets_it() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Foreign, Duration::ZERO);
    let ids = world.post_many(&acme, 20, json!({})).await;
    pass(HOUR).await;
    assert!(ids.iter().all(|id| world.status(&acme, *id) == Status::Queued));
    let charged: u16 = ids.iter().map(|id| world.state(&acme, *id).attempt_count()).sum();
    assert_eq!(charged, 1);
    world.provider.always(Say::Accept, Duration::ZERO);
    world.all_until(&acme, &ids, Status::Sent, 2 * MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn silence_opens_the_circuit_and_what_was_called_is_settled_by_the_rule_of_the_lost_answer() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Unknown, Duration::ZERO);
    let ids = world.post_many(&acme, 20, json!({})).await;
    pass(SECOND / 2).await;
    let sending = ids.iter().filter(|id| world.status(&acme, **id) == Status::Sending).count();
    assert!(sending <= 4, "{sending} were called before it was known");
    world.provider.always(Say::Accept, Duration::ZERO);
    let before = world.provider.count();
    world.all_until(&acme, &ids, Status::Sent, 20 * MINUTE).await;
    let again: Vec<_> =
        world.provider.calls_after(before).into_iter().filter(|call| call.attempt.attempt.0 > 1).collect();
    assert!(again.iter().all(|call| call.at >= 10 * MINUTE), "never before stale_after: {again:?}");
}

#[tokio::test(start_paused = true)]
async fn one_lost_answer_among_successes_goes_on_as_its_message_says() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Accept, Say::Unknown, Say::Accept]);
    let ids = world.post_many(&acme, 3, json!({})).await;
    pass(SECOND).await;
    let charged: Vec<_> = ids.iter().map(|id| world.state(&acme, *id).attempt_count()).collect();
    assert_eq!(charged, [1, 1, 1]);
    assert_eq!(gate_free(&world), None);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_that_goes_on_is_met_ever_more_rarely_by_one_message_and_told_once() {
    for (code, most) in
        [(130_429, 75), (4, 20), (80_007, 20), (131_048, 8), (131_064, 8), (131_057, 45), (2_494_100, 45)]
    {
        let world = World::new().await;
        let acme = world.acme().await;
        world.provider.always(Say::Refuse(code), Duration::ZERO);
        let ids = world.post_many(&acme, 20, json!({})).await;
        pass(SECOND / 4).await;
        let before = world.provider.count();
        pass(HOUR).await;
        let calls = world.provider.count() - before;
        assert!((2..=most).contains(&calls), "{code}: {calls} calls in an hour");
        let rate = gate(&world, &acme, ids[9], "rate").await;
        let detail = rate["detail"].as_str().unwrap();
        assert!(detail.contains(&code.to_string()), "{detail}");
        assert_eq!(rate["state"], "WAITING");
        assert_eq!(gate(&world, &acme, ids[9], "pair").await["state"], "OPEN");
        assert_eq!(told(&world, &acme, "SENDING_THROTTLED"), 1, "{code}");

        world.provider.always(Say::Accept, Duration::ZERO);
        world.all_until(&acme, &ids, Status::Sent, 2 * HOUR).await;
        assert_eq!(told(&world, &acme, "SENDING_UNTHROTTLED"), 1, "{code}");
        assert!(ids.iter().all(|id| world.state(&acme, *id).attempt_count() == 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_resume_ends_the_wait_that_meta_asked_for() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::RefuseFor(131_048, 86_400)]);
    let id = world.post(&acme, json!({})).await;
    pass(HOUR).await;
    assert_eq!(world.provider.count(), 1);
    let resume = OrgChange::Resume(vec!["1001".parse().unwrap()], PausedBy::Operator);
    world.outbox.change_org(&acme, resume, By::Admin).await.unwrap();
    world.until(&acme, id, Status::Sent, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn the_resume_of_an_organisation_resumes_what_metas_errors_paused_and_not_what_a_person_did() {
    let world = World::new().await;
    world.put("acme", json!([sender("1001"), sender("1002")])).await.unwrap();
    let acme = org_id("acme");
    let pause = domain::org::Pause { reason: "a test".into(), by: PausedBy::Operator, since: crate::support::START };
    let change = OrgChange::Pause(vec!["1002".parse().unwrap()], pause);
    world.outbox.change_org(&acme, change, By::Admin).await.unwrap();
    world.provider.next(&[Say::Refuse(190)]);
    let id = world.post(&acme, json!({"from": "1001"})).await;
    let held = world.post(&acme, json!({"from": "1002"})).await;
    pass(SECOND).await;
    assert_eq!(world.status(&acme, id), Status::Queued);
    let shut = gate(&world, &acme, id, "sender").await;
    assert!(shut["remedy"].as_str().unwrap().contains("org put acme --sender 1001 --access-token"), "{shut}");
    assert!(shut["until"].is_string(), "the next probe: {shut}");
    let org = world.outbox.change_org(&acme, OrgChange::Resume(vec![], PausedBy::Operator), By::Admin).await.unwrap();
    assert_eq!(org.senders.iter().map(|sender| sender.paused.is_some()).collect::<Vec<_>>(), [false, true]);
    world.until(&acme, id, Status::Sent, SECOND).await;
    assert_eq!(world.status(&acme, held), Status::Queued);
}

#[tokio::test(start_paused = true)]
async fn refusals_use_up_nothing_of_what_a_recipient_may_get() {
    let world = World::with(|settings| {
        settings.pair_limit.interval = 6 * SECOND;
        settings.pair_limit.burst = 6;
    })
    .await;
    let acme = world.acme().await;
    world.provider.always(Say::Refuse(130_429), Duration::ZERO);
    let first = world.post(&acme, json!({})).await;
    pass(50 * SECOND).await;
    world.provider.always(Say::Accept, Duration::ZERO);
    world.until(&acme, first, Status::Sent, MINUTE).await;
    let ids = world.post_many(&acme, 5, json!({})).await;
    world.all_until(&acme, &ids, Status::Sent, 3 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn of_twenty_to_a_recipient_that_meta_limits_one_tries_at_each_step() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Refuse(131_056), Duration::ZERO);
    let ids = world.post_many(&acme, 20, json!({})).await;
    pass(SECOND / 2).await;
    let before = world.provider.count();
    pass(30 * SECOND).await;
    assert!(world.provider.count() - before <= 4, "{:?}", world.provider.calls_after(before));
    world.provider.always(Say::Accept, Duration::ZERO);
    world.all_until(&acme, &ids, Status::Sent, 3 * MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_an_error_asks_for_is_kept_whatever_the_schedule_says() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::RefuseFor(131_000, 1800)]);
    let id = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Sent, HOUR).await;
    assert_eq!(world.provider.calls()[1].at, 30 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn behind_a_backlog_the_place_and_the_time_are_told_as_they_are() {
    let world = World::with(|settings| settings.limits.max_resident = 100).await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, 10 * SECOND);
    let ids = world.post_many(&acme, 2000, json!({})).await;
    let record = world.outbox.directory().org(&acme).unwrap();
    let last = serde_json::to_value(world.outbox.explain(&record, ids[1999]).await.unwrap()).unwrap();
    let ahead = last["ahead"].as_u64().unwrap();
    assert!((1800..2000).contains(&ahead), "{last}");
    let at = last["earliestAt"].as_str().unwrap();
    assert!(at >= &*World::time(world.elapsed() + 22 * SECOND), "{ahead} at 80 per second: {last}");
}
