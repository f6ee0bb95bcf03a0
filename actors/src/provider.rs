//! ProviderActor: one per phone number. Gives turns within all that limits the number, and makes the calls.

mod scopes;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::gate::{Backoff, TemplateGates, TemplateKey};
use domain::lifecycle::Event;
use domain::org::{PausedBy, Sender};
use domain::outcome::Outcome;
use domain::pace::Pace;
use domain::pair::Pairs;
use domain::throttle::TokenBucket;
use domain::{Failure, Message, MessageId, OrgNo, Priority, Timestamp, Wait, spelling};
use ractor::{Actor, ActorProcessingErr, ActorRef, DerivedActorRef, SupervisionEvent};
use tokio::task::AbortHandle;
use whatsapp::patience::within;
use whatsapp::{Answer, SendRequest};

use crate::address::Address;
use crate::context::Context;
use crate::figures::{Figures, ProviderFigures};
use crate::message::MessageMsg;
use crate::turn::{Call, Turn};
use crate::vitals::{Status, Vitals};
pub(crate) use scopes::{FromProvider, Held, Observation};

/// After so many turns for those before them in a row, the first of a later lane gets one: nobody starves.
const LOW_EVERY: u64 = 20;
/// How often pairs that have rested are forgotten.
const FORGET_EVERY: u64 = 1024;
/// How long a pause may take to be recorded before the sender is tried again.
const PAUSE_IN: Duration = Duration::from_secs(5);
/// A sender that Meta's refusals paused is tried with one message after this, then ever more rarely …
const FIRST_PROBE_AFTER: Duration = Duration::from_secs(30);
/// … but at least so often.
const PROBE_AT_LEAST_EVERY: Duration = Duration::from_secs(1800);

/// How long until it is looked again whether sends may begin, while they may not.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// Mail to a ProviderActor.
pub(crate) enum ProviderMsg {
    /// A message would like to be sent; it is told when it is its turn, or why it is not for now.
    Ask { message: Arc<Message>, reply: Address<MessageMsg> },
    /// It no longer would.
    Withdraw { id: MessageId },
    /// Make this call, with the turn that was given for it.
    Call { call: Call, message: Arc<Message>, body: Bytes },
    /// What an answer, or a receipt, says of more than its message.
    Observed(Box<Observation>),
    /// Another number of the same account or app is throttled.
    Slow { rest: Option<Duration> },
    /// Meta says that a template may be used again.
    OpenTemplate(TemplateKey),
    /// Meta says that a template is paused.
    ShutTemplate(TemplateKey),
    /// A turn is over.
    Back { spent: bool },
    /// There may be a token now.
    Refilled,
    /// Time to try whether the sender works again.
    Probe(u64),
    /// The sender's settings changed. `paused` holds for itself or with its organisation.
    Configure(Box<Sender>),
    /// Which gates hold a message, and how many are before it.
    Explain { message: Arc<Message>, reply: tokio::sync::oneshot::Sender<Held> },
}

/// A place in the queue: the lane, then the order of asking.
type Place = (Priority, u64);

pub(crate) struct ProviderActor;

pub(crate) struct Args {
    pub(crate) ctx: Arc<Context>,
    pub(crate) org: DerivedActorRef<FromProvider>,
    pub(crate) org_no: OrgNo,
    pub(crate) sender: Sender,
    pub(crate) vitals: Arc<Vitals>,
}

pub(crate) struct State {
    ctx: Arc<Context>,
    org: DerivedActorRef<FromProvider>,
    org_no: OrgNo,
    sender: Sender,
    me: Address<ProviderMsg>,
    /// Who waits, in order. Bounded by the organisation's `max_resident`: only resident messages ask.
    queue: BTreeMap<Place, (MessageId, Address<MessageMsg>)>,
    /// Where in the queue a message waits.
    places: HashMap<MessageId, Place>,
    asked: u64,
    granted: u64,
    pace: Pace,
    bucket: TokenBucket,
    pairs: Pairs<String, MessageId>,
    templates: TemplateGates,
    /// Turns given and not yet back.
    out: usize,
    /// Whether `Refilled` is on its way.
    refill_armed: bool,
    /// No turns until then: Meta refuses the sender, and its pause is on its way to the disk.
    stopped_until: Duration,
    probes: Backoff,
    /// The number of the probe that is awaited; an older one's mail is ignored.
    probe_no: u64,
    probe: Option<AbortHandle>,
    /// Whether one message may be tried although the sender is paused.
    may_probe: bool,
}

