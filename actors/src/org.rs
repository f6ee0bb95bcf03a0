//! OrgActor: the only writer of one organisation's data. Accepts, keeps the order, commits, and tends its children.
//!
//! It never waits for the disk: a commit is handed in, and `Committed` comes back when it is durable.

pub(crate) mod accept;
mod active_set;
pub(crate) mod billing;
pub(crate) mod change;
mod children;
mod commit_slot;
mod committed;
pub(crate) mod consent;
pub(crate) mod erasure;
mod expiry;
mod inbound;
pub(crate) mod manual;
mod notices;
pub(crate) mod passivation;
mod people;
mod quota;
mod receipts;
mod residents;
pub(crate) mod restored;
pub(crate) mod retention_sweep;
mod scopes;
pub(crate) mod templates;
mod uncommitted;
mod writer;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use domain::audit::Denial;
use domain::consent::Consent;
use domain::org::{ApiKey, Org};
use domain::state::Status;
use domain::{Message, MessageId, SenderNo, Timestamp};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::address::Address;
use crate::audit::AuditMsg;
use crate::context::Context;
use crate::figures::{Figures, OrgFigures};
use crate::message::ToOrg;
use crate::provider::{FromProvider, ProviderMsg, SenderGates};
use crate::restart::Crashes;
use crate::supervisor::RootMsg;
use crate::vitals::{Kind, Vitals};
use accept::{Accept, Pending};
use billing::Billing;
use change::ChangeRequest;
pub use change::OrgChange;
use children::Child;
use committed::{After, Committed};
use consent::ConsentRequest;
use erasure::{EraseRequest, Erasures};
use inbound::Arrivals;
use manual::ManualRequest;
use notices::Notices;
use people::People;
use quota::Meter;
use receipts::ParkedReceipts;
pub(crate) use receipts::Webhook;
pub use receipts::{Arrival, News};
use restored::ReleaseRequest;
use retention_sweep::RetentionSweep;
use templates::TemplateStatus;
use uncommitted::Uncommitted;
use writer::OrgWriter;
pub use writer::Snapshot;

/// Messages to an OrgActor.
pub(crate) enum OrgMsg {
    /// Accept a message.
    Accept(Box<Accept>),
    /// Receipts for this organisation.
    Webhook(Webhook),
    /// A person's wish about a message.
    Manual(ManualRequest),
    /// A change of the organisation.
    Change(Box<ChangeRequest>),
    /// A person decides about what is held since a restore.
    ReleaseHeld(ReleaseRequest),
    /// One of its keys was refused.
    Denied { key: ApiKey, denial: Denial },
    /// What a client tells of a recipient's consent.
    Consent(Box<ConsentRequest>),
    /// A person's data is to be erased.
    Erase(Box<EraseRequest>),
    /// Time for the next step of an erasure.
    EraseNext,
    /// Time to see whether something was kept long enough, or for the next step of it.
    Sweep,
    /// Meta's word on a template.
    Template(TemplateStatus),
    /// What holds a message at its sender: its ProviderActor answers.
    Explain { message: Arc<Message>, reply: oneshot::Sender<SenderGates> },
    /// A MessageActor speaks.
    Message(ToOrg),
    /// A ProviderActor speaks.
    Provider(FromProvider),
    /// A commit is durable, or never will be.
    Committed(Box<Committed>),
    /// Something is due.
    Wake,
    /// A crashed MessageActor's pause is over.
    Revive(MessageId),
    /// A crashed ProviderActor's pause is over.
    StartProvider(SenderNo),
    /// A crashed AuditActor's pause is over.
    StartAudit,
    /// Look through the parked receipts.
    ClearParked,
    /// Time to see whether it still has something to do.
    CheckIdle,
    /// The root passivates it, if it still has nothing to do.
    Passivate,
    /// The settings changed.
    Reconfigured,
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
    writer: OrgWriter,
    /// Requests with an idempotency key on their way; bounded by the permits of the requests.
    pending: HashMap<String, Pending>,
    parked: ParkedReceipts,
    arrivals: Arrivals,
    notices: Notices,
    /// What is known of consent by commits on their way.
    uncommitted_consents: Uncommitted<String, Consent>,
    people: People,
    billing: Billing,
    erasures: Erasures,
    sweep: RetentionSweep,
    meter: Meter,
    providers: BTreeMap<SenderNo, Child<ProviderMsg>>,
    /// Crashes of messages; an entry goes when its message ends or is given up.
    message_crashes: HashMap<MessageId, Crashes>,
    audit: Child<AuditMsg>,
    /// When `Wake` comes.
    alarm: Option<(Timestamp, AbortHandle)>,
    /// Senders with messages that are due and wait for room: new ones then go behind them.
    crowded: HashSet<SenderNo>,
    /// Commits handed in whose end has not come back.
    pending_commits: usize,
    /// Whether anything was asked of it since it was last looked at.
    is_busy: bool,
    /// It is being passivated: what still comes goes back to the root.
    is_passivating: bool,
    /// Whether `ClearParked` is on its way.
    is_parked_armed: bool,
}

