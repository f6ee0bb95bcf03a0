//! Whether WhatsApp is reached: the circuits that all senders of the process share, so that one probe serves all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::circuit::{self, Closed, Extent, Outage, Permission};
use domain::outcome::Outcome;
use domain::{Failure, OrgId, PhoneNumberId, Timestamp};
use tokio::sync::Notify;
use whatsapp::Answer;

/// The circuits of the way to WhatsApp.
pub(crate) struct Ways {
    /// Where calls go, for people.
    address: String,
    ways: Mutex<circuit::Ways<PhoneNumberId>>,
    /// Counts the changes after which a call may go sooner than was thought.
    changes: AtomicU64,
    changed: Notify,
    /// What else limits the senders, as they tell.
    limits: Mutex<HashMap<PhoneNumberId, SenderLimits>>,
}

/// What Meta's refusals do to a sender for now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderLimits {
    /// It is to slow down or stop.
    pub throttle: Option<Throttle>,
    /// When a sender that Meta's refusals paused is tried next.
    pub next_probe: Option<Timestamp>,
}

/// Meta refuses more of a sender's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Meta's code.
    pub code: i64,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again.
    pub until: Timestamp,
}

impl Ways {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            ways: Mutex::default(),
            changes: AtomicU64::new(0),
            changed: Notify::new(),
            limits: Mutex::default(),
        }
    }

    /// A sender tells what limits it.
    pub(crate) fn note(&self, sender: &PhoneNumberId, limits: &SenderLimits) {
        let mut all = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if *limits == SenderLimits::default() {
            all.remove(sender);
        } else {
            all.insert(sender.clone(), limits.clone());
        }
    }

    /// What limits a sender besides the way.
    pub(crate) fn limits(&self, sender: &PhoneNumberId) -> SenderLimits {
        let all = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(sender).cloned().unwrap_or_default()
    }

    fn ways(&self) -> MutexGuard<'_, circuit::Ways<PhoneNumberId>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a call of a sender.
    pub(crate) fn ask(&self, sender: &PhoneNumberId, now: Timestamp) -> Permission {
        self.ways().ask(sender, now)
    }

    /// The probe that was granted to a sender was not made.
    pub(crate) fn unused(&self, sender: &PhoneNumberId, now: Timestamp) {
        self.ways().unused(sender, now);
        self.tell_waiting();
    }

    /// A person says that a sender is to try again now.
    pub(crate) fn try_now(&self, sender: &PhoneNumberId, now: Timestamp) {
        self.ways().try_now(sender, now);
        self.tell_waiting();
    }

    fn tell_waiting(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// How often what keeps calls back has changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Returns once it has changed more often than `seen`.
    pub(crate) async fn changed(&self, seen: u64) {
        let mut changed = std::pin::pin!(self.changed.notified());
        // Registered before it is looked again: a change between the two still wakes us.
        changed.as_mut().enable();
        if self.changes() == seen {
            changed.await;
        }
    }

    /// What keeps a sender's calls back.
    pub(crate) fn outage(&self, sender: &PhoneNumberId, now: Timestamp) -> Option<Outage> {
        self.ways().outage(sender, now)
    }

    /// What keeps all calls back.
    pub(crate) fn outage_of_all(&self, now: Timestamp) -> Option<Outage> {
        self.ways().outage_of_all(now)
    }

    /// Where calls go.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Learns from an answer, and takes from the message what is not its fault.
    pub(crate) fn learn(&self, org: &OrgId, sender: &PhoneNumberId, answer: &mut Answer, now: Timestamp) {
        let Some(fault) = answer.fault else {
            if matches!(answer.outcome, Outcome::Accepted(_) | Outcome::Refused(_)) {
                let closed = self.ways().worked(sender);
                closed.into_iter().flatten().for_each(|closed| self.tell_closed(org, sender, closed, now));
            }
            return;
        };
        let Some(failure) = failure(&answer.outcome) else { return };
        let at_least = answer.retry_after.unwrap_or_default();
        let (is_own_luck, opened) = self.ways().failed(sender, fault, &failure, at_least, now);
        if !is_own_luck {
            answer.outcome = match &answer.outcome {
                Outcome::Unknown(_) => Outcome::CutOff(failure.clone()),
                Outcome::Accepted(_)
                | Outcome::Refused(_)
                | Outcome::NotSent(_)
                | Outcome::Unreachable(_)
                | Outcome::CutOff(_) => Outcome::Unreachable(failure.clone()),
            };
        }
        if let Some(extent) = opened {
            self.tell_opened(org, sender, extent, &failure);
        }
        if self.outage(sender, now).is_some() {
            self.tell_waiting();
        }
    }

    fn tell_opened(&self, org: &OrgId, sender: &PhoneNumberId, extent: Extent, failure: &Failure) {
        let (address, code, what) = (&self.address, &failure.code, &failure.message);
        match extent {
            Extent::All => tracing::warn!(
                %address, %code,
                "WhatsApp is not reached, or does not answer: {what} Nothing is sent, no attempt is charged, and one message at a \
                 time tries again; see that this machine reaches {address} (DNS, firewall, proxy), and whether Meta is down"
            ),
            Extent::Sender => tracing::warn!(
                %org, %sender, %address, %code,
                "WhatsApp does not answer calls of this sender as it should: {what} It sends nothing, no attempt is charged, and \
                 one message at a time tries again; see whether Meta is down, and `twotick doctor`"
            ),
        }
    }

    fn tell_closed(&self, org: &OrgId, sender: &PhoneNumberId, closed: Closed, now: Timestamp) {
        let (address, seconds) = (&self.address, now.since(closed.since).as_secs());
        match closed.extent {
            Extent::All => tracing::info!(%address, seconds, "WhatsApp answers again; sending goes on"),
            Extent::Sender => {
                tracing::info!(%org, %sender, %address, seconds, "WhatsApp answers this sender again; sending goes on");
            }
        }
        self.tell_waiting();
    }
}

/// Why a call did not come through.
fn failure(outcome: &Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Refused(error) => Some(error.failure()),
        Outcome::NotSent(failure) | Outcome::Unreachable(failure) | Outcome::Unknown(failure) => Some(failure.clone()),
        // A call that we ended ourselves says nothing.
        Outcome::Accepted(_) | Outcome::CutOff(_) => None,
    }
}
