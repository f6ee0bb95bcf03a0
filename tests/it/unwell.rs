//! A store that cannot write: nothing is accepted or sent, reads are served, and everything resumes once it can write.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use futures_util::{StreamExt, stream};
use nix::sys::signal::Signal;
use rand::SeedableRng;
use rand::distr::{Alphanumeric, SampleString};
use rand::rngs::StdRng;
use serde_json::json;

use crate::support::{PHONE, Setup, TestApp, eventually, faults, notification, path, run_with, status, text, with};

/// Posts until the disk is full and returns the ids of the accepted messages.
async fn fill(app: &TestApp) -> Vec<String> {
    let mut ids = Vec::new();
    // Text that does not compress.
    let mut rng = StdRng::seed_from_u64(1);
    for n in 0..20_000 {
        let mut message = text(n);
        message["payloadJson"]["text"]["body"] = json!(Alphanumeric.sample_string(&mut rng, 3000));
        let answer = app.acme().send_message(&message).await;
        if answer.status == 503 {
            answer.problem(503, "UNAVAILABLE");
            assert_ne!(answer.header("retry-after"), "");
            return ids;
        }
        ids.push(answer.ok(201)["id"].as_str().unwrap().to_owned());
    }
    panic!("the disk did not fill up");
}

/// Asserts what must hold while the store cannot write.
async fn check_unwell(app: &TestApp, known: &str) {
    let not_ready = app.api(None).get("/readyz").await;
    assert_eq!(not_ready.status, 503);
    assert!(not_ready.text.contains("store"), "the answer says why: {}", not_ready.text);
    let refused = app.acme().send_message(&text(1)).await;
    assert!(refused.text.contains("the store takes no writes"), "each refusal says why: {}", refused.text);
    assert_eq!(app.api(None).get("/healthz").await.status, 200);
    let read = app.acme().get(&format!("outbound/messages/{known}")).await;
    assert_eq!(read.ok(200)["id"], known, "reads are served");
    assert_eq!(app.acme().send_message(&text(1)).await.status, 503);
    let body = notification(PHONE, &[status("wamid.unknown", "delivered")]).to_string().into_bytes();
    let webhook = app.webhook(&body).await;
    assert_eq!(webhook.status, 503, "so that Meta retries it");
}

async fn check_mended(app: &TestApp, ids: &[String]) {
    eventually("ready again", async || {
        let answer = app.api(None).get("/readyz").await;
        if answer.status == 200 { Ok(()) } else { Err(answer) }
    })
    .await;
    app.sim.set_faults(faults(&json!([])));
    app.admin().post("admin/orgs/acme/resume", &json!({})).await.ok(200);
    for id in ids {
        app.acme().until(id, "READ").await;
    }
    // The message that was answered 503 when the disk became full is not among them.
    assert_eq!(app.sim.messages().len(), ids.len());
    let recipients: BTreeSet<_> = app.sim.messages().into_iter().map(|message| message.to).collect();
    assert_eq!(recipients.len(), ids.len(), "none was sent twice");
    app.one_more().await;
}

#[tokio::test]
async fn with_a_full_disk_it_waits_and_resumes_by_itself_when_there_is_room() {
    let mut app = Setup::new().file_limit(3 * 1024 * 1024).start().await;
    app.admin().post("admin/orgs/acme/pause", &json!({})).await.ok(200);
    let ids = fill(&app).await;
    assert!(ids.len() > 50, "{}", ids.len());
    check_unwell(&app, &ids[0]).await;
    assert!(app.sim.messages().is_empty());
    let lifted = Command::new("prlimit").args([&format!("--pid={}", app.pid()), "--fsize=unlimited"]).status();
    assert!(lifted.unwrap().success());
    check_mended(&app, &ids).await;
    let log = app.log();
    assert!(log.contains("nothing is accepted or sent until this is mended") && log.contains("mended: "), "{log}");
    assert_eq!(app.stop().await.code, Some(0));
}

#[tokio::test]
async fn stopped_with_a_full_disk_it_exits_with_1_and_the_next_start_has_everything() {
    let mut app = Setup::new().file_limit(3 * 1024 * 1024).start().await;
    app.admin().post("admin/orgs/acme/pause", &json!({})).await.ok(200);
    let ids = fill(&app).await;
    check_unwell(&app, &ids[0]).await;
    app.signal(Signal::SIGTERM);
    let exit = app.exit().await;
    assert_eq!(exit.code, Some(1), "{exit:?}");
    app.lift_file_limit();
    app.start_again().await;
    check_mended(&app, &ids).await;
}

