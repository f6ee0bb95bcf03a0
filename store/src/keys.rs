//! The key layout: one tree, a letter for the kind, the organisation's number, then what sorts.
//!
//! | letter | after the organisation | value |
//! |---|---|---|
//! | `o` | part | the organisation |
//! | `h` | | its head: epoch, last audit seq, counts |
//! | `m` | message id, part | the message as accepted |
//! | `s` | message id | its state |
//! | `r` | message id, attempt | the provider's answer |
//! | `d` | sender, lane, due, message id | (due index) |
//! | `i` | hash of idempotency key | message id and fingerprint |
//! | `p` | hash of provider id | the attempt that was named so first |
//! | `C` | hash of provider id, message id, attempt | (attempts that were named so after it) |
//! | `a` | seq | audit entry |
//! | `b` | seq of its last entry | sealed block |
//! | `x` | hash of dossier, message id | (messages of a dossier) |
//! | `y` | hash of dossier, seq | (activity of a dossier) |
//! | `t` | hash of recipient, message id | (messages to a recipient) |
//! | `k` | hash of provider id, receipt kind | parked receipt |
//! | `e` | expires at, message id | (unfinished messages that expire) |
//! | `n` | message id, part | an inbound message |
//! | `f` | hash of its author, message id | (inbound messages of an author; 1 where its window has a key of its own) |
//! | `u` | hash of our phone number and its provider id | its message id, also for a while after that is gone |
//! | | hash of what an erasure took | which took it, for a while |
//! | `U` | until when, the same hash | (what is gone and known for a while) |
//! | `w` | sender, hash of its author, time, message id | (inbound messages that opened the window; older ones share a key without the id) |
//! | `c` | hash of recipient's name | what is known of their consent |
//! | `g` | hash of recipient's name, seq | a statement of theirs |
//! | `j` | | what it has used of its quotas |
//! | `v` | hash of recipient's name | when they were last written to, while they count for a quota |
//! | `q` | that time, hash of recipient's name | (recipients that count for a quota) |
//! | `z` | id | an erasure that is not done |
//! | `l` | | what retention has done |
//! | `A` | hash of a name | who is behind it, if they have several |
//! | `P` | their id | somebody who has several names |
//! | `S` | status, message id | (messages that ended without delivery) |
//! | `I` | | how far `S` is built over messages from before it was kept |
//! | `M` | hash of account, template, language | what WhatsApp bills a template as, once that was marketing |
//! | `R` | | that it was restored from a backup, while messages are held for it |
//!
//! A recipient, in `t`, an author, in `f` and `w`, and a name, in `c`, `g`, `v`, `q` and `A`, is the canonical spelling of a phone number, or Meta's
//! id of a user.
//!
//! Of somebody who has several names, their id stands in `v` and `q` in place of a name's hash.
//!
//! Big-endian numbers, so keys sort as their values do.

use std::ops::Range;

use domain::state::Status;
use domain::{AttemptNo, AttemptRef, MessageId, OrgNo, PhoneNumberId, ProviderId, SenderNo, Seq, Timestamp, spelling};
use sha2::{Digest, Sha256};

use crate::backend::Order;
use crate::records::Lane;

/// Sixteen bytes of SHA-256: enough never to collide by accident, and short whatever was hashed.
pub(crate) type Short = [u8; 16];

pub(crate) fn short(text: &str) -> Short {
    let mut out = Short::default();
    for (to, from) in out.iter_mut().zip(Sha256::digest(text)) {
        *to = from;
    }
    out
}

