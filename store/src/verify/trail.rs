//! The audit trail: without a gap, sealed as it stands, and told by the messages that it is about.

use domain::audit::{Block, Entry, Fact, Hash, Kept, Subject};
use domain::{Message, MessageId, State};

use super::{Broken, Of, Walk, name};
use crate::codec::decode;
use crate::keys;
use crate::records::{Head, Upkeep};

impl Walk<'_> {
    /// Checks the whole trail, of which the messages name `told` entries, and puts the head right; how many statements of recipients it tells of.
    pub(super) fn trail(&mut self, head: &mut Head, upkeep: &Upkeep, told: u64) -> u64 {
        let (mut next, mut found, mut stated) = (upkeep.cut + 1, 0, 0);
        let mut orphans = 0;
        let mut subject = None;
        self.each(b'a', |walk, key, bytes| {
            let Some(seq) = keys::seq_at_end(key) else { return };
            if seq != next {
                walk.wrong("audit entry", Of::Entry(next), Broken::Missing);
            }
            next = seq + 1;
            walk.report.entries += 1;
            match decode("audit entry", bytes).map(Kept::into_entry) {
                Ok(Entry { subject: Subject::Message(id), .. }) => {
                    if walk.message_entry(id, seq, &mut subject) {
                        found += 1;
                    } else {
                        orphans += 1;
                    }
                }
                Ok(entry) => {
                    stated += u64::from(matches!(entry.fact, Fact::Consent { .. }));
                    walk.billing_told(seq, &entry.fact);
                }
                Err(error) => walk.wrong("audit entry", Of::Entry(seq), Broken::Unreadable(error)),
            }
        });
        if next != head.last_seq + 1 {
            // Where the head tells of more, entries are lost.
            let is_mendable = next > head.last_seq;
            self.found("head", Of::Organisation, Broken::Count { said: head.last_seq, found: next - 1 }, is_mendable);
            head.last_seq = head.last_seq.max(next - 1);
        }
        if told != found {
            self.wrong("audit entry", Of::Organisation, Broken::Count { said: told, found });
        }
        if orphans != upkeep.orphans {
            self.found("retention", Of::Organisation, Broken::Count { said: upkeep.orphans, found: orphans }, true);
            self.mend_record(name(b'l'), keys::of_kind(b'l', self.org), &Upkeep { orphans, ..upkeep.clone() });
        }
        self.each(b'y', |walk, key, _| match keys::seq_at_end(key) {
            Some(seq) if (1..=head.last_seq).contains(&seq) => {}
            Some(seq) => walk.mend_stale(Of::Entry(seq), key),
            None => {}
        });
        self.blocks(head, upkeep);
        stated
    }

    /// An entry about a message is on the message's own trail, and on its dossier's; `false` if the message is gone.
    fn message_entry(&mut self, id: MessageId, seq: u64, last: &mut Option<(MessageId, Message, State)>) -> bool {
        if last.as_ref().is_none_or(|(known, ..)| *known != id) {
            let message = self.store.message(self.org, id).ok().flatten();
            *last =
                message.zip(self.store.state(self.org, id).ok().flatten()).map(|(message, state)| (id, message, state));
        }
        let Some((_, message, state)) = last else {
            return false;
        };
        if state.trail.binary_search(&seq).is_err() {
            self.wrong("state", Of::Message(id), Broken::Untold(seq));
        }
        if let Some(dossier) = &message.dossier {
            let key = keys::dossier_activity(self.org, dossier.key(), seq);
            self.expect_key(&key, &[], Of::Entry(seq));
        }
        true
    }

    fn blocks(&mut self, head: &Head, upkeep: &Upkeep) {
        let (mut sealed, mut previous) = (0, Hash::default());
        self.each(b'b', |walk, _, bytes| {
            let block = match decode::<Block>("audit block", bytes) {
                Ok(block) => block,
                Err(error) => return walk.wrong("audit block", Of::Organisation, Broken::Unreadable(error)),
            };
            let of = Of::Entry(block.first);
            if block.last == upkeep.cut {
                // What it seals is cut off; the chain begins with its hash.
                (sealed, previous) = (block.last, block.hash);
                return;
            }
            let len = usize::try_from((block.last + 1).saturating_sub(block.first)).unwrap_or(usize::MAX);
            match walk.store.sealed_entries(walk.org, block.first, len) {
                Ok(entries) => {
                    let resealed = Block::seal(sealed + 1, previous, entries.iter().map(Vec::as_slice));
                    if resealed != block || block.last > head.last_seq {
                        walk.wrong("audit block", of, Broken::Seal);
                    }
                }
                Err(error) => walk.wrong("audit block", of, Broken::Unreadable(error)),
            }
            (sealed, previous) = (block.last, block.hash);
        });
    }
}
