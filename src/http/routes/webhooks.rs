//! Meta's webhook: the verification, receipts, what recipients write and choose, news of templates. The signature over the raw body
//! is the proof, not a key.

mod proof;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use actors::{Arrival, Clock, Directory, News, TemplateStatus};
use api::{State, Word};
use domain::gate::TemplateKey;
use domain::notice::Notice;
use domain::org::{Org, Sender};
use domain::{Inbound, OrgId, PhoneNumberId, Timestamp};
use futures_util::future::try_join_all;
use http::{HeaderValue, Response, StatusCode};
use whatsapp::signature;
use whatsapp::webhook::{self, Change, InboundItem, Notification, TemplateUpdate};

use super::webhook_health;
use crate::http::auth::ORG_HEADER;
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::{Answer, App, views};

/// The organisations that a webhook may concern: all, or the one that its path names, its header, or both.
#[derive(Clone)]
struct Meant([Option<String>; 2]);

impl Meant {
    fn by(request: &Request, path: Option<&str>) -> Self {
        Self([path, request.header(ORG_HEADER)].map(|named| named.map(str::to_owned)))
    }

    fn includes(&self, org: &OrgId) -> bool {
        self.0.iter().flatten().all(|named| named == org.as_str())
    }

    /// Whether it may concern every organisation.
    fn is_all(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The one that it must concern, if it names one, and there is that.
    fn org(&self, directory: &Directory) -> Option<Arc<Org>> {
        let id = self.0.iter().flatten().next()?.parse().ok()?;
        directory.org(&id).filter(|org| self.includes(&org.id))
    }
}

/// Meta shows the verify token and wants its challenge back. `path` is the organisation that the address names.
pub(super) fn verify(app: &App, request: &Request, path: Option<&str>) -> Answer {
    let token = request.query.get("hub.verify_token").unwrap_or("");
    let is_known = |sender: &Sender| signature::is_secret(&sender.verify_token, token);
    let (meant, directory) = (Meant::by(request, path), app.outbox.directory());
    let orgs = if meant.is_all() { directory.orgs() } else { meant.org(directory).into_iter().collect() };
    let is_ours = orgs.iter().any(|org| org.senders.iter().any(is_known));
    let challenge = request.query.get("hub.challenge").filter(|_| request.query.get("hub.mode") == Some("subscribe"));
    match challenge {
        Some(challenge) if is_ours => {
            let mut response = Response::new(challenge.as_bytes().to_vec());
            let plain = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
            Ok(response)
        }
        Some(_) | None => Err(refused(app, request, Problem::forbidden("the verify token is not one of ours"))),
    }
}

/// What fails is counted by address, and answered `problem` until it was too often. What proves itself never waits, wherever it
/// comes from: Meta may come through a proxy, by the same address as whoever guesses.
fn refused(app: &App, request: &Request, problem: Problem) -> Problem {
    let suspects = app.proxies.suspects(request.arrival.peer, &request.headers);
    app.webhook_throttle.refused_for(&suspects).map_or_else(Problem::too_many_tries, |()| problem)
}

/// What a request shows as its signature, if it can be one.
pub(crate) fn claimed(request: &Request) -> Option<&str> {
    request.header(signature::HEADER).filter(|given| signature::is_one(given))
}

/// 200 once everything in the body that concerns our senders is durable. Until its signature has proven it, nothing of it is
/// kept or taken apart.
pub(super) async fn receive(app: &App, request: &Request, path: Option<&str>) -> Answer {
    let meant = Meant::by(request, path);
    let wrong = || refused(app, request, Problem::unauthorized("X-Hub-Signature-256 is missing or wrong"));
    let signature = claimed(request).ok_or_else(wrong)?;
    let (claim, secret) = proof::seek(app, &meant, &request.body, signature).await?;
    let Some(secret) = secret else {
        let now = app.outbox.clock().now();
        for (org, sender) in &claim.senders {
            webhook_health::unproven(app.outbox.webhook_health(), &org.id, sender, now);
        }
        return Err(wrong());
    };
    let (now, body) = (app.outbox.clock().now(), request.body.clone());
    let parsed = proof::aside(request.body.len(), move || webhook::parse(&body, now)).await?;
    let notification = match parsed {
        Ok(notification) => notification,
        // Meta would repeat it for days, and it would be no better.
        Err(error) => {
            tracing::warn!(%error, "a signed webhook is not of Meta's shape; nothing is read from it");
            return views::json(StatusCode::OK, &State { status: Word::Borrowed("ignored") });
        }
    };
    let named = named(app, &meant, &notification);
    let is_anonymous = named.is_empty();
    let is_proven = |(_, sender): &(OrgId, Sender)| sender.app_secrets().any(|known| *known == secret);
    let named: Vec<_> = named.into_iter().filter(is_proven).collect();
    if !is_anonymous && named.is_empty() {
        return Err(wrong());
    }
    let accounts = of_accounts(app, &meant, &notification).into_iter().filter(is_proven).collect::<Vec<_>>();
    let owners: HashMap<&PhoneNumberId, &(OrgId, Sender)> =
        named.iter().map(|owner| (&owner.1.phone_number_id, owner)).collect();
    let mut by_org: BTreeMap<&OrgId, News> = BTreeMap::new();
    let (mut skipped, mut strangers) = (0, 0);
    for (org, sender) in &named {
        webhook_health::proven(app.outbox.webhook_health(), org, &sender.phone_number_id, now);
    }
    for change in notification.changes {
        skipped += change.skipped;
        if let (Some(update), Some(waba_id)) = (change.template, &change.waba_id) {
            tell_template(app, &accounts, waba_id, &update);
        }
        // What names no number is told of all of its account.
        let is_of_account = change.phone_number_id.is_none() && !change.notices.is_empty();
        for (org, sender) in accounts.iter().filter(|(_, sender)| is_of_account && sender.waba_id == change.waba_id) {
            notice(app, (org, sender), by_org.entry(org).or_default(), &change.notices, now);
        }
        match change.phone_number_id.as_ref().and_then(|number| owners.get(number)) {
            Some((org, sender)) => {
                let news = by_org.entry(org).or_default();
                news.receipts.extend(change.receipts);
                let arrived = |item| arrived(app.outbox.clock(), sender, item, now);
                news.inbound.extend(change.inbound.into_iter().map(arrived));
                news.preferences.extend(change.preferences);
                notice(app, (org, sender), news, &change.notices, now);
            }
            None => strangers += change.receipts.len() + change.inbound.len() + change.preferences.len(),
        }
    }
    if skipped + strangers > 0 {
        tracing::info!(skipped, strangers, "a webhook held items that could not be read or concern no sender of ours");
    }
    try_join_all(by_org.into_iter().map(|(org, news)| app.outbox.webhook(org, news))).await?;
    views::json(StatusCode::OK, &State { status: Word::Borrowed("recorded") })
}

fn arrived(clock: &Clock, sender: &Sender, item: InboundItem, now: Timestamp) -> Arrival {
    let inbound = Inbound {
        id: clock.new_message_id(now),
        provider_id: item.id,
        sender: sender.phone_number_id.clone(),
        sender_no: sender.no,
        from: item.from,
        user_id: item.user_id,
        kind: item.kind,
        opens_window: item.opens_window,
        payload: item.raw,
        at: item.at,
        received_at: now,
    };
    Arrival { inbound, link: item.link }
}

/// What was told of a sender, and changes no message, leaves a trace.
fn notice(app: &App, (org, sender): (&OrgId, &Sender), news: &mut News, notices: &[Notice], now: Timestamp) {
    for notice in notices {
        webhook_health::noticed(app.outbox.webhook_health(), org, &sender.phone_number_id, notice, now);
        news.notices.push((sender.no, notice.clone()));
    }
}

/// Tells the organisations that have senders of this account; those whose secrets do not hold are not among them.
fn tell_template(app: &App, proven: &[(OrgId, Sender)], waba_id: &str, update: &TemplateUpdate) {
    let Some(is_usable) = update.is_usable() else { return };
    let of_account = |(_, sender): &&(OrgId, Sender)| sender.waba_id.as_deref() == Some(waba_id);
    let orgs: BTreeSet<&OrgId> = proven.iter().filter(of_account).map(|(org, _)| org).collect();
    for org in orgs {
        let template = TemplateKey { name: update.name.clone(), language: update.language.clone() };
        app.outbox.template_status(org, TemplateStatus { waba_id: waba_id.to_owned(), template, is_usable });
    }
}

/// The senders that a body names, with their organisations, each once.
fn named(app: &App, meant: &Meant, notification: &Notification) -> Vec<(OrgId, Sender)> {
    let named: HashSet<&PhoneNumberId> =
        notification.changes.iter().filter_map(|change| change.phone_number_id.as_ref()).collect();
    let find = |number: &PhoneNumberId| {
        let org = app.outbox.directory().owner(number)?;
        meant.includes(&org.id).then(|| Some((org.id.clone(), org.sender(number)?.clone())))?
    };
    named.into_iter().filter_map(find).collect()
}

/// The senders of the accounts that a body tells of, or of whose templates it does.
fn of_accounts(app: &App, meant: &Meant, notification: &Notification) -> Vec<(OrgId, Sender)> {
    let is_of_one = |change: &&Change| {
        change.template.is_some() || (change.phone_number_id.is_none() && !change.notices.is_empty())
    };
    let told = notification.changes.iter().filter(is_of_one);
    let accounts: HashSet<&str> = told.filter_map(|change| change.waba_id.as_deref()).collect();
    let senders_of = |account: &str| {
        let orgs = app.outbox.directory().of_account(account).into_iter().filter(|org| meant.includes(&org.id));
        let of_org = |org: Arc<Org>| {
            let senders = org.senders.iter().filter(|sender| sender.waba_id.as_deref() == Some(account));
            senders.map(|sender| (org.id.clone(), sender.clone())).collect::<Vec<_>>()
        };
        orgs.flat_map(of_org).collect::<Vec<_>>()
    };
    accounts.into_iter().flat_map(senders_of).collect()
}
