//! A restore either creates the store in the requested folder or changes nothing. A copy sends each held message once,
//! however often its release is requested.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::support::{Setup, TestApp, eventually, path, run_with, text};

/// Backs up a stopped service with `queued` messages that were never sent.
async fn backed_up(file: &Path, queued: usize) -> TestApp {
    let mut app = TestApp::start().await;
    app.admin().post("admin/orgs/acme/pause", &json!({})).await.ok(200);
    for n in 0..queued {
        app.acme().accept(&text(n)).await;
    }
    app.stop().await;
    let exit = run_with(app.folder(), &["backup", path(file), "--data", path(&app.data())], &[]).await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    app
}

/// Restores with `from` as the working directory.
fn restore(from: &Path, file: &Path, data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twotick"));
    command.args(["restore", path(file), "--data", path(data)]).current_dir(from).output().unwrap()
}

/// Asserts that a folder contains no unfinished restore.
fn assert_no_unfinished_restore(folder: &Path) {
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_str().unwrap().contains("restoring")), "{left:?}");
}

async fn assert_whole(data: &Path) {
    let exit = run_with(data.parent().unwrap(), &["verify", "--data", path(data)], &[]).await;
    assert!(exit.stdout.contains("is whole"), "{exit:?}");
}

#[tokio::test]
async fn a_restore_fills_an_empty_folder_however_its_path_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("backup.twotick");
    let _app = backed_up(&file, 2).await;
    let folder = |name: &str| {
        let folder = temp.path().join(name);
        fs::create_dir(&folder).unwrap();
        folder
    };
    let (here, below, linked, slashed) = (folder("here"), folder("below"), folder("linked"), folder("slashed"));
    symlink(&linked, temp.path().join("link")).unwrap();
    let missing = temp.path().join("not/there/yet");
    for (from, data, place) in [
        (&here, ".", &here),
        (&linked, "../below/", &below),
        (&below, "../link", &linked),
        (&linked, "../slashed/.", &slashed),
        (&below, "../not/there/yet", &missing),
    ] {
        let exit = restore(from, &file, Path::new(data));
        assert!(exit.status.success(), "{data}: {exit:?}");
        assert_whole(place).await;
    }
    assert!(temp.path().join("link").is_symlink());
    assert_no_unfinished_restore(temp.path());
}

#[tokio::test]
async fn a_folder_that_cannot_become_the_store_is_refused_and_unchanged() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("backup.twotick");
    let _app = backed_up(&file, 1).await;
    let (dangling, other) = (temp.path().join("dangling"), temp.path().join("other"));
    symlink(temp.path().join("nowhere"), &dangling).unwrap();
    fs::write(&other, "something").unwrap();
    for place in [&dangling, &other, &other.join("data")] {
        let exit = restore(temp.path(), &file, place);
        let told = String::from_utf8_lossy(&exit.stderr);
        assert!(exit.status.code() == Some(1) && told.contains(path(place)), "{place:?}: {exit:?}");
    }
    assert_no_unfinished_restore(temp.path());
    let disk = temp.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(&disk).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("cannot mount a disk here: skipping the restore to a mount point");
        return;
    }
    let exits = [restore(temp.path(), &file, &disk), restore(temp.path(), &file, &disk.join("data"))];
    let left = fs::read_dir(&disk).unwrap().count();
    let _ = Command::new("umount").arg("--lazy").arg(&disk).status();
    let [whole, within] = exits;
    assert!(String::from_utf8_lossy(&whole.stderr).contains("name a folder in it"), "{whole:?}");
    assert!(within.status.success() && left == 1, "{within:?}");
    assert_no_unfinished_restore(temp.path());
}

#[tokio::test]
async fn a_copy_of_a_copy_holds_the_same_messages_and_reports_their_number() {
    let temp = tempfile::tempdir().unwrap();
    let [file, second] = ["backup.twotick", "second"].map(|name| temp.path().join(name));
    let [copy, copied] = ["copy", "copied"].map(|name| temp.path().join(name));
    let app = backed_up(&file, 3).await;
    assert!(restore(temp.path(), &file, &copy).status.success());
    let exit = run_with(temp.path(), &["backup", path(&second), "--data", path(&copy)], &[]).await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let told = restore(temp.path(), &second, &copied);
    assert!(String::from_utf8_lossy(&told.stdout).contains("3 messages are held"), "{told:?}");
    fs::copy(app.data().join("master.key"), copied.join("master.key")).unwrap();
    let app = Setup::new().data(&copied).start_empty().await;
    assert_eq!(app.admin().get("admin/orgs/acme").await.ok(200)["restored"]["held"], 3);
    assert!(app.log().contains("messages of before are held"), "{}", app.log());
}

#[tokio::test]
async fn held_messages_are_sent_once_despite_concurrent_and_interrupted_releases() {
    const HELD: usize = 300;
    let temp = tempfile::tempdir().unwrap();
    let (file, data) = (temp.path().join("backup.twotick"), temp.path().join("copy"));
    let app = backed_up(&file, HELD).await;
    assert!(restore(temp.path(), &file, &data).status.success());
    fs::copy(app.data().join("master.key"), data.join("master.key")).unwrap();
    // A message whose attempt was killed between intent and call waits this long for a receipt that cannot come.
    let quick = Setup::new().set("whatsapp.request_timeout", "7s").set("outbound.stale_after", "8s");
    let mut copy = quick.data(&data).start_empty().await;
    copy.admin().post("admin/orgs/acme/resume", &json!({})).await.ok(200);
    let release = async |copy: &TestApp, held: &str| {
        copy.admin().post("admin/orgs/acme/release", &json!({ "held": held })).await.ok(200)
    };
    let all = tokio::join!(release(&copy, "SEND"), release(&copy, "SEND"), release(&copy, "CANCEL"));
    let released: u64 = [all.0, all.1, all.2].iter().map(|answer| answer["messages"].as_u64().unwrap()).sum();
    copy.kill_and_start_again().await;
    let mut rest = 0;
    loop {
        let answer = release(&copy, "SEND").await;
        rest += answer["messages"].as_u64().unwrap();
        if answer["isAll"] == true {
            break;
        }
    }
    assert_eq!(released + rest, HELD as u64, "each message is released once");
    let api = copy.api(Some(app.acme().key()));
    let ended = eventually("all messages have ended", async || {
        let stats = api.stats().await;
        let count = |status: &str| stats[status].as_u64().unwrap();
        if count("READ") + count("CANCELLED") == HELD as u64 { Ok(count("READ")) } else { Err(stats.clone()) }
    })
    .await;
    assert_eq!(copy.sim.messages().len() as u64, ended, "none is sent twice");
}
