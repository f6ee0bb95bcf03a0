//! Organisations as the admin sees them: what they are, what keeps their senders from sending, and what a person can do
//! about it.

use std::time::Duration;

use actors::SenderLimits;
use api::{Pause, Quotas, Restored, SenderNow, Throttle, Upkeep, Word};
use domain::Timestamp;
use domain::circuit::{Extent, Outage};
use domain::consent::Choice;
use domain::org::{ApiKey, Org, PausedBy, Sender};
use domain::retention::Retention;
use whatsapp::remedy::{meaning, remedy};

use super::person::purged;
use super::time;
use crate::http::App;
use crate::http::routes::webhook_health;

const SET: Word = Word::Borrowed("set");

/// An organisation, with what limits its senders now and the health of their webhooks. What is secret only shows as set.
pub(crate) fn org(app: &App, org: &Org) -> api::Org {
    let words = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
    api::Org {
        id: org.id.to_string(),
        name: org.name.clone(),
        consent: Word::Borrowed(org.consent.as_str()),
        stop_words: words(org.words.stop()),
        start_words: words(org.words.start()),
        stop_reply: org.words.reply(Choice::Revoked).map(str::to_owned),
        start_reply: org.words.reply(Choice::Granted).map(str::to_owned),
        retention: retention(&org.retention),
        quotas: Quotas {
            messages_per_day: org.quotas.messages_per_day,
            max_queued: org.quotas.max_queued,
            recipients_per_day: org.quotas.recipients_per_day,
        },
        paused: org.paused.as_ref().map(|pause| Pause { reason: pause.reason.clone(), since: pause.since.to_string() }),
        senders: org.senders.iter().map(|sender| self::sender(app, org, sender)).collect(),
        keys: org.keys.iter().map(|key| self::key(key, app.key_log.last_used(&key.hash))).collect(),
        created_at: org.created_at.to_string(),
        updated_at: org.updated_at.to_string(),
    }
}

/// An organisation, with what its retention has done and what it was restored from.
pub(crate) fn org_details(
    app: &App,
    org: &Org,
    upkeep: &store::Upkeep,
    restored: Option<&store::Restored>,
) -> api::OrgDetails {
    let looked_at = Some(upkeep.looked_at).filter(|at| *at > Timestamp::EPOCH);
    api::OrgDetails {
        org: self::org(app, org),
        upkeep: Upkeep {
            last_look_at: time(looked_at),
            purged: purged(&upkeep.purged),
            audit_begins_after: upkeep.cut,
        },
        restored: restored.map(|mark| Restored {
            backup: mark.backup.clone(),
            taken_at: mark.taken_at.to_string(),
            restored_at: mark.at.to_string(),
            held: mark.held,
        }),
    }
}

pub(crate) fn key(key: &ApiKey, last_used: Option<Timestamp>) -> api::Key {
    api::Key {
        id: key.id.clone(),
        name: key.name.clone(),
        scopes: key.scopes.iter().map(|scope| Word::Borrowed(scope.as_str())).collect(),
        created_at: key.created_at.to_string(),
        expires_at: time(key.expires_at),
        last_used_at: time(last_used),
    }
}

/// The way to WhatsApp, which all senders share.
pub(crate) fn way(app: &App) -> api::Way {
    let (address, outage) = app.outbox.way();
    api::Way { address: address.to_owned(), outage: outage.as_ref().map(self::outage) }
}

fn retention(retention: &Retention) -> api::Retention {
    let text = |time: Option<Duration>| time.map(|time| humantime::format_duration(time).to_string());
    api::Retention {
        messages: text(retention.messages),
        payloads: text(retention.payloads),
        inbound: text(retention.inbound),
        audit: text(retention.audit),
    }
}

fn sender(app: &App, org: &Org, sender: &Sender) -> api::Sender {
    let pause = org.pause_of(sender);
    api::Sender {
        phone_number_id: sender.phone_number_id.to_string(),
        waba_id: sender.waba_id.clone(),
        access_token: SET,
        app_secret: SET,
        previous_app_secret: sender.previous_app_secret.as_ref().map(|_| SET),
        verify_token: SET,
        messages_per_second: sender.messages_per_second,
        state: Word::Borrowed(if pause.is_some() { "PAUSED" } else { "ACTIVE" }),
        paused_reason: pause.map(|pause| pause.reason.clone()),
        paused_since: pause.map(|pause| pause.since.to_string()),
        now: now(app, org, sender),
    }
}

/// What limits a sender now, and what a person can do about it.
fn now(app: &App, org: &Org, sender: &Sender) -> SenderNow {
    let (id, number) = (&org.id, &sender.phone_number_id);
    let (outage, SenderLimits { throttle, next_probe }) = app.outbox.sender_limits(number);
    let by_person = |scope: &str| format!("Resume it: `twotick org resume {id}{scope}`.");
    let remedy = match (&org.paused, &sender.paused, &throttle) {
        (Some(_), _, _) => Some(by_person("")),
        (None, Some(pause), _) => Some(match pause.by {
            PausedBy::Operator => by_person(&format!(" --sender {number}")),
            PausedBy::Meta => remedy(pause.meta_code().unwrap_or_default(), id, number),
        }),
        (None, None, Some(throttle)) => Some(remedy(throttle.code, id, number)),
        (None, None, None) => None,
    };
    let by = org.pause_of(sender).map(|pause| {
        Word::Borrowed(match pause.by {
            PausedBy::Operator => "OPERATOR",
            PausedBy::Meta => "META",
        })
    });
    SenderNow {
        paused_by: by,
        next_probe_at: time(next_probe),
        remedy,
        outage: outage.as_ref().map(self::outage),
        throttle: throttle.map(|throttle| Throttle {
            code: throttle.code,
            reason: Word::Borrowed(meaning(throttle.code)),
            since: throttle.since.to_string(),
            until: throttle.until.to_string(),
        }),
        webhooks: webhook_health::view(app.outbox.webhook_health(), id, number, app.outbox.clock().now()),
    }
}

/// Calls that do not come through to WhatsApp.
fn outage(outage: &Outage) -> api::Outage {
    api::Outage {
        extent: Word::Borrowed(match outage.extent {
            Extent::All => "ALL",
            Extent::Sender => "SENDER",
        }),
        since: outage.since.to_string(),
        error_code: outage.failure.code.to_string(),
        error_message: outage.failure.message.to_string(),
        next_probe_at: outage.next_probe.to_string(),
    }
}
