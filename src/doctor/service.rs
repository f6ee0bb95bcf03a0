//! The running service: whether it is ready, and what it finds itself: its settings and secrets may be other than this shell's.

use reqwest::Method;
use serde_json::Value;

use super::Report;
use super::senders::TOKEN_CODES;
use crate::admin::{key_of, list, text, url_of};
use crate::api::Api;
use crate::command::Failure;
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
    for org in list(&orgs, "items") {
        for sender in list(org, "senders") {
            let number = text(sender, "phoneNumberId");
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

/// Whether the service sends nothing by a sender.
fn is_paused(org: &Value, sender: &Value, report: &mut Report) -> bool {
    let (id, number) = (text(org, "id"), text(sender, "phoneNumberId"));
    let is_paused = text(sender, "state") == "PAUSED";
    if is_paused {
        let reason = text(sender, "pausedReason");
        let is_whole = org.get("paused").is_some_and(|pause| !pause.is_null());
        let what = format!("sender {number} of {id}");
        report.wrong(&what, format!("is paused: {reason}"), &remedy(&id, &number, &reason, is_whole));
    }
    is_paused
}

/// What ends a pause, by its reason.
fn remedy(org: &str, number: &str, reason: &str, is_whole: bool) -> String {
    if is_whole {
        return format!("`twotick org resume {org}`, once its organisation is to send again");
    }
    let code = reason.strip_prefix("Meta error ").and_then(|rest| rest.split(':').next()?.parse::<i64>().ok());
    match code {
        Some(code) if TOKEN_CODES.contains(&code) => format!(
            "make a new token of a system user at Meta and give it by `twotick org put {org} --sender {number} --access-token \
             env:NAME` (or file:PATH): sending then goes on by itself; a `resume` with the old token would only be refused again"
        ),
        Some(_) => format!(
            "mend at Meta (WhatsApp Manager) what it says; it is tried again by itself, and at once by `twotick org resume {org} \
             --sender {number}`"
        ),
        None => format!("`twotick org resume {org} --sender {number}`, once it is to send again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_ended_by_what_mends_its_reason() {
        for (reason, is_whole, says, says_not) in [
            ("Meta error 190: expired", false, "--access-token", "`twotick org resume"),
            ("Meta error 131031: locked", false, "WhatsApp Manager", "--access-token"),
            ("by hand", false, "`twotick org resume acme --sender 1`", "Meta"),
            ("by hand", true, "`twotick org resume acme`", "--sender"),
        ] {
            let fix = remedy("acme", "1", reason, is_whole);
            assert!(fix.contains(says) && !fix.contains(says_not), "{reason}: {fix}");
        }
    }
}
