//! The outcomes of calls to a server that plays one scripted answer.

use super::response::{BODY_MAX, KEPT_MAX};
use super::*;
use domain::circuit::Fault;
use domain::outcome::{Class, Outcome, Scope, Verdict};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const TOKEN: &str = "EAAG-secret-token";
const BODY: &str = r#"{"to":"+4915112345678"}"#;
const SUCCESS: &str = r#"{"messaging_product":"whatsapp","contacts":[],"messages":[{"id":"wamid.HBg="}]}"#;

fn settings(base_url: String) -> Settings {
    Settings {
        base_url,
        api_version: "v25.0".to_owned(),
        request_timeout: Duration::from_secs(5),
        allow_plaintext: false,
        proxy: None,
        ca_file: None,
    }
}

fn request() -> SendRequest {
    let token = TOKEN.parse().unwrap();
    SendRequest { from: "1066".parse().unwrap(), token, body: BODY.into() }
}

async fn call(settings: Settings) -> Answer {
    CloudApi::new(settings).unwrap().send(request()).await
}

/// Reads until the request's body is whole.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(BODY.as_bytes()) {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request is cut off");
    }
    String::from_utf8(request).unwrap()
}

/// A server that reads one request, writes `reply` and hangs up. It returns the request.
async fn server(reply: String) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        stream.write_all(reply.as_bytes()).await.unwrap();
        request
    });
    (address, served)
}

/// The outcome of a call that is answered with exactly these bytes.
async fn answered(reply: &str) -> Answer {
    let (address, _served) = server(reply.to_owned()).await;
    call(settings(format!("http://{address}"))).await
}

fn http(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// An outcome in two words.
fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted(id) => format!("accepted {}", id.as_str()),
        Outcome::Refused(error) => format!("refused {}", error.code),
        Outcome::NotSent(failure) | Outcome::Unreachable(failure) => format!("not-sent {}", failure.code),
        Outcome::Unknown(failure) | Outcome::CutOff(failure) => format!("unknown {}", failure.code),
    }
}

