//! Why a message has not gone yet: every gate in the order in which it is asked, and one plain sentence.

mod gates;

use std::time::Duration;

use domain::circuit::Outage;
use domain::org::Org;
use domain::state::{Phase, Status};
use domain::{Message, State, Timestamp};
use serde::Serialize;
use store::{Store, StoreError};

use crate::provider::SenderGates;
use crate::settings::Settings;
use crate::ways::SenderLimits;
use crate::webhook_health::WebhookFault;

/// Why a message has not gone yet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Its status.
    pub status: &'static str,
    /// One sentence for a person.
    pub summary: String,
    /// What a person can do about the first gate that is not open.
    pub remedy: Option<String>,
    /// The gates, in order. Empty once it is no longer QUEUED.
    pub gates: Vec<Gate>,
    /// How many messages of its sender go before it.
    pub ahead: Option<usize>,
    /// Whether there are more than that: no further is counted.
    pub ahead_is_at_least: bool,
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
    /// When it opens, or is tried next, if that is known.
    pub until: Option<String>,
    /// What a person can do, unless it is open.
    pub remedy: Option<String>,
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

/// Why a gate does not let a message through.
#[derive(Clone)]
struct Objection {
    state: GateState,
    detail: String,
    until: Option<Timestamp>,
    remedy: String,
}

impl Objection {
    fn closed(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: GateState::Closed, detail: detail.into(), until: None, remedy: remedy.into() }
    }

    fn waiting(detail: impl Into<String>, until: Option<Timestamp>, remedy: impl Into<String>) -> Self {
        Self { state: GateState::Waiting, detail: detail.into(), until, remedy: remedy.into() }
    }
}

/// All that is known about a message's way.
pub(crate) struct Facts<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) org: &'a Org,
    pub(crate) message: &'a Message,
    pub(crate) state: &'a State,
    pub(crate) gates: &'a SenderGates,
    /// Where calls go, and whether they come through.
    pub(crate) address: &'a str,
    pub(crate) outage: Option<Outage>,
    pub(crate) limits: SenderLimits,
    /// Why no webhooks of its sender are taken, if so.
    pub(crate) webhook_fault: Option<WebhookFault>,
    pub(crate) now: Timestamp,
}

impl Explanation {
    pub(crate) fn of(facts: &Facts<'_>, store: &Store) -> Result<Self, StoreError> {
        let Facts { state, now, .. } = *facts;
        let Phase::Queued { due } = state.phase else {
            return Ok(Self {
                status: state.phase.status().as_str(),
                summary: facts.told(),
                remedy: facts.missing_receipts().map(|fault| fault.remedy(&facts.org.id, &facts.message.from)),
                gates: Vec::new(),
                ahead: None,
                ahead_is_at_least: false,
                earliest_at: None,
            });
        };
        let (ahead, is_at_least) = facts.ahead(store)?;
        let pace = facts.pace();
        // Those before it take their time.
        let passed = ahead.filter(|ahead| *ahead > 0).map(|ahead| now.after(time_for(ahead, pace)));
        let (consent, window) = (facts.consent(store)?, facts.window(store)?);
        let objections: [(&'static str, Option<Objection>); 12] = [
            ("enabled", facts.enabled()),
            ("org", facts.org_paused().or(facts.restored(store)?)),
            ("sender", facts.sender().or_else(|| facts.outage())),
            ("template", facts.template(due)),
            ("consent", consent),
            ("window", window),
            ("schedule", facts.schedule(due)),
            ("retry", facts.retry(due)),
            ("sequence", None),
            ("pair", facts.pair(due)),
            ("rate", facts.quota(due).or_else(|| facts.throttle()).or_else(|| facts.rate(ahead, pace, passed))),
            ("capacity", facts.capacity()),
        ];
        let first = objections.iter().find_map(|(_, objection)| objection.as_ref());
        let at_least = if is_at_least { "at least " } else { "" };
        let summary = match first {
            Some(Objection { detail, until: Some(until), .. }) => {
                format!("It has not gone yet because {detail}, until {until}.")
            }
            Some(Objection { detail, until: None, .. }) => format!("It has not gone yet because {detail}."),
            None => match ahead {
                Some(0) | None => "Nothing holds it: it goes next.".to_owned(),
                Some(n) => format!("Nothing holds it: it goes after {at_least}{n} others of its sender."),
            },
        };
        let remedy = first.map(|first| first.remedy.clone());
        let closed = |objection: &Objection| objection.state != GateState::Waiting;
        let is_known = !objections.iter().flat_map(|(_, found)| found).any(closed);
        let latest = objections.iter().flat_map(|(_, found)| found.as_ref()?.until).max();
        // What holds its sender holds those before it, too.
        let probes = [
            facts.outage.as_ref().map(|outage| outage.next_probe),
            facts.limits.throttle.as_ref().map(|throttle| throttle.until),
        ];
        let queue = ahead.map_or(Duration::ZERO, |ahead| time_for(ahead, pace));
        let in_order = probes.into_iter().flatten().fold(now, Timestamp::max).after(queue);
        let gates = objections.into_iter().map(|(gate, objection)| Gate::new(gate, objection)).collect();
        Ok(Self {
            status: Status::Queued.as_str(),
            summary,
            remedy,
            gates,
            ahead,
            ahead_is_at_least: is_at_least,
            earliest_at: is_known.then(|| latest.unwrap_or(now).max(in_order).to_string()),
        })
    }
}

/// How long so many messages take at this pace.
fn time_for(count: usize, per_second: f64) -> Duration {
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    Duration::try_from_secs_f64(count / per_second.max(0.001)).unwrap_or(Duration::MAX)
}

impl Gate {
    fn new(gate: &'static str, objection: Option<Objection>) -> Self {
        match objection {
            None => Self { gate, state: GateState::Open, detail: "open".into(), until: None, remedy: None },
            Some(Objection { state, detail, until, remedy }) => {
                Self { gate, state, detail, until: until.map(|at| at.to_string()), remedy: Some(remedy) }
            }
        }
    }
}

impl Facts<'_> {
    /// Why receipts of a message that waits for one do not come.
    fn missing_receipts(&self) -> Option<WebhookFault> {
        self.webhook_fault.filter(|_| matches!(self.state.phase, Phase::Sending { .. } | Phase::Sent))
    }

    /// What there is to say of a message that waits for nothing of ours.
    fn told(&self) -> String {
        match self.missing_receipts() {
            Some(fault) => format!("{} No receipt comes: {}.", ended(self.state), fault.detail()),
            None => ended(self.state),
        }
    }
}

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
        Phase::Cancelled => "It was cancelled.".into(),
    }
}
