//! The retention sweep: it removes what was kept long enough, a few records with each commit, between the actor's other messages.
//!
//! One sweep goes through messages, then payloads, inbound messages, the names that such messages leave behind for a while, and
//! the audit trail, oldest first. It may be cut off anywhere: the next sweep begins at what is then the oldest.

use std::time::Duration;

use domain::audit::{By, Fact, Subject};
use domain::org::Org;
use domain::retention::Retention;
use domain::{MessageId, Timestamp};
use ractor::ActorProcessingErr;
use store::{Store, StoreError, Unavailable};
use tokio::task::AbortHandle;

use super::writer::Transaction;
use super::{After, OrgMsg, State};

/// Records that one commit looks at.
const STEP_MAX: usize = 100;
/// How long the sweep gives way while others wait for the disk.
const PAUSE: Duration = Duration::from_millis(250);
/// So many commits that wait for the disk are a crowd.
const CROWD: usize = 256;
/// Timers longer than this are set again: the settings may change.
const LONGEST: Duration = Duration::from_secs(3600);

/// A repeat of a message of a recipient is known for so long: after an erasure from then on, after retention since it came.
/// Meta repeats what was not answered for up to seven days.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a sweep looks through.
#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Messages,
    Payloads,
    Inbound,
    Names,
    Trail,
    Report,
}

/// How far a sweep has come.
#[derive(Default)]
pub(super) struct RetentionSweep {
    stage: Stage,
    /// Within messages and payloads: what was looked at last.
    after: Option<MessageId>,
    /// Whether all payloads before `after` are gone.
    is_unbroken: bool,
    /// Whether a step is on its way to the disk.
    is_under_way: bool,
    alarm: Option<AbortHandle>,
}

impl RetentionSweep {
    const fn is_midway(&self) -> bool {
        self.is_under_way || self.after.is_some() || !matches!(self.stage, Stage::Messages)
    }
}

/// When the next sweep of an organisation is due; `None` if nothing that it has will ever be kept too long.
pub(crate) fn due(store: &Store, org: &Org) -> Result<Option<Timestamp>, StoreError> {
    let Retention { messages, payloads, inbound, audit } = org.retention;
    let names = store.first_name_until(org.no)?;
    let every = org.retention.every();
    if every.is_none() && names.is_none() {
        return Ok(None);
    }
    let (every, upkeep) = (every.unwrap_or(LONGEST), store.upkeep(org.no)?);
    let oldest = store.oldest(org.no, &upkeep)?;
    let over = oldest.into_iter().zip([messages, payloads, inbound, audit]);
    let first = over.filter_map(|(oldest, kept)| Some(oldest?.after(kept?))).chain(names).min();
    // A record may be old and have to stay for another reason: without this, it would start one sweep after the other.
    Ok(first.map(|first| first.max(upkeep.looked_at.after(every))))
}

impl State {
    /// Sets the alarm for the next sweep.
    pub(super) fn sweep_when_due(&mut self) -> Result<(), StoreError> {
        if self.is_kept
            && !self.sweep.is_midway()
            && let Some(at) = due(&self.ctx.store, &self.record)?
        {
            self.sweep_after(at.since(self.ctx.clock.now()));
        }
        Ok(())
    }

