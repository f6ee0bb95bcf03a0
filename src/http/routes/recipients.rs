//! The rights of those who are written to: all that is held of them, shown; and all of it erased.

use std::ops::ControlFlow;
use std::time::Duration;

use api::{Consent, ConsentHistory, Erasing, Export, ParkedReceipt, Whole, Word};
use domain::{MessageId, OrgNo, spelling};
use http::StatusCode;
use store::search::PAGE_BYTES;
use store::{KnownNames, Store, StoreError};
use tokio::time::timeout;

use super::consents::recipient;
use super::messages::attempts_of;
use super::trail::timeline_of;
use crate::http::auth::Caller;
use crate::http::query::Paging;
use crate::http::request::Request;
use crate::http::{Answer, App, views};

/// Statements of consent in an export, all of them: nobody says more.
const STATEMENTS_MAX: usize = 10_000;
/// An erasure that takes longer goes on by itself.
const ERASED_WITHIN: Duration = Duration::from_secs(3);

pub(super) async fn erase(app: &App, caller: Caller, name: &str) -> Answer {
    let name = recipient(name)?;
    match timeout(ERASED_WITHIN, app.outbox.erase(&caller.org, name, caller.by)).await {
        Ok(erased) => views::json(StatusCode::OK, &Erasing::Erased(views::erased(&erased?))),
        Err(_) => {
            let detail = "a send to this recipient is under way, or there is much to erase; ask again to see it done";
            let mut response = views::json(StatusCode::ACCEPTED, &Erasing::Erasing { detail: Word::Borrowed(detail) })?;
            response.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("5"));
            Ok(response)
        }
    }
}

pub(super) async fn export(app: &App, request: &Request, caller: Caller, name: &str) -> Answer {
    let Paging { limit, cursor } = request.query.export()?;
    let name = recipient(name)?;
    let (store, no, org) = (app.outbox.store().clone(), caller.org.no, caller.org.id.clone());
    let read = move || {
        let known = store.known_names(no, &name)?;
        let (ids, mut next) = ids(&store, no, &known, cursor, limit)?;
        let last = ids.last().copied();
        let (mut messages, mut inbound, mut bytes) = (Vec::new(), Vec::new(), 0);
        for id in ids {
            match (store.message(no, id)?, store.state(no, id)?) {
                (Some(message), Some(state)) => {
                    bytes += message.payload.len();
                    let (attempts, timeline) = (attempts_of(&store, no, id, &state)?, timeline_of(&store, no, &state)?);
                    messages.push((message, state, attempts, timeline));
                }
                (Some(_) | None, _) => {
                    let held = store.inbound(no, id)?;
                    bytes += held.as_ref().map_or(0, |held| held.payload.len());
                    inbound.extend(held.map(|held| views::inbound(&org, &held)));
                }
            }
            if bytes >= PAGE_BYTES && Some(id) != last {
                next = Some(id);
                break;
            }
        }
        // With the first page comes what is not a list of messages.
        let first = match cursor {
            None => (consents(&store, no, &known)?, parked(&store, no, &known)?),
            Some(_) => Default::default(),
        };
        // Somebody of whom nothing is held is known by nothing.
        let is_linked = known.names.len() > 1 || !known.former.is_empty();
        let is_known =
            is_linked || !(messages.is_empty() && inbound.is_empty() && first.0.is_empty() && first.1.is_empty());
        let names =
            if is_known { known.names.iter().flat_map(|name| spelling::all(name)).collect() } else { Vec::new() };
        let rest = Export {
            names,
            former_names: known.former.iter().map(views::former).collect(),
            consents: first.0,
            parked_receipts: first.1,
            messages: Vec::new(),
            inbound_messages: inbound,
            next_cursor: next.map(|id| id.to_string()),
        };
        Ok((messages, rest))
    };
    let (messages, rest) = app.room.read(no, read).await?;
    let messages = messages.iter().map(|(message, state, attempts, timeline)| Whole {
        message: views::message(&caller.org.id, message, state),
        attempts,
        timeline,
    });
    let messages = messages.collect();
    views::json(StatusCode::OK, &Export { messages, ..rest })
}

/// Messages to and from somebody who is called so, in order; under a name that they gave up, until then.
fn ids(
    store: &Store,
    no: OrgNo,
    known: &KnownNames,
    after: Option<MessageId>,
    limit: usize,
) -> Result<(Vec<MessageId>, Option<MessageId>), StoreError> {
    let mut found = Vec::new();
    for name in &known.names {
        for both in [Store::messages_to, Store::inbound_of] {
            let mut left = limit + 1;
            both(store, no, name, after, &mut |id| {
                found.push(id);
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
    }
    for former in &known.former {
        let mut left = limit + 1;
        store.messages_to(no, &former.name, after, &mut |id| {
            if id.drawn_at() >= former.until {
                return ControlFlow::Break(());
            }
            found.push(id);
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        found.extend(store.inbound_written_by(no, former, after, limit + 1)?);
    }
    found.sort_unstable();
    found.dedup();
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().copied().filter(|_| has_more);
    Ok((found, next))
}

/// What is known of their consent, with all that they said; under a name that they gave up, what they said until then.
fn consents(store: &Store, no: OrgNo, known: &KnownNames) -> Result<Vec<ConsentHistory>, StoreError> {
    let mut found = Vec::new();
    let now = known.names.iter().map(|name| (name, None));
    for (name, until) in now.chain(known.former.iter().map(|former| (&former.name, Some(former.until)))) {
        let Some(known) = store.consent(no, name)? else { continue };
        let mut history = store.statements(no, name, None, STATEMENTS_MAX)?.items;
        history.retain(|(_, said)| until.is_none_or(|until| said.at <= until));
        // What holds there now may be another's word.
        let known = if until.is_none() { views::consent(&known) } else { gave_up(name) };
        let history = history.iter().map(|(record, said)| views::statement(*record, said)).collect();
        found.push(ConsentHistory { known, next_cursor: None, history });
    }
    Ok(found)
}

/// Of a name that was given up only the name.
fn gave_up(name: &str) -> Consent {
    Consent { id: None, recipient: Some(name.to_owned()), transactional: None, marketing: None }
}

/// Receipts that wait for a message of theirs.
fn parked(store: &Store, no: OrgNo, known: &KnownNames) -> Result<Vec<ParkedReceipt>, StoreError> {
    let parked = store.parked(no)?.into_iter().map(|parked| parked.reported);
    Ok(parked
        .filter(|reported| whatsapp::wamid::concerns(reported, &known.names, &known.former))
        .map(|reported| views::parked_receipt(&reported.receipt))
        .collect())
}
