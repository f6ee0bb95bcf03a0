//! ProviderActor: one per phone number. Gives turns within the number's rate and concurrency, and makes the calls.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use domain::org::Sender;
use domain::throttle::TokenBucket;
use domain::{AttemptNo, MessageId, Priority};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use whatsapp::SendRequest;

use crate::context::Context;
use crate::message::MessageMsg;
use crate::turn::{Flight, Turn};
use crate::vitals::{Address, Vitals};

/// Mail to a ProviderActor.
pub(crate) enum ProviderMsg {
    /// A message would like to be sent; it is told when it is its turn.
    Ask { id: MessageId, priority: Priority, reply: Address<MessageMsg> },
    /// It no longer would.
    Withdraw { id: MessageId },
    /// Make this call, with the turn that was given for it.
    Call { turn: Turn, flight: Flight, attempt: AttemptNo, body: Bytes, reply: Address<MessageMsg> },
    /// A turn is over.
    Back { spent: bool },
    /// There may be a token now.
    Refilled,
    /// The sender's settings changed.
    Configure(Box<Sender>),
}

pub(crate) struct ProviderActor;

pub(crate) struct Args {
    pub(crate) ctx: Arc<Context>,
    pub(crate) sender: Sender,
    pub(crate) vitals: Arc<Vitals>,
}

pub(crate) struct State {
    ctx: Arc<Context>,
    sender: Sender,
    me: Address<ProviderMsg>,
    /// Who waits, by priority. Bounded by the organisation's `max_resident`: only resident messages ask.
    lanes: [VecDeque<(MessageId, Address<MessageMsg>)>; 3],
    waiting: HashSet<MessageId>,
    bucket: TokenBucket,
    /// Turns given and not yet back.
    out: usize,
    /// Whether `Refilled` is on its way.
    refill_armed: bool,
}

impl Actor for ProviderActor {
    type Msg = ProviderMsg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, myself: ActorRef<ProviderMsg>, args: Args) -> Result<State, ActorProcessingErr> {
        let Args { ctx, sender, vitals } = args;
        let bucket = TokenBucket::new(rate(&ctx, &sender));
        let me = Address::new(myself, vitals);
        Ok(State {
            ctx,
            sender,
            me,
            lanes: Default::default(),
            waiting: HashSet::new(),
            bucket,
            out: 0,
            refill_armed: false,
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<ProviderMsg>,
        mail: ProviderMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.me.vitals().begin(mail.label(), state.ctx.clock.now());
        match mail {
            ProviderMsg::Ask { id, priority, reply } => state.ask(id, priority, reply),
            ProviderMsg::Withdraw { id } => state.withdraw(id),
            ProviderMsg::Call { turn, flight, attempt, body, reply } => state.call(turn, flight, attempt, body, reply),
            ProviderMsg::Back { spent } => state.back(spent),
            ProviderMsg::Refilled => state.refill_armed = false,
            ProviderMsg::Configure(sender) => state.configure(*sender),
        }
        state.grant();
        state.show();
        state.me.vitals().end();
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
    f64::from(sender.messages_per_second.unwrap_or(ctx.settings.messages_per_second))
}

impl ProviderMsg {
    const fn label(&self) -> &'static str {
        match self {
            Self::Ask { .. } => "queueing a message",
            Self::Withdraw { .. } => "letting a message go",
            Self::Call { .. } => "starting a call",
            Self::Back { .. } => "taking back a turn",
            Self::Refilled => "refilling",
            Self::Configure(_) => "changing its settings",
        }
    }
}

impl State {
    fn ask(&mut self, id: MessageId, priority: Priority, reply: Address<MessageMsg>) {
        if self.waiting.insert(id) {
            let [high, normal, low] = &mut self.lanes;
            let lane = match priority {
                Priority::High => high,
                Priority::Normal => normal,
                Priority::Low => low,
            };
            lane.push_back((id, reply));
        }
    }

    /// Forgets it in `waiting` only: its place in the lane is skipped when it comes up.
    fn withdraw(&mut self, id: MessageId) {
        self.waiting.remove(&id);
    }

    fn call(&mut self, mut turn: Turn, flight: Flight, attempt: AttemptNo, body: Bytes, reply: Address<MessageMsg>) {
        turn.spend();
        let request =
            SendRequest { from: self.sender.phone_number_id.clone(), token: self.sender.access_token.clone(), body };
        let call = self.ctx.provider.send(request);
        // Not tied to this actor: if it crashes, the answer still reaches its message.
        tokio::spawn(async move {
            let answer = call.await;
            drop(turn);
            reply.send(MessageMsg::Settled { attempt, answer: Box::new(answer), flight });
        });
    }

    fn back(&mut self, spent: bool) {
        self.out = self.out.saturating_sub(1);
        if !spent {
            self.bucket.give_back();
        }
    }

    fn configure(&mut self, sender: Sender) {
        let new = rate(&self.ctx, &sender);
        if (new - self.bucket.rate()).abs() > f64::EPSILON {
            self.bucket = TokenBucket::new(new);
        }
        self.sender = sender;
    }

    /// Gives turns while there are messages, slots and tokens.
    fn grant(&mut self) {
        while self.out < self.ctx.settings.max_concurrent && self.ctx.may_send() {
            let Some(lane) = self.lanes.iter_mut().find(|lane| !lane.is_empty()) else { return };
            if lane.front().is_some_and(|(id, _)| !self.waiting.contains(id)) {
                lane.pop_front();
                continue;
            }
            if let Err(wait) = self.bucket.take(self.ctx.clock.uptime()) {
                if !self.refill_armed {
                    self.refill_armed = true;
                    let me = self.me.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(wait).await;
                        me.send(ProviderMsg::Refilled);
                    });
                }
                return;
            }
            if let Some((id, reply)) = lane.pop_front() {
                self.waiting.remove(&id);
                self.out += 1;
                reply.send(MessageMsg::Turn(Turn::new(self.me.clone()), self.ctx.flights.take_off()));
            }
        }
    }

    fn show(&self) {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive and small")]
        let per_second = self.bucket.rate() as u64;
        self.me.vitals().show(vec![
            ("queued", count(self.waiting.len())),
            ("inFlight", count(self.out)),
            ("perSecond", per_second),
        ]);
    }
}
