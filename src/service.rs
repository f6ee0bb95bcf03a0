//! The whole service: opens the store, starts the actors, declares the configured organisations, listens.

pub(crate) mod admin_key;
pub(crate) mod backups;
pub(crate) mod descriptors;
pub(crate) mod engine;
pub(crate) mod master_key;
pub(crate) mod private_file;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use actors::{ChangeError, Clock};
use domain::Timestamp;
use domain::org::Secret;
use store::{DataFolder, StoreError};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use whatsapp::cloud_api;

use crate::config::{Config, Http};
use crate::http::{self, AuthThrottle, KeyLog, Limits, Patience, Proxies, WRITE_EVERY};
use admin_key::AdminKeys;
use backups::Backups;
use descriptors::Descriptors;
use engine::Engine;
use master_key::MasterKeyError;

/// When keys were last used; in the data folder.
const KEY_LOG_FILE: &str = "keys.used";

/// A running service.
pub struct Service {
    addr: SocketAddr,
    scheme: &'static str,
    engine: Arc<Engine>,
    http: http::Running,
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
    /// The secrets in the store cannot be opened.
    #[error(transparent)]
    MasterKey(MasterKeyError),
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
    /// Its store is just being opened again.
    #[error("try again in a moment: {0}")]
    Unready(String),
    /// A declared organisation cannot be used.
    #[error("organisation {id} in the configuration: {reason}")]
    Declared {
        /// Which.
        id: String,
        /// Why.
        reason: String,
    },
}

impl From<MasterKeyError> for ServiceError {
    fn from(error: MasterKeyError) -> Self {
        match error {
            MasterKeyError::Store(error) => Self::Store(error),
            MasterKeyError::Unusable(_) | MasterKeyError::Gone { .. } | MasterKeyError::Other { .. } => {
                Self::MasterKey(error)
            }
        }
    }
}

impl Service {
    /// Starts the service.
    pub async fn start(config: &Config) -> Result<Self, ServiceError> {
        tell_of_clock(Clock::system().now());
        let Http { tls_cert, tls_key, .. } = &config.http;
        let tls = config.http.has_tls().then(|| http::Tls::load(tls_cert, tls_key)).transpose();
        let tls = tls.map_err(ServiceError::Tls)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let descriptors = Descriptors::raise();
        descriptors.warn_of(config.http.max_connections);
        let folder = DataFolder::open(&config.store.path)?;
        if !config.store.allow_shared_folder && folder.make_private()? {
            tracing::warn!(
                path = %folder.path().display(),
                "other users of this machine could look into the data folder: it is now its owner's only (mode 0700)"
            );
        }
        let admin_keys = AdminKeys::load(&config.admin.key, folder.path()).map_err(ServiceError::AdminKey)?;
        let admin_keys = Arc::new(admin_keys);
        for (what, path) in private_file::open_to_others(config) {
            tracing::warn!(what, path = %path.display(), "other users of this machine can read this secret: chmod go= it");
        }
        let key_log = Arc::new(KeyLog::load(folder.path().join(KEY_LOG_FILE)));
        // Bound before the store is opened, so that a taken port is found out at once.
        let addr = config.http.listen;
        let listener = TcpListener::bind(addr).await.map_err(|source| ServiceError::Listen { addr, source })?;
        let addr = listener.local_addr().map_err(|source| ServiceError::Listen { addr, source })?;
        let engine = Engine::start(config, folder, Arc::clone(&admin_keys)).await?;
        let throttle = |what| Arc::new(AuthThrottle::new(what));
        let backups = Arc::new(Backups::load(&config.store.path));
        let api = http::HttpApi {
            engine: Arc::clone(&engine),
            admin_keys: Arc::clone(&admin_keys),
            key_log: Arc::clone(&key_log),
            proxies: Arc::new(Proxies::new(config.http.proxies().unwrap_or_default())),
            auth_throttle: throttle("API keys"),
            webhook_throttle: throttle("webhook signatures and verify tokens"),
            graph: config.cloud_api(),
            backups: Arc::clone(&backups),
            max_body: usize::try_from(config.http.max_body.as_u64()).unwrap_or(usize::MAX),
            request_timeout: config.http.request_timeout,
            room: Arc::new(http::Room::new(config.outbound.max_wait)),
        };
        let http = http::serve(listener, limits(&config.http, descriptors), tls, api);
        let organisations = engine.outbox().map_or(0, |outbox| outbox.directory().orgs().len());
        tell_of_restore(&engine)?;
        let writer = tokio::spawn(keep(Arc::clone(&key_log), Arc::clone(&engine), backups)).abort_handle();
        tracing::info!(way = %config.cloud_api().way()?, base_url = %config.whatsapp.base_url, "how WhatsApp is called");
        if engine.outbox().is_ok() {
            tracing::info!(%addr, organisations, "ready");
        }
        Ok(Self { addr, scheme, engine, http, admin_keys, key_log, writer })
    }

