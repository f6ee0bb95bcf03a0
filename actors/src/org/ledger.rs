//! Turns decisions into commits: numbers the audit entries, keeps the head, and notes every change on the desk.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::audit::{By, Entry, Fact, Kept, Subject};
use domain::invariants;
use domain::lifecycle::Move;
use domain::outcome::ProviderError;
use domain::{AttemptNo, AttemptRef, Dossier, Epoch, Message, MessageId, OrgNo, ProviderId, Seq, State, Timestamp};
use store::{Commit, Head, Restored, StoreError, Taken, Upkeep};

use super::desk::Desk;
use super::upkeep::KNOWN_FOR;
use crate::context::Context;

/// What an organisation's only writer must know to write on.
pub(super) struct Ledger {
    ctx: Arc<Context>,
    pub(super) org: OrgNo,
    pub(super) head: Head,
    pub(super) desk: Desk,
    /// What retention has done, durable or on its way.
    pub(super) upkeep: Upkeep,
    /// While messages may be held since the store was restored from a backup.
    pub(super) restored: Option<Restored>,
    /// Messages that a commit on its way removes: the store still has them.
    pub(super) leaving: HashSet<MessageId>,
    /// Provider ids in commits on their way: the store does not find them yet.
    named: HashMap<ProviderId, AttemptRef>,
}

/// A message and its state at one time.
pub type Snapshot = (Arc<Message>, Arc<State>);

/// A commit in the making, and the messages in it.
pub(super) struct Draft {
    pub(super) commit: Commit,
    pub(super) at: Timestamp,
    pub(super) by: By,
    pub(super) changed: Vec<MessageId>,
    pub(super) named: Vec<ProviderId>,
    /// Errors that receipts brought, which may hold for more than their messages.
    pub(super) observed: Vec<(Arc<Message>, ProviderError)>,
}

impl Ledger {
    /// Takes the organisation over: its epoch grows, so that an older owner can write no more.
    pub(super) fn take_over(ctx: Arc<Context>, org: OrgNo) -> Result<Self, StoreError> {
        let mut head = ctx.store.head(org)?;
        head.epoch = Epoch(head.epoch.0 + 1);
        let (upkeep, restored) = (ctx.store.upkeep(org)?, ctx.store.restored(org)?);
        let (desk, leaving, named) = (Desk::default(), HashSet::new(), HashMap::new());
        Ok(Self { ctx, org, head, desk, upkeep, restored, leaving, named })
    }

    pub(super) fn draft(&self, at: Timestamp, by: By) -> Draft {
        let commit = Commit::new(self.org, self.head.epoch);
        Draft { commit, at, by, changed: Vec::new(), named: Vec::new(), observed: Vec::new() }
    }

    /// The latest state of a message, durable or not.
    pub(super) fn latest(&self, id: MessageId) -> Result<Option<Snapshot>, StoreError> {
        if let Some(card) = self.desk.card(id) {
            return Ok(Some((Arc::clone(&card.message), Arc::clone(&card.state))));
        }
        if self.leaving.contains(&id) {
            return Ok(None);
        }
        let Some(state) = self.ctx.store.state(self.org, id)? else { return Ok(None) };
        let message = self.ctx.store.message(self.org, id)?.ok_or(StoreError::Damaged { what: "message" })?;
        Ok(Some((Arc::new(message), Arc::new(state))))
    }

    /// The attempt that the provider gave this id to, as far as has been decided.
    pub(super) fn named(&self, id: &ProviderId) -> Result<Option<AttemptRef>, StoreError> {
        match self.named.get(id) {
            Some(attempt) => Ok(Some(*attempt)),
            None => self.ctx.store.by_provider_id(self.org, id),
        }
    }

    /// Adds a new message.
    pub(super) fn accept(
        &mut self,
        draft: &mut Draft,
        message: &Arc<Message>,
        mut state: State,
        fingerprint: &domain::audit::Hash,
    ) -> Result<Arc<State>, StoreError> {
        state.trail.push(self.message_fact(draft, message, Fact::Created)?);
        debug_assert_eq!(invariants::check(message, &state), Ok(()));
        draft.commit.accepted(message, &state, fingerprint)?;
        self.head.moved(None, state.phase.status());
        Ok(self.note(draft, message, state))
    }

    /// Adds a step of a message, decided on its latest state `before`. The provider's answer, if there is one, is kept.
    pub(super) fn apply(
        &mut self,
        draft: &mut Draft,
        message: &Arc<Message>,
        before: &State,
        step: Move,
        response: Option<(AttemptNo, Vec<u8>)>,
    ) -> Result<Arc<State>, StoreError> {
        debug_assert_eq!(invariants::check_step(message, before, &step), Ok(()));
        let Move { mut next, facts, call: _, opt_out: _ } = step;
        for fact in facts {
            next.trail.push(self.message_fact(draft, message, fact)?);
        }
        let was_named = |no| before.attempt(no).is_some_and(|attempt| attempt.provider_id.is_some());
        let named = next.attempts.iter().filter(|attempt| !was_named(attempt.no));
        let named: Vec<_> = named.filter_map(|attempt| Some((attempt.no, attempt.provider_id.clone()?))).collect();
        for (attempt, provider_id) in named {
            let own = AttemptRef { message: message.id, attempt };
            if let Some(holder) = self.name(draft, provider_id, own)? {
                tracing::warn!(%own, %holder, "Meta named an attempt by an id that another has: by it, that one is found");
                next.trail.push(self.message_fact(draft, message, Fact::IdTaken { attempt, holder })?);
            }
        }
        draft.commit.moved(message, before, &next)?;
        if let Some((attempt, body)) = response {
            draft.commit.response(message.id, attempt, body);
        }
        self.head.moved(Some(before.phase.status()), next.phase.status());
        Ok(self.note(draft, message, next))
    }

