//! The HTTP server: slow, greedy and many clients, TLS, and the headers of every answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::{Certificate, Client};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, Process, Setup, TestApp, eventually, faults, path, run_with, seed, send};

async fn connect(app: &TestApp) -> TcpStream {
    TcpStream::connect(app.base().trim_start_matches("http://")).await.unwrap()
}

/// Sends a request and reads the first part of its answer. Returns `None` if the connection is closed.
async fn ask(stream: &mut TcpStream, request: &str) -> Option<String> {
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = vec![0; 16 * 1024];
    let read = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().ok().filter(|read| *read > 0)?;
    Some(String::from_utf8_lossy(&answer[..read]).into_owned())
}

/// Waits until the server closes the connection.
async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset counts as closed, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection stays open");
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn a_client_that_trickles_its_head_is_cut_off_and_an_idle_one_is_not() {
    let app = Setup::new().set("http.header_timeout", "1s").start_empty().await;
    let mut idle = connect(&app).await;
    assert!(ask(&mut idle, HEALTH).await.unwrap().starts_with("HTTP/1.1 200"));
    let (mut reads, mut writes) = connect(&app).await.into_split();
    let drip = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        for byte in HEALTH.trim_end().bytes().cycle() {
            pace.tick().await;
            if writes.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    };
    let mut rest = Vec::new();
    tokio::select! {
        () = drip => {}
        end = timeout(PATIENCE, reads.read_to_end(&mut rest)) => drop(end.expect("the connection stays open")),
    }
    // A client that never sends anything.
    closed(&mut connect(&app).await).await;
    assert!(ask(&mut idle, HEALTH).await.unwrap().starts_with("HTTP/1.1 200"), "the client was idle, not slow");
    // A later request on a connection has the same time limit as the first.
    assert_eq!(ask(&mut idle, "GET /healthz HT").await, None);
}

#[tokio::test]
async fn an_idle_connection_is_closed_eventually() {
    let app = Setup::new().set("http.idle_timeout", "200ms").start_empty().await;
    let mut idle = connect(&app).await;
    assert!(ask(&mut idle, HEALTH).await.unwrap().starts_with("HTTP/1.1 200"));
    closed(&mut idle).await;
}

#[tokio::test]
async fn a_request_whose_body_never_comes_is_answered_at_its_timeout() {
    let app = Setup::new().set("http.request_timeout", "2s").start().await;
    let head = format!(
        "POST /api/v1/outbound/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 100\r\n\r\n{{",
        app.acme().key()
    );
    let answer = ask(&mut connect(&app).await, &head).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("TIMED_OUT"), "{answer}");
    assert!(answer.contains("retry-after"), "{answer}");
    app.one_more().await;
}

#[tokio::test]
async fn a_head_with_too_many_or_too_large_headers_is_refused() {
    let app = Setup::new().start_empty().await;
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(101));
    let large = format!("GET /healthz HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "b".repeat(17 * 1024));
    for head in [many, large] {
        let answer = ask(&mut connect(&app).await, &head).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert_eq!(app.api(None).get("/healthz").await.status, 200);
}

#[tokio::test]
async fn above_the_connection_limit_only_health_checks_are_answered() {
    let app = Setup::new().set("http.max_connections", 8).start_empty().await;
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(&app).await;
        assert!(ask(&mut stream, HEALTH).await.unwrap().starts_with("HTTP/1.1 200"));
        held.push(stream);
    }
    for probe in ["/healthz", "/readyz"] {
        let answer = app.api(None).get(probe).await;
        assert_eq!((answer.status, answer.header("connection")), (200, "close"), "{probe}");
    }
    let answer = app.admin().get("admin/orgs").await;
    answer.problem(503, "OVERLOADED");
    assert_eq!((answer.header("connection"), answer.header("retry-after")), ("close", "1"));
    assert!(
        ask(&mut held[0], HEALTH).await.unwrap().starts_with("HTTP/1.1 200"),
        "existing connections are still served"
    );
    // Beyond the spare slots, connections are closed unread. Once some are free again, new ones are served.
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(connect(&app).await);
    }
    drop((crowd, held));
    eventually("room", async || {
        // While the server still closes the crowd, it may close this connection unread, too.
        let answer = app.admin().request("GET", "admin/orgs").send().await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(()) } else { Err(answer.status().to_string()) }
    })
    .await;
}

