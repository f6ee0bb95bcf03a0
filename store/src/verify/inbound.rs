//! What recipients wrote, and receipts that wait for their message.

use domain::receipt::Reported;
use domain::{Epoch, MessageId};

use super::{Broken, Of, Walk, name};
use crate::codec::decode;
use crate::commit::Commit;
use crate::keys;
use crate::records::{Parked, Upkeep};

/// Kinds of which each key names its message; a window may have been opened by two at once.
const KINDS: &[u8] = b"nfu";

impl Walk<'_> {
    pub(super) fn inbound(&mut self, upkeep: &Upkeep) {
        let mut last = None;
        self.each(b'n', |walk, key, _| {
            if let Some(id) = keys::message_of_part(key).filter(|id| last.replace(*id) != Some(*id)) {
                walk.inbound_message(id, upkeep);
            }
        });
        self.each(b'U', |walk, key, _| match keys::gone_in(key) {
            Some((_, name)) => walk.expect_record::<MessageId>(&name, Of::Organisation, |_| true),
            None => walk.wrong(name(b'U'), Of::Organisation, Broken::Unknown),
        });
        for letter in KINDS {
            let said = self.expected.get(letter).copied().unwrap_or_default();
            let found = self.count(*letter);
            if said != found {
                self.wrong(name(*letter), Of::Organisation, Broken::Count { said, found });
            }
        }
        self.each(b'k', |walk, key, bytes| match decode::<Parked>("parked receipt", bytes) {
            Ok(Parked { reported: Reported { receipt, .. }, .. }) => {
                if keys::parked(walk.org, &receipt.provider_id, receipt.kind as u8) != key {
                    walk.wrong("parked receipt", Of::Organisation, Broken::Differs);
                }
            }
            Err(error) => walk.wrong("parked receipt", Of::Organisation, Broken::Unreadable(error)),
        });
    }

    fn inbound_message(&mut self, id: MessageId, upkeep: &Upkeep) {
        let of = Of::Message(id);
        let mut commit = Commit::new(self.org, Epoch::default());
        let read = self.store.inbound(self.org, id).and_then(|inbound| match inbound {
            Some(inbound) => commit.received(&inbound),
            None => Ok(()),
        });
        if let Err(error) = read {
            return self.wrong("inbound message", of, Broken::Unreadable(error));
        }
        for key in commit.into_keys() {
            if key.first() == Some(&b'u') {
                self.expect_record::<MessageId>(&key, of, |found| *found == id);
            } else if key.first() != Some(&b'w') || upkeep.purged.inbound == 0 {
                // A window that two messages had opened in one second went with the first of them.
                self.expect_mark(&key, of);
            }
        }
    }
}
