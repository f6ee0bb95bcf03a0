//! Builds the server's HTTP responses.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::json;

use crate::errors::Refusal;

/// The largest request body, except for uploads.
const BODY_MAX: usize = 1024 * 1024;
/// A page such as an edge server in front of Meta might return.
const EDGE_PAGE: &str =
    "<!DOCTYPE html><html><head><title>Error</title></head><body>Sorry, something went wrong.</body></html>";

/// A complete response.
pub(crate) type HttpResponse = Response<Full<Bytes>>;

/// Closes a connection without an answer: hyper closes it when its service fails.
#[derive(Debug, thiserror::Error)]
#[error("the connection was dropped on purpose")]
pub(crate) struct Dropped;

/// Reads the whole body of a request that is not an upload.
pub(crate) async fn read(body: Incoming) -> Result<Bytes, &'static str> {
    let read = Limited::new(body, BODY_MAX).collect().await;
    read.map(Collected::to_bytes).map_err(|_| "The body is larger than 1 MiB, or was cut off.")
}

/// Answers in JSON, with a final newline for those who read it in a terminal.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    // Serialization fails only for keys that JSON cannot express, and no answer has such keys.
    let mut body = serde_json::to_vec(body).unwrap_or_default();
    body.push(b'\n');
    answer_with(status, Some("application/json; charset=UTF-8"), body.into())
}

/// Answers with any body.
pub(crate) fn answer_with(status: StatusCode, media_type: Option<&str>, body: Bytes) -> HttpResponse {
    let mut answered = Response::new(Full::new(body));
    *answered.status_mut() = status;
    if let Some(media_type) = media_type.and_then(|media_type| HeaderValue::from_str(media_type).ok()) {
        answered.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    answered
}

/// Meta's answer to a call that succeeds without a result.
pub(crate) fn done() -> HttpResponse {
    answer(StatusCode::OK, &json!({ "success": true }))
}

/// Meta's answer to a call that it refuses.
pub(crate) fn refuse(refusal: &Refusal) -> HttpResponse {
    let status = StatusCode::from_u16(refusal.http_status).unwrap_or(StatusCode::BAD_REQUEST);
    answer(status, &refusal.envelope())
}

/// An error of the simulator's own API.
pub(crate) fn complain(status: StatusCode, message: &str) -> HttpResponse {
    answer(status, &json!({ "error": { "message": message } }))
}

/// A page that does not come from Meta's API.
pub(crate) fn page(status: StatusCode) -> HttpResponse {
    answer_with(status, Some("text/html; charset=utf-8"), Bytes::from_static(EDGE_PAGE.as_bytes()))
}
