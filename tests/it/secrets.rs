//! Secrets at rest: they are encrypted everywhere, need only their master key, and move to a new one.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use store::backend::{Backend, Order};
use store::{DataFolder, SledBackend};

use crate::support::{
    ACCESS_TOKEN, APP_SECRET, Exit, PHONE, Setup, TestApp, VERIFY_TOKEN, WEBHOOK, files_holding, path, run_with,
    sender, text, with,
};

const PLAIN: &str = "a text that nobody need hide from the store";

async fn twotick(app: &TestApp, command: &str, more: &[&str], env: &[(&str, &str)]) -> Exit {
    let (config, data) = (app.config_file(), app.data());
    let mut args = vec![command, "--config", path(&config), "--data", path(&data)];
    args.extend(more);
    run_with(app.folder(), &args, env).await
}

async fn refused(app: &TestApp, env: &[(&str, &str)]) -> String {
    let exit = twotick(app, "serve", &["--listen", "127.0.0.1:0"], env).await;
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(1), ""), "{exit:?}");
    exit.stderr
}

fn key(app: &TestApp, name: &str) -> String {
    fs::read_to_string(app.data().join(name)).unwrap().trim().to_owned()
}

/// The keys and values of all records of a store, before they are compressed into blocks.
fn records(app: &TestApp) -> Vec<u8> {
    let backend = SledBackend::open(DataFolder::open_existing(&app.data()).unwrap(), 16 << 20).unwrap();
    let mut bytes = Vec::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        bytes.extend([key, value].concat());
        ControlFlow::Continue(())
    };
    backend.scan(&[1]..&[0xff], Order::Ascending, visit).unwrap();
    bytes
}

