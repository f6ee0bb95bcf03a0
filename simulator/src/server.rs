//! The HTTP server: Meta's paths, and `/_sim` to look inside.

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

use crate::answers::{Answered, Dropped, refuse};
use crate::errors::Refusal;
use crate::shared::Shared;
use crate::{control, graph};

/// Before the next try to accept a connection when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is aborted; the connections end with it.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&shared)));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Only costs time if it fails.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| route(request, &shared));
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::trace!(%error, "connection ended");
    }
}

async fn route(request: Request<Incoming>, shared: &Shared) -> Result<Answered, Dropped> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().trim_matches('/').to_owned();
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        ["_sim", name] => {
            Ok(control::call(&head.method, name, head.uri.query().unwrap_or_default(), body, shared).await)
        }
        [version, path @ ..] if is_version(version) => graph::call(&head, path, body, shared).await,
        // Without a version only what clients do call so.
        path @ ([_, "messages" | "media"] | ["whatsapp_business", "attachments"]) => {
            graph::call(&head, path, body, shared).await
        }
        _ => Ok(refuse(&Refusal::unknown_path(&path))),
    }
}

/// `v25.0` and the like.
fn is_version(segment: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    segment.strip_prefix('v').and_then(|v| v.split_once('.')).is_some_and(|(a, b)| number(a) && number(b))
}
