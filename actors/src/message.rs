//! MessageActor: one message that is being worked on. Decides what happens next, proposes it to its OrgActor, and acts
//! once that is durable. It keeps its own retry timer and is passivated when there is nothing to do for long.

use std::sync::Arc;

use bytes::Bytes;
use domain::audit::By;
use domain::lifecycle::{Decision, Event, Move, decide};
use domain::state::Phase;
use domain::{AttemptNo, AttemptRef, Message, MessageId, OrgNo, State as MessageState, Timestamp};
use ractor::{Actor, ActorProcessingErr, ActorRef, DerivedActorRef, SupervisionEvent};
use store::StoreError;
use tokio::task::AbortHandle;
use whatsapp::Answer;

use crate::address::Address;
use crate::context::Context;
use crate::provider::ProviderMsg;
use crate::send_permit::{Call, InFlight, SendPermit};
use crate::vitals::Vitals;

/// How long to wait before proposing again when the commit queue was full.
const BUSY_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// For so long after a recipient wrote, anything may be sent to them; later only templates.
pub(crate) const WINDOW: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Messages to a MessageActor.
pub(crate) enum MessageMsg {
    /// Its timer has run out. An older timer's number is ignored.
    Timer(u64),
    /// It may make one call.
    Permit(SendPermit, InFlight),
    /// Its sender cannot send it now, and says until when.
    Postpone(Event),
    /// Its sender is paused: it is passivated, and its entry stays in the due index.
    Passivate,
    /// What it proposed is durable.
    Durable(Arc<MessageState>),
    /// What it proposed was decided on a state that is no longer the latest: this one is.
    Refused(Arc<MessageState>),
    /// What it proposed cannot be taken now; propose again in a moment.
    Busy,
    /// Somebody else moved it on: a receipt, or a person.
    Changed(Arc<MessageState>),
    /// Its call came back.
    Settled { attempt: AttemptNo, answer: Box<Answer>, in_flight: InFlight },
    /// Its sender's ProviderActor was started again, and knows of no one waiting; or there is none any more.
    Provider(Option<Address<ProviderMsg>>),
}

/// What a MessageActor tells its OrgActor.
pub(crate) enum ToOrg {
    /// Make this step durable.
    Propose(Box<Proposal>),
    /// There is nothing to do until its due time, if any: it may go.
    Idle { id: MessageId, incarnation: u64, version: u32 },
}

/// A step that a MessageActor has decided.
pub(crate) struct Proposal {
    pub(crate) id: MessageId,
    /// Which of the message's actors proposes: one that was replaced is not listened to.
    pub(crate) incarnation: u64,
    /// The state's version that it was decided on.
    pub(crate) base: u32,
    pub(crate) step: Move,
    pub(crate) by: By,
    /// The provider's answer, to be kept with the attempt.
    pub(crate) response: Option<(AttemptNo, Vec<u8>)>,
}

pub(crate) struct MessageActor;

pub(crate) struct Args {
    pub(crate) ctx: Arc<Context>,
    pub(crate) org: DerivedActorRef<ToOrg>,
    pub(crate) org_no: OrgNo,
    /// `None` while the organisation does not have its number.
    pub(crate) provider: Option<Address<ProviderMsg>>,
    pub(crate) message: Arc<Message>,
    pub(crate) state: Arc<MessageState>,
    pub(crate) incarnation: u64,
    pub(crate) vitals: Arc<Vitals>,
}

pub(crate) struct State {
    args: Args,
    me: Address<MessageMsg>,
    stage: Stage,
    timer: Option<AbortHandle>,
    timer_no: u64,
}

/// What it waits for.
enum Stage {
    /// Its timer, or a change from outside.
    Idle,
    /// Its sender's permit.
    Asking,
    /// The commit of what it proposed, and what it will then need.
    Proposed {
        event: Event,
        permit: Option<SendPermit>,
        in_flight: Option<InFlight>,
        response: Option<(AttemptNo, Vec<u8>)>,
    },
    /// The answer to its call.
    Calling,
}

impl Actor for MessageActor {
    type Msg = MessageMsg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, myself: ActorRef<MessageMsg>, args: Args) -> Result<State, ActorProcessingErr> {
        let me = Address::new(myself, Arc::clone(&args.vitals));
        Ok(State { args, me, stage: Stage::Idle, timer: None, timer_no: 0 })
    }

    async fn post_start(&self, _myself: ActorRef<MessageMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        let (vitals, ctx) = (Arc::clone(&state.args.vitals), Arc::clone(&state.args.ctx));
        vitals.at_work(&ctx, "starting", async { state.plan() }).await;
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<MessageMsg>,
        msg: MessageMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (vitals, ctx) = (Arc::clone(&state.args.vitals), Arc::clone(&state.args.ctx));
        vitals.attend(&ctx, msg.label(), async { state.react(msg) }).await
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<MessageMsg>,
        _event: SupervisionEvent,
        _state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // It has no children; the default would stop it.
        Ok(())
    }
}

