//! Calls Meta's Cloud API and returns the outcome of each call.

mod inspect;
mod response;
mod settings;
mod way;

use std::pin::Pin;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, redirect, retry};

use crate::patience::within;
use crate::provider::{Answer, Provider, SendRequest};
use response::{read, root_cause, timed_out, without_response};

pub use inspect::{Number, Trouble};
pub use settings::{BuildError, Settings};
pub use way::{Way, certificates};

const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// If a call and the server's close of an idle connection cross, the outcome is unknown: nobody here can tell whether
/// the server read the request. So we drop idle connections before any server does; the shortest limits in wide use are
/// 5 s.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// The Cloud API. Clones share their connections.
#[derive(Clone, Debug)]
pub struct CloudApi {
    client: Client,
    /// The address up to the version.
    base: String,
    /// The address up to the phone number's id.
    prefix: String,
    request_timeout: Duration,
}

impl CloudApi {
    /// Sets up a client; makes no call.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let base = settings.base()?;
        let tls = base.scheme() == "https";
        let Settings { api_version, request_timeout, .. } = &settings;
        let request_timeout = *request_timeout;
        // This fails only if the process has a crypto provider already, which is fine.
        let _refused = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("twotick/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            // Shorter than the whole limit, so that a connection that is never made ends as one: then nothing was sent.
            .connect_timeout(CONNECT_TIMEOUT_MAX.min(request_timeout / 2))
            .pool_idle_timeout(IDLE_MAX)
            // A second POST is a second message: nothing below us may repeat or redirect a call.
            .redirect(redirect::Policy::none())
            .retry(retry::never());
        builder = settings.prepare(builder)?;
        if !tls && settings.ca_file.is_none() {
            // Without TLS no root certificates are needed, so the simulator runs on a machine that has none.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| BuildError::Client(root_cause(&error)))?;
        let base = base.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client, request_timeout, prefix: format!("{base}/{api_version}/"), base })
    }
}

impl Provider for CloudApi {
    fn send(&self, request: SendRequest) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let call = self
            .client
            .post(format!("{}{}/messages", self.prefix, request.from))
            .bearer_auth(request.token.expose())
            .header(CONTENT_TYPE, "application/json")
            .body(request.body);
        let answer = async move {
            // The reactor looks at the sockets first, so that no connection is used that the server has closed by now.
            tokio::task::yield_now().await;
            match call.send().await {
                Ok(response) => read(response).await,
                Err(error) => without_response(&error),
            }
        };
        let limit = self.request_timeout;
        // The client's own limit would also count the time in which this process stood still.
        Box::pin(async move { within(limit, answer).await.unwrap_or_else(timed_out) })
    }

    fn address(&self) -> &str {
        &self.base
    }
}

#[cfg(test)]
mod tests;
