//! Keys: every call with every kind of key, the throttle of failed attempts, last use, and rotation of the admin key.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Api, PHONE, Setup, TestApp, eventually, org, seed, send, text};

/// The key that a call requires.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Requires {
    Nothing,
    Key(&'static str),
    Admin,
}
use Requires::{Admin, Key, Nothing};

/// Every call: method, path, required key, and the status for a caller with that key. Words in capitals stand for ids.
/// The last call deletes the organisation that the others need.
const CALLS: &[(&str, &str, Requires, u16)] = &[
    ("GET", "/healthz", Nothing, 200),
    ("GET", "/readyz", Nothing, 200),
    ("GET", "/api/v1/webhooks/whatsapp/inbound", Nothing, 403),
    ("POST", "/api/v1/webhooks/whatsapp/inbound", Nothing, 401),
    ("GET", "/api/v1/webhooks/whatsapp/ORG", Nothing, 403),
    ("POST", "/api/v1/webhooks/whatsapp/ORG", Nothing, 401),
    ("POST", "/api/v1/outbound/messages", Key("send"), 422),
    ("GET", "/api/v1/outbound/messages", Key("read"), 200),
    ("GET", "/api/v1/outbound/messages/paginated", Key("read"), 200),
    ("POST", "/api/v1/outbound/messages/retry", Key("send"), 422),
    ("POST", "/api/v1/outbound/messages/cancel", Key("send"), 422),
    ("GET", "/api/v1/outbound/messages/MESSAGE", Key("read"), 200),
    ("GET", "/api/v1/outbound/messages/MESSAGE/attempts", Key("read"), 200),
    ("GET", "/api/v1/outbound/messages/MESSAGE/timeline", Key("read"), 200),
    ("GET", "/api/v1/outbound/messages/MESSAGE/explain", Key("read"), 200),
    ("POST", "/api/v1/outbound/messages/MESSAGE/retry", Key("send"), 409),
    ("POST", "/api/v1/outbound/messages/MESSAGE/cancel", Key("send"), 409),
    ("GET", "/api/v1/outbound/stats", Key("read"), 200),
    ("GET", "/api/v1/inbound/messages", Key("read"), 200),
    ("GET", "/api/v1/activities", Key("read"), 422),
    ("GET", "/api/v1/audit", Key("read"), 200),
    ("GET", "/api/v1/consents", Key("read"), 200),
    ("GET", "/api/v1/consents/RECIPIENT", Key("read"), 200),
    ("PUT", "/api/v1/consents/RECIPIENT", Key("manage"), 422),
    ("GET", "/api/v1/recipients/RECIPIENT/export", Key("manage"), 200),
    ("DELETE", "/api/v1/recipients/RECIPIENT", Key("manage"), 200),
    ("GET", "/api/v1/admin/actors", Admin, 200),
    ("GET", "/api/v1/admin/tries", Admin, 200),
    ("POST", "/api/v1/admin/check", Admin, 200),
    ("POST", "/api/v1/admin/key/rotate", Admin, 409),
    ("GET", "/api/v1/admin/orgs", Admin, 200),
    ("GET", "/api/v1/admin/orgs/ORG", Admin, 200),
    ("PUT", "/api/v1/admin/orgs/ORG", Admin, 422),
    ("POST", "/api/v1/admin/orgs/ORG/check", Admin, 422),
    ("POST", "/api/v1/admin/orgs/ORG/pause", Admin, 200),
    ("POST", "/api/v1/admin/orgs/ORG/resume", Admin, 200),
    ("POST", "/api/v1/admin/orgs/ORG/release", Admin, 422),
    ("POST", "/api/v1/admin/orgs/ORG/keys", Admin, 422),
    ("DELETE", "/api/v1/admin/orgs/ORG/keys/KEY", Admin, 204),
    ("DELETE", "/api/v1/admin/orgs/ORG", Admin, 204),
    ("GET", "/no-such-path", Nothing, 404),
    ("GET", "/api/v1/outbound", Nothing, 404),
    ("DELETE", "/api/v1/outbound/messages", Nothing, 405),
    ("PUT", "/api/v1/outbound/messages/MESSAGE", Nothing, 405),
    ("POST", "/api/v1/admin/orgs", Nothing, 405),
];

