//! The HTTP server: Meta's paths, and `/_sim` to look inside.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::message::is_user_id;
use futures_timer::Delay;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::account::Account;
use crate::checks;
use crate::errors::Refusal;
use crate::faults::Faults;
use crate::matching::Answer;
use crate::shared::{Shared, Verdict};

/// The largest request.
const BODY_MAX: usize = 1024 * 1024;
/// Before the next try to accept a connection when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Meta's code for a path that does not exist.
const UNKNOWN_PATH: i64 = 2500;
/// Meta's code for a request that it cannot read.
const INVALID_REQUEST: i64 = 100;
const TOO_LARGE: u16 = 413;
/// What an edge server in front of Meta might show.
const EDGE_PAGE: &str =
    "<!DOCTYPE html><html><head><title>Error</title></head><body>Sorry, something went wrong.</body></html>";

type Answered = Response<Full<Bytes>>;

/// Ends a connection without an answer: hyper closes it when its service fails.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on purpose")]
struct Dropped;

/// Serves until it is aborted; the connections end with it.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&shared)));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Only costs time if it fails.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| route(request, &shared));
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::trace!(%error, "connection ended");
    }
}

async fn route(request: Request<Incoming>, shared: &Shared) -> Result<Answered, Dropped> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().trim_matches('/').to_owned();
    let segments: Vec<&str> = path.split('/').collect();
    Ok(match (&head.method, segments.as_slice()) {
        (&Method::GET, ["_sim", "messages"]) => messages(shared, head.uri.query()),
        (&Method::GET, ["_sim", "stats"]) => answer(StatusCode::OK, &shared.stats()),
        (&Method::GET, ["_sim", "faults"]) => answer(StatusCode::OK, &shared.faults()),
        (&Method::PUT, ["_sim", "faults"]) => set_faults(body, shared).await,
        (&Method::GET, ["_sim", "account"]) => answer(StatusCode::OK, &shared.account()),
        (&Method::PUT, ["_sim", "account"]) => set_account(body, shared).await,
        (&Method::POST, ["_sim", "reset"]) => {
            shared.reset();
            answer_with(StatusCode::NO_CONTENT, None, Bytes::new())
        }
        (_, ["_sim", name]) => wrong_method(name),
        (&Method::GET, [version, id]) if is_version(version) => {
            look(id, &head.headers, shared, |account| account.number(id, &fields(head.uri.query())))
        }
        (&Method::GET, [version, id, "subscribed_apps"]) if is_version(version) => {
            look(id, &head.headers, shared, |account| account.subscribed_apps(id))
        }
        (method, [id, "messages"]) => send(method, id, &head.headers, body, shared).await?,
        (method, [version, id, "messages"]) if is_version(version) => {
            send(method, id, &head.headers, body, shared).await?
        }
        _ => refuse(&Refusal::new(UNKNOWN_PATH, format!("Unknown path components: /{path}"))),
    })
}

/// `v25.0` and the like.
fn is_version(segment: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    segment.strip_prefix('v').and_then(|v| v.split_once('.')).is_some_and(|(a, b)| number(a) && number(b))
}

/// A call that only looks.
fn look(
    id: &str,
    headers: &http::HeaderMap,
    shared: &Shared,
    see: impl FnOnce(&Account) -> serde_json::Value,
) -> Answered {
    let account = shared.account();
    let checked = account.check(headers).and_then(|()| match id.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(()),
        false => Err(checks::no_such_object(id)),
    });
    match checked {
        Ok(()) => answer(StatusCode::OK, &see(&account)),
        Err(refusal) => refuse(&refusal),
    }
}

fn fields(query: Option<&str>) -> String {
    let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("fields="));
    percent_decode_str(asked.unwrap_or_default()).decode_utf8_lossy().into_owned()
}

/// The call that sends.
async fn send(
    method: &Method,
    id: &str,
    headers: &http::HeaderMap,
    body: Incoming,
    shared: &Shared,
) -> Result<Answered, Dropped> {
    if method != Method::POST {
        return Ok(refuse(&checks::no_such_object(id)));
    }
    shared.count(|stats| stats.requests += 1);
    let body = match read(body).await {
        Ok(body) => body,
        Err(why) => {
            let refusal = Refusal { http_status: TOO_LARGE, ..Refusal::new(INVALID_REQUEST, why) };
            shared.refused(&refusal);
            return Ok(refuse(&refusal));
        }
    };
    // Counted from here, not from the first half's end: each pause lasts a little longer than it is told to.
    let began = Instant::now();
    let parsed = shared.account().check(headers).and_then(|()| checks::check(id, headers, &body));
    pause(began, shared.latency / 2).await;
    let request = match parsed {
        Ok(request) => request,
        Err(refusal) => {
            shared.refused(&refusal);
            pause(began, shared.latency).await;
            return Ok(refuse(&refusal));
        }
    };
    let (to, wa_id, kind) = (request.to.clone(), request.wa_id.clone(), request.kind);
    let Verdict { delay, wamid, answer } = shared.admit(request);
    pause(began, shared.latency.saturating_add(delay)).await;
    match answer {
        Answer::Success => Ok(success(&to, &wa_id, kind, wamid.as_deref().unwrap_or_default())),
        Answer::Error(refusal) => Ok(refuse(&refusal)),
        Answer::Nothing => Err(Dropped),
        Answer::NotJson => Ok(page(StatusCode::OK)),
        Answer::NoEnvelope(status) => {
            Ok(page(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)))
        }
    }
}

