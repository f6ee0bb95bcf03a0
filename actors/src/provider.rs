//! ProviderActor: one per phone number. Gives send permits within all that limits the number, and makes the calls.

mod grants;
mod limit;
mod scopes;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::backoff::Backoff;
use domain::gate::{TemplateGates, TemplateKey};
use domain::lifecycle::Event;
use domain::org::{PausedBy, Sender};
use domain::outcome::Outcome;
use domain::pace::Pace;
use domain::pair::Pairs;
use domain::throttle::TokenBucket;
use domain::{Failure, Message, MessageId, OrgId, OrgNo, OurCode, Priority, Timestamp, Wait, spelling};
use ractor::{Actor, ActorProcessingErr, ActorRef, DerivedActorRef, SupervisionEvent};
use tokio::task::AbortHandle;
use whatsapp::patience::within;
use whatsapp::{Answer, SendRequest};

use crate::address::Address;
use crate::context::Context;
use crate::figures::{Figures, ProviderFigures};
use crate::message::MessageMsg;
use crate::send_permit::Call;
use crate::vitals::{Status, Vitals};
use crate::ways::{SenderLimits, Throttle};
use limit::Limit;
pub(crate) use scopes::{FromProvider, Observation, SenderGates};

/// How long a pause may take to be recorded before the sender is tried again.
const PAUSE_IN: Duration = Duration::from_secs(5);
/// A sender that Meta's refusals paused is tried with one message after this, then ever more rarely …
const FIRST_PROBE_AFTER: Duration = Duration::from_secs(30);
/// … but at least so often.
const PROBE_AT_LEAST_EVERY: Duration = Duration::from_secs(1800);

/// Messages to a ProviderActor.
pub(crate) enum ProviderMsg {
    /// A message would like to be sent; it is given a send permit, or told why there is none for now.
    Ask { message: Arc<Message>, reply: Address<MessageMsg> },
    /// It no longer would.
    Withdraw { message: Arc<Message> },
    /// Make this call, with the send permit that was given for it.
    Call { call: Call, message: Arc<Message>, body: Bytes },
    /// What an answer, or a receipt, says of more than its message.
    Observed(Box<Observation>),
    /// This message was not taken, for a reason that says nothing of its sender.
    NotTaken(Arc<Message>),
    /// Another number of the same account or app is throttled, with this code, and tried again then.
    Slow { code: i64, until: Timestamp },
    /// It no longer is.
    Ease,
    /// A person says to try again now what does not work.
    TryNow,
    /// Meta says that a template may be used again.
    OpenTemplate(TemplateKey),
    /// Meta says that a template is paused.
    ShutTemplate(TemplateKey),
    /// A send permit comes back.
    Back { message: Arc<Message>, is_used: bool, is_probe: bool },
    /// There may be a token now.
    Refilled,
    /// Time to try whether the sender works again.
    Probe(u64),
    /// The sender's settings changed. `paused` holds for itself or with its organisation.
    Configure(Box<Sender>),
    /// Which gates hold a message, and how many are before it.
    Explain { message: Arc<Message>, reply: tokio::sync::oneshot::Sender<SenderGates> },
}

/// A position in the queue: the lane, then the order of asking.
type Position = (Priority, u64);

pub(crate) struct ProviderActor;

pub(crate) struct Args {
    pub(crate) ctx: Arc<Context>,
    pub(crate) org: DerivedActorRef<FromProvider>,
    pub(crate) org_id: OrgId,
    pub(crate) org_no: OrgNo,
    pub(crate) sender: Sender,
    pub(crate) vitals: Arc<Vitals>,
}

