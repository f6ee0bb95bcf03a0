//! The admin's side: organisations and the actor tree.

use actors::{HeldWish, OrgChange};
use api::{HeldReleased, Orgs, Reach, Tree, Tries};
use domain::audit::By;
use domain::fields::Fields;
use domain::org::{Org, Pause, PausedBy, PutOrg};
use domain::{OrgId, PhoneNumberId};
use http::{HeaderValue, Response, StatusCode};

use crate::http::auth::Operator;
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::{Answer, App, views};

/// An id in a path: one that cannot exist is simply not found, but a put says why it cannot be made.
pub(super) fn existing(app: &App, text: &str) -> Result<std::sync::Arc<domain::org::Org>, Problem> {
    let id = text.parse::<OrgId>().ok();
    id.and_then(|id| app.outbox.directory().org(&id)).ok_or_else(|| Problem::not_found("organisation"))
}

pub(super) fn list(app: &App, _by: Operator) -> Answer {
    let items = app.outbox.directory().orgs().iter().map(|org| views::org(app, org)).collect();
    views::json(StatusCode::OK, &Orgs { items, whatsapp: views::way(app) })
}

pub(super) fn get(app: &App, _by: Operator, id: &str) -> Answer {
    let org = existing(app, id)?;
    let (upkeep, restored) = (app.outbox.store().upkeep(org.no)?, app.outbox.store().restored(org.no)?);
    views::json(StatusCode::OK, &views::org_details(app, &org, &upkeep, restored.as_ref()))
}

pub(super) async fn put(app: &App, _by: Operator, request: &Request, id: &str) -> Answer {
    let id: OrgId =
        id.parse().map_err(|error: domain::ids::InvalidId| Problem::malformed_field("orgId", error.to_string()))?;
    let put = PutOrg::parse(&request.json()?).map_err(Problem::invalid)?;
    let is_new = app.outbox.directory().org(&id).is_none();
    let org = app.outbox.put_org(id, OrgChange::Put(put), By::Admin).await?;
    views::json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &views::org(app, &org))
}

pub(super) async fn delete(app: &App, _by: Operator, id: &str) -> Answer {
    let org = existing(app, id)?;
    app.outbox.change_org(&org.id, OrgChange::Delete, By::Admin).await?;
    Ok(no_content())
}

/// The senders that a change concerns, for the log.
fn named(senders: &[PhoneNumberId]) -> String {
    if senders.is_empty() {
        return "all".to_owned();
    }
    senders.iter().map(PhoneNumberId::as_str).collect::<Vec<_>>().join(" ")
}

/// The senders that `?sender=` names; one that the organisation does not have is named with those that it has.
fn senders(request: &Request, org: &Org) -> Result<Vec<PhoneNumberId>, Problem> {
    let named = request.query.senders()?;
    let Some(stranger) = named.iter().find(|number| org.sender(number).is_none()) else { return Ok(named) };
    let has: Vec<_> = org.senders.iter().map(|sender| sender.phone_number_id.as_str()).collect();
    let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
    let detail = format!("{} has no sender {stranger}; it has {has}", org.id);
    Err(Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", detail))
}

/// Stops sending: of one phone number (`?sender=`), else of the whole organisation. What is accepted queues.
pub(super) async fn pause(app: &App, _by: Operator, request: &Request, id: &str) -> Answer {
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
    let senders = senders(request, &org)?;
    let which = named(&senders);
    let org = app.outbox.change_org(&org.id, OrgChange::Pause(senders, pause), By::Admin).await?;
    // The reason is on the trail: what a person writes may hold a number.
    tracing::info!(org = %org.id, senders = which, "sending is paused by a person, until it is resumed: `twotick org resume {}`", org.id);
    views::json(StatusCode::OK, &views::org(app, &org))
}

/// Sends again.
pub(super) async fn resume(app: &App, _by: Operator, request: &Request, id: &str) -> Answer {
    let org = existing(app, id)?;
    let senders = senders(request, &org)?;
    let which = named(&senders);
    let org = app.outbox.change_org(&org.id, OrgChange::Resume(senders, PausedBy::Operator), By::Admin).await?;
    tracing::info!(org = %org.id, senders = which, "sending is resumed by a person");
    views::json(StatusCode::OK, &views::org(app, &org))
}

/// What WhatsApp says of one sender, named by `?sender=`; changes nothing.
pub(super) async fn check(app: &App, _by: Operator, request: &Request, id: &str) -> Answer {
    let org = existing(app, id)?;
    let [sender] = &*senders(request, &org)? else {
        return Err(Problem::invalid_field("sender", "is required"));
    };
    let sender = org.sender(sender).ok_or_else(|| Problem::not_found("sender"))?;
    let report = crate::checks::senders::check(app.graph.clone(), &org, sender).await;
    let report = report.map_err(|error| Problem::unavailable(error.to_string()))?;
    views::json(StatusCode::OK, &report)
}

/// How WhatsApp is reached from here, by the settings that are in force here; changes nothing.
pub(super) async fn look(app: &App, _by: Operator) -> Answer {
    let mut report = crate::checks::Report::default();
    crate::checks::senders::reach(app.graph.clone(), &mut report).await;
    views::json(StatusCode::OK, &Reach { base_url: app.graph.base_url.clone(), report })
}

/// Sends or cancels what is held since the store was restored from a backup, a bounded number of messages: to be asked again
/// until nothing is held.
pub(super) async fn release(app: &App, _by: Operator, request: &Request, id: &str) -> Answer {
    let org = existing(app, id)?;
    let body = request.json()?;
    let mut fields = Fields::new(&body, "");
    fields.require("held");
    let wish = fields.one_of("held", &[("SEND", HeldWish::Send), ("CANCEL", HeldWish::Cancel)]);
    let errors = fields.finish();
    let (Some(wish), true) = (wish, errors.is_empty()) else { return Err(Problem::invalid(errors)) };
    let released = app.outbox.release_held(&org.id, wish, By::Admin).await?;
    views::json(StatusCode::OK, &HeldReleased { messages: released.messages, is_all: released.is_all })
}

pub(super) fn actors(app: &App, _by: Operator, request: &Request) -> Answer {
    let (tree, is_text) = request.query.tree()?;
    let root = app.outbox.tree(&tree);
    if is_text {
        let mut response = Response::new(root.to_text().into_bytes());
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
        return Ok(response);
    }
    views::json(StatusCode::OK, &Tree { generated_at: app.outbox.clock().now().to_string(), root })
}

/// Who tried what does not open.
pub(super) fn tries(app: &App, _by: Operator) -> Answer {
    let now = app.outbox.clock().now();
    views::json(StatusCode::OK, &Tries { keys: app.auth_throttle.view(now), webhooks: app.webhook_throttle.view(now) })
}

pub(super) fn no_content() -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
