//! The handle that the outside holds: what it asks here becomes messages to actors, and the answers come back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::audit::{By, Denial};
use domain::circuit::Outage;
use domain::consent::{Choice, Consent, Covers, Source};
use domain::erasure::Erased;
use domain::intake::NewMessage;
use domain::org::Org;
use domain::{MessageId, OrgId, PhoneNumberId};
use ractor::Actor;
use store::{Committer, Store, StoreError, Unavailable};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use whatsapp::Provider;

use crate::address::Address;
use crate::admission::Admission;
use crate::clock::Clock;
use crate::context::Context;
use crate::directory::{Directory, Identity, Presence};
use crate::explain::{Explanation, Facts};
use crate::figures::{Figures, RootFigures};
use crate::org::accept::{Accept, AcceptError, Accepted};
use crate::org::change::ChangeRequest;
use crate::org::consent::ConsentRequest;
use crate::org::erasure::EraseRequest;
use crate::org::manual::{Manual, ManualError, ManualRequest};
use crate::org::restored::{HeldWish, ReleaseRequest, Released};
use crate::org::templates::TemplateStatus;
use crate::org::{News, OrgChange, OrgMsg, Snapshot, Webhook};
use crate::settings::Settings;
use crate::supervisor::{ChangeError, RootMsg, RootSupervisor};
use crate::tree::{Node, TreeQuery};
use crate::vitals::Vitals;
use crate::watchdog;
use crate::ways::SenderLimits;
use crate::webhook_health::WebhookHealth;

/// How long the record of what was cut off may take.
const RECORDED_WITHIN: Duration = Duration::from_secs(2);

/// A running outbox.
#[derive(Clone)]
pub struct Outbox {
    ctx: Arc<Context>,
    root: Address<RootMsg>,
}

/// Why the outbox did not start.
#[derive(Debug, thiserror::Error)]
#[error("the supervisor did not start: {0}")]
pub struct StartError(String);

/// Why an organisation's actor was not asked, or did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// There is no such organisation.
    #[error("no such organisation")]
    NoSuchOrg,
    /// Its actor crashed.
    #[error("{0}")]
    Down(Arc<str>),
    /// As many requests as may wait do so already.
    #[error("too many requests are waiting")]
    Busy,
    /// It ended without an answer.
    #[error("the service takes no requests now")]
    Ended,
}

impl Outbox {
    /// Starts the actors over what the store holds.
    pub async fn start(
        settings: Settings,
        store: Store,
        committer: Committer,
        provider: Arc<dyn Provider>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let vitals = Vitals::root(clock.now());
        let ctx = Arc::new(Context::new(settings, store, committer, provider, clock));
        let (root, _) = RootSupervisor::spawn(None, RootSupervisor, (Arc::clone(&ctx), Arc::clone(&vitals)))
            .await
            .map_err(|error| StartError(error.to_string()))?;
        watchdog::start(&ctx, root.get_cell(), Arc::clone(&vitals));
        Ok(Self { ctx, root: Address::new(root, vitals) })
    }

    /// Lets a request to accept a message in, or turns it away. To be asked first: under load, reading a request that is then
    /// turned away is what there is no time for.
    pub fn admit(&self, org: &OrgId) -> Result<Admission, AcceptError> {
        Admission::take(&self.ctx, org)
    }

    /// Accepts a message; returns once it is durable.
    pub async fn accept(
        &self,
        admission: Admission,
        org: &OrgId,
        request: NewMessage,
        by: By,
    ) -> Result<Accepted, AcceptError> {
        self.ask(org, |reply| OrgMsg::Accept(Box::new(Accept { request, by, reply, admission }))).await
    }

    /// Cancels a message or queues it again; returns once that is durable.
    pub async fn manual(&self, org: &OrgId, id: MessageId, wish: Manual, by: By) -> Result<Snapshot, ManualError> {
        let _permit = self.permit()?;
        self.ask(org, |reply| OrgMsg::Manual(ManualRequest { id, wish, by, reply })).await
    }

