//! Why a message has not gone yet: every gate in the order in which it is asked, and one plain sentence.

use std::ops::ControlFlow;

use domain::consent;
use domain::org::Org;
use domain::state::{Phase, Status};
use domain::{Message, State, Timestamp, Wait};
use serde::Serialize;
use store::{Lane, Store, StoreError};

use crate::org::billing::weighed;
use crate::provider::Held;
use crate::settings::Settings;

/// Messages before it that are counted; beyond it, it is "at least".
const AHEAD_MAX: usize = 10_000;

/// Why a message has not gone yet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Its status.
    pub status: &'static str,
    /// One sentence for a person.
    pub summary: String,
    /// The gates, in order. Empty once it is no longer QUEUED.
    pub gates: Vec<Gate>,
    /// How many messages of its sender go before it; counted to 10,000.
    pub ahead: Option<usize>,
    /// The earliest time at which it can go; `null` where nobody knows.
    pub earliest_at: Option<String>,
}

/// One thing that must be so before a message goes.
#[derive(Debug, Serialize)]
pub struct Gate {
    /// Its name.
    pub gate: &'static str,
    /// Whether it lets the message through.
    pub state: GateState,
    /// For people.
    pub detail: String,
    /// When it opens, if that is known.
    pub until: Option<String>,
}

/// Whether a gate lets a message through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum GateState {
    /// It does.
    Open,
    /// It does not, and somebody must do something.
    Closed,
    /// It will, by itself.
    Waiting,
}

/// What a gate says: nothing to object, or the state, why, and until when.
type Objection = Option<(GateState, String, Option<Timestamp>)>;

/// All that is known about a message's way.
pub(crate) struct Facts<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) org: &'a Org,
    pub(crate) message: &'a Message,
    pub(crate) state: &'a State,
    pub(crate) held: &'a Held,
    pub(crate) now: Timestamp,
}

impl Explanation {
    pub(crate) fn of(facts: &Facts<'_>, store: &Store) -> Result<Self, StoreError> {
        let Facts { state, now, .. } = *facts;
        let Phase::Queued { due } = state.phase else {
            return Ok(Self {
                status: state.phase.status().as_str(),
                summary: ended(state),
                gates: Vec::new(),
                ahead: None,
                earliest_at: None,
            });
        };
        let (consent, window) = (facts.consent(store)?, facts.window(store)?);
        let objections: [(&'static str, Objection); 12] = [
            ("enabled", facts.enabled()),
            ("org", facts.org_paused().or(facts.restored(store)?)),
            ("sender", facts.sender()),
            ("template", facts.template(due)),
            ("consent", consent),
            ("window", window),
            (
                "schedule",
                facts.waits(
                    due,
                    &[Wait::Schedule],
                    "it is not yet time for it (its sendAt, or the first of outbound.retry_delays)",
                ),
            ),
            ("retry", facts.waits(due, &[Wait::Retry, Wait::Deferred], "it waits for its next attempt")),
            ("sequence", None),
            ("pair", facts.pair(due)),
            ("rate", facts.quota(due).or_else(|| facts.rate())),
            ("capacity", facts.capacity()),
        ];
        let first = objections.iter().find_map(|(gate, objection)| objection.clone().map(|found| (*gate, found)));
        let ahead = facts.ahead(store)?;
        let summary = match &first {
            Some((_, (_, detail, Some(until)))) => format!("It has not gone yet because {detail}, until {until}."),
            Some((_, (_, detail, None))) => format!("It has not gone yet because {detail}."),
            None => match ahead {
                Some(0) | None => "Nothing holds it: it goes next.".to_owned(),
                Some(n) => format!("Nothing holds it: it goes after {n} others of its sender."),
            },
        };
        let is_known = objections.iter().flat_map(|(_, found)| found).all(|(state, ..)| *state == GateState::Waiting);
        let latest = objections.iter().flat_map(|(_, found)| found.as_ref()?.2).max();
        let gates = objections.into_iter().map(|(gate, objection)| Gate::new(gate, objection)).collect();
        Ok(Self {
            status: Status::Queued.as_str(),
            summary,
            gates,
            ahead,
            earliest_at: is_known.then(|| latest.unwrap_or(now).max(now).to_string()),
        })
    }
}

impl Gate {
    fn new(gate: &'static str, objection: Objection) -> Self {
        match objection {
            None => Self { gate, state: GateState::Open, detail: "open".into(), until: None },
            Some((state, detail, until)) => Self { gate, state, detail, until: until.map(|at| at.to_string()) },
        }
    }
}

impl Facts<'_> {
    fn enabled(&self) -> Objection {
        let detail = "sending is switched off in the configuration (outbound.enabled)";
        (!self.settings.enabled).then(|| (GateState::Closed, detail.into(), None))
    }

    fn org_paused(&self) -> Objection {
        let pause = self.org.paused.as_ref()?;
        Some((GateState::Closed, format!("its organisation is paused since {}: {}", pause.since, pause.reason), None))
    }

