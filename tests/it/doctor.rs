//! `twotick doctor` finds what is wrong and says what to do about it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use simulator::Account;

use crate::support::{ACCESS_TOKEN, APP_SECRET, Exit, PHONE, Setup, TestApp, VERIFY_TOKEN, path, run_with};

const WABA: &str = "102290129340398";

/// Starts an app with a sender whose business account is known.
async fn start() -> TestApp {
    let app = Setup::new().start().await;
    let put = json!({"senders": [{"phoneNumberId": PHONE, "wabaId": WABA}]});
    app.put_org("acme", &put).await;
    app
}

async fn doctor(app: &TestApp, more: &[&str]) -> Exit {
    let (config, data) = (app.config_file(), app.data());
    let mut args = vec!["doctor", "--config", path(&config), "--data", path(&data)];
    args.extend(more);
    run_with(app.folder(), &args, &[]).await
}

/// The findings with a verdict, as `what: detail; fix`.
async fn findings(app: &TestApp, verdict: &str, code: i32) -> Vec<String> {
    let exit = doctor(app, &["--json", "--url", &app.base()]).await;
    assert_eq!(exit.code, Some(code), "{exit:?}");
    assert!(!exit.stdout.contains(ACCESS_TOKEN) && !exit.stdout.contains(APP_SECRET), "{exit:?}");
    let report: Value = serde_json::from_str(&exit.stdout).unwrap();
    let all = report["findings"].as_array().unwrap().iter().filter(|finding| finding["verdict"] == verdict);
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    all.map(|f| format!("{}: {}; {}", text(f, "what"), text(f, "detail"), text(f, "fix"))).collect()
}

#[track_caller]
fn one(found: &[String], says: &[&str]) {
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(says.iter().all(|part| found[0].contains(part)), "{says:?} in {found:?}");
}

#[tokio::test]
async fn a_healthy_stopped_service_passes_and_all_its_senders_are_checked() {
    let mut app = start().await;
    app.stop().await;
    let exit = doctor(&app, &[]).await;
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""), "{exit:?}");
    for part in [
        "configuration",
        "data folder",
        "disk",
        "store",
        "clock",
        "WhatsApp at",
        "its token is good",
        "is told of receipts",
    ] {
        assert!(exit.stdout.contains(part), "{part} in {}", exit.stdout);
    }
    assert!(!exit.stdout.contains("WRONG"), "{}", exit.stdout);
    app.start_again().await;
    app.one_more().await;
}

#[tokio::test]
async fn problems_of_a_sender_at_whatsapp_are_reported_with_their_remedy() {
    let mut app = start().await;
    app.stop().await;
    let cases: [(Account, &[&str]); 3] = [
        (
            Account { refused_tokens: vec![ACCESS_TOKEN.into()], ..Account::default() },
            &[PHONE, "190", "twotick org put acme", "--access-token"],
        ),
        (
            Account { disconnected: vec![PHONE.into()], ..Account::default() },
            &[PHONE, "DISCONNECTED", "WhatsApp Manager"],
        ),
        (
            Account { unsubscribed: vec![WABA.into()], ..Account::default() },
            &[PHONE, "no receipt", "subscribed_apps", WABA],
        ),
    ];
    for (account, says) in cases {
        let is_token = !account.refused_tokens.is_empty();
        app.sim.set_account(account);
        let mut wrong = findings(&app, "wrong", 1).await;
        if is_token {
            // Without a valid token, it cannot check the subscription either.
            assert!(wrong.pop().unwrap().contains("subscription"));
        }
        one(&wrong, says);
    }
}

#[tokio::test]
async fn a_running_service_checks_the_senders_that_are_not_in_the_configuration() {
    let app = start().await;
    assert_eq!(findings(&app, "note", 0).await, [""; 0], "every sender was checked");
    assert!(findings(&app, "ok", 0).await.iter().any(|found| found.contains(PHONE) && found.contains("token is good")));
    app.sim.set_account(Account { refused_tokens: vec![ACCESS_TOKEN.into()], ..Account::default() });
    assert!(findings(&app, "wrong", 1).await[0].contains(&format!("sender {PHONE} of acme")));
    app.sim.set_account(Account::default());
    let check = async |query: &str| app.admin().post(&format!("admin/orgs/acme/check{query}"), &json!({})).await;
    assert_eq!(check("").await.fields(), ["sender"]);
    check("?sender=1").await.problem(404, "NOT_FOUND");
    app.admin().post("admin/orgs/acme/pause?sender=106540352242922", &json!({"reason": "by hand"})).await.ok(200);
    one(&findings(&app, "wrong", 1).await, &[PHONE, "by hand", "twotick org resume acme"]);

    let declared = format!(
        "[[orgs]]\nid = \"beta\"\n[[orgs.senders]]\nphone_number_id = \"2066\"\nwaba_id = \"1\"\n\
         access_token = \"{ACCESS_TOKEN}\"\napp_secret = \"{APP_SECRET}\"\nverify_token = \"{VERIFY_TOKEN}\"\n"
    );
    let app = Setup::new().toml(&declared).start_empty().await;
    assert_eq!(findings(&app, "note", 0).await, [""; 0], "every sender was checked");
    app.sim.set_account(Account { refused_tokens: vec![ACCESS_TOKEN.into()], ..Account::default() });
    assert!(findings(&app, "wrong", 1).await[0].contains("sender 2066 of beta"));
}

