//! What recipients wrote.

use api::Listing;
use http::StatusCode;

use crate::http::auth::Caller;
use crate::http::query::Paging;
use crate::http::request::Request;
use crate::http::views;
use crate::http::{Answer, App};

pub(super) async fn list(app: &App, request: &Request, caller: Caller) -> Answer {
    let (from, Paging { limit, cursor }) = request.query.inbound()?;
    let (store, no) = (app.outbox.store().clone(), caller.org.no);
    let page = app.room.read(no, move || store.inbound_page(no, from.as_deref(), cursor, limit)).await?;
    let items: Vec<_> = page.items.iter().map(|inbound| views::inbound(&caller.org.id, inbound)).collect();
    views::json(StatusCode::OK, &Listing { items, next_cursor: page.next.map(|id| id.to_string()) })
}
