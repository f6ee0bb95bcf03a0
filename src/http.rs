//! The HTTP front door. Every route is one line of [`route`]; everything else is an RFC 9457 problem.

mod auth;
mod backups;
mod bodies;
mod bulk;
mod consents;
mod heard;
mod holds;
mod inbound;
mod key_log;
pub(crate) mod keys;
mod messages;
mod orgs;
mod pace;
mod places;
mod problem;
mod proxies;
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
use bytes::Buf;
use domain::OrgNo;
use domain::org::KeyScope;
use futures_util::Stream;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper_util::service::TowerToHyperService;
use store::StoreError;
use tokio::net::TcpListener;
use tokio::time::timeout;
use warp::Filter;
use whatsapp::cloud_api;

use crate::admin_key::AdminKeys;
use crate::backups::Backups;
use crate::engine::Engine;

use auth::Holder;
use bodies::{Bodies, KEYED, Owner, WEBHOOKS};
pub(crate) use key_log::{KeyLog, WRITE_EVERY};
pub(crate) use pace::Patience;
use places::{Place, Places};
use problem::Problem;
pub(crate) use proxies::Proxies;
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
    proxies: Arc<Proxies>,
    tries: Arc<Tries>,
    webhook_tries: Arc<Tries>,
    graph: cloud_api::Settings,
    backups: Arc<Backups>,
    room: Arc<Room>,
}

/// What the door is made of.
pub(crate) struct Door {
    /// What is behind it. The door stays open while that is started again.
    pub(crate) engine: Arc<Engine>,
    pub(crate) admin_keys: Arc<AdminKeys>,
    pub(crate) key_log: Arc<KeyLog>,
    /// Whose word is believed of who a client is.
    pub(crate) proxies: Arc<Proxies>,
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
    /// The places of requests that are being answered.
    pub(crate) room: Arc<Room>,
}

/// Requests that are answered at once: enough to fill every batch of commits.
const PLACES: usize = 128;
/// Requests that only read, apart from those, so that these find a place whatever is being read.
const READING_PLACES: usize = 64;
/// Reads that hold a thread, at once: at least so many, and one for each core.
const LONG_READS_MIN: usize = 2;
/// Meta sends webhooks of up to 3 MB.
const WEBHOOK_BODY_MAX: usize = 3 * 1024 * 1024;

/// Every answer's: nothing here is a page, and nothing may be kept. No word of CORS: browsers are to stay out.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// For whom a place is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asker {
    Org(OrgNo),
    /// Meta, or whoever says so: no signature was looked at yet.
    Webhook,
}

/// What all requests share in, but for those that ask for its health and the operator's own. Who finds no place stands in line.
pub(crate) struct Room {
    acting: Places<Asker>,
    reading: Places<Asker>,
    long_reads: Places<Asker>,
    /// The longest that one may stand in line.
    max_wait: Duration,
}

impl Room {
    pub(crate) fn new(max_wait: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(LONG_READS_MIN, usize::from);
        Self {
            acting: Places::new(PLACES),
            reading: Places::new(READING_PLACES),
            long_reads: Places::new(cores.max(LONG_READS_MIN)),
            max_wait,
        }
    }

    async fn place(&self, of: &Places<Asker>, asker: Asker) -> Result<Place<Asker>, Problem> {
        let crowded = "too many requests are being answered, and this organisation has its share of them";
        of.take(asker, self.max_wait).await.ok_or_else(|| Problem::overloaded(crowded))
    }

