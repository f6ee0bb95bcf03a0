//! OrgActor: the only writer of one organisation's data. Accepts, keeps the order, commits, and tends its children.
//!
//! It never waits for the disk: a commit is handed in, and `Landed` comes back when it is durable.

pub(crate) mod accept;
pub(crate) mod change;
mod desk;
mod expiry;
mod inbound;
mod ledger;
pub(crate) mod manual;
mod receipts;
mod residents;
mod scopes;
pub(crate) mod templates;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use domain::audit::By;
use domain::org::Org;
use domain::state::Status;
use domain::{Message, MessageId, ProviderId, SenderNo, Seq, State as MessageState, Timestamp};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use store::CommitError;
use store::group_commit::Slot;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::audit::AuditMsg;
use crate::context::Context;
use crate::message::{MessageMsg, ToOrg};
use crate::provider::{FromProvider, Held, ProviderMsg};
use crate::restart::{Budget, Crashes, Verdict};
use crate::supervisor::RootMsg;
use crate::vitals::{Address, Vitals};
use accept::{Accept, Pending};
use change::ChangeRequest;
pub use change::OrgChange;
use inbound::Arrivals;
pub use ledger::Snapshot;
use ledger::{Draft, Ledger};
use manual::ManualRequest;
use receipts::Lot;
pub(crate) use receipts::Webhook;
use templates::TemplateStatus;

/// How often receipts that nobody claimed are looked through.
const LOT_EVERY: Duration = Duration::from_secs(60);

/// Mail to an OrgActor.
pub(crate) enum OrgMsg {
    /// Accept a message.
    Accept(Box<Accept>),
    /// Receipts for this organisation.
    Webhook(Webhook),
    /// A person's wish about a message.
    Manual(ManualRequest),
    /// A change of the organisation.
    Change(Box<ChangeRequest>),
    /// Meta's word on a template.
    Template(TemplateStatus),
    /// What holds a message at its sender: its ProviderActor answers.
    Explain { message: Arc<Message>, reply: oneshot::Sender<Held> },
    /// A MessageActor speaks.
    Message(ToOrg),
    /// A ProviderActor speaks.
    Provider(FromProvider),
    /// A commit is durable, or never will be.
    Landed(Box<Landed>),
    /// Something is due.
    Wake,
    /// A crashed MessageActor's pause is over.
    Revive(MessageId),
    /// A crashed ProviderActor's pause is over.
    StartProvider(SenderNo),
    /// A crashed AuditActor's pause is over.
    StartAudit,
    /// Look through the parked receipts.
    ClearLot,
}

/// The end of a commit.
pub(crate) struct Landed {
    result: Result<(), CommitError>,
    changed: Vec<MessageId>,
    named: Vec<ProviderId>,
    seq: Seq,
    after: After,
}

/// What a commit was for.
enum After {
    /// A message was accepted.
    Accepted { key: Option<String>, message: Arc<Message>, state: Arc<MessageState> },
    /// A MessageActor's step.
    Proposed { to: Address<MessageMsg>, state: Arc<MessageState> },
    /// Messages changed from outside; those with actors are to follow.
    Changed,
    /// The organisation changed.
    Record,
}

pub(crate) struct OrgActor;

pub(crate) struct Args {
    pub(crate) ctx: Arc<Context>,
    pub(crate) root: Address<RootMsg>,
    pub(crate) record: Arc<Org>,
    /// Whether the store has this record already.
    pub(crate) is_kept: bool,
    pub(crate) vitals: Arc<Vitals>,
}

pub(crate) struct State {
    ctx: Arc<Context>,
    root: Address<RootMsg>,
    me: Address<OrgMsg>,
    vitals: Arc<Vitals>,
    record: Arc<Org>,
    is_kept: bool,
    ledger: Ledger,
    /// Requests with an idempotency key on their way; bounded by the permits of the requests.
    pending: HashMap<String, Pending>,
    lot: Lot,
    arrivals: Arrivals,
    providers: HashMap<SenderNo, Child<ProviderMsg>>,
    /// What is remembered of ProviderActors that are down.
    crashes: HashMap<SenderNo, (Crashes, Option<Arc<Vitals>>)>,
    /// Crashes of messages; an entry goes when its message ends or is given up.
    message_crashes: HashMap<MessageId, Crashes>,
    audit: Option<Child<AuditMsg>>,
    /// When `Wake` comes.
    alarm: Option<(Timestamp, AbortHandle)>,
    /// Senders with messages that are due and wait for room: new ones then go behind them.
    crowded: HashSet<SenderNo>,
}

