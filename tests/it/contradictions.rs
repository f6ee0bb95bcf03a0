//! A store that contradicts itself: a backup reports it at once and names the organisation, the others can be restored
//! without it, and records that follow from others are rebuilt.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::json;
use store::backend::{Backend, Order, Write};
use store::{DataFolder, SledBackend};

use crate::support::{Exit, Setup, TestApp, path, run, text};

/// A stopped service with two organisations and three queued messages each.
async fn stopped() -> TestApp {
    let mut app = TestApp::start().await;
    let beta = app.org("beta", "2066").await;
    for (org, api) in [("acme", app.acme().clone()), ("beta", beta)] {
        app.admin().post(&format!("admin/orgs/{org}/pause"), &json!({})).await.ok(200);
        for n in 0..3 {
            api.accept(&text(n)).await;
        }
    }
    app.stop().await;
    app
}

/// Removes the first key of a kind from the first organisation, which is acme.
fn harm(data: &Path, kind: u8) {
    let backend = SledBackend::open(DataFolder::open_existing(data).unwrap(), 1 << 20).unwrap();
    let mut first = None;
    let visit = &mut |key: &[u8], _: &[u8]| {
        first = Some(key.to_vec());
        ControlFlow::Break(())
    };
    backend.scan(&[kind]..&[kind + 1], Order::Ascending, visit).unwrap();
    backend.apply(vec![Write::Delete(first.unwrap())]).unwrap();
}

#[tokio::test]
async fn a_backup_reports_a_contradiction_and_restores_all_other_organisations() {
    let temp = tempfile::tempdir().unwrap();
    let [file, copy] = ["backup.twotick", "copy"].map(|name| temp.path().join(name));
    let mut app = stopped().await;
    app.is_damaged = true;
    harm(&app.data(), b's');
    let taken = run(&["backup", path(&file), "--data", path(&app.data())]).await;
    assert_eq!(taken.code, Some(1), "{taken:?}");
    let tells = |exit: &Exit| exit.stderr.contains("organisation acme: ") && exit.stderr.contains("--without acme");
    assert!(tells(&taken) && file.exists() && fs::read_dir(temp.path()).unwrap().count() == 1, "{taken:?}");

    let restore = async |more: &[&str]| run(&[&["restore", path(&file), "--data", path(&copy)], more].concat()).await;
    for more in [&[][..], &["--repair"]] {
        let refused = restore(more).await;
        assert!(refused.code == Some(1) && tells(&refused) && !copy.exists(), "{refused:?}");
    }
    let unknown = restore(&["--without", "gamma"]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("there are: acme, beta"), "{unknown:?}");
    let restored = restore(&["--without", "acme"]).await;
    assert!(restored.code == Some(0) && restored.stdout.contains("left out: acme"), "{restored:?}");
    assert!(restored.stdout.contains("3 messages are held"), "{restored:?}");
    let verified = run(&["verify", "--data", path(&copy)]).await;
    assert!(verified.stdout.contains("organisations 1, messages 3,"), "{verified:?}");
    fs::copy(app.data().join("master.key"), copy.join("master.key")).unwrap();
    let copy = Setup::new().data(&copy).start_empty().await;
    assert_eq!(copy.admin().get("admin/orgs/acme").await.status, 404);
    copy.admin().get("admin/orgs/beta").await.ok(200);
}

#[tokio::test]
async fn records_that_follow_from_others_are_rebuilt_by_verify_or_during_a_restore() {
    let temp = tempfile::tempdir().unwrap();
    let [file, copy] = ["backup.twotick", "copy"].map(|name| temp.path().join(name));
    let mut app = stopped().await;
    app.is_damaged = true;
    for kind in *b"dt" {
        harm(&app.data(), kind);
    }
    let taken = run(&["backup", path(&file), "--data", path(&app.data())]).await;
    assert!(taken.code == Some(1) && taken.stderr.contains("verify --repair"), "{taken:?}");
    let restored = run(&["restore", path(&file), "--data", path(&copy), "--repair"]).await;
    assert!(restored.code == Some(0) && restored.stdout.contains("2 keys"), "{restored:?}");
    assert!(
        restored.stdout.contains("6 messages are held"),
        "including the message whose due entry was missing: {restored:?}"
    );

    let found = run(&["verify", "--data", path(&app.data())]).await;
    assert!(found.code == Some(1) && found.stdout.contains("`twotick verify --repair` builds it anew"), "{found:?}");
    let repaired = run(&["verify", "--data", path(&app.data()), "--repair"]).await;
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    for told in ["due entry of message", "recipient's message of message", "is missing: mended", "2 keys", "is whole"] {
        assert!(repaired.stdout.contains(told), "{told}: {repaired:?}");
    }
    app.is_damaged = false;
    app.start_again().await;
    for org in ["acme", "beta"] {
        app.admin().post(&format!("admin/orgs/{org}/resume"), &json!({})).await.ok(200);
    }
    let list = app.acme().get("outbound/messages?limit=10").await.ok(200);
    for item in list["items"].as_array().unwrap() {
        app.acme().until(item["id"].as_str().unwrap(), "READ").await;
    }
    let trail = app.acme().get("audit?limit=200").await.ok(200).to_string();
    assert!(trail.contains("\"keys\":2"), "{trail}");
}

#[tokio::test]
async fn a_backup_of_a_running_service_is_checked_too() {
    let temp = tempfile::tempdir().unwrap();
    let [file, again] = ["backup.twotick", "again"].map(|name| temp.path().join(name));
    let mut app = stopped().await;
    app.is_damaged = true;
    harm(&app.data(), b't');
    app.start_again().await;
    let taken = app.admin_command(&["backup", path(&file)], &[]).await;
    assert!(taken.code == Some(1) && taken.stderr.contains("organisation acme: recipient's message"), "{taken:?}");
    app.stop().await;
    assert_eq!(run(&["verify", "--data", path(&app.data()), "--repair"]).await.code, Some(0));
    app.is_damaged = false;
    app.start_again().await;
    let taken = app.admin_command(&["backup", path(&again)], &[]).await;
    assert!(taken.code == Some(0) && taken.stdout.contains("checked"), "{taken:?}");
}