    /// Where it listens, such as `http://127.0.0.1:8080`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr)
    }

    /// The admin key in force.
    pub fn admin_key(&self) -> Secret {
        self.admin_keys.current()
    }

    /// Returns what cannot be mended without a person, if that comes: the service must then be stopped.
    pub async fn failed(&self) -> String {
        self.engine.failed().await
    }

    /// What is behind the HTTP API.
    pub(crate) fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine)
    }

    /// Accepts nothing more, gives calls in flight `shutdown_grace`, records, and ends. Says whether the store was well.
    pub async fn stop(self) -> bool {
        self.http.drain();
        let (left, is_well) = self.engine.stop().await;
        self.http.stop().await;
        self.writer.abort();
        if let Ok(outbox) = self.engine.outbox() {
            self.key_log.write(|| outbox.directory().key_hashes()).await;
        }
        if left > 0 {
            tracing::warn!(
                left,
                "calls were cut off; their messages are settled by receipt or by policy after the next start"
            );
        }
        tracing::info!("stopped");
        is_well
    }
}

/// No clock that is set shows an earlier time.
const BUILT: Timestamp = Timestamp::from_secs(1_767_225_600);

/// What the HTTP server allows, with so many descriptors.
fn limits(http: &Http, descriptors: Descriptors) -> Limits {
    let patience = Patience { head: http.header_timeout, request: http.request_timeout, idle: http.idle_timeout };
    let (max_connections, spare_connections) = descriptors.connections(http.max_connections);
    Limits { max_connections, spare_connections, patience }
}

/// Says so where the clock cannot be right: all times would be wrong by it, and TLS fails.
fn tell_of_clock(now: Timestamp) {
    if now < BUILT || now == Timestamp::MAX {
        tracing::error!(%now, "this machine's clock is wrong: set it, and keep it set by NTP, before messages are sent by it");
    }
}

/// Says so at every start for as long as messages are held since a restore.
fn tell_of_restore(engine: &Engine) -> Result<(), StoreError> {
    let Ok(outbox) = engine.outbox() else { return Ok(()) };
    let marks =
        outbox.directory().orgs().iter().map(|org| outbox.store().restored(org.no)).collect::<Result<Vec<_>, _>>()?;
    let marks: Vec<_> = marks.into_iter().flatten().collect();
    if let Some(mark) = marks.first() {
        let held: u64 = marks.iter().map(|mark| mark.held).sum();
        tracing::warn!(
            organisations = marks.len(),
            held,
            backup = mark.backup,
            "the store was restored from a backup: messages of before are held, since the original may have sent them; \
             `twotick release` sends or cancels them"
        );
    }
    Ok(())
}

/// Writes down now and then when keys were last used, and lets backups go that nobody has fetched.
async fn keep(log: Arc<KeyLog>, engine: Arc<Engine>, backups: Arc<Backups>) {
    loop {
        tokio::time::sleep(WRITE_EVERY).await;
        if let Ok(outbox) = engine.outbox() {
            log.write(|| outbox.directory().key_hashes()).await;
        }
        backups.forget_old();
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
        StoreError::Locked | StoreError::OtherKey { .. } => "Give the master key that it was last used with",
    }
}

pub(crate) fn explain(error: &ChangeError) -> String {
    match error {
        ChangeError::Invalid(errors) => {
            let list: Vec<_> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
            list.join("; ")
        }
        ChangeError::NotFound
        | ChangeError::KeyTaken(_)
        | ChangeError::SenderTaken(_)
        | ChangeError::Down(_)
        | ChangeError::Unavailable => error.to_string(),
    }
}
