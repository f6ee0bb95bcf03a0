//! The HTTP front door. Every route is one line of [`route`]; everything else is an RFC 9457 problem.

mod auth;
mod bulk;
mod consents;
mod inbound;
pub(crate) mod keys;
mod messages;
mod orgs;
mod problem;
mod request;
mod trail;
mod views;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use actors::Outbox;
use domain::org::{KeyScope, Secret};
use http::{Method, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use warp::Filter;

use problem::Problem;
use request::Request;

/// What a handler answers with: a response, or a problem.
type Answer = Result<Response<Vec<u8>>, Problem>;

/// What handlers are given.
struct App {
    outbox: Outbox,
    admin_key: Secret,
}

/// Meta sends webhooks of up to 3 MB.
const WEBHOOK_BODY_MAX: usize = 3 * 1024 * 1024;
/// How long open connections may take to end when the service stops.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// A running front door.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

/// Serves the API on `listener`.
pub(crate) fn serve(listener: TcpListener, outbox: Outbox, admin_key: Secret, max_body: usize) -> Running {
    let app = Arc::new(App { outbox, admin_key });
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let filter = warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method: Method, path: warp::path::FullPath, query: String, headers, body| {
            let app = Arc::clone(&app);
            async move {
                let max = if is_webhook(path.as_str()) { WEBHOOK_BODY_MAX } else { max_body };
                let answer = match Request::read(method, path.as_str(), query, headers, body, max).await {
                    Ok(request) => route(&app, &request).await,
                    Err(problem) => Err(problem),
                };
                answer.unwrap_or_else(Problem::into_response)
            }
        });
    let (stop, stopped) = oneshot::channel();
    let server = warp::serve(filter).incoming(listener).graceful(async {
        let _ = stopped.await;
    });
    Running { stop, server: tokio::spawn(server.run()) }
}

impl Running {
    /// Closes the door and lets open requests end.
    pub(crate) async fn stop(mut self) {
        let _ = self.stop.send(());
        if tokio::time::timeout(CLOSE_GRACE, &mut self.server).await.is_err() {
            self.server.abort();
        }
    }
}

const WEBHOOK: &str = "/api/v1/webhooks/whatsapp/inbound";

fn is_webhook(path: &str) -> bool {
    path == WEBHOOK
}

/// The route table.
async fn route(app: &App, request: &Request) -> Answer {
    use KeyScope::{Manage, Read, Send};
    let org = |scope| auth::org(app, request, scope);
    let admin = || auth::admin(app, request);
    let segments = request.segments();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["healthz"]) => healthz(),
        ("GET", ["readyz"]) => readyz(app),
        ("GET", ["api", "v1", "webhooks", "whatsapp", "inbound"]) => webhooks::verify(app, request),
        ("POST", ["api", "v1", "webhooks", "whatsapp", "inbound"]) => webhooks::receive(app, request).await,
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
        ("GET", ["api", "v1", "activities"]) => trail::activities(app, request, org(Read)?).await,
        ("GET", ["api", "v1", "audit"]) => trail::audit(app, request, org(Read)?).await,
        ("GET", ["api", "v1", "admin", "actors"]) => admin().and_then(|()| orgs::actors(app, request)),
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
        ("POST", ["api", "v1", "admin", "orgs", id, "keys"]) => {
            admin()?;
            orgs::add_key(app, request, id).await
        }
        ("DELETE", ["api", "v1", "admin", "orgs", id, "keys", key]) => {
            admin()?;
            orgs::revoke_key(app, id, key).await
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
            ["webhooks", "whatsapp", "inbound"] | ["outbound", "messages"] => Some("GET, POST"),
            ["outbound", "messages", "retry" | "cancel"]
            | ["outbound", "messages", _, "retry" | "cancel"]
            | ["admin", "orgs", _, "keys" | "pause" | "resume"] => Some("POST"),
            ["outbound", "messages", _]
            | ["outbound", "messages", _, "attempts" | "timeline" | "explain"]
            | ["outbound", "stats"]
            | ["inbound", "messages"]
            | ["activities" | "audit" | "consents"]
            | ["admin", "actors" | "orgs"] => Some("GET"),
            ["consents", _] => Some("GET, PUT"),
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
