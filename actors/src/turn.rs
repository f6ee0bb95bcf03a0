//! The right to make one call, the count of calls under way, and the promise of an answer. All are kept by their drop, so
//! that no crash and no early return can leak them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::outcome::Outcome;
use domain::{AttemptNo, Failure, Message};
use tokio::sync::Notify;
use whatsapp::Answer;

use crate::address::Address;
use crate::message::MessageMsg;
use crate::provider::ProviderMsg;

/// One of a sender's slots. Its drop tells the ProviderActor whether its token was spent.
pub(crate) struct Turn {
    provider: Address<ProviderMsg>,
    /// Whose it is.
    message: Arc<Message>,
    spent: bool,
    /// Whether what does not work is tried with it.
    is_probe: bool,
}

impl Turn {
    pub(crate) const fn new(provider: Address<ProviderMsg>, message: Arc<Message>, is_probe: bool) -> Self {
        Self { provider, message, spent: false, is_probe }
    }

    /// The call is being made: the token is gone.
    pub(crate) const fn spend(&mut self) {
        self.spent = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let message = Arc::clone(&self.message);
        self.provider.send(ProviderMsg::Back { message, spent: self.spent, is_probe: self.is_probe });
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

/// One call that a message waits for. Dropped without an answer, it says what is known: that nothing was sent, if the
/// call had not begun, else that its outcome is lost.
pub(crate) struct Call {
    attempt: AttemptNo,
    reply: Address<MessageMsg>,
    /// Whether the provider may have been called.
    has_begun: bool,
    /// Until it is answered.
    open: Option<(Turn, Flight)>,
}

impl Call {
    pub(crate) const fn new(turn: Turn, flight: Flight, attempt: AttemptNo, reply: Address<MessageMsg>) -> Self {
        Self { attempt, reply, has_begun: false, open: Some((turn, flight)) }
    }

    /// The provider is being called: the token is gone.
    pub(crate) const fn begin(&mut self) {
        self.has_begun = true;
        if let Some((turn, _)) = &mut self.open {
            turn.spend();
        }
    }

    /// The call came back.
    pub(crate) fn answer(mut self, answer: Answer) {
        self.settle(answer);
    }

    fn settle(&mut self, answer: Answer) {
        if let Some((turn, flight)) = self.open.take() {
            drop(turn);
            self.reply.send(MessageMsg::Settled { attempt: self.attempt, answer: Box::new(answer), flight });
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let outcome = if self.has_begun {
            Outcome::Unknown(Failure::new("NO_ANSWER", "the call ended without an answer"))
        } else {
            Outcome::NotSent(Failure::new("NOT_CALLED", "the call could not be made"))
        };
        self.settle(Answer::none(outcome, None));
    }
}
