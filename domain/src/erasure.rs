//! Erasure: what remains of records without a person's data.

use std::fmt;

use crate::by::By;
use crate::consent::{Consent, Source, Statement};
use crate::ids::{AttemptNo, AttemptRef, MessageId, ProviderId, Seq};
use crate::message::{ErasureMark, Message, Recipient};
use crate::people::Former;
use crate::spelling;
use crate::state::State;
use crate::time::Timestamp;

/// An erasure that somebody asked for. It is kept until it is done, so that it goes on after a crash.
#[derive(Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Its id, drawn when it was asked for. Messages with later ids are not part of it.
    pub id: MessageId,
    /// The person's names: canonical spellings of phone numbers, and Meta's ids of users.
    pub names: Vec<String>,
    /// The names that they gave up.
    pub former: Vec<Former>,
    /// Who asked for it.
    pub by: By,
    /// When it began.
    pub begun_at: Timestamp,
    /// It covers statements of consent before this one.
    pub before: Seq,
    /// Under each name, statements are erased up to this one.
    pub told_to: Seq,
    /// What is erased so far.
    pub erased: Erased,
}

/// How many records were erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Messages to the person.
    pub messages: u64,
    /// Messages from the person.
    pub inbound: u64,
    /// Statements of consent.
    pub statements: u64,
    /// Parked receipts.
    pub receipts: u64,
}

impl Erasure {
    /// Whether it covers a message from or to this name.
    pub fn covers(&self, name: &str, id: MessageId) -> bool {
        let name = spelling::canonical(name);
        // A message is theirs if its id was drawn before they gave the name up.
        let was_theirs = |former: &Former| former.name == name && id.drawn_at() < former.until;
        id < self.id && (self.names.iter().any(|own| *own == name) || self.former.iter().any(was_theirs))
    }

    /// Whether it covers a statement under this canonical name.
    pub fn covers_statement(&self, name: &str, record: Seq, said: &Statement) -> bool {
        let is_theirs = |former: &Former| former.name == name && said.at <= former.until;
        record < self.before && (self.names.iter().any(|own| own == name) || self.former.iter().any(is_theirs))
    }

    /// All names that the person has and had.
    pub fn all_names(&self) -> Vec<String> {
        self.names.iter().cloned().chain(self.former.iter().map(|former| former.name.clone())).collect()
    }
}

impl fmt::Debug for Erasure {
    /// Without the person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Erasure({}: {:?})", self.id, self.erased)
    }
}

impl Message {
    /// The message without its recipient, its payload, and the client's names for it.
    pub fn erased(&self, mark: ErasureMark) -> Self {
        Self {
            to: Recipient::erased(),
            payload: [].into(),
            subject: None,
            idempotency_key: None,
            erased: Some(mark),
            ..self.clone()
        }
    }
}

impl State {
    /// The state without Meta's ids and texts, which embed and quote numbers.
    pub fn erased(&self) -> Self {
        let mut next = self.clone();
        next.version = next.version.wrapping_add(1);
        let failures = next.attempts.iter_mut().filter_map(|attempt| attempt.failure.as_mut());
        for failure in failures.chain(&mut next.failure) {
            failure.message.clear();
        }
        for id in next.attempts.iter_mut().filter_map(|attempt| attempt.provider_id.as_mut()) {
            *id = ProviderId::erased();
        }
        next
    }
}

impl Consent {
    /// What must remain known: whom not to write to. Grants are erased with the person.
    pub fn erased(&self) -> Self {
        let mut next = self.left_behind();
        next.recipient.clear();
        next.forget_proofs();
        next
    }
}

impl Statement {
    /// The fact without its proof, which would show what else the same person said under any name.
    pub fn erased(self) -> Self {
        let source = match self.source {
            Source::Api { .. } => Source::Api { name: None, evidence: None },
            Source::Preference { told_at, .. } => Source::Preference { told_at, detail: None },
            Source::Word { .. } => Source::Word { inbound: MessageId::ERASED },
            Source::OptOut { .. } => {
                Source::OptOut { attempt: AttemptRef { message: MessageId::ERASED, attempt: AttemptNo(0) } }
            }
            Source::Linked { .. } => Source::Linked { consent: MessageId::ERASED, record: 0 },
        };
        Self { source, ..self }
    }
}
