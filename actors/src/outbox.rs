//! The handle that the outside holds: what it asks here becomes mail to actors, and the answers come back.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::By;
use domain::intake::NewMessage;
use domain::org::Org;
use domain::receipt::Receipt;
use domain::{Inbound, MessageId, OrgId};
use ractor::Actor;
use store::{Committer, Store, StoreError, Unavailable};
use tokio::sync::{oneshot, watch};
use whatsapp::Provider;

use crate::clock::Clock;
use crate::context::Context;
use crate::directory::Directory;
use crate::explain::{Explanation, Facts};
use crate::org::accept::{Accept, AcceptError, Accepted};
use crate::org::change::ChangeRequest;
use crate::org::manual::{Manual, ManualError, ManualRequest};
use crate::org::templates::TemplateStatus;
use crate::org::{OrgChange, OrgMsg, Snapshot, Webhook};
use crate::settings::Settings;
use crate::supervisor::{self, ChangeError, RootMsg, RootSupervisor};
use crate::tree::{Node, TreeQuery};
use crate::vitals::{Address, Kind, Vitals};

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

impl Outbox {
    /// Starts the actors over what the store holds.
    pub async fn start(
        settings: Settings,
        store: Store,
        committer: Committer,
        provider: Arc<dyn Provider>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let vitals = Vitals::new(Kind::Root, "root", clock.now());
        let ctx = Arc::new(Context::new(settings, store, committer, provider, clock));
        let (root, _) = RootSupervisor::spawn(None, RootSupervisor, (Arc::clone(&ctx), Arc::clone(&vitals)))
            .await
            .map_err(|error| StartError(error.to_string()))?;
        Ok(Self { ctx, root: Address::new(root, vitals) })
    }

    /// Accepts a message; returns once it is durable.
    pub async fn accept(&self, org: &OrgId, request: NewMessage, by: By) -> Result<Accepted, AcceptError> {
        let (address, permits) = self.ctx.directory.entrance(org).ok_or(AcceptError::NoSuchOrg)?;
        let address = address.ok_or(AcceptError::Unavailable)?;
        let permit = permits.try_acquire_owned().map_err(|_| AcceptError::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        address.send(OrgMsg::Accept(Box::new(Accept { request, by, reply, permit })));
        answer.await.unwrap_or(Err(AcceptError::Unavailable))
    }

    /// Calls a message back or queues it again; returns once that is durable.
    pub async fn manual(&self, org: &OrgId, id: MessageId, wish: Manual, by: By) -> Result<Snapshot, ManualError> {
        let address = self.ctx.directory.address(org).ok_or(ManualError::Unavailable)?;
        let (reply, answer) = oneshot::channel();
        address.send(OrgMsg::Manual(ManualRequest { id, wish, by, reply }));
        answer.await.unwrap_or(Err(ManualError::Unavailable))
    }

    /// Why a message has not gone yet; `None` if there is no such message.
    pub async fn explain(&self, org: &Org, id: MessageId) -> Result<Option<Explanation>, StoreError> {
        let store = self.ctx.store.clone();
        let (Some(state), Some(message)) = (store.state(org.no, id)?, store.message(org.no, id)?) else {
            return Ok(None);
        };
        let message = Arc::new(message);
        let (reply, answer) = oneshot::channel();
        if let Some(address) = self.ctx.directory.address(&org.id) {
            address.send(OrgMsg::Explain { message: Arc::clone(&message), reply });
        }
        let held = answer.await.unwrap_or_default();
        let (settings, now) = (&self.ctx.settings, self.ctx.clock.now());
        let facts = Facts { settings, org, message: &message, state: &state, held: &held, now };
        Explanation::of(&facts, &store).map(Some)
    }

    /// Meta reports a template's status.
    pub fn template_status(&self, org: &OrgId, status: TemplateStatus) {
        if let Some(address) = self.ctx.directory.address(org) {
            address.send(OrgMsg::Template(status));
        }
    }

    /// Records receipts and inbound messages of one organisation; returns once they are durable.
    pub async fn webhook(&self, org: &OrgId, receipts: Vec<Receipt>, inbound: Vec<Inbound>) -> Result<(), Unavailable> {
        let address = self.ctx.directory.address(org).ok_or(Unavailable::Closed)?;
        let (reply, answer) = oneshot::channel();
        address.send(OrgMsg::Webhook(Webhook { receipts, inbound, reply }));
        answer.await.unwrap_or(Err(Unavailable::Closed))
    }

    /// Creates or changes an organisation; returns once that is durable.
    pub async fn put_org(&self, id: OrgId, change: OrgChange, by: By) -> Result<Arc<Org>, ChangeError> {
        supervisor::put(&self.root, id, change, by).await
    }

    /// Changes an organisation that exists; returns once that is durable.
    pub async fn change_org(&self, id: &OrgId, change: OrgChange, by: By) -> Result<Arc<Org>, ChangeError> {
        self.ctx.directory.org(id).ok_or(ChangeError::NotFound)?;
        let address = self.ctx.directory.address(id).ok_or(ChangeError::Unavailable)?;
        let (reply, answer) = oneshot::channel();
        address.send(OrgMsg::Change(Box::new(ChangeRequest { change, by, reply })));
        answer.await.unwrap_or(Err(ChangeError::Unavailable))
    }

    /// Who is who.
    pub fn directory(&self) -> &Directory {
        &self.ctx.directory
    }

    /// What is committed.
    pub fn store(&self) -> &Store {
        &self.ctx.store
    }

    /// The clock that decisions are made by.
    pub fn clock(&self) -> &Clock {
        &self.ctx.clock
    }

    /// The actor tree as it is now, read from outside: no actor is asked.
    pub fn tree(&self, query: &TreeQuery) -> Node {
        Node::read(self.root.vitals(), query, self.ctx.clock.now())
    }

    /// Why no messages can be taken now, if so.
    pub fn trouble(&self) -> Option<String> {
        if self.ctx.is_draining() {
            return Some("it is stopping".into());
        }
        self.ctx.committer.health().borrow().as_ref().map(StoreError::to_string)
    }

    /// Turns to the error that made the store unwell, if that happens.
    pub fn health(&self) -> watch::Receiver<Option<StoreError>> {
        self.ctx.committer.health()
    }

    /// Refuses new messages and begins no new sends.
    pub fn drain(&self) {
        self.ctx.drain();
    }

    /// Waits up to `grace` for the sends under way and their records, then ends. What was not done by then is done after
    /// the next start; returns how many sends that leaves open.
    pub async fn stop(&self, grace: Duration) -> usize {
        self.drain();
        // With a store that is unwell there is nothing to wait for: no outcome can be recorded.
        if self.ctx.committer.health().borrow().is_none() {
            let _ = tokio::time::timeout(grace, self.ctx.flights.all_landed()).await;
        }
        let left = self.ctx.flights.under_way();
        let committer = self.ctx.committer.clone();
        let _ = tokio::task::spawn_blocking(move || committer.stop()).await;
        self.root.actor().stop(None);
        left
    }
}