impl Actor for OrgActor {
    type Msg = OrgMsg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, myself: ActorRef<OrgMsg>, args: Args) -> Result<State, ActorProcessingErr> {
        let Args { ctx, root, record, is_kept, vitals } = args;
        let writer = OrgWriter::take_over(Arc::clone(&ctx), record.no)?;
        let parked = ParkedReceipts::load(&ctx.store, record.no)?;
        let erasures = Erasures::load(&ctx.store, record.no)?;
        let billing = Billing::load(&ctx.store, record.no)?;
        let meter = Meter::load(&ctx.store, record.no, record.quotas)?;
        let me = Address::new(myself, Arc::clone(&vitals));
        let audit = Child::new(vitals.child(Kind::Audit, record.id.as_str(), ctx.clock.now()));
        Ok(State {
            ctx,
            root,
            me,
            vitals,
            record,
            is_kept,
            writer,
            pending: HashMap::new(),
            parked,
            arrivals: Arrivals::default(),
            notices: Notices::default(),
            uncommitted_consents: Uncommitted::default(),
            people: People::default(),
            billing,
            erasures,
            sweep: RetentionSweep::default(),
            meter,
            providers: BTreeMap::new(),
            message_crashes: HashMap::new(),
            audit,
            alarm: None,
            crowded: HashSet::new(),
            pending_commits: 0,
            is_busy: false,
            is_passivating: false,
            is_parked_armed: false,
        })
    }

    async fn post_start(&self, _myself: ActorRef<OrgMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        let (vitals, ctx) = (Arc::clone(&state.vitals), Arc::clone(&state.ctx));
        vitals.at_work(&ctx, "starting", state.begin()).await
    }

    async fn handle(
        &self,
        _myself: ActorRef<OrgMsg>,
        msg: OrgMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (vitals, ctx) = (Arc::clone(&state.vitals), Arc::clone(&state.ctx));
        vitals.attend(&ctx, msg.label(), state.react(msg)).await
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<OrgMsg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (child, cause) = match event {
            SupervisionEvent::ActorTerminated(child, _, _) => (child, None),
            SupervisionEvent::ActorFailed(child, cause) => (child, Some(cause.to_string())),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let (vitals, ctx) = (Arc::clone(&state.vitals), Arc::clone(&state.ctx));
        vitals.at_work(&ctx, "following a child's end", state.child_ended(&child, cause)).await
    }
}

impl OrgMsg {
    const fn label(&self) -> &'static str {
        match self {
            Self::Accept(_) => "accepting a message",
            Self::Webhook(_) => "recording receipts",
            Self::Manual(_) => "following a person's wish",
            Self::Change(_) => "changing the organisation",
            Self::ReleaseHeld(_) => "releasing held messages",
            Self::Consent(_) => "recording a consent",
            Self::Message(ToOrg::Propose(_)) => "recording a step",
            Self::Message(ToOrg::Idle { .. }) => "letting an actor go",
            Self::Provider(_) => "following a sender",
            Self::Erase(_) | Self::EraseNext => "erasing a person's data",
            Self::Sweep => "looking for what was kept long enough",
            Self::Denied { .. } => "recording a refusal",
            Self::Template(_) => "following a template",
            Self::Explain { .. } => "explaining",
            Self::Committed(_) => "following a commit",
            Self::Wake => "looking at what is due",
            Self::Revive(_) => "starting a message again",
            Self::StartProvider(_) => "starting a sender again",
            Self::StartAudit => "starting the audit again",
            Self::ClearParked => "looking through parked receipts",
            Self::CheckIdle => "looking for work",
            Self::Passivate => "leaving",
            Self::Reconfigured => "following new settings",
        }
    }
}