impl Actor for ProviderActor {
    type Msg = ProviderMsg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, myself: ActorRef<ProviderMsg>, args: Args) -> Result<State, ActorProcessingErr> {
        let Args { ctx, org, org_no, sender, vitals } = args;
        let full = rate(&ctx, &sender);
        let pairs = Pairs::new(ctx.settings().pair_limit);
        let mut state = State {
            ctx,
            org,
            org_no,
            sender,
            me: Address::new(myself, vitals),
            queue: BTreeMap::new(),
            places: HashMap::new(),
            asked: 0,
            granted: 0,
            pace: Pace::new(full),
            bucket: TokenBucket::new(full),
            pairs,
            templates: TemplateGates::default(),
            out: 0,
            refill_armed: false,
            stopped_until: Duration::ZERO,
            probes: Backoff::new(FIRST_PROBE_AFTER, PROBE_AT_LEAST_EVERY),
            probe_no: 0,
            probe: None,
            may_probe: false,
        };
        state.follow_pause();
        state.show_pause();
        state.show();
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<ProviderMsg>,
        mail: ProviderMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (vitals, ctx) = (Arc::clone(state.me.vitals()), Arc::clone(&state.ctx));
        vitals.attend(&ctx, mail.label(), async { state.react(mail) }).await;
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
            Self::Slow { .. } => "slowing down",
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
    /// The table of its mail.
    fn react(&mut self, mail: ProviderMsg) {
        match mail {
            ProviderMsg::Ask { message, reply } => self.ask(&message, reply),
            ProviderMsg::Withdraw { id } => self.withdraw(id),
            ProviderMsg::Call { call, message, body } => self.call(call, message, body),
            ProviderMsg::Observed(observation) => self.observed(*observation),
            ProviderMsg::Slow { rest } => self.pace.throttled(self.ctx.clock.uptime(), rest),
            ProviderMsg::OpenTemplate(template) => {
                self.templates.open(&template);
            }
            ProviderMsg::ShutTemplate(template) => self.templates.refused(template, self.ctx.clock.now()),
            ProviderMsg::Back { spent } => self.back(spent),
            ProviderMsg::Refilled => self.refill_armed = false,
            ProviderMsg::Probe(no) => self.begin_probe(no),
            ProviderMsg::Configure(sender) => self.configure(*sender),
            ProviderMsg::Explain { message, reply } => {
                let _ = reply.send(self.explain(&message));
            }
        }
        self.grant();
        self.show();
    }

    fn ask(&mut self, message: &Message, reply: Address<MessageMsg>) {
        let id = message.id;
        let now = self.ctx.clock.now();
        // Who asks again keeps its place: the actor that asked before may have been replaced.
        if let Some(place) = self.places.get(&id) {
            self.queue.insert(*place, (id, reply));
            return;
        }
        let is_probe = self.sender.paused.is_some() && self.ctx.may_send() && std::mem::take(&mut self.may_probe);
        if self.sender.paused.is_some() && !is_probe {
            reply.send(MessageMsg::Leave);
            return;
        }
        if let Some((until, wait)) = self.held(message, now) {
            reply.send(MessageMsg::Hold(Event::Hold { until, wait }));
            return;
        }
        self.asked += 1;
        let place = (if is_probe { Priority::High } else { message.priority }, self.asked);
        self.places.insert(id, place);
        self.queue.insert(place, (id, reply));
        if is_probe {
            self.grant_first();
        }
    }

    /// What holds this message, beyond the sender's pace: its template, or its recipient.
    fn held(&mut self, message: &Message, now: Timestamp) -> Option<(Timestamp, Wait)> {
        if !self.templates.is_empty()
            && let Some(template) = message.template()
            && let Some(until) = self.templates.shut_until(&template, now)
        {
            return Some((until, Wait::Template));
        }
        let recipient = self.recipient(message);
        self.pairs.take(&recipient, message.id, now).err().map(|until| (until, Wait::Pair))
    }

    /// Every name of a message's recipient: for Meta they are one user.
    fn recipient(&self, message: &Message) -> Vec<String> {
        let to = message.to.as_str();
        match self.ctx.store.called(self.org_no, to) {
            Ok(called) => called.names,
            // Of a store that cannot be read hears whoever has something to record.
            Err(_) => vec![spelling::canonical(to).into_owned()],
        }
    }

    fn withdraw(&mut self, id: MessageId) {
        if let Some(place) = self.places.remove(&id) {
            self.queue.remove(&place);
        }
    }

    fn call(&self, mut call: Call, message: Arc<Message>, body: Bytes) {
        call.begin();
        let token = self.sender.access_token.clone();
        let request = SendRequest { from: self.sender.phone_number_id.clone(), token: token.clone(), body };
        let answer = self.ctx.provider.send(request);
        // By then the message's policy decides: no call may outlast that and meet the one that follows it.
        let answer = within(self.ctx.settings().policy.stale_after, answer);
        let cut_off = self.ctx.is_cut_off();
        let me = self.me.clone();
        // Not tied to this actor: if it crashes, the answer still reaches its message.
        tokio::spawn(async move {
            let answer = tokio::select! {
                biased;
                answer = answer => answer,
                () = cut_off => Some(Answer {
                    outcome: Outcome::CutOff(Failure::new("CUT_OFF", "the service stopped before the answer came")),
                    response: None,
                    retry_after: None,
                }),
            };
            if let Some(answer) = answer {
                // Before the message is told: when it asks again, what held it is known here.
                let error = match &answer.outcome {
                    Outcome::Accepted(_) => Some(None),
                    Outcome::Refused(error) => Some(Some(error.clone())),
                    Outcome::NotSent(_) | Outcome::Unknown(_) | Outcome::CutOff(_) => None,
                };
                if let Some(error) = error {
                    let rest = answer.retry_after;
                    me.send(ProviderMsg::Observed(Box::new(Observation { message, token: Some(token), error, rest })));
                }
                call.answer(answer);
            }
        });
    }

    fn back(&mut self, spent: bool) {
        self.out = self.out.saturating_sub(1);
        if !spent {
            self.bucket.give_back();
        }
    }

    fn configure(&mut self, sender: Sender) {
        let full = rate(&self.ctx, &sender);
        if (full - self.pace.full()).abs() > f64::EPSILON {
            self.pace = Pace::new(full);
        }
        self.sender = sender;
        self.stopped_until = Duration::ZERO;
        if self.sender.paused.is_some() {
            for (_, (_, reply)) in std::mem::take(&mut self.queue) {
                reply.send(MessageMsg::Leave);
            }
            self.places.clear();
        }
        self.pairs.set_limit(self.ctx.settings().pair_limit);
        self.follow_pause();
        self.show_pause();
    }

    /// Gives turns while there are messages, slots and tokens.
    fn grant(&mut self) {
        while self.out < self.ctx.settings().max_concurrent && !self.queue.is_empty() {
            if !self.ctx.may_send() {
                return self.look_again(TROUBLE_PAUSE);
            }
            let now = self.ctx.clock.uptime();
            let rest = self.pace.rests_until().max(self.stopped_until).saturating_sub(now);
            self.bucket.set_rate(self.pace.at(now), now);
            let wait = if rest.is_zero() { self.bucket.take(now) } else { Err(rest) };
            if let Err(wait) = wait {
                return self.look_again(wait);
            }
            self.grant_first();
        }
    }

    fn look_again(&mut self, after: Duration) {
        if !self.refill_armed {
            self.refill_armed = true;
            let me = self.me.clone();
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                me.send(ProviderMsg::Refilled);
            });
        }
    }

    /// Gives a turn to the first of the first lane, and now and then to the first of the last.
    fn grant_first(&mut self) {
        self.granted += 1;
        let last_lane = self.queue.keys().next_back().map(|(lane, _)| (*lane, 0));
        let first = match last_lane {
            Some(lane) if self.granted.is_multiple_of(LOW_EVERY) => self.queue.range(lane..).next(),
            Some(_) | None => self.queue.iter().next(),
        };
        let Some(place) = first.map(|(place, _)| *place) else { return };
        if let Some((id, reply)) = self.queue.remove(&place) {
            self.places.remove(&id);
            self.out += 1;
            reply.send(MessageMsg::Turn(Turn::new(self.me.clone()), self.ctx.flights.take_off()));
        }
        if self.granted.is_multiple_of(FORGET_EVERY) {
            self.pairs.forget_rested(self.ctx.clock.now());
        }
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
    }

    fn show_pause(&self) {
        let status = self.sender.paused.as_ref().map(|pause| Status {
            word: "PAUSED",
            details: vec![
                ("pausedReason", pause.reason.clone()),
                ("pausedBy", if pause.by == PausedBy::Meta { "meta".into() } else { "operator".into() }),
            ],
        });
        self.me.vitals().set_status(status);
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.cancel_probe();
    }
}