pub(crate) struct State {
    ctx: Arc<Context>,
    org: DerivedActorRef<FromProvider>,
    org_id: OrgId,
    org_no: OrgNo,
    sender: Sender,
    me: Address<ProviderMsg>,
    /// Who waits, in order. Bounded by the organisation's `max_resident`: only resident messages ask.
    queue: BTreeMap<Position, (Arc<Message>, Address<MessageMsg>)>,
    /// Where in the queue a message waits.
    positions: HashMap<MessageId, Position>,
    asked: u64,
    granted: u64,
    pace: Pace,
    bucket: TokenBucket,
    pairs: Pairs<String, MessageId>,
    templates: TemplateGates,
    /// Set while Meta throttles the number.
    limit: Option<Limit>,
    /// Send permits given and not yet back.
    out: usize,
    /// When `Refilled` comes, if it is on its way.
    refill: Option<(Duration, AbortHandle)>,
    /// No send permits until then: Meta refuses the sender, and its pause is on its way to the disk.
    stopped_until: Duration,
    probes: Backoff,
    /// The number of the probe that is awaited; an older one's message is ignored.
    probe_no: u64,
    probe: Option<(Timestamp, AbortHandle)>,
    /// Whether one message may be tried although the sender is paused.
    may_probe: bool,
}

impl Actor for ProviderActor {
    type Msg = ProviderMsg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, myself: ActorRef<ProviderMsg>, args: Args) -> Result<State, ActorProcessingErr> {
        let Args { ctx, org, org_id, org_no, sender, vitals } = args;
        let full = rate(&ctx, &sender);
        let pairs = Pairs::new(ctx.settings().pair_limit);
        let mut state = State {
            ctx,
            org,
            org_id,
            org_no,
            sender,
            me: Address::new(myself, vitals),
            queue: BTreeMap::new(),
            positions: HashMap::new(),
            asked: 0,
            granted: 0,
            pace: Pace::new(full),
            bucket: TokenBucket::new(full),
            pairs,
            templates: TemplateGates::default(),
            limit: None,
            out: 0,
            refill: None,
            stopped_until: Duration::ZERO,
            probes: Backoff::new(FIRST_PROBE_AFTER, PROBE_AT_LEAST_EVERY),
            probe_no: 0,
            probe: None,
            may_probe: false,
        };
        state.follow_pause();
        state.show();
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<ProviderMsg>,
        msg: ProviderMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (vitals, ctx) = (Arc::clone(state.me.vitals()), Arc::clone(&state.ctx));
        vitals.attend(&ctx, msg.label(), async { state.react(msg) }).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<ProviderMsg>,
        _event: SupervisionEvent,
        _state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // It has no children; the default would stop it.
        Ok(())
    }
}

fn rate(ctx: &Context, sender: &Sender) -> f64 {
    f64::from(sender.messages_per_second.unwrap_or(ctx.settings().messages_per_second))
}

impl ProviderMsg {
    const fn label(&self) -> &'static str {
        match self {
            Self::Ask { .. } => "queueing a message",
            Self::Withdraw { .. } => "letting a message go",
            Self::Call { .. } => "starting a call",
            Self::Observed(_) => "following an answer",
            Self::NotTaken(_) => "taking back a message",
            Self::Slow { .. } => "slowing down",
            Self::Ease => "speeding up",
            Self::TryNow => "trying again",
            Self::OpenTemplate(_) => "opening a template",
            Self::ShutTemplate(_) => "shutting a template",
            Self::Back { .. } => "taking back a turn",
            Self::Refilled => "refilling",
            Self::Probe(_) => "beginning a probe",
            Self::Configure(_) => "changing its settings",
            Self::Explain { .. } => "explaining",
        }
    }
}

