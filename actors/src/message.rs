//! MessageActor: one message that is being worked on. Decides what happens next, proposes it to its OrgActor, and acts
//! once that is durable. It keeps its own retry timer and leaves when there is nothing to do for long.

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
use crate::turn::{Call, Flight, Turn};
use crate::vitals::Vitals;

/// How long to wait before proposing again when the commit queue was full.
const BUSY_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// For so long after a recipient wrote, anything may be sent to them; later only templates.
pub(crate) const WINDOW: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Mail to a MessageActor.
pub(crate) enum MessageMsg {
    /// Its timer has run out. An older timer's number is ignored.
    Timer(u64),
    /// It may make one call.
    Turn(Turn, Flight),
    /// Its sender cannot send it now, and says until when.
    Hold(Event),
    /// Its sender is paused: it is to leave, and keeps its place in the due index.
    Leave,
    /// What it proposed is durable.
    Durable(Arc<MessageState>),
    /// What it proposed was decided on a state that is no longer the latest: this one is.
    Refused(Arc<MessageState>),
    /// What it proposed cannot be taken now; propose again in a moment.
    Busy,
    /// Somebody else moved it on: a receipt, or a person.
    Changed(Arc<MessageState>),
    /// Its call came back.
    Settled { attempt: AttemptNo, answer: Box<Answer>, flight: Flight },
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
    Resting,
    /// Its sender's turn.
    Asking,
    /// The commit of what it proposed, and what it will then need.
    Proposed { event: Event, turn: Option<Turn>, flight: Option<Flight>, response: Option<(AttemptNo, Vec<u8>)> },
    /// The answer to its call.
    Calling,
}

impl Actor for MessageActor {
    type Msg = MessageMsg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, myself: ActorRef<MessageMsg>, args: Args) -> Result<State, ActorProcessingErr> {
        let me = Address::new(myself, Arc::clone(&args.vitals));
        Ok(State { args, me, stage: Stage::Resting, timer: None, timer_no: 0 })
    }

    async fn post_start(&self, _myself: ActorRef<MessageMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        let (vitals, ctx) = (Arc::clone(&state.args.vitals), Arc::clone(&state.args.ctx));
        vitals.at_work(&ctx, "starting", async { state.plan() }).await;
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<MessageMsg>,
        mail: MessageMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (vitals, ctx) = (Arc::clone(&state.args.vitals), Arc::clone(&state.args.ctx));
        vitals.attend(&ctx, mail.label(), async { state.react(mail) }).await
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
            Self::Turn(..) => "beginning an attempt",
            Self::Hold(_) => "stepping back",
            Self::Leave => "leaving its sender",
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
    /// The table of its mail.
    fn react(&mut self, mail: MessageMsg) -> Result<(), ActorProcessingErr> {
        match mail {
            MessageMsg::Timer(no) => self.timer(no),
            MessageMsg::Turn(turn, flight) => self.turn(turn, flight)?,
            MessageMsg::Hold(event) => self.held(event),
            MessageMsg::Leave => self.leave(),
            MessageMsg::Durable(next) => self.durable(next)?,
            MessageMsg::Refused(latest) => self.refused(latest),
            MessageMsg::Busy => self.arm(self.args.ctx.clock.now().after(BUSY_PAUSE)),
            MessageMsg::Changed(latest) => self.changed(latest),
            MessageMsg::Settled { attempt, answer, flight } => self.settled(attempt, *answer, flight),
            MessageMsg::Provider(provider) => self.provider_changed(provider),
        }
        Ok(())
    }

    /// Rests until something is to be done, or does it now.
    fn plan(&mut self) {
        self.stage = Stage::Resting;
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
            Phase::Sending { due } if due <= now => match ctx.clock.deaf_until(ctx.settings().policy.stale_after) {
                Some(until) => self.arm(until),
                None => self.propose(Event::Lapse, None, None, None),
            },
            Phase::Queued { due } | Phase::Sending { due } if due > now => {
                self.arm(due);
                self.idle();
            }
            // Its number has gone. When it comes back, the due index has kept the message's place.
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

    fn tell_org(&self, mail: ToOrg) {
        // If the OrgActor is gone, this actor is being killed with it.
        let _ = self.args.org.cast(mail);
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
        match std::mem::replace(&mut self.stage, Stage::Resting) {
            Stage::Resting => self.plan(),
            Stage::Asking => {
                // Its turn did not come before it expired.
                self.withdraw();
                self.plan();
            }
            // The store was busy: the same again.
            Stage::Proposed { event, turn, flight, response } => self.propose(event, turn, flight, response),
            Stage::Calling => self.stage = Stage::Calling,
        }
    }

    fn turn(&mut self, turn: Turn, flight: Flight) -> Result<(), ActorProcessingErr> {
        // A turn that comes too late is given back by its drop.
        if matches!(self.stage, Stage::Asking) {
            self.disarm();
            if self.is_window_closed()? {
                self.propose(Event::WindowClosed, None, None, None);
            } else {
                self.propose(Event::Turn, Some(turn), Some(flight), None);
            }
        }
        Ok(())
    }

    fn held(&mut self, event: Event) {
        if matches!(self.stage, Stage::Asking) {
            self.disarm();
            self.propose(event, None, None, None);
        }
    }

    fn leave(&mut self) {
        if matches!(self.stage, Stage::Asking) {
            self.stage = Stage::Resting;
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
        turn: Option<Turn>,
        flight: Option<Flight>,
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
                self.stage = Stage::Proposed { event, turn, flight, response };
            }
            Decision::Ignore(_) => self.plan(),
        }
    }

    fn durable(&mut self, next: Arc<MessageState>) -> Result<(), ActorProcessingErr> {
        self.args.state = next;
        match std::mem::replace(&mut self.stage, Stage::Resting) {
            Stage::Proposed { event: Event::Turn, turn: Some(turn), flight: Some(flight), .. }
                if matches!(self.args.state.phase, Phase::Sending { .. }) =>
            {
                self.call(turn, flight)?;
            }
            Stage::Proposed { .. } | Stage::Resting | Stage::Asking | Stage::Calling => self.plan(),
        }
        Ok(())
    }

    fn call(&mut self, turn: Turn, flight: Flight) -> Result<(), ActorProcessingErr> {
        let Args { message, state, provider, .. } = &self.args;
        let Some(attempt) = state.latest() else { return Ok(()) };
        let body = whatsapp::request::body(message, AttemptRef { message: message.id, attempt })?;
        self.stage = Stage::Calling;
        // Dropped where nobody can make it, it comes back as not sent.
        let call = Call::new(turn, flight, attempt, self.me.clone());
        if let Some(provider) = provider {
            provider.send(ProviderMsg::Call { call, message: Arc::clone(message), body: Bytes::from(body) });
        }
        Ok(())
    }

    /// Decides the same event again, on the state as it now is.
    fn refused(&mut self, latest: Arc<MessageState>) {
        self.args.state = latest;
        if let Stage::Proposed { event, turn, flight, response } = std::mem::replace(&mut self.stage, Stage::Resting) {
            self.propose(event, turn, flight, response);
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
            Stage::Resting | Stage::Asking => {
                self.withdraw();
                self.disarm();
                self.args.state = latest;
                self.plan();
            }
        }
    }

    fn settled(&mut self, attempt: AttemptNo, answer: Answer, flight: Flight) {
        if !matches!(self.stage, Stage::Calling) {
            return;
        }
        let response = answer.response.map(|body| (attempt, body));
        let event = Event::Settled { attempt, outcome: answer.outcome, wait: answer.retry_after };
        self.propose(event, None, Some(flight), response);
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
