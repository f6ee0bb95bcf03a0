//! SIGHUP: settings that can change at run time do, and an invalid file changes nothing.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Setup, TestApp, eventually, faults, text};

async fn until_logged(app: &TestApp, words: &str, times: usize) {
    eventually(words, async || {
        let log = app.log();
        if log.matches(words).count() >= times { Ok(()) } else { Err(log) }
    })
    .await;
}

const HOLDS: &str = "the configuration was read again and holds";
const REFUSED: &str = "the new configuration is refused; the running one stays";

#[tokio::test]
async fn sending_can_be_switched_on_and_delays_changed_without_a_restart() {
    let mut app = Setup::new().set("outbound.enabled", false).start().await;
    let id = app.acme().accept(&text(1)).await;
    let explained = app.acme().get(&format!("outbound/messages/{id}/explain")).await.ok(200);
    assert_eq!(explained["gates"][0]["state"], "CLOSED");
    app.set("outbound.enabled", true);
    app.set("outbound.retry_delays", vec!["0s", "10ms", "10ms"]);
    app.config_file();
    app.signal(Signal::SIGHUP);
    app.acme().until(&id, "READ").await;
    until_logged(&app, HOLDS, 1).await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "error", "code": 131016}}])));
    let failing = app.acme().accept(&text(2)).await;
    app.acme().until(&failing, "FAILED").await;
    assert_eq!(app.acme().message(&failing).await["maxAttempts"], 3);
}

#[tokio::test]
async fn organisations_and_the_log_level_follow_the_file() {
    let mut app = Setup::new().start().await;
    app.set("log.level", "debug");
    let declared = "[[orgs]]\nid = \"declared\"\napi_keys = [\"a-key-of-the-configuration\"]\n[[orgs.senders]]\n\
        phone_number_id = \"5055\"\naccess_token = \"t\"\napp_secret = \"s\"\nverify_token = \"v\"\n";
    app.add(declared);
    app.config_file();
    app.signal(Signal::SIGHUP);
    until_logged(&app, HOLDS, 1).await;
    let key = app.api(Some("a-key-of-the-configuration"));
    assert_eq!(key.get("outbound/stats").await.status, 200);
    until_logged(&app, "DEBUG", 1).await;
}

#[tokio::test]
async fn an_invalid_file_is_refused_as_a_whole_with_the_reason() {
    let mut app = Setup::new().set("outbound.enabled", false).start().await;
    app.set("outbound.enabled", true);
    app.set("outbound.retry_delays", Vec::<String>::new());
    app.config_file();
    app.signal(Signal::SIGHUP);
    until_logged(&app, REFUSED, 1).await;
    assert!(app.log().contains("outbound.retry_delays must have at least one delay"), "{}", app.log());
    // A number that belongs to another organisation is also found before anything changes.
    app.set("outbound.retry_delays", vec!["0s"]);
    app.add(&format!(
        "[[orgs]]\nid = \"thief\"\n[[orgs.senders]]\nphone_number_id = \"{}\"\naccess_token = \"t\"\napp_secret = \"s\"\n\
         verify_token = \"v\"\n",
        crate::support::PHONE
    ));
    app.config_file();
    app.signal(Signal::SIGHUP);
    until_logged(&app, REFUSED, 2).await;
    let id = app.acme().accept(&text(1)).await;
    let explained = app.acme().get(&format!("outbound/messages/{id}/explain")).await.ok(200);
    assert_eq!(explained["gates"][0]["state"], "CLOSED", "sending is still switched off");
    app.admin().get("admin/orgs/thief").await.problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn keys_that_need_a_restart_are_named() {
    let mut app = Setup::new().start().await;
    app.set("http.max_body", "2MiB");
    app.config_file();
    app.signal(Signal::SIGHUP);
    until_logged(&app, "these keys changed, and hold only after a restart", 1).await;
    assert!(app.log().contains("http.max_body"), "{}", app.log());
    app.one_more().await;
}

/// The configuration of organisations, each with its phone number.
fn declared(orgs: &[(&str, Option<&str>)]) -> String {
    let org = |(id, number): &(&str, Option<&str>)| {
        let sender = number.map(|number| {
            format!(
                "[[orgs.senders]]\nphone_number_id = \"{number}\"\naccess_token = \"t\"\napp_secret = \"s\"\n\
                 verify_token = \"v\"\n"
            )
        });
        format!("[[orgs]]\nid = \"{id}\"\napi_keys = [\"a-key-of-{id}-in-the-file\"]\n{}", sender.unwrap_or_default())
    };
    orgs.iter().map(org).collect()
}

#[tokio::test]
async fn two_organisations_can_swap_numbers_in_two_steps_and_one_step_is_refused() {
    let mut app = Setup::new().toml(&declared(&[("one", Some("5055")), ("two", Some("6066"))])).start_empty().await;
    let owners = async |app: &TestApp| {
        let mut numbers = Vec::new();
        for id in ["one", "two"] {
            let org = app.admin().get(&format!("admin/orgs/{id}")).await.ok(200);
            numbers.push(org["senders"][0]["phoneNumberId"].clone());
        }
        numbers
    };
    let swapped = declared(&[("one", Some("6066")), ("two", Some("5055"))]);
    app.add(&swapped);
    app.config_file();
    app.signal(Signal::SIGHUP);
    until_logged(&app, REFUSED, 1).await;
    assert!(
        app.log().contains("6066 belongs to two; leave it out there and have the configuration read"),
        "{}",
        app.log()
    );
    assert_eq!(owners(&app).await, ["5055", "6066"], "nothing changed");
    for (step, orgs) in [declared(&[("one", None), ("two", None)]), swapped].into_iter().enumerate() {
        app.add(&orgs);
        app.config_file();
        app.signal(Signal::SIGHUP);
        until_logged(&app, HOLDS, step + 1).await;
    }
    assert_eq!(owners(&app).await, ["6066", "5055"]);
    app.stop().await;
    app.start_again().await;
    assert_eq!(owners(&app).await, ["6066", "5055"]);
    let one = app.api(Some("a-key-of-one-in-the-file"));
    let id = one.accept(&text(1)).await;
    assert_eq!(one.message(&id).await["from"], "6066");
}
