//! The health of each sender's webhooks since the start: whether they come, whether they are signed with a secret that is known,
//! and what of them is not understood. A sender whose webhooks do not come sends well, and its messages stay SENT.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::notice::Notice;
use domain::{OrgId, PhoneNumberId, Timestamp};

/// A message that Meta took is told to be sent within seconds. So long after it something is wrong.
pub const SILENT_AFTER: Duration = Duration::from_secs(10 * 60);
/// The log says the same thing once in so long.
const SAY_EVERY: Duration = Duration::from_secs(3600);
/// Kinds of notices that are told apart, for each sender. Meta has fewer.
const KINDS_MAX: usize = 64;

/// The health of all senders' webhooks.
#[derive(Default)]
pub struct WebhookHealth(Mutex<HashMap<PhoneNumberId, SenderHealth>>);

/// The health of one sender's webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderHealth {
    /// Webhooks that were signed with a secret of its, and when the last came.
    pub webhooks: Count,
    /// Webhooks that name it and are not signed with a secret of its.
    pub unproven: Count,
    /// The first message that Meta took since the last webhook.
    pub unanswered_since: Option<Timestamp>,
    /// What was told of it that changes no message.
    pub notices: BTreeMap<Notice, Count>,
    said_silent: Option<Timestamp>,
}

/// How often something came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// So often.
    pub count: u64,
    /// The last time.
    pub last_at: Option<Timestamp>,
    said: Option<Timestamp>,
}

/// Why no webhooks of a sender are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookFault {
    /// Webhooks come, and the secret that signed them is not the one that is known.
    WrongSecret {
        /// When the last came.
        last_at: Timestamp,
    },
    /// None come, though Meta took messages.
    Silent {
        /// The first message without a receipt.
        since: Timestamp,
        /// The last webhook that did come.
        last_at: Option<Timestamp>,
    },
}

impl Count {
    /// Counts one more. Whether it is time to say so.
    fn one_more(&mut self, now: Timestamp) -> bool {
        self.count += 1;
        self.last_at = Some(now);
        is_due(&mut self.said, now)
    }
}

fn is_due(said: &mut Option<Timestamp>, now: Timestamp) -> bool {
    let is_due = said.is_none_or(|said| now.since(said) >= SAY_EVERY);
    if is_due {
        *said = Some(now);
    }
    is_due
}

impl SenderHealth {
    /// Why no webhooks are taken, if so.
    pub fn fault(&self, now: Timestamp) -> Option<WebhookFault> {
        let unproven = self.unproven.last_at.filter(|last| self.webhooks.last_at.is_none_or(|proven| proven < *last));
        let since = self.unanswered_since.filter(|since| now.since(*since) >= SILENT_AFTER);
        match (unproven, since) {
            // A stranger who guesses is no fault of a sender of which proven webhooks came, too.
            (Some(last_at), _) if self.webhooks.count == 0 || since.is_some() => {
                Some(WebhookFault::WrongSecret { last_at })
            }
            (_, Some(since)) => Some(WebhookFault::Silent { since, last_at: self.webhooks.last_at }),
            (_, None) => None,
        }
    }
}

impl WebhookFault {
    /// What is wrong, in a sentence without its full stop.
    pub fn detail(&self) -> String {
        match self {
            Self::WrongSecret { last_at } => {
                format!(
                    "webhooks that name this sender come, the last at {last_at}, and its app secret does not fit their signature"
                )
            }
            Self::Silent { since, last_at: None } => {
                format!(
                    "Meta takes its messages, since {since}, and no webhook has come for it since the service started"
                )
            }
            Self::Silent { since, last_at: Some(last_at) } => {
                format!("Meta takes its messages, since {since}, and no webhook has come for it since {last_at}")
            }
        }
    }

    /// What to do.
    pub fn remedy(&self, org: &OrgId, sender: &PhoneNumberId) -> String {
        match self {
            Self::WrongSecret { .. } => format!(
                "put the secret of the Meta app whose webhooks these are (App settings, Basic, App secret): `twotick org put {org} \
                 --sender {sender} --app-secret env:NAME`. Until then receipts, stop words and inbound messages are refused; Meta \
                 repeats them for up to 7 days"
            ),
            Self::Silent { .. } => format!(
                "see with `twotick doctor` that the app is subscribed to the account of {sender}, and in the Meta app, under WhatsApp, \
                 Configuration, that the callback URL is this service's /api/v1/webhooks/whatsapp/inbound and the field `messages` is \
                 subscribed; then, that the firewall lets Meta in"
            ),
        }
    }
}

impl WebhookHealth {
    /// Meta took a message. Why no webhooks of its sender are taken, if it is time to say so.
    pub(crate) fn sent(&self, sender: &PhoneNumberId, now: Timestamp) -> Option<WebhookFault> {
        let mut all = self.lock();
        let health = all.entry(sender.clone()).or_default();
        health.unanswered_since.get_or_insert(now);
        health.fault(now).filter(|_| is_due(&mut health.said_silent, now))
    }

