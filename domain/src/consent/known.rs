//! What is known of a recipient's consent, and how a statement changes it.

use std::fmt;

use super::seen::{SeenStatement, SeenStatements};
use super::statement::{Choice, Covers, Source, Statement};
use crate::ids::{MessageId, Seq};
use crate::message::Category;
use crate::time::Timestamp;

/// The consent to one category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The last choice.
    pub choice: Choice,
    /// When it was made.
    pub at: Timestamp,
    /// The statement that made it.
    pub record: Seq,
}

/// A consent that has yet to be recorded under one of a person's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingConsent {
    /// Which of the names.
    pub name: usize,
    /// For which messages; never both.
    pub covers: Covers,
    /// The consent under the name that it was given under.
    pub consent: MessageId,
    /// What the person said.
    pub last: Standing,
}

/// What is known of one recipient under one name. It is small, and it is all that a send looks at.
#[derive(Clone, PartialEq, Eq)]
pub struct Consent {
    /// Stands for the recipient where their number must not appear, such as in the audit trail.
    pub id: MessageId,
    /// The canonical spelling of a phone number, or Meta's id of a user.
    pub recipient: String,
    /// The consent to transactional messages; `None` if the recipient never said anything.
    pub transactional: Option<Standing>,
    /// The consent to marketing.
    pub marketing: Option<Standing>,
    /// Statements seen before, to recognise repeats.
    pub seen: SeenStatements,
    /// The days since the epoch on which a stop and a start were last confirmed.
    pub confirmed: [Option<u64>; 2],
}

impl fmt::Debug for Consent {
    /// Without the recipient.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consent({}: {:?}, {:?})", self.id, self.transactional, self.marketing)
    }
}

impl Consent {
    /// A recipient of whom nothing is known yet.
    pub fn unknown(id: MessageId, recipient: String) -> Self {
        Self {
            id,
            recipient,
            transactional: None,
            marketing: None,
            seen: SeenStatements::default(),
            confirmed: [None; 2],
        }
    }

    /// What is known after `statement`, whose id is `record`. `None` if the statement changes nothing: it is a repeat,
    /// or it is older than everything it is about.
    pub fn after(&self, statement: &Statement, record: Seq) -> Option<Self> {
        let Statement { choice, covers, at, .. } = *statement;
        if self.has_seen(statement) {
            return None;
        }
        let seen = SeenStatement::of(statement);
        let mut next = self.clone();
        let concerned = match covers {
            Covers::Transactional => vec![&mut next.transactional],
            Covers::Marketing => vec![&mut next.marketing],
            Covers::Both => vec![&mut next.transactional, &mut next.marketing],
        };
        let mut is_news = false;
        for standing in concerned {
            if standing.is_none_or(|known| statement.supersedes(&known)) {
                // The time never moves back: a statement that was too old before must stay too old.
                let at = standing.map_or(at, |known| known.at.max(at));
                *standing = Some(Standing { choice, at, record });
                is_news = true;
            }
        }
        let [transactional, marketing] = [next.transactional, next.marketing];
        let would_count = |seen: &SeenStatement| {
            let is_new = |standing: Option<Standing>| standing.is_none_or(|known| is_no_older(seen.at, &known));
            match seen.covers {
                Covers::Transactional => is_new(transactional),
                Covers::Marketing => is_new(marketing),
                Covers::Both => is_new(transactional) || is_new(marketing),
            }
        };
        if let Some(seen) = seen {
            next.seen.note(seen, would_count);
        }
        is_news.then_some(next)
    }

    /// Whether this statement was seen before, or is older than one from the same source.
    pub fn has_seen(&self, statement: &Statement) -> bool {
        SeenStatement::of(statement).is_some_and(|seen| self.seen.knows(&seen))
    }

    /// The consent under this name after a statement that made `lead` of the consent under another name of the same
    /// person. `record` is that statement under this name.
    pub fn like(&self, lead: &Self, record: Seq) -> Self {
        let follow = |own: Option<Standing>, lead: Option<Standing>| match (own, lead) {
            (Some(own), Some(lead)) if (own.choice, own.at) == (lead.choice, lead.at) => Some(own),
            (_, Some(lead)) => Some(Standing { record, ..lead }),
            (own, None) => own,
        };
        Self {
            transactional: follow(self.transactional, lead.transactional),
            marketing: follow(self.marketing, lead.marketing),
            seen: lead.seen.clone(),
            ..self.clone()
        }
    }

