//! The part of the service that can be started again while the front door stays open: the store, and the runtime over it.
//!
//! If a write fails, nothing more is accepted or sent, and reads are answered from what there is. Once the disk takes writes
//! again, the store is opened again and all goes on: nothing that was acknowledged is lost by it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actors::{Clock, OrgChange, Outbox};
use arc_swap::{ArcSwap, ArcSwapOption};
use domain::audit::By;
use domain::gate::Backoff;
use store::{Committer, DataFolder, StoreError};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use whatsapp::CloudApi;

use crate::config::Config;
use crate::master_key;
use crate::service::{ServiceError, explain};

/// How long until it is looked whether the disk takes writes again, at first and at most.
const LOOK_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// What the disk must have room for before the store is opened again. sled asks for whole segments.
const ROOM: usize = 4 * 1024 * 1024;
/// Written and removed to find that out.
const PROBE_FILE: &str = "room.probe";

/// A store and its runtime, started again when the store fails.
pub(crate) struct Engine {
    config: ArcSwap<Config>,
    folder: PathBuf,
    outbox: ArcSwapOption<Outbox>,
    /// Why there is no outbox now.
    trouble: Mutex<String>,
    /// Turns to what cannot be mended without a person.
    fatal: watch::Sender<Option<String>>,
    mender: Mutex<Option<AbortHandle>>,
}

impl Engine {
    /// Starts over the store in `folder`.
    pub(crate) async fn start(config: &Config, folder: DataFolder) -> Result<Arc<Self>, ServiceError> {
        let path = folder.path().to_owned();
        let outbox = start(config, folder).await?;
        let engine = Arc::new(Self {
            config: ArcSwap::from_pointee(config.clone()),
            folder: path,
            outbox: ArcSwapOption::from_pointee(outbox),
            trouble: Mutex::default(),
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
            None => Err(self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()),
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
        let outbox = self.outbox().map_err(ServiceError::Unready)?;
        for org in &config.orgs {
            let refused = |reason: String| ServiceError::Declared { id: org.id.clone(), reason };
            let (id, change) = org.resolve().map_err(refused)?;
            let OrgChange::Declare(put, _) = change else { continue };
            for number in put.senders.iter().map(|sender| &sender.phone_number_id) {
                let owner = outbox.directory().owner(number).filter(|owner| owner.id != id);
                // Another declared one may be about to give it up.
                if let Some(owner) = owner.filter(|owner| config.orgs.iter().all(|org| org.id != owner.id.as_str())) {
                    return Err(refused(format!("phone number id {number} belongs to {}", owner.id)));
                }
            }
        }
        // The store stays under its key, also where it must be opened again.
        config.admin.master_key = self.config.load().admin.master_key.clone();
        outbox.reconfigure(config.settings());
        let declared = declare(&config, &outbox).await;
        self.config.store(Arc::new(config));
        declared
    }

    /// Takes nothing more, gives calls in flight `grace`, records, and ends. Returns how many calls were cut off, and whether
    /// the store was well.
    pub(crate) async fn stop(&self, grace: Duration) -> (usize, bool) {
        if let Some(mender) = self.mender.lock().unwrap_or_else(PoisonError::into_inner).take() {
            mender.abort();
        }
        match self.outbox() {
            Ok(outbox) => {
                let is_well = outbox.health().borrow().is_none();
                (outbox.stop(grace).await, is_well)
            }
            Err(_) => (0, false),
        }
    }

    async fn watch(self: Arc<Self>) {
        loop {
            let Ok(outbox) = self.outbox() else { return };
            let reason = outbox.failed().await;
            tracing::error!(
                %reason,
                "nothing is accepted or sent until this is mended; reads are answered, nothing acknowledged is lost, and it is tried again by itself"
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
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = "the store is opened again".into();
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
                    *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
                }
                Err(error) => {
                    self.fatal.send_replace(Some(error.to_string()));
                    return false;
                }
            }
        }
    }

    async fn start_again(&self) -> Result<Outbox, ServiceError> {
        let folder = DataFolder::open(&self.folder)?;
        start(&self.config.load(), folder).await
    }
}

/// Opens the store, starts the runtime and puts the organisations that the configuration declares.
async fn start(config: &Config, folder: DataFolder) -> Result<Outbox, ServiceError> {
    let cache = config.store.cache.as_u64();
    let master_key = config.admin.master_key.clone();
    let open = move || {
        let path = folder.path().to_owned();
        Ok::<_, ServiceError>(master_key::unlock(store::open(folder, cache)?, &master_key, &path)?)
    };
    let store = tokio::task::spawn_blocking(open).await;
    let store = store.map_err(|error| ServiceError::Thread(io::Error::other(error)))??;
    let committer = Committer::start(&store).map_err(ServiceError::Thread)?;
    let provider = CloudApi::new(config.cloud_api())?;
    let outbox = Outbox::start(config.settings(), store, committer, Arc::new(provider), Clock::system()).await?;
    declare(config, &outbox).await?;
    Ok(outbox)
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
