//! The HTTP front door. Every route is one line of [`route`]; everything else is an RFC 9457 problem.

mod auth;
mod backups;
mod bulk;
mod consents;
mod heard;
mod inbound;
mod key_log;
pub(crate) mod keys;
mod messages;
mod orgs;
mod pace;
mod problem;
mod recipients;
mod request;
mod server;
mod tls;
mod trail;
mod tries;
mod views;
mod webhooks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::Outbox;
use domain::org::KeyScope;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use warp::Filter;
use whatsapp::cloud_api;

use crate::admin_key::AdminKeys;
use crate::backups::Backups;
use crate::engine::Engine;

pub(crate) use key_log::{KeyLog, WRITE_EVERY};
pub(crate) use pace::Patience;
use problem::Problem;
use request::Request;
use server::Arrival;
pub(crate) use server::{Limits, Running};
pub(crate) use tls::Tls;
pub(crate) use tries::Tries;

/// What a handler answers with: a response, or a problem.
type Answer = Result<Response<Vec<u8>>, Problem>;

/// What handlers are given.
struct App {
    outbox: Outbox,
    admin_keys: Arc<AdminKeys>,
    key_log: Arc<KeyLog>,
    tries: Arc<Tries>,
    webhook_tries: Arc<Tries>,
    graph: cloud_api::Settings,
    backups: Arc<Backups>,
}

/// What the door is made of.
pub(crate) struct Door {
    /// What is behind it. The door stays open while that is started again.
    pub(crate) engine: Arc<Engine>,
    pub(crate) admin_keys: Arc<AdminKeys>,
    pub(crate) key_log: Arc<KeyLog>,
    /// Keys that are tried.
    pub(crate) tries: Arc<Tries>,
    /// Webhook signatures and verify tokens that are tried: apart, so that none of them makes a client with a key wait.
    pub(crate) webhook_tries: Arc<Tries>,
    /// Where WhatsApp is, to look at senders.
    pub(crate) graph: cloud_api::Settings,
    pub(crate) backups: Arc<Backups>,
    /// The largest body of an API request.
    pub(crate) max_body: usize,
    /// The longest that one request may take, its body included.
    pub(crate) request_timeout: Duration,
    /// One for each request that is being answered. The others stand in line, so that those who ask for its health, who do
    /// not, find a runtime with little to do before them.
    pub(crate) places: Semaphore,
    /// The longest that one may stand in line.
    pub(crate) max_wait: Duration,
}

/// Requests that are answered at once: enough to fill every batch of commits.
pub(crate) const PLACES: usize = 128;
/// Meta sends webhooks of up to 3 MB.
const WEBHOOK_BODY_MAX: usize = 3 * 1024 * 1024;

/// Every answer's: nothing here is a page, and nothing may be kept. No word of CORS: browsers are to stay out.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// Serves the API on `listener`.
pub(crate) fn serve(listener: TcpListener, limits: Limits, tls: Option<Tls>, door: Door) -> Running {
    let door = Arc::new(door);
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let filter = warp::ext::get::<Arrival>()
        .and(warp::method())
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |arrival, method: Method, path: warp::path::FullPath, query: String, headers, body| {
            let door = Arc::clone(&door);
            async move {
                let (began, asked) = (Instant::now(), method.clone());
                let max = if is_webhook(path.as_str()) { WEBHOOK_BODY_MAX } else { door.max_body };
                let answer = async {
                    let request = Request::read(arrival, method, path.as_str(), &query, headers, body, max).await?;
                    door.answer(&request).await
                };
                let answer = timeout(door.request_timeout, answer).await.unwrap_or_else(|_| Err(Problem::timed_out()));
                let mut response = answer.unwrap_or_else(Problem::into_response);
                response.headers_mut().extend(SECURITY_HEADERS);
                // Not its path, which may name a recipient.
                tracing::debug!(method = %asked, status = response.status().as_u16(), took = ?began.elapsed(), "answered");
                response
            }
        });
    server::run(listener, limits, tls, TowerToHyperService::new(warp::service(filter)))
}

