//! Quotas: each recipient that counts stands in both indexes, and the counter says how many they are.

use domain::Timestamp;

use super::{Broken, Of, Walk, name};
use crate::keys;

impl Walk<'_> {
    /// Checks what the organisation has used.
    pub(super) fn quota(&mut self) {
        let mut found: u64 = 0;
        self.each(b'q', |walk, key, _| {
            found += 1;
            let Some((at, place)) = keys::counted_in(key) else { return };
            let record = walk.store.record::<Timestamp>(name(b'v'), &keys::counted(walk.org, &place));
            match record {
                Ok(Some(counted)) if counted == at => {}
                Ok(Some(_)) => walk.wrong(name(b'q'), Of::Organisation, Broken::Differs),
                Ok(None) => walk.wrong(name(b'q'), Of::Organisation, Broken::Stale),
                Err(error) => walk.wrong(name(b'v'), Of::Organisation, Broken::Unreadable(error)),
            }
        });
        let named = self.count(b'v');
        if named != found {
            self.wrong(name(b'v'), Of::Organisation, Broken::Count { said: named, found });
        }
        if self.count(b'j') > 1 {
            self.wrong(name(b'j'), Of::Organisation, Broken::Stale);
        }
        match self.store.usage(self.org) {
            Ok(usage) if u64::from(usage.recipients) == found => {}
            Ok(usage) => {
                let said = usage.recipients.into();
                self.wrong(name(b'j'), Of::Organisation, Broken::Count { said, found });
            }
            Err(error) => self.wrong(name(b'j'), Of::Organisation, Broken::Unreadable(error)),
        }
    }
}
