//! Meta's webhook: the verification, and receipts. The signature over the raw body is the proof, not a key.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use domain::org::{Org, Secret, Sender};
use domain::receipt::Receipt;
use domain::{OrgId, PhoneNumberId};
use futures_util::future::try_join_all;
use http::{HeaderValue, Response, StatusCode};
use whatsapp::signature;
use whatsapp::webhook::{self, Notification};

use super::problem::Problem;
use super::request::Request;
use super::{Answer, App, views};

const ORG_HEADER: &str = "x-org-id";
/// A body that names no sender of ours is still Meta's if one of our app secrets signed it. Trying more secrets than
/// this would let a stranger make us work.
const SECRETS_TRIED_MAX: usize = 100;

/// Meta shows the verify token and wants its challenge back.
pub(super) fn verify(app: &App, request: &Request) -> Answer {
    let token = request.param("hub.verify_token").unwrap_or("");
    let is_known = |sender: &Sender| signature::is_secret(&sender.verify_token, token);
    let is_ours = orgs(app, request).iter().any(|org| org.senders.iter().any(is_known));
    let challenge = request.param("hub.challenge").filter(|_| request.param("hub.mode") == Some("subscribe"));
    match challenge {
        Some(challenge) if is_ours => {
            let mut response = Response::new(challenge.as_bytes().to_vec());
            let plain = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
            // The challenge is the caller's text: it must not be taken for a page.
            response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
            Ok(response)
        }
        Some(_) | None => Err(Problem::forbidden("the verify token is not one of ours")),
    }
}

/// Receipts. 200 once everything in the body that concerns our senders is durable.
pub(super) async fn receive(app: &App, request: &Request) -> Answer {
    let refused = || Problem::unauthorized("X-Hub-Signature-256 is missing or wrong");
    let signature = request.header(signature::HEADER).ok_or_else(refused)?;
    let parsed = webhook::parse(&request.body, app.outbox.clock().now());
    let concerned = parsed.as_ref().map(|notification| concerned(app, request, notification)).unwrap_or_default();
    let mut proof = Proof { body: &request.body, signature, checked: Vec::new() };
    let owners: HashMap<&PhoneNumberId, &OrgId> = concerned
        .iter()
        .filter(|(_, sender)| proof.holds_for(&sender.app_secret))
        .map(|(org, sender)| (&sender.phone_number_id, org))
        .collect();
    let is_proven = !owners.is_empty() || (concerned.is_empty() && is_of_some_app(app, request, &mut proof));
    if !is_proven {
        return Err(refused());
    }
    let notification = match parsed {
        Ok(notification) => notification,
        // Meta would repeat it for days, and it would be no better.
        Err(error) => {
            tracing::warn!(%error, "a signed webhook is not of Meta's shape; nothing is read from it");
            return views::json(StatusCode::OK, &serde_json::json!({"status": "ignored"}));
        }
    };
    let mut by_org: BTreeMap<OrgId, Vec<Receipt>> = BTreeMap::new();
    let (mut skipped, mut strangers) = (0, 0);
    for change in notification.changes {
        skipped += change.skipped;
        match change.phone_number_id.as_ref().and_then(|number| owners.get(number)) {
            Some(org) => by_org.entry((*org).clone()).or_default().extend(change.receipts),
            None => strangers += change.receipts.len(),
        }
    }
    if skipped + strangers > 0 {
        tracing::info!(skipped, strangers, "a webhook held items that could not be read or concern no sender of ours");
    }
    try_join_all(by_org.into_iter().map(|(org, receipts)| {
        let outbox = app.outbox.clone();
        async move { outbox.webhook(&org, receipts).await }
    }))
    .await?;
    views::json(StatusCode::OK, &serde_json::json!({"status": "recorded"}))
}

/// The organisations that a request may concern: all, or the one that it names.
fn orgs(app: &App, request: &Request) -> Vec<Arc<Org>> {
    let directory = app.outbox.directory();
    match request.header(ORG_HEADER) {
        None => directory.orgs(),
        Some(text) => text.parse().ok().and_then(|id| directory.org(&id)).into_iter().collect(),
    }
}

/// The senders that a body names, with their organisations, each once.
fn concerned(app: &App, request: &Request, notification: &Notification) -> Vec<(OrgId, Sender)> {
    let named: HashSet<&PhoneNumberId> =
        notification.changes.iter().filter_map(|change| change.phone_number_id.as_ref()).collect();
    let only = request.header(ORG_HEADER);
    let find = |number: &PhoneNumberId| {
        let org = app.outbox.directory().owner(number)?;
        let is_meant = only.is_none_or(|only| only == org.id.as_str());
        is_meant.then(|| Some((org.id.clone(), org.sender(number)?.clone())))?
    };
    named.into_iter().filter_map(find).collect()
}

/// Whether any app that we know signed a body that names no sender of ours.
fn is_of_some_app(app: &App, request: &Request, proof: &mut Proof<'_>) -> bool {
    let mut secrets: Vec<Secret> = Vec::new();
    for sender in orgs(app, request).iter().flat_map(|org| &org.senders) {
        if secrets.len() < SECRETS_TRIED_MAX && !secrets.contains(&sender.app_secret) {
            secrets.push(sender.app_secret.clone());
        }
    }
    secrets.iter().any(|secret| proof.holds_for(secret))
}

/// Checks a signature once per secret: a body may name many senders of one app.
struct Proof<'a> {
    body: &'a [u8],
    signature: &'a str,
    checked: Vec<(Secret, bool)>,
}

impl Proof<'_> {
    fn holds_for(&mut self, secret: &Secret) -> bool {
        if let Some((_, holds)) = self.checked.iter().find(|(known, _)| known == secret) {
            return *holds;
        }
        let holds = signature::verify(secret, self.body, self.signature);
        self.checked.push((secret.clone(), holds));
        holds
    }
}