    /// An attempt has an id from the provider. By it, one attempt is found: whoever had it first, who is returned if that is
    /// another.
    fn name(&mut self, draft: &mut Draft, id: ProviderId, own: AttemptRef) -> Result<Option<AttemptRef>, StoreError> {
        if let Some(holder) = self.named(&id)? {
            draft.commit.named_after(&id, own);
            return Ok(Some(holder));
        }
        draft.commit.named(&id, own)?;
        self.named.insert(id.clone(), own);
        draft.named.push(id);
        Ok(None)
    }

    /// Takes the person out of a finished message, its answers and its audit entries. What was decided of it before must
    /// be durable.
    pub(super) fn erase(&mut self, draft: &mut Draft, message: &Message, state: &State) -> Result<(), StoreError> {
        self.erase_entries(draft, state)?;
        let answered = self.answered(message.id)?;
        // What Meta tells of it later must not be kept as that of a message to come.
        let until = draft.at.after(KNOWN_FOR);
        for id in state.attempts.iter().filter_map(|attempt| attempt.provider_id.as_ref()) {
            draft.commit.taken(Taken::Id(id), message.id, until)?;
        }
        let store = &self.ctx.store;
        let (left, state) = draft.commit.erase_message(store, message, state, &answered, draft.at)?;
        self.note(draft, &Arc::new(left), state);
        Ok(())
    }

    /// Removes a finished message. Its entries stay in the trail, without what tells of its recipient: nothing leads from
    /// the recipient to them any more.
    pub(super) fn purge(&mut self, draft: &mut Draft, id: MessageId, state: &State) -> Result<(), StoreError> {
        let Some(message) = self.ctx.store.message(self.org, id)? else { return Ok(()) };
        self.erase_entries(draft, state)?;
        draft.commit.purge_message(&self.ctx.store, &message, state, &self.answered(id)?)?;
        self.head.gone(state.phase.status());
        let cut = self.upkeep.cut;
        let left = state.trail.iter().filter(|seq| **seq > cut).count();
        self.upkeep.orphans += u64::try_from(left).unwrap_or(0);
        self.upkeep.purged.messages += 1;
        self.leaving.insert(id);
        Ok(())
    }

    /// Removes what a finished message says, and the provider's answers.
    pub(super) fn strip(&mut self, draft: &mut Draft, id: MessageId, state: State) -> Result<(), StoreError> {
        let message = self.ctx.store.message(self.org, id)?.filter(|message| !message.is_spent());
        let Some(message) = message else { return Ok(()) };
        let left = draft.commit.strip_message(&message, &self.answered(id)?)?;
        self.upkeep.purged.payloads += 1;
        self.note(draft, &Arc::new(left), state);
        Ok(())
    }

    fn answered(&self, id: MessageId) -> Result<Vec<AttemptNo>, StoreError> {
        Ok(self.ctx.store.responses(self.org, id)?.into_iter().map(|(no, _)| no).collect())
    }

    fn erase_entries(&self, draft: &mut Draft, state: &State) -> Result<(), StoreError> {
        for seq in state.trail.iter().filter(|seq| **seq > self.upkeep.cut) {
            // One that this very commit adds has nothing personal.
            if let Some(erased) = self.ctx.store.kept_entry(self.org, *seq)?.and_then(Kept::erased) {
                draft.commit.erase_entry(*seq, &erased)?;
            }
        }
        Ok(())
    }

    /// Adds an entry about the organisation.
    pub(super) fn fact(&mut self, draft: &mut Draft, subject: Subject, fact: Fact) -> Result<Seq, StoreError> {
        self.entry(draft, subject, fact, None)
    }

    /// Closes the commit with the head as it now is.
    pub(super) fn close(&self, draft: &mut Draft) -> Result<(), StoreError> {
        draft.commit.head(&self.head)
    }

    /// A commit is durable.
    pub(super) fn landed(&mut self, changed: &[MessageId], named: &[ProviderId]) {
        for id in changed {
            self.desk.landed(*id);
        }
        for provider_id in named {
            self.named.remove(provider_id);
        }
    }

    fn message_fact(&mut self, draft: &mut Draft, message: &Message, fact: Fact) -> Result<Seq, StoreError> {
        self.entry(draft, Subject::Message(message.id), fact, message.dossier.as_ref())
    }

    pub(super) fn entry(
        &mut self,
        draft: &mut Draft,
        subject: Subject,
        fact: Fact,
        dossier: Option<&Dossier>,
    ) -> Result<Seq, StoreError> {
        self.head.last_seq += 1;
        let entry = Entry { at: draft.at, subject, by: draft.by.clone(), fact };
        draft.commit.entry(self.head.last_seq, &Kept::new(entry, self.ctx.clock.salt()), dossier)?;
        Ok(self.head.last_seq)
    }

    fn note(&mut self, draft: &mut Draft, message: &Arc<Message>, state: State) -> Arc<State> {
        let state = Arc::new(state);
        self.desk.changed(message, Arc::clone(&state));
        draft.changed.push(message.id);
        state
    }
}
