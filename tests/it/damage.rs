//! A damaged store is not served, `verify` reports the damage, and an operator decides.

use std::fs;
use std::path::Path;

use crate::support::{Exit, TestApp, path, run, text};

/// Runs `serve` on a damaged folder, which must fail and say what to do.
async fn refused(data: &Path) -> Exit {
    let exit = run(&["serve", "--data", path(data), "--listen", "127.0.0.1:0"]).await;
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(1), ""), "{exit:?}");
    assert!(exit.stderr.contains("backup") && exit.stderr.contains("twotick verify"), "{exit:?}");
    exit
}

async fn verify(data: &Path, more: &[&str]) -> Exit {
    run(&[&["verify", "--data", path(data)], more].concat()).await
}

/// A stopped service that has sent a message.
async fn stopped() -> TestApp {
    let mut app = TestApp::start().await;
    app.one_more().await;
    app.settled().await;
    assert_eq!(app.stop().await.code, Some(0));
    app.is_damaged = true;
    app
}

#[tokio::test]
async fn a_whole_folder_verifies() {
    let mut app = stopped().await;
    let exit = verify(&app.data(), &[]).await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("organisations 1, messages 1,") && exit.stdout.contains("is whole"), "{exit:?}");
    app.is_damaged = false;
}

#[tokio::test]
async fn a_folder_in_use_or_without_a_store_is_not_verified() {
    let app = TestApp::start().await;
    let in_use = verify(&app.data(), &[]).await;
    assert!(in_use.code == Some(1) && in_use.stderr.contains("in use"), "{in_use:?}");
    let temp = tempfile::tempdir().unwrap();
    let empty = verify(temp.path(), &[]).await;
    assert!(empty.code == Some(1) && empty.stderr.contains("holds no twotick store"), "{empty:?}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0, "and none is created");
}

#[tokio::test]
async fn a_store_overwritten_with_garbage_is_refused() {
    let app = stopped().await;
    let sled = app.data().join("sled");
    for entry in fs::read_dir(sled).unwrap().map(|entry| entry.unwrap().path()).filter(|entry| entry.is_file()) {
        let length = fs::metadata(&entry).unwrap().len();
        fs::write(&entry, vec![0x5a; usize::try_from(length).unwrap()]).unwrap();
    }
    refused(&app.data()).await;
}

#[tokio::test]
async fn a_store_without_its_log_is_refused_and_gets_no_new_log() {
    let app = stopped().await;
    fs::remove_dir_all(app.data().join("sled")).unwrap();
    for _ in 0..2 {
        let exit = refused(&app.data()).await;
        assert!(exit.stderr.contains("has lost what it had acknowledged"), "{exit:?}");
    }
    assert!(!app.data().join("sled").exists());
}

#[tokio::test]
async fn a_journal_without_its_end_is_refused_until_a_person_accepts_the_loss() {
    let mut app = stopped().await;
    let journal = app.data().join("journal/1");
    // The last complete batches are cut off; those before them stay.
    let bytes = fs::read(&journal).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(&journal, &bytes[..used - 300]).unwrap();
    refused(&app.data()).await;

    let exit = verify(&app.data(), &[]).await;
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stdout.contains("acknowledged batches are there"), "{exit:?}");
    refused(&app.data()).await;

    let exit = verify(&app.data(), &["--accept-loss"]).await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    app.start_again().await;
    let id = app.acme().accept(&text(1)).await;
    app.acme().until(&id, "READ").await;
    app.is_damaged = false;
}
