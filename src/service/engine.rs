//! The part of the service that can be started again while the HTTP API goes on answering: the store, and the runtime over it.
//!
//! If a write fails, nothing more is accepted or sent, and reads are answered from what there is. Once the disk takes writes
//! again, the store is opened again, for which reads pause, and all goes on: nothing that was acknowledged is lost by it.

use std::convert::Infallible;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actors::{Clock, Directory, OrgChange, Outbox};
use arc_swap::{ArcSwap, ArcSwapOption};
use domain::audit::By;
use domain::backoff::Backoff;
use store::folder::{FolderError, is_there, missing};
use store::{Committer, DataFolder, StoreError};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use whatsapp::CloudApi;

use super::admin_key::AdminKeys;
use super::master_key;
use super::{ServiceError, explain};
use crate::config::{Config, IS_ADMIN_KEY};

/// How long until it is looked whether the disk takes writes again, at first and at most.
const LOOK_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often it is looked whether the data folder is still there.
const LOOK_FOR_FOLDER_EVERY: Duration = Duration::from_secs(1);
/// How long those who read from a store that is closed may take to let go of it, and how often that is looked at.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What the disk must have room for before the store is opened again. sled asks for whole segments.
const ROOM: usize = 4 * 1024 * 1024;
/// What is so once the folder, or a file of its store, was removed.
pub(crate) const GONE: &str =
    "what was acknowledged is gone with its data folder unless that is put back or restored from a backup";
/// Why there is no outbox.
const OPENING: &str = "the store is being opened again";
const FULL: &str = "the disk of the data folder is full: make room, and the start goes on by itself";
/// Written and removed to find that out.
const PROBE_FILE: &str = "room.probe";

/// What to do about a number that is another organisation's, also where two are to swap theirs: organisations are put one
/// after the other, and none gets what another still has.
const TWO_STEPS: &str = "leave it out there and have the configuration read again (SIGHUP), then name it here and have it read \
                         once more";

/// A store and its runtime, started again when the store fails.
pub(crate) struct Engine {
    config: ArcSwap<Config>,
    folder: PathBuf,
    admin_keys: Arc<AdminKeys>,
    outbox: ArcSwapOption<Outbox>,
    /// Why there is none, while there is none.
    waits_for: ArcSwap<&'static str>,
    /// Whether what the configuration declares is in the store.
    is_declared: AtomicBool,
    /// Held by who changes the configuration.
    turn: tokio::sync::Mutex<()>,
    /// Turns to what cannot be mended without a person.
    fatal: watch::Sender<Option<String>>,
    mender: Mutex<Option<AbortHandle>>,
}

impl Engine {
    /// Starts over the store in `folder`; where its disk is full, once there is room.
    pub(crate) async fn start(
        config: &Config,
        folder: DataFolder,
        admin_keys: Arc<AdminKeys>,
    ) -> Result<Arc<Self>, ServiceError> {
        let path = folder.path().to_owned();
        let opened = match open(config, folder).await {
            Ok(outbox) => match declare(config, &outbox, &admin_keys).await {
                Ok(()) => Some(outbox),
                Err(error) => {
                    outbox.stop(Duration::ZERO).await;
                    return Err(error);
                }
            },
            Err(ServiceError::Store(error)) if error.is_full() => {
                tracing::error!(%error, "the disk of the data folder is full: make room, and the start goes on by itself");
                None
            }
            Err(error) => return Err(error),
        };
        let engine = Arc::new(Self {
            config: ArcSwap::from_pointee(config.clone()),
            folder: path,
            admin_keys,
            is_declared: AtomicBool::new(opened.is_some()),
            waits_for: ArcSwap::from_pointee(if opened.is_some() { OPENING } else { FULL }),
            outbox: ArcSwapOption::from_pointee(opened),
            turn: tokio::sync::Mutex::default(),
            fatal: watch::Sender::new(None),
            mender: Mutex::default(),
        });
        let mender = tokio::spawn(Arc::clone(&engine).watch()).abort_handle();
        *engine.mender.lock().unwrap_or_else(PoisonError::into_inner) = Some(mender);
        Ok(engine)
    }

    /// The outbox; why there is none, while the store is opened again.
    pub(crate) fn outbox(&self) -> Result<Outbox, String> {
        match self.outbox.load_full() {
            Some(outbox) => Ok((*outbox).clone()),
            None => Err((**self.waits_for.load()).to_owned()),
        }
    }