/// The routes of the route table, with `*` for each id.
fn routes() -> BTreeSet<(String, String)> {
    let source = include_str!("../../src/http/routes.rs");
    let table = source.split_once("static ROUTES").unwrap().1.split_once("\n];").unwrap().0;
    let route = |line: &str| {
        let quoted: Vec<_> = line.split('"').skip(1).step_by(2).collect();
        let (method, path) = match line.trim().split_once('(')?.0 {
            "get" => ("GET", *quoted.first()?),
            "post" => ("POST", *quoted.first()?),
            "admin" | "Route::new" => (*quoted.first()?, *quoted.get(1)?),
            _ => return None,
        };
        let segments = path
            .split('/')
            .map(|segment| if segment.starts_with('{') { "/*".to_owned() } else { format!("/{segment}") });
        Some((method.to_owned(), segments.collect()))
    };
    table.lines().filter_map(route).collect()
}

#[test]
fn the_matrix_knows_every_route() {
    let known: BTreeSet<_> = CALLS
        .iter()
        .filter(|(.., status)| !matches!(status, 404 | 405))
        .map(|(method, path, ..)| {
            let path = ["MESSAGE", "RECIPIENT", "ORG", "KEY"]
                .iter()
                .fold((*path).to_owned(), |path, id| path.replace(id, "*"));
            ((*method).to_owned(), path)
        })
        .collect();
    // Backups do not belong to an organisation; `backups.rs` tests them.
    let routes: BTreeSet<_> =
        routes().into_iter().filter(|(_, path)| !path.starts_with("/api/v1/admin/backups")).collect();
    assert!(routes.len() > 20, "{routes:?}");
    assert_eq!(known, routes);
}

/// An admin key of the shortest allowed length.
const ADMIN_KEY: &str = "an-admin-key-from-configuration!";

/// A recipient whose consent acme has recorded.
const ASKED: &str = "+4915100000001";

struct Matrix {
    app: TestApp,
    message: String,
    key_id: String,
    calls: u32,
}

impl Matrix {
    /// Makes a call as `who`. Each call comes from a new address so that none is throttled.
    async fn call(&mut self, who: &Api, method: &str, path: &str, exists: bool) -> Answer {
        self.calls += 1;
        let (message, recipient, org, key) = match exists {
            true => (self.message.as_str(), ASKED, "gamma", self.key_id.as_str()),
            false => ("018f2b5e-0000-7000-8000-000000000000", "+4915100000002", "nobody", "ffffffffffffffff"),
        };
        let path = path.replace("MESSAGE", message).replace("RECIPIENT", recipient);
        let path = path.replace("ORG", org).replace("KEY", key);
        let [.., a, b] = self.calls.to_be_bytes();
        let request = who.request(method, &path).header("x-forwarded-for", format!("198.51.{a}.{b}"));
        send(request.json(&json!({}))).await
    }

    /// Asserts that a GET can also be made as HEAD.
    async fn has_head(&mut self, who: &Api, method: &str, path: &str, status: u16) {
        if method == "GET" {
            let head = self.call(who, "HEAD", path, true).await;
            assert_eq!((head.status, head.text.as_str()), (status, ""), "HEAD {path}");
            assert_ne!(head.header("content-length"), "0", "HEAD {path}");
        }
    }

    /// Asserts a refusal that does not reveal whether what the path names exists.
    async fn refused(&mut self, who: &Api, method: &str, path: &str, wanted: (u16, &str)) {
        let answer = self.call(who, method, path, true).await;
        answer.problem(wanted.0, wanted.1);
        assert_eq!(answer.text, self.call(who, method, path, false).await.text, "{method} {path} leaks");
    }
}