    fn restored(&self, store: &Store) -> Result<Objection, StoreError> {
        if !self.state.is_held_by_restore() {
            return Ok(None);
        }
        let of = store.restored(self.org.no)?.map(|mark| mark.taken_at.to_string()).unwrap_or_default();
        let detail = format!(
            "it is held: the store was restored from a backup of {of}, and the original may have sent it since; an \
             operator sends or cancels it (twotick release)"
        );
        Ok(Some((GateState::Closed, detail, None)))
    }

    fn sender(&self) -> Objection {
        let Some(sender) = self.org.sender(&self.message.from) else {
            return Some((GateState::Closed, "its organisation no longer has its sender".into(), None));
        };
        let pause = sender.paused.as_ref()?;
        Some((GateState::Closed, format!("its sender is paused since {}: {}", pause.since, pause.reason), None))
    }

    fn template(&self, due: Timestamp) -> Objection {
        let waiting = self.waits(due, &[Wait::Template], "its template is paused by Meta");
        let shut = self.held.template_until;
        waiting.or_else(|| shut.map(|at| (GateState::Waiting, "its template is paused by Meta".into(), Some(at))))
    }

    fn consent(&self, store: &Store) -> Result<Objection, StoreError> {
        let known = store.consent(self.org.no, self.message.to.as_str())?;
        let category = weighed(store, self.org, self.message)?;
        let refused = consent::check(self.org.consent, category, known.as_ref()).err();
        Ok(refused.map(|refusal| (GateState::Closed, format!("{refusal}; it will fail"), None)))
    }

    fn window(&self, store: &Store) -> Result<Objection, StoreError> {
        if !self.settings.check_window || self.message.template().is_some() {
            return Ok(None);
        }
        let last = store.last_inbound(self.org.no, self.message.sender, self.message.to.as_str())?;
        let is_over = last.is_some_and(|at| self.now.since(at) >= crate::message::WINDOW);
        let detail = "its recipient last wrote more than 24 hours ago, and it is not a template; it will fail";
        Ok(is_over.then(|| (GateState::Closed, detail.into(), None)))
    }

    fn waits(&self, due: Timestamp, kinds: &[Wait], detail: &str) -> Objection {
        let is_so = due > self.now && kinds.contains(&self.state.wait);
        is_so.then(|| (GateState::Waiting, detail.to_owned(), Some(due)))
    }

    fn pair(&self, due: Timestamp) -> Objection {
        let detail = "its recipient has had as many messages from this number as Meta allows";
        let shut = self.held.pair_until;
        self.waits(due, &[Wait::Pair], detail).or_else(|| shut.map(|at| (GateState::Waiting, detail.into(), Some(at))))
    }

    fn quota(&self, due: Timestamp) -> Objection {
        let messages = "its organisation has sent as many messages today as its quota messagesPerDay allows";
        let recipients =
            "its organisation has written to as many recipients in 24 hours as its quota recipientsPerDay allows";
        let daily = self.waits(due, &[Wait::DailyQuota], messages);
        daily.or_else(|| self.waits(due, &[Wait::RecipientQuota], recipients))
    }

    fn rate(&self) -> Objection {
        let wait = self.held.rate_wait?;
        let detail = format!("its sender sends {:.1} per second at most now", self.held.per_second);
        Some((GateState::Waiting, detail, Some(self.now.after(wait))))
    }

    fn capacity(&self) -> Objection {
        let detail = "its sender has as many calls under way as whatsapp.max_concurrent allows";
        self.held.is_full.then(|| (GateState::Waiting, detail.into(), None))
    }

    /// How many of its sender's messages go before it: those that wait for their turn, or those before it in the index.
    fn ahead(&self, store: &Store) -> Result<Option<usize>, StoreError> {
        if self.held.ahead.is_some() {
            return Ok(self.held.ahead);
        }
        if self.state.due().is_none_or(|due| due > self.now) {
            return Ok(None);
        }
        let own = Lane::of(self.state, self.message.priority);
        let mut ahead = 0;
        for lane in [Lane::High, Lane::Normal, Lane::Low].into_iter().filter(|lane| *lane <= own) {
            store.due(self.org.no, self.message.sender, lane, &mut |entry| {
                if entry.id == self.message.id || entry.at > self.now || ahead >= AHEAD_MAX {
                    return ControlFlow::Break(());
                }
                ahead += 1;
                ControlFlow::Continue(())
            })?;
        }
        Ok(Some(ahead))
    }
}

/// What there is to say of a message that waits for nothing of ours.
fn ended(state: &State) -> String {
    let at = |time: Option<Timestamp>| time.map(|at| format!(" at {at}")).unwrap_or_default();
    match state.phase {
        Phase::Queued { due } => format!("It is queued, due at {due}."),
        Phase::Sending { due } => {
            format!("It is being sent, or the answer was lost: a receipt settles it, else policy does at {due}.")
        }
        Phase::Sent => format!("WhatsApp took it{}.", at(state.sent_at)),
        Phase::Delivered => format!("It was delivered{}.", at(state.delivered_at)),
        Phase::Read => format!("It was read{}.", at(state.read_at)),
        Phase::Failed => {
            let failure = state.failure.as_ref();
            failure.map_or_else(
                || "It failed.".into(),
                |failure| format!("It failed: {} {}.", failure.code, failure.message),
            )
        }
        Phase::Cancelled => "It was called back.".into(),
    }
}
