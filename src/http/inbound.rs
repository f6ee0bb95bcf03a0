//! What recipients wrote.

use domain::message::Recipient;
use http::StatusCode;
use serde_json::json;

use super::auth::Caller;
use super::messages::blocking;
use super::request::Request;
use super::{Answer, App, views};

const PAGE_MAX: usize = 200;
/// Meta's ids of users are shorter.
const USER_ID_MAX: usize = 200;

/// What [`author`] understands.
pub(super) const AUTHOR: &str =
    "must be a phone number in E.164, such as +4915112345678, or Meta's id of a user, such as US.13491208655302741918";

pub(super) async fn list(app: &App, request: &Request, caller: Caller) -> Answer {
    request.only(&["from", "limit", "cursor"])?;
    let from = request.parsed("from", AUTHOR, author)?;
    let limit = request.number("limit", 50, 1, PAGE_MAX)?;
    let before = request.parsed("cursor", "must be a nextCursor of an earlier page", |text| text.parse().ok())?;
    let (store, no) = (app.outbox.store().clone(), caller.org.no);
    let page = blocking(move || store.inbound_page(no, from.as_deref(), before, limit)).await?;
    let items: Vec<_> = page.items.iter().map(|inbound| views::inbound(&caller.org.id, inbound)).collect();
    let next = page.next.map(|id| id.to_string());
    views::json(StatusCode::OK, &json!({"items": items, "nextCursor": next}))
}

/// A '+' in a query means a blank: a number may come with either.
pub(super) fn author(text: &str) -> Option<String> {
    let is_user_id = |id: &&str| {
        id.len() <= USER_ID_MAX && id.contains('.') && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
    };
    match text.replace(' ', "+").parse::<Recipient>() {
        Ok(number) => Some(number.as_str().to_owned()),
        Err(_) => Some(text).filter(is_user_id).map(str::to_owned),
    }
}
