//! Retrying and cancelling many messages by a filter: all of them counted first if wished, and changed a bounded number at
//! a time, resumable by a cursor. Each message is decided, committed and audited like a single one.

use actors::{Manual, ManualError};
use api::BulkResult;
use domain::fields::Fields;
use domain::state::Status;
use domain::{FailureCode, Message, MessageId, PhoneNumberId, State, Timestamp};
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::Value;
use store::search::MessageFilter;

use crate::http::auth::Caller;
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::{Answer, App, views};

/// Messages that one call changes, unless it asks for fewer or more.
const LIMIT: u64 = 1000;
/// Messages that one call changes at most; the next one goes on from `nextCursor`.
const LIMIT_MAX: u64 = 10_000;
/// Messages that are read and changed together.
const BATCH: usize = 200;

/// What narrows a wish down: without any of these, "all" must be said.
const FILTERS: [&str; 5] = ["dossierId", "errorCode", "from", "createdAfter", "createdBefore"];

struct Bulk {
    status: Status,
    is_all: bool,
    dossier: Option<String>,
    error_code: Option<FailureCode>,
    from: Option<PhoneNumberId>,
    created_after: Option<Timestamp>,
    created_before: Option<Timestamp>,
    dry_run: bool,
    limit: u64,
    cursor: Option<MessageId>,
}

impl Bulk {
    /// Reads the body. `status` is the only one that `wish` can do anything about.
    fn parse(request: &Request, wish: Manual) -> Result<Self, Problem> {
        let body = request.json()?;
        let status = match wish {
            Manual::Retry => Status::Failed,
            Manual::Cancel => Status::Queued,
        };
        let mut fields = Fields::new(&body, "");
        fields.one_of("status", &[(status.as_str(), ())]);
        let dossier = match fields.value("dossierId") {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            None => None,
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                fields.refuse("dossierId", "must be a number or a string");
                None
            }
        };
        let error_code = fields.short_text("errorCode", 100).map(FailureCode::parse);
        let from = fields.parsed("from");
        let created_after = fields.parsed("createdAfter");
        let created_before = fields.parsed("createdBefore");
        let [is_all, dry_run] = ["all", "dryRun"].map(|name| match fields.value(name) {
            Some(Value::Bool(given)) => *given,
            Some(Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                fields.refuse(name, "must be true or false");
                false
            }
            None => false,
        });
        let limit = fields.value("limit").map(|value| value.as_u64().filter(|n| (1..=LIMIT_MAX).contains(n)));
        let cursor = fields.parsed("cursor");
        let mut filters = FILTERS.iter().filter(|name| body.get(**name).is_some_and(|value| !value.is_null()));
        match (is_all, filters.next()) {
            (false, None) => {
                let (filters, status) = (FILTERS.join(", "), status.as_str());
                let message =
                    format!("name at least one of {filters}; or, to mean every {status} message, say \"all\": true");
                fields.refuse("all", message);
            }
            (true, Some(filter)) => fields.refuse("all", format!("must not come with a filter such as {filter}")),
            (true, None) | (false, Some(_)) => {}
        }
        if limit == Some(None) {
            fields.refuse("limit", format!("must be a whole number from 1 to {LIMIT_MAX}"));
        }
        let errors = fields.finish();
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
        Ok(Self {
            status,
            is_all,
            dossier,
            error_code,
            from,
            created_after,
            created_before,
            dry_run,
            limit: limit.flatten().unwrap_or(LIMIT),
            cursor,
        })
    }

    fn matches(&self, message: &Message, state: &State) -> bool {
        let code = state.failure.as_ref().map(|failure| &failure.code);
        self.error_code.as_ref().is_none_or(|wanted| code == Some(wanted))
            && self.from.as_ref().is_none_or(|from| *from == message.from)
            && self.created_after.is_none_or(|at| message.created_at >= at)
            && self.created_before.is_none_or(|at| message.created_at < at)
    }
}

pub(super) async fn retry(app: &App, request: &Request, caller: Caller) -> Answer {
    run(app, request, caller, Manual::Retry).await
}

pub(super) async fn cancel(app: &App, request: &Request, caller: Caller) -> Answer {
    run(app, request, caller, Manual::Cancel).await
}

/// How far a call has come.
#[derive(Default)]
struct Tally {
    matched: u64,
    done: u64,
    skipped: u64,
}

impl Tally {
    fn view(&self, dry_run: bool, next: Option<MessageId>) -> BulkResult {
        let Self { matched, done, skipped } = *self;
        BulkResult { dry_run, matched, done, skipped, next_cursor: next.map(|id| id.to_string()) }
    }
}

async fn run(app: &App, request: &Request, caller: Caller, wish: Manual) -> Answer {
    let bulk = Bulk::parse(request, wish)?;
    let (mut tally, mut cursor) = (Tally::default(), bulk.cursor);
    if bulk.dry_run && bulk.is_all && cursor.is_none() {
        tally.matched = app.outbox.store().head(caller.org.no)?.count(bulk.status);
        return views::json(StatusCode::OK, &tally.view(true, None));
    }
    loop {
        let filter = MessageFilter { dossier: bulk.dossier.clone(), to: None, status: Some(bulk.status) };
        let (store, no, before) = (app.outbox.store().clone(), caller.org.no, cursor);
        let left = match bulk.dry_run {
            true => BATCH,
            false => usize::try_from(bulk.limit - tally.matched).unwrap_or(BATCH).min(BATCH),
        };
        let page = app.room.read(no, move || store.messages(no, &filter, before, left)).await;
        let page = page.map_err(|problem| problem.after(tally.view(bulk.dry_run, cursor)))?;
        // Newest first: beyond this page, all are older.
        let is_past =
            page.items.last().is_some_and(|(message, _)| bulk.created_after.is_some_and(|at| message.created_at < at));
        let ids: Vec<MessageId> = page
            .items
            .iter()
            .filter(|(message, state)| bulk.matches(message, state))
            .map(|(message, _)| message.id)
            .collect();
        tally.matched += u64::try_from(ids.len()).unwrap_or(0);
        if !bulk.dry_run {
            let wishes = ids.iter().map(|id| app.outbox.manual(&caller.org.id, *id, wish, caller.by.clone()));
            let mut failed = None;
            for (id, result) in ids.iter().zip(join_all(wishes).await) {
                match result {
                    Ok(_) => tally.done += 1,
                    // It moved on in between, or may not go to its recipient any more.
                    Err(ManualError::WrongState | ManualError::NotFound | ManualError::Blocked(_)) => {
                        tally.skipped += 1;
                    }
                    Err(error @ (ManualError::Down(_) | ManualError::Unavailable)) => failed = failed.or(Some(error)),
                }
                // Where to go on: before the first that was not done.
                if failed.is_none() {
                    cursor = Some(*id);
                }
            }
            if let Some(error) = failed {
                return Err(Problem::from(error).after(tally.view(bulk.dry_run, cursor)));
            }
        }
        cursor = page.next;
        if cursor.is_none() || is_past || (!bulk.dry_run && tally.matched >= bulk.limit) {
            let next = cursor.filter(|_| !is_past);
            return views::json(StatusCode::OK, &tally.view(bulk.dry_run, next));
        }
    }
}