#[tokio::test]
async fn no_plaintext_secret_is_in_the_data_folder_or_the_log() {
    let declared = "[[orgs]]\nid = \"declared\"\napi_keys = [\"env:T_KEY\"]\n[[orgs.senders]]\nphone_number_id = \"2077\"\n\
        access_token = \"env:T_TOKEN\"\napp_secret = \"env:T_APP\"\nverify_token = \"env:T_VERIFY\"\n";
    let theirs = [
        ("T_KEY", "declared-api-key-0123456789"),
        ("T_TOKEN", "declared-access-token"),
        ("T_APP", "declared-app-secret"),
        ("T_VERIFY", "declared-verify-token"),
    ];
    let setup = theirs.iter().fold(Setup::new().toml(declared), |setup, (name, value)| setup.env(name, value));
    let mut app = setup.set("log.level", "debug").start().await;
    let put = |token: &str, previous: &str| {
        let sender = with(sender(PHONE, APP_SECRET), &json!({"accessToken": token, "previousAppSecret": previous}));
        json!({"senders": [sender]})
    };
    app.put_org("acme", &put("second-access-token", "previous-app-secret")).await;
    app.put_org("acme", &put("third-access-token", "another-app-secret")).await;
    let plain = json!({"payloadJson": {"type": "text", "text": {"body": PLAIN}}});
    let id = app.acme().accept(&with(text(1), &plain)).await;
    app.acme().until(&id, "READ").await;
    app.api(None).get(&format!("{WEBHOOK}?hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=1")).await;
    let gone = app.org("gone", "2088").await;
    let exchanged = app.admin().key().to_owned();
    let admin = app.admin().post("admin/key/rotate", &json!({})).await.ok(200)["key"].as_str().unwrap().to_owned();
    app.admin().delete("admin/orgs/gone").await;
    app.kill_and_start_again().await;
    app.one_more().await;
    app.stop().await;

    let records = records(&app);
    let recorded = |secret: &[u8]| records.windows(secret.len()).any(|window| window == secret);
    assert!(recorded(PLAIN.as_bytes()), "a plain text is found, so the search works");
    let (acme, master) = (app.acme().key(), key(&app, "master.key"));
    let raw = hex::decode(&master).unwrap();
    let texts = [
        ACCESS_TOKEN,
        APP_SECRET,
        VERIFY_TOKEN,
        "second-access-token",
        "third-access-token",
        "previous-app-secret",
        "another-app-secret",
        acme,
        gone.key(),
        &exchanged,
    ];
    for secret in texts.into_iter().chain(theirs.map(|(_, value)| value)).map(str::as_bytes).chain([raw.as_slice()]) {
        let (secret, shown) = (secret, String::from_utf8_lossy(secret));
        assert_eq!(files_holding(&app.data(), secret), [""; 0], "{shown}");
        assert!(!recorded(secret), "{shown}");
    }
    assert_eq!(files_holding(&app.data(), admin.as_bytes()), ["admin.key"]);
    assert_eq!(files_holding(&app.data(), master.as_bytes()), ["master.key"]);
    for secret in texts.into_iter().chain(theirs.map(|(_, value)| value)).chain([admin.as_str(), &master]) {
        assert!(!app.log().contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn the_master_key_is_created_once_and_a_start_without_it_or_with_another_is_refused() {
    let mut app = TestApp::start().await;
    let file = app.data().join("master.key");
    let made = key(&app, "master.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(app.log().contains("master.key"), "its path is logged");
    app.stop().await;

    fs::rename(&file, app.folder().join("kept")).unwrap();
    let gone = refused(&app, &[]).await;
    assert!(gone.contains(path(&file)) && gone.contains("admin.master_key"), "{gone}");
    assert!(!file.exists(), "no new key is created while there are encrypted secrets");
    app.set("admin.master_key", "env:T_MASTER");
    let other = refused(&app, &[("T_MASTER", &"0f".repeat(32))]).await;
    assert!(other.contains("admin.master_key gives") && other.contains("encrypted under"), "{other}");
    let doctor = twotick(&app, "doctor", &[], &[("T_MASTER", &"0f".repeat(32))]).await;
    assert!(doctor.code == Some(1) && doctor.stdout.contains("WRONG  master key"), "{doctor:?}");
    let unusable = twotick(&app, "serve", &[], &[("T_MASTER", "short")]).await;
    assert!(unusable.code == Some(2) && unusable.stderr.contains("64 hexadecimal digits"), "{unusable:?}");

    app.set("admin.master_key", format!("file:{}", path(&app.folder().join("kept"))));
    app.start_again().await;
    app.one_more().await;
    assert!(!app.log().contains(&made));
    assert_eq!(app.stop().await.code, Some(0));
}

#[tokio::test]
async fn rekey_encrypts_the_secrets_under_a_new_master_key_and_resumes_after_an_interruption() {
    let mut app = TestApp::start().await;
    let beta = app.org("beta", "2066").await;
    let (file, next) = (app.data().join("master.key"), app.data().join("master.key.next"));
    let busy = twotick(&app, "rekey", &[], &[]).await;
    assert!(busy.code == Some(1) && busy.stderr.contains("in use"), "{busy:?}");
    app.stop().await;

    let first = key(&app, "master.key");
    let exit = twotick(&app, "rekey", &[], &[]).await;
    assert!(exit.code == Some(0) && exit.stdout.contains("organisations changed: 2"), "{exit:?}");
    let second = key(&app, "master.key");
    assert!(first != second && !exit.stdout.contains(&second) && !next.exists());

    // The state after a kill between the last secret and the replacement of the key file.
    fs::rename(&file, &next).unwrap();
    fs::write(&file, &first).unwrap();
    let between = refused(&app, &[]).await;
    assert!(between.contains("twotick rekey"), "{between}");
    let exit = twotick(&app, "rekey", &[], &[]).await;
    assert!(exit.code == Some(0) && exit.stdout.contains("organisations changed: 0"), "{exit:?}");
    assert_eq!((key(&app, "master.key"), next.exists()), (second.clone(), false));

    let third = "7c".repeat(32);
    let shown = twotick(&app, "rekey", &["--new", &third], &[]).await;
    assert!(shown.code == Some(2) && shown.stderr.contains("env:NAME") && !shown.stderr.contains(&third), "{shown:?}");
    let wrong = twotick(&app, "rekey", &["--old", "env:T_OLD"], &[("T_OLD", &third)]).await;
    assert!(wrong.code == Some(1) && wrong.stderr.contains("leave --old out"), "{wrong:?}");
    let fresh = "4e".repeat(32);
    let env = [("T_OLD", third.as_str()), ("T_NEW", &fresh)];
    let wrong = twotick(&app, "rekey", &["--old", "env:T_OLD", "--new", "env:T_NEW"], &env).await;
    assert!(wrong.code == Some(1) && wrong.stderr.contains("encrypted under"), "{wrong:?}");
    // The current key is elsewhere, and the key file belongs to another store.
    let foreign = "1d".repeat(32);
    fs::write(&file, &foreign).unwrap();
    let env = [("T_OLD", second.as_str())];
    let unasked = twotick(&app, "rekey", &["--old", "env:T_OLD"], &env).await;
    assert!(unasked.code == Some(1) && unasked.stderr.contains("would be overwritten"), "{unasked:?}");
    assert!(unasked.stderr.contains(path(&file)) && key(&app, "master.key") == foreign && !next.exists());
    fs::remove_file(&file).unwrap();
    let exit = twotick(&app, "rekey", &["--old", "env:T_OLD"], &env).await;
    assert!(exit.code == Some(0) && key(&app, "master.key") != second, "{exit:?}");

    let exit = twotick(&app, "rekey", &["--new", "env:T_NEW"], &[("T_NEW", &third)]).await;
    assert!(exit.code == Some(0) && exit.stdout.contains("admin.master_key"), "{exit:?}");
    refused(&app, &[]).await;
    app.set("admin.master_key", third.as_str());
    let literal = twotick(&app, "serve", &[], &[]).await;
    assert!(literal.code == Some(2) && literal.stderr.contains("env:NAME or file:PATH"), "{literal:?}");
    let kept = app.folder().join("third.key");
    fs::write(&kept, &third).unwrap();
    app.set("admin.master_key", format!("file:{}", path(&kept)));
    app.start_again().await;
    app.one_more().await;
    let id = beta.accept(&text(1)).await;
    beta.until(&id, "READ").await;
}