impl State {
    /// One arm for each message.
    fn react(&mut self, msg: ProviderMsg) {
        match msg {
            ProviderMsg::Ask { message, reply } => self.ask(message, reply),
            ProviderMsg::Withdraw { message } => self.withdraw(&message),
            ProviderMsg::Call { call, message, body } => self.call(call, message, body),
            ProviderMsg::Observed(observation) => self.observed(*observation),
            ProviderMsg::NotTaken(message) => {
                let recipient = self.recipient(&message);
                self.pairs.not_taken(&recipient, message.id, self.ctx.clock.now());
            }
            ProviderMsg::Slow { code, until } => self.slow(code, until),
            ProviderMsg::Ease => self.ease(),
            ProviderMsg::TryNow => self.try_now(),
            ProviderMsg::OpenTemplate(template) => {
                self.templates.open(&template);
            }
            ProviderMsg::ShutTemplate(template) => {
                self.templates.refused(template, self.ctx.clock.now(), Duration::ZERO);
            }
            ProviderMsg::Back { message, is_used, is_probe } => self.back(&message, is_used, is_probe),
            ProviderMsg::Refilled => self.refill = None,
            ProviderMsg::Probe(no) => self.begin_probe(no),
            ProviderMsg::Configure(sender) => self.configure(*sender),
            ProviderMsg::Explain { message, reply } => {
                let _ = reply.send(self.explain(&message));
            }
        }
        self.grant();
        self.show();
    }

    fn ask(&mut self, message: Arc<Message>, reply: Address<MessageMsg>) {
        let id = message.id;
        let now = self.ctx.clock.now();
        // A message that asks again keeps its position: the actor that asked before may have been replaced.
        if let Some(position) = self.positions.get(&id) {
            self.queue.insert(*position, (message, reply));
            return;
        }
        let is_probe = self.sender.paused.is_some() && self.ctx.may_send() && std::mem::take(&mut self.may_probe);
        if self.sender.paused.is_some() && !is_probe {
            reply.send(MessageMsg::Passivate);
            return;
        }
        if let Some((until, wait)) = self.postponed_until(&message, now) {
            reply.send(MessageMsg::Postpone(Event::Postpone { until, wait }));
            return;
        }
        self.asked += 1;
        let position = (if is_probe { Priority::High } else { message.priority }, self.asked);
        self.positions.insert(id, position);
        self.queue.insert(position, (message, reply));
        if is_probe {
            self.grant_first(true);
        }
    }

    /// What postpones this message, beyond the sender's pace: its template, or its recipient; and until when.
    fn postponed_until(&mut self, message: &Message, now: Timestamp) -> Option<(Timestamp, Wait)> {
        let template = if self.templates.is_empty() { None } else { message.template() };
        if let Some(until) = template.as_ref().and_then(|template| self.templates.shut_until(template, now)) {
            return Some((until, Wait::Template));
        }
        let recipient = self.recipient(message);
        if let Err(until) = self.pairs.take(&recipient, message.id, now) {
            return Some((until, Wait::Pair));
        }
        if let Some(template) = template {
            self.templates.goes(&template, now);
        }
        None
    }

    /// Every name of a message's recipient: for Meta they are one user.
    fn recipient(&self, message: &Message) -> Vec<String> {
        let to = message.to.as_str();
        match self.ctx.store.known_names(self.org_no, to) {
            Ok(known) => known.names,
            // Of a store that cannot be read hears whoever has something to record.
            Err(_) => vec![spelling::canonical(to).into_owned()],
        }
    }

    /// It was cancelled, or its time is over: what its recipient may get is another's.
    fn withdraw(&mut self, message: &Message) {
        let (recipient, now) = (self.recipient(message), self.ctx.clock.now());
        match self.positions.remove(&message.id) {
            Some(position) => {
                self.queue.remove(&position);
                self.pairs.given_up(&recipient, now);
            }
            None => self.pairs.withdrawn(&recipient, &message.id, now),
        }
    }