/// A child that is started again when it crashes.
struct Child<M> {
    address: Address<M>,
    crashes: Crashes,
}

impl<M: ractor::Message> Child<M> {
    /// How long to wait before starting it again; an error once its budget is used up.
    fn crashed(
        &mut self,
        budget: &Budget,
        now: Timestamp,
        cause: Option<String>,
    ) -> Result<Duration, ActorProcessingErr> {
        let vitals = self.address.vitals();
        let cause = cause.unwrap_or_else(|| "ended without being told to".into());
        tracing::error!(kind = vitals.kind.as_str(), id = %vitals.id, %cause, "an actor crashed");
        vitals.crashed(cause);
        match self.crashes.note(budget, now) {
            Verdict::Restart(after) => Ok(after),
            Verdict::GiveUp => Err(format!("its {} actor crashes again and again", vitals.kind.as_str()).into()),
        }
    }
}

impl Actor for OrgActor {
    type Msg = OrgMsg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, myself: ActorRef<OrgMsg>, args: Args) -> Result<State, ActorProcessingErr> {
        let Args { ctx, root, record, is_kept, vitals } = args;
        let ledger = Ledger::take_over(ctx.store.clone(), record.no)?;
        let lot = Lot::load(&ctx.store, record.no)?;
        let me = Address::new(myself, Arc::clone(&vitals));
        let timer = me.clone();
        tokio::spawn(async move {
            while timer.actor().get_status() < ractor::ActorStatus::Stopping {
                tokio::time::sleep(LOT_EVERY).await;
                timer.send(OrgMsg::ClearLot);
            }
        });
        Ok(State {
            ctx,
            root,
            me,
            vitals,
            record,
            is_kept,
            ledger,
            pending: HashMap::new(),
            lot,
            arrivals: Arrivals::default(),
            providers: HashMap::new(),
            crashes: HashMap::new(),
            message_crashes: HashMap::new(),
            audit: None,
            alarm: None,
            crowded: HashSet::new(),
        })
    }

    async fn post_start(&self, _myself: ActorRef<OrgMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        if state.is_kept {
            state.claim()?;
        }
        state.start_audit().await?;
        state.start_probing().await?;
        state.fill().await?;
        state.show();
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<OrgMsg>,
        mail: OrgMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.vitals.begin(mail.label(), state.ctx.clock.now());
        match mail {
            OrgMsg::Accept(accept) => state.accept(*accept)?,
            OrgMsg::Webhook(webhook) => state.webhook(webhook)?,
            OrgMsg::Manual(request) => state.manual(request)?,
            OrgMsg::Change(request) => state.change(*request)?,
            OrgMsg::Message(ToOrg::Propose(proposal)) => state.propose(*proposal)?,
            OrgMsg::Message(ToOrg::Idle { id, incarnation, version }) => state.idle(id, incarnation, version).await?,
            OrgMsg::Template(status) => state.template_status(&status)?,
            OrgMsg::Explain { message, reply } => state.explain(message, reply),
            OrgMsg::Provider(mail) => state.follow_provider(mail).await?,
            OrgMsg::Landed(landed) => state.landed(*landed).await?,
            OrgMsg::Wake => state.wake().await?,
            OrgMsg::Revive(id) => state.revive(id).await?,
            OrgMsg::StartProvider(no) => state.restart_provider(no).await?,
            OrgMsg::StartAudit => state.start_audit().await?,
            OrgMsg::ClearLot => state.clear_lot()?,
        }
        state.show();
        state.vitals.end();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<OrgMsg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(child, _, _) => state.child_ended(&child, None).await,
            SupervisionEvent::ActorFailed(child, cause) => state.child_ended(&child, Some(cause.to_string())).await,
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => Ok(()),
        }
    }
}

impl OrgMsg {
    const fn label(&self) -> &'static str {
        match self {
            Self::Accept(_) => "accepting a message",
            Self::Webhook(_) => "recording receipts",
            Self::Manual(_) => "following a person's wish",
            Self::Change(_) => "changing the organisation",
            Self::Message(ToOrg::Propose(_)) => "recording a step",
            Self::Message(ToOrg::Idle { .. }) => "letting an actor go",
            Self::Provider(_) => "following a sender",
            Self::Template(_) => "following a template",
            Self::Explain { .. } => "explaining",
            Self::Landed(_) => "following a commit",
            Self::Wake => "looking at what is due",
            Self::Revive(_) | Self::StartProvider(_) | Self::StartAudit => "starting an actor again",
            Self::ClearLot => "looking through parked receipts",
        }
    }
}

