//! An organisation's life as commits, made at random from a seed; and what a store should then hold.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use domain::audit::{By, Entry, Fact, Kept, Subject};
use domain::lifecycle::{Decision, Event, Move, Policy, decide};
use domain::message::Category;
use domain::org::Org;
use domain::outcome::{Class, Outcome, ProviderError, Scope, Verdict};
use domain::receipt::{Receipt, ReceiptKind};
use domain::retry::RetryPolicy;
use domain::{
    AttemptNo, AttemptRef, Dossier, Epoch, Message, MessageId, OnUnknown, OrgNo, Phase, Priority, ProviderId, SenderNo,
    State, Timestamp, Wait,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use store::backend::{Backend, Order, Write};
use store::{Commit, Committer, Head, MemoryBackend, Store, StoreError};

const ORG: OrgNo = OrgNo(7);
const EPOCH: Epoch = Epoch(1);
const FIRST: AttemptNo = AttemptNo(1);
const HOUR: Duration = Duration::from_secs(3600);
/// Few messages that change often: so sled's log turns over again and again.
const MESSAGES_MAX: usize = 300;

/// Everything in a store, but for what a backend keeps for itself.
pub(crate) type Content = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) struct History {
    rng: StdRng,
    /// What should be there.
    memory: MemoryBackend,
    head: Head,
    messages: Vec<(Message, State)>,
    begun: bool,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let memory = MemoryBackend::new();
        let mut head = Head::default();
        head.epoch = EPOCH;
        Self { rng, memory, head, messages: Vec::new(), begun: false }
    }

    /// The same past, and a future of its own.
    pub(crate) fn fork(&mut self) -> Self {
        let memory = MemoryBackend::new();
        memory.apply(self.content().into_iter().map(|(key, value)| Write::Put(key, value)).collect()).unwrap();
        let rng = StdRng::seed_from_u64(self.rng.random());
        Self { rng, memory, head: self.head.clone(), messages: self.messages.clone(), begun: self.begun }
    }

    pub(crate) fn content(&self) -> Content {
        content(&self.memory)
    }

    /// The next commit; what should be there has it already.
    pub(crate) fn step(&mut self) -> Commit {
        let mut commit = Commit::new(ORG, EPOCH);
        if !self.begun {
            self.begun = true;
            let key = "5e".repeat(32).parse().unwrap();
            commit.org(&key, None, &Org::new("acme".parse().unwrap(), ORG, Timestamp::EPOCH)).unwrap();
        }
        if self.messages.len() < MESSAGES_MAX {
            for _ in 0..self.rng.random_range(1..20) {
                self.accept(&mut commit);
            }
        }
        let changes = match self.rng.random_range(0..20) {
            // More than a segment of sled's log at once, and more than two.
            0 => 1500,
            1..3 => 300,
            _ => self.rng.random_range(1..30),
        };
        for _ in 0..changes {
            self.change(&mut commit);
        }
        commit.head(&self.head).unwrap();
        apply(&Store::new(Arc::new(self.memory.clone())), commit.clone());
        commit
    }

    fn accept(&mut self, commit: &mut Commit) {
        let n = self.messages.len();
        let at = Timestamp::from_millis(1_000 + u64::try_from(n).unwrap());
        let mut id = [0; 16];
        id[..8].copy_from_slice(&u64::try_from(n).unwrap().to_be_bytes());
        let long = if n.is_multiple_of(40) { 30_000 } else { 300 };
        let message = Message {
            id: MessageId::from_bytes(id),
            from: "1065".parse().unwrap(),
            sender: SenderNo(1),
            to: format!("+4915100{:06}", n / 3).parse().unwrap(),
            template_code: None,
            payload: (0..long).map(|_| self.rng.random::<u8>()).collect(),
            dossier: n.is_multiple_of(2).then(|| Dossier::Number((n / 5).to_string())),
            subject: None,
            idempotency_key: n.is_multiple_of(3).then(|| format!("key-{n}")),
            send_at: None,
            expires_at: n.is_multiple_of(4).then_some(Timestamp::from_secs(9_000_000)),
            priority: if n.is_multiple_of(5) { Priority::High } else { Priority::Normal },
            category: Category::Transactional,
            on_unknown: None,
            created_at: at,
            erased: None,
        };
        let mut state = State::accepted(at, 6, at);
        self.entry(commit, &message, &mut state, Fact::Created);
        commit.accepted(&message, &state, &[3; 32]).unwrap();
        self.head.moved(None, state.phase.status());
        self.messages.push((message, state));
    }

    /// Moves a message on, or back to the queue, where it then stays.
    fn change(&mut self, commit: &mut Commit) {
        let n = self.rng.random_range(0..self.messages.len());
        let (message, before) = self.messages[n].clone();
        let now = before.due().unwrap_or(before.updated_at);
        let provider_id = ProviderId::new(&format!("wamid.{n}"));
        let event = match before.phase {
            Phase::Queued { .. } if before.attempts.is_empty() && n.is_multiple_of(9) => Event::Cancel,
            Phase::Queued { .. } if before.attempts.is_empty() => Event::SendPermit,
            Phase::Queued { .. } => {
                let until = now.after(Duration::from_millis(self.rng.random_range(1_000..9_000_000)));
                Event::Postpone { until, wait: Wait::Rate }
            }
            Phase::Sending { .. } => {
                Event::Settled { attempt: FIRST, outcome: Outcome::Accepted(provider_id), wait: None }
            }
            Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => {
                let len = self.rng.random_range(0..4000);
                commit.response(message.id, FIRST, (0..len).map(|_| self.rng.random::<u8>()).collect());
                let verdict = Verdict { class: Class::Transient, scope: Scope::Message };
                let error = Some(ProviderError { code: 131_000, message: String::new(), verdict });
                let kind = ReceiptKind::Failed;
                let receipt = Receipt { provider_id, attempt: None, kind, at: now, error, pricing: None };
                Event::Receipt { attempt: FIRST, receipt: Box::new(receipt) }
            }
        };
        let policy = Policy { retry: RetryPolicy::default(), stale_after: HOUR, on_unknown: OnUnknown::Resend };
        let Decision::Move(step) = decide(&message, &before, &event, &policy, now, 0.0) else { return };
        let Move { mut next, facts, .. } = *step;
        for fact in facts {
            self.entry(commit, &message, &mut next, fact);
        }
        commit.moved(&message, &before, &next).unwrap();
        let name = |state: &State| state.attempt(FIRST).and_then(|attempt| attempt.provider_id.clone());
        if let Some(provider_id) = name(&next).filter(|_| name(&before).is_none()) {
            commit.named(&provider_id, AttemptRef { message: message.id, attempt: FIRST }).unwrap();
        }
        self.head.moved(Some(before.phase.status()), next.phase.status());
        self.messages[n].1 = next;
    }

    fn entry(&mut self, commit: &mut Commit, message: &Message, state: &mut State, fact: Fact) {
        self.head.last_seq += 1;
        let entry = Entry { at: state.updated_at, subject: Subject::Message(message.id), by: By::System, fact };
        commit.entry(self.head.last_seq, &Kept::new(entry, [9; 16]), message.dossier.as_ref()).unwrap();
        state.trail.push(self.head.last_seq);
    }
}

/// Writes through the real road and waits.
pub(crate) fn apply(store: &Store, commit: Commit) {
    let (done, answer) = std::sync::mpsc::channel();
    Committer::inline(store).reserve().unwrap().submit(commit, move |result| done.send(result).unwrap());
    answer.recv().unwrap().unwrap();
}

pub(crate) fn content(backend: &dyn Backend) -> Content {
    try_content(backend).unwrap()
}

/// Everything in a store, if all of it can be read.
pub(crate) fn try_content(backend: &dyn Backend) -> Result<Content, StoreError> {
    let mut content = Content::new();
    backend.scan(&[1]..&[u8::MAX], Order::Ascending, &mut |key, value| {
        content.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(content)
}
