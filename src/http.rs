//! The HTTP API. Every route is one line in [`routes`]; everything else is an RFC 9457 problem.

mod auth;
mod auth_throttle;
mod key_log;
mod problem;
pub mod query;
mod request;
mod routes;
mod server;
mod views;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::Outbox;
use bytes::Buf;
use domain::OrgNo;
use futures_util::Stream;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response};
use hyper_util::service::TowerToHyperService;
use store::StoreError;
use tokio::net::TcpListener;
use tokio::time::timeout;
use warp::Filter;
use whatsapp::cloud_api;

use crate::service::admin_key::AdminKeys;
use crate::service::backups::Backups;
use crate::service::engine::Engine;

use auth::Holder;
pub(crate) use auth_throttle::AuthThrottle;
pub(crate) use key_log::{KeyLog, WRITE_EVERY};
use problem::Problem;
use request::Request;
use routes::{Route, Source};
use server::Arrival;
use server::bodies::{self, Bodies, KEYED, Owner, WEBHOOKS};
pub(crate) use server::pace::Patience;
pub(crate) use server::proxies::Proxies;
use server::slots::{Slot, Slots};
pub(crate) use server::tls::Tls;
pub(crate) use server::{Limits, Running};

/// What a handler answers with: a response, or a problem.
type Answer = Result<Response<Vec<u8>>, Problem>;

/// What handlers are given.
struct App {
    outbox: Outbox,
    admin_keys: Arc<AdminKeys>,
    key_log: Arc<KeyLog>,
    proxies: Arc<Proxies>,
    auth_throttle: Arc<AuthThrottle>,
    webhook_throttle: Arc<AuthThrottle>,
    graph: cloud_api::Settings,
    backups: Arc<Backups>,
    room: Arc<Room>,
}

/// What the HTTP API consists of.
pub(crate) struct HttpApi {
    /// What is behind it. The API goes on answering while that is started again.
    pub(crate) engine: Arc<Engine>,
    pub(crate) admin_keys: Arc<AdminKeys>,
    pub(crate) key_log: Arc<KeyLog>,
    /// Whose word is believed of who a client is.
    pub(crate) proxies: Arc<Proxies>,
    /// Keys that are tried.
    pub(crate) auth_throttle: Arc<AuthThrottle>,
    /// Webhook signatures and verify tokens that are tried: apart, so that none of them makes a client with a key wait.
    pub(crate) webhook_throttle: Arc<AuthThrottle>,
    /// Where WhatsApp is, to look at senders.
    pub(crate) graph: cloud_api::Settings,
    pub(crate) backups: Arc<Backups>,
    /// The largest body of an API request.
    pub(crate) max_body: usize,
    /// The longest that one request may take, its body included.
    pub(crate) request_timeout: Duration,
    /// The slots of requests that are being answered.
    pub(crate) room: Arc<Room>,
}

/// Requests that are answered at once: enough to fill every batch of commits.
const SLOTS: usize = 128;
/// Requests that only read, apart from those, so that these find a slot whatever is being read.
const READING_SLOTS: usize = 64;
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

/// For whom a slot is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asker {
    Org(OrgNo),
    /// Meta, or whoever says so: no signature was looked at yet.
    Webhook,
}

/// What all requests share, but for those that ask for its health and the operator's own. A request that finds no free slot waits
/// in line.
pub(crate) struct Room {
    acting: Slots<Asker>,
    reading: Slots<Asker>,
    long_reads: Slots<Asker>,
    /// The longest that one may stand in line.
    max_wait: Duration,
}

impl Room {
    pub(crate) fn new(max_wait: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(LONG_READS_MIN, usize::from);
        Self {
            acting: Slots::new(SLOTS),
            reading: Slots::new(READING_SLOTS),
            long_reads: Slots::new(cores.max(LONG_READS_MIN)),
            max_wait,
        }
    }

    async fn slot(&self, of: &Slots<Asker>, asker: Asker) -> Result<Slot<Asker>, Problem> {
        let crowded = "too many requests are being answered, and this organisation has its share of them";
        of.take(asker, self.max_wait).await.ok_or_else(|| Problem::overloaded(crowded))
    }