    /// Returns what cannot be mended without a person, if that comes.
    pub(crate) async fn failed(&self) -> String {
        let mut fatal = self.fatal.subscribe();
        loop {
            if let Some(reason) = fatal.borrow_and_update().clone() {
                return reason;
            }
            if fatal.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// From now on this configuration holds, as far as it can change while the service runs, and the organisations that it
    /// declares are put. One that cannot be used changes nothing.
    pub(crate) async fn reconfigure(&self, mut config: Config) -> Result<(), ServiceError> {
        let _turn = self.turn.lock().await;
        let outbox = self.outbox().map_err(ServiceError::Unready)?;
        for org in &config.orgs {
            let refused = |reason: String| ServiceError::Declared { id: org.id.clone(), reason };
            let (id, change) = org.resolve().map_err(refused)?;
            let OrgChange::Declare(put, _) = change else { continue };
            for number in put.senders.iter().map(|sender| &sender.phone_number_id) {
                let owner = outbox.directory().owner(number).filter(|owner| owner.id != id);
                if let Some(owner) = owner {
                    let reason = format!("phone number id {number} belongs to {}; {TWO_STEPS}", owner.id);
                    return Err(refused(reason));
                }
            }
        }
        // The store stays under its key, also where it must be opened again.
        config.admin.master_key = self.config.load().admin.master_key.clone();
        declare(&config, &outbox, &self.admin_keys).await?;
        outbox.reconfigure(config.settings());
        self.config.store(Arc::new(config));
        Ok(())
    }

    /// Takes nothing more, gives calls in flight `outbound.shutdown_grace`, records, and ends. Returns how many calls were cut
    /// off, and whether the store was well to the end.
    pub(crate) async fn stop(&self) -> (usize, bool) {
        let grace = self.config.load().outbound.shutdown_grace;
        if let Some(mender) = self.mender.lock().unwrap_or_else(PoisonError::into_inner).take() {
            mender.abort();
        }
        match self.outbox() {
            Ok(outbox) => {
                let left = outbox.stop(grace).await;
                (left, outbox.health().borrow().is_none())
            }
            Err(_) => (0, false),
        }
    }

    async fn watch(self: Arc<Self>) {
        if self.outbox().is_err() && !self.mend(None).await {
            return;
        }
        loop {
            let Ok(outbox) = self.outbox() else { return };
            let reason = tokio::select! {
                reason = outbox.failed() => reason,
                never = look_after(outbox.committer()) => match never {},
            };
            let folder = self.folder.clone();
            let kept = match tokio::task::spawn_blocking(move || is_there(&folder)).await {
                Ok(false) => GONE,
                Ok(true) | Err(_) => "what was acknowledged stays in the data folder",
            };
            tracing::error!(
                %reason,
                "nothing is accepted or sent until this is mended; reads are answered, {kept}, and it is tried again by itself"
            );
            if !self.mend(Some(outbox)).await {
                return;
            }
        }
    }

    /// Starts again as soon as the disk takes writes and the store is there. Says whether it could.
    async fn mend(&self, mut broken: Option<Outbox>) -> bool {
        let mut pauses = Backoff::new(LOOK_AFTER.0, LOOK_AFTER.1);
        loop {
            tokio::time::sleep(pauses.next_pause()).await;
            let folder = self.folder.clone();
            let looked = tokio::task::spawn_blocking(move || (missing(&folder), has_room(&folder))).await;
            let (missing, room) = looked.unwrap_or_else(|error| (None, Err(io::Error::other(error))));
            if let Some(file) = missing {
                tracing::warn!(
                    file = %file.display(),
                    "this file of the store is gone: put it back, or stop the service and restore the folder from a backup"
                );
                continue;
            }
            if let Err(error) = room {
                tracing::warn!(%error, "the disk of the data folder does not take writes yet; it is tried again by itself");
                continue;
            }
            self.waits_for.store(Arc::new(OPENING));
            if let Some(broken) = broken.take() {
                self.outbox.store(None);
                broken.stop(Duration::ZERO).await;
            }
            match self.start_again().await {
                Ok(outbox) => {
                    self.outbox.store(Some(Arc::new(outbox)));
                    tracing::info!("mended: the store is open again, and all goes on");
                    return true;
                }
                Err(error) if is_passing(&error) => {
                    tracing::warn!(%error, "the store does not open yet");
                }
                Err(error) => {
                    self.fatal.send_replace(Some(error.to_string()));
                    return false;
                }
            }
        }
    }

    async fn start_again(&self) -> Result<Outbox, ServiceError> {
        let deadline = Instant::now() + LET_GO_WITHIN;
        let folder = loop {
            // What was removed may come back; an empty folder in its place is not taken for the store.
            match DataFolder::open_existing(&self.folder) {
                // The last of those who read from the old one lets go in a moment.
                Err(FolderError::InUse(_)) if Instant::now() < deadline => tokio::time::sleep(LOOK_EVERY).await,
                folder => break folder?,
            }
        };
        let config = self.config.load_full();
        let outbox = open(&config, folder).await?;
        if !self.is_declared.load(Ordering::Relaxed) {
            if let Err(error) = declare(&config, &outbox, &self.admin_keys).await {
                outbox.stop(Duration::ZERO).await;
                return Err(error);
            }
            self.is_declared.store(true, Ordering::Relaxed);
        }
        Ok(outbox)
    }
}

/// Opens the store and starts the runtime over it.
async fn open(config: &Config, folder: DataFolder) -> Result<Outbox, ServiceError> {
    let identity = folder.identity().map_err(ServiceError::Thread)?;
    let cache = config.store.cache.as_u64();
    let master_key = config.admin.master_key.clone();
    let open = move || {
        let path = folder.path().to_owned();
        let store = master_key::unlock(store::open(folder, cache)?, &master_key, &path)?;
        Ok::<_, ServiceError>((store, identity.with_store(&path).map_err(ServiceError::Thread)?))
    };
    let opened = tokio::task::spawn_blocking(open).await;
    let (store, identity) = opened.map_err(|error| ServiceError::Thread(io::Error::other(error)))??;
    let committer = Committer::start_in(&store, Some(identity)).map_err(ServiceError::Thread)?;
    let provider = CloudApi::new(config.cloud_api())?;
    Ok(Outbox::start(config.settings(), store, committer, Arc::new(provider), Clock::system()).await?)
}

/// Sees to it that a folder that was removed or moved is noticed, also while nothing is written.
async fn look_after(committer: &Committer) -> Infallible {
    loop {
        tokio::time::sleep(LOOK_FOR_FOLDER_EVERY).await;
        let committer = committer.clone();
        // A disk that hangs holds up this, and nothing else.
        let _ = tokio::task::spawn_blocking(move || committer.look()).await;
    }
}

async fn declare(config: &Config, outbox: &Outbox, admin_keys: &AdminKeys) -> Result<(), ServiceError> {
    let now = outbox.clock().now();
    for org in &config.orgs {
        let declared = |reason: String| ServiceError::Declared { id: org.id.clone(), reason };
        let (id, change) = org.resolve().map_err(declared)?;
        if let OrgChange::Declare(_, keys) = &change
            && let Some(n) = keys.iter().position(|key| admin_keys.opens(&key.hash, now))
        {
            return Err(declared(format!("api_keys[{n}] is {IS_ADMIN_KEY}")));
        }
        outbox.put_org(id, change, By::Config).await.map_err(|error| declared(explain(&error)))?;
    }
    // The admin key may be a new one, and the organisation's of long ago.
    match outbox.directory().authenticate(&Directory::hash(admin_keys.current().expose()), now) {
        Ok(identity) => Err(ServiceError::AdminKey(format!(
            "it is also the API key {:?} of organisation {}, whose holder could then do everything: give another admin key",
            identity.key.name, identity.org.id
        ))),
        Err(_) => Ok(()),
    }
}

/// Whether waiting may help.
const fn is_passing(error: &ServiceError) -> bool {
    match error {
        ServiceError::Store(StoreError::Backend { .. })
        | ServiceError::Folder(_)
        | ServiceError::Thread(_)
        | ServiceError::Runtime(_)
        | ServiceError::Declared { .. } => true,
        ServiceError::Store(
            StoreError::Damaged { .. }
            | StoreError::Lost { .. }
            | StoreError::Contradicts { .. }
            | StoreError::Newer { .. }
            | StoreError::Locked
            | StoreError::OtherKey { .. },
        )
        | ServiceError::MasterKey(_)
        | ServiceError::Listen { .. }
        | ServiceError::AdminKey(_)
        | ServiceError::CloudApi(_)
        | ServiceError::Unready(_)
        | ServiceError::Tls(_) => false,
    }
}

/// Whether the disk takes as much as the store will ask for.
pub(crate) fn has_room(folder: &Path) -> io::Result<()> {
    let path = folder.join(PROBE_FILE);
    let written = std::fs::File::create(&path).and_then(|mut file| {
        file.write_all(&vec![1; ROOM])?;
        file.sync_all()
    });
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}
