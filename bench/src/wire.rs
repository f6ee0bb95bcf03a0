//! One keep-alive connection to the service, with as little between the tool and the socket as HTTP allows: what the
//! client costs is missing to the service on the same cores.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A connection. Calls on it follow one another.
pub(crate) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

/// The headers of a JSON request with a bearer key.
pub(crate) fn headers(key: &str) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {key}"))?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(headers)
}

impl Wire {
    pub(crate) async fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).await.with_context(|| format!("{addr} cannot be reached"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the connection; an error shows in the call that it cuts off.
        tokio::spawn(connection);
        Ok(Self { sender, host: HeaderValue::from_str(&addr.to_string())? })
    }

    /// One request and its whole answer.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder().method(method).uri(path).body(Full::new(body))?;
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(HOST, self.host.clone());
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    /// A request that must succeed, and its answer as JSON.
    pub(crate) async fn json(
        &mut self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let (status, answer) = self.call(method, path, headers, bytes.into()).await?;
        if !status.is_success() {
            bail!("{path} was answered {status}: {}", String::from_utf8_lossy(&answer));
        }
        if answer.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_slice(&answer).with_context(|| path.to_owned())
        }
    }
}
