//! Starting: what is refused, with a reason that a person can act on, and without changing anything.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::support::{Exit, PATIENCE, Process, Setup, TestApp, any_port, path, run_with};

/// Runs `serve` on a data folder, which must fail.
async fn refused(data: &Path) -> Exit {
    let temp = tempfile::tempdir().unwrap();
    let exit = run_with(temp.path(), &["serve", "--data", path(data), "--listen", "127.0.0.1:0"], &[]).await;
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(1), ""), "{exit:?}");
    assert!(exit.stderr.contains(path(data)), "{exit:?}");
    exit
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn serve_prints_one_line_and_is_ready() {
    let mut app = Setup::new().start_empty().await;
    let base = app.base();
    assert!(base.starts_with("http://127.0.0.1:") && !base.ends_with(":0"), "{base}");
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(app.api(None).get(probe).await.status, 200, "{probe} needs no key");
    }
    let exit = app.stop().await;
    assert_eq!((exit.code, exit.stdout), (Some(0), format!("listening on {base}\n")));
    assert!(
        exit.stderr.lines().all(|line| line.starts_with('{')),
        "the log is JSON if it does not go to a terminal: {}",
        exit.stderr
    );
}

#[tokio::test]
async fn the_admin_key_is_created_once_and_readable_only_by_its_owner() {
    let mut app = Setup::new().start_empty().await;
    let file = app.data().join("admin.key");
    let key = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(app.log().contains("admin.key") && !app.log().contains(key.trim()), "its path is logged, not the key");
    app.stop().await;
    app.start_again().await;
    assert_eq!(fs::read_to_string(&file).unwrap(), key);
    app.stop().await;
    app.set("admin.key", "env:TEST_ADMIN_KEY");
    let config = app.config_file();
    let missing = run_with(app.folder(), &["serve", "--config", path(&config), "--data", path(&app.data())], &[]).await;
    assert!(missing.code == Some(2) && missing.stderr.contains("TEST_ADMIN_KEY"), "{missing:?}");
    let ours = "a-key-from-the-configuration-1234";
    app.set("admin.key", ours);
    app.start_again().await;
    let admin = app.api(Some(ours));
    assert_eq!(admin.get("admin/orgs").await.status, 200);
    assert_eq!(app.api(Some(key.trim())).get("admin/orgs").await.status, 401);
}

#[tokio::test]
async fn readable_secrets_are_warned_about_and_a_guessable_admin_key_is_refused() {
    let mut app = Setup::new().start_empty().await;
    assert!(!app.log().contains("other users"), "the files are created as private");
    app.stop().await;
    for name in ["admin.key", "master.key"] {
        fs::set_permissions(app.data().join(name), fs::Permissions::from_mode(0o640)).unwrap();
    }
    app.start_again().await;
    let log = app.log();
    let warned: Vec<_> = log.lines().filter(|line| line.contains("other users of this machine")).collect();
    assert!(warned.len() == 2 && warned.iter().all(|line| line.contains("WARN")), "{warned:?}");
    assert!(warned[0].contains("admin.key") && warned[1].contains("master.key"), "{warned:?}");
    let (config, data, url) = (app.config_file(), app.data(), app.base());
    let doctor = ["doctor", "--config", path(&config), "--data", path(&data), "--url", &url];
    let exit = run_with(app.folder(), &doctor, &[]).await;
    assert!(exit.stdout.contains("note   admin key") && exit.stdout.contains("note   master key"), "{exit:?}");
    app.stop().await;
    fs::write(app.data().join("admin.key"), "letmein\n").unwrap();
    let exit = refused(&app.data()).await;
    assert!(exit.stderr.contains("at least 12 characters") && !exit.stderr.contains("letmein"), "{exit:?}");
}

#[tokio::test]
async fn a_data_folder_in_use_is_refused_and_its_user_is_not_disturbed() {
    let app = TestApp::start().await;
    let exit = refused(&app.data()).await;
    assert!(exit.stderr.contains("in use"), "{exit:?}");
    app.one_more().await;
}

