//! The right to make one call, the count of calls under way, and the promise of an answer. All are kept by their drop, so
//! that no crash and no early return can leak them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::outcome::Outcome;
use domain::{AttemptNo, Failure, Message, OurCode};
use tokio::sync::Notify;
use whatsapp::Answer;

use crate::address::Address;
use crate::message::MessageMsg;
use crate::provider::ProviderMsg;

/// The right to one send of a sender. Its drop tells the ProviderActor whether the token was used.
pub(crate) struct SendPermit {
    provider: Address<ProviderMsg>,
    /// Whose it is.
    message: Arc<Message>,
    is_used: bool,
    /// Whether what does not work is tried with it.
    is_probe: bool,
}

impl SendPermit {
    pub(crate) const fn new(provider: Address<ProviderMsg>, message: Arc<Message>, is_probe: bool) -> Self {
        Self { provider, message, is_used: false, is_probe }
    }

    /// The call is being made: the token is gone.
    pub(crate) const fn use_token(&mut self) {
        self.is_used = true;
    }
}

impl Drop for SendPermit {
    fn drop(&mut self) {
        let message = Arc::clone(&self.message);
        self.provider.send(ProviderMsg::Back { message, is_used: self.is_used, is_probe: self.is_probe });
    }
}

/// Counts what a drain must wait for: from the grant of a permit until the call's outcome is durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlightCounter {
    count: Arc<AtomicUsize>,
    is_drained: Arc<Notify>,
}

/// One send under way.
#[derive(Debug)]
pub(crate) struct InFlight(InFlightCounter);

impl InFlightCounter {
    pub(crate) fn begin(&self) -> InFlight {
        self.count.fetch_add(1, Ordering::SeqCst);
        InFlight(self.clone())
    }

    pub(crate) fn under_way(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Returns once nothing is under way.
    pub(crate) async fn drained(&self) {
        loop {
            // Registered before the count is read: a send that ends between the two still wakes us.
            let mut drained = std::pin::pin!(self.is_drained.notified());
            drained.as_mut().enable();
            if self.under_way() == 0 {
                return;
            }
            drained.await;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.is_drained.notify_waiters();
        }
    }
}

/// One call that a message waits for. Dropped without an answer, it says what is known: that nothing was sent, if the
/// call had not begun, else that its outcome is lost.
pub(crate) struct Call {
    attempt: AttemptNo,
    reply: Address<MessageMsg>,
    /// Whether the provider may have been called.
    has_begun: bool,
    /// Until it is answered.
    open: Option<(SendPermit, InFlight)>,
}

impl Call {
    pub(crate) const fn new(
        permit: SendPermit,
        in_flight: InFlight,
        attempt: AttemptNo,
        reply: Address<MessageMsg>,
    ) -> Self {
        Self { attempt, reply, has_begun: false, open: Some((permit, in_flight)) }
    }

    /// The provider is being called: the token is gone.
    pub(crate) const fn begin(&mut self) {
        self.has_begun = true;
        if let Some((permit, _)) = &mut self.open {
            permit.use_token();
        }
    }

    /// The call came back.
    pub(crate) fn answer(mut self, answer: Answer) {
        self.settle(answer);
    }

    fn settle(&mut self, answer: Answer) {
        if let Some((permit, in_flight)) = self.open.take() {
            drop(permit);
            self.reply.send(MessageMsg::Settled { attempt: self.attempt, answer: Box::new(answer), in_flight });
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let outcome = if self.has_begun {
            Outcome::Unknown(Failure::new(OurCode::NoAnswer, "the call ended without an answer"))
        } else {
            Outcome::NotSent(Failure::new(OurCode::NotCalled, "the call could not be made"))
        };
        self.settle(Answer::none(outcome, None));
    }
}
