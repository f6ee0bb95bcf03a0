//! The figures that each kind of actor shows of itself: plain copies, cheap to note with every message, put into words only
//! when somebody looks.

use serde_json::{Map, Value};

/// An actor's own figures, as of the last message that it handled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Figures {
    /// It has none.
    #[default]
    None,
    Root(RootFigures),
    Org(OrgFigures),
    Provider(ProviderFigures),
    Audit(AuditFigures),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RootFigures {
    /// Organisations that there are, and those whose actor is in memory.
    pub(crate) organisations: usize,
    pub(crate) running: usize,
    pub(crate) down: usize,
    /// MessageActors of all organisations.
    pub(crate) resident: usize,
    pub(crate) sends_under_way: usize,
    pub(crate) commits_waiting: usize,
    /// Requests to accept a message that wait for their commit.
    pub(crate) accepting: usize,
    /// How often an actor was found stuck, since the start.
    pub(crate) stuck: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OrgFigures {
    pub(crate) queued: u64,
    pub(crate) sending: u64,
    pub(crate) resident: usize,
    pub(crate) parked_receipts: usize,
    /// Erasures that are not done.
    pub(crate) erasures: usize,
    /// Records that went because they were old.
    pub(crate) purged: u64,
    pub(crate) audit_entries: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ProviderFigures {
    pub(crate) queued: usize,
    pub(crate) in_flight: usize,
    /// The rate that it keeps now, and the send permits that it could give at once.
    pub(crate) per_second: f64,
    pub(crate) tokens: f64,
    /// Recipients whose limit is not at rest.
    pub(crate) pairs: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditFigures {
    pub(crate) entries: u64,
    pub(crate) unsealed: u64,
}

impl Figures {
    /// In words, for the actor tree.
    pub(crate) fn to_counters(self) -> Map<String, Value> {
        let tenths = |number: f64| (number * 10.0).round() / 10.0;
        let list: Vec<(&str, Value)> = match self {
            Self::None => Vec::new(),
            Self::Root(root) => vec![
                ("organisations", root.organisations.into()),
                ("running", root.running.into()),
                ("down", root.down.into()),
                ("resident", root.resident.into()),
                ("sendsUnderWay", root.sends_under_way.into()),
                ("commitsWaiting", root.commits_waiting.into()),
                ("accepting", root.accepting.into()),
                ("stuck", root.stuck.into()),
            ],
            Self::Org(org) => vec![
                ("queued", org.queued.into()),
                ("sending", org.sending.into()),
                ("resident", org.resident.into()),
                ("parkedReceipts", org.parked_receipts.into()),
                ("erasures", org.erasures.into()),
                ("purged", org.purged.into()),
                ("auditEntries", org.audit_entries.into()),
            ],
            Self::Provider(provider) => vec![
                ("queued", provider.queued.into()),
                ("inFlight", provider.in_flight.into()),
                ("perSecond", tenths(provider.per_second).into()),
                ("tokens", tenths(provider.tokens).into()),
                ("pairs", provider.pairs.into()),
            ],
            Self::Audit(audit) => {
                vec![("entries", audit.entries.into()), ("unsealed", audit.unsealed.into())]
            }
        };
        list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
