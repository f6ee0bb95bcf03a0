//! Erasing a person's data: a few records with each commit, between the actor's other messages, and on after a crash.
//!
//! Whom not to write to, and that it was asked for, is recorded first. Then what waits to be sent to them is cancelled;
//! a send that is under way is let come to its end.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use domain::audit::{By, Fact, Subject};
use domain::erasure::{Erased, Erasure};
use domain::lifecycle::{Decision, Event, decide};
use domain::people::Former;
use domain::state::Phase;
use domain::{Message, MessageId, OrgNo, Seq, Timestamp};
use ractor::ActorProcessingErr;
use store::{KnownNames, Parked, Store, StoreError, Taken, Unavailable};
use tokio::sync::oneshot;

use super::commit_slot::reserve;
use super::retention_sweep::KNOWN_FOR;
use super::writer::Transaction;
use super::{After, OrgMsg, State};

/// Records of each kind that one commit changes.
const STEP_MAX: usize = 50;
/// How long it waits for a send that is under way, for a full queue, and between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// Commits that wait for the disk beyond which an erasure waits: others come first.
const CROWD: usize = 256;
/// Erasures of one organisation at once.
const ERASURES_MAX: usize = 1000;

pub(super) type Reply = oneshot::Sender<Result<Erased, Unavailable>>;

/// A person's data is to be erased.
pub(crate) struct EraseRequest {
    /// A name of the person, in any spelling.
    pub(crate) name: String,
    pub(crate) by: By,
    pub(crate) reply: Reply,
}

/// The erasures that are not done, the next one first.
#[derive(Default)]
pub(super) struct Erasures {
    queue: VecDeque<(Erasure, Vec<Reply>)>,
    /// Whether `EraseNext` is on its way.
    is_armed: bool,
}

impl Erasures {
    pub(super) fn load(store: &Store, org: OrgNo) -> Result<Self, StoreError> {
        let queue = store.erasures(org)?.into_iter().map(|erasure| (erasure, Vec::new())).collect();
        Ok(Self { queue, is_armed: false })
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether a message is to be erased.
    pub(super) fn cover(&self, message: &Message) -> bool {
        self.queue.iter().any(|(erasure, _)| erasure.covers(message.to.as_str(), message.id))
    }
}

/// What one step did.
#[derive(Default)]
struct Step {
    /// Records that it changed.
    done: usize,
    /// Messages that cannot be erased yet.
    held: usize,
}

impl State {
    pub(super) fn erase(&mut self, request: EraseRequest) -> Result<(), ActorProcessingErr> {
        let EraseRequest { name, by, reply } = request;
        let known = self.known_names(&name)?;
        let same = self.same_erasure(&known)?;
        if let Some((_, replies)) = self.erasures.queue.iter_mut().find(|(erasure, _)| Some(erasure.id) == same) {
            replies.retain(|reply| !reply.is_closed());
            replies.push(reply);
            return Ok(());
        }
        let committer = self.ctx.committer.clone();
        let Some((slot, reply)) = reserve(&committer, reply) else { return Ok(()) };
        if self.erasures.len() >= ERASURES_MAX {
            let _ = reply.send(Err(Unavailable::Busy));
            return Ok(());
        }
        let now = self.ctx.clock.now();
        let id = self.ctx.clock.new_message_id(now);
        let mut transaction = self.writer.begin(now, by.clone());
        let seq = self.writer.fact(&mut transaction, Subject::Erasure(id), Fact::ErasureBegun)?;
        let KnownNames { names, former } = known;
        for name in &names {
            transaction.commit.taken(Taken::Name(name), id, now.after(KNOWN_FOR))?;
            self.unlink(&mut transaction, seq, name)?;
            self.forget_consent(&mut transaction, seq, name, None)?;
        }
        for Former { name, until } in &former {
            self.forget_consent(&mut transaction, seq, name, Some(*until))?;
        }
        let erased = Erased::default();
        let erasure = Erasure { id, names, former, by, begun_at: now, before: seq, told_to: 0, erased };
        transaction.commit.erasure(&erasure)?;
        self.writer.close(&mut transaction)?;
        self.submit(slot, transaction, After::ErasureBegun(Box::new((erasure, reply))), |_| ());
        Ok(())
    }

