//! The outcome of a call, from its response or from its failure.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::iter::successors;
use std::time::SystemTime;

use domain::circuit::Fault;
use domain::outcome::{Class, Outcome, ProviderError, Scope, Verdict};
use domain::{Failure, OurCode, ProviderId};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::mend::mend;
use crate::provider::Answer;
use crate::{envelope, usage};

/// Meta's answers have less than a kilobyte. No more than this is read.
pub(super) const BODY_MAX: usize = 64 * 1024;

/// How much of an answer is kept.
pub(super) const KEPT_MAX: usize = 2048;

/// The machine, or this process, has no file descriptor left. The numbers are the same on all systems that we support.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// The call took too long: Meta may or may not have accepted the message.
pub(super) fn timed_out() -> Answer {
    let failure =
        Failure::new(OurCode::Timeout, "The Cloud API did not answer in time; it may have taken the message.");
    Answer::none(Outcome::Unknown(failure), Some(Fault::Silent))
}

/// The outcome of a call without a response.
pub(super) fn without_response(error: &reqwest::Error) -> Answer {
    // A timeout while connecting is both a timeout and a connection error; here it counts as the latter.
    if error.is_connect() && is_our_own(error) {
        let message = format!(
            "No connection could be opened here, so nothing was sent: {}. Raise the limit on open files (LimitNOFILE, ulimit \
             -Hn), or lower http.max_connections.",
            root_cause(error)
        );
        Answer::none(Outcome::NotSent(Failure::new(OurCode::OutOfDescriptors, message)), Some(Fault::Unreached))
    } else if error.is_connect() {
        let message = format!("The Cloud API could not be reached, so nothing was sent: {}.", root_cause(error));
        Answer::none(Outcome::NotSent(Failure::new(OurCode::ConnectFailed, message)), Some(Fault::Unreached))
    } else if error.is_builder() {
        let message = format!("The request could not be made, so nothing was sent: {}.", root_cause(error));
        Answer::none(Outcome::NotSent(Failure::new(OurCode::InvalidRequest, message)), None)
    } else if was_not_begun(error) {
        let message = format!("The connection was closed before anything was sent: {}.", root_cause(error));
        Answer::none(Outcome::NotSent(Failure::new(OurCode::ConnectionClosed, message)), Some(Fault::Unreached))
    } else {
        Answer::none(lost(error), Some(Fault::Silent))
    }
}

/// Whether the connection was closed before the request was written to it, or before all of it was.
fn was_not_begun(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        let is_canceled = cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        // Only a write can break a pipe, so the peer does not have the whole request.
        is_canceled || cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
}

/// Whether this machine has no file descriptor left, which says nothing about the way or about Meta.
fn is_our_own(error: &reqwest::Error) -> bool {
    let mut codes = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
    codes.any(|code| [ENFILE, EMFILE].contains(&code))
}

/// The causes of an error, the innermost last.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(error.source(), |cause| (**cause).source())
}

/// The request was sent, but its answer did not come, or not completely.
fn lost(error: &reqwest::Error) -> Outcome {
    let cause = root_cause(error);
    let message = format!("The connection was lost before the answer; the message may have been taken: {cause}.");
    Outcome::Unknown(Failure::new(OurCode::ConnectionLost, message))
}

/// The innermost cause, which says the most and contains no address.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = match error.source() {
        Some(source) => source,
        None => return "the HTTP client refused it".to_owned(),
    };
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

pub(super) async fn read(mut response: Response) -> Answer {
    let status = response.status();
    let mut body = Vec::new();
    let (outcome, fault) = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break judge(status, &body),
            Err(error) => break (lost(&error), Some(Fault::Silent)),
        }
        if body.len() > BODY_MAX {
            body.truncate(BODY_MAX);
            break judge(status, &body);
        }
    };
    let code = if let Outcome::Refused(error) = &outcome { error.code } else { status.as_u16().into() };
    let retry_after = usage::wait(response.headers(), code, SystemTime::now());
    let response = (!body.is_empty()).then(|| {
        let mut text = String::from_utf8_lossy(&body).into_owned();
        text.truncate(text.floor_char_boundary(KEPT_MAX));
        text.into_bytes()
    });
    Answer { outcome, response, retry_after, fault }
}

/// The outcome of a complete answer, and what is wrong with the way if it is not Meta's.
fn judge(status: StatusCode, body: &[u8]) -> (Outcome, Option<Fault>) {
    let body: Option<Value> = serde_json::from_str(&mend(body)).ok();
    let body = body.as_ref();
    if status.is_success() {
        let id = body.and_then(|body| body.get("messages")?.get(0)?.get("id")?.as_str());
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            return (Outcome::Accepted(ProviderId::new(id)), None);
        }
    }
    let meta = body.filter(|body| body.get("error").is_some_and(|error| !is_a_gateways(error, status)));
    let error = meta.and_then(|answer| envelope::read_answer(answer, status.as_u16()));
    match error {
        Some(error) => (Outcome::Refused(error), None),
        None if status.is_success() => {
            let message = if body.is_some() {
                "The Cloud API answered without a message id; it may have taken the message."
            } else {
                "Something answered that is not the Cloud API, such as a proxy's or a portal's page; the message may have been taken."
            };
            (Outcome::Unknown(Failure::new(OurCode::UnreadableAnswer, message)), Some(Fault::Foreign))
        }
        None if status.is_server_error() => {
            let message =
                format!("HTTP {} without Meta's error object; the message may have been taken.", status.as_u16());
            (Outcome::Unknown(Failure::new(OurCode::NoEnvelope, message)), Some(Fault::Foreign))
        }
        None => {
            let error = turned_away(status);
            let fault = (error.verdict.class == Class::Transient).then_some(Fault::Foreign);
            (Outcome::Refused(error), fault)
        }
    }
}

/// Gateways write error objects too, with the HTTP status as the code. Meta's have a trace id or a type.
fn is_a_gateways(error: &Value, status: StatusCode) -> bool {
    let is_status = error.get("code").and_then(Value::as_u64) == Some(status.as_u16().into());
    is_status && error.get("fbtrace_id").is_none() && error.get("type").is_none()
}

/// A redirect or client error without Meta's error object. Something in front of Meta, such as a proxy, turned the
/// request away, or the `base_url` is wrong. The message is not to blame, so it is retried by its schedule, unless it
/// is too large: then it can never pass.
fn turned_away(status: StatusCode) -> ProviderError {
    let (class, scope) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => (Class::Permanent, Scope::Message),
        StatusCode::TOO_MANY_REQUESTS => (Class::Throttled, Scope::Number),
        _ => (Class::Transient, Scope::Message),
    };
    let code = status.as_u16();
    ProviderError {
        code: code.into(),
        message: format!(
            "HTTP {code} without Meta's error object: the request was turned away before it reached Meta."
        ),
        verdict: Verdict { class, scope },
    }
}