    fn call(&self, mut call: Call, message: Arc<Message>, body: Bytes) {
        call.begin();
        let token = self.sender.access_token.clone();
        let sender = self.sender.phone_number_id.clone();
        let request = SendRequest { from: sender.clone(), token: token.clone(), body };
        let answer = self.ctx.provider.send(request);
        // By then the message's policy decides: no call may outlast that and meet the one that follows it.
        let answer = within(self.ctx.settings().policy.stale_after, answer);
        let cut_off = self.ctx.is_cut_off();
        let (me, ctx, org) = (self.me.clone(), Arc::clone(&self.ctx), self.org_id.clone());
        // Not tied to this actor: if it crashes, the answer still reaches its message.
        tokio::spawn(async move {
            let answer = tokio::select! {
                biased;
                answer = answer => answer,
                () = cut_off => {
                    let failure = Failure::new(OurCode::CutOff, "the service stopped before the answer came");
                    Some(Answer::none(Outcome::CutOff(failure), None))
                }
            };
            if let Some(mut answer) = answer {
                ctx.ways.learn(&org, &sender, &mut answer, ctx.clock.now());
                // Before the message is told: when it asks again, what postpones it is known here.
                let retry_after = answer.retry_after;
                let error = match &answer.outcome {
                    Outcome::Accepted(_) => Some(None),
                    Outcome::Refused(error) => Some(Some(error.clone())),
                    Outcome::NotSent(_) | Outcome::Unreachable(_) => {
                        me.send(ProviderMsg::NotTaken(Arc::clone(&message)));
                        None
                    }
                    Outcome::Unknown(_) | Outcome::CutOff(_) => None,
                };
                if let Some(error) = error {
                    me.send(ProviderMsg::Observed(Box::new(Observation {
                        message,
                        token: Some(token),
                        error,
                        retry_after,
                    })));
                }
                call.answer(answer);
            }
        });
    }

    fn configure(&mut self, sender: Sender) {
        let full = rate(&self.ctx, &sender);
        if (full - self.pace.full()).abs() > f64::EPSILON {
            self.pace = Pace::new(full);
        }
        self.sender = sender;
        self.stopped_until = Duration::ZERO;
        if self.sender.paused.is_some() {
            let now = self.ctx.clock.now();
            for (_, (message, reply)) in std::mem::take(&mut self.queue) {
                reply.send(MessageMsg::Passivate);
                // It asks for another when it comes back.
                let recipient = self.recipient(&message);
                self.pairs.given_up(&recipient, now);
            }
            self.positions.clear();
        }
        self.pairs.set_limit(self.ctx.settings().pair_limit);
        self.follow_pause();
    }

    fn show(&self) {
        let now = self.ctx.clock.uptime();
        self.me.vitals().show(Figures::Provider(ProviderFigures {
            queued: self.queue.len(),
            in_flight: self.out,
            per_second: self.pace.at(now),
            tokens: self.bucket.tokens(now),
            pairs: self.pairs.len(),
        }));
        self.show_limits();
    }

    /// What limits it, for those who look from outside.
    fn show_limits(&self) {
        let now = self.ctx.clock.now();
        let throttle = self.limit.as_ref().and_then(|limit| limit.throttle(now));
        let next_probe = self.probe.as_ref().map(|(at, _)| *at);
        let outage = self.ctx.ways.outage(&self.sender.phone_number_id, now);
        let status = if let Some(pause) = &self.sender.paused {
            let by = if pause.by == PausedBy::Meta { "meta" } else { "operator" };
            Some(("PAUSED", vec![("pausedReason", pause.reason.clone()), ("pausedBy", by.into())]))
        } else if let Some(outage) = outage.filter(|_| !self.queue.is_empty()) {
            Some((
                "UNREACHABLE",
                vec![("reason", outage.failure.message), ("nextProbeAt", outage.next_probe.to_string())],
            ))
        } else {
            let told =
                |throttle: &Throttle| vec![("code", throttle.code.to_string()), ("until", throttle.until.to_string())];
            throttle.as_ref().map(|throttle| ("THROTTLED", told(throttle)))
        };
        self.me.vitals().set_status(status.map(|(word, details)| Status { word, details }));
        self.ctx.ways.note(&self.sender.phone_number_id, &SenderLimits { throttle, next_probe });
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.cancel_probe();
        if let Some((_, refill)) = self.refill.take() {
            refill.abort();
        }
        self.ctx.ways.note(&self.sender.phone_number_id, &SenderLimits::default());
    }
}
