//! Every later version opens, verifies, serves and backs up what an earlier one wrote. Each has left a small data folder and a
//! backup in `tests/fixtures`, under its name.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{PHONE, Setup, TestApp, faults, notification, path, phone, run_with, seed, status, text, with};

/// Under which name [`the_fixture_of_this_version_is_written`] writes: the version, once its format is final.
const NAME: &str = env!("CARGO_PKG_VERSION");

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A message of each status, a consent that was revoked, a recipient of two names, an erasure, a receipt of nobody's message.
/// Says what is to be found again.
pub(crate) async fn live(app: &TestApp) -> Value {
    let acme = app.acme();
    let read = acme.accept(&seed("k")).await;
    acme.until(&read, "READ").await;
    let erased = acme.accept(&text(6)).await;
    acme.until(&erased, "READ").await;
    app.sim.set_faults(faults(&json!([{"to": phone(2), "fault": {"kind": "error", "code": 131_026}}])));
    let failed = acme.accept(&text(2)).await;
    acme.until(&failed, "FAILED").await;
    let mut waiting = Vec::new();
    for (n, more) in [
        (3, json!({"sendAt": "2099-01-01T00:00:00Z", "dossierId": "d", "subject": "s", "priority": "HIGH"})),
        (4, json!({"expiresAt": "2099-01-01T00:00:00Z", "sendAt": "2098-01-01T00:00:00Z", "onUnknown": "HOLD"})),
        (5, json!({"sendAt": "2099-01-01T00:00:00Z", "priority": "LOW"})),
    ] {
        waiting.push(acme.accept(&with(text(n), &more)).await);
    }
    acme.post(&format!("outbound/messages/{}/cancel", waiting[2]), &json!({})).await.ok(200);
    app.webhook(notification(PHONE, &[status("wamid.of-nobody", "delivered")]).to_string().as_bytes()).await.ok(200);
    let mut told = notification(PHONE, &[]);
    told["entry"][0]["changes"][0]["value"]["messages"] = json!([
        {"from": "4915112345678", "from_user_id": "DE.1", "id": "wamid.I", "timestamp": "1767225600",
            "type": "text", "text": {"body": "STOP"}},
        {"from": "4915112345678", "id": "wamid.J", "timestamp": "1767225601", "type": "system",
            "system": {"type": "user_changed_number", "wa_id": "4915187654321", "previous_user_id": "DE.1"}}]);
    app.webhook(told.to_string().as_bytes()).await.ok(200);
    app.settled().await;
    acme.delete(&format!("recipients/{}", phone(6))).await.ok(200);
    json!({
        "apiKey": acme.key(),
        "statuses": {&read: "READ", &failed: "FAILED", &waiting[0]: "QUEUED", &waiting[1]: "QUEUED", &waiting[2]: "CANCELLED"},
        "revoked": "+4915187654321",
    })
}

#[tokio::test]
#[ignore = "writes into the repository"]
async fn the_fixture_of_this_version_is_written() {
    let mut app = TestApp::start().await;
    let told = live(&app).await;
    let folder = fixtures().join(NAME);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("told.json"), serde_json::to_string_pretty(&told).unwrap() + "\n").unwrap();
    app.stop().await;
    let (config, data, file) = (app.config_file(), app.data(), folder.join("backup.twotick"));
    let args = ["backup", path(&file), "--config", path(&config), "--data", path(&data)];
    let exit = run_with(app.folder(), &args, &[]).await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    copy(&data, &folder.join("data"));
}

/// What an older version told is found, and all goes on.
async fn goes_on(app: &TestApp, told: &Value) {
    let acme = app.api(told["apiKey"].as_str());
    for (id, wanted) in told["statuses"].as_object().unwrap() {
        let message = acme.get(&format!("outbound/messages/{id}")).await.ok(200);
        assert_eq!(&message["status"], wanted, "{id}");
        acme.get(&format!("outbound/messages/{id}/timeline")).await.ok(200);
        acme.get(&format!("outbound/messages/{id}/explain")).await.ok(200);
    }
    let revoked = with(text(7), &json!({"to": told["revoked"]}));
    acme.send_message(&revoked).await.problem(422, "BLOCKED_BY_POLICY");
    let id = acme.accept(&text(8)).await;
    acme.until(&id, "READ").await;
    let stats = acme.stats().await;
    assert_eq!((&stats["FAILED"], &stats["CANCELLED"], &stats["QUEUED"]), (&json!(1), &json!(1), &json!(2)), "{stats}");
}

#[tokio::test]
async fn a_folder_and_a_backup_of_every_earlier_version_are_opened_verified_served_and_backed_up() {
    for version in fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()) {
        let temp = tempfile::tempdir().unwrap();
        let (data, restored, anew) =
            (temp.path().join("data"), temp.path().join("restored"), temp.path().join("anew.twotick"));
        copy(&version.join("data"), &data);
        let told: Value = serde_json::from_slice(&fs::read(version.join("told.json")).unwrap()).unwrap();
        let done = async |args: &[&str]| {
            let exit = run_with(temp.path(), args, &[]).await;
            assert_eq!(exit.code, Some(0), "{}: {args:?}: {exit:?}", version.display());
        };
        done(&["verify", "--data", path(&data)]).await;
        let mut app = Setup::new().data(&data).start_empty().await;
        goes_on(&app, &told).await;
        let held: Vec<_> = app.log().lines().filter(|line| line.contains("held")).map(str::to_owned).collect();
        assert!(held.is_empty(), "nothing is held because of an upgrade: {held:?}");
        app.stop().await;
        done(&["verify", "--data", path(&data)]).await;
        done(&["backup", path(&anew), "--data", path(&data)]).await;
        done(&["restore", path(&version.join("backup.twotick")), "--data", path(&restored)]).await;
        fs::copy(data.join("master.key"), restored.join("master.key")).unwrap();
        let app = Setup::new().data(&restored).start_empty().await;
        goes_on(&app, &told).await;
    }
}
