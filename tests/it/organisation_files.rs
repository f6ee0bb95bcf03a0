//! Organisations as files: `show`, `put`, `diff` and `apply`, and secrets that stay out of the command line.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{ACCESS_TOKEN, APP_SECRET, Exit, PHONE, TestApp, VERIFY_TOKEN, path, run_with, text};

/// Runs a command against the service with `input` as its standard input.
async fn twotick(app: &TestApp, args: &[&str], input: &str) -> Exit {
    let (base, data) = (app.base(), app.data());
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_twotick"))
        .args(args)
        .args(["--url", &base, "--data", path(&data)])
        .env("TEST_TOKEN", "a-newer-token")
        .current_dir(app.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command may end before it has read all input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Exit { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

async fn shown(app: &TestApp) -> Value {
    let exit = twotick(app, &["org", "show", "acme", "--json"], "").await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    serde_json::from_str(&exit.stdout).unwrap()
}

#[tokio::test]
async fn the_output_of_show_can_be_put_again_and_keeps_the_secrets() {
    let app = TestApp::start().await;
    let org = shown(&app).await;
    let put = twotick(&app, &["org", "put", "acme", "--file", "-"], &org.to_string()).await;
    assert_eq!(put.code, Some(0), "{put:?}");
    let mut same = shown(&app).await;
    same["updatedAt"] = org["updatedAt"].clone();
    assert_eq!(same, org);
    // The token and the app secret are unchanged.
    let id = app.acme().accept(&text(1)).await;
    app.acme().until(&id, "READ").await;
    let other = twotick(&app, &["org", "put", "beta", "--file", "-"], &org.to_string()).await;
    assert!(other.code == Some(2) && other.stderr.contains("of organisation acme, and not of beta"), "{other:?}");
}

#[tokio::test]
async fn a_file_is_compared_and_applied_and_keeps_what_it_does_not_name() {
    let app = TestApp::start().await;
    app.org("other", "77").await;
    let file = app.folder().join("orgs.json");
    let write = |orgs: &Value| fs::write(&file, orgs.to_string()).unwrap();
    let run = async |what: &str| twotick(&app, &["org", what, "--file", path(&file)], "").await;
    let mut acme = shown(&app).await;
    write(&acme);
    let diff = run("diff").await;
    assert_eq!((diff.code, diff.stdout.trim()), (Some(0), "nothing differs"), "{diff:?}");
    acme["name"] = json!("Acme Ltd");
    acme["senders"][0]["accessToken"] = json!("env:TEST_TOKEN");
    let gamma = json!({"id": "gamma", "name": "Gamma", "senders": [{"phoneNumberId": "88", "accessToken": "env:TEST_TOKEN",
        "appSecret": APP_SECRET, "verifyToken": VERIFY_TOKEN}]});
    write(&json!([acme, gamma]));
    let diff = run("diff").await;
    assert_eq!(diff.code, Some(1), "{diff:?}");
    for line in
        ["~ acme: name \"Test\" becomes \"Acme Ltd\"", "+ gamma: is made", "+ gamma: sender 88 is added", "4 secrets"]
    {
        assert!(diff.stdout.contains(line), "{line}: {diff:?}");
    }
    assert!(diff.stderr.contains("3 things differ") && !diff.stdout.contains("a-newer-token"), "{diff:?}");
    let applied = run("apply").await;
    assert!(applied.code == Some(0) && applied.stdout.contains("secrets put"), "{applied:?}");
    assert_eq!(run("diff").await.code, Some(0));
    assert_eq!(shown(&app).await["name"], "Acme Ltd");
    let id = app.acme().accept(&text(1)).await;
    app.acme().until(&id, "READ").await;
    let names: Vec<_> = app.admin().get("admin/orgs").await.ok(200)["items"].as_array().unwrap().clone();
    assert_eq!(names.len(), 3, "the file removes nothing that it does not name");
    write(&json!([{"name": "nobody's"}]));
    let nameless = run("apply").await;
    assert!(nameless.code == Some(2) && nameless.stderr.contains("needs one"), "{nameless:?}");
}

#[tokio::test]
async fn a_secret_is_read_from_standard_input_and_a_visible_or_misspelt_one_is_reported() {
    let app = TestApp::start().await;
    let put = async |token: &str, input: &str| {
        twotick(&app, &["org", "put", "acme", "--sender", PHONE, "--access-token", token], input).await
    };
    let read = put("-", "a-token-from-a-pipe\n").await;
    assert_eq!((read.code, read.stderr.as_str()), (Some(0), ""), "{read:?}");
    let none = put("-", "").await;
    assert!(none.code == Some(2) && none.stderr.contains("standard input has no line"), "{none:?}");
    let seen = put(ACCESS_TOKEN, "").await;
    assert!(seen.code == Some(0) && seen.stderr.contains("--access-token is written out"), "{seen:?}");
    assert!(!seen.stderr.contains(ACCESS_TOKEN), "{seen:?}");
    let typo = put("env;NEWTOK", "").await;
    assert!(typo.code == Some(2) && typo.stderr.contains("--access-token: looks like a misspelt env:NAME"), "{typo:?}");
    let key = app.admin().key().to_owned();
    let base = app.base();
    let seen = run_with(app.folder(), &["org", "list", "--url", &base, "--admin-key", &key], &[]).await;
    assert!(seen.code == Some(0) && seen.stderr.contains("--admin-key is written out"), "{seen:?}");
    let hidden = run_with(app.folder(), &["org", "list", "--url", &base], &[("TWOTICK_ADMIN_KEY", &key)]).await;
    assert_eq!((hidden.code, hidden.stderr.as_str()), (Some(0), ""), "{hidden:?}");
}

#[tokio::test]
async fn pausing_something_unknown_names_it() {
    let app = TestApp::start().await;
    for verb in ["pause", "resume"] {
        let exit = twotick(&app, &["org", verb, "acme", "--sender", "99"], "").await;
        assert!(
            exit.code == Some(1) && exit.stderr.contains(&format!("acme has no sender 99; it has {PHONE}")),
            "{exit:?}"
        );
    }
    let exit = twotick(&app, &["key", "revoke", "acme", "no-such"], "").await;
    assert!(exit.code == Some(1) && exit.stderr.contains("no such key"), "{exit:?}");
}