impl MessageMsg {
    const fn label(&self) -> &'static str {
        match self {
            Self::Timer(_) => "looking at the time",
            Self::Permit(..) => "beginning an attempt",
            Self::Postpone(_) => "stepping back",
            Self::Passivate => "leaving its sender",
            Self::Durable(_) => "acting on a commit",
            Self::Refused(_) => "deciding again",
            Self::Busy => "waiting for the store",
            Self::Changed(_) => "following a change",
            Self::Settled { .. } => "recording an answer",
            Self::Provider(_) => "asking again",
        }
    }
}

impl State {
    /// One arm for each message.
    fn react(&mut self, msg: MessageMsg) -> Result<(), ActorProcessingErr> {
        match msg {
            MessageMsg::Timer(no) => self.timer(no),
            MessageMsg::Permit(permit, in_flight) => self.permit(permit, in_flight)?,
            MessageMsg::Postpone(event) => self.postponed(event),
            MessageMsg::Passivate => self.passivate(),
            MessageMsg::Durable(next) => self.durable(next)?,
            MessageMsg::Refused(latest) => self.refused(latest),
            MessageMsg::Busy => self.arm(self.args.ctx.clock.now().after(BUSY_PAUSE)),
            MessageMsg::Changed(latest) => self.changed(latest),
            MessageMsg::Settled { attempt, answer, in_flight } => self.settled(attempt, *answer, in_flight),
            MessageMsg::Provider(provider) => self.provider_changed(provider),
        }
        Ok(())
    }

    /// Waits until something is to be done, or does it now.
    fn plan(&mut self) {
        self.stage = Stage::Idle;
        let ctx = Arc::clone(&self.args.ctx);
        let now = ctx.clock.now();
        match self.args.state.phase {
            Phase::Queued { due } if due <= now && self.args.message.is_expired(now) => {
                self.propose(Event::Expiry, None, None, None);
            }
            Phase::Queued { due } if due <= now && self.args.provider.is_some() => {
                self.stage = Stage::Asking;
                self.ask();
                if let Some(at) = self.args.message.expires_at {
                    self.arm(at);
                }
            }
            // Its receipt may have come while the process stood still, and not be read yet.
            Phase::Sending { due } if due <= now => {
                match ctx.clock.catching_up_until(ctx.settings().policy.stale_after) {
                    Some(until) => self.arm(until),
                    None => self.propose(Event::OutcomeTimeout, None, None, None),
                }
            }
            Phase::Queued { due } | Phase::Sending { due } if due > now => {
                self.arm(due);
                self.idle();
            }
            // Its number has gone. When it comes back, the due index still has the message.
            Phase::Queued { .. } | Phase::Sending { .. } => self.idle(),
            Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => self.idle(),
        }
    }

    fn ask(&self) {
        let Args { provider, message, .. } = &self.args;
        if let Some(provider) = provider {
            provider.send(ProviderMsg::Ask { message: Arc::clone(message), reply: self.me.clone() });
        }
    }

    fn withdraw(&self) {
        if let Some(provider) = &self.args.provider {
            provider.send(ProviderMsg::Withdraw { message: Arc::clone(&self.args.message) });
        }
    }

    fn idle(&self) {
        let Args { message, incarnation, state, .. } = &self.args;
        self.tell_org(ToOrg::Idle { id: message.id, incarnation: *incarnation, version: state.version });
    }

    fn tell_org(&self, msg: ToOrg) {
        // If the OrgActor is gone, this actor is being killed with it.
        let _ = self.args.org.cast(msg);
    }

