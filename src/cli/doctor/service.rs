//! The running service: whether it is ready, and what it finds itself: its settings and secrets may be other than this shell's.

use reqwest::Method;
use serde_json::Value;

use crate::checks::Report;
use crate::cli::admin::{key_of, list, text, url_of};
use crate::cli::client::Api;
use crate::cli::command::Failure;
use crate::config::Config;

const WHAT: &str = "service";

/// Asks the service what it finds; whether it said how it reaches WhatsApp.
pub(super) async fn examine(config: &Config, url: Option<&str>, report: &mut Report) -> bool {
    let (api, orgs) = match open(config, url).await {
        Ok(opened) => opened,
        Err(Failure::Usage(error)) => {
            let fix = "what follows is as this shell sees it, and the service's senders are not looked at";
            report.note(WHAT, error, fix);
            return false;
        }
        Err(Failure::Runtime(error)) => {
            let fix = "see its log, and `twotick doctor --url` if it listens elsewhere; what follows is as this shell sees it";
            report.wrong(WHAT, format!("{error:#}"), fix);
            return false;
        }
    };
    report.ok(WHAT, format!("answers; organisations: {}", list(&orgs, "items").len()));
    let looked = api.call(Method::POST, "admin/check", None).await;
    match looked.and_then(|looked| {
        Ok((
            text(&looked, "baseUrl"),
            serde_json::from_value::<Report>(looked.get("report").cloned().unwrap_or_default())?,
        ))
    }) {
        Ok((base_url, found)) => {
            if base_url != config.whatsapp.base_url {
                let detail = format!("whatsapp.base_url is {base_url} there, and {} here", config.whatsapp.base_url);
                report.note(
                    "configuration of the service",
                    detail,
                    "nothing, if that is meant; this shell has other settings",
                );
            }
            report.findings.extend(found.findings);
        }
        Err(error) => {
            report.wrong(WHAT, format!("could not look at WhatsApp: {error:#}"), "see its log");
        }
    }
    if let Some(way) = orgs.get("whatsapp") {
        outage("service's way to WhatsApp", way, &format!("{} is not reached", text(way, "address")), report);
    }
    for org in list(&orgs, "items") {
        for sender in list(org, "senders") {
            let number = text(sender, "phoneNumberId");
            held_up(org, sender, report);
            hears(org, sender, report);
            if is_paused(org, sender, report) {
                continue;
            }
            // Its secrets stay where they are: the service tries it.
            let path = format!("admin/orgs/{}/check?sender={number}", text(org, "id"));
            let tried = api.call(Method::POST, &path, None).await;
            match tried.and_then(|tried| Ok(serde_json::from_value::<Report>(tried)?)) {
                Ok(tried) => report.findings.extend(tried.findings),
                Err(error) => {
                    let what = format!("sender {number} of {}", text(org, "id"));
                    report.wrong(&what, format!("could not be tried: {error:#}"), "see the service's log");
                }
            }
        }
    }
    true
}

async fn open(config: &Config, url: Option<&str>) -> Result<(Api, Value), Failure> {
    let url = url.map_or_else(|| url_of(&config.http), |url| Ok(url.to_owned()))?;
    let api = Api::new(&url, key_of(config)?, None)?;
    let orgs = api.call(Method::GET, "admin/orgs", None).await?;
    Ok((api, orgs))
}

/// Calls that do not come through, if so.
fn outage(what: &str, of: &Value, how: &str, report: &mut Report) {
    let Some(outage) = of.get("outage").filter(|outage| outage.is_object()) else { return };
    let found = format!(
        "{how} since {}: {} {} It is tried again at {}",
        text(outage, "since"),
        text(outage, "errorCode"),
        text(outage, "errorMessage"),
        text(outage, "nextProbeAt"),
    );
    report.wrong(
        what,
        found,
        "see that the service's machine reaches it (DNS, firewall, proxy, TLS), and whether Meta is down",
    );
}

/// What slows a sender down, or keeps its calls back.
fn held_up(org: &Value, sender: &Value, report: &mut Report) {
    let what = format!("sender {} of {}", text(sender, "phoneNumberId"), text(org, "id"));
    if sender.pointer("/outage/extent").is_some_and(|extent| extent == "SENDER") {
        outage(&what, sender, "WhatsApp does not answer its calls", report);
    }
    if let Some(throttle) = sender.get("throttle").filter(|throttle| throttle.is_object()) {
        let code = throttle.get("code").map(ToString::to_string).unwrap_or_default();
        let (reason, until) = (text(throttle, "reason"), text(throttle, "until"));
        report.wrong(
            &what,
            format!("is throttled by Meta (error {code}): {reason}; until {until}"),
            &text(sender, "remedy"),
        );
    }
}

/// Whether Meta's webhooks reach the service and prove themselves.
fn hears(org: &Value, sender: &Value, report: &mut Report) {
    let what = format!("webhooks of {} of {}", text(sender, "phoneNumberId"), text(org, "id"));
    let heard = sender.get("webhooks").unwrap_or(&Value::Null);
    match heard.get("fault").and_then(Value::as_str) {
        Some(fault) => report.wrong(&what, fault, &text(heard, "remedy")),
        None => match heard.pointer("/proven/lastAt").and_then(Value::as_str) {
            Some(last) => report.ok(&what, format!("come, the last at {last}")),
            // One that has not sent for long has nothing to hear.
            None => report.ok(&what, "none has come since the service started"),
        },
    }
}

/// Whether the service sends nothing by a sender.
fn is_paused(org: &Value, sender: &Value, report: &mut Report) -> bool {
    let (id, number) = (text(org, "id"), text(sender, "phoneNumberId"));
    let is_paused = text(sender, "state") == "PAUSED";
    if is_paused {
        let what = format!("sender {number} of {id}");
        report.wrong(&what, format!("is paused: {}", text(sender, "pausedReason")), &text(sender, "remedy"));
    }
    is_paused
}
