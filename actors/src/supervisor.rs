//! RootSupervisor: starts an OrgActor for every organisation that has something to do, passivates it when it has not,
//! starts crashed ones again, and purges deleted ones.

mod presence;
mod purge;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::org::Org;
use domain::{Epoch, FieldError, OrgId, OrgNo, PhoneNumberId, Timestamp};
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use store::{Commit, Unavailable};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::address::Address;
use crate::context::Context;
use crate::directory::Presence;
use crate::org::change::ChangeRequest;
use crate::org::{self, OrgActor, OrgChange, OrgMsg};
use crate::restart::{Budget, Patience, Verdict};
use crate::vitals::{Kind, Status, Vitals};

const ORG_BUDGET: Budget = Budget { max: 5, period: Duration::from_secs(60), delay: Duration::from_millis(100) };
/// An organisation beyond its budget is left alone for so long, then ever longer, to the second figure.
const QUARANTINE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// Why an organisation was not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// The request is invalid.
    #[error("the request is invalid")]
    Invalid(Vec<FieldError>),
    /// There is no such organisation or key.
    #[error("not found")]
    NotFound,
    /// The phone number belongs to another organisation.
    #[error("phone number id {0} belongs to another organisation; put that one without it first")]
    SenderTaken(PhoneNumberId),
    /// A declared API key is another organisation's.
    #[error("an API key of it is a key of {0}; revoke it there, or declare another")]
    KeyTaken(OrgId),
    /// The organisation's actor crashed.
    #[error("{0}")]
    Down(Arc<str>),
    /// The service is stopping, overloaded, or its store is unwell.
    #[error("the service takes no changes now")]
    Unavailable,
}

impl From<Unavailable> for ChangeError {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

/// Messages to the RootSupervisor.
pub(crate) enum RootMsg {
    /// Create or change an organisation.
    Put { id: OrgId, request: Box<ChangeRequest> },
    /// A message for an organisation whose actor is not in memory, or is just being passivated.
    Deliver { id: OrgId, msg: Box<OrgMsg> },
    /// An OrgActor has had nothing to do for a while, and will have nothing before this time.
    MayPassivate { id: OrgId, next: Option<Timestamp> },
    /// It has something to do after all; it is still at this address.
    Stays { id: OrgId, address: Address<OrgMsg> },
    /// A passivated organisation has something to do now.
    Due(OrgId),
    /// An organisation's deletion is durable.
    Deleted {
        /// Its last record.
        record: Arc<Org>,
        /// Who asked for it.
        reply: oneshot::Sender<Result<Arc<Org>, ChangeError>>,
    },
    /// A crashed OrgActor's pause is over.
    Restart(OrgId),
    /// The settings changed.
    Reconfigured,
}

pub(crate) struct RootSupervisor;

pub(crate) struct State {
    ctx: Arc<Context>,
    me: Address<RootMsg>,
    vitals: Arc<Vitals>,
    orgs: BTreeMap<OrgId, OrgChild>,
    by_actor: HashMap<ActorId, OrgId>,
    /// Which organisation each phone number was last put for.
    claims: HashMap<PhoneNumberId, OrgId>,
    next_no: u32,
}

struct OrgChild {
    stage: Stage,
    vitals: Arc<Vitals>,
    patience: Patience,
}

enum Stage {
    Running(Address<OrgMsg>),
    /// It was told to passivate itself. What comes for it meanwhile waits; the requests' permits bound it.
    Passivating {
        next: Option<Timestamp>,
        waiting: Vec<OrgMsg>,
    },
    /// Not in memory, until there is a message for it or the alarm comes.
    Passivated {
        alarm: Option<AbortHandle>,
    },
    /// It crashed.
    Down,
}

impl Actor for RootSupervisor {
    type Msg = RootMsg;
    type State = State;
    type Arguments = (Arc<Context>, Arc<Vitals>);

