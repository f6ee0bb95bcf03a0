//! What WhatsApp bills templates as: each stands where it is looked up, and rests on what the trail told of it last.

use domain::Seq;
use domain::audit::Fact;
use domain::billing::Billed;

use super::{Broken, Of, Walk, name};
use crate::codec::decode;
use crate::keys;
use crate::records::{Head, Upkeep};

impl Walk<'_> {
    /// Checks every template of which something is known.
    pub(super) fn billing(&mut self, head: &Head, upkeep: &Upkeep) {
        self.each(b'M', |walk, key, bytes| {
            let billed = match decode::<Billed>(name(b'M'), bytes) {
                Ok(billed) => billed,
                Err(error) => return walk.wrong(name(b'M'), Of::Organisation, Broken::Unreadable(error)),
            };
            let Billed { account, name: template, language, record, .. } = &billed;
            let of = Of::Entry(*record);
            if keys::billed(walk.org, account, template, language) != key {
                walk.wrong(name(b'M'), of, Broken::Differs);
            }
            let is_told = match walk.store.entry(walk.org, *record) {
                // It may be cut off by now.
                Ok(None) => *record <= upkeep.cut && *record <= head.last_seq,
                Ok(Some(entry)) => {
                    matches!(entry.fact, Fact::TemplateBilled { category, .. } if category == billed.category)
                }
                Err(error) => return walk.wrong(name(b'a'), of, Broken::Unreadable(error)),
            };
            if !is_told {
                walk.wrong(name(b'M'), of, Broken::Stale);
            }
        });
    }

    /// What the trail tells of a template is known, unless it told otherwise later.
    pub(super) fn billing_told(&mut self, seq: Seq, fact: &Fact) {
        let Fact::TemplateBilled { account, template, language, .. } = fact else { return };
        let key = keys::billed(self.org, account, template, language);
        match self.store.record::<Billed>(name(b'M'), &key) {
            Ok(Some(billed)) if billed.record >= seq => {}
            Ok(Some(_)) => self.wrong(name(b'M'), Of::Entry(seq), Broken::Differs),
            Ok(None) => self.wrong(name(b'M'), Of::Entry(seq), Broken::Missing),
            // What cannot be read is told by itself.
            Err(_) => {}
        }
    }
}