    /// Takes over the statements seen under a person's other names, to recognise repeats of them. Returns whether any
    /// is new.
    pub fn merge_seen(&mut self, others: &[Self]) -> bool {
        let mut is_news = false;
        for other in others {
            is_news |= self.seen.join(&other.seen);
        }
        is_news
    }

    /// Forgets which messages it rests on, since a person's other names may rest on the same.
    pub(crate) fn forget_proofs(&mut self) {
        self.seen.forget_proofs();
    }

    /// The consents that are missing under each of a person's names. Afterwards all names say what the person said last
    /// under any of them; of two statements in one second the revocation counts.
    pub fn agree(names: &[Self]) -> Vec<MissingConsent> {
        let mut missing = Vec::new();
        for (covers, category) in
            [(Covers::Transactional, Category::Transactional), (Covers::Marketing, Category::Marketing)]
        {
            let said = names.iter().filter_map(|known| Some((known.id, known.standing(category)?)));
            let weight = |(_, said): &(MessageId, Standing)| {
                (said.at.as_millis() / 1000, said.choice == Choice::Revoked, said.at)
            };
            let Some((consent, last)) = said.max_by_key(weight) else { continue };
            let is_said = |known: &Self| {
                known.standing(category).is_some_and(|own| (own.choice, own.at) == (last.choice, last.at))
            };
            let lacking = names.iter().enumerate().filter(|(_, known)| !is_said(known));
            missing.extend(lacking.map(|(name, _)| MissingConsent { name, covers, consent, last }));
        }
        missing
    }

    /// The consent once `missing` is recorded as `record`.
    pub fn with(&self, missing: &MissingConsent, record: Seq) -> Self {
        let mut next = self.clone();
        let standing = match missing.covers {
            Covers::Marketing => &mut next.marketing,
            Covers::Transactional | Covers::Both => &mut next.transactional,
        };
        *standing = Some(Standing { record, ..missing.last });
        next
    }

    /// What stays with a name that its recipient gave up: whoever has it next has granted nothing.
    pub fn left_behind(&self) -> Self {
        self.left_behind_at(Timestamp::MAX)
    }

    /// The same for one who gave it up `then`: later grants are the next owner's.
    pub fn left_behind_at(&self, then: Timestamp) -> Self {
        let stays = |said: &Standing| said.choice == Choice::Revoked || said.at > then;
        let revoked = |standing: Option<Standing>| standing.filter(stays);
        Self { transactional: revoked(self.transactional), marketing: revoked(self.marketing), ..self.clone() }
    }

    /// Notes that a choice is confirmed to the recipient. Returns `false` if it was confirmed earlier on the same day
    /// (UTC).
    pub fn confirm(&mut self, choice: Choice, now: Timestamp) -> bool {
        let [stop, start] = &mut self.confirmed;
        let confirmed = match choice {
            Choice::Revoked => stop,
            Choice::Granted => start,
        };
        let today = Some(now.day());
        std::mem::replace(confirmed, today) != today
    }

    /// The consent to a category.
    pub const fn standing(&self, category: Category) -> Option<Standing> {
        match category {
            Category::Transactional => self.transactional,
            Category::Marketing | Category::BilledMarketing => self.marketing,
            Category::Confirmation => None,
        }
    }
}

impl Statement {
    /// Meta reports whole seconds, and late: of two statements in one second the later to arrive counts. A client
    /// speaks of the present.
    const fn supersedes(&self, known: &Standing) -> bool {
        match self.source {
            Source::Api { .. } => true,
            Source::Word { .. } | Source::Preference { .. } | Source::OptOut { .. } | Source::Linked { .. } => {
                is_no_older(self.at, known)
            }
        }
    }
}

/// Compares by the second.
const fn is_no_older(at: Timestamp, known: &Standing) -> bool {
    at.as_millis() / 1000 >= known.at.as_millis() / 1000
}