impl Door {
    async fn answer(&self, request: &Request) -> Answer {
        let is_health = matches!(request.segments().as_slice(), ["healthz" | "readyz"]);
        let crowded = || Problem::overloaded("too many requests are being answered");
        let _place = match is_health {
            true => None,
            false => {
                let place = timeout(self.max_wait, self.places.acquire()).await;
                Some(place.ok().and_then(Result::ok).ok_or_else(crowded)?)
            }
        };
        let outbox = match self.engine.outbox() {
            Ok(outbox) => outbox,
            // It is alive all the same.
            Err(_) if request.segments() == ["healthz"] => return healthz(),
            Err(reason) => return Err(Problem::unavailable(reason)),
        };
        let app = App {
            outbox,
            admin_keys: Arc::clone(&self.admin_keys),
            key_log: Arc::clone(&self.key_log),
            tries: Arc::clone(&self.tries),
            webhook_tries: Arc::clone(&self.webhook_tries),
            graph: self.graph.clone(),
            backups: Arc::clone(&self.backups),
        };
        route(&app, request).await
    }
}

/// Webhooks come to `…/inbound`, or to the id of the organisation that alone they may concern.
const WEBHOOKS: &str = "/api/v1/webhooks/whatsapp/";

fn is_webhook(path: &str) -> bool {
    path.starts_with(WEBHOOKS)
}

/// The route table.
async fn route(app: &App, request: &Request) -> Answer {
    use KeyScope::{Manage, Read, Send};
    let org = |scope| auth::org(app, request, scope);
    let admin = || auth::admin(app, request);
    let segments = request.segments();
    if request.arrival.is_crowded && !matches!(segments.as_slice(), ["healthz" | "readyz"]) {
        return Err(Problem::overloaded("all connections are in use"));
    }
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["healthz"]) => healthz(),
        ("GET", ["readyz"]) => readyz(app),
        ("GET", ["api", "v1", "webhooks", "whatsapp", "inbound"]) => webhooks::verify(app, request, None),
        ("POST", ["api", "v1", "webhooks", "whatsapp", "inbound"]) => webhooks::receive(app, request, None).await,
        ("GET", ["api", "v1", "webhooks", "whatsapp", org]) => webhooks::verify(app, request, Some(org)),
        ("POST", ["api", "v1", "webhooks", "whatsapp", org]) => webhooks::receive(app, request, Some(org)).await,
        ("POST", ["api", "v1", "outbound", "messages"]) => messages::post(app, request, org(Send)?).await,
        ("GET", ["api", "v1", "outbound", "messages"]) => messages::list(app, request, org(Read)?).await,
        ("GET", ["api", "v1", "outbound", "messages", "paginated"]) => messages::pages(app, request, org(Read)?).await,
        ("POST", ["api", "v1", "outbound", "messages", "retry"]) => bulk::retry(app, request, org(Send)?).await,
        ("POST", ["api", "v1", "outbound", "messages", "cancel"]) => bulk::cancel(app, request, org(Send)?).await,
        ("GET", ["api", "v1", "outbound", "messages", id]) => messages::get(app, org(Read)?, id),
        ("GET", ["api", "v1", "outbound", "messages", id, "attempts"]) => messages::attempts(app, org(Read)?, id),
        ("GET", ["api", "v1", "outbound", "messages", id, "timeline"]) => trail::timeline(app, org(Read)?, id),
        ("GET", ["api", "v1", "outbound", "messages", id, "explain"]) => messages::explain(app, org(Read)?, id).await,
        ("POST", ["api", "v1", "outbound", "messages", id, "retry"]) => messages::retry(app, org(Send)?, id).await,
        ("POST", ["api", "v1", "outbound", "messages", id, "cancel"]) => messages::cancel(app, org(Send)?, id).await,
        ("GET", ["api", "v1", "outbound", "stats"]) => messages::stats(app, org(Read)?),
        ("GET", ["api", "v1", "inbound", "messages"]) => inbound::list(app, request, org(Read)?).await,
        ("GET", ["api", "v1", "consents"]) => consents::list(app, request, org(Read)?).await,
        ("GET", ["api", "v1", "consents", name]) => consents::get(app, request, org(Read)?, name).await,
        ("PUT", ["api", "v1", "consents", name]) => consents::put(app, request, org(Manage)?, name).await,
        ("DELETE", ["api", "v1", "recipients", name]) => recipients::erase(app, org(Manage)?, name).await,
        ("GET", ["api", "v1", "recipients", name, "export"]) => {
            recipients::export(app, request, org(Manage)?, name).await
        }
        ("GET", ["api", "v1", "activities"]) => trail::activities(app, request, org(Read)?).await,
        ("GET", ["api", "v1", "audit"]) => trail::audit(app, request, org(Read)?).await,
        ("GET", ["api", "v1", "admin", "actors"]) => admin().and_then(|()| orgs::actors(app, request)),
        ("GET", ["api", "v1", "admin", "tries"]) => admin().and_then(|()| orgs::tries(app, request)),
        ("POST", ["api", "v1", "admin", "key", "rotate"]) => {
            admin()?;
            keys::rotate_admin(app, request).await
        }
        ("GET", ["api", "v1", "admin", "orgs"]) => admin().and_then(|()| orgs::list(app)),
        ("GET", ["api", "v1", "admin", "orgs", id]) => admin().and_then(|()| orgs::get(app, id)),
        ("PUT", ["api", "v1", "admin", "orgs", id]) => {
            admin()?;
            orgs::put(app, request, id).await
        }
        ("DELETE", ["api", "v1", "admin", "orgs", id]) => {
            admin()?;
            orgs::delete(app, id).await
        }
        ("POST", ["api", "v1", "admin", "orgs", id, "pause"]) => {
            admin()?;
            orgs::pause(app, request, id).await
        }
        ("POST", ["api", "v1", "admin", "orgs", id, "resume"]) => {
            admin()?;
            orgs::resume(app, request, id).await
        }
        ("POST", ["api", "v1", "admin", "orgs", id, "check"]) => {
            admin()?;
            orgs::check(app, request, id).await
        }
        ("POST", ["api", "v1", "admin", "orgs", id, "release"]) => {
            admin()?;
            orgs::release(app, request, id).await
        }
        ("GET", ["api", "v1", "admin", "backups"]) => admin().and_then(|()| backups::list(app)),
        ("POST", ["api", "v1", "admin", "backups"]) => {
            admin()?;
            backups::begin(app).await
        }
        ("GET", ["api", "v1", "admin", "backups", id]) => admin().and_then(|()| backups::get(app, id)),
        ("DELETE", ["api", "v1", "admin", "backups", id]) => admin().and_then(|()| backups::remove(app, id)),
        ("GET", ["api", "v1", "admin", "backups", id, "data"]) => {
            admin()?;
            backups::data(app, request, id).await
        }
        ("POST", ["api", "v1", "admin", "orgs", id, "keys"]) => {
            admin()?;
            keys::add(app, request, id).await
        }
        ("DELETE", ["api", "v1", "admin", "orgs", id, "keys", key]) => {
            admin()?;
            keys::revoke(app, id, key).await
        }
        (_, path) => Err(match allowed(path) {
            Some(methods) => Problem::method_not_allowed(methods),
            None => Problem::no_such_path(),
        }),
    }
}

