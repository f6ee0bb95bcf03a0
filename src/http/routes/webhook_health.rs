//! The health of a sender's webhooks: counted and logged when a webhook comes, and shown on the sender that it is about.

use actors::{Count, WebhookFault, WebhookHealth};
use domain::notice::Notice;
use domain::{OrgId, PhoneNumberId, Timestamp};

use crate::http::views;

/// A webhook of a sender was proven.
pub(super) fn proven(health: &WebhookHealth, org: &OrgId, sender: &PhoneNumberId, now: Timestamp) {
    if health.proven(sender, now) {
        tracing::info!(%org, %sender, "webhooks of this sender are heard again");
    }
}

/// A webhook named a sender, and no secret of its fits the signature. A phone number id is no personal number.
pub(super) fn unproven(health: &WebhookHealth, org: &OrgId, sender: &PhoneNumberId, now: Timestamp) {
    if !health.unproven(sender, now) {
        return;
    }
    match health.of(sender).fault(now) {
        Some(fault) => {
            tracing::warn!(%org, %sender, remedy = fault.remedy(org, sender), "messages stay SENT: {}", fault.detail())
        }
        None => tracing::warn!(
            %org, %sender,
            "a webhook that names this sender is not signed with its app secret, though others are: it was a stranger's, or another \
             app is subscribed to the account"
        ),
    }
}

/// Something was told of a sender that changes no message.
pub(super) fn noticed(health: &WebhookHealth, org: &OrgId, sender: &PhoneNumberId, notice: &Notice, now: Timestamp) {
    if !health.notice(sender, notice, now) {
        return;
    }
    let told = notice.to_string();
    match notice.code {
        Some(_) => tracing::warn!(%org, %sender, told, "WhatsApp tells of an error that concerns no message"),
        None => {
            tracing::info!(%org, %sender, told, "WhatsApp tells of something that is not understood; nothing is done about it")
        }
    }
}

/// The health of one sender's webhooks, as the admin sees it.
pub(crate) fn view(health: &WebhookHealth, org: &OrgId, sender: &PhoneNumberId, now: Timestamp) -> api::WebhookHealth {
    let of_sender = health.of(sender);
    let fault = of_sender.fault(now);
    let count = |of: &Count| api::Count { count: of.count, last_at: views::time(of.last_at) };
    let notice = |(notice, of): (&Notice, &Count)| api::NoticeCount {
        item: notice.item.clone(),
        word: notice.word.clone(),
        error_code: notice.code.map(|code| code.to_string()),
        count: of.count,
        last_at: views::time(of.last_at),
    };
    api::WebhookHealth {
        proven: count(&of_sender.webhooks),
        unproven: count(&of_sender.unproven),
        unanswered_since: views::time(of_sender.unanswered_since),
        fault: fault.as_ref().map(WebhookFault::detail),
        remedy: fault.as_ref().map(|fault| fault.remedy(org, sender)),
        notices: of_sender.notices.iter().map(notice).collect(),
    }
}
