//! The handle of a running simulator.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::account::Account;
use crate::faults::Faults;
use crate::ledger::{Accepted, Stats};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::{emitter, server};

/// A running simulator. Dropping it stops the server, closes its connections and ends the webhook calls.
pub struct Simulator {
    shared: Arc<Shared>,
    addr: SocketAddr,
    tasks: [AbortHandle; 3],
}

/// Why a simulator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener has no address.
    #[error("the simulator's listener has no address")]
    Listener(#[source] io::Error),
    /// The HTTP client for the webhook cannot be created.
    #[error("the simulator cannot create an HTTP client for the webhook")]
    Client(#[source] reqwest::Error),
    /// The webhook is not an HTTP URL.
    #[error("the webhook must be an http or https URL")]
    Webhook,
}

impl Simulator {
    /// Starts to serve on `listener`.
    pub async fn start(listener: TcpListener, settings: Settings) -> Result<Self, StartError> {
        let addr = listener.local_addr().map_err(StartError::Listener)?;
        let callable = |url: &String| {
            reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        if !settings.webhook.as_ref().is_none_or(callable) {
            return Err(StartError::Webhook);
        }
        let client = emitter::client().map_err(StartError::Client)?;
        let shared = Arc::new(Shared::new(settings));
        let inbound = tokio::spawn(emitter::run_inbound(Arc::clone(&shared), client.clone())).abort_handle();
        let emitter = tokio::spawn(emitter::run(Arc::clone(&shared), client)).abort_handle();
        let server = tokio::spawn(server::run(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { shared, addr, tasks: [server, emitter, inbound] })
    }

    /// The address that it listens on.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL to use in place of `https://graph.facebook.com`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Sends receipts to `url` from now on, including those that are being retried. With `None`, receipts that are due
    /// are given up.
    pub fn set_webhook(&self, url: Option<String>) {
        self.shared.control.send_modify(|control| control.webhook = url.map(Arc::from));
    }

    /// Replaces the faults. Counts and rates start again; the random generator does not.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.set_faults(faults);
    }

    /// Replaces the account.
    pub fn set_account(&self, account: Account) {
        self.shared.set_account(account);
    }

    /// `false` holds receipts back, `true` releases them. A webhook call in flight is not stopped.
    pub fn set_receipts(&self, on: bool) {
        self.shared.control.send_modify(|control| control.receipts = on);
    }

    /// The accepted messages, in order.
    pub fn messages(&self) -> Vec<Accepted> {
        self.shared.messages(0, usize::MAX).iter().map(|message| Accepted::clone(message)).collect()
    }

    /// The accepted messages after number `after`, in order, without copying them.
    pub fn messages_after(&self, after: u64) -> Vec<Arc<Accepted>> {
        self.shared.messages(after, usize::MAX)
    }

    /// The counts.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Deletes messages, counts, media, and the receipts and inbound messages not yet sent. The faults stay, and their
    /// counts and the random generator start again. The webhook and [`Self::set_receipts`] stay as they are.
    pub fn reset(&self) {
        self.shared.reset();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
