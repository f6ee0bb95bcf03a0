//! Quotas: each recipient that counts stands in both indexes, and the counter says how many they are.

use domain::Timestamp;

use super::{Broken, Of, Walk, name};
use crate::codec::decode;
use crate::keys;

impl Walk<'_> {
    /// Checks what the organisation has used.
    pub(super) fn quota(&mut self) {
        let mut found: u64 = 0;
        self.each(b'v', |walk, key, bytes| {
            found += 1;
            let place = key.last_chunk().copied().unwrap_or_default();
            match decode::<Timestamp>(name(b'v'), bytes) {
                Ok(at) => walk.expect_key(&keys::counted_at(walk.org, at, &place), &[], Of::Organisation),
                Err(error) => walk.wrong(name(b'v'), Of::Organisation, Broken::Unreadable(error)),
            }
        });
        self.each(b'q', |walk, key, _| {
            let counted = keys::counted_in(key).map(|(at, place)| {
                let record = walk.store.record::<Timestamp>(name(b'v'), &keys::counted(walk.org, &place));
                record.map(|counted| counted == Some(at))
            });
            match counted {
                Some(Ok(true) | Err(_)) => {}
                Some(Ok(false)) | None => walk.mend_stale(Of::Organisation, key),
            }
        });
        if self.count(b'j') > 1 {
            self.wrong(name(b'j'), Of::Organisation, Broken::Stale);
        }
        match self.store.usage(self.org) {
            Ok(usage) if u64::from(usage.recipients) == found => {}
            Ok(mut usage) => {
                let said = usage.recipients.into();
                self.found(name(b'j'), Of::Organisation, Broken::Count { said, found }, true);
                usage.recipients = u32::try_from(found).unwrap_or(u32::MAX);
                self.mend_record(name(b'j'), keys::usage(self.org), &usage);
            }
            Err(error) => self.wrong(name(b'j'), Of::Organisation, Broken::Unreadable(error)),
        }
    }
}
