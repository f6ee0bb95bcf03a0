//! Keys: an organisation's are made and revoked, the admin's is exchanged.

use std::time::Duration;

use actors::{Directory, OrgChange};
use api::{AdminKey, NewKey};
use domain::audit::By;
use domain::fields::Fields;
use domain::org::{ApiKey, KeyScope};
use http::StatusCode;
use serde_json::Value;

use super::orgs;
use crate::http::auth::Operator;
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::{Answer, App, views};
use crate::service::admin_key::new_key;

/// Keys of one organisation.
const KEYS_MAX: usize = 100;
/// The longest time that an exchanged admin key goes on opening.
const GRACE_MAX: u64 = 7 * 24 * 3600;

/// A new id for a key; not secret.
fn new_key_id() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}

pub(super) async fn add(app: &App, _by: Operator, request: &Request, id: &str) -> Answer {
    let org = orgs::existing(app, id)?;
    if org.keys.len() >= KEYS_MAX {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "TOO_MANY_KEYS",
            format!("an organisation has at most {KEYS_MAX} keys; revoke one first"),
        ));
    }
    let secret = new_key("tt");
    let key = read_key(app, request, &secret)?;
    app.outbox.change_org(&org.id, OrgChange::AddKey(key.clone()), By::Admin).await?;
    views::json(StatusCode::CREATED, &NewKey { about: views::key(&key, None), key: secret })
}

fn read_key(app: &App, request: &Request, secret: &str) -> Result<ApiKey, Problem> {
    let body = request.json()?;
    let now = app.outbox.clock().now();
    let mut fields = Fields::new(&body, "");
    fields.require("name");
    let name = fields.short_text("name", 100).map(str::to_owned);
    let mut scopes = Vec::new();
    match fields.value("scopes") {
        None => scopes.extend(KeyScope::ALL),
        Some(Value::Array(items)) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                match KeyScope::WORDS.into_iter().find(|(word, _)| item.as_str() == Some(word)) {
                    Some((_, scope)) if !scopes.contains(&scope) => scopes.push(scope),
                    Some(_) => {}
                    None => fields.refuse(&format!("scopes[{i}]"), "must be one of send, read, manage"),
                }
            }
        }
        Some(_) => fields.refuse("scopes", "must be a list of send, read, manage"),
    }
    let expires_at = fields.parsed("expiresAt");
    if expires_at.is_some_and(|at: domain::Timestamp| at <= now) {
        fields.refuse("expiresAt", "must be in the future");
    }
    let errors = fields.finish();
    let Some(name) = name.filter(|_| errors.is_empty()) else { return Err(Problem::invalid(errors)) };
    Ok(ApiKey { id: new_key_id(), name, hash: Directory::hash(secret), scopes, created_at: now, expires_at })
}

pub(super) async fn revoke(app: &App, _by: Operator, [id, key]: [&str; 2]) -> Answer {
    let org = orgs::existing(app, id)?;
    if org.keys.iter().all(|known| known.id != key) {
        return Err(Problem::not_found("key"));
    }
    app.outbox.change_org(&org.id, OrgChange::RevokeKey(key.to_owned()), By::Admin).await?;
    Ok(orgs::no_content())
}

/// Makes a new admin key. The old one ends at once, or after the grace that the body asks for.
pub(super) async fn rotate_admin(app: &App, _by: Operator, request: &Request) -> Answer {
    let mut grace = 0;
    if !request.body.is_empty() {
        let body = request.json()?;
        let mut fields = Fields::new(&body, "");
        match fields.value("graceSeconds").map(|value| value.as_u64().filter(|seconds| *seconds <= GRACE_MAX)) {
            Some(Some(seconds)) => grace = seconds,
            Some(None) => fields.refuse("graceSeconds", format!("must be a whole number from 0 to {GRACE_MAX}")),
            None => {}
        }
        let errors = fields.finish();
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
    }
    let (key, until) = app.admin_keys.exchange(Duration::from_secs(grace), app.outbox.clock().now()).await?;
    let body = AdminKey { key: key.expose().to_owned(), previous_valid_until: (grace > 0).then(|| until.to_string()) };
    views::json(StatusCode::OK, &body)
}
