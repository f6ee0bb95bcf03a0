//! Messages, their states, and the indexes that they are found by.

use std::collections::BTreeSet;

use domain::state::Status;
use domain::{AttemptRef, Epoch, Message, MessageId, State, invariants};

use super::{Broken, Of, Walk, name};
use crate::codec::decode;
use crate::commit::Commit;
use crate::keys;
use crate::records::{Head, Upkeep};

/// What a message and its state are found by, and the message's parts.
const KINDS: &[u8] = b"msdeipxtS";

impl Walk<'_> {
    /// Checks every message; how many audit entries they name.
    pub(super) fn messages(&mut self, head: &Head, upkeep: &Upkeep) -> u64 {
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
        for (status, found) in Status::ALL.into_iter().zip(counts) {
            let said = head.count(status);
            if said != found {
                self.wrong("head", Of::Organisation, Broken::Count { said, found });
            }
        }
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
        let org = self.org;
        for key in self.keys(&message, state) {
            match key.first() {
                Some(b'i') => {
                    self.expect_record::<(MessageId, domain::audit::Hash)>(&key, of, |(found, _)| *found == id)
                }
                Some(b'p') => self.expect_record::<AttemptRef>(&key, of, |found| {
                    let attempt = state.attempt(found.attempt).and_then(|attempt| attempt.provider_id.as_ref());
                    found.message == id && attempt.is_some_and(|named| keys::provider(org, named) == key)
                }),
                Some(b'S') if !self.has_status_index => self.expect(b'S'),
                Some(_) | None => self.expect_mark(&key, of),
            }
        }
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

    /// All keys that should be there because a message is: what a commit of it as it now is would write.
    fn keys(&mut self, message: &Message, state: &State) -> BTreeSet<Vec<u8>> {
        let mut commit = Commit::new(self.org, Epoch::default());
        if let Err(error) = commit.accepted(message, state, &domain::audit::Hash::default()) {
            self.wrong("message", Of::Message(message.id), Broken::Unreadable(error));
        }
        let mut found = commit.into_keys();
        let named = state.attempts.iter().filter_map(|attempt| attempt.provider_id.as_ref());
        let named = named.filter(|id| !id.is_erased());
        found.extend(named.map(|id| keys::provider(self.org, id)));
        found
    }

    /// Names the keys of a kind that no message leads to.
    fn stale(&mut self, letter: u8) {
        self.each(letter, |walk, key, value| {
            let id = match letter {
                b'm' => keys::message_of_part(key),
                b'i' => decode::<(MessageId, domain::audit::Hash)>(name(letter), value).ok().map(|(id, _)| id),
                b'p' => decode::<AttemptRef>(name(letter), value).ok().map(|attempt| attempt.message),
                _ => keys::message_at_end(key),
            };
            let Some(id) = id else { return walk.wrong(name(letter), Of::Organisation, Broken::Stale) };
            // What cannot be read was told before.
            let state = walk.store.state(walk.org, id).ok().flatten();
            let message = walk.store.message(walk.org, id).ok().flatten();
            match (message, state) {
                (Some(message), Some(state)) if walk.keys(&message, &state).contains(key) => {}
                (Some(_), None) if letter == b'm' => walk.wrong("state", Of::Message(id), Broken::Missing),
                _ => walk.wrong(name(letter), Of::Message(id), Broken::Stale),
            }
        });
    }

    /// Answers of the provider belong to a message.
    fn answers(&mut self) {
        let mut last = None;
        self.each(b'r', |walk, key, _| {
            let Some(id) = keys::message_of_part(key) else { return };
            if last.replace(id) != Some(id) && matches!(walk.store.state(walk.org, id), Ok(None)) {
                walk.wrong(name(b'r'), Of::Message(id), Broken::Stale);
            }
        });
    }
}