    /// Why a message has not gone yet; `None` if there is no such message.
    pub async fn explain(&self, org: &Org, id: MessageId) -> Result<Option<Explanation>, StoreError> {
        let store = self.ctx.store.clone();
        let (Some(state), Some(message)) = (store.state(org.no, id)?, store.message(org.no, id)?) else {
            return Ok(None);
        };
        let message = Arc::new(message);
        // An actor that is not in memory holds nothing.
        let gates = match (self.permit(), self.ctx.directory.presence(&org.id)) {
            (Ok(_permit), Some(Presence::Running(address))) => {
                let (reply, answer) = oneshot::channel();
                address.send(OrgMsg::Explain { message: Arc::clone(&message), reply });
                answer.await.unwrap_or_default()
            }
            (Ok(_) | Err(_), _) => crate::provider::SenderGates::default(),
        };
        let (settings, now, ways) = (self.ctx.settings(), self.ctx.clock.now(), &self.ctx.ways);
        let facts = Facts {
            settings: &settings,
            org,
            message: &message,
            state: &state,
            gates: &gates,
            address: ways.address(),
            outage: ways.outage(&message.from, now),
            limits: ways.limits(&message.from),
            webhook_fault: self.ctx.webhook_health.of(&message.from).fault(now),
            now,
        };
        Explanation::of(&facts, &store).map(Some)
    }

    /// Where calls go, and what keeps all of them back.
    pub fn way(&self) -> (&str, Option<Outage>) {
        (self.ctx.ways.address(), self.ctx.ways.outage_of_all(self.ctx.clock.now()))
    }

    /// What keeps a sender's calls back, and what else holds it up.
    pub fn sender_limits(&self, sender: &PhoneNumberId) -> (Option<Outage>, SenderLimits) {
        (self.ctx.ways.outage(sender, self.ctx.clock.now()), self.ctx.ways.limits(sender))
    }

    /// Puts the refusal of an organisation's key on its audit trail, in the end.
    pub fn denied(&self, identity: Identity, denial: Denial) {
        let org = &identity.org.id;
        if self.deliver(org, OrgMsg::Denied { key: identity.key, denial }).is_err() {
            tracing::warn!(%org, reason = denial.as_str(), "a refused key found its organisation down");
        }
    }

    /// Meta reports a template's status. An organisation that is not in memory learns it from its next try.
    pub fn template_status(&self, org: &OrgId, status: TemplateStatus) {
        if self.deliver(org, OrgMsg::Template(status)).is_err() {
            tracing::warn!(%org, "a template's news found its organisation down");
        }
    }

    /// Records what a client tells of a recipient, named by a phone number or by Meta's id; what is then known, once it
    /// is durable.
    pub async fn consent(
        &self,
        org: &OrgId,
        name: String,
        (choice, covers): (Choice, Covers),
        source: Source,
        by: By,
    ) -> Result<Consent, Unavailable> {
        let _permit = self.permit()?;
        self.ask(org, |reply| OrgMsg::Consent(Box::new(ConsentRequest { name, choice, covers, source, by, reply })))
            .await
    }

    /// Erases all that is held of a person, named by a phone number or by Meta's id; returns once it is gone from the
    /// store. Whoever does not wait for that may ask again: the erasure goes on, and the answer is that of the same one.
    pub async fn erase(&self, org: &Org, name: String, by: By) -> Result<Erased, Unavailable> {
        let _permit = self.permit()?;
        self.ask(&org.id, |reply| OrgMsg::Erase(Box::new(EraseRequest { name, by, reply }))).await
    }

