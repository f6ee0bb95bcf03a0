//! The accept loop: connections within their number and their time, plain or with TLS, until it is told to stop.
//!
//! warp's own server knows no limits, so its filter is served through hyper here. HTTP/1.1 only: what calls us (back ends,
//! proxies, Meta) speaks it, and it has no streams to multiply one connection's work with.

pub(crate) mod bodies;
pub(crate) mod pace;
pub(crate) mod proxies;
pub(crate) mod slots;
pub(crate) mod tls;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::io::{InspectReader, InspectWriter};
use tokio_util::sync::CancellationToken;

use pace::{Pace, Patience};
use tls::Tls;

/// Headers of one request.
const HEADERS_MAX: usize = 100;
/// Bytes of one request's head.
const HEAD_MAX: usize = 16 * 1024;
/// How long such a request may take over each step.
const SPARE_PATIENCE: Duration = Duration::from_secs(2);
/// How long open connections may take to end when the service stops.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// Before the next try to accept a connection when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two lines in the log about being full, or about connections that cannot be accepted.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// What the server is given.
pub(crate) struct Limits {
    pub(crate) max_connections: usize,
    /// Slots beyond these, each for one quick request: so health checks get through, and others learn that it is full. Beyond
    /// them too, connections are closed unread.
    pub(crate) spare_connections: usize,
    pub(crate) patience: Patience,
}

/// How a request arrived; among its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Who holds the other end of the connection: the client, or a proxy.
    pub(crate) peer: IpAddr,
    /// All ordinary slots are taken: only what is cheap may be answered.
    pub(crate) is_crowded: bool,
}

/// A running server.
pub(crate) struct Running {
    shared: Arc<Shared>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

struct Shared {
    limits: Limits,
    tls: Option<Tls>,
    slots: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    /// Each answer ends its connection.
    is_draining: AtomicBool,
    full: Complaint,
    not_accepted: Complaint,
}

/// Something that may happen a thousand times a second, and is told now and then with its count.
#[derive(Default)]
struct Complaint(Mutex<(u64, Option<Instant>)>);

impl Complaint {
    /// How often it has happened since it was last told, if it is to be told now.
    fn count(&self) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, at) = &mut *told;
        *count += 1;
        if at.is_some_and(|at| at.elapsed() < COMPLAIN_EVERY) {
            return None;
        }
        *at = Some(Instant::now());
        Some(std::mem::take(count))
    }
}

/// Serves `service` on `listener`.
pub(crate) fn run<S, B>(listener: TcpListener, limits: Limits, tls: Option<Tls>, service: S) -> Running
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let shared = Arc::new(Shared {
        slots: Arc::new(Semaphore::new(limits.max_connections)),
        spare: Arc::new(Semaphore::new(limits.spare_connections)),
        is_draining: AtomicBool::new(false),
        full: Complaint::default(),
        not_accepted: Complaint::default(),
        limits,
        tls,
    });
    let stop = CancellationToken::new();
    let server = tokio::spawn(accept(listener, Arc::clone(&shared), stop.clone(), service));
    Running { shared, stop, server }
}

impl Running {
    /// From now on every answer ends its connection, so that clients come back to whoever listens next.
    pub(crate) fn drain(&self) {
        self.shared.is_draining.store(true, Ordering::Relaxed);
    }

    /// Takes no more connections and lets open requests end.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        if timeout(CLOSE_GRACE, &mut self.server).await.is_err() {
            // The connections end with the task that holds them.
            self.server.abort();
        }
    }
}

