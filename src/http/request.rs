//! A request as handlers see it: read whole, within its limit, with its query parsed.

use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::problem::Problem;
use super::server::Arrival;
use crate::query::Query;

/// Room that is made for a body before any of it came.
const RESERVED_MAX: usize = 16 * 1024;
/// A body must be here within this time.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// So much of a body beyond its limit is read and thrown away: a client that is still sending when the connection closes
/// would see that, and not the answer.
const DISCARDED_MAX: usize = 16 * 1024 * 1024;

/// Room for the bodies of all requests together, in KiB: a crowd of slow senders must not take all memory.
const BODIES_MAX: usize = 128 * 1024;
/// It is taken in steps of so many KiB.
const ROOM_STEP: usize = 64;
static ROOM: Semaphore = Semaphore::const_new(BODIES_MAX);

/// Headers that decide what is done. One that cannot be read, or comes twice, must not count as absent or as either.
const DECISIVE: [&str; 5] = ["authorization", "content-type", "idempotency-key", "x-hub-signature-256", "x-org-id"];

/// A request, read whole.
pub(crate) struct Request {
    pub(crate) arrival: Arrival,
    pub(crate) method: Method,
    path: Vec<String>,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What its body takes of the room for all.
    _room: SemaphorePermit<'static>,
}

impl Request {
    /// Reads the body, up to `max` bytes.
    pub(crate) async fn read<B: Buf>(
        arrival: Arrival,
        method: Method,
        path: &str,
        query: &str,
        headers: HeaderMap,
        body: impl Stream<Item = Result<B, warp::Error>>,
        max: usize,
    ) -> Result<Self, Problem> {
        check_headers(&headers)?;
        let announced = headers.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let is_large = announced.is_some_and(|length: usize| length > max);
        if is_large && headers.contains_key(http::header::EXPECT) {
            // It waits for a word from us before it sends any.
            return Err(Problem::too_large(max));
        }
        // Memory follows what came, not what was announced: an announcement costs its sender nothing.
        let mut whole = Vec::with_capacity(announced.unwrap_or(0).min(max).min(RESERVED_MAX));
        let crowded = |_| Problem::overloaded("too many bodies are being read");
        let mut room = ROOM.try_acquire_many(0).map_err(crowded)?;
        let mut size: usize = 0;
        let deadline = Instant::now() + BODY_WITHIN;
        let mut body = std::pin::pin!(body);
        while let Some(part) = timeout_at(deadline, body.next()).await.map_err(|_| Problem::too_slow())? {
            let mut part = part.map_err(|_| Problem::malformed("the body was cut off"))?;
            size = size.saturating_add(part.remaining());
            if size > max.saturating_add(DISCARDED_MAX) {
                break;
            }
            while size <= max && part.has_remaining() {
                let chunk = part.chunk();
                let taken = room.num_permits();
                let needed = (whole.len() + chunk.len()).div_ceil(1024).next_multiple_of(ROOM_STEP);
                if let Some(more) = needed.checked_sub(taken).and_then(|more| u32::try_from(more).ok()) {
                    room.merge(ROOM.try_acquire_many(more).map_err(crowded)?);
                }
                whole.extend_from_slice(chunk);
                let read = chunk.len();
                part.advance(read);
            }
        }
        if size > max {
            return Err(Problem::too_large(max));
        }
        let path = path.split('/').skip(1).map(decode).collect();
        Ok(Self { arrival, method, path, query: Query::parse(query), headers, body: Bytes::from(whole), _room: room })
    }

    /// Whether it asks for something and changes nothing.
    pub(crate) fn is_read(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as a JSON object.
    pub(crate) fn json(&self) -> Result<Map<String, Value>, Problem> {
        let kind = self.header("content-type").map(|kind| kind.split(';').next().unwrap_or("").trim().to_lowercase());
        if kind.as_deref().is_some_and(|kind| kind != "application/json" && !kind.ends_with("+json")) {
            let detail = "send the body as application/json";
            return Err(Problem::new(http::StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail));
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Err(Problem::malformed("the body must be a JSON object"))
            }
            // serde_json says what and where, and quotes nothing of the body.
            Err(error) => Err(Problem::malformed(format!("the body is not JSON: {error}"))),
        }
    }
}

fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    for name in DECISIVE {
        let mut values = headers.get_all(name).iter();
        let is_readable = values.next().is_none_or(|value| value.to_str().is_ok());
        if !is_readable || values.next().is_some() {
            return Err(Problem::malformed(format!("the header {name} must come once, as printable ASCII")));
        }
    }
    Ok(())
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
