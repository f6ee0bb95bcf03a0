//! Messages, their states, and the indexes that they are found by.

use std::collections::BTreeMap;

use domain::audit::Hash;
use domain::state::Status;
use domain::{AttemptRef, Epoch, Message, MessageId, ProviderId, State, invariants};

use super::{Broken, Of, Walk, name};
use crate::backend::Write;
use crate::codec::{decode, encode};
use crate::commit::{Commit, idempotency_hash};
use crate::keys;
use crate::records::{Head, Upkeep};

/// What a message and its state are found by, and the message's parts.
const KINDS: &[u8] = b"msdeipCxtS";

impl Walk<'_> {
    /// Checks every message, and puts the head right; how many audit entries they name.
    pub(super) fn messages(&mut self, head: &mut Head, upkeep: &Upkeep) -> u64 {
        self.status_index();
        let (mut counts, mut told) = ([0; Status::ALL.len()], 0);
        self.each(b's', |walk, key, bytes| {
            let Some(id) = keys::message_at_end(key) else { return };
            match decode::<State>("state", bytes) {
                Ok(state) => {
                    walk.report.messages += 1;
                    told += u64::try_from(state.trail.iter().filter(|seq| **seq > upkeep.cut).count()).unwrap_or(0);
                    if let Some(count) = counts.get_mut(state.phase.status() as usize) {
                        *count += 1;
                    }
                    walk.message(id, &state);
                }
                Err(error) => walk.wrong("state", Of::Message(id), Broken::Unreadable(error)),
            }
        });
        for (said, found) in head.counts.into_iter().zip(counts) {
            if said != found {
                self.found("head", Of::Organisation, Broken::Count { said, found }, true);
            }
        }
        head.counts = counts;
        for letter in KINDS {
            let expected = self.expected.get(letter).copied().unwrap_or_default();
            if self.count(*letter) > expected {
                self.stale(*letter);
            }
        }
        self.answers();
        told
    }

    fn message(&mut self, id: MessageId, state: &State) {
        let of = Of::Message(id);
        if state.is_held_by_restore() && !self.is_restored {
            self.wrong(name(b'R'), of, Broken::Missing);
        }
        let message = match self.store.message(self.org, id) {
            Ok(Some(message)) => message,
            Ok(None) => return self.wrong("message", of, Broken::Missing),
            Err(error) => return self.wrong("message", of, Broken::Unreadable(error)),
        };
        if let Err(violation) = invariants::check(&message, state) {
            self.wrong("state", of, Broken::State(violation));
        }
        for (key, value) in self.records(&message, state) {
            match key.first() {
                Some(b'i') => {
                    let is_free = !self.is_keys_of_another(&key, id);
                    self.expect_record::<(MessageId, Hash)>(&key, is_free.then_some(value), of, |(found, _)| {
                        *found == id
                    });
                }
                Some(b'S') if !self.has_status_index => self.expect(b'S'),
                Some(_) | None => self.expect_key(&key, &value, of),
            }
        }
        self.names(id, state);
    }

    /// Looks how far the index by status is built: what is not is no fault.
    fn status_index(&mut self) {
        match self.store.has_status_index(self.org) {
            Ok(is_whole) => self.has_status_index = is_whole,
            Err(error) => self.wrong(name(b'I'), Of::Organisation, Broken::Unreadable(error)),
        }
        if self.count(b'I') > 1 {
            self.wrong(name(b'I'), Of::Organisation, Broken::Stale);
        }
    }

    /// All that should be there because a message is, but for what its provider ids lead to: what a commit of it as it now is
    /// would write.
    fn records(&mut self, message: &Message, state: &State) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut commit = Commit::new(self.org, Epoch::default());
        if let Err(error) = commit.accepted(message, state, &Hash::default()) {
            self.wrong("message", Of::Message(message.id), Broken::Unreadable(error));
        }
        commit.into_records()
    }

    /// Whether an idempotency key leads to another message, which has it as well.
    fn is_keys_of_another(&self, key: &[u8], id: MessageId) -> bool {
        let found = self.store.record::<(MessageId, Hash)>(name(b'i'), key).ok().flatten();
        let other =
            found.filter(|(found, _)| *found != id).and_then(|(other, _)| self.store.message(self.org, other).ok());
        let hash = other.flatten().as_ref().and_then(idempotency_hash);
        hash.is_some_and(|hash| keys::idempotency(self.org, hash) == key)
    }

    /// Each provider id leads to the attempt that was named so first; every other says that it was not.
    fn names(&mut self, id: MessageId, state: &State) {
        let (org, of) = (self.org, Of::Message(id));
        for attempt in &state.attempts {
            let Some(named) = attempt.provider_id.as_ref().filter(|named| !named.is_erased()) else { continue };
            let own = AttemptRef { message: id, attempt: attempt.no };
            let key = keys::provider(org, named);
            let holder = self.store.record::<AttemptRef>(name(b'p'), &key);
            let claim = keys::claim(org, named, own);
            match (holder, self.store.backend.get(&claim)) {
                (Ok(Some(holder)), _) if holder == own => self.expect(b'p'),
                (Ok(_), Ok(Some(_))) => self.expect(b'C'),
                // Before there were claims, the last attempt of a message took the id over.
                (Ok(Some(holder)), Ok(None)) if holder.message == id && is_named(state, holder, named) => {}
                (Ok(Some(holder)), Ok(None)) => {
                    let has_it = self.store.state(org, holder.message).ok().flatten();
                    let mend = match has_it.filter(|state| is_named(state, holder, named)) {
                        Some(_) => Write::Put(claim, Vec::new()),
                        None => Write::Delete(key),
                    };
                    self.mend(of, Broken::Differs, mend);
                }
                (Ok(None), Ok(None)) => match encode(name(b'p'), &own) {
                    Ok(value) => self.mend(of, Broken::Missing, Write::Put(key, value)),
                    Err(error) => self.wrong(name(b'p'), of, Broken::Unreadable(error)),
                },
                (Err(error), _) | (Ok(_), Err(error)) => self.wrong(name(b'p'), of, Broken::Unreadable(error)),
            }
        }
    }

    /// Names the keys of a kind that no message leads to.
    fn stale(&mut self, letter: u8) {
        self.each(letter, |walk, key, value| {
            let attempt = match letter {
                b'p' => decode::<AttemptRef>(name(letter), value).ok(),
                b'C' => keys::claimant(key),
                _ => None,
            };
            let id = match letter {
                b'm' => keys::message_of_part(key),
                b'i' => decode::<(MessageId, Hash)>(name(letter), value).ok().map(|(id, _)| id),
                b'p' | b'C' => attempt.map(|attempt| attempt.message),
                _ => keys::message_at_end(key),
            };
            let Some(id) = id else { return walk.mend_stale(Of::Organisation, key) };
            let (Ok(message), Ok(state)) = (walk.store.message(walk.org, id), walk.store.state(walk.org, id)) else {
                // That was told before.
                return;
            };
            match (message, state, attempt) {
                (Some(_), Some(state), Some(attempt)) if walk.leads(key, attempt, &state) => {}
                (Some(message), Some(state), None) if walk.records(&message, &state).contains_key(key) => {}
                (Some(_), None, _) if letter == b'm' => walk.wrong("state", Of::Message(id), Broken::Missing),
                (Some(_), Some(_), _) | (None, None, _) if !matches!(letter, b'm' | b's') => {
                    walk.mend_stale(Of::Message(id), key);
                }
                // What is left of a message that is half lost stays as it is.
                _ => walk.wrong(name(letter), Of::Message(id), Broken::Stale),
            }
        });
    }

    /// Whether a key of a provider id is right in leading to an attempt, or in telling that it does not.
    fn leads(&self, key: &[u8], attempt: AttemptRef, state: &State) -> bool {
        let named = state.attempt(attempt.attempt).and_then(|attempt| attempt.provider_id.as_ref());
        let Some(named) = named.filter(|named| !named.is_erased()) else { return false };
        let holder = self.store.by_provider_id(self.org, named).ok().flatten();
        keys::provider(self.org, named) == key
            || keys::claim(self.org, named, attempt) == key && holder != Some(attempt)
    }

    /// Answers of the provider belong to a message.
    fn answers(&mut self) {
        self.each(b'r', |walk, key, _| {
            let Some(id) = keys::message_of_part(key) else { return };
            if matches!(walk.store.state(walk.org, id), Ok(None)) {
                walk.mend_stale(Of::Message(id), key);
            }
        });
    }
}

fn is_named(state: &State, attempt: AttemptRef, named: &ProviderId) -> bool {
    state.attempt(attempt.attempt).and_then(|attempt| attempt.provider_id.as_ref()) == Some(named)
}
