//! What recipients agreed to: what is known of each rests on statements, and each statement is told by the trail.

use domain::Seq;
use domain::consent::{Consent, Statement};

use super::{Broken, Of, Walk, name};
use crate::codec::decode;
use crate::keys;
use crate::records::Upkeep;

impl Walk<'_> {
    /// Checks every consent; the trail tells of `told` statements.
    pub(super) fn consents(&mut self, upkeep: &Upkeep, told: u64) {
        self.each(b'c', |walk, key, bytes| match decode::<Consent>(name(b'c'), bytes) {
            Ok(consent) => walk.consent(key, &consent),
            Err(error) => walk.wrong(name(b'c'), Of::Organisation, Broken::Unreadable(error)),
        });
        let mut found = 0;
        self.each(b'g', |walk, key, bytes| {
            let Some(seq) = keys::seq_at_end(key) else { return };
            found += u64::from(seq > upkeep.cut);
            if let Err(error) = decode::<Statement>(name(b'g'), bytes) {
                walk.wrong(name(b'g'), Of::Entry(seq), Broken::Unreadable(error));
            }
            match keys::consent_of_statement(key).map(|consent| walk.store.backend.get(&consent)) {
                Some(Ok(Some(_))) => {}
                Some(Ok(None)) | None => walk.wrong(name(b'g'), Of::Entry(seq), Broken::Stale),
                Some(Err(error)) => walk.wrong(name(b'c'), Of::Entry(seq), Broken::Unreadable(error)),
            }
        });
        if told != found {
            self.wrong(name(b'g'), Of::Organisation, Broken::Count { said: told, found });
        }
    }

    fn consent(&mut self, key: &[u8], consent: &Consent) {
        let of = Of::Message(consent.id);
        // One that was erased no longer says whose it is; its key does.
        if !consent.recipient.is_empty() && keys::consent(self.org, &consent.recipient) != key {
            self.wrong(name(b'c'), of, Broken::Differs);
        }
        for standing in [consent.transactional, consent.marketing].into_iter().flatten() {
            let record: Seq = standing.record;
            self.expect_record::<Statement>(&keys::statement_of_consent(key, record), None, of, |statement| {
                statement.choice == standing.choice
            });
        }
    }
}
