//! The answers of the server.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::json;

use crate::errors::Refusal;

/// The largest request that is no file.
const BODY_MAX: usize = 1024 * 1024;
/// What an edge server in front of Meta might show.
const EDGE_PAGE: &str =
    "<!DOCTYPE html><html><head><title>Error</title></head><body>Sorry, something went wrong.</body></html>";

/// An answer.
pub(crate) type Answered = Response<Full<Bytes>>;

/// Ends a connection without an answer: hyper closes it when its service fails.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on purpose")]
pub(crate) struct Dropped;

/// The whole body of a request that is no file.
pub(crate) async fn read(body: Incoming) -> Result<Bytes, &'static str> {
    let read = Limited::new(body, BODY_MAX).collect().await;
    read.map(Collected::to_bytes).map_err(|_| "The body is larger than 1 MiB, or was cut off.")
}

/// JSON, with the end of a line, for those who read it in a terminal.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> Answered {
    // Nothing here has keys that JSON cannot write.
    let mut body = serde_json::to_vec(body).unwrap_or_default();
    body.push(b'\n');
    answer_with(status, Some("application/json; charset=UTF-8"), body.into())
}

/// Anything.
pub(crate) fn answer_with(status: StatusCode, media_type: Option<&str>, body: Bytes) -> Answered {
    let mut answered = Response::new(Full::new(body));
    *answered.status_mut() = status;
    if let Some(media_type) = media_type.and_then(|media_type| HeaderValue::from_str(media_type).ok()) {
        answered.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    answered
}

/// Meta's answer to what it did as it was told.
pub(crate) fn done() -> Answered {
    answer(StatusCode::OK, &json!({ "success": true }))
}

/// Meta's error.
pub(crate) fn refuse(refusal: &Refusal) -> Answered {
    let status = StatusCode::from_u16(refusal.http_status).unwrap_or(StatusCode::BAD_REQUEST);
    answer(status, &refusal.envelope())
}

/// An error of the simulator itself.
pub(crate) fn complain(status: StatusCode, message: &str) -> Answered {
    answer(status, &json!({ "error": { "message": message } }))
}

/// A page that is not Meta's.
pub(crate) fn page(status: StatusCode) -> Answered {
    answer_with(status, Some("text/html; charset=utf-8"), Bytes::from_static(EDGE_PAGE.as_bytes()))
}
