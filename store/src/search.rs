//! Lists for people: newest first, a page at a time, each bounded in what it reads.

use std::ops::ControlFlow;

use domain::audit::{Action, Entry, Kept, Subject};
use domain::state::Status;
use domain::{Message, MessageId, OrgNo, Seq, State, spelling};

use crate::backend::{Order, StoreError};
use crate::codec::decode;
use crate::keys;
use crate::statuses::{is_indexed, status_of};
use crate::store::Store;

/// A page looks at no more than so many records: a rare status among millions comes in several, perhaps empty, pages.
const LOOKED_AT_MAX: usize = 20_000;
/// A page ends once its records have so many bytes: whoever stores large ones gets fewer at a time.
pub const PAGE_BYTES: usize = 4 << 20;
/// To find a page by its number, no more than so many records are passed, and each that must be fetched by itself counts as
/// [`FETCH_COSTS`].
const PASSED_MAX: usize = 1_000_000;
const FETCH_COSTS: usize = 25;
/// Up to so many unfinished messages are found by the due index; more are found by looking at the newest first.
const UNFINISHED_MAX: u64 = 20_000;

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
        let (mut items, mut next, mut looked_at, mut has_more, mut bytes) = (Vec::new(), None, 0, false, 0);
        self.walk(org, filter, &names, before, &mut |id, status| {
            if items.len() == limit || looked_at == LOOKED_AT_MAX || bytes >= PAGE_BYTES {
                has_more = true;
                return Ok(ControlFlow::Break(()));
            }
            looked_at += 1;
            next = Some(id);
            if status.is_none() || filter.status.is_none() || status == filter.status {
                let found = self.matching(org, filter, &names, id)?;
                bytes += found.as_ref().map_or(0, |(message, _)| message.payload.len());
                items.extend(found);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Page { items, next: next.filter(|_| has_more) })
    }

    /// One page by number, and how many messages there are in all.
    pub fn messages_by_page(
        &self,
        org: OrgNo,
        filter: &MessageFilter,
        page: usize,
        size: usize,
    ) -> Result<Numbered, StoreError> {
        let skip = page.saturating_mul(size);
        let head = self.head(org)?;
        let of_status = filter.status.map(|status| head.count(status));
        let counted = match (&filter.dossier, &filter.to) {
            (None, None) => Some(of_status.unwrap_or_else(|| head.total())),
            (Some(_), _) | (None, Some(_)) => None,
        };
        if let Some(total) = counted.filter(|total| usize::try_from(*total).is_ok_and(|total| total <= skip)) {
            return Ok(Numbered::Found(Vec::new(), total));
        }
        // No more than that can be found.
        let most = of_status.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let names = self.recipient(org, filter)?;
        // Of dossier and recipient, the index that is read covers one; and of several names, no more than can be fetched.
        let by_both = filter.dossier.is_some() && filter.to.is_some();
        let (mut items, mut seen, mut passed) = (Vec::new(), 0usize, 0);
        self.walk(org, filter, &names, None, &mut |id, status| {
            let is_known = !by_both && names.len() < 2 && (filter.status.is_none() || status.is_some());
            passed += if is_known { 1 } else { FETCH_COSTS };
            let matches = match is_known {
                true => filter.status.is_none() || status == filter.status,
                false => self.matching(org, filter, &names, id)?.is_some(),
            };
            if matches {
                seen += 1;
                if seen > skip && items.len() < size {
                    items.push(id);
                }
            }
            let is_done = seen >= most || (counted.is_some() && items.len() == size);
            Ok(if is_done || passed > PASSED_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if passed > PASSED_MAX {
            return Ok(Numbered::TooFar);
        }
        let (mut found, mut bytes) = (Vec::new(), 0);
        for id in items {
            let Some((message, state)) = self.matching(org, filter, &names, id)? else { continue };
            bytes += message.payload.len();
            if bytes > PAGE_BYTES && !found.is_empty() {
                return Ok(Numbered::TooLarge);
            }
            found.push((message, state));
        }
        Ok(Numbered::Found(found, counted.unwrap_or(u64::try_from(seen).unwrap_or(u64::MAX))))
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
        let (mut more, mut found_bytes) = (false, 0);
        self.backend.scan(&*keys::audit(org, 0)..&*end, Order::Descending, &mut |key, bytes| {
            if items.len() == limit || looked_at == LOOKED_AT_MAX || found_bytes >= PAGE_BYTES {
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
                    found_bytes += bytes.len();
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
        let (mut items, mut next, mut bytes) = (Vec::new(), None, 0);
        for seq in seqs.filter(|seq| *seq > cut) {
            if items.len() == limit || bytes >= PAGE_BYTES {
                return Ok(Page { items, next });
            }
            next = Some(seq);
            let record =
                self.backend.get(&keys::audit(org, seq))?.ok_or(StoreError::Damaged { what: "audit trail" })?;
            let entry = decode::<Kept>("audit entry", &record)?.into_entry();
            bytes += record.len();
            if action.is_none_or(|action| entry.fact.action() == action) {
                items.push((seq, entry));
            }
        }
        Ok(Page { items, next: None })
    }

    /// All names of the recipient that a filter asks for.
    fn recipient(&self, org: OrgNo, filter: &MessageFilter) -> Result<Vec<String>, StoreError> {
        filter.to.as_deref().map_or_else(|| Ok(Vec::new()), |to| Ok(self.known_names(org, to)?.names))
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

    /// Visits ids before `before` by the narrowest way that fits the filter, newest first, with their status where that way
    /// tells it. `names` are those of the recipient in the filter.
    fn walk(
        &self,
        org: OrgNo,
        filter: &MessageFilter,
        names: &[String],
        before: Option<MessageId>,
        visit: Walker<'_>,
    ) -> Result<(), StoreError> {
        let unknown = |_: &[u8]| Ok(None);
        match (&filter.dossier, names, filter.status) {
            (Some(dossier), ..) => self.behind(keys::dossier_messages(org, dossier), before, &unknown, visit),
            (None, [only], _) => self.behind(keys::recipient_messages(org, only), before, &unknown, visit),
            (None, [], Some(status)) if self.head(org)?.count(status) == 0 => Ok(()),
            (None, [], Some(status)) if is_indexed(status) && self.has_status_index(org)? => {
                self.behind(keys::of_status(org, status), before, &|_| Ok(Some(status)), visit)
            }
            (None, [], Some(Status::Queued | Status::Sending)) if self.has_few_unfinished(org)? => {
                let mut found = Vec::new();
                self.scan(keys::of_kind(b'd', org), Order::Ascending, &mut |key, _| {
                    found.extend(keys::message_at_end(key).map(|id| (id, keys::status_of_due(key))));
                    ControlFlow::Continue(())
                })?;
                in_order(found, before, visit)
            }
            (None, [], _) => {
                let told = |state: &[u8]| status_of(state).map(Some);
                self.behind(keys::of_kind(b's', org), before, &told, visit)
            }
            (None, several, _) => {
                let mut found = Vec::new();
                for name in several {
                    let mut left = PASSED_MAX / FETCH_COSTS + 1;
                    self.behind(keys::recipient_messages(org, name), before, &unknown, &mut |id, status| {
                        found.push((id, status));
                        left -= 1;
                        Ok(if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
                    })?;
                }
                in_order(found, before, visit)
            }
        }
    }

    fn has_few_unfinished(&self, org: OrgNo) -> Result<bool, StoreError> {
        let head = self.head(org)?;
        Ok(head.count(Status::Queued) + head.count(Status::Sending) <= UNFINISHED_MAX)
    }

    /// Visits the ids at the ends of keys that begin with `prefix`, newest first, with what `status` makes of their records.
    fn behind(
        &self,
        prefix: Vec<u8>,
        before: Option<MessageId>,
        status: ReadStatus<'_>,
        visit: Walker<'_>,
    ) -> Result<(), StoreError> {
        let mut range = keys::within(prefix.clone());
        if let Some(before) = before {
            range.end = prefix;
            range.end.extend_from_slice(before.as_bytes());
        }
        let mut result = Ok(());
        self.backend.scan(&*range.start..&*range.end, Order::Descending, &mut |key, record| {
            let Some(id) = keys::message_at_end(key) else { return ControlFlow::Continue(()) };
            status(record).and_then(|status| visit(id, status)).unwrap_or_else(|error| {
                result = Err(error);
                ControlFlow::Break(())
            })
        })?;
        result
    }
}

/// What is called for each message on the way, with its status where that is known.
type Walker<'a> = &'a mut dyn FnMut(MessageId, Option<Status>) -> Result<ControlFlow<()>, StoreError>;

/// What a record tells of the status of its message, if it does.
type ReadStatus<'a> = &'a dyn Fn(&[u8]) -> Result<Option<Status>, StoreError>;

/// A page by number.
#[derive(Debug)]
pub enum Numbered {
    /// Its messages, and how many there are in all.
    Found(Vec<(Message, State)>, u64),
    /// Too many messages would be passed on the way.
    TooFar,
    /// Its messages have more than [`PAGE_BYTES`].
    TooLarge,
}

/// Visits those before `before`, newest first.
fn in_order(
    mut found: Vec<(MessageId, Option<Status>)>,
    before: Option<MessageId>,
    visit: Walker<'_>,
) -> Result<(), StoreError> {
    found.sort_unstable_by(|a, b| b.cmp(a));
    for (id, status) in found.into_iter().filter(|(id, _)| before.is_none_or(|before| *id < before)) {
        if visit(id, status)?.is_break() {
            break;
        }
    }
    Ok(())
}
