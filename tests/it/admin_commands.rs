//! The commands `twotick org` and `twotick key`.

use std::fs;

use serde_json::{Value, json};

use crate::support::{ACCESS_TOKEN, APP_SECRET, Exit, Setup, TestApp, VERIFY_TOKEN, path, run_with, text};

/// Runs a command against the running service, with secrets in its environment.
async fn twotick(app: &TestApp, args: &[&str]) -> Exit {
    let env = [("TEST_TOKEN", ACCESS_TOKEN), ("TEST_SECRET", APP_SECRET), ("TEST_VERIFY", VERIFY_TOKEN)];
    app.admin_command(args, &env).await
}

#[track_caller]
fn printed(exit: &Exit) -> &str {
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""), "{exit:?}");
    exit.stdout.trim()
}

#[track_caller]
fn parsed(exit: &Exit) -> Value {
    serde_json::from_str(printed(exit)).unwrap_or_else(|error| panic!("{error}: {exit:?}"))
}

#[tokio::test]
async fn an_organisation_is_created_used_and_deleted_by_commands() {
    let app = Setup::new().start_empty().await;
    let put = [
        "org",
        "put",
        "beta",
        "--name",
        "Beta Ltd",
        "--sender",
        "2066",
        "--waba",
        "1022",
        "--access-token",
        "env:TEST_TOKEN",
        "--app-secret",
        "env:TEST_SECRET",
        "--verify-token",
        "env:TEST_VERIFY",
    ];
    let shown = twotick(&app, &put).await;
    for part in ["beta", "Beta Ltd", "2066", "1022", "ACTIVE"] {
        assert!(printed(&shown).contains(part), "{part}: {shown:?}");
    }
    assert!(!shown.stdout.contains(ACCESS_TOKEN) && !shown.stdout.contains(APP_SECRET), "{shown:?}");
    let key = twotick(&app, &["key", "create", "beta", "--name", "back end", "--expires", "90d"]).await;
    let key = printed(&key).lines().next().unwrap().to_owned();
    let beta = app.api(Some(&key));
    let id = beta.accept(&text(1)).await;
    beta.until(&id, "READ").await;

    // Adds a second sender. The first keeps its secrets, its account and its rate.
    let more = [
        "org",
        "put",
        "beta",
        "--sender",
        "2067",
        "--access-token",
        "env:TEST_TOKEN",
        "--app-secret",
        "env:TEST_SECRET",
        "--verify-token",
        "env:TEST_VERIFY",
        "--messages-per-second",
        "7",
        "--json",
    ];
    let org = parsed(&twotick(&app, &more).await);
    assert_eq!((&org["name"], &org["senders"][0]["wabaId"]), (&"Beta Ltd".into(), &"1022".into()), "{org}");
    let changed = parsed(&twotick(&app, &["org", "put", "beta", "--consent", "off", "--json"]).await);
    assert_eq!(changed["senders"], org["senders"]);
    assert_eq!(changed["consent"], "off");
    let gone = parsed(&twotick(&app, &["org", "put", "beta", "--remove-sender", "2067", "--json"]).await);
    assert_eq!(gone["senders"].as_array().unwrap().len(), 1, "{gone}");

    let paused = twotick(&app, &["org", "pause", "beta", "--sender", "2066", "--reason", "by hand"]).await;
    assert!(printed(&paused).contains("PAUSED") && printed(&paused).contains("by hand"), "{paused:?}");
    let listed = twotick(&app, &["org", "list"]).await;
    assert_eq!(printed(&listed).lines().count(), 2, "{listed:?}");
    let resumed = parsed(&twotick(&app, &["org", "resume", "beta", "--sender", "2066", "--json"]).await);
    assert_eq!(resumed["senders"][0]["state"], "ACTIVE");

    let unsure = twotick(&app, &["org", "delete", "beta"]).await;
    assert!(unsure.code == Some(2) && unsure.stderr.contains("--yes"), "{unsure:?}");
    assert_eq!(twotick(&app, &["org", "show", "beta"]).await.code, Some(0));
    printed(&twotick(&app, &["org", "delete", "beta", "--yes"]).await);
    assert_eq!(parsed(&twotick(&app, &["org", "list", "--json"]).await), json!([]));
}

