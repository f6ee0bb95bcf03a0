//! A request as handlers see it: read whole, within its limit, with its query parsed.

use bytes::Bytes;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::auth::{Holder, Keyless};
use super::problem::Problem;
use super::query::Query;
use super::server::Arrival;
use crate::http::server::bodies::Room;

/// Headers that decide what is done. One that cannot be read, or comes twice, must not count as absent or as either.
const DECISIVE: [&str; 5] = ["authorization", "content-type", "idempotency-key", "x-hub-signature-256", "x-org-id"];

/// A request: its head, and then the rest.
pub(crate) struct Request {
    pub(crate) arrival: Arrival,
    /// `GET` also for `HEAD`, whose answer goes without its body.
    pub(crate) method: Method,
    path: Vec<String>,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    /// Whose key it comes with; looked at before its body.
    pub(crate) key: Result<Holder, Keyless>,
    pub(crate) body: Bytes,
    /// What its body takes of the room for all.
    pub(crate) _room: Option<Room>,
}

impl Request {
    /// One of whom only the head is known.
    pub(crate) fn new(
        arrival: Arrival,
        method: Method,
        path: &str,
        query: &str,
        headers: HeaderMap,
    ) -> Result<Self, Problem> {
        check_headers(&headers)?;
        Ok(Self {
            arrival,
            method: if method == Method::HEAD { Method::GET } else { method },
            path: path.split('/').skip(1).map(decode).collect(),
            query: Query::parse(query),
            headers,
            key: Err(Keyless::Absent),
            body: Bytes::new(),
            _room: None,
        })
    }

    /// Whether it asks for something and changes nothing.
    pub(crate) fn is_read(&self) -> bool {
        self.method == Method::GET
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
