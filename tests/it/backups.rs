//! Backups of a running service. A restored copy sends nothing that the original may have sent until a person releases
//! it. An interrupted backup or restore is never used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Api, Exit, PHONE, Process, Setup, TestApp, eventually, faults, notification, path, phone, run_with, seed, send,
    status, text, until_eq, with,
};

#[track_caller]
fn done(exit: Exit) -> Exit {
    assert_eq!(exit.code, Some(0), "{exit:?}");
    exit
}

#[track_caller]
fn refused(exit: &Exit, why: &str) {
    assert!(exit.code != Some(0) && exit.stderr.contains(why), "{why}: {exit:?}");
}

async fn back_up(app: &TestApp, file: &Path) -> Value {
    let exit = done(app.admin_command(&["backup", path(file), "--json"], &[]).await);
    serde_json::from_str(&exit.stdout).unwrap()
}

async fn restore(file: &Path, data: &Path) -> Exit {
    run_with(file.parent().unwrap(), &["restore", path(file), "--data", path(data)], &[]).await
}

/// Restores a backup and starts the copy with the original's master key.
async fn copy_of(app: &TestApp, file: &Path, data: &Path) -> TestApp {
    let exit = done(restore(file, data).await);
    assert!(exit.stdout.contains("held") && exit.stdout.contains("master key"), "{exit:?}");
    fs::copy(app.data().join("master.key"), data.join("master.key")).unwrap();
    Setup::new().data(data).start_empty().await
}

/// The original's caller for the copy, which knows the key from the backup.
fn at(copy: &TestApp, caller: &Api) -> Api {
    copy.api(Some(caller.key()))
}

async fn pause(app: &TestApp, org: &str, what: &str) {
    assert_eq!(app.admin().post(&format!("admin/orgs/{org}/{what}"), &json!({})).await.status, 200);
}

async fn explained(api: &Api, id: &str) -> String {
    api.get(&format!("outbound/messages/{id}/explain")).await.ok(200)["summary"].as_str().unwrap().to_owned()
}

fn places() -> (TempDir, PathBuf, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let (file, data) = (temp.path().join("backup.twotick"), temp.path().join("copy"));
    (temp, file, data)
}

/// A stopped service with one message sent and one queued, and its backup.
async fn backed_up(file: &Path) -> TestApp {
    let mut app = TestApp::start().await;
    app.one_more().await;
    app.acme().accept(&with(text(1), &json!({"sendAt": "2099-01-01T00:00:00Z"}))).await;
    app.settled().await;
    back_up(&app, file).await;
    app.stop().await;
    app
}

#[tokio::test]
async fn a_copy_of_a_running_service_has_every_acknowledged_message_and_sends_only_new_ones() {
    let (_temp, file, data) = places();
    let app = TestApp::start().await;
    let beta = app.org("beta", "2066").await;
    // These messages stay queued: the original never sends them.
    pause(&app, "beta", "pause").await;
    let mut waiting = Vec::new();
    for n in 0..4 {
        waiting.push(beta.accept(&with(text(n), &json!({"idempotencyKey": format!("k{n}")}))).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|worker| {
            let (acme, stop) = (app.acme().clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut ids = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    ids.push(acme.accept(&text(1000 * worker + ids.len())).await);
                }
                ids
            })
        })
        .collect();
    until_eq("200 messages sent", true, || app.sim.messages().len() >= 200).await;
    let before = app.acme().get("outbound/messages?limit=200").await.ok(200);
    let before: Vec<_> =
        before["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
    let taken = back_up(&app, &file).await;
    assert_eq!(taken["masterKeys"].as_array().unwrap().len(), 1);
    stop.store(true, Ordering::Relaxed);
    for worker in load {
        worker.await.unwrap();
    }
    assert_eq!(app.admin().get("admin/backups").await.ok(200)["items"], json!([]), "a fetched backup is deleted");

    let copy = copy_of(&app, &file, &data).await;
    let (acme, copied_beta) = (at(&copy, app.acme()), at(&copy, &beta));
    for id in &before {
        acme.message(id).await;
    }
    pause(&copy, "beta", "resume").await;
    let held = explained(&copied_beta, &waiting[0]).await;
    assert!(held.contains("restored from a backup of 20") && held.contains("twotick release"), "{held}");
    assert_eq!(copied_beta.message(&waiting[0]).await["nextRetryAt"], Value::Null);

    // Both organisations can send new messages. Nothing older is sent, and idempotency keys are still known.
    for api in [&acme, &copied_beta] {
        let id = api.accept(&text(777)).await;
        api.until(&id, "READ").await;
    }
    assert_eq!(copy.sim.messages().len(), 2, "the copy sent only new messages");
    let again = copied_beta.send_message(&with(text(0), &json!({"idempotencyKey": "k0"}))).await;
    assert_eq!(again.ok(200)["id"], waiting[0].as_str());
    let cancelled = copied_beta.post(&format!("outbound/messages/{}/cancel", waiting[3]), &json!({})).await;
    assert_eq!(cancelled.ok(200)["status"], "CANCELLED");

    let shown = copy.admin().get("admin/orgs/beta").await.ok(200)["restored"].clone();
    assert_eq!((&shown["backup"], &shown["held"]), (&taken["id"], &json!(4)));
    done(copy.admin_command(&["release", "--org", "beta", "--send"], &[]).await);
    for id in &waiting[..3] {
        copied_beta.until(id, "READ").await;
    }
    done(copy.admin_command(&["release", "--all", "--cancel"], &[]).await);
    assert_eq!(copy.admin().get("admin/orgs/acme").await.ok(200)["restored"], Value::Null);
    assert_eq!(copy.sim.messages().len(), 5, "only new and released messages were sent");
    let actions = copied_beta.get("audit?limit=200").await.ok(200).to_string();
    assert!(actions.contains("\"held\":4") && actions.contains("\"messages\":3"), "{actions}");
}