#[tokio::test]
async fn problems_of_the_machine_are_reported() {
    let mut app = start().await;
    app.stop().await;
    app.set("whatsapp.base_url", "http://127.0.0.1:1");
    let wrong = findings(&app, "wrong", 1).await;
    one(&wrong, &["http://127.0.0.1:1", "cannot be reached", "firewall"]);
    assert!(!wrong[0].contains("certificates"), "{wrong:?}");
    fs::set_permissions(app.data(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(findings(&app, "note", 1).await[0].contains("chmod"));
    app.set("http.listen", "0.0.0.0:8080");
    assert!(findings(&app, "wrong", 1).await[0].contains("http.allow_plaintext"));
    app.set("http.listen", "nowhere");
    let exit = doctor(&app, &[]).await;
    assert!(exit.code == Some(1) && exit.stdout.contains("http.listen"), "{exit:?}");

    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("letter.txt"), "dear").unwrap();
    let config = temp.path().join("twotick.toml");
    fs::write(&config, "[whatsapp]\nbase_url = \"http://127.0.0.1:1\"\n").unwrap();
    let args = ["doctor", "--config", path(&config), "--data", path(temp.path())];
    let exit = run_with(app.folder(), &args, &[]).await;
    assert!(exit.code == Some(1) && exit.stdout.contains("not a twotick store"), "{exit:?}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 2, "the folder is unchanged");
}

#[tokio::test]
async fn a_simulated_account_refuses_sends_with_an_expired_token() {
    let app = start().await;
    app.sim.set_account(Account { refused_tokens: vec![ACCESS_TOKEN.into()], ..Account::default() });
    let id = app.acme().accept(&crate::support::text(1)).await;
    crate::support::eventually("a pause", async || {
        let org = app.admin().get("admin/orgs/acme").await.ok(200);
        if org["senders"][0]["state"] == "PAUSED" { Ok(()) } else { Err(org) }
    })
    .await;
    app.sim.set_account(Account::default());
    app.put_org("acme", &json!({"senders": [{"phoneNumberId": PHONE, "accessToken": "a-new-token"}]})).await;
    app.acme().until(&id, "READ").await;
}

#[tokio::test]
async fn a_running_service_is_checked_with_its_own_environment_and_not_the_shells() {
    let declared = format!(
        "[[orgs]]\nid = \"beta\"\n[[orgs.senders]]\nphone_number_id = \"2066\"\nwaba_id = \"1\"\n\
         access_token = \"env:TEST_TOKEN\"\napp_secret = \"{APP_SECRET}\"\nverify_token = \"{VERIFY_TOKEN}\"\n"
    );
    let app = Setup::new().toml(&declared).env("TEST_TOKEN", ACCESS_TOKEN).start_empty().await;
    // The shell has neither the token nor the URL.
    let (config, data, url) = (app.config_file(), app.data(), app.base());
    let text = fs::read_to_string(&config).unwrap().replace(&app.sim.base_url(), "http://127.0.0.1:1");
    fs::write(&config, text).unwrap();
    let args = ["doctor", "--config", path(&config), "--data", path(&data), "--url", &url];
    let exit = run_with(app.folder(), &args, &[]).await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    for part in [
        "TEST_TOKEN is not set",
        "whatsapp.base_url is ",
        "is reached directly",
        "sender 2066 of beta: its token is good",
    ] {
        assert!(exit.stdout.contains(part), "{part}: {}", exit.stdout);
    }
}

#[tokio::test]
async fn a_sender_with_an_expired_token_needs_a_new_token_and_not_a_resume() {
    let app = start().await;
    app.sim.set_account(Account { refused_tokens: vec![ACCESS_TOKEN.into()], ..Account::default() });
    app.acme().accept(&crate::support::text(1)).await;
    crate::support::eventually("a pause", async || {
        let org = app.admin().get("admin/orgs/acme").await.ok(200);
        if org["senders"][0]["state"] == "PAUSED" { Ok(()) } else { Err(org) }
    })
    .await;
    let wrong = findings(&app, "wrong", 1).await;
    assert!(wrong[0].contains("--access-token") && !wrong[0].contains("`twotick org resume"), "{wrong:?}");
}