    async fn pre_start(
        &self,
        myself: ActorRef<RootMsg>,
        (ctx, vitals): (Arc<Context>, Arc<Vitals>),
    ) -> Result<State, ActorProcessingErr> {
        let records = ctx.store.orgs()?;
        let next_no = records.iter().map(|org| org.no.0 + 1).max().unwrap_or(1);
        let me = Address::new(myself, Arc::clone(&vitals));
        let mut state =
            State { ctx, me, vitals, orgs: BTreeMap::new(), by_actor: HashMap::new(), claims: HashMap::new(), next_no };
        for record in records.into_iter().map(Arc::new) {
            if record.deleted_at.is_some() {
                purge::begin(Arc::clone(&state.ctx), record);
            } else {
                let numbers = record.senders.iter().map(|sender| sender.phone_number_id.clone());
                state.claims.extend(numbers.map(|number| (number, record.id.clone())));
                state.ctx.directory.list(Arc::clone(&record), Presence::Passivated);
                state.child(&record.id);
                state.look_for_work(record).await?;
            }
        }
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<RootMsg>,
        msg: RootMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (vitals, ctx) = (Arc::clone(&state.vitals), Arc::clone(&state.ctx));
        vitals.attend(&ctx, msg.label(), state.react(msg)).await
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<RootMsg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (child, cause) = match event {
            SupervisionEvent::ActorTerminated(child, _, _) => (child, None),
            SupervisionEvent::ActorFailed(child, cause) => (child, Some(cause.to_string())),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let (vitals, ctx) = (Arc::clone(&state.vitals), Arc::clone(&state.ctx));
        vitals.at_work(&ctx, "following an organisation's end", state.ended(&child, cause)).await;
        Ok(())
    }
}

impl RootMsg {
    const fn label(&self) -> &'static str {
        match self {
            Self::Put { .. } => "putting an organisation",
            Self::Deliver { .. } => "delivering mail",
            Self::MayPassivate { .. } => "letting an organisation leave",
            Self::Stays { .. } => "keeping an organisation",
            Self::Due(_) => "waking an organisation",
            Self::Deleted { .. } => "removing an organisation",
            Self::Restart(_) => "starting an actor again",
            Self::Reconfigured => "spreading new settings",
        }
    }
}

impl State {
    async fn react(&mut self, msg: RootMsg) -> Result<(), ActorProcessingErr> {
        match msg {
            RootMsg::Put { id, request } => self.put(id, request).await,
            RootMsg::Deliver { id, msg } => self.deliver(&id, *msg).await,
            RootMsg::MayPassivate { id, next } => self.may_passivate(&id, next),
            RootMsg::Stays { id, address } => self.stays(&id, address),
            RootMsg::Due(id) => self.due(&id).await?,
            RootMsg::Deleted { record, reply } => {
                self.forget(&record.id);
                purge::begin(Arc::clone(&self.ctx), Arc::clone(&record));
                let _ = reply.send(Ok(record));
            }
            RootMsg::Restart(id) => self.restart(&id).await,
            RootMsg::Reconfigured => self.reconfigured().await?,
        }
        Ok(())
    }

    async fn put(&mut self, id: OrgId, request: Box<ChangeRequest>) {
        let new = match self.place(&id, &request.change) {
            Ok(new) => new,
            Err(error) => {
                let _ = request.reply.send(Err(error));
                return;
            }
        };
        if let Some(new) = new {
            self.child(&id);
            self.start(new, false).await;
        }
        if let Some(Presence::Down(reason)) = self.ctx.directory.presence(&id) {
            let _ = request.reply.send(Err(ChangeError::Down(reason)));
            return;
        }
        self.deliver(&id, OrgMsg::Change(request)).await;
    }

