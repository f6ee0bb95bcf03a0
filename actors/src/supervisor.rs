//! RootSupervisor: starts an OrgActor for every organisation, starts crashed ones again, and purges deleted ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::audit::By;
use domain::org::Org;
use domain::{Epoch, FieldError, OrgId, OrgNo, PhoneNumberId};
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use store::{Commit, Unavailable};
use tokio::sync::oneshot;

use crate::context::Context;
use crate::org::change::ChangeRequest;
use crate::org::{self, OrgActor, OrgChange, OrgMsg};
use crate::restart::{Budget, Crashes, Verdict};
use crate::vitals::{Address, Kind, Vitals};

const ORG_BUDGET: Budget = Budget { max: 5, period: Duration::from_secs(60), delay: Duration::from_millis(100) };
/// An organisation beyond its budget is left alone for so long before it is tried again.
const QUARANTINE: Duration = Duration::from_secs(60);
/// Keys of a deleted organisation that one commit purges.
const PURGE_MAX: usize = 2000;

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
    #[error("phone number id {0} belongs to another organisation")]
    SenderTaken(PhoneNumberId),
    /// The service is stopping, overloaded, or its store is unwell.
    #[error("the service takes no changes now")]
    Unavailable,
}

impl From<Unavailable> for ChangeError {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

/// Mail to the RootSupervisor.
pub(crate) enum RootMsg {
    /// Create or change an organisation.
    Put { id: OrgId, request: ChangeRequest },
    /// An organisation's deletion is durable.
    Deleted {
        /// Its last record.
        record: Arc<Org>,
        /// Who asked for it.
        reply: oneshot::Sender<Result<Arc<Org>, ChangeError>>,
    },
    /// A crashed OrgActor's pause is over.
    Restart(OrgId),
}

pub(crate) struct RootSupervisor;

pub(crate) struct State {
    ctx: Arc<Context>,
    me: Address<RootMsg>,
    vitals: Arc<Vitals>,
    orgs: HashMap<OrgId, OrgChild>,
    by_actor: HashMap<ActorId, OrgId>,
    /// Which organisation each phone number was last put for.
    claims: HashMap<PhoneNumberId, OrgId>,
    next_no: u32,
}

struct OrgChild {
    address: Option<Address<OrgMsg>>,
    vitals: Arc<Vitals>,
    crashes: Crashes,
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
            State { ctx, me, vitals, orgs: HashMap::new(), by_actor: HashMap::new(), claims: HashMap::new(), next_no };
        for record in records.into_iter().map(Arc::new) {
            if record.deleted_at.is_some() {
                state.purge(record);
            } else {
                let numbers = record.senders.iter().map(|sender| sender.phone_number_id.clone());
                state.claims.extend(numbers.map(|number| (number, record.id.clone())));
                state.ctx.directory.announce(Arc::clone(&record));
                state.start(record, true).await;
            }
        }
        state.show();
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<RootMsg>,
        mail: RootMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.vitals.begin(mail.label(), state.ctx.clock.now());
        match mail {
            RootMsg::Put { id, request } => state.put(id, request).await,
            RootMsg::Deleted { record, reply } => {
                state.forget(&record.id);
                state.purge(Arc::clone(&record));
                let _ = reply.send(Ok(record));
            }
            RootMsg::Restart(id) => state.restart(&id).await,
        }
        state.show();
        state.vitals.end();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<RootMsg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(child, _, _) => state.ended(&child, "ended without being told to"),
            SupervisionEvent::ActorFailed(child, cause) => state.ended(&child, &cause.to_string()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl RootMsg {
    const fn label(&self) -> &'static str {
        match self {
            Self::Put { .. } => "putting an organisation",
            Self::Deleted { .. } => "removing an organisation",
            Self::Restart(_) => "starting an actor again",
        }
    }
}

impl State {
    async fn put(&mut self, id: OrgId, request: ChangeRequest) {
        match self.place(&id, &request.change) {
            Ok(None) => {}
            Ok(Some(new)) => self.start(new, false).await,
            Err(error) => {
                let _ = request.reply.send(Err(error));
                return;
            }
        }
        match self.orgs.get(&id).and_then(|child| child.address.as_ref()) {
            Some(address) => address.send(OrgMsg::Change(Box::new(request))),
            None => {
                let _ = request.reply.send(Err(ChangeError::Unavailable));
            }
        }
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

    async fn start(&mut self, record: Arc<Org>, is_kept: bool) {
        let now = self.ctx.clock.now();
        let id = record.id.clone();
        let child = self.orgs.entry(id.clone()).or_insert_with(|| OrgChild {
            address: None,
            vitals: Vitals::new(Kind::Org, id.as_str(), now),
            crashes: Crashes::default(),
        });
        self.vitals.adopt(&child.vitals);
        child.vitals.disown_all();
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
                child.vitals.set_status(None);
                self.by_actor.insert(address.actor().get_id(), id.clone());
                child.address = Some(address.clone());
                self.ctx.directory.set_address(&id, Some(address));
            }
            // A failed start does not come as an event.
            Err(error) => self.crashed(&id, &error.to_string()),
        }
    }

