//! How things look from outside: domain types as the types of the crate `api`.

mod audit;
mod consent;
mod message;
mod org;
mod person;
mod written;

use domain::Timestamp;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::Answer;
use super::problem::Problem;
pub(crate) use audit::{activity, event};
pub(crate) use consent::{consent, statement};
pub(crate) use message::{attempt, inbound, message};
pub(crate) use org::{key, org, org_details, way};
pub(crate) use person::{erased, former, parked_receipt};

/// A JSON response.
pub(crate) fn json<T: Serialize>(status: StatusCode, body: &T) -> Answer {
    let mut bytes = serde_json::to_vec(body).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        Problem::internal()
    })?;
    // At a terminal, what follows stands on a line of its own.
    bytes.push(b'\n');
    let mut response = Response::new(bytes);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

pub(crate) fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// A text of Meta's; `None` once it was erased.
fn present(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn present_owned(text: &str) -> Option<String> {
    present(text).map(str::to_owned)
}