impl From<ToOrg> for OrgMsg {
    fn from(mail: ToOrg) -> Self {
        Self::Message(mail)
    }
}

impl TryFrom<OrgMsg> for ToOrg {
    type Error = &'static str;

    fn try_from(mail: OrgMsg) -> Result<Self, Self::Error> {
        let OrgMsg::Message(mail) = mail else { return Err("not mail of a MessageActor") };
        Ok(mail)
    }
}

impl TryFrom<OrgMsg> for FromProvider {
    type Error = &'static str;

    fn try_from(mail: OrgMsg) -> Result<Self, Self::Error> {
        let OrgMsg::Provider(mail) = mail else { return Err("not mail of a ProviderActor") };
        Ok(mail)
    }
}

impl State {
    /// Makes the new epoch durable before anything else, so that an older owner is fenced off.
    fn claim(&mut self) -> Result<(), ActorProcessingErr> {
        let committer = self.ctx.committer.clone();
        let slot = committer.reserve()?;
        let mut draft = self.ledger.draft(self.ctx.clock.now(), By::System);
        self.ledger.close(&mut draft)?;
        self.submit(slot, draft, After::Changed, |_| ());
        Ok(())
    }

    /// Hands in a draft. `then` is called from the commit thread, before `Landed` is handled.
    fn submit(
        &self,
        slot: Slot<'_>,
        draft: Draft,
        after: After,
        then: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) {
        let Draft { commit, changed, named, .. } = draft;
        let (me, seq) = (self.me.clone(), self.ledger.head.last_seq);
        slot.submit(commit, move |result| {
            then(result.clone());
            me.send(OrgMsg::Landed(Box::new(Landed { result, changed, named, seq, after })));
        });
    }

    async fn landed(&mut self, landed: Landed) -> Result<(), ActorProcessingErr> {
        let Landed { result, changed, named, seq, after } = landed;
        match result {
            Ok(()) => {}
            // Another owner has taken over: this one must end.
            Err(CommitError::Fenced) => return Err(CommitError::Fenced.into()),
            // The store is unwell; the process will end in order. What was not written did not happen, and whoever
            // waits for it learns so by the end of its channel.
            Err(CommitError::Store(_)) => {
                self.pending.clear();
                return Ok(());
            }
        }
        let due = if matches!(after, After::Changed) { self.follow(&changed) } else { Vec::new() };
        self.ledger.landed(&changed, &named);
        self.arrivals.landed(seq);
        self.tell_audit(seq);
        match after {
            After::Accepted { key, message, state } => self.accepted(key, message, state).await?,
            After::Proposed { to, state } => to.send(MessageMsg::Durable(state)),
            After::Changed => {}
            After::Record => self.recorded().await?,
        }
        for (message, state) in due {
            self.welcome(message, state).await?;
        }
        Ok(())
    }

    /// Tells the actors of messages of a change that they did not propose; what is due and has none is returned.
    fn follow(&self, changed: &[MessageId]) -> Vec<Snapshot> {
        let mut due = Vec::new();
        for card in changed.iter().filter_map(|id| self.ledger.desk.card(*id)) {
            match self.ledger.desk.resident(card.message.id) {
                Some(resident) => resident.address.send(MessageMsg::Changed(Arc::clone(&card.state))),
                None if card.state.due().is_some() => due.push((Arc::clone(&card.message), Arc::clone(&card.state))),
                None => {}
            }
        }
        due
    }

    /// A sender whose actor is not running holds nothing: the reply's end says so.
    fn explain(&self, message: Arc<Message>, reply: oneshot::Sender<Held>) {
        if let Some(child) = self.providers.get(&message.sender) {
            child.address.send(ProviderMsg::Explain { message, reply });
        }
    }

    async fn wake(&mut self) -> Result<(), ActorProcessingErr> {
        self.alarm = None;
        self.fill().await
    }

    fn show(&self) {
        let head = &self.ledger.head;
        self.vitals.show(vec![
            ("queued", head.count(Status::Queued).into()),
            ("sending", head.count(Status::Sending).into()),
            ("resident", self.ledger.desk.residents().into()),
            ("parkedReceipts", self.lot.len().into()),
            ("auditEntries", head.last_seq.into()),
        ]);
    }
}