#[tokio::test]
async fn messages_in_flight_are_held_in_a_copy_and_settled_by_their_receipts() {
    let (_temp, file, data) = places();
    let app = TestApp::start().await;
    app.sim.set_receipts(false);
    app.sim.set_faults(faults(&json!([{"to": phone(2), "fault": {"kind": "dropAfter"}}])));
    let (sent, lost) = (app.acme().accept(&text(1)).await, app.acme().accept(&text(2)).await);
    let wamid = app.acme().until(&sent, "SENT").await["providerMessageId"].as_str().unwrap().to_owned();
    app.acme().until_error(&lost, "SENDING", "CONNECTION_LOST").await;
    back_up(&app, &file).await;

    let copy = copy_of(&app, &file, &data).await;
    let acme = at(&copy, app.acme());
    let receipt = async |status: Value| {
        let answer = copy.webhook(notification(PHONE, &[status]).to_string().as_bytes()).await;
        assert_eq!(answer.status, 200);
    };
    assert!(explained(&acme, &lost).await.contains("it is held"));
    let opaque = &app.sim.messages().iter().find(|message| message.to == phone(2)).unwrap().opaque.clone();
    receipt(with(status("wamid.told-late", "delivered"), &json!({"biz_opaque_callback_data": opaque}))).await;
    acme.until(&lost, "DELIVERED").await;

    // A failed receipt does not release its message: the original may have got it, too, and sent the message again.
    let failed = json!({"errors": [{"code": 131_000, "title": "Something went wrong"}]});
    receipt(with(status(&wamid, "failed"), &failed)).await;
    assert!(explained(&acme, &sent).await.contains("it is held"));
    receipt(status(&wamid, "delivered")).await;
    acme.until(&sent, "DELIVERED").await;
    assert_eq!(copy.sim.messages().len(), 0);
}

#[tokio::test]
async fn a_copy_does_not_apply_a_failed_receipt_of_the_originals_attempt_with_the_same_number() {
    let (_temp, file, data) = places();
    let app = TestApp::start().await;
    pause(&app, "acme", "pause").await;
    let id = app.acme().accept(&text(1)).await;
    back_up(&app, &file).await;
    // The original goes on and sends the message, but gets no receipts.
    app.sim.set_receipts(false);
    pause(&app, "acme", "resume").await;
    let originals = app.acme().until(&id, "SENT").await["providerMessageId"].as_str().unwrap().to_owned();
    let opaque = app.sim.messages()[0].opaque.clone();

    let copy = copy_of(&app, &file, &data).await;
    let acme = at(&copy, app.acme());
    copy.sim.set_receipts(false);
    done(copy.admin_command(&["release", "--send", "--all"], &[]).await);
    pause(&copy, "acme", "resume").await;
    let own = acme.until(&id, "SENT").await["providerMessageId"].as_str().unwrap().to_owned();
    assert_eq!(copy.sim.messages()[0].opaque, opaque, "both sent the first attempt");
    assert_ne!(own, originals);
    let failed =
        json!({"errors": [{"code": 131_000, "title": "Something went wrong"}], "biz_opaque_callback_data": opaque});
    let receipt = async |told: Value| copy.webhook(notification(PHONE, &[told]).to_string().as_bytes()).await.ok(200);
    receipt(with(status(&originals, "failed"), &failed)).await;
    assert_eq!(acme.message(&id).await["status"], "SENT");
    assert_eq!(acme.attempts(&id).await[0]["status"], "ACCEPTED");
    // The receipt of the copy's own attempt is applied.
    receipt(with(status(&own, "failed"), &failed)).await;
    assert_eq!(acme.attempts(&id).await[0]["errorCode"], "131000");
}