#[tokio::test]
async fn head_requests_are_answered_without_a_body() {
    let app = Setup::new().start_empty().await;
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("admin/orgs", 401), ("/no-such-path", 404)] {
        let answer = send(app.api(None).request("HEAD", path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, ""), "{path}");
    }
    // The connection stays usable, because HEAD sent no body that could be mistaken for the next answer.
    let mut stream = connect(&app).await;
    let head = ask(&mut stream, "HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(ask(&mut stream, HEALTH).await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_compressed_body_is_refused_with_advice() {
    let app = TestApp::start().await;
    let packed: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 4, 0, 0xb2, 0x9e, 0x61, 0xb6, 1, 0, 0, 0];
    let post = |body: &'static [u8]| app.acme().request("POST", "outbound/messages").body(body);
    for request in
        [post(packed), post(packed).header("content-encoding", "gzip"), post(b"{}").header("content-encoding", "br")]
    {
        let answer = send(request).await;
        let problem = answer.problem(415, "UNSUPPORTED_ENCODING");
        assert!(problem["detail"].as_str().unwrap().contains("without Content-Encoding"), "{problem}");
        assert_eq!(answer.header("accept-encoding"), "identity");
    }
    send(post(b"{}").header("content-encoding", "identity")).await.problem(422, "INVALID");
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_no_cors_headers() {
    let app = TestApp::start().await;
    for (method, path) in
        [("GET", "/healthz"), ("GET", "outbound/stats"), ("GET", "admin/orgs"), ("GET", "/no-such-path")]
    {
        let answer = send(app.acme().request(method, path).header("origin", "https://example.com")).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{answer:?}");
    }
    let preflight = app.acme().request("OPTIONS", "outbound/messages").header("origin", "https://example.com");
    let answer = send(preflight.header("access-control-request-method", "POST")).await;
    answer.problem(405, "METHOD_NOT_ALLOWED");
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{answer:?}");
}

#[tokio::test]
async fn while_it_drains_every_answer_closes_its_connection() {
    let mut app = Setup::new().set("outbound.shutdown_grace", "60s").start().await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "delay", "ms": 20_000}}])));
    app.acme().accept(&seed("k")).await;
    app.until_accepted(1).await;
    let mut open = connect(&app).await;
    assert!(!ask(&mut open, HEALTH).await.unwrap().contains("connection: close"));
    app.signal(Signal::SIGTERM);
    eventually("draining", async || {
        let answer = app.api(None).get("/readyz").await;
        if answer.status == 503 { Ok(()) } else { Err(answer) }
    })
    .await;
    assert!(ask(&mut open, HEALTH).await.unwrap().contains("connection: close"));
    closed(&mut open).await;
    app.signal(Signal::SIGTERM);
    assert_eq!(app.exit().await.code, Some(0));
}

/// Creates a certificate for 127.0.0.1 in `folder` and a client that trusts only that certificate.
fn certify(folder: &Path) -> (PathBuf, PathBuf, Client) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::write(&cert, made.cert.pem()).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = Client::builder().no_proxy().tls_certs_only([root]).timeout(PATIENCE).build().unwrap();
    (cert, key, client)
}

fn tls_config(folder: &Path, cert: &Path, key: &Path) -> PathBuf {
    let config = folder.join("tls.toml");
    fs::write(&config, format!("[http]\ntls_cert = {:?}\ntls_key = {:?}\n", path(cert), path(key))).unwrap();
    config
}

#[tokio::test]
async fn tls_uses_pem_files_and_reloads_renewed_ones() {
    let temp = tempfile::tempdir().unwrap();
    let (cert, key, client) = certify(temp.path());
    let config = tls_config(temp.path(), &cert, &key);
    let args = ["serve", "--config", path(&config), "--data", "data", "--listen", "127.0.0.1:0"];
    let mut process = Process::spawn(temp.path(), &args, &[]);
    let base = process.listening().await;
    assert!(base.starts_with("https://127.0.0.1:"), "{base}");
    let admin = fs::read_to_string(temp.path().join("data/admin.key")).unwrap();
    let list = format!("{base}/api/v1/admin/orgs");
    assert_eq!(send(client.get(&list).bearer_auth(admin.trim())).await.status, 200);
    // A plain HTTP request fails and does no harm.
    let mut plain = TcpStream::connect(base.trim_start_matches("https://")).await.unwrap();
    assert!(ask(&mut plain, HEALTH).await.is_none_or(|answer| !answer.starts_with("HTTP")));
    // A certificate whose key does not match is not loaded. A matching new pair is.
    let old_key = fs::read(&key).unwrap();
    let (_, _, renewed) = certify(temp.path());
    let new_key = fs::read(&key).unwrap();
    fs::write(&key, &old_key).unwrap();
    assert_eq!(send(client.get(&list).bearer_auth(admin.trim())).await.status, 200);
    fs::write(&key, &new_key).unwrap();
    eventually("the new certificate", async || renewed.get(&list).send().await.map_err(|error| error.to_string()))
        .await;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.exit().await.code, Some(0));
}

