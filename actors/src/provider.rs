//! ProviderActor: one per phone number. Gives turns within the number's rate and concurrency, and makes the calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use domain::org::Sender;
use domain::throttle::TokenBucket;
use domain::{MessageId, Priority};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use whatsapp::SendRequest;

use crate::context::Context;
use crate::message::MessageMsg;
use crate::turn::{Call, Turn};
use crate::vitals::{Address, Vitals};

/// Mail to a ProviderActor.
pub(crate) enum ProviderMsg {
    /// A message would like to be sent; it is told when it is its turn.
    Ask { id: MessageId, priority: Priority, reply: Address<MessageMsg> },
    /// It no longer would.
    Withdraw { id: MessageId },
    /// Make this call, with the turn that was given for it.
    Call { call: Call, body: Bytes },
    /// A turn is over.
    Back { spent: bool },
    /// There may be a token now.
    Refilled,
    /// The sender's settings changed.
    Configure(Box<Sender>),
}

/// A place in the queue: the lane, then the order of asking.
type Place = (Priority, u64);

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
    /// Who waits, in order. Bounded by the organisation's `max_resident`: only resident messages ask.
    queue: BTreeMap<Place, (MessageId, Address<MessageMsg>)>,
    /// Where in the queue a message waits.
    places: HashMap<MessageId, Place>,
    asked: u64,
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
            queue: BTreeMap::new(),
            places: HashMap::new(),
            asked: 0,
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
            ProviderMsg::Call { call, body } => state.call(call, body),
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
        self.asked += 1;
        // Who asks again keeps its place: the actor that asked before may have been replaced.
        let place = *self.places.entry(id).or_insert((priority, self.asked));
        self.queue.insert(place, (id, reply));
    }

    fn withdraw(&mut self, id: MessageId) {
        if let Some(place) = self.places.remove(&id) {
            self.queue.remove(&place);
        }
    }

    fn call(&self, mut call: Call, body: Bytes) {
        call.begin();
        let request =
            SendRequest { from: self.sender.phone_number_id.clone(), token: self.sender.access_token.clone(), body };
        let answer = self.ctx.provider.send(request);
        // By then the message's policy decides: no call may outlast that and meet the one that follows it.
        let answer = tokio::time::timeout(self.ctx.settings.policy.stale_after, answer);
        // Not tied to this actor: if it crashes, the answer still reaches its message.
        tokio::spawn(async move {
            if let Ok(answer) = answer.await {
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
        let new = rate(&self.ctx, &sender);
        if (new - self.bucket.rate()).abs() > f64::EPSILON {
            self.bucket = TokenBucket::new(new);
        }
        self.sender = sender;
    }

    /// Gives turns while there are messages, slots and tokens.
    fn grant(&mut self) {
        while self.out < self.ctx.settings.max_concurrent && self.ctx.may_send() {
            let Some(first) = self.queue.first_entry() else { return };
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
            let (id, reply) = first.remove();
            self.places.remove(&id);
            self.out += 1;
            reply.send(MessageMsg::Turn(Turn::new(self.me.clone()), self.ctx.flights.take_off()));
        }
    }

    fn show(&self) {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive and small")]
        let per_second = self.bucket.rate() as u64;
        self.me.vitals().show(vec![
            ("queued", count(self.queue.len())),
            ("inFlight", count(self.out)),
            ("perSecond", per_second),
        ]);
    }
}