async fn accept<S, B>(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let certificates = async {
        match &shared.tls {
            Some(tls) => tls.follow().await,
            None => std::future::pending().await,
        }
    };
    let mut certificates = std::pin::pin!(certificates);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Some((slot, is_crowded)) = shared.slot() else { continue };
                    let arrival = Arrival { peer: peer.ip().to_canonical(), is_crowded };
                    let (shared, stop, service) = (Arc::clone(&shared), stop.clone(), service.clone());
                    connections.spawn(async move {
                        connect(stream, arrival, &shared, stop, service).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    if let Some(times) = shared.not_accepted.count() {
                        tracing::warn!(
                            %error,
                            times,
                            "no connection can be accepted; it is tried again ten times a second. If the limit on open files is \
                             reached, raise it (LimitNOFILE, ulimit -n) or lower http.max_connections"
                        );
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = &mut certificates => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

impl Shared {
    /// A slot for one more connection, and whether it is one of the spare ones.
    fn slot(&self) -> Option<(OwnedSemaphorePermit, bool)> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some((slot, false));
        }
        if let Some(turned_away) = self.full.count() {
            let max = self.limits.max_connections;
            tracing::warn!(
                max,
                turned_away,
                "all connections that http.max_connections, or the limit on open files, allows are in use"
            );
        }
        Some((Arc::clone(&self.spare).try_acquire_owned().ok()?, true))
    }
}

/// Serves one connection to its end.
async fn connect<S, B>(stream: TcpStream, arrival: Arrival, shared: &Arc<Shared>, stop: CancellationToken, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    // Only costs time if it fails.
    let _ = stream.set_nodelay(true);
    let patience = match arrival.is_crowded {
        false => shared.limits.patience,
        true => Patience { head: SPARE_PATIENCE, request: SPARE_PATIENCE, idle: SPARE_PATIENCE },
    };
    let pace = Arc::new(Pace::new(patience));
    match &shared.tls {
        None => converse(stream, arrival, &pace, shared, stop, service).await,
        Some(tls) => match timeout(patience.head, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, arrival, &pace, shared, stop, service).await,
            Ok(Err(_)) | Err(_) => tracing::debug!("a TLS handshake did not succeed"),
        },
    }
}

/// The end of the year 9999, in seconds: HTTP cannot write what comes then.
const LAST_DATE: u64 = 253_402_300_799;

/// Whether HTTP can write the time that the system's clock shows. Where it cannot, answers have no date: hyper would panic.
fn has_date(now: SystemTime) -> bool {
    now.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.as_secs() < LAST_DATE)
}

async fn converse<I, S, B>(
    stream: I,
    arrival: Arrival,
    pace: &Arc<Pace>,
    shared: &Arc<Shared>,
    stop: CancellationToken,
    service: S,
) where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let listen = Arc::clone(pace);
    let stream = InspectReader::new(stream, move |bytes: &[u8]| {
        if !bytes.is_empty() {
            listen.heard();
        }
    });
    let tell = Arc::clone(pace);
    let io = TokioIo::new(InspectWriter::new(stream, move |bytes: &[u8]| tell.took(bytes.len())));
    let answer = service_fn(|mut request: Request<Incoming>| {
        pace.asked();
        let is_head = request.method() == Method::HEAD;
        request.extensions_mut().insert(arrival);
        let answer = service.call(request);
        async move {
            let mut response = answer.await?;
            if arrival.is_crowded || shared.is_draining.load(Ordering::Relaxed) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // Its answer goes without the body.
            let size = if is_head { None } else { response.body().size_hint().exact() };
            pace.answered(size.unwrap_or_default());
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_MAX)
        .header_read_timeout(None)
        .auto_date_header(has_date(SystemTime::now()));
    let mut connection = std::pin::pin!(builder.serve_connection(io, answer));
    let mut is_told = false;
    loop {
        tokio::select! {
            biased;
            end = connection.as_mut() => {
                if let Err(error) = end {
                    tracing::trace!(%error, "a connection ended");
                }
                return;
            }
            () = pace.over() => return,
            () = stop.cancelled(), if !is_told => {
                is_told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_date_where_http_can_write_it() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (now, wanted) in [
            (SystemTime::UNIX_EPOCH - Duration::from_secs(1), false),
            (at(0), true),
            (at(LAST_DATE - 1), true),
            (at(LAST_DATE + 1), false),
        ] {
            assert_eq!(has_date(now), wanted, "{now:?}");
        }
        assert_eq!(httpdate::fmt_http_date(at(LAST_DATE - 1)), "Fri, 31 Dec 9999 23:59:58 GMT");
    }
}