    /// Checks what only the root can: that the put is valid and takes no other organisation's number. A new organisation
    /// comes back as its first, empty record.
    fn place(&mut self, id: &OrgId, change: &OrgChange) -> Result<Option<Arc<Org>>, ChangeError> {
        let put = match change {
            OrgChange::Put(put) | OrgChange::Declare(put, _) => put,
            OrgChange::AddKey(_)
            | OrgChange::RevokeKey(_)
            | OrgChange::Pause(..)
            | OrgChange::Resume(..)
            | OrgChange::Delete => return Ok(None),
        };
        let now = self.ctx.clock.now();
        // Durable ones count as well as claims: a put that claimed otherwise may have failed.
        let is_taken = |number: &&PhoneNumberId| {
            self.claims.get(number).is_some_and(|owner| owner != id)
                || self.ctx.directory.owner(number).is_some_and(|owner| owner.id != *id)
        };
        if let Some(taken) = put.senders.iter().map(|sender| &sender.phone_number_id).find(is_taken) {
            return Err(ChangeError::SenderTaken(taken.clone()));
        }
        if let OrgChange::Declare(_, keys) = change {
            let owners = keys.iter().filter_map(|key| self.ctx.directory.key_owner(&key.hash));
            if let Some(owner) = owners.into_iter().find(|owner| owner != id) {
                return Err(ChangeError::KeyTaken(owner));
            }
        }
        let empty = || Arc::new(Org::new(id.clone(), OrgNo(self.next_no), now));
        self.ctx.directory.org(id).unwrap_or_else(empty).apply(put, now).map_err(ChangeError::Invalid)?;
        let new = (!self.orgs.contains_key(id)).then(empty);
        if new.is_some() {
            self.next_no += 1;
        }
        self.claims.retain(|_, owner| owner != id);
        self.claims.extend(put.senders.iter().map(|sender| (sender.phone_number_id.clone(), id.clone())));
        Ok(new)
    }

    /// What is remembered of an organisation's actor: nothing is running yet.
    fn child(&mut self, id: &OrgId) {
        let child = OrgChild {
            stage: Stage::Passivated { alarm: None },
            vitals: self.vitals.child(Kind::Org, id.as_str(), self.ctx.clock.now()),
            patience: Patience::new(ORG_BUDGET, QUARANTINE.0, QUARANTINE.1),
        };
        self.orgs.insert(id.clone(), child);
    }

    async fn start(&mut self, record: Arc<Org>, is_kept: bool) {
        // With a store that is unwell it could not begin: no crash of its own, so no budget is spent on it.
        if self.ctx.is_draining() || self.ctx.committer.health().borrow().is_some() {
            return;
        }
        let id = record.id.clone();
        let Some(child) = self.orgs.get_mut(&id) else { return };
        child.patience.started(self.ctx.clock.now());
        child.vitals.disown_all();
        child.vitals.set_status(None);
        self.vitals.adopt(&child.vitals);
        let args = org::Args {
            ctx: Arc::clone(&self.ctx),
            root: self.me.clone(),
            record,
            is_kept,
            vitals: Arc::clone(&child.vitals),
        };
        match OrgActor::spawn_linked(None, OrgActor, args, self.me.actor().get_cell()).await {
            Ok((actor, _)) => {
                let address = Address::new(actor, Arc::clone(&child.vitals));
                self.by_actor.insert(address.actor().get_id(), id.clone());
                child.stop_waiting();
                child.stage = Stage::Running(address.clone());
                self.ctx.directory.set_presence(&id, Presence::Running(address));
            }
            // A failed start does not come as an event.
            Err(error) => self.crashed(&id, &error.to_string()),
        }
    }

    /// Starts a passivated organisation, if the directory has it.
    async fn bring_back(&mut self, id: &OrgId) {
        match self.ctx.directory.org(id) {
            Some(record) => self.start(record, true).await,
            // Its first commit never came: nobody was told that it exists.
            None => self.forget(id),
        }
    }

