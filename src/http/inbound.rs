//! What recipients wrote.

use http::StatusCode;
use serde_json::json;

use super::auth::Caller;
use super::request::Request;
use super::{Answer, App, views};
use crate::query::Paging;

pub(super) async fn list(app: &App, request: &Request, caller: Caller) -> Answer {
    let (from, Paging { limit, cursor }) = request.query.inbound()?;
    let (store, no) = (app.outbox.store().clone(), caller.org.no);
    let page = app.room.read(no, move || store.inbound_page(no, from.as_deref(), cursor, limit)).await?;
    let items: Vec<_> = page.items.iter().map(|inbound| views::inbound(&caller.org.id, inbound)).collect();
    let next = page.next.map(|id| id.to_string());
    views::json(StatusCode::OK, &json!({"items": items, "nextCursor": next}))
}