    /// The erasure under way that does all that one of somebody who is known so would: nothing came of them since, and no
    /// link, as it cuts all there were.
    fn same_erasure(&self, KnownNames { names, former }: &KnownNames) -> Result<Option<MessageId>, StoreError> {
        let (store, org) = (&self.ctx.store, self.record.no);
        let ([name], []) = (names.as_slice(), former.as_slice()) else { return Ok(None) };
        let last = self.erasures.queue.iter().rev().find(|(erasure, _)| erasure.names.contains(name));
        let Some((erasure, _)) = last else { return Ok(None) };
        let mut is_newer = !store.statements_after(org, name, erasure.before, 1)?.is_empty();
        for both in [Store::messages_to, Store::inbound_of] {
            both(store, org, name, Some(erasure.id), &mut |_| {
                is_newer = true;
                ControlFlow::Break(())
            })?;
        }
        Ok(Some(erasure.id).filter(|_| !is_newer))
    }

    /// Takes grants and the name out of what is known of consent; under a name that was given up, if it was last changed `until`
    /// then. Under their own it goes whatever its time is: the clock may have been ahead when it was told.
    fn forget_consent(
        &mut self,
        transaction: &mut Transaction,
        seq: Seq,
        name: &str,
        until: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let Some(known) = self.known(name)? else { return Ok(()) };
        let is_theirs = |at: Timestamp| until.is_none_or(|until| at <= until);
        if [known.transactional, known.marketing].into_iter().flatten().all(|said| is_theirs(said.at)) {
            let left = known.erased();
            transaction.commit.erase_consent(name, &left)?;
            self.uncommitted_consents.note(seq, name.to_owned(), left);
        }
        Ok(())
    }

    /// An erasure is recorded, and so is all that came before it: the store finds it.
    pub(super) fn erasure_begun(&mut self, erasure: Erasure, reply: Reply) {
        self.erasures.queue.push_back((erasure, vec![reply]));
        self.erase_on();
    }

    /// Goes on with what an earlier life began.
    pub(super) fn erase_on(&mut self) {
        if self.erasures.len() > 0 && !self.erasures.is_armed {
            self.erasures.is_armed = true;
            self.me.send(OrgMsg::EraseNext);
        }
    }

    fn erase_later(&mut self) {
        self.erasures.is_armed = true;
        self.later(PAUSE, OrgMsg::EraseNext);
    }

    /// The next step of the first erasure, which then goes to the end of the queue.
    pub(super) fn erase_next(&mut self) -> Result<(), ActorProcessingErr> {
        self.erasures.is_armed = false;
        let committer = self.ctx.committer.clone();
        let slot = match committer.reserve() {
            Ok(slot) if committer.waiting() < CROWD => slot,
            Ok(_) | Err(Unavailable::Busy) => {
                self.erase_later();
                return Ok(());
            }
            Err(Unavailable::Closed) => return Ok(()),
        };
        let Some((mut erasure, replies)) = self.erasures.queue.pop_front() else { return Ok(()) };
        let mut transaction = self.writer.begin(self.ctx.clock.now(), erasure.by.clone());
        let step = self.erase_some(&mut transaction, &mut erasure)?;
        if step.done > 0 {
            transaction.commit.erasure(&erasure)?;
            self.writer.close(&mut transaction)?;
            self.erasures.queue.push_back((erasure, replies));
            self.erasures.is_armed = true;
            let me = self.me.clone();
            self.submit(slot, transaction, After::Changed, move |_| me.send(OrgMsg::EraseNext));
        } else if step.held > 0 {
            self.erasures.queue.push_back((erasure, replies));
            self.erase_later();
        } else {
            self.writer.fact(&mut transaction, Subject::Erasure(erasure.id), Fact::Erased(erasure.erased))?;
            transaction.commit.erasure_done(erasure.id);
            self.writer.close(&mut transaction)?;
            self.submit(slot, transaction, After::Changed, move |result| {
                for reply in replies {
                    let _ = reply.send(result.clone().map(|()| erasure.erased).map_err(|_| Unavailable::Closed));
                }
            });
            self.erase_on();
            self.sweep_when_due()?;
        }
        Ok(())
    }

    fn erase_some(&mut self, transaction: &mut Transaction, erasure: &mut Erasure) -> Result<Step, StoreError> {
        let mut step = Step::default();
        for name in erasure.all_names() {
            self.erase_messages(transaction, erasure, &name, &mut step)?;
        }
        // By then no receipt of theirs can come that finds its message, and none is joined. One that came later is of a message
        // that is not part of this, or is not kept.
        let theirs = |parked: &Parked| {
            parked.at <= erasure.begun_at
                && whatsapp::wamid::concerns(&parked.reported, &erasure.names, &erasure.former)
        };
        for parked in self.parked.take_where(theirs) {
            transaction.commit.unpark(&parked);
            erasure.erased.receipts += 1;
            step.done += 1;
        }
        self.erase_inbound(transaction, erasure, &mut step)?;
        self.erase_statements(transaction, erasure, &mut step)?;
        Ok(step)
    }

