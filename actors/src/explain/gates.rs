//! What each gate says, and what a person can do about it.

use std::ops::ControlFlow;

use domain::circuit::{Extent, Outage};
use domain::org::{Pause, PausedBy};
use domain::{Timestamp, Wait, consent};
use store::{Lane, Store, StoreError};
use whatsapp::remedy::{meaning, remedy};

use super::{Facts, Objection};
use crate::org::billing::weighed;
use crate::ways::Throttle;

/// Messages before it that are counted; of more it is only told that they are at least so many.
const AHEAD_MAX: usize = 200_000;

impl Facts<'_> {
    /// The command that makes a sender, or all of an organisation, try again.
    fn resume(&self) -> String {
        format!("`twotick org resume {} --sender {}`", self.org.id, self.message.from)
    }

    fn call_back(&self) -> String {
        format!("POST /api/v1/outbound/messages/{}/cancel cancels it", self.message.id)
    }

    pub(super) fn enabled(&self) -> Option<Objection> {
        let detail = "sending is switched off in the configuration (outbound.enabled)";
        let remedy = "Set outbound.enabled = true in config.toml and reload it (SIGHUP), or restart.";
        (!self.settings.enabled).then(|| Objection::closed(detail, remedy))
    }

    pub(super) fn org_paused(&self) -> Option<Objection> {
        let pause = self.org.paused.as_ref()?;
        let (id, Pause { since, reason, .. }) = (&self.org.id, pause);
        let remedy = format!("Resume it: `twotick org resume {id}`, or POST /api/v1/admin/orgs/{id}/resume.");
        Some(Objection::closed(format!("its organisation is paused since {since}: {reason}"), remedy))
    }

    pub(super) fn restored(&self, store: &Store) -> Result<Option<Objection>, StoreError> {
        if !self.state.is_held_by_restore() {
            return Ok(None);
        }
        let of = store.restored(self.org.no)?.map(|mark| mark.taken_at.to_string()).unwrap_or_default();
        let detail = format!(
            "it is held: the store was restored from a backup of {of}, and the original may have sent it since; an \
             operator sends or cancels it (twotick release)"
        );
        let id = &self.org.id;
        let remedy = format!("An operator decides: `twotick release --org {id} --send`, or --cancel.");
        Ok(Some(Objection::closed(detail, remedy)))
    }

    pub(super) fn sender(&self) -> Option<Objection> {
        let (org, from) = (&self.org.id, &self.message.from);
        let Some(sender) = self.org.sender(from) else {
            let remedy =
                format!("Put the sender again (`twotick org put {org} --sender {from} …`), or {}.", self.call_back());
            return Some(Objection::closed("its organisation no longer has its sender", remedy));
        };
        let pause = sender.paused.as_ref()?;
        let detail = format!("its sender is paused since {}: {}", pause.since, pause.reason);
        let remedy = match pause.by {
            PausedBy::Operator => {
                format!("Resume it: {}, or POST /api/v1/admin/orgs/{org}/resume?sender={from}.", self.resume())
            }
            PausedBy::Meta => remedy(pause.meta_code().unwrap_or_default(), org, from),
        };
        let until = self.limits.next_probe.filter(|_| pause.by == PausedBy::Meta);
        Some(Objection { until, ..Objection::closed(detail, remedy) })
    }

    pub(super) fn outage(&self) -> Option<Objection> {
        let Outage { extent, since, next_probe, failure, .. } = self.outage.as_ref()?;
        let (address, code, why) = (self.address, &failure.code, failure.message.trim_end_matches('.'));
        let whom = match extent {
            Extent::All => "",
            Extent::Sender => " calls of its sender",
        };
        let detail = format!(
            "WhatsApp ({address}) is not reached or does not answer{whom} since {since}: {code}: {why}; it is tried again"
        );
        let remedy = format!(
            "See that the service's machine reaches {address} (DNS, firewall, proxy, TLS), and whether Meta is down \
             (https://metastatus.com); `twotick doctor` tries it. It goes on by itself; to try now: {}.",
            self.resume()
        );
        Some(Objection::waiting(detail, Some(*next_probe), remedy))
    }

    pub(super) fn template(&self, due: Timestamp) -> Option<Objection> {
        let until = self.waits(due, &[Wait::Template]).or(self.gates.template_until)?;
        let remedy = format!(
            "See the template's status in WhatsApp Manager; it is tried again by itself. Once it is repaired: {}.",
            self.resume()
        );
        Some(Objection::waiting("its template is paused by Meta", Some(until), remedy))
    }

    pub(super) fn consent(&self, store: &Store) -> Result<Option<Objection>, StoreError> {
        let to = self.message.to.as_str();
        let known = store.consent(self.org.no, to)?;
        let category = weighed(store, self.org, self.message)?;
        let refused = consent::check(self.org.consent, category, known.as_ref()).err();
        let remedy = || format!("Only the recipient can change that. If they have agreed: PUT /api/v1/consents/{to}.");
        Ok(refused.map(|refusal| Objection::closed(format!("{refusal}; it will fail"), remedy())))
    }

    pub(super) fn window(&self, store: &Store) -> Result<Option<Objection>, StoreError> {
        if !self.settings.check_window || self.message.template().is_some() {
            return Ok(None);
        }
        let last = store.last_inbound(self.org.no, self.message.sender, self.message.to.as_str())?;
        let is_over = last.is_some_and(|at| self.now.since(at) >= crate::message::WINDOW);
        let detail = "its recipient last wrote more than 24 hours ago, and it is not a template; it will fail";
        let remedy = "Send a template in its place; once the recipient writes, anything may be sent for 24 hours.";
        Ok(is_over.then(|| Objection::closed(detail, remedy)))
    }

    /// Until when it waits for one of these.
    fn waits(&self, due: Timestamp, kinds: &[Wait]) -> Option<Timestamp> {
        (due > self.now && kinds.contains(&self.state.wait)).then_some(due)
    }

    pub(super) fn schedule(&self, due: Timestamp) -> Option<Objection> {
        let until = self.waits(due, &[Wait::Schedule])?;
        let detail = "it is not yet time for it (its sendAt, or the first of outbound.retry_delays)";
        let remedy = format!("Nothing is to be done; {}.", self.call_back());
        Some(Objection::waiting(detail, Some(until), remedy))
    }

    pub(super) fn retry(&self, due: Timestamp) -> Option<Objection> {
        let until = self.waits(due, &[Wait::Retry, Wait::Deferred])?;
        let (made, most) = (self.state.attempt_count(), self.state.max_attempts);
        let last = self.state.failure.as_ref();
        let last = last.map(|failure| format!("{}: {}", failure.code, failure.message.trim_end_matches('.')));
        let last = last.unwrap_or_else(|| "an error".into());
        let detail = if self.state.wait == Wait::Deferred {
            format!("Meta holds marketing to its recipient back for a day ({last})")
        } else {
            format!("it waits for its next attempt: {made} of {most} are made, the last failed with {last}")
        };
        let remedy = format!(
            "It is tried again by itself; GET /api/v1/outbound/messages/{}/attempts has the errors; {}.",
            self.message.id,
            self.call_back()
        );
        Some(Objection::waiting(detail, Some(until), remedy))
    }

    pub(super) fn pair(&self, due: Timestamp) -> Option<Objection> {
        let until = self.waits(due, &[Wait::Pair]).or(self.gates.pair_until)?;
        let (detail, remedy) = if self.gates.is_pair_refused {
            (
                "Meta refuses further messages to its recipient from this number for now",
                format!("It goes by itself; write less often to one recipient. To try now: {}.", self.resume()),
            )
        } else {
            let limit = self.settings.pair_limit;
            let every = limit.interval.as_secs_f64();
            (
                "its recipient has had as many messages from this number as Meta allows",
                format!(
                    "It goes by itself: one message in {every} s, {} ahead (whatsapp.pair_interval, pair_burst).",
                    limit.burst
                ),
            )
        };
        Some(Objection::waiting(detail, Some(until), remedy))
    }

    pub(super) fn quota(&self, due: Timestamp) -> Option<Objection> {
        let id = &self.org.id;
        let raise = |name: &str| {
            format!("It goes by itself, or at once when the quota is raised: `twotick org put {id} --{name} N`.")
        };
        if let Some(until) = self.waits(due, &[Wait::DailyQuota]) {
            let detail = "its organisation has sent as many messages today as its quota messagesPerDay allows";
            return Some(Objection::waiting(detail, Some(until), raise("messages-per-day")));
        }
        let until = self.waits(due, &[Wait::RecipientQuota])?;
        let detail =
            "its organisation has written to as many recipients in 24 hours as its quota recipientsPerDay allows";
        Some(Objection::waiting(detail, Some(until), raise("recipients-per-day")))
    }

    pub(super) fn throttle(&self) -> Option<Objection> {
        let Throttle { code, since, until } = self.limits.throttle.as_ref()?;
        let detail = format!("Meta throttles its sender since {since} with error {code}: {}", meaning(*code));
        Some(Objection::waiting(detail, Some(*until), remedy(*code, &self.org.id, &self.message.from)))
    }

    /// What its sender sends per second.
    pub(super) fn pace(&self) -> f64 {
        if self.gates.per_second > 0.0 {
            return self.gates.per_second;
        }
        let own = self.org.sender(&self.message.from).and_then(|sender| sender.messages_per_second);
        f64::from(own.unwrap_or(self.settings.messages_per_second))
    }

    pub(super) fn rate(&self, ahead: Option<usize>, pace: f64, passed: Option<Timestamp>) -> Option<Objection> {
        let (org, from) = (&self.org.id, &self.message.from);
        let wait = self.gates.rate_wait.map(|wait| self.now.after(wait));
        let until = passed.or(wait)?;
        let detail = match ahead {
            Some(n) if passed.is_some() => format!("{n} others of its sender go before it, at {pace:.1} per second"),
            Some(_) | None => format!("its sender sends {pace:.1} per second at most now"),
        };
        let remedy = format!(
            "It goes by itself. If Meta allows the number more: `twotick org put {org} --sender {from} --messages-per-second N`."
        );
        Some(Objection::waiting(detail, Some(until), remedy))
    }

    pub(super) fn capacity(&self) -> Option<Objection> {
        let detail = "its sender has as many calls under way as whatsapp.max_concurrent allows";
        let remedy = "It goes when one of them is answered; if that is slow, raise whatsapp.max_concurrent.";
        self.gates.is_full.then(|| Objection::waiting(detail, None, remedy))
    }

    /// How many of its sender's messages go before it, and whether there are more: those that wait for a send permit, or those
    /// before it in the index.
    pub(super) fn ahead(&self, store: &Store) -> Result<(Option<usize>, bool), StoreError> {
        if self.gates.ahead.is_some() {
            return Ok((self.gates.ahead, false));
        }
        if self.state.due().is_none_or(|due| due > self.now) {
            return Ok((None, false));
        }
        let own = Lane::of(self.state, self.message.priority);
        let (mut ahead, mut is_at_least) = (0, false);
        for lane in [Lane::High, Lane::Normal, Lane::Low].into_iter().filter(|lane| *lane <= own) {
            store.due(self.org.no, self.message.sender, lane, &mut |entry| {
                if entry.id == self.message.id || entry.at > self.now {
                    return ControlFlow::Break(());
                }
                if ahead >= AHEAD_MAX {
                    is_at_least = true;
                    return ControlFlow::Break(());
                }
                ahead += 1;
                ControlFlow::Continue(())
            })?;
        }
        Ok((Some(ahead), is_at_least))
    }
}