    async fn restart(&mut self, id: &OrgId) {
        if let Some(record) = self.ctx.directory.org(id) {
            self.start(record, true).await;
        } else {
            // Its first commit never came: nobody was told that it exists.
            self.forget(id);
        }
    }

    fn ended(&mut self, actor: &ActorCell, cause: &str) {
        if let Some(id) = self.by_actor.remove(&actor.get_id()) {
            self.crashed(&id, cause);
        }
    }

    fn crashed(&mut self, id: &OrgId, cause: &str) {
        tracing::error!(path = %format!("/root/org:{id}"), %cause, "an actor crashed");
        self.ctx.directory.set_address(id, None);
        let Some(child) = self.orgs.get_mut(id) else { return };
        child.address = None;
        child.vitals.crashed(cause.to_owned());
        let after = match child.crashes.note(&ORG_BUDGET, self.ctx.clock.now()) {
            Verdict::Restart(after) => after,
            Verdict::GiveUp => {
                tracing::error!(org = %id, "an organisation crashes again and again; it is quarantined for a while");
                child.vitals.set_status(Some("QUARANTINED"));
                QUARANTINE
            }
        };
        let (ctx, me, id) = (Arc::clone(&self.ctx), self.me.clone(), id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let may_start = match ctx.directory.org(&id) {
                Some(record) => all_landed(&ctx, record.no).await,
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
            if let Some(address) = child.address {
                self.by_actor.remove(&address.actor().get_id());
                address.actor().stop(None);
            }
        }
    }

    /// Removes a deleted organisation's data, a little at a time. Cut off, it goes on at the next start.
    fn purge(&self, record: Arc<Org>) {
        let ctx = Arc::clone(&self.ctx);
        tokio::spawn(async move {
            if let Err(error) = purge(&ctx, &record).await {
                tracing::error!(org = %record.id, %error, "a deleted organisation's data could not be purged; it goes on at the next start");
            } else {
                tracing::info!(org = %record.id, "a deleted organisation's data is purged");
            }
        });
    }

    fn show(&self) {
        let running = self.orgs.values().filter(|child| child.address.is_some()).count();
        self.vitals.show(vec![
            ("organisations", self.orgs.len().into()),
            ("running", running.into()),
            ("sendsUnderWay", self.ctx.flights.under_way().into()),
            ("commitsWaiting", self.ctx.committer.waiting().into()),
        ]);
    }
}

/// Waits until all that an ended OrgActor handed in is written: the next one must not begin with less than that. Says
/// whether it may begin: not with a store that is unwell or closing.
async fn all_landed(ctx: &Context, no: OrgNo) -> bool {
    let (done, landed) = oneshot::channel();
    let last = Commit::new(no, Epoch::default());
    loop {
        match ctx.committer.reserve() {
            Ok(slot) => {
                // Refused for its epoch, but answered in its turn.
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
    landed.await.is_ok()
}

async fn purge(ctx: &Context, record: &Org) -> Result<(), ActorProcessingErr> {
    let epoch = Epoch(ctx.store.head(record.no)?.epoch.0 + 1);
    loop {
        let store = ctx.store.clone();
        let no = record.no;
        let keys = tokio::task::spawn_blocking(move || store.data_keys(no, PURGE_MAX)).await??;
        let is_last = keys.is_empty();
        let mut commit = Commit::new(no, epoch);
        if is_last {
            commit.forget_org(Some(record))?;
        } else {
            commit.purge(keys);
        }
        let (done, durable) = oneshot::channel();
        ctx.committer.reserve()?.submit(commit, move |result| {
            let _ = done.send(result);
        });
        durable.await??;
        if is_last {
            return Ok(());
        }
    }
}

/// Creates or changes an organisation through the root.
pub(crate) async fn put(
    root: &Address<RootMsg>,
    id: OrgId,
    change: OrgChange,
    by: By,
) -> Result<Arc<Org>, ChangeError> {
    let (reply, answer) = oneshot::channel();
    root.send(RootMsg::Put { id, request: ChangeRequest { change, by, reply } });
    answer.await.unwrap_or(Err(ChangeError::Unavailable))
}