    async fn deliver(&mut self, id: &OrgId, msg: OrgMsg) {
        if matches!(self.orgs.get(id), Some(OrgChild { stage: Stage::Passivated { .. }, .. })) {
            self.bring_back(id).await;
        }
        match self.orgs.get_mut(id).map(|child| &mut child.stage) {
            Some(Stage::Running(address)) => address.send(msg),
            Some(Stage::Passivating { waiting, .. }) => waiting.push(msg),
            // Whoever waits for an answer learns it from the end of the channel.
            Some(Stage::Passivated { .. } | Stage::Down) | None => {}
        }
    }

    async fn restart(&mut self, id: &OrgId) {
        if matches!(self.orgs.get(id), Some(OrgChild { stage: Stage::Down, .. })) {
            self.bring_back(id).await;
        }
    }

    async fn ended(&mut self, actor: &ActorCell, cause: Option<String>) {
        let Some(id) = self.by_actor.remove(&actor.get_id()) else { return };
        let Some(child) = self.orgs.get_mut(&id) else { return };
        match (&mut child.stage, cause) {
            (Stage::Passivating { next, waiting }, None) => {
                let (next, waiting) = (*next, std::mem::take(waiting));
                self.left(&id, next, waiting).await;
            }
            (_, cause) => self.crashed(&id, cause.as_deref().unwrap_or("ended without being told to")),
        }
    }

    fn crashed(&mut self, id: &OrgId, cause: &str) {
        let Some(child) = self.orgs.get_mut(id) else { return };
        let now = self.ctx.clock.now();
        child.stage = Stage::Down;
        let verdict = child.patience.note(now, self.ctx.clock.roll());
        child.vitals.crashed(cause, verdict);
        let (after, reason) = match verdict {
            Verdict::Restart(after) => (after, "the organisation's actor crashed and is started again".to_owned()),
            Verdict::Quarantine(after) => {
                let at = now.after(after).to_string();
                let reason = format!(
                    "the organisation is quarantined: its actor crashed again and again; it is tried again at {at}"
                );
                child.vitals.set_status(Some(Status { word: "QUARANTINED", details: vec![("retryAt", at)] }));
                (after, reason)
            }
            Verdict::GiveUp => return,
        };
        self.ctx.directory.set_presence(id, Presence::Down(reason.into()));
        // What only waits must not keep the store open.
        let (ctx, me, id) = (Arc::downgrade(&self.ctx), self.me.clone(), id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let Some(ctx) = ctx.upgrade() else { return };
            let may_start = match ctx.directory.org(&id) {
                Some(record) => all_committed(&ctx, record.no).await,
                None => true,
            };
            if may_start {
                me.send(RootMsg::Restart(id));
            }
        });
    }

    fn forget(&mut self, id: &OrgId) {
        self.claims.retain(|_, owner| owner != id);
        if let Some(child) = self.orgs.remove(id) {
            self.vitals.disown(&child.vitals);
            child.stop_waiting();
            if let Stage::Running(address) = child.stage {
                self.by_actor.remove(&address.actor().get_id());
                address.actor().stop(None);
            }
        }
    }
}

impl OrgChild {
    fn stop_waiting(&self) {
        if let Stage::Passivated { alarm: Some(alarm) } = &self.stage {
            alarm.abort();
        }
    }
}

/// Waits until all that an ended OrgActor handed in is written: the next one must not begin with less than that. Says
/// whether it may begin: not with a store that is unwell or closing.
async fn all_committed(ctx: &Context, no: OrgNo) -> bool {
    let (done, committed) = oneshot::channel();
    let last = Commit::new(no, Epoch::default());
    loop {
        match ctx.committer.reserve() {
            Ok(slot) => {
                // Refused for its epoch, but answered in the order of the queue.
                slot.submit(last, move |_| {
                    let _ = done.send(());
                });
                break;
            }
            Err(Unavailable::Closed) => return false,
            Err(Unavailable::Busy) => {}
        }
        tokio::time::sleep(ORG_BUDGET.delay).await;
    }
    committed.await.is_ok()
}