#[tokio::test]
async fn every_call_gives_every_kind_of_key_the_right_answer_and_leaks_nothing() {
    let app = Setup::new().set("admin.key", ADMIN_KEY).behind_a_proxy().start_empty().await;
    let admin = app.api(Some(ADMIN_KEY));
    for (id, number) in [("acme", PHONE), ("beta", "2066"), ("gamma", "3066")] {
        admin.put(&format!("admin/orgs/{id}"), &org(number, "s")).await.ok(201);
    }
    let make = async |org: &str, body: Value| {
        let made = admin.post(&format!("admin/orgs/{org}/keys"), &body).await.ok(201);
        (app.api(made["key"].as_str()), made["id"].as_str().unwrap().to_owned())
    };
    let (acme, _) = make("acme", json!({"name": "all"})).await;
    let (second, _) = make("acme", json!({"name": "a second one, for an exchange"})).await;
    let (beta, _) = make("beta", json!({"name": "all"})).await;
    let (revoked, revoked_id) = make("acme", json!({"name": "revoked"})).await;
    assert_eq!(admin.delete(&format!("admin/orgs/acme/keys/{revoked_id}")).await.status, 204);
    let (_, key_id) = make("gamma", json!({"name": "to be revoked"})).await;
    let id = acme.accept(&seed("k")).await;
    acme.until(&id, "SENT").await;
    acme.put(&format!("consents/{ASKED}"), &json!({"status": "GRANTED"})).await.ok(200);
    let soon = acme.clock().await.after(Duration::from_millis(1500)).to_string();
    let (expired, _) = make("acme", json!({"name": "expired", "expiresAt": soon})).await;
    let mut without = Vec::new();
    for (lacks, has) in [("send", ["read", "manage"]), ("read", ["send", "manage"]), ("manage", ["send", "read"])] {
        without.push((lacks, make("acme", json!({"name": lacks, "scopes": has})).await.0));
    }
    let (none, wrong) = (app.api(None), app.api(Some("tt_0000")));
    eventually("the key's expiry", async || {
        let answer = expired.get("outbound/stats").await;
        if answer.status == 401 { Ok(()) } else { Err(answer) }
    })
    .await;
    let mut matrix = Matrix { app, message: id, key_id, calls: 0 };
    let unauthorized = (401, "UNAUTHORIZED");

    for &(method, path, takes, status) in CALLS {
        let place = format!("{method} {path}");
        if takes == Nothing {
            for who in [&none, &wrong, &expired, &acme, &admin] {
                let answer = matrix.call(who, method, path, true).await;
                assert_eq!(answer.status, status, "{place}");
                assert_eq!(answer.text, matrix.call(who, method, path, false).await.text, "{place} leaks");
            }
            continue;
        }
        for who in [&none, &wrong, &expired, &revoked] {
            matrix.refused(who, method, path, unauthorized).await;
        }
        match takes {
            Nothing => {}
            Key(scope) => {
                for (_, lacking) in without.iter().filter(|(lacks, _)| *lacks == scope) {
                    matrix.refused(lacking, method, path, (403, "FORBIDDEN")).await;
                }
                for other in ["beta", "nobody"] {
                    matrix.refused(&acme.for_org(other), method, path, (403, "FORBIDDEN")).await;
                }
                matrix.refused(&admin, method, path, (400, "ORG_REQUIRED")).await;
                matrix.refused(&admin.for_org("nobody"), method, path, (404, "NOT_FOUND")).await;
                // Another organisation sees only its own data, which is empty; acme's data does not exist for it.
                let theirs = matrix.call(&beta, method, path, true).await;
                let missing = matrix.call(&beta, method, path, false).await;
                assert_eq!(theirs.text, missing.text, "{place}");
                let is_ours = path.contains("MESSAGE") || (method == "GET" && path.ends_with("RECIPIENT"));
                assert_eq!(theirs.status, if is_ours { 404 } else { status }, "{place}");
                for who in [&acme, &second, &acme.for_org("acme"), &admin.for_org("acme")] {
                    assert_eq!(matrix.call(who, method, path, true).await.status, status, "{place}");
                }
                matrix.has_head(&acme, method, path, status).await;
            }
            Admin => {
                for who in [&acme, &beta, &acme.for_org("acme")] {
                    matrix.refused(who, method, path, (403, "FORBIDDEN")).await;
                }
                let answer = matrix.call(&admin, method, path, true).await;
                assert_eq!(answer.status, status, "{place}: {answer:?}");
                matrix.has_head(&admin, method, path, status).await;
                // The admin key may name an organisation, which has no effect here.
                if method == "GET" {
                    assert_eq!(matrix.call(&admin.for_org("beta"), method, path, true).await.status, status, "{place}");
                }
            }
        }
    }
    assert_eq!(matrix.app.sim.messages().len(), 1, "none of the calls sent a message");
}

/// Makes a call with a key from an address that a proxy on this machine reports.
async fn from(app: &TestApp, key: &str, address: &str) -> Answer {
    send(app.api(Some(key)).request("GET", "outbound/stats").header("x-forwarded-for", address)).await
}

