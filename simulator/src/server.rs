//! The HTTP server: it routes Meta's paths and the simulator's own API under `/_sim`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::answers::{Dropped, HttpResponse, refuse};
use crate::errors::Refusal;
use crate::shared::Shared;
use crate::{control, graph};

/// The pause before the next accept after one failed, such as when no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is aborted. Its connections end with it.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&shared)));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // A failure only makes the connection slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| route(request, &shared));
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::trace!(%error, "a connection ended with an error");
    }
}

async fn route(request: Request<Incoming>, shared: &Shared) -> Result<HttpResponse, Dropped> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().trim_matches('/').to_owned();
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        ["_sim", name] => {
            Ok(control::call(&head.method, name, head.uri.query().unwrap_or_default(), body, shared).await)
        }
        [version, path @ ..] if is_version(version) => graph::call(&head, path, body, shared).await,
        // Clients omit the version only in these paths.
        path @ ([_, "messages" | "media"] | ["whatsapp_business", "attachments"]) => {
            graph::call(&head, path, body, shared).await
        }
        _ => Ok(refuse(&Refusal::unknown_path(&path))),
    }
}

/// Whether `segment` is an API version such as `v25.0`.
fn is_version(segment: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    segment.strip_prefix('v').and_then(|v| v.split_once('.')).is_some_and(|(a, b)| number(a) && number(b))
}
