//! Backups by the dice, and a copy that goes on in the original's place: what was done since is gone, and what was not finished
//! waits for a person.

use std::time::Duration;

use actors::HeldWish;
use domain::audit::By;
use domain::{MessageId, OrgId, State, Status};
use rand::RngExt;
use store::{MemoryBackend, Store};

use super::play::{Play, Posted};
use crate::support::{copy, store_over};

/// What was in the store at a moment.
pub(super) struct Backup {
    backend: MemoryBackend,
    at: Duration,
}

impl Play {
    pub(super) fn back_up(&mut self) {
        // What a life writes after its end never happened.
        if !self.world.life.is_over() {
            self.backup = Some(Backup { backend: copy(&self.world.backend), at: self.world.elapsed() });
        }
    }

    /// The original is lost; its latest backup, if there is one, is restored.
    pub(super) async fn restore(&mut self) {
        let Some(Backup { backend, at }) = self.backup.take() else { return };
        self.nobody_crashed();
        self.plan_receipts();
        let lost = store_over(self.world.life.image().unwrap_or_else(|| copy(&self.world.backend)));
        let held = self.world.restore(&backend, at).await;
        self.played.restores += 1;
        self.played.held += held;
        self.forget_what_is_not_in(&store_over(backend), &lost);
        self.agrees_with_itself("after a restore");
        for (org, recipient) in self.revoked.keys().cloned().collect::<Vec<_>>() {
            self.revoke_for(&org, recipient).await;
        }
        self.ask_again().await;
    }

    /// What clients and Meta said since is known to nobody, and they do not say it again.
    fn forget_what_is_not_in(&mut self, copied: &Store, lost: &Store) {
        let now = self.world.elapsed();
        let no = |org: &OrgId| self.world.org_no(org);
        let find = |store: &Store, posted: &Posted| {
            store.idempotency(no(&posted.org), posted.key()).unwrap().map(|(id, _)| id)
        };
        let state = |org: &OrgId, id: MessageId| -> Option<State> { copied.state(no(org), id).unwrap() };
        for mut posted in std::mem::take(&mut self.posted) {
            if let Some(id) = find(copied, &posted) {
                posted.copied.push(now);
                posted.cancelled = posted
                    .cancelled
                    .filter(|_| state(&posted.org, id).is_some_and(|state| state.phase.status() == Status::Cancelled));
                self.posted.push(posted);
            } else if posted.id.is_some() {
                self.gone.push(posted);
            } else {
                // Who heard nothing of it asks the copy for it.
                let id = find(lost, &posted);
                self.gone.extend(id.map(|id| Posted { id: Some(id), ..posted.clone() }));
                self.posted.push(posted);
            }
        }
        for told in &mut self.told {
            let state = state(&told.org, told.attempt.message);
            let attempt = state.as_ref().and_then(|state| state.attempt(told.attempt.attempt));
            told.is_lost |= told.at.is_some() && attempt.is_none_or(|attempt| !attempt.receipts.has(told.receipt.kind));
        }
    }

    /// A person decides about what is held.
    pub(super) async fn release(&mut self, org: OrgId) {
        let wish = if self.dice.random_bool(0.7) { HeldWish::Send } else { HeldWish::Cancel };
        for posted in self.posted.iter_mut().filter(|posted| posted.org == org) {
            let state = posted.id.map(|id| self.world.state(&org, id));
            posted.is_unwanted |= wish == HeldWish::Cancel && state.is_some_and(|state| state.is_held_by_restore());
        }
        self.released.push((org.clone(), self.world.elapsed()));
        let answer = self.world.outbox.release_held(&org, wish, By::Admin).await;
        if let Some(released) = self.heard(answer) {
            let released = released.unwrap();
            assert!(released.is_all, "a play holds few");
            self.played.released += released.messages;
        }
    }
}

impl Posted {
    fn key(&self) -> &str {
        self.body["idempotencyKey"].as_str().unwrap()
    }
}
