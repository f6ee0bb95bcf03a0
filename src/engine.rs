//! The part of the service that can be started again while the front door stays open: the store, and the runtime over it.
//!
//! If a write fails, nothing more is accepted or sent, and reads are answered from what there is. Once the disk takes writes
//! again, the store is opened again, for which reads pause, and all goes on: nothing that was acknowledged is lost by it.

use std::convert::Infallible;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actors::{Clock, OrgChange, Outbox};
use arc_swap::{ArcSwap, ArcSwapOption};
use domain::audit::By;
use domain::gate::Backoff;
use store::folder::FolderError;
use store::{Committer, DataFolder, StoreError};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use whatsapp::CloudApi;

use crate::config::Config;
use crate::master_key;
use crate::service::{ServiceError, explain};

/// How long until it is looked whether the disk takes writes again, at first and at most.
const LOOK_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often it is looked whether the data folder is still there.
const LOOK_FOR_FOLDER_EVERY: Duration = Duration::from_secs(1);
/// How long those who read from a store that is closed may take to let go of it, and how often that is looked at.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What the disk must have room for before the store is opened again. sled asks for whole segments.
const ROOM: usize = 4 * 1024 * 1024;
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
    outbox: ArcSwapOption<Outbox>,
    /// Held by who changes the configuration.
    turn: tokio::sync::Mutex<()>,
    /// Turns to what cannot be mended without a person.
    fatal: watch::Sender<Option<String>>,
    mender: Mutex<Option<AbortHandle>>,
}

impl Engine {
    /// Starts over the store in `folder`.
    pub(crate) async fn start(config: &Config, folder: DataFolder) -> Result<Arc<Self>, ServiceError> {
        let path = folder.path().to_owned();
        let outbox = open(config, folder).await?;
        if let Err(error) = declare(config, &outbox).await {
            outbox.stop(Duration::ZERO).await;
            return Err(error);
        }
        let engine = Arc::new(Self {
            config: ArcSwap::from_pointee(config.clone()),
            folder: path,
            outbox: ArcSwapOption::from_pointee(outbox),
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
            None => Err("the store is being opened again".into()),
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
        declare(&config, &outbox).await?;
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
        loop {
            let Ok(outbox) = self.outbox() else { return };
            let reason = tokio::select! {
                reason = outbox.failed() => reason,
                never = look_after(outbox.committer()) => match never {},
            };
            tracing::error!(
                %reason,
                "nothing is accepted or sent until this is mended; reads are answered, what was acknowledged stays in the data folder, and it is tried again by itself"
            );
            if !self.mend(outbox).await {
                return;
            }
        }
    }

    /// Starts again as soon as the disk takes writes. Says whether it could.
    async fn mend(&self, broken: Outbox) -> bool {
        let mut pauses = Backoff::new(LOOK_AFTER.0, LOOK_AFTER.1);
        let mut broken = Some(broken);
        loop {
            tokio::time::sleep(pauses.next_pause()).await;
            let folder = self.folder.clone();
            let room = tokio::task::spawn_blocking(move || has_room(&folder)).await;
            if let Err(error) = room.unwrap_or_else(|error| Err(io::Error::other(error))) {
                tracing::warn!(%error, "the disk does not take writes yet");
                continue;
            }
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
        // What the configuration declares is in the store.
        open(&self.config.load(), folder).await
    }
}

/// Opens the store and starts the runtime over it.
async fn open(config: &Config, folder: DataFolder) -> Result<Outbox, ServiceError> {
    let place = folder.place().map_err(ServiceError::Thread)?;
    let cache = config.store.cache.as_u64();
    let master_key = config.admin.master_key.clone();
    let open = move || {
        let path = folder.path().to_owned();
        Ok::<_, ServiceError>(master_key::unlock(store::open(folder, cache)?, &master_key, &path)?)
    };
    let store = tokio::task::spawn_blocking(open).await;
    let store = store.map_err(|error| ServiceError::Thread(io::Error::other(error)))??;
    let committer = Committer::start_in(&store, Some(place)).map_err(ServiceError::Thread)?;
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

async fn declare(config: &Config, outbox: &Outbox) -> Result<(), ServiceError> {
    for org in &config.orgs {
        let declared = |reason: String| ServiceError::Declared { id: org.id.clone(), reason };
        let (id, change) = org.resolve().map_err(declared)?;
        outbox.put_org(id, change, By::Config).await.map_err(|error| declared(explain(&error)))?;
    }
    Ok(())
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
fn has_room(folder: &Path) -> io::Result<()> {
    let path = folder.join(PROBE_FILE);
    let written = std::fs::File::create(&path).and_then(|mut file| {
        file.write_all(&vec![1; ROOM])?;
        file.sync_all()
    });
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}
