//! What happened: the timeline of a message, the activity of a dossier, the audit trail.

use api::{Activity, Listing};
use domain::audit::Subject;
use domain::{OrgNo, State};
use http::StatusCode;
use store::search::AuditFilter;
use store::{Store, StoreError};

use super::messages::id;
use crate::http::auth::Caller;
use crate::http::problem::Problem;
use crate::http::query::Paging;
use crate::http::request::Request;
use crate::http::{Answer, App, views};

pub(super) fn timeline(app: &App, caller: Caller, text: &str) -> Answer {
    let (store, no) = (app.outbox.store(), caller.org.no);
    let state = store.state(no, id(text)?)?.ok_or_else(|| Problem::not_found("message"))?;
    views::json(StatusCode::OK, &timeline_of(store, no, &state)?)
}

/// What happened to a message, oldest first.
pub(super) fn timeline_of(store: &Store, no: OrgNo, state: &State) -> Result<Vec<Activity>, StoreError> {
    Ok(store.trail(no, state)?.iter().map(views::activity).collect())
}

pub(super) async fn activities(app: &App, request: &Request, caller: Caller) -> Answer {
    let (dossier, Paging { limit, cursor }) = request.query.activities()?;
    let (store, no) = (app.outbox.store().clone(), caller.org.no);
    let page = app.room.read(no, move || store.activities(no, &dossier, cursor, limit)).await?;
    let items = page.items.iter().map(|(_, entry)| views::activity(entry)).collect();
    views::json(StatusCode::OK, &Listing { items, next_cursor: page.next.map(|seq| seq.to_string()) })
}

pub(super) async fn audit(app: &App, request: &Request, caller: Caller) -> Answer {
    let (entity, action, Paging { limit, cursor }) = request.query.audit()?;
    let (store, no) = (app.outbox.store().clone(), caller.org.no);
    let subject = entity.map(|text| match text.parse() {
        Ok(id) => Subject::Message(id),
        Err(_) if text == caller.org.id.as_str() => Subject::Organisation,
        Err(_) => match text.parse().ok().filter(|number| caller.org.sender(number).is_some()) {
            Some(number) => Subject::Sender(number),
            None => Subject::ApiKey(text),
        },
    });
    let read = move || {
        let subject = match subject {
            Some(Subject::Message(id)) if store.state(no, id)?.is_none() => match store.inbound(no, id)? {
                Some(_) => Some(Subject::Inbound(id)),
                None => Some(Subject::Consent(id)),
            },
            other => other,
        };
        store.audit(no, &AuditFilter { subject, action }, cursor, limit)
    };
    let page = app.room.read(no, read).await?;
    let items = page.items.iter().map(|(seq, entry)| views::event(&caller.org.id, *seq, entry)).collect();
    views::json(StatusCode::OK, &Listing { items, next_cursor: page.next.map(|seq| seq.to_string()) })
}
