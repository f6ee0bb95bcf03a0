//! What is heard of Meta: counted and logged when a webhook comes, and shown on the sender that it is about.

use actors::{Count, Hearing};
use domain::notice::Notice;
use domain::{OrgId, PhoneNumberId, Timestamp};
use serde_json::{Value, json};

/// A webhook of a sender was proven.
pub(super) fn proven(hearing: &Hearing, org: &OrgId, sender: &PhoneNumberId, now: Timestamp) {
    if hearing.proven(sender, now) {
        tracing::info!(%org, %sender, "webhooks of this sender are heard again");
    }
}

/// A webhook named a sender, and no secret of its fits the signature. A phone number id is no personal number.
pub(super) fn unproven(hearing: &Hearing, org: &OrgId, sender: &PhoneNumberId, now: Timestamp) {
    if !hearing.unproven(sender, now) {
        return;
    }
    match hearing.of(sender).deaf(now) {
        Some(deaf) => {
            tracing::warn!(%org, %sender, remedy = deaf.remedy(org, sender), "messages stay SENT: {}", deaf.fault())
        }
        None => tracing::warn!(
            %org, %sender,
            "a webhook that names this sender is not signed with its app secret, though others are: it was a stranger's, or another \
             app is subscribed to the account"
        ),
    }
}

/// Something was told of a sender that changes no message.
pub(super) fn noticed(hearing: &Hearing, org: &OrgId, sender: &PhoneNumberId, notice: &Notice, now: Timestamp) {
    if !hearing.notice(sender, notice, now) {
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

/// What is heard of one sender, as the admin sees it.
pub(super) fn view(hearing: &Hearing, org: &OrgId, sender: &PhoneNumberId, now: Timestamp) -> Value {
    let heard = hearing.of(sender);
    let deaf = heard.deaf(now);
    let count = |of: &Count| json!({"count": of.count, "lastAt": of.last_at.map(|at| at.to_string())});
    let notice = |(notice, of): (&Notice, &Count)| {
        json!({
            "item": notice.item, "word": notice.word, "errorCode": notice.code.map(|code| code.to_string()),
            "count": of.count, "lastAt": of.last_at.map(|at| at.to_string()),
        })
    };
    json!({
        "proven": count(&heard.webhooks),
        "unproven": count(&heard.unproven),
        "unansweredSince": heard.unanswered_since.map(|at| at.to_string()),
        "fault": deaf.map(|deaf| deaf.fault()),
        "remedy": deaf.map(|deaf| deaf.remedy(org, sender)),
        "notices": heard.notices.iter().map(notice).collect::<Vec<_>>(),
    })
}
