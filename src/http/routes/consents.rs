//! What recipients agreed to: recorded, shown with its history, listed.

use api::{ConsentHistory, Listing};
use domain::consent::{Choice, Covers, Source};
use domain::fields::Fields;
use domain::verbatim;
use http::StatusCode;
use serde_json::Value;

use crate::http::auth::Caller;
use crate::http::problem::Problem;
use crate::http::query;
use crate::http::query::{AUTHOR, Paging, author};
use crate::http::request::Request;
use crate::http::views;
use crate::http::{Answer, App};

const SOURCE_MAX: usize = 100;
/// In bytes of JSON text: a record of the store holds it whole.
const EVIDENCE_MAX: usize = 2000;

pub(super) fn recipient(text: &str) -> Result<String, Problem> {
    author(text).ok_or_else(|| Problem::invalid_field("recipient", AUTHOR))
}

pub(super) async fn put(app: &App, request: &Request, caller: Caller, name: &str) -> Answer {
    let body = request.json()?;
    let mut fields = Fields::new(&body, "");
    fields.require("status");
    let choice = fields.one_of("status", &Choice::WORDS);
    let covers = fields.one_of("category", &Covers::WORDS).unwrap_or(Covers::Both);
    let source = fields.short_text("source", SOURCE_MAX).map(str::to_owned);
    let evidence = match fields.value("evidence") {
        Some(Value::String(_) | Value::Object(_)) => {
            let written = verbatim::member(&String::from_utf8_lossy(&request.body), "evidence").map(verbatim::compact);
            written.map(String::into_bytes).filter(|json| json.len() <= EVIDENCE_MAX).or_else(|| {
                fields.refuse("evidence", format!("must have at most {EVIDENCE_MAX} bytes as JSON"));
                None
            })
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            fields.refuse("evidence", "must be a string or an object");
            None
        }
        None => None,
    };
    // No message goes to a name that is none of a recipient: what is said of it would be heard by nobody.
    let name = query::recipient(name).map_err(|error| fields.refuse("recipient", error.to_string())).ok();
    let errors = fields.finish();
    let (Some(choice), Some(name), true) = (choice, name, errors.is_empty()) else {
        return Err(Problem::invalid(errors));
    };
    let source = Source::Api { name: source, evidence };
    let known = app.outbox.consent(&caller.org.id, name, (choice, covers), source, caller.by).await?;
    views::json(StatusCode::OK, &views::consent(&known))
}

pub(super) async fn get(app: &App, request: &Request, caller: Caller, name: &str) -> Answer {
    let Paging { limit, cursor } = request.query.statements()?;
    let name = recipient(name)?;
    let (store, no) = (app.outbox.store().clone(), caller.org.no);
    let read = move || Ok((store.consent(no, &name)?, store.statements(no, &name, cursor, limit)?));
    let (known, page) = app.room.read(no, read).await?;
    let known = known.ok_or_else(|| Problem::not_found("consent: nothing is known of this recipient"))?;
    let history = ConsentHistory {
        known: views::consent(&known),
        next_cursor: Some(page.next.map(|record| record.to_string())),
        history: page.items.iter().map(|(record, said)| views::statement(*record, said)).collect(),
    };
    views::json(StatusCode::OK, &history)
}

pub(super) async fn list(app: &App, request: &Request, caller: Caller) -> Answer {
    let Paging { limit, cursor } = request.query.consents()?;
    let (store, no) = (app.outbox.store().clone(), caller.org.no);
    let page = app.room.read(no, move || store.consents(no, cursor, limit)).await?;
    let items = page.items.iter().map(views::consent).collect();
    views::json(StatusCode::OK, &Listing { items, next_cursor: page.next.map(hex::encode) })
}
