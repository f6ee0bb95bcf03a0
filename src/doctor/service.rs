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
    for org in list(&orgs, "items") {
        for sender in list(org, "senders") {
            let number = text(sender, "phoneNumberId");
            hears(org, sender, report);
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

/// Whether Meta's webhooks reach the service and prove themselves.
fn hears(org: &Value, sender: &Value, report: &mut Report) {
    let what = format!("webhooks of {} of {}", text(sender, "phoneNumberId"), text(org, "id"));
    let heard = sender.get("webhooks").unwrap_or(&Value::Null);
    match heard.get("fault").and_then(Value::as_str) {
        Some(fault) => report.wrong(&what, fault, text(heard, "remedy")),
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
        let fix = format!(
            "mend what it says, then `twotick org resume {id} --sender {number}`, or without --sender if all is paused"
        );
        let what = format!("sender {number} of {id}");
        report.wrong(&what, format!("is paused: {}", text(sender, "pausedReason")), &fix);
    }
    is_paused
}
