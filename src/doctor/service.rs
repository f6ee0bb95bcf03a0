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
    let orgs = match orgs(config, url).await {
        Ok(orgs) => orgs,
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
            seen(org, sender, declared, report);
        }
    }
}

async fn orgs(config: &Config, url: Option<&str>) -> Result<Value, Failure> {
    let url = url.map_or_else(|| url_of(&config.http), |url| Ok(url.to_owned()))?;
    Ok(Api::new(&url, key_of(config)?, None)?.call(Method::GET, "admin/orgs", None).await?)
}

/// What the service says of a sender.
fn seen(org: &Value, sender: &Value, declared: &[Known], report: &mut Report) {
    let (id, number) = (text(org, "id"), text(sender, "phoneNumberId"));
    let what = format!("sender {number} of {id}");
    if text(sender, "state") == "PAUSED" {
        let fix = format!(
            "mend what it says, then `twotick org resume {id} --sender {number}`, or without --sender if all is paused"
        );
        return report.wrong(&what, format!("is paused: {}", text(sender, "pausedReason")), &fix);
    }
    if declared.iter().all(|known| known.number.as_str() != number) {
        let detail = "is not paused; its token was not tried: secrets do not leave a running service";
        report.note(&what, detail, "to have it tried, stop the service and run this again");
    }
}