/// The length of the written part of the journal in bytes. Its files end in zeros.
fn written(app: &TestApp) -> usize {
    let end = |name| std::fs::read(app.data().join(name)).unwrap().iter().rposition(|byte| *byte != 0);
    ["journal/0", "journal/1"].into_iter().filter_map(end).max().unwrap()
}

#[tokio::test]
async fn a_bulk_retry_that_fails_midway_reports_its_progress_and_can_continue() {
    const FAILED: usize = 1000;
    let app = Setup::new().file_limit(1 << 40).start().await;
    let limit = |bytes: &str| {
        let args = [format!("--pid={}", app.pid()), format!("--fsize={bytes}:")];
        assert!(Command::new("prlimit").args(args).status().unwrap().success());
    };
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "error", "code": 131_026}}])));
    let bodies: Vec<_> = (0..FAILED).map(text).collect();
    stream::iter(&bodies).for_each_concurrent(64, async |body| drop(app.acme().accept(body).await)).await;
    app.acme().until_stats("FAILED", FAILED).await;
    app.admin().post("admin/orgs/acme/pause", &json!({})).await.ok(200);
    // Leaves room for some of them.
    limit(&(written(&app) + 48 * 1024).to_string());
    let wish = json!({"limit": FAILED, "all": true});
    let midway = app.acme().post("outbound/messages/retry", &wish).await;
    assert_ne!(midway.header("retry-after"), "");
    let midway = midway.problem(503, "UNAVAILABLE");
    let done = midway["done"].as_u64().unwrap();
    assert!(done > 0 && done < FAILED as u64, "{midway}");
    assert!(
        midway["matched"].as_u64() > Some(done) && midway["skipped"] == 0 && midway["nextCursor"].is_string(),
        "{midway}"
    );
    limit("unlimited");
    eventually("ready again", async || {
        let answer = app.api(None).get("/readyz").await;
        if answer.status == 200 { Ok(()) } else { Err(answer) }
    })
    .await;
    let stats = app.acme().stats().await;
    assert_eq!(stats["QUEUED"], done, "its answer is correct: {stats}");
    let rest = app.acme().post("outbound/messages/retry", &with(wish, &json!({"cursor": midway["nextCursor"]}))).await;
    assert_eq!(rest.ok(200)["done"], FAILED as u64 - done);
    assert_eq!(app.acme().stats().await["FAILED"], 0);
}

async fn until_unwell(app: &TestApp) {
    eventually("unwell", async || {
        let answer = app.api(None).get("/readyz").await;
        if answer.status == 503 { Ok(()) } else { Err(answer) }
    })
    .await;
}

#[tokio::test]
async fn a_moved_data_folder_is_noticed_while_idle_and_service_resumes_when_it_is_back() {
    let app = TestApp::start().await;
    let id = app.acme().accept(&text(0)).await;
    app.acme().until(&id, "READ").await;
    app.settled().await;
    let away = app.folder().join("away");
    std::fs::rename(app.data(), &away).unwrap();
    until_unwell(&app).await;
    check_unwell(&app, &id).await;
    // A new folder in its place is not the store.
    std::fs::create_dir(app.data()).unwrap();
    eventually("an attempt to open it", async || {
        let log = app.log();
        if log.contains("holds no twotick store") { Ok(()) } else { Err(log) }
    })
    .await;
    assert_eq!(app.acme().send_message(&text(1)).await.status, 503);
    std::fs::remove_dir(app.data()).unwrap();
    std::fs::rename(&away, app.data()).unwrap();
    check_mended(&app, &[id]).await;
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_data_folder_that_was_removed() {
    let mut app = TestApp::start().await;
    app.is_damaged = true;
    app.acme().accept(&text(0)).await;
    std::fs::remove_dir_all(app.data()).unwrap();
    // The first write fails at once, without waiting for the periodic check.
    assert_eq!(app.acme().send_message(&text(1)).await.status, 503);
    until_unwell(&app).await;
    let exit = app.stop().await;
    assert!(exit.code == Some(1) && exit.stderr.contains("is gone with its data folder"), "{exit:?}");
    assert!(!exit.stderr.contains("acknowledged stays in") && !app.data().exists(), "{exit:?}");
}

#[tokio::test]
async fn nothing_is_acknowledged_once_a_part_of_the_store_was_removed() {
    for part in ["journal", "sled", "journal/0", "sled/db"] {
        let mut app = TestApp::start().await;
        let id = app.acme().accept(&text(0)).await;
        app.acme().until(&id, "READ").await;
        app.settled().await;
        let (gone, away) = (app.data().join(part), app.folder().join("away"));
        std::fs::rename(&gone, &away).unwrap();
        // The first write fails at once, without waiting for the periodic check.
        assert_eq!(app.acme().send_message(&text(1)).await.status, 503, "{part}");
        check_unwell(&app, &id).await;
        eventually("advice in the log", async || {
            let log = app.log();
            if log.contains("is gone: put it back") { Ok(()) } else { Err(log) }
        })
        .await;
        std::fs::rename(&away, &gone).unwrap();
        eventually("ready again", async || {
            let answer = app.api(None).get("/readyz").await;
            if answer.status == 200 { Ok(()) } else { Err(answer) }
        })
        .await;
        app.one_more().await;
        assert_eq!(app.stop().await.code, Some(0), "{part}");
    }
}

/// A small mounted disk, if this process may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m,nr_inodes=100", "tmpfs"])
            .arg(folder.path())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[tokio::test]
async fn on_a_disk_filled_by_another_program_it_resumes_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("cannot mount a disk here: the tests with a limit on file sizes cover the same");
        return;
    };
    let hog = disk.path().join("hog");
    let app = Setup::new().data(&disk.path().join("data")).start().await;
    app.admin().post("admin/orgs/acme/pause", &json!({})).await.ok(200);
    let first = app.acme().accept(&text(9_999)).await;
    // Another program takes the remaining space.
    let mut size = 12 * 1024 * 1024;
    while size > 0 && std::fs::write(&hog, vec![1; size]).is_err() {
        size -= 64 * 1024;
    }
    // There is no room for another file either.
    let names = disk.path().join("names");
    std::fs::create_dir(&names).unwrap();
    assert!((0..1000).any(|n| std::fs::write(names.join(n.to_string()), "").is_err()));
    let mut ids = fill(&app).await;
    ids.push(first);
    check_unwell(&app, &ids[0]).await;
    std::fs::remove_file(&hog).unwrap();
    std::fs::remove_dir_all(&names).unwrap();
    check_mended(&app, &ids).await;
    let log = app.log();
    assert!(log.contains("written once more"), "the failure was recorded although there was no room for a file: {log}");
}

