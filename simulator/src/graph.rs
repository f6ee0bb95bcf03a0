//! Meta's Graph API: the calls to phone numbers, accounts, templates and media.

use std::time::Duration;

use bytes::Bytes;
use domain::message::is_user_id;
use futures_timer::Delay;
use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyDataStream;
use hyper::body::Incoming;
use multer::{Constraints, Multipart, SizeLimit};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::answers::{Dropped, HttpResponse, answer, answer_with, done, page, read, refuse};
use crate::checks::{self, Posted};
use crate::errors::Refusal;
use crate::matching::Answer;
use crate::media::FILE_MAX;
use crate::shared::{Shared, Verdict};

/// The most bytes of an upload's form besides its file.
const FORM_MAX: usize = 64 * 1024;

/// Answers a call to Meta's API. `path` does not include the version.
pub(crate) async fn call(
    head: &Parts,
    path: &[&str],
    body: Incoming,
    shared: &Shared,
) -> Result<HttpResponse, Dropped> {
    let query = head.uri.query().unwrap_or_default();
    let looked = match (&head.method, path) {
        (method, [id, "messages"]) => return send(method, id, &head.headers, body, shared).await,
        (&Method::POST, [id, "media"]) => upload(id, &head.headers, body, shared).await,
        (&Method::GET, ["whatsapp_business", "attachments"]) => return Ok(download(&head.headers, query, shared)),
        (&Method::GET, [id]) => look(id, head, query, shared),
        (&Method::DELETE, [id]) => return Ok(delete(id, &head.headers, shared)),
        (&Method::GET, [id, "subscribed_apps"]) => {
            known(id, &head.headers, shared).map(|()| shared.account().subscribed_apps(id))
        }
        (&Method::GET, [id, "message_templates"]) => {
            let here = format!("{}{}", origin(&head.headers), head.uri.path());
            known(id, &head.headers, shared).and_then(|()| shared.templates.page(id, query, &here))
        }
        _ => Err(Refusal::unknown_path(head.uri.path().trim_matches('/'))),
    };
    Ok(match looked {
        Ok(seen) => answer(StatusCode::OK, &seen),
        Err(refusal) => refuse(&refusal),
    })
}

/// Refuses a call without a valid token or with a malformed id.
fn known(id: &str, headers: &HeaderMap, shared: &Shared) -> Result<(), Refusal> {
    shared.account().check(headers)?;
    match !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(()),
        false => Err(Refusal::no_such_object("get", id)),
    }
}

/// Looks up a file, a template or a phone number. Any other id counts as a phone number if the call asks for fields or
/// a message was sent from it.
fn look(id: &str, head: &Parts, query: &str, shared: &Shared) -> Result<Value, Refusal> {
    known(id, &head.headers, shared)?;
    let value = |name: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    if let Some(file) = shared.media.get(id) {
        let of = value("phone_number_id");
        return if of.is_none_or(|of| of == file.phone_number_id) {
            Ok(shared.media.describe(id, &file, &origin(&head.headers)))
        } else {
            Err(Refusal::no_such_object("get", id))
        };
    }
    let fields = value("fields");
    if let Some(template) = shared.templates.find(id, fields.as_deref()) {
        return Ok(template);
    }
    if shared.is_sender(id) || (fields.is_some() && !shared.media.existed(id)) {
        return Ok(shared.account().number(id, fields.as_deref()));
    }
    Err(Refusal::no_such_object("get", id))
}

/// The URL at which the caller reaches this server.
fn origin(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    format!("http://{host}")
}

/// Removes a file.
fn delete(id: &str, headers: &HeaderMap, shared: &Shared) -> HttpResponse {
    match shared.account().check(headers) {
        Ok(()) if shared.media.remove(id) => done(),
        Ok(()) => refuse(&Refusal::no_such_object("delete", id)),
        Err(refusal) => refuse(&refusal),
    }
}

/// Answers with the file behind a download URL.
fn download(headers: &HeaderMap, query: &str, shared: &Shared) -> HttpResponse {
    if let Err(refusal) = shared.account().check(headers) {
        return refuse(&refusal);
    }
    match shared.media.download(query) {
        Some(file) => answer_with(StatusCode::OK, Some(&file.mime_type), file.content),
        None => answer_with(StatusCode::NOT_FOUND, None, Bytes::new()),
    }
}