#[tokio::test]
async fn a_call_posts_the_body_with_the_token_to_the_phone_number() {
    let (address, served) = server(http(200, SUCCESS)).await;
    let answer = call(settings(format!("http://{address}/graph/"))).await;
    assert_eq!(words(&answer.outcome), "accepted wamid.HBg=");
    assert_eq!(answer.response.unwrap(), SUCCESS.as_bytes());
    let request = served.await.unwrap().to_ascii_lowercase();
    assert!(request.starts_with("post /graph/v25.0/1066/messages http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("authorization: bearer {}\r\n", TOKEN.to_ascii_lowercase())), "{request}");
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
}

#[tokio::test]
async fn an_answer_is_judged_by_its_body_before_its_status() {
    let pair = r#"{"error":{"message":"(#131056) Pair rate limit hit","code":131056,"error_data":{"details":"Slow"}}}"#;
    let server_error = r#"{"error":{"message":"Odd","code":"987654"}}"#;
    let html = "<html>Bad gateway</html>";
    for (status, body, outcome) in [
        (200, SUCCESS, "accepted wamid.HBg="),
        (201, SUCCESS, "accepted wamid.HBg="),
        (200, html, "unknown UNREADABLE_ANSWER"),
        (200, "", "unknown UNREADABLE_ANSWER"),
        (200, r#"{"success":true}"#, "unknown UNREADABLE_ANSWER"),
        (200, r#"{"messages":[]}"#, "unknown UNREADABLE_ANSWER"),
        (200, r#"{"messages":[{"id":""}]}"#, "unknown UNREADABLE_ANSWER"),
        (200, r#"{"messages":[{"id":7}]}"#, "unknown UNREADABLE_ANSWER"),
        (200, pair, "refused 131056"),
        (400, pair, "refused 131056"),
        (429, pair, "refused 131056"),
        (500, server_error, "refused 987654"),
        (500, html, "unknown NO_ENVELOPE"),
        (502, "", "unknown NO_ENVELOPE"),
        (503, r#"{"error":"overloaded"}"#, "unknown NO_ENVELOPE"),
        (504, r#"{"error":{"message":"no code"}}"#, "unknown NO_ENVELOPE"),
        (503, r#"{"error":{"message":"no healthy upstream","code":503}}"#, "unknown NO_ENVELOPE"),
        (403, r#"{"error":{"code":403,"message":"Denied by policy","status":"PERMISSION_DENIED"}}"#, "refused 403"),
        (302, "", "refused 302"),
        (404, html, "refused 404"),
        (413, html, "refused 413"),
        (429, html, "refused 429"),
    ] {
        let answer = answered(&http(status, body)).await;
        assert_eq!(words(&answer.outcome), outcome, "{status} {body}");
        assert_eq!(answer.response.is_none(), body.is_empty(), "{status} {body}");
        // Meta answered, or a proxy that objects to this message or to this pace.
        let is_heard = outcome.starts_with("accepted")
            || [1, 413, 429].iter().any(|code| outcome.starts_with(&format!("refused {code}")));
        let is_heard = is_heard || outcome == "refused 987654";
        assert_eq!(answer.fault, (!is_heard).then_some(Fault::Foreign), "{status} {body}");
    }
}

#[tokio::test]
async fn a_refusal_carries_its_meaning() {
    let html = "<html>";
    let server_error = r#"{"error":{"message":"Odd","code":987654}}"#;
    for (status, body, class, scope) in [
        (400, r#"{"error":{"code":190}}"#, Class::Blocked, Scope::Number),
        (500, server_error, Class::Transient, Scope::Message),
        (400, server_error, Class::Permanent, Scope::Message),
        (404, html, Class::Transient, Scope::Message),
        (408, html, Class::Transient, Scope::Message),
        (413, html, Class::Permanent, Scope::Message),
        (429, html, Class::Throttled, Scope::Number),
    ] {
        let outcome = answered(&http(status, body)).await.outcome;
        let Outcome::Refused(error) = outcome else { panic!("{status} {body}: {outcome:?}") };
        assert_eq!(error.verdict, Verdict { class, scope }, "{status} {body}");
    }
}

#[tokio::test]
async fn nothing_was_sent_where_no_connection_was_made() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for base_url in [format!("http://{address}"), "http://no-such-host.invalid".to_owned()] {
        let answer = call(settings(base_url)).await;
        assert_eq!(words(&answer.outcome), "not-sent CONNECT_FAILED");
        assert_eq!((&answer.response, answer.fault), (&None, Some(Fault::Unreached)));
    }
}

#[tokio::test]
async fn nothing_was_sent_where_the_tls_handshake_hangs_or_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = listener.local_addr().unwrap();
    let (garbling, _served) = {
        let garbler = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = garbler.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = garbler.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 This is not TLS\r\n\r\n").await.unwrap();
            stream.read_to_end(&mut Vec::new()).await
        });
        (address, served)
    };
    for address in [hanging, garbling] {
        let request_timeout = Duration::from_millis(400);
        let answer = call(Settings { request_timeout, ..settings(format!("https://{address}")) }).await;
        assert_eq!(words(&answer.outcome), "not-sent CONNECT_FAILED", "{:?}", answer.outcome);
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_before_the_call_is_not_used_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = CloudApi::new(settings(format!("http://{}", listener.local_addr().unwrap()))).unwrap();
    for _ in 0..50 {
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(http(200, SUCCESS).as_bytes()).await.unwrap();
        };
        let (answer, ()) = tokio::join!(api.send(request()), serve);
        // By now the server has hung up, just as the next call begins.
        assert_eq!(words(&answer.outcome), "accepted wamid.HBg=");
    }
}

#[tokio::test]
async fn the_outcome_is_unknown_where_the_connection_drops_after_the_request() {
    for reply in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"messages\":[{\"id\":\"wamid.HBg=\"}]}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"mes",
        "this is not HTTP\r\n\r\n",
    ] {
        let answer = answered(reply).await;
        assert_eq!(words(&answer.outcome), "unknown CONNECTION_LOST", "{reply}");
    }
}

#[tokio::test]
async fn the_outcome_is_unknown_where_the_answer_does_not_come_in_time() {
    for reply in ["", "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(reply.as_bytes()).await.unwrap();
            // Holds the connection until the caller hangs up.
            stream.read_to_end(&mut Vec::new()).await
        });
        let request_timeout = Duration::from_millis(200);
        let answer = call(Settings { request_timeout, ..settings(base_url) }).await;
        assert_eq!((&*words(&answer.outcome), answer.fault), ("unknown TIMEOUT", Some(Fault::Silent)), "{reply}");
        drop(served.await);
    }
}

#[tokio::test]
async fn an_answer_is_kept_up_to_a_limit_and_never_read_without_end() {
    let long = "ü".repeat(BODY_MAX);
    let answer = answered(&http(500, &format!("a{long}"))).await;
    assert_eq!(words(&answer.outcome), "unknown NO_ENVELOPE");
    let kept = String::from_utf8(answer.response.unwrap()).unwrap();
    assert_eq!(kept.len(), KEPT_MAX - 1, "the last ü would have been cut in two");
}

#[tokio::test]
async fn a_wait_that_the_answer_asks_for_is_passed_on() {
    for (value, wait) in [
        ("7", Some(Duration::from_secs(7))),
        ("86400", Some(crate::horizon::horizon(429).believed)),
        ("99999999999", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-1", None),
    ] {
        let reply = format!("HTTP/1.1 429 Slow\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(answered(&reply).await.retry_after, wait, "{value}");
    }
}

#[tokio::test]
async fn no_failure_shows_the_token_the_number_or_the_address() {
    let (address, _served) = server(String::new()).await;
    let lost = call(settings(format!("http://{address}"))).await;
    let refused = call(settings(format!("http://{address}"))).await;
    for answer in [lost, refused] {
        match answer.outcome {
            Outcome::NotSent(failure)
            | Outcome::Unreachable(failure)
            | Outcome::Unknown(failure)
            | Outcome::CutOff(failure) => {
                for private in [TOKEN, "4915112345678", "1066", "http://"] {
                    assert!(!failure.message.contains(private), "{}", failure.message);
                }
                assert!(failure.message.ends_with('.') && !failure.message.contains('\n'), "{}", failure.message);
            }
            Outcome::Accepted(_) | Outcome::Refused(_) => panic!("{:?}", answer.outcome),
        }
    }
}

#[tokio::test]
async fn settings_that_nothing_can_be_called_with_are_refused() {
    for base_url in
        ["", "graph.facebook.com", "ftp://x", "file:///x", "http://u:p@x", "http://u@x", "http://x?q", "http://x#f"]
    {
        let built = CloudApi::new(settings(base_url.to_owned()));
        assert!(matches!(built, Err(BuildError::BaseUrl)), "{base_url}");
    }
    let good = settings("http://127.0.0.1:1".to_owned());
    for version in ["", "25", "v25/..", "v25?"] {
        let built = CloudApi::new(Settings { api_version: version.to_owned(), ..good.clone() });
        assert!(matches!(built, Err(BuildError::ApiVersion)), "{version}");
    }
    let built = CloudApi::new(Settings { request_timeout: Duration::ZERO, ..good });
    assert!(matches!(built, Err(BuildError::RequestTimeout)));
}

#[test]
fn tokens_leave_this_machine_in_clear_only_where_that_was_allowed_and_a_version_comes_once() {
    for (base_url, wrong) in [
        ("http://127.0.0.1:1", None),
        ("http://[::1]:1/graph", None),
        ("http://localhost:1", None),
        ("http://sim.localhost", None),
        ("http://graph.example.invalid", None),
        ("https://graph.facebook.com/", None),
        ("https://example.com/vault/v2x", None),
        ("http://example.com", Some("in clear")),
        ("http://10.0.0.7:9090", Some("in clear")),
        ("http://localhost.example.com", Some("in clear")),
        ("https://graph.facebook.com/v25.0", Some("version v25.0")),
        ("https://graph.facebook.com/V25.0/", Some("version V25.0")),
        ("http://127.0.0.1:1/v3", Some("version v3")),
    ] {
        let checked = settings(base_url.to_owned()).check();
        match wrong {
            None => assert!(checked.is_ok(), "{base_url}: {checked:?}"),
            Some(says) => assert!(checked.unwrap_err().to_string().contains(says), "{base_url}"),
        }
    }
    let allowed = Settings { allow_plaintext: true, ..settings("http://simulator:9090".to_owned()) };
    assert!(allowed.check().is_ok());
}

#[tokio::test]
async fn calls_go_through_the_proxy_that_the_settings_name_and_its_password_is_not_shown() {
    let (address, served) = server(http(200, SUCCESS)).await;
    let proxied = Settings {
        proxy: Some(format!("http://user:pass@{address}").parse().unwrap()),
        ..settings("http://graph.example.invalid".to_owned())
    };
    assert_eq!(proxied.way().unwrap().to_string(), format!("through the proxy http://{address} (whatsapp.proxy)"));
    let answer = call(proxied).await;
    assert_eq!(words(&answer.outcome), "accepted wamid.HBg=");
    let request = served.await.unwrap();
    assert!(request.starts_with("POST http://graph.example.invalid/v25.0/1066/messages HTTP/1.1\r\n"), "{request}");
    assert!(request.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz\r\n"), "{request}");
    for proxy in ["proxy:3128", "socks5://127.0.0.1:1", "nonsense", "http://"] {
        let wrong = Settings { proxy: Some(proxy.parse().unwrap()), ..settings("http://127.0.0.1:1".to_owned()) };
        assert!(matches!(CloudApi::new(wrong), Err(BuildError::Proxy("whatsapp.proxy"))), "{proxy}");
    }
}

#[test]
fn a_file_of_certificates_that_holds_none_is_refused() {
    let file = std::env::temp_dir().join(format!("twotick-ca-{}", std::process::id()));
    std::fs::write(&file, "not a certificate").unwrap();
    for path in [file.clone(), "/no/such/file.pem".into()] {
        let wrong = Settings { ca_file: Some(path.clone()), ..settings("http://127.0.0.1:1".to_owned()) };
        let error = CloudApi::new(wrong).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
    std::fs::remove_file(file).unwrap();
}