#[tokio::test]
async fn an_interrupted_download_continues_after_a_kill_and_gets_the_same_bytes() {
    let (_temp, file, _) = places();
    let mut app = TestApp::start().await;
    app.one_more().await;
    let begun = app.admin().post("admin/backups", &json!({})).await.ok(202);
    let id = begun["id"].as_str().unwrap().to_owned();
    let state = async |wanted: &str| {
        let status = app.admin().get(&format!("admin/backups/{id}")).await.ok(200);
        if status["state"] == wanted { Ok(status) } else { Err(status) }
    };
    let ready = eventually("a backup", async || state("READY").await).await;
    let request = app.admin().request("GET", &format!("admin/backups/{id}/data")).header("range", "bytes=0-");
    let whole = request.send().await.unwrap().bytes().await.unwrap();
    assert_eq!(ready["bytes"], whole.len());
    let part = file.with_extension("twotick.part");
    fs::write(&part, &whole[..whole.len() - 300]).unwrap();
    // A kill during a backup leaves nothing behind, even just before the backup is complete.
    for end in ["0.part", "1.part", "1.json"] {
        fs::write(app.data().join(format!("backups/20260101T000000000Z-0000000{end}")), "half").unwrap();
    }
    app.kill_and_start_again().await;
    let exit = done(app.admin_command(&["backup", path(&file)], &[]).await);
    assert!(exit.stderr.contains(&format!("going on with backup {id} at byte")), "{exit:?}");
    assert_eq!(fs::read(&file).unwrap(), whole);
    assert!(!part.exists());
    assert_eq!(fs::read_dir(app.data().join("backups")).unwrap().count(), 0);
    refused(&app.admin_command(&["backup", path(&file)], &[]).await, "exists");

    // If the service no longer has the backup, the command takes a new one.
    let file = file.with_extension("second");
    fs::write(file.with_extension("second.part"), &whole[..whole.len() / 2]).unwrap();
    let exit = done(app.admin_command(&["backup", path(&file)], &[]).await);
    assert!(exit.stderr.contains("a new one is begun"), "{exit:?}");
}

#[tokio::test]
async fn a_backup_that_cannot_be_written_is_not_begun() {
    let (temp, file, _) = places();
    let mut app = TestApp::start().await;
    refused(&app.admin_command(&["backup", path(&temp.path().join("missing/file"))], &[]).await, "missing/file.part");
    assert_eq!(app.admin().get("admin/backups").await.ok(200)["items"], json!([]));
    app.stop().await;
    let (base, data) = (app.base(), app.data());
    let args = ["backup", path(&file), "--url", &base, "--data", path(&data)];
    assert_eq!(run_with(temp.path(), &args, &[]).await.code, Some(1));
    assert!(!temp.path().join("backup.twotick.part").exists());
}

