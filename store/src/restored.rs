//! A store that was restored from a backup: the original may have sent since what was not finished then, so each such
//! message is held until a person decides. Noted before any owner starts, hence no step of one.

use std::ops::ControlFlow;

use domain::audit::{By, Entry, Fact, Kept, Subject};
use domain::lifecycle::{Decision, Event, Move, Policy, decide};
use domain::{Epoch, Message, MessageId, OrgNo, SenderNo, State, Timestamp, invariants};

use crate::backend::{Order, StoreError};
use crate::commit::Commit;
use crate::keys;
use crate::random::random;
use crate::records::{Head, Lane, Restored};
use crate::store::Store;

/// Messages that one batch holds.
const BATCH: usize = 1000;

impl Commit {
    /// Notes that the organisation was restored.
    pub fn restored(&mut self, note: &Restored) -> Result<(), StoreError> {
        self.put("note of a restore", keys::restored(self.org), note)
    }

    /// A person has decided about everything that was held.
    pub fn forget_restored(&mut self) {
        self.purge([keys::restored(self.org)]);
    }
}

impl Store {
    /// Whether, and from what, an organisation was restored, as long as messages may be held for it.
    pub fn restored(&self, org: OrgNo) -> Result<Option<Restored>, StoreError> {
        self.record("note of a restore", &keys::restored(org))
    }

    /// Up to `limit` messages that are held since a restore, of senders with numbers below `senders`.
    pub fn held(&self, org: OrgNo, senders: u16, limit: usize) -> Result<Vec<MessageId>, StoreError> {
        let mut found = Vec::new();
        for sender in (0..senders).map(SenderNo) {
            for lane in [Lane::High, Lane::Normal, Lane::Low] {
                self.held_in(org, sender, lane, limit, &mut found)?;
            }
        }
        Ok(found)
    }

    fn held_in(
        &self,
        org: OrgNo,
        sender: SenderNo,
        lane: Lane,
        limit: usize,
        found: &mut Vec<MessageId>,
    ) -> Result<(), StoreError> {
        let mut start = keys::due(org, sender, lane, Timestamp::MAX, MessageId::from_bytes([0; 16]));
        let end = keys::within(keys::lane(org, sender, lane)).end;
        while found.len() < limit {
            let mut page = Vec::new();
            self.backend.scan(&*start..&*end, Order::Ascending, &mut |key, _| {
                page.push(key.to_vec());
                if page.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            let Some(last) = page.last() else { return Ok(()) };
            start = keys::behind(last);
            for id in page.iter().filter_map(|key| keys::message_at_end(key)) {
                // A `sendAt` may be as far away.
                let is_held = self.state(org, id)?.is_some_and(|state| state.is_held_by_restore());
                found.extend(Some(id).filter(|_| is_held));
            }
        }
        Ok(())
    }

    /// Holds, in every organisation, what was not finished; how many messages are held then, also by an earlier restore.
    /// `note.held` is filled in. To be called once, on a store that was restored and that nobody owns yet.
    pub fn hold_unfinished(
        &self,
        note: &Restored,
        policy: &Policy,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, StoreError> {
        let mut held = 0;
        for org in self.orgs_without_secrets()?.iter().filter(|org| org.deleted_at.is_none()) {
            let mut head = self.head(org.no)?;
            // Whoever owned it is over.
            head.epoch = Epoch(head.epoch.0 + 1);
            let earlier = u64::try_from(self.held(org.no, org.next_sender, usize::MAX)?.len()).unwrap_or(0);
            let tell = &mut |now| progress(held + earlier + now);
            let of_org = earlier + self.hold_in(org.no, &mut head, note.at, policy, tell)?;
            held += of_org;
            let note = Restored { held: of_org, ..note.clone() };
            let mut commit = Commit::new(org.no, head.epoch);
            let fact = Fact::Restored { backup: note.backup.clone(), taken_at: note.taken_at, held: of_org };
            let entry = Entry { at: note.at, subject: Subject::Organisation, by: By::System, fact };
            head.last_seq += 1;
            commit.entry(head.last_seq, &Kept::new(entry, random()?), None)?;
            commit.restored(&note)?;
            commit.head(&head)?;
            self.backend.apply(commit.writes)?;
        }
        Ok(held)
    }

    fn hold_in(
        &self,
        org: OrgNo,
        head: &mut Head,
        at: Timestamp,
        policy: &Policy,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, StoreError> {
        let (mut held, mut next) = (0, keys::within(keys::of_kind(b'd', org)));
        loop {
            let mut found = Vec::new();
            self.backend.scan(&*next.start..&*next.end, Order::Ascending, &mut |key, _| {
                found.push(key.to_vec());
                if found.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            let Some(last) = found.last() else { return Ok(held) };
            next.start = keys::behind(last);
            let mut commit = Commit::new(org, head.epoch);
            for id in found.iter().filter_map(|key| keys::message_at_end(key)) {
                const MISSING: StoreError = StoreError::Damaged { what: "due index" };
                let (message, before) = (self.message(org, id)?.ok_or(MISSING)?, self.state(org, id)?.ok_or(MISSING)?);
                // One that was held by an earlier restore comes by again, and stays as it is.
                if let Decision::Move(step) = decide(&message, &before, &Event::Restored, policy, at, 0.0) {
                    held += u64::from(step.next.is_held_by_restore());
                    hold(&mut commit, head, &message, &before, *step, at)?;
                }
            }
            if !commit.is_empty() {
                commit.head(head)?;
                self.backend.apply(commit.writes)?;
            }
            progress(held);
        }
    }
}

fn hold(
    commit: &mut Commit,
    head: &mut Head,
    message: &Message,
    before: &State,
    step: Move,
    at: Timestamp,
) -> Result<(), StoreError> {
    debug_assert_eq!(invariants::check_step(message, before, &step), Ok(()));
    let Move { mut next, facts, call: _, opt_out: _ } = step;
    for fact in facts {
        head.last_seq += 1;
        let entry = Entry { at, subject: Subject::Message(message.id), by: By::System, fact };
        commit.entry(head.last_seq, &Kept::new(entry, random()?), message.dossier.as_ref())?;
        next.trail.push(head.last_seq);
    }
    head.moved(Some(before.phase.status()), next.phase.status());
    commit.moved(message, before, &next)
}
