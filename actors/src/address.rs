//! Where to send messages to an actor.

use std::sync::Arc;

use ractor::{ActorRef, Message, MessagingErr};

use crate::vitals::Vitals;

/// An actor's mailbox, and its vitals, which count what is sent.
#[derive(Debug)]
pub(crate) struct Address<M> {
    actor: ActorRef<M>,
    vitals: Arc<Vitals>,
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), vitals: Arc::clone(&self.vitals) }
    }
}

impl<M: Message> Address<M> {
    pub(crate) const fn new(actor: ActorRef<M>, vitals: Arc<Vitals>) -> Self {
        Self { actor, vitals }
    }

    /// Sends a message. To an actor that has ended it is lost, as to one that ends before it handles it: whoever needs an
    /// answer holds a reply channel that closes, or a timer.
    pub(crate) fn send(&self, msg: M) {
        let _ = self.try_send(msg);
    }

    /// Sends a message; gives it back if the actor takes no more.
    pub(crate) fn try_send(&self, msg: M) -> Result<(), Option<M>> {
        self.vitals.posted();
        self.actor.cast(msg).map_err(|error| {
            self.vitals.taken();
            match error {
                MessagingErr::SendErr(msg) => Some(msg),
                MessagingErr::ChannelClosed | MessagingErr::InvalidActorType => None,
            }
        })
    }

    pub(crate) const fn actor(&self) -> &ActorRef<M> {
        &self.actor
    }

    pub(crate) const fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }
}
