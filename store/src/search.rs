//! Lists for people: newest first, a page at a time, each bounded in what it reads.

use std::ops::ControlFlow;

use domain::audit::{Action, Entry, Kept, Subject};
use domain::state::Status;
use domain::{Message, MessageId, OrgNo, Seq, State, spelling};

use crate::backend::{Order, StoreError};
use crate::codec::decode;
use crate::keys;
use crate::store::Store;

/// A page looks at no more than so many records: a rare status among millions comes in several, perhaps empty, pages.
const LOOKED_AT_MAX: usize = 20_000;

/// Which messages to list; what is `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    /// Only of this dossier.
    pub dossier: Option<String>,
    /// Only to this recipient, under any name of theirs.
    pub to: Option<String>,
    /// Only in this status.
    pub status: Option<Status>,
}

/// Which audit entries to list.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only about this.
    pub subject: Option<Subject>,
    /// Only of this action.
    pub action: Option<Action>,
}

/// A page of a list, and where the next one begins.
#[derive(Clone, Debug)]
pub struct Page<T, C> {
    /// What was found.
    pub items: Vec<T>,
    /// Give this to get the next page; `None` at the end.
    pub next: Option<C>,
}

impl Store {
    /// Messages older than `before`, newest first.
    pub fn messages(
        &self,
        org: OrgNo,
        filter: &MessageFilter,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Page<(Message, State), MessageId>, StoreError> {
        let names = self.recipient(org, filter)?;
        let ids = self.message_ids(org, filter, &names, before)?;
        let mut items = Vec::new();
        let mut next = None;
        for (looked_at, id) in ids.into_iter().enumerate() {
            if items.len() == limit || looked_at == LOOKED_AT_MAX {
                return Ok(Page { items, next });
            }
            items.extend(self.matching(org, filter, &names, id)?);
            next = Some(id);
        }
        Ok(Page { items, next: None })
    }

    /// One page by number, and how many messages there are in all.
    pub fn messages_by_page(
        &self,
        org: OrgNo,
        filter: &MessageFilter,
        page: usize,
        size: usize,
    ) -> Result<(Vec<(Message, State)>, u64), StoreError> {
        let skip = page.saturating_mul(size);
        let head = self.head(org)?;
        let counted = match (filter.status, &filter.dossier, &filter.to) {
            (Some(status), None, None) => Some(head.count(status)),
            (None, None, None) => Some(head.total()),
            (Some(_) | None, _, _) => None,
        };
        let names = self.recipient(org, filter)?;
        let (mut items, mut seen, mut failed) = (Vec::new(), 0usize, None);
        // Of dossier and recipient, the index that is read covers one.
        let by_both = filter.dossier.is_some() && filter.to.is_some();
        self.visit_ids(org, filter, &names, None, &mut |id| {
            let matches = match filter.status {
                _ if by_both => self.matching(org, filter, &names, id).map(|found| found.is_some()),
                Some(status) => {
                    self.state(org, id).map(|state| state.is_some_and(|state| state.phase.status() == status))
                }
                None => Ok(true),
            };
            let matches = match matches {
                Ok(matches) => matches,
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            };
            if matches {
                seen += 1;
                if seen > skip && items.len() < size {
                    items.push(id);
                }
            }
            if counted.is_some() && items.len() == size { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let found =
            items.into_iter().map(|id| self.matching(org, filter, &names, id)).collect::<Result<Vec<_>, _>>()?;
        let total = counted.unwrap_or(u64::try_from(seen).unwrap_or(u64::MAX));
        Ok((found.into_iter().flatten().collect(), total))
    }

    /// Audit entries before `before`, newest first.
    pub fn audit(
        &self,
        org: OrgNo,
        filter: &AuditFilter,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Page<(Seq, Entry), Seq>, StoreError> {
        if let Some(Subject::Message(id)) = filter.subject {
            let trail = self.state(org, id)?.map(|state| state.trail).unwrap_or_default();
            let seqs = trail.into_iter().rev().filter(|seq| before.is_none_or(|before| *seq < before));
            return self.entries(org, seqs, filter.action, limit);
        }
        let end = before.map_or_else(|| keys::within(keys::of_kind(b'a', org)).end, |seq| keys::audit(org, seq));
        let (mut items, mut next, mut looked_at, mut failed) = (Vec::new(), None, 0, None);
        let mut more = false;
        self.backend.scan(&*keys::audit(org, 0)..&*end, Order::Descending, &mut |key, bytes| {
            if items.len() == limit || looked_at == LOOKED_AT_MAX {
                more = true;
                return ControlFlow::Break(());
            }
            looked_at += 1;
            let Some(seq) = keys::seq_at_end(key) else { return ControlFlow::Continue(()) };
            next = Some(seq);
            match decode("audit entry", bytes).map(Kept::into_entry) {
                Ok(entry)
                    if filter.action.is_none_or(|action| entry.fact.action() == action)
                        && filter.subject.as_ref().is_none_or(|subject| *subject == entry.subject) =>
                {
                    items.push((seq, entry));
                }
                Ok(_) => {}
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(Page { items, next: next.filter(|_| more) }),
        }
    }

    /// The activity of a dossier before `before`, newest first.
    pub fn activities(
        &self,
        org: OrgNo,
        dossier: &str,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Page<(Seq, Entry), Seq>, StoreError> {
        let range = keys::within(keys::dossier_activities(org, dossier));
        let end = before.map_or(range.end, |seq| keys::dossier_activity(org, dossier, seq));
        let mut seqs = Vec::new();
        self.backend.scan(&*range.start..&*end, Order::Descending, &mut |key, _| {
            seqs.extend(keys::seq_at_end(key));
            if seqs.len() <= limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        self.entries(org, seqs.into_iter(), None, limit)
    }

    fn entries(
        &self,
        org: OrgNo,
        seqs: impl Iterator<Item = Seq>,
        action: Option<Action>,
        limit: usize,
    ) -> Result<Page<(Seq, Entry), Seq>, StoreError> {
        // What led to entries from before the cut may still be there.
        let cut = self.upkeep(org)?.cut;
        let (mut items, mut next) = (Vec::new(), None);
        for seq in seqs.filter(|seq| *seq > cut) {
            if items.len() == limit {
                return Ok(Page { items, next });
            }
            next = Some(seq);
            let entry = self.entry(org, seq)?.ok_or(StoreError::Damaged { what: "audit trail" })?;
            if action.is_none_or(|action| entry.fact.action() == action) {
                items.push((seq, entry));
            }
        }
        Ok(Page { items, next: None })
    }

    /// All names of the recipient that a filter asks for.
    fn recipient(&self, org: OrgNo, filter: &MessageFilter) -> Result<Vec<String>, StoreError> {
        filter.to.as_deref().map_or_else(|| Ok(Vec::new()), |to| Ok(self.called(org, to)?.names))
    }

    fn matching(
        &self,
        org: OrgNo,
        filter: &MessageFilter,
        names: &[String],
        id: MessageId,
    ) -> Result<Option<(Message, State)>, StoreError> {
        let Some(state) = self.state(org, id)? else { return Ok(None) };
        if filter.status.is_some_and(|status| status != state.phase.status()) {
            return Ok(None);
        }
        let Some(message) = self.message(org, id)? else { return Ok(None) };
        let to = spelling::canonical(message.to.as_str());
        let fits = (filter.to.is_none() || names.iter().any(|name| *name == to))
            && filter.dossier.as_deref().is_none_or(|key| message.dossier.as_ref().is_some_and(|d| d.key() == key));
        Ok(Some((message, state)).filter(|_| fits))
    }

    /// Up to one more than [`LOOKED_AT_MAX`] ids before `before`.
    fn message_ids(
        &self,
        org: OrgNo,
        filter: &MessageFilter,
        names: &[String],
        before: Option<MessageId>,
    ) -> Result<Vec<MessageId>, StoreError> {
        let mut ids = Vec::new();
        self.visit_ids(org, filter, names, before, &mut |id| {
            ids.push(id);
            if ids.len() <= LOOKED_AT_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(ids)
    }

    /// Ids by the narrowest index that fits the filter, newest first. `names` are those of the recipient in it.
    fn visit_ids(
        &self,
        org: OrgNo,
        filter: &MessageFilter,
        names: &[String],
        before: Option<MessageId>,
        visit: &mut dyn FnMut(MessageId) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let prefix = match (&filter.dossier, names) {
            (Some(dossier), _) => keys::dossier_messages(org, dossier),
            (None, []) => keys::of_kind(b's', org),
            (None, [only]) => keys::recipient_messages(org, only),
            (None, several) => {
                let mut ids = Vec::new();
                for name in several {
                    self.visit_behind(keys::recipient_messages(org, name), before, &mut |id| {
                        ids.push(id);
                        ControlFlow::Continue(())
                    })?;
                }
                ids.sort_unstable_by(|a, b| b.cmp(a));
                let _ = ids.into_iter().try_for_each(visit);
                return Ok(());
            }
        };
        self.visit_behind(prefix, before, visit)
    }

    /// Ids at the ends of keys that begin with `prefix`, newest first.
    fn visit_behind(
        &self,
        prefix: Vec<u8>,
        before: Option<MessageId>,
        visit: &mut dyn FnMut(MessageId) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut range = keys::within(prefix.clone());
        if let Some(before) = before {
            range.end = prefix;
            range.end.extend_from_slice(before.as_bytes());
        }
        self.backend.scan(&*range.start..&*range.end, Order::Descending, &mut |key, _| {
            keys::message_at_end(key).map_or(ControlFlow::Continue(()), &mut *visit)
        })
    }
}