    /// A webhook of a sender was proven. Whether it is the first since none was.
    pub fn proven(&self, sender: &PhoneNumberId, now: Timestamp) -> bool {
        let mut all = self.lock();
        let health = all.entry(sender.clone()).or_default();
        let was_faulty = health.said_silent.take().is_some() || health.unproven.said.take().is_some();
        health.webhooks.one_more(now);
        health.unanswered_since = None;
        was_faulty
    }

    /// A webhook named a sender, and was not signed with a secret of its. Whether it is time to say so.
    pub fn unproven(&self, sender: &PhoneNumberId, now: Timestamp) -> bool {
        self.lock().entry(sender.clone()).or_default().unproven.one_more(now)
    }

    /// Something was told of a sender that changes no message. Whether it is time to say so.
    pub fn notice(&self, sender: &PhoneNumberId, notice: &Notice, now: Timestamp) -> bool {
        let mut all = self.lock();
        let notices = &mut all.entry(sender.clone()).or_default().notices;
        let is_known = notices.len() < KINDS_MAX || notices.contains_key(notice);
        let others = || Notice::unread("others", None);
        notices.entry(if is_known { notice.clone() } else { others() }).or_default().one_more(now)
    }

    /// The health of a sender's webhooks.
    pub fn of(&self, sender: &PhoneNumberId) -> SenderHealth {
        self.lock().get(sender).cloned().unwrap_or_default()
    }

    /// Counts are right between any two of them.
    fn lock(&self) -> MutexGuard<'_, HashMap<PhoneNumberId, SenderHealth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn at(secs: u64) -> Timestamp {
        START.after(Duration::from_secs(secs))
    }

    fn sender() -> PhoneNumberId {
        "1066".parse().unwrap()
    }

    #[test]
    fn a_sender_that_sends_without_receipts_is_silent_after_a_while_and_it_is_said_once_an_hour() {
        let (health, sender) = (WebhookHealth::default(), sender());
        assert_eq!((health.sent(&sender, at(0)), health.sent(&sender, at(599))), (None, None));
        let silent = Some(WebhookFault::Silent { since: at(0), last_at: None });
        assert_eq!((health.sent(&sender, at(600)), health.sent(&sender, at(601))), (silent, None));
        assert_eq!(health.sent(&sender, at(4200)), silent);
        assert_eq!(health.of(&sender).fault(at(4300)), silent);
        assert!(health.proven(&sender, at(4400)), "it is heard of again");
        assert_eq!(health.of(&sender).fault(at(9999)), None);
        assert_eq!(health.sent(&sender, at(5000)), None);
        let later = WebhookFault::Silent { since: at(5000), last_at: Some(at(4400)) };
        assert_eq!(health.of(&sender).fault(at(5600)), Some(later));
        assert!(later.detail().contains("no webhook has come"));
    }

    #[test]
    fn a_sender_that_does_not_send_has_no_fault() {
        let (health, sender) = (WebhookHealth::default(), sender());
        assert_eq!(health.of(&sender).fault(at(99_999)), None);
        health.proven(&sender, at(0));
        assert_eq!(health.of(&sender).fault(at(99_999)), None);
    }

    #[test]
    fn webhooks_with_another_signature_mean_a_wrong_secret_unless_proven_ones_come() {
        let (health, sender) = (WebhookHealth::default(), sender());
        assert_eq!((health.unproven(&sender, at(1)), health.unproven(&sender, at(2))), (true, false));
        let wrong = Some(WebhookFault::WrongSecret { last_at: at(2) });
        assert_eq!(health.of(&sender).fault(at(3)), wrong);
        assert!(health.proven(&sender, at(4)));
        assert_eq!(health.of(&sender).fault(at(4)), None);
        assert!(health.unproven(&sender, at(5)));
        assert_eq!(health.of(&sender).fault(at(6)), None, "a stranger guesses");
        health.sent(&sender, at(7));
        health.unproven(&sender, at(700));
        assert_eq!(
            health.of(&sender).fault(at(701)),
            Some(WebhookFault::WrongSecret { last_at: at(700) }),
            "it was exchanged"
        );
    }

    #[test]
    fn kinds_of_notices_are_counted_and_bounded() {
        let (health, sender) = (WebhookHealth::default(), sender());
        let locked = Notice::error(131_031);
        assert_eq!((health.notice(&sender, &locked, at(0)), health.notice(&sender, &locked, at(1))), (true, false));
        assert_eq!(health.of(&sender).notices[&locked].count, 2);
        for code in 0..1000 {
            health.notice(&sender, &Notice::error(code), at(2));
        }
        let notices = health.of(&sender).notices;
        assert!(notices.len() <= KINDS_MAX + 1 && notices[&Notice::unread("others", None)].count > 900);
    }
}
