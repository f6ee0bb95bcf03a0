//! What recipients wrote, and receipts that wait for their message.

use std::collections::HashSet;
use std::ops::ControlFlow;

use domain::receipt::Reported;
use domain::{Epoch, Inbound, MessageId};

use super::{Broken, Of, Walk, name};
use crate::backend::{Order, Write};
use crate::codec::decode;
use crate::commit::{Commit, OWN_WINDOW};
use crate::keys;
use crate::records::Parked;

/// What an inbound message is found by.
const KINDS: &[u8] = b"nfuw";

impl Walk<'_> {
    pub(super) fn inbound(&mut self) {
        let mut last = None;
        self.each(b'n', |walk, key, _| {
            if let Some(id) = keys::message_of_part(key).filter(|id| last.replace(*id) != Some(*id)) {
                walk.inbound_message(id);
            }
        });
        // What is gone may be noted several times; the first to be over takes its name along.
        let mut gone = HashSet::new();
        self.each(b'U', |walk, key, _| match keys::gone_in(key) {
            Some((_, name)) => {
                let is_there = matches!(walk.store.backend.get(&name), Ok(Some(_)));
                if gone.insert(name) && is_there {
                    walk.expect(b'u');
                }
            }
            None => walk.wrong(name(b'U'), Of::Organisation, Broken::Unknown),
        });
        for letter in KINDS {
            let expected = self.expected.get(letter).copied().unwrap_or_default();
            let mut found = 0;
            // A window's key that several may share leads to none of them.
            self.each(*letter, |_, key, _| found += u64::from(!keys::is_shared_window(key)));
            if found > expected {
                self.stale_inbound(*letter, &gone);
            }
        }
        self.each(b'k', |walk, key, bytes| match decode::<Parked>("parked receipt", bytes) {
            Ok(Parked { reported: Reported { receipt, .. }, .. }) => {
                let right = keys::parked(walk.org, &receipt.provider_id, receipt.kind as u8);
                if right != key {
                    walk.mend(Of::Organisation, Broken::Differs, Write::Delete(key.to_vec()));
                    walk.mends.add(Write::Put(right, bytes.to_vec()));
                }
            }
            Err(error) => walk.wrong("parked receipt", Of::Organisation, Broken::Unreadable(error)),
        });
    }

    fn inbound_message(&mut self, id: MessageId) {
        let of = Of::Message(id);
        let inbound = match self.store.inbound(self.org, id) {
            Ok(Some(inbound)) => inbound,
            Ok(None) => return self.wrong(name(b'n'), of, Broken::Missing),
            Err(error) => return self.wrong(name(b'n'), of, Broken::Unreadable(error)),
        };
        let mut commit = Commit::new(self.org, Epoch::default());
        if let Err(error) = commit.received(&inbound) {
            return self.wrong(name(b'n'), of, Broken::Unreadable(error));
        }
        let has_own_window = self.has_own_window(&inbound);
        for (key, value) in commit.into_records() {
            match key.first() {
                Some(b'u') => {
                    // Two of one name would both want it.
                    let other = self.store.record::<MessageId>(name(b'u'), &key).ok().flatten();
                    let is_anothers = other.is_some_and(|other| other != id && self.is_there(other));
                    let right = (!is_anothers).then_some(value);
                    self.expect_record::<MessageId>(&key, right, of, |found| *found == id);
                }
                // One that came before windows had keys of their own shared its, which went with the first of those who did.
                Some(b'w') if !has_own_window => {
                    if !matches!(self.store.backend.get(&key), Ok(None)) {
                        self.found(name(b'f'), of, Broken::Differs, true);
                        for author in inbound.names() {
                            let key = keys::author_inbound(self.org, author, id);
                            self.mends.add(Write::Put(key, OWN_WINDOW.to_vec()));
                        }
                    }
                }
                Some(_) | None => self.expect_key(&key, &value, of),
            }
        }
    }

    fn has_own_window(&self, inbound: &Inbound) -> bool {
        let value = |author| self.store.backend.get(&keys::author_inbound(self.org, author, inbound.id));
        // One that is missing is put anew, with a window.
        inbound.names().all(|author| !matches!(value(author), Ok(Some(value)) if value != OWN_WINDOW))
    }

    fn is_there(&self, id: MessageId) -> bool {
        !matches!(self.store.inbound(self.org, id), Ok(None))
    }

    /// Whether there are parts of a record, but not the first.
    fn is_half_lost(&self, id: MessageId) -> bool {
        let (mut is_any, prefix) = (false, keys::inbound(self.org, id));
        let has_first = matches!(self.store.backend.get(&keys::first_part(&prefix)), Ok(Some(_)));
        let scan = self.store.scan(prefix, Order::Ascending, &mut |_, _| {
            is_any = true;
            ControlFlow::Break(())
        });
        scan.is_err() || is_any && !has_first
    }

    /// Names the keys of a kind that no inbound message leads to.
    fn stale_inbound(&mut self, letter: u8, gone: &HashSet<Vec<u8>>) {
        self.each(letter, |walk, key, value| {
            let id = match letter {
                b'u' if gone.contains(key) => return,
                b'u' => decode::<MessageId>(name(letter), value).ok(),
                b'w' if keys::is_shared_window(key) => return,
                b'w' => keys::message_of_window(key),
                b'n' => keys::message_of_part(key),
                _ => keys::message_at_end(key),
            };
            let Some(id) = id else { return walk.mend_stale(Of::Organisation, key) };
            // What cannot be read was told before.
            let Ok(inbound) = walk.store.inbound(walk.org, id) else { return };
            let mut commit = Commit::new(walk.org, Epoch::default());
            let is_led_to = inbound
                .is_some_and(|inbound| commit.received(&inbound).is_ok() && commit.into_records().contains_key(key));
            if is_led_to {
                return;
            }
            if letter == b'n' || walk.is_half_lost(id) {
                walk.wrong(name(letter), Of::Message(id), Broken::Stale);
            } else {
                walk.mend_stale(Of::Message(id), key);
            }
        });
    }
}
