//! Reading what recipients wrote, and finding what they answered to.

use std::ops::ControlFlow;
use std::time::Duration;

use domain::people::Former;
use domain::{Inbound, MessageId, OrgNo, PhoneNumberId, ProviderId, SenderNo, Timestamp};

use crate::backend::{Order, StoreError};
use crate::keys;
use crate::search::{PAGE_BYTES, Page};
use crate::store::Store;

/// How long after it was written a message may come: Meta repeats one that was not answered for up to seven days.
const LATE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

impl Store {
    /// A message that a recipient wrote.
    pub fn inbound(&self, org: OrgNo, id: MessageId) -> Result<Option<Inbound>, StoreError> {
        self.parts("inbound message", keys::inbound(org, id))
    }

    /// The message that came to `sender` under this id of Meta's, if it came before; it may be gone.
    pub fn inbound_id(
        &self,
        org: OrgNo,
        sender: &PhoneNumberId,
        id: &ProviderId,
    ) -> Result<Option<MessageId>, StoreError> {
        self.record("inbound id", &keys::inbound_name(org, sender, id))
    }

    /// When a recipient last wrote to a sender, under any name of theirs: named by a phone number in any spelling, or by Meta's
    /// id of the user.
    pub fn last_inbound(&self, org: OrgNo, sender: SenderNo, to: &str) -> Result<Option<Timestamp>, StoreError> {
        let mut last = None;
        for name in self.known_names(org, to)?.names {
            self.scan(keys::windows(org, sender, &name), Order::Descending, &mut |key, _| {
                last = last.max(keys::window_at(key));
                ControlFlow::Break(())
            })?;
        }
        Ok(last)
    }

    /// Up to `limit` ids of messages after `after`, oldest first, that somebody wrote under a name before they gave it up, however
    /// late they came.
    pub fn inbound_written_by(
        &self,
        org: OrgNo,
        former: &Former,
        after: Option<MessageId>,
        limit: usize,
    ) -> Result<Vec<MessageId>, StoreError> {
        let (mut found, mut failed) = (Vec::new(), None);
        self.inbound_of(org, &former.name, after, &mut |id| {
            // What came before it was given up was written before as well.
            let is_theirs = match id.drawn_at() < former.until {
                true => Ok(true),
                false if id.drawn_at() > former.until.after(LATE_MAX) => return ControlFlow::Break(()),
                false => {
                    self.inbound(org, id).map(|inbound| inbound.is_some_and(|known| known.written_at() <= former.until))
                }
            };
            match is_theirs {
                Ok(is_theirs) => found.extend(is_theirs.then_some(id)),
                Err(error) => failed = Some(error),
            }
            if found.len() < limit && failed.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        failed.map_or(Ok(found), Err)
    }

    /// What recipients wrote before `before`, newest first; only `from` this author, under any name of theirs, if one is given.
    pub fn inbound_page(
        &self,
        org: OrgNo,
        from: Option<&str>,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Page<Inbound, MessageId>, StoreError> {
        let mut ids = Vec::new();
        match from {
            None => {
                self.last_inbound_behind(keys::of_kind(b'n', org), keys::message_of_part, before, limit, &mut ids)?
            }
            Some(from) => {
                for name in self.known_names(org, from)?.names {
                    let prefix = keys::author_inbounds(org, &name);
                    self.last_inbound_behind(prefix, keys::message_at_end, before, limit, &mut ids)?;
                }
            }
        }
        // One that shows several names is found by each.
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        let has_more = ids.len() > limit;
        ids.truncate(limit);
        let last = ids.last().copied();
        let (mut items, mut bytes) = (Vec::new(), 0);
        for id in ids {
            let Some(inbound) = self.inbound(org, id)? else { continue };
            bytes += inbound.payload.len();
            items.push(inbound);
            if bytes >= PAGE_BYTES {
                return Ok(Page { items, next: Some(id).filter(|id| has_more || Some(*id) != last) });
            }
        }
        Ok(Page { items, next: last.filter(|_| has_more) })
    }

    /// Adds the last ids before `before` in keys that begin with `prefix`: one more than `limit`, if there are.
    fn last_inbound_behind(
        &self,
        prefix: Vec<u8>,
        id_of: fn(&[u8]) -> Option<MessageId>,
        before: Option<MessageId>,
        limit: usize,
        ids: &mut Vec<MessageId>,
    ) -> Result<(), StoreError> {
        let mut range = keys::within(prefix.clone());
        if let Some(before) = before {
            range.end = prefix;
            range.end.extend_from_slice(before.as_bytes());
        }
        let (mut left, mut last) = (limit + 1, None);
        self.backend.scan(&*range.start..&*range.end, Order::Descending, &mut |key, _| {
            let id = id_of(key);
            // A long message has several keys.
            if id != last {
                ids.extend(id);
                last = id;
                left -= 1;
            }
            if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    }

    /// The message to a recipient that was accepted last, however its number is spelt.
    pub fn latest_message_to(&self, org: OrgNo, to: &str) -> Result<Option<MessageId>, StoreError> {
        let mut latest = None;
        self.scan(keys::recipient_messages(org, to), Order::Descending, &mut |key, _| {
            latest = keys::message_at_end(key);
            ControlFlow::Break(())
        })?;
        Ok(latest)
    }
}