#[tokio::test]
async fn every_setting_of_an_organisation_has_an_argument_that_changes_only_it() {
    let app = TestApp::start().await;
    let put = async |args: &[&str]| twotick(&app, &[&["org", "put", "acme"], args].concat()).await;
    let first =
        ["--messages-per-day", "500", "--recipients-per-day", "250", "--keep-messages", "180d", "--keep-audit", "3y"];
    let shown = put(&first).await;
    assert!(printed(&shown).contains("messagesPerDay 500, recipientsPerDay 250"), "{shown:?}");
    let second =
        ["--max-queued", "9", "--recipients-per-day", "none", "--keep-payloads", "30days", "--keep-audit", "none"];
    let words =
        ["--stop-words", "Schluss, no more", "--stop-reply", "Bye.", "--start-words", "", "--consent", "required"];
    put(&second).await;
    let org = parsed(&put(&[&words[..], &["--json"]].concat()).await);
    assert_eq!(org["quotas"], json!({"messagesPerDay": 500, "maxQueued": 9, "recipientsPerDay": null}));
    let kept = &org["retention"];
    let set: Vec<_> = kept.as_object().unwrap().values().filter(|value| !value.is_null()).collect();
    assert!(set.len() == 2 && kept["audit"].is_null() && kept["payloads"].is_string(), "{kept}");
    assert_eq!((&org["stopWords"], &org["startWords"]), (&json!(["Schluss", "no more"]), &json!([])));
    assert_eq!((&org["stopReply"], &org["consent"]), (&json!("Bye."), &json!("required")));
    assert_eq!(org["senders"].as_array().unwrap().len(), 1);
    let back = parsed(&put(&["--stop-words", "default", "--stop-reply", "", "--json"]).await);
    assert!(back["stopWords"].as_array().unwrap().len() > 20 && back["stopReply"].is_null(), "{back}");
    assert_eq!((&back["quotas"], &back["retention"]), (&org["quotas"], kept));
    for (args, code, says) in [
        (["--max-queued", "many"], 2, "a whole number, or none"),
        (["--keep-inbound", "soon"], 2, "90d"),
        (["--max-queued", "0"], 1, "quotas.maxQueued"),
        (["--keep-payloads", "200d"], 1, "retention.payloads"),
    ] {
        let wrong = put(&args).await;
        assert!(wrong.code == Some(code) && wrong.stderr.contains(says), "{args:?}: {wrong:?}");
    }
    let both = put(&["--file", "-", "--keep-audit", "1d"]).await;
    assert!(both.code == Some(2) && both.stderr.contains("--file"), "{both:?}");
    let help = printed(&twotick(&app, &["org", "put", "--help"]).await).to_owned();
    for unit in ["per day of UTC", "180d", "with commas between"] {
        assert!(help.contains(unit), "{unit} in {help}");
    }
}

#[tokio::test]
async fn an_organisation_is_put_from_a_file_and_an_error_in_it_is_named() {
    let app = Setup::new().start_empty().await;
    let file = app.folder().join("org.json");
    fs::write(&file, crate::support::org("2066", APP_SECRET).to_string()).unwrap();
    let org = parsed(&twotick(&app, &["org", "put", "beta", "--file", path(&file), "--json"]).await);
    assert_eq!(org["senders"][0]["phoneNumberId"], "2066");
    fs::write(&file, r#"{"senders": [{"phoneNumberId": "2067", "colour": 1}]}"#).unwrap();
    let wrong = twotick(&app, &["org", "put", "beta", "--file", path(&file)]).await;
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(1), ""), "{wrong:?}");
    assert!(wrong.stderr.contains("senders[0].colour"), "{wrong:?}");
    fs::write(&file, "{").unwrap();
    let wrong = twotick(&app, &["org", "put", "beta", "--file", path(&file)]).await;
    assert!(wrong.code == Some(2) && wrong.stderr.contains("org.json"), "{wrong:?}");
}

