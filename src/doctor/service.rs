//! The running service: whether it is ready, and what it knows of senders whose secrets it alone has.

use reqwest::Method;
use serde_json::Value;

use super::Report;
use super::senders::Known;
use crate::admin::{key_of, list, text, url_of};
use crate::api::Api;
use crate::command::Failure;
use crate::config::Config;

const WHAT: &str = "service";

pub(super) async fn examine(config: &Config, url: Option<&str>, declared: &[Known], report: &mut Report) {
    let (api, orgs) = match open(config, url).await {
        Ok(opened) => opened,
        Err(Failure::Usage(error)) => return report.note(WHAT, error, "its senders are not looked at"),
        Err(Failure::Runtime(error)) => {
            return report.wrong(
                WHAT,
                format!("{error:#}"),
                "see its log, and `twotick doctor --url` if it listens elsewhere",
            );
        }
    };
    report.ok(WHAT, format!("answers; organisations: {}", list(&orgs, "items").len()));
    if let Some(way) = orgs.get("whatsapp") {
        outage("service's way to WhatsApp", way, &format!("{} is not reached", text(way, "address")), report);
    }
    for org in list(&orgs, "items") {
        for sender in list(org, "senders") {
            let number = text(sender, "phoneNumberId");
            held_up(org, sender, report);
            if is_paused(org, sender, report) || declared.iter().any(|known| known.number.as_str() == number) {
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