/// The methods of a path that exists.
fn allowed(path: &[&str]) -> Option<&'static str> {
    match path {
        ["healthz" | "readyz"] => Some("GET"),
        ["api", "v1", rest @ ..] => match rest {
            ["webhooks", "whatsapp", _] | ["outbound", "messages"] | ["admin", "backups"] => Some("GET, POST"),
            ["outbound", "messages", "retry" | "cancel"]
            | ["outbound", "messages", _, "retry" | "cancel"]
            | ["admin", "key", "rotate"]
            | ["admin", "orgs", _, "check" | "keys" | "pause" | "release" | "resume"] => Some("POST"),
            ["outbound", "messages", _]
            | ["outbound", "messages", _, "attempts" | "timeline" | "explain"]
            | ["outbound", "stats"]
            | ["inbound", "messages"]
            | ["activities" | "audit" | "consents"]
            | ["admin", "actors" | "orgs" | "tries"] => Some("GET"),
            ["consents", _] => Some("GET, PUT"),
            ["recipients", _] => Some("DELETE"),
            ["recipients", _, "export"] | ["admin", "backups", _, "data"] => Some("GET"),
            ["admin", "backups", _] => Some("DELETE, GET"),
            ["admin", "orgs", _] => Some("DELETE, GET, PUT"),
            ["admin", "orgs", _, "keys", _] => Some("DELETE"),
            _ => None,
        },
        _ => None,
    }
}

fn healthz() -> Answer {
    views::json(StatusCode::OK, &serde_json::json!({"status": "ok"}))
}

fn readyz(app: &App) -> Answer {
    match app.outbox.trouble() {
        None => views::json(StatusCode::OK, &serde_json::json!({"status": "ready"})),
        Some(trouble) => Err(Problem::unavailable(trouble)),
    }
}
