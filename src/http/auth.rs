//! Who is asking: an organisation by its key, or the operator by the admin key, who may act for one.

use std::sync::Arc;

use domain::audit::By;
use domain::org::{KeyScope, Org};

use super::App;
use super::problem::Problem;
use super::request::Request;

/// For whom a request acts.
pub(crate) struct Caller {
    pub(crate) org: Arc<Org>,
    pub(crate) by: By,
}

const ORG_HEADER: &str = "x-org-id";

fn bearer(request: &Request) -> Result<&str, Problem> {
    let given = request
        .header("authorization")
        .ok_or_else(|| Problem::unauthorized("send the header Authorization: Bearer KEY"))?;
    let (scheme, key) = given.split_once(' ').unwrap_or((given, ""));
    if scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty() {
        Ok(key.trim())
    } else {
        Err(Problem::unauthorized("the header Authorization must be: Bearer KEY"))
    }
}

/// The organisation that the request acts for, if its key opens `scope`.
pub(crate) fn org(app: &App, request: &Request, scope: KeyScope) -> Result<Caller, Problem> {
    let key = bearer(request)?;
    let named = request.header(ORG_HEADER);
    let directory = app.outbox.directory();
    if whatsapp::signature::is_secret(&app.admin_key, key) {
        let named = named.ok_or_else(|| {
            Problem::new(
                http::StatusCode::BAD_REQUEST,
                "ORG_REQUIRED",
                "with the admin key, name the organisation in X-Org-Id",
            )
        })?;
        let org = named.parse().ok().and_then(|id| directory.org(&id));
        return Ok(Caller { org: org.ok_or_else(|| Problem::not_found("organisation"))?, by: By::Admin });
    }
    let identity = directory.authenticate(key, app.outbox.clock().now());
    let identity = identity.ok_or_else(|| Problem::unauthorized("this key is not known, or has expired"))?;
    if named.is_some_and(|named| named != identity.org.id.as_str()) {
        return Err(Problem::forbidden("X-Org-Id names another organisation than the key's"));
    }
    if !identity.scopes.contains(&scope) {
        return Err(Problem::forbidden(&format!("this key does not have the scope {}", scope.as_str())));
    }
    Ok(Caller { org: identity.org, by: By::ApiKey(identity.key) })
}

/// Whether the request comes with the admin key.
pub(crate) fn admin(app: &App, request: &Request) -> Result<(), Problem> {
    let key = bearer(request)?;
    if whatsapp::signature::is_secret(&app.admin_key, key) {
        return Ok(());
    }
    match app.outbox.directory().authenticate(key, app.outbox.clock().now()) {
        Some(_) => Err(Problem::forbidden("this takes the admin key")),
        None => Err(Problem::unauthorized("this key is not known, or has expired")),
    }
}