    /// Runs a read of an organisation's that may take long where it holds up nobody.
    async fn read<T: Send + 'static>(
        &self,
        org: OrgNo,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.place(&self.long_reads, Asker::Org(org)).await?;
        let read = move || {
            // It ends with the read, also where nobody waits for that any more.
            let _place = place;
            read()
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| Problem::internal())?.map_err(Problem::from)
    }
}

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
                let answer = door.answer(arrival, method, path.as_str(), &query, headers, body);
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
    async fn answer<B: Buf>(
        &self,
        arrival: Arrival,
        method: Method,
        path: &str,
        query: &str,
        headers: HeaderMap,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Answer {
        let mut request = Request::new(arrival, method, path, query, headers)?;
        match self.sender_of_body(&mut request) {
            Ok(Some((bodies, owner, max))) => {
                let (body, room) = bodies.read(owner, &request.headers, body, max).await?;
                (request.body, request._room) = (body, Some(room));
            }
            Ok(None) => bodies::discard(&request.headers, body).await,
            Err(problem) => {
                bodies::discard(&request.headers, body).await;
                return Err(problem);
            }
        }
        self.answer_whole(request).await
    }

    /// From whom a body is taken, with what room and of what length. From whom shows neither a key nor a signature none is.
    fn sender_of_body(&self, request: &mut Request) -> Result<Option<(&'static Bodies, Owner, usize)>, Problem> {
        let is_webhook = matches!(request.segments().as_slice(), ["api", "v1", "webhooks", "whatsapp", _]);
        if request.arrival.is_crowded || is_health(request) {
            return Ok(None);
        }
        if is_webhook {
            let address = self.proxies.client(request.arrival.peer, &request.headers);
            return Ok(webhooks::claimed(request).map(|_| (&WEBHOOKS, Owner::Address(address), WEBHOOK_BODY_MAX)));
        }
        request.key = auth::holder(&self.app()?, request);
        Ok(request.key.as_ref().ok().map(|holder| match holder {
            Holder::Operator => (&KEYED, Owner::Operator, self.max_body),
            Holder::Customer(identity) => (&KEYED, Owner::Org(identity.org.no), self.max_body),
        }))
    }

    async fn answer_whole(&self, mut request: Request) -> Answer {
        match self.app() {
            Ok(app) => {
                // It may have been revoked while the body came.
                if request.key.is_ok() && !request.body.is_empty() {
                    request.key = auth::holder(&app, &request);
                }
                route(&app, &request).await.map_err(|problem| problem.because(app.outbox.trouble()))
            }
            // It is alive all the same.
            Err(_) if request.segments() == ["healthz"] => healthz(),
            Err(problem) => Err(problem),
        }
    }

    /// What handlers are given, if there is anything behind the door now.
    fn app(&self) -> Result<App, Problem> {
        Ok(App {
            outbox: self.engine.outbox().map_err(Problem::unavailable)?,
            admin_keys: Arc::clone(&self.admin_keys),
            key_log: Arc::clone(&self.key_log),
            proxies: Arc::clone(&self.proxies),
            tries: Arc::clone(&self.tries),
            webhook_tries: Arc::clone(&self.webhook_tries),
            graph: self.graph.clone(),
            backups: Arc::clone(&self.backups),
            room: Arc::clone(&self.room),
        })
    }
}

fn is_health(request: &Request) -> bool {
    matches!(request.segments().as_slice(), ["healthz" | "readyz"])
}