impl From<ToOrg> for OrgMsg {
    fn from(msg: ToOrg) -> Self {
        Self::Message(msg)
    }
}

impl TryFrom<OrgMsg> for ToOrg {
    type Error = &'static str;

    fn try_from(msg: OrgMsg) -> Result<Self, Self::Error> {
        let OrgMsg::Message(msg) = msg else { return Err("not a message of a MessageActor") };
        Ok(msg)
    }
}

impl TryFrom<OrgMsg> for FromProvider {
    type Error = &'static str;

    fn try_from(msg: OrgMsg) -> Result<Self, Self::Error> {
        let OrgMsg::Provider(msg) = msg else { return Err("not a message of a ProviderActor") };
        Ok(msg)
    }
}

impl State {
    async fn begin(&mut self) -> Result<(), ActorProcessingErr> {
        if self.is_kept {
            self.claim()?;
        }
        self.start_audit().await?;
        self.start_probing().await?;
        self.fill().await?;
        self.check_idle_later();
        self.watch_parked();
        self.erase_on();
        self.sweep_when_due()?;
        self.show();
        Ok(())
    }

    /// One arm for each message.
    async fn react(&mut self, msg: OrgMsg) -> Result<(), ActorProcessingErr> {
        if self.is_passivating {
            self.send_back(msg);
            return Ok(());
        }
        self.is_busy |= !matches!(msg, OrgMsg::CheckIdle | OrgMsg::Passivate | OrgMsg::ClearParked | OrgMsg::Sweep);
        match msg {
            OrgMsg::Accept(accept) => self.accept(*accept)?,
            OrgMsg::Webhook(webhook) => self.webhook(webhook)?,
            OrgMsg::Manual(request) => self.manual(request)?,
            OrgMsg::Change(request) => self.change(*request)?,
            OrgMsg::ReleaseHeld(request) => self.release_held(request)?,
            OrgMsg::Consent(request) => self.consent(*request)?,
            OrgMsg::Message(ToOrg::Propose(proposal)) => self.propose(*proposal)?,
            OrgMsg::Message(ToOrg::Idle { id, incarnation, version }) => self.idle(id, incarnation, version).await?,
            OrgMsg::Denied { key, denial } => self.denied(&key, denial)?,
            OrgMsg::Erase(request) => self.erase(*request)?,
            OrgMsg::EraseNext => self.erase_next()?,
            OrgMsg::Sweep => self.sweep()?,
            OrgMsg::Template(status) => self.template_status(&status)?,
            OrgMsg::Explain { message, reply } => self.explain(message, reply),
            OrgMsg::Provider(msg) => self.follow_provider(msg).await?,
            OrgMsg::Committed(committed) => self.committed(*committed).await?,
            OrgMsg::Wake => self.wake().await?,
            OrgMsg::Revive(id) => self.revive(id).await?,
            OrgMsg::StartProvider(no) => self.restart_provider(no).await?,
            OrgMsg::StartAudit => self.start_audit().await?,
            OrgMsg::ClearParked => self.clear_parked()?,
            OrgMsg::CheckIdle => self.check_idle()?,
            OrgMsg::Passivate => self.passivate()?,
            OrgMsg::Reconfigured => self.recorded().await?,
        }
        self.show();
        Ok(())
    }

    /// A sender whose actor is not running holds nothing: the reply's end says so.
    fn explain(&self, message: Arc<Message>, reply: oneshot::Sender<SenderGates>) {
        if let Some(provider) = self.running_provider(message.sender) {
            provider.send(ProviderMsg::Explain { message, reply });
        }
    }

    async fn wake(&mut self) -> Result<(), ActorProcessingErr> {
        self.alarm = None;
        self.fill().await
    }

    fn show(&self) {
        let head = &self.writer.head;
        self.vitals.show(Figures::Org(OrgFigures {
            queued: head.count(Status::Queued),
            sending: head.count(Status::Sending),
            resident: self.writer.active.residents(),
            parked_receipts: self.parked.len(),
            erasures: self.erasures.len(),
            purged: self.writer.upkeep.purged.total(),
            audit_entries: head.last_seq,
        }));
    }
}
