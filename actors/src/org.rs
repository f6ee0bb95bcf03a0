//! OrgActor: the only writer of one organisation's data. Accepts, keeps the order, commits, and tends its children.
//!
//! It never waits for the disk: a commit is handed in, and `Landed` comes back when it is durable.

pub(crate) mod accept;
pub(crate) mod billing;
pub(crate) mod change;
mod children;
pub(crate) mod consent;
mod desk;
pub(crate) mod erasure;
mod expiry;
mod fresh;
mod inbound;
mod landing;
mod ledger;
pub(crate) mod manual;
mod notices;
mod people;
mod place;
mod quota;
mod receipts;
mod residents;
pub(crate) mod rest;
pub(crate) mod restored;
mod scopes;
pub(crate) mod templates;
pub(crate) mod upkeep;

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
use crate::provider::{FromProvider, Held, ProviderMsg};
use crate::restart::Crashes;
use crate::supervisor::RootMsg;
use crate::vitals::{Kind, Vitals};
use accept::{Accept, Pending};
use billing::Billing;
use change::ChangeRequest;
pub use change::OrgChange;
use children::Child;
use consent::ConsentRequest;
use erasure::{EraseRequest, Erasures};
use fresh::Fresh;
use inbound::Arrivals;
use landing::{After, Landed};
use ledger::Ledger;
pub use ledger::Snapshot;
use manual::ManualRequest;
use notices::Notices;
use people::People;
use quota::Meter;
use receipts::Lot;
pub(crate) use receipts::Webhook;
pub use receipts::{Arrival, News};
use restored::ReleaseRequest;
use templates::TemplateStatus;
use upkeep::Tending;

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
    Tend,
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
    /// Time to see whether it still has something to do.
    Rest,
    /// The root lets it leave, if it still has nothing to do.
    Leave,
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
    ledger: Ledger,
    /// Requests with an idempotency key on their way; bounded by the permits of the requests.
    pending: HashMap<String, Pending>,
    lot: Lot,
    arrivals: Arrivals,
    notices: Notices,
    /// What is known of consent by commits on their way.
    fresh: Fresh<String, Consent>,
    people: People,
    billing: Billing,
    erasures: Erasures,
    tending: Tending,
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
    unlanded: usize,
    /// Whether anything was asked of it since it was last looked at.
    is_busy: bool,
    /// It is leaving: what still comes goes back to the root.
    is_leaving: bool,
    /// Whether `ClearLot` is on its way.
    lot_armed: bool,
}

impl Actor for OrgActor {
    type Msg = OrgMsg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, myself: ActorRef<OrgMsg>, args: Args) -> Result<State, ActorProcessingErr> {
        let Args { ctx, root, record, is_kept, vitals } = args;
        let ledger = Ledger::take_over(Arc::clone(&ctx), record.no)?;
        let lot = Lot::load(&ctx.store, record.no)?;
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
            ledger,
            pending: HashMap::new(),
            lot,
            arrivals: Arrivals::default(),
            notices: Notices::default(),
            fresh: Fresh::default(),
            people: People::default(),
            billing,
            erasures,
            tending: Tending::default(),
            meter,
            providers: BTreeMap::new(),
            message_crashes: HashMap::new(),
            audit,
            alarm: None,
            crowded: HashSet::new(),
            unlanded: 0,
            is_busy: false,
            is_leaving: false,
            lot_armed: false,
        })
    }

    async fn post_start(&self, _myself: ActorRef<OrgMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        let (vitals, ctx) = (Arc::clone(&state.vitals), Arc::clone(&state.ctx));
        vitals.at_work(&ctx, "starting", state.begin()).await
    }

    async fn handle(
        &self,
        _myself: ActorRef<OrgMsg>,
        mail: OrgMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (vitals, ctx) = (Arc::clone(&state.vitals), Arc::clone(&state.ctx));
        vitals.attend(&ctx, mail.label(), state.react(mail)).await
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
            Self::Tend => "looking for what was kept long enough",
            Self::Denied { .. } => "recording a refusal",
            Self::Template(_) => "following a template",
            Self::Explain { .. } => "explaining",
            Self::Landed(_) => "following a commit",
            Self::Wake => "looking at what is due",
            Self::Revive(_) => "starting a message again",
            Self::StartProvider(_) => "starting a sender again",
            Self::StartAudit => "starting the audit again",
            Self::ClearLot => "looking through parked receipts",
            Self::Rest => "looking for work",
            Self::Leave => "leaving",
            Self::Reconfigured => "following new settings",
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
    async fn begin(&mut self) -> Result<(), ActorProcessingErr> {
        if self.is_kept {
            self.claim()?;
        }
        self.start_audit().await?;
        self.start_probing().await?;
        self.fill().await?;
        self.rest_later();
        self.watch_lot();
        self.erase_on();
        self.tend_when_due()?;
        self.show();
        Ok(())
    }

    /// The table of its mail.
    async fn react(&mut self, mail: OrgMsg) -> Result<(), ActorProcessingErr> {
        if self.is_leaving {
            self.send_back(mail);
            return Ok(());
        }
        self.is_busy |= !matches!(mail, OrgMsg::Rest | OrgMsg::Leave | OrgMsg::ClearLot | OrgMsg::Tend);
        match mail {
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
            OrgMsg::Tend => self.tend()?,
            OrgMsg::Template(status) => self.template_status(&status)?,
            OrgMsg::Explain { message, reply } => self.explain(message, reply),
            OrgMsg::Provider(mail) => self.follow_provider(mail).await?,
            OrgMsg::Landed(landed) => self.landed(*landed).await?,
            OrgMsg::Wake => self.wake().await?,
            OrgMsg::Revive(id) => self.revive(id).await?,
            OrgMsg::StartProvider(no) => self.restart_provider(no).await?,
            OrgMsg::StartAudit => self.start_audit().await?,
            OrgMsg::ClearLot => self.clear_lot()?,
            OrgMsg::Rest => self.rest()?,
            OrgMsg::Leave => self.leave()?,
            OrgMsg::Reconfigured => self.recorded().await?,
        }
        self.show();
        Ok(())
    }

    /// A sender whose actor is not running holds nothing: the reply's end says so.
    fn explain(&self, message: Arc<Message>, reply: oneshot::Sender<Held>) {
        if let Some(provider) = self.running_provider(message.sender) {
            provider.send(ProviderMsg::Explain { message, reply });
        }
    }

    async fn wake(&mut self) -> Result<(), ActorProcessingErr> {
        self.alarm = None;
        self.fill().await
    }

    fn show(&self) {
        let head = &self.ledger.head;
        self.vitals.show(Figures::Org(OrgFigures {
            queued: head.count(Status::Queued),
            sending: head.count(Status::Sending),
            resident: self.ledger.desk.residents(),
            parked_receipts: self.lot.len(),
            erasures: self.erasures.len(),
            purged: self.ledger.upkeep.purged.total(),
            audit_entries: head.last_seq,
        }));
    }
}
