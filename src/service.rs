//! The whole service: opens the store, starts the actors, declares the configured organisations, listens.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actors::{ChangeError, Clock, Outbox};
use domain::audit::By;
use domain::org::Secret;
use store::{Committer, DataFolder, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use whatsapp::CloudApi;
use whatsapp::cloud_api;

use crate::admin_key::AdminKeys;
use crate::config::{Config, Http};
use crate::http::{self, KeyLog, Tries, WRITE_EVERY};

/// When keys were last used; in the data folder.
const KEY_LOG_FILE: &str = "keys.used";

/// A running service.
pub struct Service {
    addr: SocketAddr,
    scheme: &'static str,
    outbox: Outbox,
    http: http::Running,
    grace: Duration,
    admin_keys: Arc<AdminKeys>,
    key_log: Arc<KeyLog>,
    writer: AbortHandle,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] store::folder::FolderError),
    /// The store in it cannot be opened.
    #[error("{0}. {advice}", advice = advice(.0))]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The admin key cannot be read or made.
    #[error("the admin key: {0}")]
    AdminKey(String),
    /// The client for the Cloud API cannot be made.
    #[error("whatsapp: {0}")]
    CloudApi(#[from] cloud_api::BuildError),
    /// The runtime did not start.
    #[error(transparent)]
    Runtime(#[from] actors::StartError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// The certificate or its key cannot be used.
    #[error("{0}")]
    Tls(String),
    /// A declared organisation cannot be used.
    #[error("organisation {id} in the configuration: {reason}")]
    Declared {
        /// Which.
        id: String,
        /// Why.
        reason: String,
    },
}

impl Service {
    /// Starts the service.
    pub async fn start(config: &Config) -> Result<Self, ServiceError> {
        let Http { tls_cert, tls_key, .. } = &config.http;
        let tls = config.http.has_tls().then(|| http::Tls::load(tls_cert, tls_key)).transpose();
        let tls = tls.map_err(ServiceError::Tls)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let folder = DataFolder::open(&config.store.path)?;
        let admin_keys = AdminKeys::load(&config.admin.key, folder.path()).map_err(ServiceError::AdminKey)?;
        let admin_keys = Arc::new(admin_keys);
        let key_log = Arc::new(KeyLog::load(folder.path().join(KEY_LOG_FILE)));
        // Bound before the store is opened, so that a taken port is found out at once.
        let addr = config.http.listen;
        let listener = TcpListener::bind(addr).await.map_err(|source| ServiceError::Listen { addr, source })?;
        let addr = listener.local_addr().map_err(|source| ServiceError::Listen { addr, source })?;
        let cache = config.store.cache.as_u64();
        let store = tokio::task::spawn_blocking(move || store::open(folder, cache)).await;
        let store = store.map_err(|error| ServiceError::Thread(io::Error::other(error)))??;
        let committer = Committer::start(&store).map_err(ServiceError::Thread)?;
        let provider = CloudApi::new(config.cloud_api())?;
        let outbox = Outbox::start(config.settings(), store, committer, Arc::new(provider), Clock::system()).await?;
        for org in &config.orgs {
            let declared = |reason: String| ServiceError::Declared { id: org.id.clone(), reason };
            let (id, change) = org.resolve().map_err(declared)?;
            outbox.put_org(id, change, By::Config).await.map_err(|error| declared(explain(&error)))?;
        }
        let app = http::App {
            outbox: outbox.clone(),
            admin_keys: Arc::clone(&admin_keys),
            key_log: Arc::clone(&key_log),
            tries: Tries::new(config.http.proxies().unwrap_or_default()),
            max_body: usize::try_from(config.http.max_body.as_u64()).unwrap_or(usize::MAX),
            request_timeout: config.http.request_timeout,
        };
        let http = http::serve(listener, config.http.limits(), tls, app);
        let organisations = outbox.directory().orgs().len();
        let writer = tokio::spawn(keep(Arc::clone(&key_log), outbox.clone())).abort_handle();
        tracing::info!(%addr, organisations, "ready");
        let grace = config.outbound.shutdown_grace;
        Ok(Self { addr, scheme, outbox, http, grace, admin_keys, key_log, writer })
    }

    /// Where it listens, such as `http://127.0.0.1:8080`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr)
    }

    /// The admin key in force.
    pub fn admin_key(&self) -> Secret {
        self.admin_keys.current()
    }

    /// Turns to the error that made the store unwell, if that happens: the service must then be stopped.
    pub fn health(&self) -> watch::Receiver<Option<StoreError>> {
        self.outbox.health()
    }

    /// Accepts nothing more, gives calls in flight `shutdown_grace`, records, and ends.
    pub async fn stop(self) {
        self.http.drain();
        self.outbox.drain();
        let left = self.outbox.stop(self.grace).await;
        self.http.stop().await;
        self.writer.abort();
        self.key_log.write(|| self.outbox.directory().key_hashes()).await;
        if left > 0 {
            tracing::warn!(
                left,
                "calls were still in flight; their messages are settled by receipt or by policy after the next start"
            );
        }
        tracing::info!("stopped");
    }
}

/// Writes down now and then when keys were last used.
async fn keep(log: Arc<KeyLog>, outbox: Outbox) {
    loop {
        tokio::time::sleep(WRITE_EVERY).await;
        log.write(|| outbox.directory().key_hashes()).await;
    }
}

/// What to do about a store that does not open.
const fn advice(error: &StoreError) -> &'static str {
    match error {
        StoreError::Backend { .. } => {
            "If the disk is full or may not be written to, mend that and start again; nothing acknowledged is lost by it. If \
             the store is damaged, restore the folder from a backup; `twotick verify` says what is wrong"
        }
        StoreError::Lost { .. } | StoreError::Contradicts { .. } | StoreError::Damaged { .. } => {
            "It was damaged from outside, or its disk did not keep what it had confirmed. Nothing is served from it: restore \
             the folder from a backup; `twotick verify` says what is wrong"
        }
        StoreError::Newer { .. } => "Start the newer version again",
    }
}

fn explain(error: &ChangeError) -> String {
    match error {
        ChangeError::Invalid(errors) => {
            let list: Vec<_> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
            list.join("; ")
        }
        ChangeError::NotFound | ChangeError::SenderTaken(_) | ChangeError::Down(_) | ChangeError::Unavailable => {
            error.to_string()
        }
    }
}