fn key(kind: u8, org: OrgNo, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(5 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(kind);
    key.extend(org.0.to_be_bytes());
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// All keys that begin with `prefix`: from it to the first that does not.
pub(crate) fn within(prefix: Vec<u8>) -> Range<Vec<u8>> {
    let mut end = prefix.clone();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    prefix..end
}

/// The first key behind this one.
pub(crate) fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The organisation that a key belongs to.
pub(crate) fn org_of(key: &[u8]) -> Option<OrgNo> {
    key.get(1..5)?.try_into().ok().map(u32::from_be_bytes).map(OrgNo)
}

/// The last sixteen bytes of a key, where they are a message id.
pub(crate) fn message_at_end(key: &[u8]) -> Option<MessageId> {
    key.last_chunk().copied().map(MessageId::from_bytes)
}

/// The last eight bytes of a key, where they are a seq.
pub(crate) fn seq_at_end(key: &[u8]) -> Option<Seq> {
    key.last_chunk().copied().map(Seq::from_be_bytes)
}

pub(crate) const ORGS: u8 = b'o';

/// The letters under which an organisation keeps its data; its own record (`o`) is not among them.
pub(crate) const DATA_KINDS: &[u8] = b"hmsrdipCabxytkenfuUwcgjvqzlAPRMSI";

/// The letters of keys that go on with a hash, so that those of one hour lie anywhere among those of a year.
const HASHED_KINDS: &[u8] = b"ipCxytkfuwcgvAM";

/// Whether keys of this kind go on with a hash.
pub(crate) fn is_hashed(key: &[u8]) -> bool {
    key.first().is_some_and(|kind| HASHED_KINDS.contains(kind))
}

/// The first part of `range` in this order in whose keys [`is_hashed`] says the same, and what it says.
pub(crate) fn alike(Range { start, end }: &Range<Vec<u8>>, order: Order) -> (Range<Vec<u8>>, bool) {
    let kind_of = |key: &[u8]| key.first().copied().unwrap_or_default();
    match order {
        Order::Ascending => {
            let is = is_hashed(start);
            let other = (kind_of(start)..=u8::MAX).find(|kind| is_hashed(&[*kind]) != is);
            let end = other.map_or(end.clone(), |kind| vec![kind].min(end.clone()));
            (start.clone()..end, is)
        }
        Order::Descending => {
            // What ends at a letter alone holds none of its keys.
            let last = kind_of(end).saturating_sub(u8::from(end.len() == 1));
            let is = is_hashed(&[last]);
            let other = (0..last).rev().find(|kind| is_hashed(&[*kind]) != is);
            let start = other.map_or(start.clone(), |kind| vec![kind + 1].max(start.clone()));
            (start..end.clone(), is)
        }
    }
}

/// Every key of one kind of one organisation begins with this.
pub(crate) fn of_kind(kind: u8, org: OrgNo) -> Vec<u8> {
    key(kind, org, &[])
}

pub(crate) fn org_part(org: OrgNo, part: u16) -> Vec<u8> {
    key(ORGS, org, &[&part.to_be_bytes()])
}

pub(crate) fn head(org: OrgNo) -> Vec<u8> {
    key(b'h', org, &[])
}

pub(crate) fn message(org: OrgNo, id: MessageId) -> Vec<u8> {
    key(b'm', org, &[id.as_bytes()])
}

pub(crate) fn message_part(org: OrgNo, id: MessageId, part: u16) -> Vec<u8> {
    key(b'm', org, &[id.as_bytes(), &part.to_be_bytes()])
}

pub(crate) fn state(org: OrgNo, id: MessageId) -> Vec<u8> {
    key(b's', org, &[id.as_bytes()])
}

pub(crate) fn responses(org: OrgNo, id: MessageId) -> Vec<u8> {
    key(b'r', org, &[id.as_bytes()])
}

pub(crate) fn response(org: OrgNo, id: MessageId, attempt: AttemptNo) -> Vec<u8> {
    key(b'r', org, &[id.as_bytes(), &attempt.0.to_be_bytes()])
}

pub(crate) fn lane(org: OrgNo, sender: SenderNo, lane: Lane) -> Vec<u8> {
    key(b'd', org, &[&sender.0.to_be_bytes(), &[lane as u8]])
}

pub(crate) fn due(org: OrgNo, sender: SenderNo, lane: Lane, at: Timestamp, id: MessageId) -> Vec<u8> {
    key(b'd', org, &[&sender.0.to_be_bytes(), &[lane as u8], &at.as_millis().to_be_bytes(), id.as_bytes()])
}

/// The due time within a key of the due index.
pub(crate) fn due_at(key: &[u8]) -> Option<Timestamp> {
    time(key.get(8..16)?)
}

/// The status of the message that a key of the due index is of.
pub(crate) fn status_of_due(key: &[u8]) -> Option<Status> {
    key.get(7).map(|lane| if *lane == Lane::Settle as u8 { Status::Sending } else { Status::Queued })
}

fn time(bytes: &[u8]) -> Option<Timestamp> {
    Some(Timestamp::from_millis(u64::from_be_bytes(bytes.try_into().ok()?)))
}

pub(crate) fn restored(org: OrgNo) -> Vec<u8> {
    key(b'R', org, &[])
}

pub(crate) fn idempotency(org: OrgNo, hash: Short) -> Vec<u8> {
    key(b'i', org, &[&hash])
}

pub(crate) fn erasure(org: OrgNo, id: MessageId) -> Vec<u8> {
    key(b'z', org, &[id.as_bytes()])
}

pub(crate) fn provider(org: OrgNo, id: &ProviderId) -> Vec<u8> {
    key(b'p', org, &[&short(id.as_str())])
}

/// Where an attempt stands that was named so after another.
pub(crate) fn claim(org: OrgNo, id: &ProviderId, attempt: AttemptRef) -> Vec<u8> {
    let AttemptRef { message, attempt } = attempt;
    key(b'C', org, &[&short(id.as_str()), message.as_bytes(), &attempt.0.to_be_bytes()])
}

/// The attempt at the end of a key of `C`.
pub(crate) fn claimant(key: &[u8]) -> Option<AttemptRef> {
    let message = key.get(21..37)?.try_into().ok().map(MessageId::from_bytes)?;
    Some(AttemptRef { message, attempt: AttemptNo(u16::from_be_bytes(key.get(37..)?.try_into().ok()?)) })
}

pub(crate) fn audit(org: OrgNo, seq: Seq) -> Vec<u8> {
    key(b'a', org, &[&seq.to_be_bytes()])
}

pub(crate) fn block(org: OrgNo, last: Seq) -> Vec<u8> {
    key(b'b', org, &[&last.to_be_bytes()])
}

pub(crate) fn dossier_messages(org: OrgNo, dossier: &str) -> Vec<u8> {
    key(b'x', org, &[&short(dossier)])
}

pub(crate) fn dossier_message(org: OrgNo, dossier: &str, id: MessageId) -> Vec<u8> {
    key(b'x', org, &[&short(dossier), id.as_bytes()])
}

pub(crate) fn dossier_activities(org: OrgNo, dossier: &str) -> Vec<u8> {
    key(b'y', org, &[&short(dossier)])
}

pub(crate) fn dossier_activity(org: OrgNo, dossier: &str, seq: Seq) -> Vec<u8> {
    key(b'y', org, &[&short(dossier), &seq.to_be_bytes()])
}

pub(crate) fn recipient_messages(org: OrgNo, to: &str) -> Vec<u8> {
    key(b't', org, &[&short(&spelling::canonical(to))])
}

pub(crate) fn recipient_message(org: OrgNo, to: &str, id: MessageId) -> Vec<u8> {
    key(b't', org, &[&short(&spelling::canonical(to)), id.as_bytes()])
}

pub(crate) fn parked(org: OrgNo, id: &ProviderId, kind: u8) -> Vec<u8> {
    key(b'k', org, &[&short(id.as_str()), &[kind]])
}

pub(crate) fn expiry(org: OrgNo, at: Timestamp, id: MessageId) -> Vec<u8> {
    key(b'e', org, &[&at.as_millis().to_be_bytes(), id.as_bytes()])
}

/// The time within a key of the expiry index.
pub(crate) fn expiry_at(key: &[u8]) -> Option<Timestamp> {
    time(key.get(5..13)?)
}

pub(crate) fn inbound(org: OrgNo, id: MessageId) -> Vec<u8> {
    key(b'n', org, &[id.as_bytes()])
}

pub(crate) fn inbound_part(org: OrgNo, id: MessageId, part: u16) -> Vec<u8> {
    key(b'n', org, &[id.as_bytes(), &part.to_be_bytes()])
}

/// The key of the first part of a record that may have several.
pub(crate) fn first_part(prefix: &[u8]) -> Vec<u8> {
    [prefix, &0u16.to_be_bytes()].concat()
}

/// The message id within a key that goes on behind it.
pub(crate) fn message_of_part(key: &[u8]) -> Option<MessageId> {
    key.get(5..21)?.try_into().ok().map(MessageId::from_bytes)
}

pub(crate) fn author_inbounds(org: OrgNo, author: &str) -> Vec<u8> {
    key(b'f', org, &[&short(&spelling::canonical(author))])
}

pub(crate) fn author_inbound(org: OrgNo, author: &str, id: MessageId) -> Vec<u8> {
    key(b'f', org, &[&short(&spelling::canonical(author)), id.as_bytes()])
}

pub(crate) fn inbound_name(org: OrgNo, sender: &PhoneNumberId, id: &ProviderId) -> Vec<u8> {
    // No phone number id holds a line break.
    key(b'u', org, &[&short(&format!("{sender}\n{}", id.as_str()))])
}

/// By what an id that Meta gave to a message of ours is known once an erasure took it.
pub(crate) fn gone_id(org: OrgNo, id: &ProviderId) -> Vec<u8> {
    // An inbound message's name begins with a phone number id.
    key(b'u', org, &[&short(&format!("\n{}", id.as_str()))])
}

/// By what a name of a person is known once an erasure took it.
pub(crate) fn gone_name(org: OrgNo, name: &str) -> Vec<u8> {
    key(b'u', org, &[&short(&format!("\n\n{}", spelling::canonical(name)))])
}

/// Where it stands until when what is gone is known by its name.
pub(crate) fn gone(name: &[u8], until: Timestamp) -> Option<Vec<u8>> {
    Some(key(b'U', org_of(name)?, &[&until.as_millis().to_be_bytes(), name.get(5..)?]))
}

/// Until when the name in a key of `U` is known, and that name's key.
pub(crate) fn gone_in(key: &[u8]) -> Option<(Timestamp, Vec<u8>)> {
    Some((time(key.get(5..13)?)?, self::key(b'u', org_of(key)?, &[key.get(13..)?])))
}

pub(crate) fn windows(org: OrgNo, sender: SenderNo, author: &str) -> Vec<u8> {
    key(b'w', org, &[&sender.0.to_be_bytes(), &short(&spelling::canonical(author))])
}

pub(crate) fn window(org: OrgNo, sender: SenderNo, author: &str, at: Timestamp, id: MessageId) -> Vec<u8> {
    let mut key = shared_window(org, sender, author, at);
    key.extend_from_slice(id.as_bytes());
    key
}

/// The key that messages of one author share of which each opened the window at this time, as long as they had none of their own.
pub(crate) fn shared_window(org: OrgNo, sender: SenderNo, author: &str, at: Timestamp) -> Vec<u8> {
    let author = short(&spelling::canonical(author));
    key(b'w', org, &[&sender.0.to_be_bytes(), &author, &at.as_millis().to_be_bytes()])
}

/// Whether a key is one that [`shared_window`] makes.
pub(crate) fn is_shared_window(key: &[u8]) -> bool {
    key.first() == Some(&b'w') && key.len() == 31
}

/// The time within a key of the window index.
pub(crate) fn window_at(key: &[u8]) -> Option<Timestamp> {
    time(key.get(23..31)?)
}

/// The message that a key of the window index is of, if it is of one alone.
pub(crate) fn message_of_window(key: &[u8]) -> Option<MessageId> {
    key.get(31..)?.try_into().ok().map(MessageId::from_bytes)
}

pub(crate) fn consent(org: OrgNo, name: &str) -> Vec<u8> {
    key(b'c', org, &[&short(&spelling::canonical(name))])
}

/// The first key behind that of the consent at this place.
pub(crate) fn behind_consent(org: OrgNo, place: [u8; 16]) -> Vec<u8> {
    behind(&key(b'c', org, &[&place]))
}

pub(crate) fn statements(org: OrgNo, name: &str) -> Vec<u8> {
    key(b'g', org, &[&short(&spelling::canonical(name))])
}

pub(crate) fn statement(org: OrgNo, name: &str, seq: Seq) -> Vec<u8> {
    key(b'g', org, &[&short(&spelling::canonical(name)), &seq.to_be_bytes()])
}

/// The key of the consent that a statement is about, from the statement's key.
pub(crate) fn consent_of_statement(statement: &[u8]) -> Option<Vec<u8>> {
    Some(key(b'c', org_of(statement)?, &[statement.get(5..21)?]))
}

/// The statement of this number of whom a consent's key belongs to.
pub(crate) fn statement_of_consent(consent: &[u8], seq: Seq) -> Vec<u8> {
    let mut key = consent.to_vec();
    if let Some(letter) = key.first_mut() {
        *letter = b'g';
    }
    key.extend(seq.to_be_bytes());
    key
}

pub(crate) fn name(org: OrgNo, name: &str) -> Vec<u8> {
    key(b'A', org, &[&short(&spelling::canonical(name))])
}

pub(crate) fn person(org: OrgNo, id: MessageId) -> Vec<u8> {
    key(b'P', org, &[id.as_bytes()])
}

pub(crate) fn usage(org: OrgNo) -> Vec<u8> {
    key(b'j', org, &[])
}

/// Where messages of one status stand.
pub(crate) fn of_status(org: OrgNo, status: Status) -> Vec<u8> {
    key(b'S', org, &[&[status as u8]])
}

pub(crate) fn with_status(org: OrgNo, status: Status, id: MessageId) -> Vec<u8> {
    key(b'S', org, &[&[status as u8], id.as_bytes()])
}

pub(crate) fn status_index(org: OrgNo) -> Vec<u8> {
    key(b'I', org, &[])
}

pub(crate) fn billed(org: OrgNo, account: &str, name: &str, language: &str) -> Vec<u8> {
    key(b'M', org, &[&short(&format!("{account}\n{name}\n{language}"))])
}

/// How a recipient is named in `v` and `q`.
pub(crate) fn recipient_place(name: &str) -> Short {
    short(&spelling::canonical(name))
}

pub(crate) fn counted(org: OrgNo, place: &Short) -> Vec<u8> {
    key(b'v', org, &[place])
}

pub(crate) fn counted_at(org: OrgNo, at: Timestamp, place: &Short) -> Vec<u8> {
    key(b'q', org, &[&at.as_millis().to_be_bytes(), place])
}

/// The time and the place in a key of `q`.
pub(crate) fn counted_in(key: &[u8]) -> Option<(Timestamp, Short)> {
    Some((time(key.get(5..13)?)?, *key.last_chunk()?))
}

#[cfg(test)]
mod tests;
