//! `/_sim`: the API that inspects and changes a running simulator.

use bytes::Bytes;
use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::json;

use crate::account::Account;
use crate::answers::{HttpResponse, answer, answer_with, complain, read, refuse};
use crate::errors::Refusal;
use crate::faults::Faults;
use crate::inbound::{Inbound, InboundError};
use crate::shared::Shared;
use crate::templates;

/// Answers a call to `/_sim/{name}`.
pub(crate) async fn call(method: &Method, name: &str, query: &str, body: Incoming, shared: &Shared) -> HttpResponse {
    match (method, name) {
        (&Method::GET, "messages") => messages(shared, query),
        (&Method::GET, "stats") => answer(StatusCode::OK, &shared.stats()),
        (&Method::GET, "faults") => answer(StatusCode::OK, &shared.faults()),
        (&Method::PUT, "faults") => set(body, Faults::from_json, |faults| shared.set_faults(faults)).await,
        (&Method::GET, "account") => answer(StatusCode::OK, &shared.account()),
        (&Method::PUT, "account") => {
            let given = |text: &[u8]| serde_json::from_slice(text).map(|account: Account| shared.of_our_waba(account));
            set(body, given, |account| shared.set_account(account)).await
        }
        (&Method::GET, "templates") => answer(StatusCode::OK, &shared.templates.get()),
        (&Method::PUT, "templates") => set(body, templates::List::from_json, |list| shared.templates.set(list)).await,
        (&Method::POST, "inbound") => inbound(body, shared).await,
        (&Method::POST, "reset") => {
            shared.reset();
            answer_with(StatusCode::NO_CONTENT, None, Bytes::new())
        }
        (_, "messages" | "stats") => wrong_method("GET"),
        (_, "faults" | "account" | "templates") => wrong_method("GET, PUT"),
        (_, "reset" | "inbound") => wrong_method("POST"),
        _ => refuse(&Refusal::unknown_path(&format!("_sim/{name}"))),
    }
}

/// The messages of the ledger, or at most `limit` of those after number `after`.
fn messages(shared: &Shared, query: &str) -> HttpResponse {
    let (mut after, mut limit) = (0, usize::MAX);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let read = match name {
            "after" => value.parse().map(|n| after = n).is_ok(),
            "limit" => value.parse().map(|n| limit = n).is_ok(),
            _ => false,
        };
        if !read {
            return complain(StatusCode::BAD_REQUEST, "the only parameters are after=NUMBER and limit=NUMBER");
        }
    }
    answer(StatusCode::OK, &shared.messages(after, limit))
}

/// Replaces a setting and answers with its new value.
async fn set<T: Serialize, E: ToString>(
    body: Incoming,
    from_json: impl FnOnce(&[u8]) -> Result<T, E>,
    apply: impl FnOnce(T),
) -> HttpResponse {
    let body = match read(body).await {
        Ok(body) => body,
        Err(why) => return complain(StatusCode::PAYLOAD_TOO_LARGE, why),
    };
    match from_json(&body) {
        Ok(value) => {
            let answered = answer(StatusCode::OK, &value);
            apply(value);
            answered
        }
        Err(error) => complain(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// Queues an inbound message for the webhook.
async fn inbound(body: Incoming, shared: &Shared) -> HttpResponse {
    let body = match read(body).await {
        Ok(body) => body,
        Err(why) => return complain(StatusCode::PAYLOAD_TOO_LARGE, why),
    };
    let given = Inbound::from_json(&body).map_err(|error| InboundError::Wrong(error.to_string()));
    match given.and_then(|inbound| shared.receive(inbound)) {
        Ok(id) => answer(StatusCode::ACCEPTED, &json!({ "id": id })),
        Err(why) => {
            let status = match why {
                InboundError::Wrong(_) => StatusCode::BAD_REQUEST,
                InboundError::NoWebhook => StatusCode::CONFLICT,
                InboundError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            };
            complain(status, &why.to_string())
        }
    }
}

fn wrong_method(allowed: &'static str) -> HttpResponse {
    let mut answered = complain(StatusCode::METHOD_NOT_ALLOWED, &format!("use {allowed}"));
    answered.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answered
}
