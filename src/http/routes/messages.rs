//! Messages: post, get, list, retry, cancel, count.

use actors::{Manual, ManualError};
use api::{Attempt, Listing, Numbered};
use domain::audit::By;
use domain::intake::NewMessage;
use domain::state::Status;
use domain::{MessageId, OrgNo, State};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};
use store::search::{self, PAGE_BYTES};
use store::{Store, StoreError};

use crate::http::auth::Caller;
use crate::http::problem::Problem;
use crate::http::query::Paging;
use crate::http::request::Request;
use crate::http::{Answer, App, views};

/// A message's id, or that there is no such message.
pub(super) fn id(text: &str) -> Result<MessageId, Problem> {
    text.parse().map_err(|_| Problem::not_found("message"))
}

pub(super) async fn post(app: &App, request: &Request, caller: Caller) -> Answer {
    let admission = app.outbox.admit(&caller.org.id)?;
    let body = request.json()?;
    let key = request.header("idempotency-key");
    let new = NewMessage::parse(&body, key, app.outbox.clock().now()).map_err(Problem::invalid)?;
    let new = new.as_written(&request.body);
    let accepted = app.outbox.accept(admission, &caller.org.id, new, caller.by).await?;
    let view = views::message(&caller.org.id, &accepted.message, &accepted.state);
    let status = if accepted.replayed { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = views::json(status, &view)?;
    if accepted.replayed {
        response.headers_mut().insert("idempotent-replay", HeaderValue::from_static("true"));
    }
    let location = format!("/api/v1/outbound/messages/{}", accepted.message.id);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

pub(super) fn get(app: &App, caller: Caller, text: &str) -> Answer {
    let (store, no, id) = (app.outbox.store(), caller.org.no, id(text)?);
    let (Some(state), Some(message)) = (store.state(no, id)?, store.message(no, id)?) else {
        return Err(Problem::not_found("message"));
    };
    views::json(StatusCode::OK, &views::message(&caller.org.id, &message, &state))
}

pub(super) async fn explain(app: &App, caller: Caller, text: &str) -> Answer {
    // As it is now, not as it was when the caller was recognised.
    let org = app.outbox.directory().org(&caller.org.id).unwrap_or(caller.org);
    let explanation = app.outbox.explain(&org, id(text)?).await?;
    views::json(StatusCode::OK, &explanation.ok_or_else(|| Problem::not_found("message"))?)
}

pub(super) fn attempts(app: &App, caller: Caller, text: &str) -> Answer {
    let (store, no, id) = (app.outbox.store(), caller.org.no, id(text)?);
    let state = store.state(no, id)?.ok_or_else(|| Problem::not_found("message"))?;
    views::json(StatusCode::OK, &attempts_of(store, no, id, &state)?)
}

/// A message's attempts with the provider's answers.
pub(super) fn attempts_of(store: &Store, no: OrgNo, id: MessageId, state: &State) -> Result<Vec<Attempt>, StoreError> {
    let responses = store.responses(no, id)?;
    let response = |no| responses.iter().find(|(known, _)| *known == no).map(|(_, body)| body.as_slice());
    Ok(state.attempts.iter().map(|attempt| views::attempt(attempt, response(attempt.no))).collect())
}

pub(super) async fn list(app: &App, request: &Request, caller: Caller) -> Answer {
    let (filter, Paging { limit, cursor }) = request.query.messages()?;
    let (store, no) = (app.outbox.store().clone(), caller.org.no);
    let page = app.room.read(no, move || store.messages(no, &filter, cursor, limit)).await?;
    let items: Vec<_> =
        page.items.iter().map(|(message, state)| views::message(&caller.org.id, message, state)).collect();
    views::json(StatusCode::OK, &Listing { items, next_cursor: page.next.map(|id| id.to_string()) })
}

pub(super) async fn pages(app: &App, request: &Request, caller: Caller) -> Answer {
    let (filter, page, size) = request.query.numbered()?;
    let (store, no) = (app.outbox.store().clone(), caller.org.no);
    let numbered = app.room.read(no, move || store.messages_by_page(no, &filter, page, size)).await?;
    let (items, total) = match numbered {
        search::Numbered::Found(items, total) => (items, total),
        search::Numbered::TooFar => {
            let advice = "too many messages lie before this page; follow nextCursor of GET /api/v1/outbound/messages";
            return Err(Problem::invalid_field("page", advice));
        }
        search::Numbered::TooLarge => {
            let advice = format!("these messages have more than {PAGE_BYTES} bytes together; ask for fewer at a time");
            return Err(Problem::invalid_field("size", advice));
        }
    };
    let content: Vec<_> = items.iter().map(|(message, state)| views::message(&caller.org.id, message, state)).collect();
    let total_pages = total.div_ceil(u64::try_from(size).unwrap_or(1));
    views::json(StatusCode::OK, &Numbered { content, page, size, total_elements: total, total_pages })
}

pub(super) async fn retry(app: &App, caller: Caller, text: &str) -> Answer {
    let wrong = ("NOT_RETRYABLE", "only a FAILED message that has not expired can be queued again");
    manual(app, caller.org.id.clone(), text, Manual::Retry, caller.by, wrong).await
}

pub(super) async fn cancel(app: &App, caller: Caller, text: &str) -> Answer {
    let wrong = ("NOT_CANCELLABLE", "only a QUEUED message can be cancelled");
    manual(app, caller.org.id.clone(), text, Manual::Cancel, caller.by, wrong).await
}

async fn manual(
    app: &App,
    org: domain::OrgId,
    text: &str,
    wish: Manual,
    by: By,
    (code, detail): (&'static str, &str),
) -> Answer {
    match app.outbox.manual(&org, id(text)?, wish, by).await {
        Ok((message, state)) => views::json(StatusCode::OK, &views::message(&org, &message, &state)),
        Err(ManualError::WrongState) => Err(Problem::new(StatusCode::CONFLICT, code, detail)),
        Err(
            error @ (ManualError::NotFound | ManualError::Blocked(_) | ManualError::Down(_) | ManualError::Unavailable),
        ) => Err(error.into()),
    }
}

pub(super) fn stats(app: &App, caller: Caller) -> Answer {
    let head = app.outbox.store().head(caller.org.no)?;
    let counts: Map<String, Value> =
        Status::ALL.into_iter().map(|status| (status.as_str().to_owned(), head.count(status).into())).collect();
    views::json(StatusCode::OK, &counts)
}
