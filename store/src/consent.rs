//! Reading consents: what is known of a recipient, and what they said before.

use std::ops::ControlFlow;

use domain::consent::{Consent, Statement};
use domain::{OrgNo, Seq};

use crate::backend::{Order, StoreError};
use crate::codec::decode;
use crate::keys;
use crate::search::Page;
use crate::store::Store;

impl Store {
    /// What is known of a recipient: named by a phone number in any spelling, or by Meta's id of a user.
    pub fn consent(&self, org: OrgNo, name: &str) -> Result<Option<Consent>, StoreError> {
        self.record("consent", &keys::consent(org, name))
    }

    /// What a recipient said before the statement `before`, newest first.
    pub fn statements(
        &self,
        org: OrgNo,
        name: &str,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Page<(Seq, Statement), Seq>, StoreError> {
        let range = keys::within(keys::statements(org, name));
        let end = before.map_or(range.end, |seq| keys::statement(org, name, seq));
        let mut found = Vec::new();
        self.backend.scan(&*range.start..&*end, Order::Descending, &mut |key, bytes| {
            found.extend(keys::seq_at_end(key).map(|seq| (seq, decode("statement", bytes))));
            if found.len() <= limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(|(seq, _)| *seq).filter(|_| has_more);
        let items = found.into_iter().map(|(seq, statement)| Ok((seq, statement?))).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    /// What is known of all recipients, in an order of no meaning that stays the same. `after` names the last one of the
    /// page before.
    pub fn consents(
        &self,
        org: OrgNo,
        after: Option<[u8; 16]>,
        limit: usize,
    ) -> Result<Page<Consent, [u8; 16]>, StoreError> {
        let range = keys::within(keys::of_kind(b'c', org));
        let start = after.map_or(range.start, |place| keys::behind_consent(org, place));
        let (mut found, mut place, mut has_more) = (Vec::new(), None, false);
        self.backend.scan(&*start..&*range.end, Order::Ascending, &mut |key, bytes| {
            if found.len() == limit {
                has_more = true;
                return ControlFlow::Break(());
            }
            place = key.last_chunk().copied();
            found.push(decode("consent", bytes));
            ControlFlow::Continue(())
        })?;
        let items = found.into_iter().collect::<Result<_, _>>()?;
        Ok(Page { items, next: place.filter(|_| has_more) })
    }
}
