//! Reading what recipients wrote, and finding what they answered to.

use std::ops::ControlFlow;

use domain::{Inbound, MessageId, OrgNo, PhoneNumberId, ProviderId, SenderNo, Timestamp};

use crate::backend::{Order, StoreError};
use crate::keys;
use crate::search::Page;
use crate::store::Store;

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
        for name in self.called(org, to)?.names {
            self.scan(keys::windows(org, sender, &name), Order::Descending, &mut |key, _| {
                last = last.max(keys::window_at(key));
                ControlFlow::Break(())
            })?;
        }
        Ok(last)
    }

    /// What recipients wrote before `before`, newest first; only `from` this author, if one is given.
    pub fn inbound_page(
        &self,
        org: OrgNo,
        from: Option<&str>,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Page<Inbound, MessageId>, StoreError> {
        let prefix = from.map_or_else(|| keys::of_kind(b'n', org), |from| keys::author_inbounds(org, from));
        let mut range = keys::within(prefix.clone());
        if let Some(before) = before {
            range.end = prefix;
            range.end.extend_from_slice(before.as_bytes());
        }
        let id_of = if from.is_some() { keys::message_at_end } else { keys::message_of_part };
        let mut ids: Vec<MessageId> = Vec::new();
        self.backend.scan(&*range.start..&*range.end, Order::Descending, &mut |key, _| {
            let id = id_of(key);
            if id != ids.last().copied() {
                ids.extend(id);
            }
            if ids.len() <= limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let has_more = ids.len() > limit;
        ids.truncate(limit);
        let next = ids.last().copied().filter(|_| has_more);
        let items = ids.into_iter().map(|id| self.inbound(org, id)).collect::<Result<Vec<_>, _>>()?;
        Ok(Page { items: items.into_iter().flatten().collect(), next })
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