/// Takes an uploaded file. It is read into memory, so only few uploads run at a time.
async fn upload(id: &str, headers: &HeaderMap, body: Incoming, shared: &Shared) -> Result<Value, Refusal> {
    known(id, headers, shared)?;
    // The semaphore is never closed.
    let _turn = shared.media.uploads.acquire().await;
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(media_type).map_err(|_| {
        Refusal::malformed("An upload must be multipart/form-data with messaging_product, type and file.")
    })?;
    let most = u64::try_from(FILE_MAX + FORM_MAX).unwrap_or(u64::MAX);
    let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(most));
    let mut form = Multipart::with_constraints(BodyDataStream::new(body), boundary, constraints);
    let (mut product, mut kind, mut file) = (None, None, None);
    while let Some(field) = form.next_field().await.map_err(unread)? {
        match field.name() {
            Some("messaging_product") => product = Some(field.text().await.map_err(unread)?),
            Some("type") => kind = Some(field.text().await.map_err(unread)?),
            Some("file") => {
                let own = field.content_type().map(ToString::to_string);
                file = Some((own, field.bytes().await.map_err(unread)?));
            }
            Some(_) | None => {}
        }
    }
    match product.as_deref() {
        Some("whatsapp") => {}
        Some(_) => return Err(Refusal::malformed("Param messaging_product must be one of {WHATSAPP}.")),
        None => return Err(Refusal::malformed("The parameter messaging_product is required.")),
    }
    let (own, content) = file.ok_or_else(|| Refusal::malformed("The parameter file is required."))?;
    // Some clients write a type such as `image`, which says less than the file's own.
    let kind = kind.filter(|kind| kind.contains('/')).or(own);
    let kind = kind.ok_or_else(|| Refusal::malformed("The parameter type is required."))?;
    shared.media.add(id, kind, content).map(|id| json!({ "id": id }))
}

fn unread(error: multer::Error) -> Refusal {
    if matches!(error, multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. }) {
        return Refusal::too_large(format!("Param file must be at most {FILE_MAX} bytes."));
    }
    Refusal::malformed(format!("The form cannot be read: {error}."))
}

/// Answers a call that sends a message or marks one as read.
async fn send(
    method: &Method,
    id: &str,
    headers: &HeaderMap,
    body: Incoming,
    shared: &Shared,
) -> Result<HttpResponse, Dropped> {
    if method != Method::POST {
        return Ok(refuse(&Refusal::no_such_object("get", id)));
    }
    let body = match read(body).await {
        Ok(body) => body,
        Err(why) => {
            let refusal = Refusal::too_large(why);
            shared.count(|stats| stats.requests += 1);
            shared.refused(&refusal);
            return Ok(refuse(&refusal));
        }
    };
    // Both pauses are measured from here, because each lasts a little longer than requested.
    let began = Instant::now();
    let parsed = shared.account().check(headers).and_then(|()| checks::check(id, headers, &body));
    shared.count(|stats| match parsed {
        Ok(Posted::Read) => stats.marked_read += 1,
        Ok(Posted::Message(_)) | Err(_) => stats.requests += 1,
    });
    pause(began, shared.latency / 2).await;
    let request = match parsed {
        Ok(Posted::Message(request)) => request,
        Ok(Posted::Read) => {
            pause(began, shared.latency).await;
            return Ok(done());
        }
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
    // tokio's timer rounds up to whole milliseconds, so that 64 concurrent calls of 50 ms would reach 2 % too few
    // requests per second.
    let left = time.saturating_sub(began.elapsed());
    if !left.is_zero() {
        Delay::new(left).await;
    }
}

fn success(to: &str, wa_id: &str, kind: &str, wamid: &str) -> HttpResponse {
    let mut message = json!({ "id": wamid });
    if let (true, Some(message)) = (kind == "template", message.as_object_mut()) {
        message.insert("message_status".into(), "accepted".into());
    }
    let name = if is_user_id(wa_id) { "user_id" } else { "wa_id" };
    let contact = json!({ "input": to, name: wa_id });
    let body = json!({ "messaging_product": "whatsapp", "contacts": [contact], "messages": [message] });
    answer(StatusCode::OK, &body)
}
