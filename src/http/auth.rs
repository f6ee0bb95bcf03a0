//! Who is asking: an organisation by its key, or the operator by the admin key, who may act for one.

use std::sync::Arc;

use actors::{Directory, Identity, Stranger};
use domain::audit::{By, Denial};
use domain::org::{KeyScope, Org};

use super::places::Place;
use super::problem::Problem;
use super::request::Request;
use super::{App, Asker};

/// For whom a request acts.
pub(crate) struct Caller {
    pub(crate) org: Arc<Org>,
    pub(crate) by: By,
    /// Its place among the requests that are answered; taken once it is known whose it is.
    pub(crate) _place: Option<Place<Asker>>,
}

/// Whose key a request comes with.
enum Holder {
    Operator,
    Customer(Identity),
}

/// The header by which a request names an organisation.
pub(super) const ORG_HEADER: &str = "x-org-id";

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

/// Whose key it is, unless its address has tried too many that are nobody's.
fn holder(app: &App, request: &Request) -> Result<Holder, Problem> {
    let hash = Directory::hash(bearer(request)?);
    let address = app.tries.address(request.arrival.peer, &request.headers);
    app.tries.admit(address, &hash).map_err(Problem::too_many_tries)?;
    let now = app.outbox.clock().now();
    let holder = match app.outbox.directory().authenticate(&hash, now) {
        _ if app.admin_keys.opens(&hash, now) => Holder::Operator,
        Ok(identity) => {
            app.key_log.used(&hash, now);
            Holder::Customer(identity)
        }
        Err(stranger) => {
            app.tries.failed(address);
            match stranger {
                Stranger::Expired(identity) => deny(app, *identity, Denial::Expired),
                Stranger::Revoked(identity) => deny(app, *identity, Denial::Revoked),
                Stranger::Unknown => {}
            }
            return Err(Problem::unauthorized("this key is not known, or has expired"));
        }
    };
    app.tries.opened(address, &hash);
    Ok(holder)
}

/// The organisation that the request acts for, if its key opens `scope`.
pub(crate) fn org(app: &App, request: &Request, scope: KeyScope) -> Result<Caller, Problem> {
    let named = request.header(ORG_HEADER);
    match holder(app, request)? {
        Holder::Operator => {
            let named = named.ok_or_else(|| {
                Problem::new(
                    http::StatusCode::BAD_REQUEST,
                    "ORG_REQUIRED",
                    "with the admin key, name the organisation in X-Org-Id",
                )
            })?;
            let org = named.parse().ok().and_then(|id| app.outbox.directory().org(&id));
            Ok(Caller { org: org.ok_or_else(|| Problem::not_found("organisation"))?, by: By::Admin, _place: None })
        }
        Holder::Customer(identity) if named.is_some_and(|named| named != identity.org.id.as_str()) => {
            deny(app, identity, Denial::OtherOrg);
            Err(Problem::forbidden("X-Org-Id names another organisation than the key's"))
        }
        Holder::Customer(identity) if !identity.key.scopes.contains(&scope) => {
            deny(app, identity, Denial::Scope);
            Err(Problem::forbidden(&format!("this key does not have the scope {}", scope.as_str())))
        }
        Holder::Customer(Identity { org, key }) => Ok(Caller { org, by: By::ApiKey(key.name), _place: None }),
    }
}

/// Whether the request comes with the admin key.
pub(crate) fn admin(app: &App, request: &Request) -> Result<(), Problem> {
    match holder(app, request)? {
        Holder::Operator => Ok(()),
        Holder::Customer(identity) => {
            deny(app, identity, Denial::NotAdmin);
            Err(Problem::forbidden("this takes the admin key"))
        }
    }
}

/// Puts a refusal on the trail of the organisation whose key it is.
fn deny(app: &App, identity: Identity, denial: Denial) {
    if app.key_log.denied(&identity.key.hash, app.outbox.clock().now()) {
        app.outbox.denied(identity, denial);
    }
}