    fn arm(&mut self, at: Timestamp) {
        self.disarm();
        let (me, no) = (self.me.clone(), self.timer_no);
        let wait = at.since(self.args.ctx.clock.now());
        let sleeper = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            me.send(MessageMsg::Timer(no));
        });
        self.timer = Some(sleeper.abort_handle());
    }

    fn disarm(&mut self) {
        // It may be on its way already.
        self.timer_no += 1;
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
    }

    fn timer(&mut self, no: u64) {
        if no != self.timer_no {
            return;
        }
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle => self.plan(),
            Stage::Asking => {
                // Its permit did not come before it expired.
                self.withdraw();
                self.plan();
            }
            // The store was busy: the same again.
            Stage::Proposed { event, permit, in_flight, response } => self.propose(event, permit, in_flight, response),
            Stage::Calling => self.stage = Stage::Calling,
        }
    }

    fn permit(&mut self, permit: SendPermit, in_flight: InFlight) -> Result<(), ActorProcessingErr> {
        // A permit that comes too late is given back by its drop.
        if matches!(self.stage, Stage::Asking) {
            self.disarm();
            if self.is_window_closed()? {
                self.propose(Event::WindowClosed, None, None, None);
            } else {
                self.propose(Event::SendPermit, Some(permit), Some(in_flight), None);
            }
        }
        Ok(())
    }

    fn postponed(&mut self, event: Event) {
        if matches!(self.stage, Stage::Asking) {
            self.disarm();
            self.propose(event, None, None, None);
        }
    }

    fn passivate(&mut self) {
        if matches!(self.stage, Stage::Asking) {
            self.stage = Stage::Idle;
            self.idle();
        }
    }

    /// Whether it is free-form and its recipient is known to have last written too long ago. Where nothing is known, it is
    /// sent, and Meta says.
    fn is_window_closed(&self) -> Result<bool, StoreError> {
        let Args { ctx, message, org_no, .. } = &self.args;
        let is_template = message.template_code.is_some() || message.template().is_some();
        if !ctx.settings().check_window || is_template {
            return Ok(false);
        }
        let last = ctx.store.last_inbound(*org_no, message.sender, message.to.as_str())?;
        Ok(last.is_some_and(|at| ctx.clock.now().since(at) >= WINDOW))
    }

    fn propose(
        &mut self,
        event: Event,
        permit: Option<SendPermit>,
        in_flight: Option<InFlight>,
        response: Option<(AttemptNo, Vec<u8>)>,
    ) {
        let Args { ctx, message, state, incarnation, .. } = &self.args;
        match decide(message, state, &event, &ctx.settings().policy, ctx.clock.now(), ctx.clock.roll()) {
            Decision::Move(step) => {
                let by = if matches!(event, Event::Settled { .. }) { By::WhatsApp } else { By::System };
                self.tell_org(ToOrg::Propose(Box::new(Proposal {
                    id: message.id,
                    incarnation: *incarnation,
                    base: state.version,
                    step: *step,
                    by,
                    response: response.clone(),
                })));
                self.stage = Stage::Proposed { event, permit, in_flight, response };
            }
            Decision::Ignore(_) => self.plan(),
        }
    }

    fn durable(&mut self, next: Arc<MessageState>) -> Result<(), ActorProcessingErr> {
        self.args.state = next;
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Proposed { event: Event::SendPermit, permit: Some(permit), in_flight: Some(in_flight), .. }
                if matches!(self.args.state.phase, Phase::Sending { .. }) =>
            {
                self.call(permit, in_flight)?;
            }
            Stage::Proposed { .. } | Stage::Idle | Stage::Asking | Stage::Calling => self.plan(),
        }
        Ok(())
    }

    fn call(&mut self, permit: SendPermit, in_flight: InFlight) -> Result<(), ActorProcessingErr> {
        let Args { message, state, provider, .. } = &self.args;
        let Some(attempt) = state.latest() else { return Ok(()) };
        let body = whatsapp::request::body(message, AttemptRef { message: message.id, attempt })?;
        self.stage = Stage::Calling;
        // Dropped where nobody can make it, it comes back as not sent.
        let call = Call::new(permit, in_flight, attempt, self.me.clone());
        if let Some(provider) = provider {
            provider.send(ProviderMsg::Call { call, message: Arc::clone(message), body: Bytes::from(body) });
        }
        Ok(())
    }

    /// Decides the same event again, on the state as it now is.
    fn refused(&mut self, latest: Arc<MessageState>) {
        self.args.state = latest;
        if let Stage::Proposed { event, permit, in_flight, response } = std::mem::replace(&mut self.stage, Stage::Idle)
        {
            self.propose(event, permit, in_flight, response);
        }
    }

    fn changed(&mut self, latest: Arc<MessageState>) {
        if latest.version <= self.args.state.version {
            return;
        }
        match self.stage {
            // The proposal will be refused with the latest state.
            Stage::Proposed { .. } => {}
            Stage::Calling => self.args.state = latest,
            Stage::Idle | Stage::Asking => {
                self.withdraw();
                self.disarm();
                self.args.state = latest;
                self.plan();
            }
        }
    }

    fn settled(&mut self, attempt: AttemptNo, answer: Answer, in_flight: InFlight) {
        if !matches!(self.stage, Stage::Calling) {
            return;
        }
        let response = answer.response.map(|body| (attempt, body));
        let event = Event::Settled { attempt, outcome: answer.outcome, wait: answer.retry_after };
        self.propose(event, None, Some(in_flight), response);
    }

    fn provider_changed(&mut self, provider: Option<Address<ProviderMsg>>) {
        self.args.provider = provider;
        if matches!(self.stage, Stage::Asking) {
            self.disarm();
            self.plan();
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.disarm();
    }
}
