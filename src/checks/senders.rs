//! WhatsApp: whether it is reached, what time it is there, and what it says of each sender.

use std::time::{Duration, SystemTime};

use actors::OrgChange;
use domain::org::{Org, Secret, Sender};
use domain::outcome::Class;
use domain::{OrgId, PhoneNumberId};
use whatsapp::CloudApi;
use whatsapp::cloud_api::{self, BuildError, Trouble, Way};
use whatsapp::remedy::remedy;

use super::Report;
use crate::config::Config;

/// A clock further off than this cannot tell when anything was, and in the end TLS fails for it.
const SKEW_MAX: Duration = Duration::from_secs(60);

/// A sender whose secrets are at hand.
pub(crate) struct Known {
    pub(super) org: OrgId,
    pub(super) number: PhoneNumberId,
    waba_id: Option<String>,
    token: Secret,
}

/// The senders that the configuration declares.
pub(crate) fn declared(config: &Config) -> Vec<Known> {
    let mut senders = Vec::new();
    for org in &config.orgs {
        // What cannot be resolved was refused with the configuration.
        let Ok((id, OrgChange::Declare(put, _))) = org.resolve() else { continue };
        senders.extend(put.senders.into_iter().filter_map(|sender| {
            let token = sender.access_token?;
            Some(Known { org: id.clone(), number: sender.phone_number_id, waba_id: sender.waba_id, token })
        }));
    }
    senders
}

/// Adds those that only the folder knows: a declaration replaces what is there at the next start.
pub(crate) fn of_folder(orgs: &[Org], senders: &mut Vec<Known>) {
    for org in orgs {
        for sender in &org.senders {
            if senders.iter().all(|known| known.number != sender.phone_number_id) {
                senders.push(Known::of(org, sender));
            }
        }
    }
}

impl Known {
    fn of(org: &Org, sender: &Sender) -> Self {
        Self {
            org: org.id.clone(),
            number: sender.phone_number_id.clone(),
            waba_id: sender.waba_id.clone(),
            token: sender.access_token.clone(),
        }
    }

    async fn examine(&self, api: &CloudApi, report: &mut Report) {
        number(api, self, report).await;
        subscription(api, self, report).await;
    }
}

/// What WhatsApp says of one sender: for the running service, whose secrets do not leave it.
pub(crate) async fn check(settings: cloud_api::Settings, org: &Org, sender: &Sender) -> Result<Report, BuildError> {
    let mut report = Report::default();
    Known::of(org, sender).examine(&CloudApi::new(settings)?, &mut report).await;
    Ok(report)
}

/// Looks at WhatsApp, and through it at each sender.
pub(crate) async fn examine(config: &Config, senders: &[Known], report: &mut Report) {
    if let Some(api) = reach(config.cloud_api(), report).await {
        for sender in senders {
            sender.examine(&api, report).await;
        }
    }
}

/// Looks whether WhatsApp is reached, which way, and what time it is there. `None` if it is not.
pub(crate) async fn reach(settings: cloud_api::Settings, report: &mut Report) -> Option<CloudApi> {
    let what = format!("WhatsApp at {}", settings.base_url);
    let certificates = "install this machine's CA certificates (Debian: ca-certificates), newer ones if it has some; or see who \
                        stands between with a certificate of their own, and name their CA's PEM file in whatsapp.ca_file";
    let way = settings.way();
    let opened = way.and_then(|way| Ok((way, CloudApi::new(settings)?)));
    let (way, api) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            report.wrong(&what, error.to_string(), certificates);
            return None;
        }
    };
    match api.date().await {
        Ok(date) => {
            report.ok(&what, format!("is reached {way}"));
            clock(&date, report);
            Some(api)
        }
        Err(error) => {
            let error = error.to_string();
            let network = match &way {
                Way::Direct => {
                    "see that this machine finds it (DNS) and may reach it (firewall), and that whatsapp.base_url is right; if the \
                     way out is a proxy, name it in whatsapp.proxy or HTTPS_PROXY"
                }
                Way::Proxy { .. } => {
                    "see that the proxy is reached and lets this machine through, and that whatsapp.base_url is right; NO_PROXY \
                     names what is called directly"
                }
            };
            let fix = if error.contains("certificate") { certificates } else { network };
            report.wrong(&what, format!("{error}; it was called {way}"), fix);
            None
        }
    }
}

fn clock(date: &str, report: &mut Report) {
    let what = "clock";
    let Ok(there) = httpdate::parse_http_date(date) else {
        return report.note(
            what,
            "WhatsApp did not say what time it is",
            "see that this machine's clock is set by NTP",
        );
    };
    let here = SystemTime::now();
    let skew = here.duration_since(there).unwrap_or_else(|ahead| ahead.duration());
    let detail = format!("{} s from WhatsApp's", skew.as_secs());
    if skew > SKEW_MAX {
        report.wrong(what, detail, "set this machine's clock, and keep it set by NTP");
    } else {
        report.ok(what, detail);
    }
}

async fn number(api: &CloudApi, sender: &Known, report: &mut Report) {
    let Known { org, number, token, .. } = sender;
    let what = format!("sender {number} of {org}");
    match api.number(number, token).await {
        Ok(seen) => match seen.status.as_deref() {
            None | Some("CONNECTED") if seen.quality.as_deref() == Some("RED") => {
                report.note(
                    &what,
                    "its quality rating is RED: Meta may soon limit it",
                    "see in WhatsApp Manager why people block it",
                );
            }
            None | Some("CONNECTED") => report.ok(&what, "its token is good and it can send"),
            Some(status) => {
                let fix = "register or repair the number in WhatsApp Manager";
                report.wrong(&what, format!("its status is {status}, not CONNECTED"), fix);
            }
        },
        Err(trouble) => {
            let fix = match &trouble {
                Trouble::Refused(error) if matches!(error.verdict.class, Class::Permanent | Class::Blocked) => {
                    remedy(error.code, org, number)
                }
                Trouble::Refused(_) | Trouble::Unreachable(_) | Trouble::Unreadable(_) => {
                    "look again in a moment; if it stays, see Meta's status page".to_owned()
                }
            };
            report.wrong(&what, trouble.to_string(), &fix);
        }
    }
}

async fn subscription(api: &CloudApi, sender: &Known, report: &mut Report) {
    let Known { org, number, waba_id, token } = sender;
    let what = format!("subscription of {number} of {org}");
    let Some(waba) = waba_id else {
        let fix = format!("`twotick org put {org} --sender {number} --waba ID`; template news need it, too");
        return report.note(&what, "not looked at: the sender has no wabaId", &fix);
    };
    match api.subscribed_apps(waba, token).await {
        Ok(0) => {
            let fix = format!(
                "subscribe the app: curl -X POST -H 'Authorization: Bearer TOKEN' GRAPH-API/VERSION/{waba}/subscribed_apps, \
                 and point its webhook here"
            );
            report.wrong(&what, "no app is subscribed to its account: no receipt will ever come", &fix);
        }
        Ok(_) => report.ok(&what, "its account has an app that is told of receipts"),
        Err(trouble) => {
            let fix = "check wabaId, and that the token has whatsapp_business_management";
            report.wrong(&what, trouble.to_string(), fix);
        }
    }
}