    /// Runs a read of an organisation's that may take long where it holds up nobody.
    async fn read<T: Send + 'static>(
        &self,
        org: OrgNo,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let slot = self.slot(&self.long_reads, Asker::Org(org)).await?;
        let read = move || {
            // It ends with the read, also where nobody waits for that any more.
            let _slot = slot;
            read()
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| Problem::internal())?.map_err(Problem::from)
    }
}

/// Serves the API on `listener`.
pub(crate) fn serve(listener: TcpListener, limits: Limits, tls: Option<Tls>, api: HttpApi) -> Running {
    let api = Arc::new(api);
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let filter = warp::ext::get::<Arrival>()
        .and(warp::method())
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |arrival, method: Method, path: warp::path::FullPath, query: String, headers, body| {
            let api = Arc::clone(&api);
            async move {
                let (began, mut operation) = (Instant::now(), "none");
                let answer = match Request::new(arrival, method, path.as_str(), &query, headers) {
                    Ok(request) => {
                        let route = routes::find(&request);
                        operation = route.as_ref().map_or(operation, |route| route.operation());
                        let answer = timeout(api.request_timeout, api.answer(route, request, body)).await;
                        answer.unwrap_or_else(|_| Err(Problem::timed_out()))
                    }
                    Err(problem) => Err(problem),
                };
                let mut response = answer.unwrap_or_else(Problem::into_response);
                response.headers_mut().extend(SECURITY_HEADERS);
                // Not its path, which may name a recipient.
                tracing::debug!(operation, status = response.status().as_u16(), took = ?began.elapsed(), "answered");
                response
            }
        });
    server::run(listener, limits, tls, TowerToHyperService::new(warp::service(filter)))
}

impl HttpApi {
    async fn answer<B: Buf>(
        &self,
        route: Result<&'static Route, Problem>,
        mut request: Request,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Answer {
        let admitted = route.and_then(|route| Ok((route, self.admit(route, &mut request)?)));
        let route = match admitted {
            Ok((route, None)) => {
                bodies::discard(&request.headers, body).await;
                route
            }
            Ok((route, Some((bodies, owner, max)))) => {
                let (body, room) = bodies.read(owner, &request.headers, body, max).await?;
                (request.body, request._room) = (body, Some(room));
                route
            }
            Err(problem) => {
                bodies::discard(&request.headers, body).await;
                return Err(problem);
            }
        };
        match self.app() {
            Ok(app) => {
                // It may have been revoked while the body came.
                if request.key.is_ok() && !request.body.is_empty() {
                    request.key = auth::holder(&app, &request);
                }
                route.answer(&app, &request).await.map_err(|problem| problem.because(app.outbox.trouble()))
            }
            Err(problem) => route.answer_alone().unwrap_or(Err(problem)),
        }
    }

    /// With what room and of what length the body of a request is taken, if it is: of the request only the head is here.
    fn admit(&self, route: &Route, request: &mut Request) -> Result<Option<(&'static Bodies, Owner, usize)>, Problem> {
        if request.arrival.is_crowded && !route.is_health() {
            return Err(Problem::overloaded("all connections are in use"));
        }
        if !route.has_query() {
            request.query.nothing()?;
        }
        Ok(match route.source() {
            Source::Nobody => None,
            Source::Signed => {
                let address = self.proxies.client(request.arrival.peer, &request.headers);
                routes::webhooks::claimed(request).map(|_| (&WEBHOOKS, Owner::Address(address), WEBHOOK_BODY_MAX))
            }
            Source::Keyed => {
                request.key = auth::holder(&self.app()?, request);
                request.key.as_ref().ok().map(|holder| match holder {
                    Holder::Operator => (&KEYED, Owner::Operator, self.max_body),
                    Holder::Customer(identity) => (&KEYED, Owner::Org(identity.org.no), self.max_body),
                })
            }
        })
    }

    /// What handlers are given, if the engine is running now.
    fn app(&self) -> Result<App, Problem> {
        Ok(App {
            outbox: self.engine.outbox().map_err(Problem::unavailable)?,
            admin_keys: Arc::clone(&self.admin_keys),
            key_log: Arc::clone(&self.key_log),
            proxies: Arc::clone(&self.proxies),
            auth_throttle: Arc::clone(&self.auth_throttle),
            webhook_throttle: Arc::clone(&self.webhook_throttle),
            graph: self.graph.clone(),
            backups: Arc::clone(&self.backups),
            room: Arc::clone(&self.room),
        })
    }
}
