//! The right to make one call, and the count of calls under way. Both are given back when dropped, so that no crash and
//! no early return can leak them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::provider::ProviderMsg;
use crate::vitals::Address;

/// One of a sender's slots. Its drop tells the ProviderActor whether its token was spent.
pub(crate) struct Turn {
    provider: Address<ProviderMsg>,
    spent: bool,
}

impl Turn {
    pub(crate) const fn new(provider: Address<ProviderMsg>) -> Self {
        Self { provider, spent: false }
    }

    /// The call is being made: the token is gone.
    pub(crate) const fn spend(&mut self) {
        self.spent = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.provider.send(ProviderMsg::Back { spent: self.spent });
    }
}

/// Counts what a drain must wait for: from the grant of a turn until the call's outcome is durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flights {
    count: Arc<AtomicUsize>,
    landed: Arc<Notify>,
}

/// One send under way.
#[derive(Debug)]
pub(crate) struct Flight(Flights);

impl Flights {
    pub(crate) fn take_off(&self) -> Flight {
        self.count.fetch_add(1, Ordering::SeqCst);
        Flight(self.clone())
    }

    pub(crate) fn under_way(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Returns once nothing is under way.
    pub(crate) async fn all_landed(&self) {
        loop {
            // Registered before the count is read: a landing between the two still wakes us.
            let mut landed = std::pin::pin!(self.landed.notified());
            landed.as_mut().enable();
            if self.under_way() == 0 {
                return;
            }
            landed.await;
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.landed.notify_waiters();
        }
    }
}