#[tokio::test]
async fn a_folder_of_another_format_is_refused_and_unchanged() {
    let mut app = Setup::new().start_empty().await;
    app.stop().await;
    let marker = app.data().join("twotick.store");
    app.is_damaged = true;
    let before = names(&app.data());
    let ours = fs::read_to_string(&marker).unwrap();
    for (format, advice) in [
        ("format 99", "start twotick 0.1.0 or a newer one"),
        ("format 1", "take a backup with the twotick that wrote it"),
    ] {
        let other = ours.replace("format 3", format);
        fs::write(&marker, &other).unwrap();
        let exit = refused(&app.data()).await;
        assert!(exit.stderr.contains(advice), "{exit:?}");
        assert_eq!((names(&app.data()), fs::read_to_string(&marker).unwrap()), (before.clone(), other));
    }
}

#[tokio::test]
async fn a_folder_that_is_not_a_store_is_refused_and_unchanged() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("letter.txt"), "dear").unwrap();
    let exit = refused(temp.path()).await;
    assert!(exit.stderr.contains("not a twotick store"), "{exit:?}");
    assert_eq!(names(temp.path()), ["letter.txt"]);
    let file = temp.path().join("letter.txt");
    refused(&file).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "dear");
    refused(Path::new("/proc/no-such-place/data")).await;
}

#[tokio::test]
async fn a_port_in_use_is_refused_with_its_address() {
    let taken = any_port().await;
    let address = taken.local_addr().unwrap().to_string();
    let temp = tempfile::tempdir().unwrap();
    let exit = run_with(temp.path(), &["serve", "--data", "data", "--listen", &address], &[]).await;
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(1), ""), "{exit:?}");
    assert!(exit.stderr.contains(&address), "{exit:?}");
    assert_eq!(exit.stderr.matches("in use").count(), 1, "reported once: {exit:?}");
}

/// The entries of a folder, including itself, whose mode gives others any access.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mode = fs::metadata(folder).unwrap().permissions().mode();
    let mut open = if mode & 0o077 == 0 { Vec::new() } else { vec![format!("{} {mode:o}", folder.display())] };
    if folder.is_dir() {
        open.extend(fs::read_dir(folder).unwrap().flat_map(|entry| open_to_others(&entry.unwrap().path())));
    }
    open
}

#[tokio::test]
async fn a_data_folder_is_private_whatever_its_mode_and_the_umask_were() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    let program = env!("CARGO_BIN_EXE_twotick");
    let script = format!("umask 0; exec {program} serve --data {} --listen 127.0.0.1:0", path(&data));
    let mut serve = tokio::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(temp.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(serve.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
    assert!(line.is_some_and(|line| line.starts_with("listening on")));
    assert!(names(&data).len() > 3);
    assert_eq!(open_to_others(&data), [""; 0]);
}

#[tokio::test]
async fn a_deliberately_shared_data_folder_keeps_its_mode() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o750)).unwrap();
    let mut app = Setup::new().set("store.allow_shared_folder", true).data(&data).start_empty().await;
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o750);
    app.stop().await;
    app.set("store.allow_shared_folder", false);
    app.start_again().await;
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(app.log().contains("other users of this machine could look into the data folder"), "{}", app.log());
}

#[tokio::test]
async fn an_api_key_that_is_the_admin_key_is_refused() {
    let mut app = Setup::new().start_empty().await;
    let key = app.admin().key().to_owned();
    let org = format!("[[orgs]]\nid = \"acme\"\napi_keys = [\"{key}\"]\n");
    app.stop().await;
    app.add(&org);
    let (config, data) = (app.config_file(), app.data());
    let serve = ["serve", "--config", path(&config), "--data", path(&data), "--listen", "127.0.0.1:0"];
    let exit = run_with(app.folder(), &serve, &[]).await;
    assert!(exit.code == Some(1) && exit.stderr.contains("api_keys[0] is the admin key"), "{exit:?}");
    // An organisation already has the key that is configured as the admin key.
    let own = "a-key-of-an-organisation-0123456789";
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let file = temp.path().join("first.toml");
    fs::write(&file, org.replace(&key, own)).unwrap();
    let mut first = Process::spawn(
        temp.path(),
        &["serve", "--config", path(&file), "--data", path(&data), "--listen", "127.0.0.1:0"],
        &[],
    );
    first.listening().await;
    first.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(first.exit().await.code, Some(0));
    let args = ["serve", "--data", path(&data), "--listen", "127.0.0.1:0"];
    let exit = run_with(temp.path(), &args, &[("TWOTICK__ADMIN__KEY", own)]).await;
    assert!(exit.code == Some(1) && exit.stderr.contains("also the API key"), "{exit:?}");
}
