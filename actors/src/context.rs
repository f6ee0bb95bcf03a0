//! What every actor is given: the settings, the store, the road to Meta, the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::{Committer, Store};
use whatsapp::Provider;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::settings::Settings;
use crate::turn::Flights;

/// Shared by all actors of one outbox.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) committer: Committer,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) clock: Clock,
    pub(crate) directory: Arc<Directory>,
    pub(crate) flights: Flights,
    draining: AtomicBool,
}

impl Context {
    pub(crate) fn new(
        settings: Settings,
        store: Store,
        committer: Committer,
        provider: Arc<dyn Provider>,
        clock: Clock,
    ) -> Self {
        Self {
            directory: Arc::new(Directory::new(settings.limits.max_accepting)),
            settings,
            store,
            committer,
            provider,
            clock,
            flights: Flights::default(),
            draining: AtomicBool::new(false),
        }
    }

    /// From now on nothing new is accepted and no turn is given.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Whether a send may begin: it must also be possible to record it.
    pub(crate) fn may_send(&self) -> bool {
        self.settings.enabled && !self.is_draining() && self.committer.health().borrow().is_none()
    }
}