/// The route table.
async fn route(app: &App, request: &Request) -> Answer {
    use KeyScope::{Manage, Read, Send};
    let org = async |scope| {
        let caller = auth::org(app, request, scope)?;
        let places = if request.is_read() { &app.room.reading } else { &app.room.acting };
        let place = app.room.place(places, Asker::Org(caller.org.no)).await?;
        Ok::<_, Problem>(auth::Caller { _place: Some(place), ..caller })
    };
    let webhook = async || app.room.place(&app.room.acting, Asker::Webhook).await;
    let admin = || auth::admin(app, request);
    let segments = request.segments();
    if request.arrival.is_crowded && !is_health(request) {
        return Err(Problem::overloaded("all connections are in use"));
    }
    if takes_no_parameters(request, &segments) {
        request.query.nothing()?;
    }
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["healthz"]) => healthz(),
        ("GET", ["readyz"]) => readyz(app),
        // Webhooks come to `…/inbound`, or to the id of the organisation that alone they may concern.
        ("GET", ["api", "v1", "webhooks", "whatsapp", "inbound"]) => webhooks::verify(app, request, None),
        ("POST", ["api", "v1", "webhooks", "whatsapp", "inbound"]) => {
            let _place = webhook().await?;
            webhooks::receive(app, request, None).await
        }
        ("GET", ["api", "v1", "webhooks", "whatsapp", org]) => webhooks::verify(app, request, Some(org)),
        ("POST", ["api", "v1", "webhooks", "whatsapp", org]) => {
            let _place = webhook().await?;
            webhooks::receive(app, request, Some(org)).await
        }
        ("POST", ["api", "v1", "outbound", "messages"]) => messages::post(app, request, org(Send).await?).await,
        ("GET", ["api", "v1", "outbound", "messages"]) => messages::list(app, request, org(Read).await?).await,
        ("GET", ["api", "v1", "outbound", "messages", "paginated"]) => {
            messages::pages(app, request, org(Read).await?).await
        }
        ("POST", ["api", "v1", "outbound", "messages", "retry"]) => bulk::retry(app, request, org(Send).await?).await,
        ("POST", ["api", "v1", "outbound", "messages", "cancel"]) => bulk::cancel(app, request, org(Send).await?).await,
        ("GET", ["api", "v1", "outbound", "messages", id]) => messages::get(app, org(Read).await?, id),
        ("GET", ["api", "v1", "outbound", "messages", id, "attempts"]) => messages::attempts(app, org(Read).await?, id),
        ("GET", ["api", "v1", "outbound", "messages", id, "timeline"]) => trail::timeline(app, org(Read).await?, id),
        ("GET", ["api", "v1", "outbound", "messages", id, "explain"]) => {
            messages::explain(app, org(Read).await?, id).await
        }
        ("POST", ["api", "v1", "outbound", "messages", id, "retry"]) => {
            messages::retry(app, org(Send).await?, id).await
        }
        ("POST", ["api", "v1", "outbound", "messages", id, "cancel"]) => {
            messages::cancel(app, org(Send).await?, id).await
        }
        ("GET", ["api", "v1", "outbound", "stats"]) => messages::stats(app, org(Read).await?),
        ("GET", ["api", "v1", "inbound", "messages"]) => inbound::list(app, request, org(Read).await?).await,
        ("GET", ["api", "v1", "consents"]) => consents::list(app, request, org(Read).await?).await,
        ("GET", ["api", "v1", "consents", name]) => consents::get(app, request, org(Read).await?, name).await,
        ("PUT", ["api", "v1", "consents", name]) => consents::put(app, request, org(Manage).await?, name).await,
        ("DELETE", ["api", "v1", "recipients", name]) => recipients::erase(app, org(Manage).await?, name).await,
        ("GET", ["api", "v1", "recipients", name, "export"]) => {
            recipients::export(app, request, org(Manage).await?, name).await
        }
        ("GET", ["api", "v1", "activities"]) => trail::activities(app, request, org(Read).await?).await,
        ("GET", ["api", "v1", "audit"]) => trail::audit(app, request, org(Read).await?).await,
        ("GET", ["api", "v1", "admin", "actors"]) => admin().and_then(|()| orgs::actors(app, request)),
        ("GET", ["api", "v1", "admin", "tries"]) => admin().and_then(|()| orgs::tries(app, request)),
        ("POST", ["api", "v1", "admin", "check"]) => {
            admin()?;
            orgs::look(app, request).await
        }
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

/// Whether a call would do what it does whatever stands behind the `?`: `dryRun=true` there must not be taken for heeded. Health
/// checks and webhooks are asked by others, in their own way.
fn takes_no_parameters(request: &Request, segments: &[&str]) -> bool {
    let ["api", "v1", rest @ ..] = segments else { return false };
    match (request.is_read(), rest) {
        (_, ["webhooks", ..]) | (false, ["admin", "orgs", _, "pause" | "resume" | "check"]) => false,
        (false, _) => allowed(segments).is_some_and(|methods| methods.contains(request.method.as_str())),
        (true, ["outbound", "messages", "paginated"]) => false,
        (true, ["outbound", "messages", _, ..] | ["outbound", "stats"] | ["admin", "orgs" | "backups", ..]) => true,
        (true, _) => false,
    }
}

/// The methods of a path that exists.
fn allowed(path: &[&str]) -> Option<&'static str> {
    match path {
        ["healthz" | "readyz"] => Some("GET, HEAD"),
        ["api", "v1", rest @ ..] => match rest {
            ["webhooks", "whatsapp", _] | ["outbound", "messages"] | ["admin", "backups"] => Some("GET, HEAD, POST"),
            ["outbound", "messages", "retry" | "cancel"]
            | ["outbound", "messages", _, "retry" | "cancel"]
            | ["admin", "check"]
            | ["admin", "key", "rotate"]
            | ["admin", "orgs", _, "check" | "keys" | "pause" | "release" | "resume"] => Some("POST"),
            ["outbound", "messages", _]
            | ["outbound", "messages", _, "attempts" | "timeline" | "explain"]
            | ["outbound", "stats"]
            | ["inbound", "messages"]
            | ["activities" | "audit" | "consents"]
            | ["admin", "actors" | "orgs" | "tries"] => Some("GET, HEAD"),
            ["consents", _] => Some("GET, HEAD, PUT"),
            ["recipients", _] => Some("DELETE"),
            ["recipients", _, "export"] | ["admin", "backups", _, "data"] => Some("GET, HEAD"),
            ["admin", "backups", _] => Some("DELETE, GET, HEAD"),
            ["admin", "orgs", _] => Some("DELETE, GET, HEAD, PUT"),
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