/// Waits until `time` after `began`.
async fn pause(began: Instant, time: Duration) {
    // tokio's timer goes by whole milliseconds and rounds up: 64 calls at once of 50 ms each would be two in a hundred too few.
    let left = time.saturating_sub(began.elapsed());
    if !left.is_zero() {
        Delay::new(left).await;
    }
}

fn success(to: &str, wa_id: &str, kind: &str, wamid: &str) -> Answered {
    let mut message = json!({ "id": wamid });
    if let (true, Some(message)) = (kind == "template", message.as_object_mut()) {
        message.insert("message_status".into(), "accepted".into());
    }
    let name = if is_user_id(wa_id) { "user_id" } else { "wa_id" };
    let contact = json!({ "input": to, name: wa_id });
    let body = json!({ "messaging_product": "whatsapp", "contacts": [contact], "messages": [message] });
    answer(StatusCode::OK, &body)
}

/// The ledger, or the part of it after `after` of at most `limit`.
fn messages(shared: &Shared, query: Option<&str>) -> Answered {
    let (mut after, mut limit) = (0, usize::MAX);
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let read = match name {
            "after" => value.parse().map(|n| after = n).is_ok(),
            "limit" => value.parse().map(|n| limit = n).is_ok(),
            _ => false,
        };
        if !read {
            return complain(StatusCode::BAD_REQUEST, "only after=NUMBER and limit=NUMBER can be asked for");
        }
    }
    answer(StatusCode::OK, &shared.messages(after, limit))
}

async fn set_faults(body: Incoming, shared: &Shared) -> Answered {
    let body = match read(body).await {
        Ok(body) => body,
        Err(why) => return complain(StatusCode::PAYLOAD_TOO_LARGE, why),
    };
    match Faults::from_json(&body) {
        Ok(faults) => {
            let answered = answer(StatusCode::OK, &faults);
            shared.set_faults(faults);
            answered
        }
        Err(error) => complain(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn set_account(body: Incoming, shared: &Shared) -> Answered {
    let body = match read(body).await {
        Ok(body) => body,
        Err(why) => return complain(StatusCode::PAYLOAD_TOO_LARGE, why),
    };
    match serde_json::from_slice::<Account>(&body) {
        Ok(account) => {
            let answered = answer(StatusCode::OK, &account);
            shared.set_account(account);
            answered
        }
        Err(error) => complain(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn wrong_method(name: &str) -> Answered {
    let allowed = match name {
        "messages" | "stats" => "GET",
        "faults" | "account" => "GET, PUT",
        "reset" => "POST",
        _ => return refuse(&Refusal::new(UNKNOWN_PATH, format!("Unknown path components: /_sim/{name}"))),
    };
    let mut answered = complain(StatusCode::METHOD_NOT_ALLOWED, &format!("use {allowed}"));
    answered.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answered
}

async fn read(body: Incoming) -> Result<Bytes, &'static str> {
    let read = Limited::new(body, BODY_MAX).collect().await;
    read.map(Collected::to_bytes).map_err(|_| "The body is larger than 1 MiB, or was cut off.")
}

fn refuse(refusal: &Refusal) -> Answered {
    let status = StatusCode::from_u16(refusal.http_status).unwrap_or(StatusCode::BAD_REQUEST);
    answer(status, &refusal.envelope())
}

/// An error of the simulator itself.
fn complain(status: StatusCode, message: &str) -> Answered {
    answer(status, &json!({ "error": { "message": message } }))
}

fn page(status: StatusCode) -> Answered {
    answer_with(status, Some("text/html; charset=utf-8"), Bytes::from_static(EDGE_PAGE.as_bytes()))
}

fn answer(status: StatusCode, body: &impl Serialize) -> Answered {
    // Nothing here has keys that JSON cannot write.
    let body = serde_json::to_vec(body).unwrap_or_default();
    answer_with(status, Some("application/json; charset=UTF-8"), body.into())
}

fn answer_with(status: StatusCode, media_type: Option<&'static str>, body: Bytes) -> Answered {
    let mut answered = Response::new(Full::new(body));
    *answered.status_mut() = status;
    if let Some(media_type) = media_type {
        answered.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    answered
}