    fn sweep_after(&mut self, wait: Duration) {
        let (me, wait) = (self.me.clone(), wait.min(LONGEST));
        let sleeper = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            me.send(OrgMsg::Sweep);
        });
        if let Some(before) = self.sweep.alarm.replace(sleeper.abort_handle()) {
            before.abort();
        }
    }

    /// Takes the sweep's next step, if it is time.
    pub(super) fn sweep(&mut self) -> Result<(), ActorProcessingErr> {
        let now = self.ctx.clock.now();
        if self.sweep.is_under_way || self.record.deleted_at.is_some() {
            return Ok(());
        }
        if !self.sweep.is_midway() && due(&self.ctx.store, &self.record)?.is_none_or(|at| at > now) {
            return Ok(self.sweep_when_due()?);
        }
        let committer = self.ctx.committer.clone();
        let slot = match committer.reserve() {
            Ok(slot) if committer.waiting() < CROWD => slot,
            Ok(_) | Err(Unavailable::Busy) => {
                self.sweep_after(PAUSE);
                return Ok(());
            }
            Err(Unavailable::Closed) => return Ok(()),
        };
        let mut transaction = self.writer.begin(now, By::System);
        self.step(&mut transaction)?;
        if !transaction.commit.is_empty() {
            transaction.commit.upkeep(&self.writer.upkeep)?;
            self.writer.close(&mut transaction)?;
            self.sweep.is_under_way = true;
            self.submit(slot, transaction, After::Swept, |_| ());
        } else if self.sweep.is_midway() {
            self.me.send(OrgMsg::Sweep);
        } else {
            self.sweep_when_due()?;
        }
        Ok(())
    }

    /// A step of the sweep is durable.
    pub(super) fn swept(&mut self) {
        self.sweep.is_under_way = false;
        self.writer.being_purged.clear();
        self.me.send(OrgMsg::Sweep);
    }

    fn step(&mut self, transaction: &mut Transaction) -> Result<(), StoreError> {
        let Retention { messages, payloads, inbound, audit } = self.record.retention;
        let over = |kept: Option<Duration>| kept.map(|kept| transaction.at.before(kept));
        match self.sweep.stage {
            Stage::Messages => {
                let is_done = self.purge_messages(transaction, over(messages))?;
                self.next_stage(is_done, Stage::Payloads);
                if is_done {
                    self.sweep.after = self.writer.upkeep.payloads_to;
                    self.sweep.is_unbroken = true;
                }
            }
            Stage::Payloads => {
                let is_done = self.strip_messages(transaction, over(payloads))?;
                self.next_stage(is_done, Stage::Inbound);
            }
            Stage::Inbound => {
                let is_done = self.purge_inbound(transaction, over(inbound))?;
                self.next_stage(is_done, Stage::Names);
            }
            Stage::Names => {
                let forgotten =
                    transaction.commit.forget_names(&self.ctx.store, transaction.at, KNOWN_FOR, STEP_MAX)?;
                self.next_stage(forgotten < STEP_MAX, Stage::Trail);
            }
            Stage::Trail => {
                let is_done = self.cut_trail(transaction, over(audit))?;
                self.next_stage(is_done, Stage::Report);
            }
            Stage::Report => {
                let upkeep = &mut self.writer.upkeep;
                upkeep.looked_at = transaction.at;
                let purged = upkeep.purged.since(upkeep.told);
                upkeep.told = upkeep.purged;
                transaction.commit.upkeep(upkeep)?;
                if purged.total() > 0 {
                    self.writer.fact(transaction, Subject::Organisation, Fact::Purged(purged))?;
                }
                self.next_stage(true, Stage::Messages);
            }
        }
        Ok(())
    }

    fn next_stage(&mut self, is_done: bool, next: Stage) {
        if is_done {
            self.sweep.stage = next;
            self.sweep.after = None;
        }
    }

    /// Whether no actor works on a message and no commit of it is on its way: only then may the sweep change it.
    fn is_inactive(&self, id: MessageId) -> bool {
        self.writer.active.get(id).is_none()
    }

    /// Purges messages that were over before `then`; whether that is all.
    fn purge_messages(&mut self, transaction: &mut Transaction, then: Option<Timestamp>) -> Result<bool, StoreError> {
        let Some(then) = then else { return Ok(true) };
        let found = self.ctx.store.oldest_messages(self.record.no, self.sweep.after, STEP_MAX)?;
        let is_last = found.len() < STEP_MAX;
        for (id, state) in found {
            if id.drawn_at() >= then {
                return Ok(true);
            }
            self.sweep.after = Some(id);
            if state.is_over(then) && self.is_inactive(id) {
                self.writer.purge(transaction, id, &state)?;
            }
        }
        Ok(is_last)
    }

    /// Takes out what messages say that were over before `then`; whether that is all.
    fn strip_messages(&mut self, transaction: &mut Transaction, then: Option<Timestamp>) -> Result<bool, StoreError> {
        let Some(then) = then else { return Ok(true) };
        let found = self.ctx.store.oldest_messages(self.record.no, self.sweep.after, STEP_MAX)?;
        let is_last = found.len() < STEP_MAX;
        for (id, state) in found {
            if id.drawn_at() >= then {
                return Ok(true);
            }
            self.sweep.after = Some(id);
            let is_stripped = state.is_over(then) && self.is_inactive(id);
            if is_stripped {
                self.writer.strip(transaction, id, state)?;
            }
            self.sweep.is_unbroken &= is_stripped;
            if self.sweep.is_unbroken {
                self.writer.upkeep.payloads_to = Some(id);
            }
        }
        Ok(is_last)
    }

    fn purge_inbound(&mut self, transaction: &mut Transaction, then: Option<Timestamp>) -> Result<bool, StoreError> {
        let Some(then) = then else { return Ok(true) };
        let found = self.ctx.store.oldest_inbound(self.record.no, STEP_MAX)?;
        let is_last = found.len() < STEP_MAX;
        for inbound in found {
            if inbound.received_at >= then {
                return Ok(true);
            }
            let until = Some(inbound.received_at.after(KNOWN_FOR)).filter(|until| *until > transaction.at);
            transaction.commit.forget_inbound(&inbound, until)?;
            self.writer.upkeep.purged.inbound += 1;
        }
        Ok(is_last)
    }

    fn cut_trail(&mut self, transaction: &mut Transaction, then: Option<Timestamp>) -> Result<bool, StoreError> {
        let Some(then) = then else { return Ok(true) };
        let (store, org, cut) = (&self.ctx.store, self.record.no, self.writer.upkeep.cut);
        let Some((block, entries)) = store.block_before(org, cut, then)? else { return Ok(true) };
        let (mut cut_off, mut orphans) = (Vec::new(), 0);
        for (seq, entry) in (block.first..).zip(&entries) {
            let message = store.subject(org, entry)?;
            orphans += u64::from(message.is_none() && matches!(entry.subject, Subject::Message(_)));
            cut_off.push((seq, message));
        }
        transaction.commit.cut_block(&block, &cut_off, cut);
        let upkeep = &mut self.writer.upkeep;
        upkeep.cut = block.last;
        upkeep.orphans = upkeep.orphans.saturating_sub(orphans);
        upkeep.purged.entries += u64::try_from(entries.len()).unwrap_or(0);
        Ok(false)
    }
}