    /// Records what a webhook tells one organisation; returns once it is durable.
    pub async fn webhook(&self, org: &OrgId, news: News) -> Result<(), Unavailable> {
        if self.ctx.committer.writing_for() > Some(self.ctx.settings().limits.max_flush) {
            return Err(Unavailable::Busy);
        }
        let _permit = self.permit()?;
        self.ask(org, |reply| OrgMsg::Webhook(Webhook { news, reply })).await
    }

    /// Creates or changes an organisation; returns once that is durable.
    pub async fn put_org(&self, id: OrgId, change: OrgChange, by: By) -> Result<Arc<Org>, ChangeError> {
        let _permit = self.permit()?;
        let (reply, answer) = oneshot::channel();
        self.root.send(RootMsg::Put { id, request: Box::new(ChangeRequest { change, by, reply }) });
        answer.await.unwrap_or(Err(ChangeError::Unavailable))
    }

    /// Changes an organisation that exists; returns once that is durable.
    pub async fn change_org(&self, id: &OrgId, change: OrgChange, by: By) -> Result<Arc<Org>, ChangeError> {
        let _permit = self.permit()?;
        self.ask(id, |reply| OrgMsg::Change(Box::new(ChangeRequest { change, by, reply }))).await
    }

    /// Does with messages that are held since a restore what a person wishes, up to a bounded number of them; returns once that
    /// is durable. To be asked again until nothing is held.
    pub async fn release_held(&self, org: &OrgId, wish: HeldWish, by: By) -> Result<Released, Unavailable> {
        let _permit = self.permit()?;
        self.ask(org, |reply| OrgMsg::ReleaseHeld(ReleaseRequest { wish, by, reply })).await
    }

    /// Room for one more request that waits for an actor.
    fn permit(&self) -> Result<OwnedSemaphorePermit, Unreachable> {
        Arc::clone(&self.ctx.asking).try_acquire_owned().map_err(|_| Unreachable::Busy)
    }

    /// Asks an organisation's actor and waits for its answer.
    async fn ask<T, E: From<Unreachable>>(
        &self,
        org: &OrgId,
        msg: impl FnOnce(oneshot::Sender<Result<T, E>>) -> OrgMsg,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        self.deliver(org, msg(reply))?;
        answer.await.unwrap_or_else(|_| Err(Unreachable::Ended.into()))
    }

    /// Sends a message to an organisation's actor; through the root, if it is not in memory or is just being passivated.
    fn deliver(&self, org: &OrgId, msg: OrgMsg) -> Result<(), Unreachable> {
        let undelivered = match self.ctx.directory.presence(org).ok_or(Unreachable::NoSuchOrg)? {
            Presence::Running(address) => address.try_send(msg).err().flatten(),
            Presence::Passivated => Some(msg),
            Presence::Down(reason) => return Err(Unreachable::Down(reason)),
        };
        if let Some(msg) = undelivered {
            self.root.send(RootMsg::Deliver { id: org.clone(), msg: Box::new(msg) });
        }
        Ok(())
    }

    /// From now on these settings hold. What is fixed at the start stays: the limits on requests that wait.
    pub fn reconfigure(&self, settings: Settings) {
        self.ctx.replace_settings(settings);
        self.root.send(RootMsg::Reconfigured);
    }

    /// Who is who.
    pub fn directory(&self) -> &Directory {
        &self.ctx.directory
    }

    /// The health of each sender's webhooks.
    pub fn webhook_health(&self) -> &WebhookHealth {
        &self.ctx.webhook_health
    }

    /// What is committed.
    pub fn store(&self) -> &Store {
        &self.ctx.store
    }

    /// What writes to the store.
    pub fn committer(&self) -> &Committer {
        &self.ctx.committer
    }

    /// The clock that decisions are made by.
    pub fn clock(&self) -> &Clock {
        &self.ctx.clock
    }