#[tokio::test]
async fn unusable_tls_files_exit_with_2_and_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let (cert, key, _) = certify(temp.path());
    let (missing, empty) = (temp.path().join("no-such.pem"), temp.path().join("empty.pem"));
    fs::write(&empty, "").unwrap();
    let torn = |name: &str, label: &str| {
        let file = temp.path().join(name);
        fs::write(&file, format!("-----BEGIN {label}-----\nbm9uc2Vuc2U=\n-----END {label}-----\n")).unwrap();
        file
    };
    let (torn_cert, torn_key) = (torn("torn-cert.pem", "CERTIFICATE"), torn("torn-key.pem", "PRIVATE KEY"));
    let other = tempfile::tempdir().unwrap();
    let (_, other_key, _) = certify(other.path());
    for (cert, key, says) in [
        (&missing, &key, ["http.tls_cert", "no-such.pem"]),
        (&cert, &missing, ["http.tls_key", "no-such.pem"]),
        (&empty, &key, ["http.tls_cert", "empty.pem"]),
        (&cert, &other_key, ["http.tls_key", "does not go with"]),
        (&torn_cert, &key, ["http.tls_cert", "torn-cert.pem: holds something that is no certificate"]),
        (&cert, &torn_key, ["http.tls_key", "torn-key.pem: holds no private key"]),
        (&cert, &cert, ["http.tls_key", "has no private key"]),
    ] {
        let config = tls_config(temp.path(), cert, key);
        let args = ["serve", "--config", path(&config), "--data", "data", "--listen", "127.0.0.1:0"];
        let exit = run_with(temp.path(), &args, &[]).await;
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""), "{exit:?}");
        assert!(says.iter().all(|part| exit.stderr.contains(part)), "{says:?} in {}", exit.stderr);
    }
}

#[tokio::test]
async fn an_untrusted_certificate_is_not_reported_as_an_unreachable_service() {
    let (temp, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((cert, key, _), (foreign, ..)) = (certify(temp.path()), certify(other.path()));
    let config = tls_config(temp.path(), &cert, &key);
    let args = ["serve", "--config", path(&config), "--data", "data", "--listen", "127.0.0.1:0"];
    let mut process = Process::spawn(temp.path(), &args, &[]);
    let base = process.listening().await;
    let nothing = [("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")];
    let list = async |ca: &Path| {
        let args = ["org", "list", "--url", &base, "--data", "data", "--ca", path(ca)];
        run_with(temp.path(), &args, &nothing).await
    };
    assert_eq!(list(&cert).await.code, Some(0));
    for (ca, says) in [(&foreign, ["by --ca", "certificate"]), (&key, ["--ca", "holds no certificate"])] {
        let exit = list(ca).await;
        assert!(exit.code == Some(1) && says.iter().all(|part| exit.stderr.contains(part)), "{exit:?}");
        assert!(!exit.stderr.contains("is `twotick serve` running"), "{exit:?}");
    }
    let bare = run_with(temp.path(), &["org", "list", "--url", &base, "--data", "data"], &nothing).await;
    assert!(bare.code == Some(1) && bare.stderr.contains("ca-certificates"), "{bare:?}");
    let serve = ["serve", "--data", "other", "--listen", "127.0.0.1:0"];
    let bare = run_with(temp.path(), &serve, &nothing).await;
    assert!(bare.code == Some(1) && bare.stderr.contains("ca-certificates"), "{bare:?}");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.exit().await.code, Some(0));
}

#[tokio::test]
async fn plain_http_beyond_this_machine_must_be_allowed_explicitly() {
    let temp = tempfile::tempdir().unwrap();
    let args = ["serve", "--data", "data", "--listen", "0.0.0.0:0"];
    let exit = run_with(temp.path(), &args, &[]).await;
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""), "{exit:?}");
    for part in ["http.tls_cert", "http.allow_plaintext", "0.0.0.0"] {
        assert!(exit.stderr.contains(part), "{exit:?}");
    }
    assert!(!temp.path().join("data").exists(), "nothing was touched");
    let exit = run_with(temp.path(), &["check-config"], &[("TWOTICK__HTTP__LISTEN", "[::]:8080")]).await;
    assert_eq!(exit.code, Some(2), "{exit:?}");
    let allowed = [("TWOTICK__HTTP__LISTEN", "0.0.0.0:8080"), ("TWOTICK__HTTP__ALLOW_PLAINTEXT", "true")];
    assert_eq!(run_with(temp.path(), &["check-config"], &allowed).await.code, Some(0));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_large_answer_is_cut_off() {
    let app = Setup::new().set("outbound.enabled", false).set("http.header_timeout", "1s").start().await;
    let contact = json!({"name": {"formatted_name": "x".repeat(900_000)}});
    for _ in 0..4 {
        let payload = json!({"type": "contacts", "contacts": [contact]});
        app.acme().accept(&json!({"to": "+4915112345678", "payloadJson": payload})).await;
    }
    let mut idle = connect(&app).await;
    let key = app.acme().key();
    let ask = format!("GET /api/v1/outbound/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
    for _ in 0..4 {
        // The answers exceed what the socket buffers hold.
        idle.write_all(ask.as_bytes()).await.unwrap();
    }
    eventually("the end of the connection", async || {
        let written = idle.write_all(b"\r\n").await;
        if written.is_err() { Ok(()) } else { Err("the connection is still open") }
    })
    .await;
    app.acme().accept(&seed("k")).await;
}
