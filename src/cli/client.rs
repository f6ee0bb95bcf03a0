//! twotick's HTTP API as a client calls it: what the commands and the demo speak with.

use std::error::Error;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use whatsapp::cloud_api::certificates;

/// One caller with its key.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    base: String,
    key: String,
}

impl Api {
    /// A caller of the service at `url`, such as `http://127.0.0.1:8080`. `ca` is a PEM file to trust in place of the
    /// machine's certificates.
    pub(crate) fn new(url: &str, key: impl Into<String>, ca: Option<&Path>) -> anyhow::Result<Self> {
        // Refused only if the process has a provider already, which will do.
        let _refused = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder().no_proxy().redirect(Policy::none());
        if let Some(ca) = ca {
            builder = builder.tls_certs_only(certificates(ca).map_err(|error| anyhow!("--ca {error}"))?);
        } else if !url.starts_with("https:") {
            // Without TLS no certificates are needed; a machine without any can still do this.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| {
            let advice = "HTTPS needs certificates to trust: install the machine's (Debian: ca-certificates), or name a PEM file by --ca";
            anyhow!("{}; {advice}", root(&error))
        })?;
        Ok(Self { client, base: format!("{}/api/v1", url.trim_end_matches('/')), key: key.into() })
    }

    /// The same with another key.
    pub(crate) fn with_key(&self, key: String) -> Self {
        Self { key, ..self.clone() }
    }

    /// Where it is called, up to `/api/v1`.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The answer as JSON, null if it is empty; an error that says what to do if it is none of success.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let text = self.text(method, path, body).await?;
        if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text).with_context(|| path.to_owned()) }
    }

    /// The answer as text.
    pub(crate) async fn text(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<String> {
        match self.ask(method, path, body).await? {
            (status, text) if status.is_success() => Ok(text),
            (status, text) => bail!(complaint(status, &text)),
        }
    }

    /// The same, where there may be nothing at this path.
    pub(crate) async fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        match self.ask(Method::GET, path, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, text) if status.is_success() => Ok(Some(serde_json::from_str(&text)?)),
            (status, text) => bail!(complaint(status, &text)),
        }
    }

    /// Bytes of the answer from `from` on, as many as it brings.
    pub(crate) async fn bytes(&self, path: &str, from: u64) -> anyhow::Result<Vec<u8>> {
        let request = self.client.get(format!("{}/{path}", self.base)).bearer_auth(&self.key);
        let response = request.header("range", format!("bytes={from}-")).send().await;
        let response = response.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status != StatusCode::PARTIAL_CONTENT {
            bail!(complaint(status, &response.text().await.unwrap_or_default()));
        }
        Ok(response.bytes().await.map_err(|error| self.unreachable(&error))?.to_vec())
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let url = self.base.trim_end_matches("/api/v1");
        let reason = root(error);
        let advice = if reason.contains("certificate") {
            "name the PEM file of who signed its certificate by --ca, and by --url a host that it is made for"
        } else {
            "is `twotick serve` running there? --url names another"
        };
        anyhow!("cannot speak with {url}: {reason}; {advice}")
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<(StatusCode, String)> {
        let mut request = self.client.request(method, format!("{}/{path}", self.base)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        Ok((status, response.text().await.map_err(|error| self.unreachable(&error))?))
    }
}

fn root(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What a problem says, with each bad field and, where we know it, what to do.
fn complaint(status: StatusCode, body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let part = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (detail, code) = (part(&problem, "detail"), part(&problem, "code"));
    if status.is_redirection() {
        return format!(
            "it was answered {status}, which sends on to another address; none is followed, since keys and secrets would go \
             there: name the service's own address by --url"
        );
    }
    if code.is_empty() {
        return format!("it was answered {status}, and not by twotick: is the address right?");
    }
    let mut text = format!("{detail} ({} {code})", status.as_u16());
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        text.push_str(&format!("\n  {}: {}", part(error, "field"), part(error, "message")));
    }
    if status == StatusCode::UNAUTHORIZED {
        text.push_str("; give this service's admin key by TWOTICK_ADMIN_KEY, --admin-key, or --data DIR of its folder");
    }
    text
}
