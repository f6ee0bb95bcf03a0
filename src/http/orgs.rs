//! The admin's side: organisations and the actor tree.

use actors::{HeldWish, OrgChange};
use domain::OrgId;
use domain::audit::By;
use domain::fields::Fields;
use domain::org::{Pause, PausedBy, PutOrg};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::problem::Problem;
use super::request::Request;
use super::{Answer, App, heard, views};

/// An id in a path: one that cannot exist is simply not found, but a put says why it cannot be made.
pub(super) fn existing(app: &App, text: &str) -> Result<std::sync::Arc<domain::org::Org>, Problem> {
    let id = text.parse::<OrgId>().ok();
    id.and_then(|id| app.outbox.directory().org(&id)).ok_or_else(|| Problem::not_found("organisation"))
}

pub(super) fn list(app: &App) -> Answer {
    let mut items: Vec<_> = app.outbox.directory().orgs().iter().map(|org| views::org(org, &app.key_log)).collect();
    items.iter_mut().for_each(|org| heard::show(app.outbox.hearing(), app.outbox.clock().now(), org));
    views::json(StatusCode::OK, &json!({"items": items}))
}

pub(super) fn get(app: &App, id: &str) -> Answer {
    let org = existing(app, id)?;
    let mut view = views::org(&org, &app.key_log);
    heard::show(app.outbox.hearing(), app.outbox.clock().now(), &mut view);
    if let Some(view) = view.as_object_mut() {
        view.insert("upkeep".into(), views::upkeep(&app.outbox.store().upkeep(org.no)?));
        view.insert("restored".into(), app.outbox.store().restored(org.no)?.as_ref().map(views::restored).into());
    }
    views::json(StatusCode::OK, &view)
}

pub(super) async fn put(app: &App, request: &Request, id: &str) -> Answer {
    let id: OrgId =
        id.parse().map_err(|error: domain::ids::InvalidId| Problem::malformed_field("orgId", error.to_string()))?;
    let put = PutOrg::parse(&request.json()?).map_err(Problem::invalid)?;
    let is_new = app.outbox.directory().org(&id).is_none();
    let org = app.outbox.put_org(id, OrgChange::Put(put), By::Admin).await?;
    views::json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &views::org(&org, &app.key_log))
}

pub(super) async fn delete(app: &App, id: &str) -> Answer {
    let org = existing(app, id)?;
    app.outbox.change_org(&org.id, OrgChange::Delete, By::Admin).await?;
    Ok(no_content())
}

/// Stops sending: of one phone number (`?sender=`), else of the whole organisation. What is accepted queues.
pub(super) async fn pause(app: &App, request: &Request, id: &str) -> Answer {
    let org = existing(app, id)?;
    let reason = if request.body.is_empty() {
        "paused by an operator".to_owned()
    } else {
        let body = request.json()?;
        let mut fields = Fields::new(&body, "");
        let reason = fields.short_text("reason", 500).unwrap_or("paused by an operator").to_owned();
        let errors = fields.finish();
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
        reason
    };
    let pause = Pause { reason, by: PausedBy::Operator, since: app.outbox.clock().now() };
    let change = OrgChange::Pause(request.query.senders()?, pause);
    let org = app.outbox.change_org(&org.id, change, By::Admin).await?;
    views::json(StatusCode::OK, &views::org(&org, &app.key_log))
}

/// Sends again.
pub(super) async fn resume(app: &App, request: &Request, id: &str) -> Answer {
    let org = existing(app, id)?;
    let change = OrgChange::Resume(request.query.senders()?, PausedBy::Operator);
    let org = app.outbox.change_org(&org.id, change, By::Admin).await?;
    views::json(StatusCode::OK, &views::org(&org, &app.key_log))
}

/// What WhatsApp says of one sender, named by `?sender=`; changes nothing.
pub(super) async fn check(app: &App, request: &Request, id: &str) -> Answer {
    let org = existing(app, id)?;
    let [sender] = &*request.query.senders()? else {
        return Err(Problem::invalid_field("sender", "is required"));
    };
    let sender = org.sender(sender).ok_or_else(|| Problem::not_found("sender"))?;
    let report = crate::doctor::senders::check(app.graph.clone(), &org, sender).await;
    let report = report.map_err(|error| Problem::unavailable(error.to_string()))?;
    views::json(StatusCode::OK, &json!(report))
}

/// Sends or cancels what is held since the store was restored from a backup, a bounded number of messages: to be asked again
/// until nothing is held.
pub(super) async fn release(app: &App, request: &Request, id: &str) -> Answer {
    let org = existing(app, id)?;
    let body = request.json()?;
    let mut fields = Fields::new(&body, "");
    fields.require("held");
    let wish = fields.one_of("held", &[("SEND", HeldWish::Send), ("CANCEL", HeldWish::Cancel)]);
    let errors = fields.finish();
    let (Some(wish), true) = (wish, errors.is_empty()) else { return Err(Problem::invalid(errors)) };
    let released = app.outbox.release_held(&org.id, wish, By::Admin).await?;
    views::json(StatusCode::OK, &json!({"messages": released.messages, "isAll": released.is_all}))
}

pub(super) fn actors(app: &App, request: &Request) -> Answer {
    let (tree, is_text) = request.query.tree()?;
    let root = app.outbox.tree(&tree);
    if is_text {
        let mut response = Response::new(root.to_text().into_bytes());
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
        return Ok(response);
    }
    views::json(StatusCode::OK, &json!({"generatedAt": app.outbox.clock().now().to_string(), "root": root}))
}

/// Who tried what does not open.
pub(super) fn tries(app: &App, request: &Request) -> Answer {
    request.query.nothing()?;
    let now = app.outbox.clock().now();
    views::json(StatusCode::OK, &json!({"keys": app.tries.view(now), "webhooks": app.webhook_tries.view(now)}))
}

pub(super) fn no_content() -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