#[tokio::test]
async fn a_kill_during_a_backup_leaves_no_partial_backup_and_the_next_one_succeeds() {
    let (temp, _, data) = places();
    let mut app = TestApp::start().await;
    app.admin().post("admin/orgs/acme/pause", &json!({})).await.ok(200);
    let body = "x".repeat(3000);
    for n in 0..300 {
        app.acme().accept(&with(text(n), &json!({"payloadJson": {"type": "text", "text": {"body": body}}}))).await;
    }
    for round in 0..4 {
        let begun = app.admin().post("admin/backups", &json!({})).await.ok(202);
        let place = format!("admin/backups/{}", begun["id"].as_str().unwrap());
        // Each round kills later: from the first moment of the backup to its completion.
        let enough = eventually("a backup in progress", async || {
            let status = app.admin().get(&place).await.ok(200);
            let is_so_far = status["records"].as_u64().is_some_and(|records| records >= 400 * round);
            if is_so_far || status["state"] == "READY" { Ok(status) } else { Err(status) }
        })
        .await;
        // A kill while the description of a backup is written leaves a temporary file.
        fs::write(app.data().join("backups/.tmpAbCdEf"), "{").unwrap();
        app.kill_and_start_again().await;
        let found = app.admin().get("admin/backups").await.ok(200)["items"].clone();
        let whole: Vec<_> = found.as_array().unwrap().iter().filter(|item| item["state"] == "READY").collect();
        assert_eq!(whole.len(), found.as_array().unwrap().len(), "round {round}, {enough}: {found}");
        assert_eq!(fs::read_dir(app.data().join("backups")).unwrap().count(), 2 * whole.len());
    }
    let file = temp.path().join("next");
    back_up(&app, &file).await;
    done(restore(&file, &data).await);
}

#[tokio::test]
async fn a_disk_that_fills_during_a_backup_fails_the_backup_and_not_the_service() {
    let (_temp, file, data) = places();
    // There are no organisations yet, so that nothing but the backup is written.
    let app = Setup::new().file_limit(1 << 40).start_empty().await;
    let limit = |bytes: &str| {
        let args = [format!("--pid={}", app.pid()), format!("--fsize={bytes}:")];
        assert!(Command::new("prlimit").args(args).status().unwrap().success());
    };
    limit("64");
    let begun = app.admin().post("admin/backups", &json!({})).await.ok(202);
    let status = eventually("the end of a backup", async || {
        let status = app.admin().get(&format!("admin/backups/{}", begun["id"].as_str().unwrap())).await.ok(200);
        if status["state"] == "RUNNING" { Err(status) } else { Ok(status) }
    })
    .await;
    assert!(status["state"] == "FAILED" && status["reason"].as_str().unwrap().contains("the backup file"), "{status}");
    assert_eq!(fs::read_dir(app.data().join("backups")).unwrap().count(), 0);
    // The failure is listed until somebody deletes it.
    let place = format!("admin/backups/{}", begun["id"].as_str().unwrap());
    assert_eq!(app.admin().get("admin/backups").await.ok(200)["items"], json!([status]));
    assert_eq!(app.admin().delete(&place).await.status, 204);
    app.admin().delete(&place).await.problem(404, "NOT_FOUND");
    assert_eq!(app.admin().get("admin/backups").await.ok(200)["items"], json!([]));
    assert_eq!(app.api(None).get("/readyz").await.status, 200);
    limit("unlimited");
    let acme = app.org("acme", PHONE).await;
    let id = acme.accept(&text(1)).await;
    acme.until(&id, "READ").await;
    back_up(&app, &file).await;
    done(restore(&file, &data).await);
}