#[tokio::test]
async fn guessing_keys_is_throttled_and_a_valid_key_still_passes() {
    let app = Setup::new().behind_a_proxy().start().await;
    let (ours, other) = (app.acme().key(), app.key_of("acme", &json!({"name": "other"})).await);
    let made = app.admin().post("admin/orgs/acme/keys", &json!({"name": "old"})).await.ok(201);
    let (revoked, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!(app.admin().delete(&format!("admin/orgs/acme/keys/{id}")).await.status, 204);
    let place = "198.51.100.7";
    for wrong in ["tt_guess", revoked] {
        let refused = eventually("a wait", async || {
            let answer = from(&app, wrong, place).await;
            if answer.status == 429 { Ok(answer) } else { Err(answer) }
        })
        .await;
        refused.problem(429, "TOO_MANY_TRIES");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    assert_eq!((from(&app, ours, place).await.status, from(&app, other.key(), place).await.status), (200, 200));
    assert_eq!(from(&app, "tt_guess", "198.51.100.8").await.status, 401, "other addresses are not throttled");
    let log = app.log();
    assert!(log.contains(place) && !log.contains("tt_guess"), "{log}");
}

#[tokio::test]
async fn a_forwarded_address_is_believed_only_from_trusted_proxies() {
    let app = TestApp::start().await;
    let mut last = 0;
    for n in 0..60 {
        last = from(&app, "tt_guess", &format!("198.51.100.{n}")).await.status;
    }
    assert_eq!(last, 429, "all calls count as from this machine");
    assert_eq!(
        app.acme().get("outbound/stats").await.status,
        200,
        "a valid key passes although it was not used from here before"
    );
    let made = app.admin().post("admin/key/rotate", &json!({})).await.ok(200);
    let fresh = app.api(made["key"].as_str());
    assert_eq!(fresh.get("admin/orgs").await.status, 200, "the new admin key passes, too");
    assert_eq!(
        app.log().matches("http.trusted_proxies does not have").count(),
        1,
        "the log hints at a missing trusted proxy"
    );
}

#[tokio::test]
async fn addresses_are_read_as_load_balancers_write_them() {
    let app = Setup::new().behind_a_proxy().start().await;
    let told = [
        ("x-forwarded-for", "203.0.113.7:41234"),
        ("x-forwarded-for", "[2001:db8::1]:99"),
        ("forwarded", "proto=https;for=\"203.0.113.8:80\""),
        ("forwarded", "for=\"[2001:db8:1::1]:99\""),
    ];
    for (name, value) in told {
        let guess = app.api(Some("tt_guess")).request("GET", "outbound/stats").header(name, value);
        send(guess).await.problem(401, "UNAUTHORIZED");
    }
    let tries = app.admin().get("admin/tries").await.ok(200);
    let mut seen: Vec<_> =
        tries["keys"]["addresses"].as_array().unwrap().iter().map(|seen| seen["address"].as_str().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["2001:db8:1::", "2001:db8::", "203.0.113.7", "203.0.113.8"]);
}

#[tokio::test]
async fn refusals_of_a_known_key_are_audited_once_a_minute() {
    let app = TestApp::start().await;
    let reads = app.key_of("acme", &json!({"name": "reader", "scopes": ["read"]})).await;
    for _ in 0..5 {
        reads.send_message(&text(1)).await.problem(403, "FORBIDDEN");
    }
    let denied = eventually("an entry", async || {
        let page = app.acme().get("audit?action=DENIED").await.ok(200);
        let items = page["items"].as_array().unwrap().clone();
        if items.is_empty() { Err(page) } else { Ok(items) }
    })
    .await;
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert_eq!(
        (&denied[0]["entityType"], &denied[0]["actor"], &denied[0]["details"]),
        (&json!("API_KEY"), &json!("api-key:reader"), &json!({"reason": "SCOPE"}))
    );
}

#[tokio::test]
async fn use_of_a_revoked_key_is_audited_and_use_of_an_unknown_one_shown_to_the_operator() {
    let mut app = Setup::new().behind_a_proxy().start().await;
    let made = app.admin().post("admin/orgs/acme/keys", &json!({"name": "old"})).await.ok(201);
    let old = app.api(made["key"].as_str());
    let id = made["id"].as_str().unwrap();
    assert_eq!(app.admin().delete(&format!("admin/orgs/acme/keys/{id}")).await.status, 204);
    app.kill_and_start_again().await;
    for _ in 0..5 {
        old.get("outbound/stats").await.problem(401, "UNAUTHORIZED");
        assert_eq!(from(&app, "tt_guess", "198.51.100.7").await.status, 401);
    }
    let denied = eventually("an entry", async || {
        let page = app.acme().get(&format!("audit?action=DENIED&entityId={id}")).await.ok(200);
        let items = page["items"].as_array().unwrap().clone();
        if items.is_empty() { Err(page) } else { Ok(items) }
    })
    .await;
    assert_eq!((denied.len(), &denied[0]["details"]), (1, &json!({"reason": "REVOKED"})), "{denied:?}");
    let tries = app.admin().get("admin/tries").await.ok(200);
    assert_eq!((&tries["keys"]["failed"], &tries["webhooks"]["failed"]), (&json!(10), &json!(0)), "{tries}");
    let of = |address: &str| {
        let addresses = tries["keys"]["addresses"].as_array().unwrap();
        addresses.iter().find(|seen| seen["address"] == address).unwrap()["failed"].clone()
    };
    assert_eq!((of("127.0.0.1"), of("198.51.100.7")), (json!(5), json!(5)));
    assert_eq!(app.log().matches("wrong ones were tried").count(), 1, "logged once, however often it happens");
    let listed = app.admin().get("admin/orgs/acme").await.ok(200);
    assert!(listed["keys"].as_array().unwrap().iter().all(|key| key["id"] != id), "{listed}");
}

#[tokio::test]
async fn a_keys_last_use_is_shown_and_survives_a_restart() {
    let mut app = TestApp::start().await;
    let made = app.admin().post("admin/orgs/acme/keys", &json!({"name": "idle"})).await.ok(201);
    assert_eq!(made["lastUsedAt"], Value::Null);
    app.acme().stats().await;
    let keys = async |app: &TestApp| app.admin().get("admin/orgs/acme").await.ok(200)["keys"].clone();
    let before = keys(&app).await;
    assert!(before[0]["lastUsedAt"].is_string(), "{before}");
    assert_eq!(before[1]["lastUsedAt"], Value::Null, "{before}");
    assert_eq!(app.stop().await.code, Some(0));
    let mode = fs::metadata(app.data().join("keys.used")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    app.start_again().await;
    assert_eq!(keys(&app).await, before);
}

#[tokio::test]
async fn a_rotated_admin_key_ends_at_once_or_after_its_grace_period() {
    let mut app = Setup::new().start_empty().await;
    let first = app.admin();
    let made = first.post("admin/key/rotate", &json!({})).await.ok(200);
    assert_eq!(made["previousValidUntil"], Value::Null);
    first.get("admin/orgs").await.problem(401, "UNAUTHORIZED");
    let second = app.admin();
    assert_eq!(second.key(), made["key"].as_str().unwrap(), "the file has the new key");
    let mode = fs::metadata(app.data().join("admin.key")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    let made = second.post("admin/key/rotate", &json!({"graceSeconds": 3600})).await.ok(200);
    assert!(made["previousValidUntil"].is_string());
    assert_eq!((second.get("admin/orgs").await.status, app.admin().get("admin/orgs").await.status), (200, 200));
    first.get("admin/orgs").await.problem(401, "UNAUTHORIZED");
    let log = app.log();
    assert!(!log.contains(second.key()) && !log.contains(app.admin().key()), "{log}");
    app.stop().await;
    app.start_again().await;
    assert_eq!(app.admin().get("admin/orgs").await.status, 200);
    second.get("admin/orgs").await.problem(401, "UNAUTHORIZED");

    let third = app.admin();
    let made = third.post("admin/key/rotate", &json!({"graceSeconds": 1})).await.ok(200);
    eventually("the end of the grace period", async || {
        let answer = third.get("admin/orgs").await;
        if answer.status == 401 { Ok(()) } else { Err(answer) }
    })
    .await;
    let fourth = app.api(made["key"].as_str());
    for wrong in [json!({"graceSeconds": -1}), json!({"graceSeconds": "1h"}), json!({"grace": 1})] {
        fourth.post("admin/key/rotate", &wrong).await.problem(422, "INVALID");
    }
    assert_eq!(fourth.get("admin/orgs").await.status, 200);
}

#[tokio::test]
async fn an_admin_key_from_the_configuration_cannot_be_rotated() {
    let app = Setup::new().set("admin.key", ADMIN_KEY).start_empty().await;
    let admin = app.api(Some(ADMIN_KEY));
    let answer = admin.post("admin/key/rotate", &json!({})).await;
    let problem = answer.problem(409, "ADMIN_KEY_CONFIGURED");
    assert!(problem["detail"].as_str().unwrap().contains("configuration"), "{problem}");
    assert_eq!(admin.get("admin/orgs").await.status, 200);
    assert!(!app.data().join("admin.key").exists());
}
