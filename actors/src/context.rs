//! What every actor is given: the settings, the store, the road to Meta, the clock, and what is counted over all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, Guard};
use store::{Committer, Store};
use tokio::sync::Semaphore;
use whatsapp::Provider;

use crate::admission::Entrance;
use crate::clock::Clock;
use crate::directory::Directory;
use crate::send_permit::InFlightCounter;
use crate::settings::Settings;
use crate::ways::Ways;
use crate::webhook_health::WebhookHealth;

/// Shared by all actors of one outbox.
pub(crate) struct Context {
    settings: ArcSwap<Settings>,
    pub(crate) store: Store,
    pub(crate) committer: Committer,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) clock: Clock,
    pub(crate) directory: Arc<Directory>,
    pub(crate) in_flight: InFlightCounter,
    pub(crate) webhook_health: WebhookHealth,
    pub(crate) ways: Ways,
    /// MessageActors of all organisations.
    pub(crate) residents: AtomicUsize,
    /// Requests to accept a message pass here.
    pub(crate) entrance: Entrance,
    /// One for each other request that waits for an actor: webhooks, people's wishes, changes, questions.
    pub(crate) asking: Arc<Semaphore>,
    /// How often an actor was found stuck.
    pub(crate) stuck: AtomicU64,
    draining: AtomicBool,
    /// Has no permits: it is closed when calls under way are to end. It wakes them in their order, which a watch does not.
    cut: Arc<Semaphore>,
    #[cfg(feature = "faults")]
    pub(crate) faults: Arc<crate::faults::Faults>,
}

impl Context {
    pub(crate) fn new(
        settings: Settings,
        store: Store,
        committer: Committer,
        provider: Arc<dyn Provider>,
        clock: Clock,
    ) -> Self {
        let limits = &settings.limits;
        Self {
            directory: Arc::new(Directory::new(limits.max_accepting)),
            entrance: Entrance::new(limits.max_accepting_in_all),
            asking: Arc::new(Semaphore::new(limits.max_asking)),
            settings: ArcSwap::from_pointee(settings),
            store,
            committer,
            ways: Ways::new(provider.address()),
            provider,
            clock,
            in_flight: InFlightCounter::default(),
            webhook_health: WebhookHealth::default(),
            residents: AtomicUsize::new(0),
            stuck: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            cut: Arc::new(Semaphore::new(0)),
            #[cfg(feature = "faults")]
            faults: Arc::default(),
        }
    }

    /// The settings in force: they may change while the outbox runs.
    pub(crate) fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    pub(crate) fn replace_settings(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// From now on nothing new is accepted and no send permit is given.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Ends the calls that are under way, whatever comes of them.
    pub(crate) fn cut_off(&self) {
        self.cut.close();
    }

    /// Returns once they are to end.
    pub(crate) fn is_cut_off(&self) -> impl Future<Output = ()> + use<> {
        let cut = Arc::clone(&self.cut);
        async move {
            // Ends only by the close.
            let _ = cut.acquire_owned().await;
        }
    }

    /// Whether a send may begin: it must also be possible to record it.
    pub(crate) fn may_send(&self) -> bool {
        self.settings().enabled && self.trouble().is_none()
    }

    /// Why nothing can be taken or sent now, if so.
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.is_draining() {
            return Some("it is stopping".into());
        }
        if let Some(error) = &*self.committer.health().borrow() {
            return Some(if error.is_full() {
                "the store takes no writes, since its disk is full: make room, and it goes on by itself".into()
            } else {
                format!("the store takes no writes: {error}; it is tried again by itself")
            });
        }
        let waited = self.committer.writing_for().filter(|waited| *waited > self.settings().limits.max_flush)?;
        Some(format!("the store's disk has not answered for {} s", waited.as_secs()))
    }
}