    fn erase_messages(
        &mut self,
        transaction: &mut Transaction,
        erasure: &mut Erasure,
        name: &str,
        step: &mut Step,
    ) -> Result<(), StoreError> {
        let mut ids = Vec::new();
        let (active, room) = (&self.writer.active, STEP_MAX.saturating_sub(step.done));
        let mut held = 0;
        self.ctx.store.messages_to(self.record.no, name, None, &mut |id| {
            if !erasure.covers(name, id) || ids.len() >= room {
                return ControlFlow::Break(());
            }
            if active.is_written(id) && active.get(id).is_none_or(|message| !is_sending(message.state.phase)) {
                ids.push(id);
            } else {
                held += 1;
            }
            ControlFlow::Continue(())
        })?;
        step.held += held;
        for id in ids {
            if self.erase_one(transaction, id)? {
                step.done += 1;
                erasure.erased.messages += 1;
            } else {
                step.held += 1;
            }
        }
        Ok(())
    }

    /// Erases one message; `false` if it must wait.
    fn erase_one(&mut self, transaction: &mut Transaction, id: MessageId) -> Result<bool, StoreError> {
        let Some((message, mut state)) = self.writer.latest(id)? else { return Ok(false) };
        match state.phase {
            Phase::Queued { .. } => {
                let policy = &self.ctx.settings().policy;
                let Decision::Move(step) = decide(&message, &state, &Event::Cancel, policy, transaction.at, 0.0) else {
                    return Ok(false);
                };
                state = self.writer.apply(transaction, &message, &state, *step, None)?;
            }
            Phase::Sending { .. } => return Ok(false),
            Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => {}
        }
        self.writer.erase(transaction, &message, &state)?;
        Ok(true)
    }

    fn erase_inbound(
        &mut self,
        transaction: &mut Transaction,
        erasure: &mut Erasure,
        step: &mut Step,
    ) -> Result<(), StoreError> {
        let (store, org) = (&self.ctx.store, self.record.no);
        let room = STEP_MAX.saturating_sub(step.done);
        // One that is known by several names is found by each.
        let mut ids = BTreeSet::new();
        for name in &erasure.names {
            store.inbound_of(org, name, None, &mut |id| {
                if !erasure.covers(name, id) || ids.len() >= room {
                    return ControlFlow::Break(());
                }
                ids.insert(id);
                ControlFlow::Continue(())
            })?;
        }
        for former in &erasure.former {
            ids.extend(store.inbound_written_by(org, former, None, room)?.into_iter().filter(|id| *id < erasure.id));
        }
        for id in ids.into_iter().take(room) {
            let inbound = store.inbound(org, id)?.ok_or(StoreError::Damaged { what: "inbound message" })?;
            transaction.commit.forget_inbound(&inbound, Some(transaction.at.after(KNOWN_FOR)))?;
            erasure.erased.inbound += 1;
            step.done += 1;
        }
        Ok(())
    }

    fn erase_statements(
        &mut self,
        transaction: &mut Transaction,
        erasure: &mut Erasure,
        step: &mut Step,
    ) -> Result<(), StoreError> {
        let room = STEP_MAX.saturating_sub(step.done).max(1);
        let mut found = Vec::new();
        for name in erasure.all_names() {
            let statements = self.ctx.store.statements_after(self.record.no, &name, erasure.told_to, room)?;
            let theirs = statements.into_iter().filter(|(seq, said)| erasure.covers_statement(&name, *seq, said));
            found.extend(theirs.map(|(seq, statement)| (seq, name.clone(), statement)));
        }
        found.sort_by_key(|(seq, ..)| *seq);
        for (seq, name, statement) in found.into_iter().take(room) {
            transaction.commit.erase_statement(&name, seq, &statement.erased())?;
            erasure.told_to = seq;
            erasure.erased.statements += 1;
            step.done += 1;
        }
        Ok(())
    }
}

const fn is_sending(phase: Phase) -> bool {
    matches!(phase, Phase::Sending { .. })
}
