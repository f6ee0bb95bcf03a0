//! Who is asking: an organisation by its key, or the operator by the admin key, who may act for one.

use std::sync::Arc;
use std::time::Duration;

use actors::{Directory, Identity, Stranger};
use domain::audit::{By, Denial};
use domain::org::{KeyScope, Org};

use super::App;
use super::problem::Problem;
use super::request::Request;

/// For whom a request acts. Made here only, so whoever has one may act for the organisation.
pub(crate) struct Caller {
    pub(crate) org: Arc<Org>,
    pub(crate) by: By,
    _proof: (),
}

/// Proves that a request comes with the admin key. Made here only.
pub(crate) struct Operator {
    _proof: (),
}

/// Whose key a request comes with.
#[derive(Clone)]
pub(crate) enum Holder {
    Operator,
    Customer(Identity),
}

/// The header by which a request names an organisation.
pub(super) const ORG_HEADER: &str = "x-org-id";

/// Why a request comes with nobody's key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keyless {
    /// It comes with none, or none was looked for.
    Absent,
    /// Its header is of another shape.
    Malformed,
    /// Its key opens nothing.
    Unknown,
    /// Nor does it, like too many before it from its address.
    TooMany(Duration),
}

impl From<Keyless> for Problem {
    fn from(keyless: Keyless) -> Self {
        match keyless {
            Keyless::Absent => Self::unauthorized("send the header Authorization: Bearer KEY"),
            Keyless::Malformed => Self::unauthorized("the header Authorization must be: Bearer KEY"),
            Keyless::Unknown => Self::unauthorized("this key is not known, or has expired"),
            Keyless::TooMany(wait) => Self::too_many_tries(wait),
        }
    }
}

fn bearer(request: &Request) -> Result<&str, Keyless> {
    let given = request.header("authorization").ok_or(Keyless::Absent)?;
    let (scheme, key) = given.split_once(' ').unwrap_or((given, ""));
    let is_one = scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty();
    is_one.then(|| key.trim()).ok_or(Keyless::Malformed)
}

/// Whose key it is. One that is right opens whatever came before it from its address; only one that is wrong counts there.
pub(super) fn holder(app: &App, request: &Request) -> Result<Holder, Keyless> {
    let hash = Directory::hash(bearer(request)?);
    let now = app.outbox.clock().now();
    let stranger = match app.outbox.directory().authenticate(&hash, now) {
        _ if app.admin_keys.opens(&hash, now) => return Ok(Holder::Operator),
        Ok(identity) => {
            app.key_log.used(&hash, now);
            return Ok(Holder::Customer(identity));
        }
        Err(stranger) => stranger,
    };
    match stranger {
        Stranger::Expired(identity) => deny(app, *identity, Denial::Expired),
        Stranger::Revoked(identity) => deny(app, *identity, Denial::Revoked),
        Stranger::Unknown => {}
    }
    let suspects = app.proxies.suspects(request.arrival.peer, &request.headers);
    Err(app.auth_throttle.refused_for(&suspects).map_or_else(Keyless::TooMany, |()| Keyless::Unknown))
}

/// The organisation that the request acts for, if its key opens `scope`.
pub(crate) fn org(app: &App, request: &Request, scope: KeyScope) -> Result<Caller, Problem> {
    let named = request.header(ORG_HEADER);
    match request.key.clone()? {
        Holder::Operator => {
            let named = named.ok_or_else(|| {
                Problem::new(
                    http::StatusCode::BAD_REQUEST,
                    "ORG_REQUIRED",
                    "with the admin key, name the organisation in X-Org-Id",
                )
            })?;
            let org = named.parse().ok().and_then(|id| app.outbox.directory().org(&id));
            Ok(Caller { org: org.ok_or_else(|| Problem::not_found("organisation"))?, by: By::Admin, _proof: () })
        }
        Holder::Customer(identity) if named.is_some_and(|named| named != identity.org.id.as_str()) => {
            deny(app, identity, Denial::OtherOrg);
            Err(Problem::forbidden("X-Org-Id names another organisation than the key's"))
        }
        Holder::Customer(identity) if !identity.key.scopes.contains(&scope) => {
            deny(app, identity, Denial::Scope);
            Err(Problem::forbidden(&format!("this key does not have the scope {}", scope.as_str())))
        }
        Holder::Customer(Identity { org, key }) => Ok(Caller { org, by: By::ApiKey(key.name), _proof: () }),
    }
}

/// The operator, if the request comes with the admin key.
pub(crate) fn operator(app: &App, request: &Request) -> Result<Operator, Problem> {
    match request.key.clone()? {
        Holder::Operator => Ok(Operator { _proof: () }),
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