#[tokio::test]
async fn keys_are_listed_and_revoked_and_the_admin_key_is_rotated() {
    let app = TestApp::start().await;
    let made =
        parsed(&twotick(&app, &["key", "create", "acme", "--name", "reader", "--scope", "read", "--json"]).await);
    let (reader, id) = (app.api(made["key"].as_str()), made["id"].as_str().unwrap());
    assert_eq!(reader.get("outbound/stats").await.status, 200);
    let listed = twotick(&app, &["key", "list", "acme"]).await;
    let line = printed(&listed).lines().find(|line| line.contains("reader")).unwrap().to_owned();
    assert!(line.contains(id) && line.contains("read") && !listed.stdout.contains(reader.key()), "{listed:?}");
    printed(&twotick(&app, &["key", "revoke", "acme", id]).await);
    reader.get("outbound/stats").await.problem(401, "UNAUTHORIZED");

    let old = app.admin();
    let shown = twotick(&app, &["key", "rotate-admin"]).await;
    assert_eq!(printed(&shown).lines().next().unwrap(), app.admin().key());
    old.get("admin/orgs").await.problem(401, "UNAUTHORIZED");
    let made = parsed(&twotick(&app, &["key", "rotate-admin", "--grace", "1h", "--json"]).await);
    assert!(made["previousValidUntil"].is_string(), "{made}");
    printed(&twotick(&app, &["org", "list"]).await);
}

/// Arguments, an environment, the exit code, and what the error must say.
type Refused<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], i32, &'a [&'a str]);

#[tokio::test]
async fn a_command_that_fails_says_what_to_do() {
    let app = TestApp::start().await;
    let base = app.base();
    let temp = tempfile::tempdir().unwrap();
    let run = async |args: &[&str], env: &[(&str, &str)]| run_with(temp.path(), args, env).await;
    let cases: [Refused<'_>; 7] = [
        (&["org", "list", "--url", &base], &[], 2, &["no admin key", "TWOTICK_ADMIN_KEY", "--data"]),
        (&["org", "list", "--url", &base], &[("TWOTICK_ADMIN_KEY", "wrong")], 1, &["401", "TWOTICK_ADMIN_KEY"]),
        (
            &["org", "list", "--url", "http://127.0.0.1:1", "--admin-key", "k"],
            &[],
            1,
            &["http://127.0.0.1:1", "twotick serve"],
        ),
        (&["org", "show", "a b"], &[], 2, &["a b"]),
        (&["org", "put", "a", "--access-token", "env:X"], &[], 2, &["--sender"]),
        (&["key", "create", "acme"], &[], 2, &["--name"]),
        (&["key", "create", "acme", "--name", "n", "--scope", "fly"], &[], 2, &["send, read, manage"]),
    ];
    for (args, env, code, says) in cases {
        let exit = run(args, env).await;
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(code), ""), "{args:?}: {exit:?}");
        assert!(says.iter().all(|part| exit.stderr.contains(part)), "{args:?}: {says:?} in {}", exit.stderr);
    }
    let missing = twotick(&app, &["org", "show", "nobody"]).await;
    assert!(missing.code == Some(1) && missing.stderr.contains("no such organisation"), "{missing:?}");
    let unset = twotick(&app, &["org", "put", "acme", "--sender", "1", "--access-token", "env:NO_SUCH_NAME"]).await;
    assert!(unset.code == Some(2) && unset.stderr.contains("NO_SUCH_NAME"), "{unset:?}");
}