#[tokio::test]
async fn a_download_of_a_range_that_does_not_exist_is_refused() {
    let app = TestApp::start().await;
    let admin = app.admin();
    admin.get("admin/backups/nothing/data").await.problem(404, "NOT_FOUND");
    admin.get("admin/backups/..%2Fadmin.key/data").await.problem(404, "NOT_FOUND");
    let begun = admin.post("admin/backups", &json!({})).await.ok(202);
    let place = format!("admin/backups/{}", begun["id"].as_str().unwrap());
    eventually("a backup", async || {
        let status = admin.get(&place).await.ok(200);
        if status["state"] == "READY" { Ok(()) } else { Err(status) }
    })
    .await;
    let beyond = admin.request("GET", &format!("{place}/data")).header("range", "bytes=99999999-");
    send(beyond).await.problem(416, "RANGE");
    assert_eq!(admin.delete(&place).await.status, 204);
    admin.get(&place).await.problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn the_folder_of_a_stopped_service_is_backed_up_by_the_same_command() {
    let (_temp, file, data) = places();
    let app = backed_up(&file).await;
    let offline = file.with_extension("offline");
    let exit = done(run_with(app.folder(), &["backup", path(&offline), "--data", path(&app.data())], &[]).await);
    assert!(exit.stdout.contains("master.key and admin.key are not in it"), "{exit:?}");
    let copy = copy_of(&app, &offline, &data).await;
    assert_eq!(at(&copy, app.acme()).stats().await["READ"], 1);
    let log = copy.log();
    assert!(log.contains("twotick release"), "the log says at the start that messages are held: {log}");
}

#[tokio::test]
async fn a_damaged_or_truncated_backup_is_refused_before_anything_changes() {
    let (temp, file, data) = places();
    let _app = backed_up(&file).await;
    let whole = fs::read(&file).unwrap();
    let bent = temp.path().join("bent");
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    let longer = [whole.as_slice(), b"more"].concat();
    let (cut, other) = (&whole[..whole.len() - 7], b"something else altogether".as_slice());
    for (bytes, why) in [
        (flipped.as_slice(), "damaged at byte"),
        (cut, "cut off"),
        (&longer, "damaged at byte"),
        (other, "not a backup"),
    ] {
        fs::write(&bent, bytes).unwrap();
        let exit = restore(&bent, &data).await;
        refused(&exit, why);
        assert!(exit.stderr.contains("Nothing was restored"), "{exit:?}");
        assert!(!data.exists());
    }
}

#[tokio::test]
async fn a_restore_does_not_overwrite_an_existing_folder() {
    let (_temp, file, data) = places();
    let app = backed_up(&file).await;
    refused(&restore(&file, &app.data()).await, "not empty");
    fs::create_dir(&data).unwrap();
    done(restore(&file, &data).await);
    refused(&restore(&file, &data).await, "not empty");
}

#[tokio::test]
async fn a_killed_restore_leaves_no_folder_and_can_be_run_again() {
    let (temp, file, data) = places();
    let _app = backed_up(&file).await;
    let building = temp.path().join("copy.restoring");
    let args = ["restore", path(&file), "--data", path(&data)];
    let mut process = Process::spawn(temp.path(), &args, &[]);
    eventually("a restore in progress", async || if building.exists() || data.exists() { Ok(()) } else { Err(()) })
        .await;
    process.kill();
    if !data.exists() {
        done(restore(&file, &data).await);
    }
    assert!(!building.exists());
    let exit = done(run_with(temp.path(), &["verify", "--data", path(&data)], &[]).await);
    assert!(exit.stdout.contains("is whole"), "{exit:?}");
}

#[tokio::test]
async fn a_held_message_still_expires() {
    let (_temp, file, data) = places();
    let app = TestApp::start().await;
    pause(&app, "acme", "pause").await;
    let ends = json!({"expiresAt": app.acme().clock().await.after(std::time::Duration::from_secs(4)).to_string()});
    let id = app.acme().accept(&with(seed("k"), &ends)).await;
    back_up(&app, &file).await;
    let copy = copy_of(&app, &file, &data).await;
    at(&copy, app.acme()).until_error(&id, "FAILED", "EXPIRED").await;
    assert_eq!(copy.sim.messages().len(), 0);
}

#[tokio::test]
async fn only_the_admin_key_can_take_list_or_download_backups() {
    let app = TestApp::start().await;
    let calls = [
        ("POST", "backups"),
        ("GET", "backups"),
        ("GET", "backups/x"),
        ("DELETE", "backups/x"),
        ("GET", "backups/x/data"),
    ];
    for (method, path) in calls {
        let path = format!("/api/v1/admin/{path}");
        assert_eq!(send(app.api(None).request(method, &path)).await.status, 401, "{method} {path}");
        assert_eq!(send(app.acme().request(method, &path)).await.status, 403, "{method} {path}");
    }
}

#[tokio::test]
async fn deleting_a_backup_in_progress_cancels_it() {
    let app = TestApp::start().await;
    for _ in 0..10 {
        let begun = app.admin().post("admin/backups", &json!({})).await;
        if begun.status == 409 {
            // The deleted backup ends at its next step.
            begun.problem(409, "BACKUP_ENDING");
            continue;
        }
        let id = begun.ok(202)["id"].as_str().unwrap().to_owned();
        let path = format!("admin/backups/{id}");
        assert_eq!(app.admin().delete(&path).await.status, 204);
        assert_eq!(app.admin().get(&path).await.status, 404);
    }
    eventually("no backup files", async || {
        let left: Vec<_> =
            std::fs::read_dir(app.data().join("backups")).unwrap().map(|file| file.unwrap().path()).collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}