    /// The actor tree as it is now, read from outside: no actor is asked.
    pub fn tree(&self, query: &TreeQuery) -> Node {
        let (ctx, root) = (&self.ctx, self.root.vitals());
        let census = ctx.directory.census();
        root.show(Figures::Root(RootFigures {
            organisations: census.all,
            running: census.running,
            down: census.down,
            resident: ctx.residents.load(Ordering::Relaxed),
            sends_under_way: ctx.in_flight.under_way(),
            commits_waiting: ctx.committer.waiting(),
            accepting: ctx.entrance.waiting(),
            stuck: ctx.stuck.load(Ordering::Relaxed),
        }));
        Node::read(root, query, ctx.clock.now())
    }

    /// Why no messages can be taken now, if so.
    pub fn trouble(&self) -> Option<String> {
        self.ctx.trouble()
    }

    /// Returns why it takes no more messages and begins no more sends, if that comes: the store failed, or its supervisor
    /// ended. It must then be stopped, and may be started again over the store, opened again.
    pub async fn failed(&self) -> String {
        let mut health = self.health();
        tokio::select! {
            _ = async { health.wait_for(Option::is_some).await.is_ok() } => self.ctx.trouble().unwrap_or_default(),
            _ = self.root.actor().wait(None) => "its supervisor ended".into(),
        }
    }

    /// Turns to the error that made the store unwell, if that happens.
    pub fn health(&self) -> watch::Receiver<Option<StoreError>> {
        self.ctx.committer.health()
    }

    /// Refuses new messages and begins no new sends.
    pub fn drain(&self) {
        self.ctx.drain();
    }

    /// Waits up to `grace` for the sends under way and their records, then cuts the others off and ends. What was not done by
    /// then is done after the next start; returns how many sends were cut off.
    pub async fn stop(&self, grace: Duration) -> usize {
        self.drain();
        self.drained_within(grace).await;
        let left = self.ctx.in_flight.under_way();
        self.ctx.cut_off();
        self.drained_within(RECORDED_WITHIN).await;
        let committer = self.ctx.committer.clone();
        let _ = tokio::task::spawn_blocking(move || committer.stop()).await;
        self.root.actor().stop(None);
        left
    }

    /// Waits for the sends under way; not with a store that is unwell: no outcome can be recorded.
    async fn drained_within(&self, time: Duration) {
        let mut health = self.health();
        tokio::select! {
            _ = tokio::time::timeout(time, self.ctx.in_flight.drained()) => {}
            _ = health.wait_for(Option::is_some) => {}
        }
    }

    /// The faults on purpose of this outbox.
    #[cfg(feature = "faults")]
    pub fn faults(&self) -> Arc<crate::faults::Faults> {
        Arc::clone(&self.ctx.faults)
    }
}

impl From<Unreachable> for Unavailable {
    fn from(error: Unreachable) -> Self {
        match error {
            Unreachable::Busy => Self::Busy,
            Unreachable::NoSuchOrg | Unreachable::Down(_) | Unreachable::Ended => Self::Closed,
        }
    }
}

impl From<Unreachable> for AcceptError {
    fn from(error: Unreachable) -> Self {
        match error {
            Unreachable::NoSuchOrg => Self::NoSuchOrg,
            Unreachable::Down(reason) => Self::Down(reason),
            Unreachable::Busy => Self::Overloaded,
            Unreachable::Ended => Self::Unavailable,
        }
    }
}

impl From<Unreachable> for ManualError {
    fn from(error: Unreachable) -> Self {
        match error {
            Unreachable::NoSuchOrg => Self::NotFound,
            Unreachable::Down(reason) => Self::Down(reason),
            Unreachable::Busy | Unreachable::Ended => Self::Unavailable,
        }
    }
}

impl From<Unreachable> for ChangeError {
    fn from(error: Unreachable) -> Self {
        match error {
            Unreachable::NoSuchOrg => Self::NotFound,
            Unreachable::Down(reason) => Self::Down(reason),
            Unreachable::Busy | Unreachable::Ended => Self::Unavailable,
        }
    }
}