/// Takes the remaining space of a disk.
fn fill_up(hog: &Path) {
    let mut size = 12 * 1024 * 1024;
    while size > 0 && std::fs::write(hog, vec![1; size]).is_err() {
        size -= 4 * 1024;
    }
}

#[tokio::test]
async fn a_start_on_a_full_disk_waits_for_room_while_the_store_can_be_verified_and_backed_up() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("cannot mount a disk here");
        return;
    };
    let hog = disk.path().join("hog");
    let mut app = Setup::new().data(&disk.path().join("data")).start().await;
    app.admin().post("admin/orgs/acme/pause", &json!({})).await.ok(200);
    let id = app.acme().accept(&text(1)).await;
    app.kill();
    fill_up(&hog);
    let (config, data, copy) = (app.config_file(), app.data(), app.folder().join("copy"));
    let of = ["--config", path(&config), "--data", path(&data)];
    let verify = run_with(app.folder(), &[&["verify"][..], &of].concat(), &[]).await;
    assert!(verify.code == Some(0) && verify.stderr.contains("takes no writes"), "{verify:?}");
    let backup = run_with(app.folder(), &[&["backup", path(&copy)][..], &of].concat(), &[]).await;
    assert!(backup.code == Some(0) && copy.exists(), "{backup:?}");
    app.start_again().await;
    assert_eq!(app.api(None).get("/healthz").await.status, 200);
    let not_ready = app.api(None).get("/readyz").await;
    assert_eq!(not_ready.status, 503);
    assert!(not_ready.text.contains("full") || not_ready.text.contains("disk"), "{}", not_ready.text);
    std::fs::remove_file(&hog).unwrap();
    check_mended(&app, &[id]).await;
}

#[tokio::test]
async fn a_read_only_folder_can_be_verified_and_backed_up() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("cannot mount a disk here");
        return;
    };
    let mut app = Setup::new().data(&disk.path().join("data")).start().await;
    app.one_more().await;
    app.settled().await;
    app.stop().await;
    let remount = |how: &str| {
        let options = format!("remount,{how}");
        assert!(Command::new("mount").args(["-o", &options]).arg(disk.path()).status().unwrap().success());
    };
    remount("ro");
    let (config, data, copy) = (app.config_file(), app.data(), app.folder().join("copy"));
    let of = ["--config", path(&config), "--data", path(&data)];
    let verify = run_with(app.folder(), &[&["verify"][..], &of].concat(), &[]).await;
    assert!(verify.code == Some(0) && verify.stderr.contains("takes no writes"), "{verify:?}");
    let backup = run_with(app.folder(), &[&["backup", path(&copy)][..], &of].concat(), &[]).await;
    assert!(backup.code == Some(0) && copy.exists(), "{backup:?}");
    remount("rw");
}
