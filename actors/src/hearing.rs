//! What is heard of Meta, sender by sender, since the start: whether webhooks come, whether they are signed with a secret that is
//! known, and what of them is not understood. A sender that nobody hears of sends well, and its messages stay SENT.

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

/// What is heard of all senders.
#[derive(Default)]
pub struct Hearing(Mutex<HashMap<PhoneNumberId, Heard>>);

/// What is heard of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
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

/// Why nothing is heard of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deaf {
    /// Webhooks come, and the secret that signed them is not the one that is known.
    WrongSecret {
        /// When the last came.
        last_at: Timestamp,
    },
    /// None come, though Meta took messages.
    Silent {
        /// The first message that nothing was heard of.
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

impl Heard {
    /// Why nothing is heard, if so.
    pub fn deaf(&self, now: Timestamp) -> Option<Deaf> {
        let unproven = self.unproven.last_at.filter(|last| self.webhooks.last_at.is_none_or(|proven| proven < *last));
        let since = self.unanswered_since.filter(|since| now.since(*since) >= SILENT_AFTER);
        match (unproven, since) {
            // A stranger who guesses does not make a sender deaf of which proven ones came, too.
            (Some(last_at), _) if self.webhooks.count == 0 || since.is_some() => Some(Deaf::WrongSecret { last_at }),
            (_, Some(since)) => Some(Deaf::Silent { since, last_at: self.webhooks.last_at }),
            (_, None) => None,
        }
    }
}

impl Deaf {
    /// What is wrong, in a sentence without its full stop.
    pub fn fault(&self) -> String {
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

impl Hearing {
    /// Meta took a message. Why nothing is heard of its sender, if it is time to say so.
    pub(crate) fn sent(&self, sender: &PhoneNumberId, now: Timestamp) -> Option<Deaf> {
        let mut all = self.lock();
        let heard = all.entry(sender.clone()).or_default();
        heard.unanswered_since.get_or_insert(now);
        heard.deaf(now).filter(|_| is_due(&mut heard.said_silent, now))
    }

    /// A webhook of a sender was proven. Whether it is the first since none was.
    pub fn proven(&self, sender: &PhoneNumberId, now: Timestamp) -> bool {
        let mut all = self.lock();
        let heard = all.entry(sender.clone()).or_default();
        let was_deaf = heard.said_silent.take().is_some() || heard.unproven.said.take().is_some();
        heard.webhooks.one_more(now);
        heard.unanswered_since = None;
        was_deaf
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

    /// What is heard of a sender.
    pub fn of(&self, sender: &PhoneNumberId) -> Heard {
        self.lock().get(sender).cloned().unwrap_or_default()
    }

    /// Counts are right between any two of them.
    fn lock(&self) -> MutexGuard<'_, HashMap<PhoneNumberId, Heard>> {
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
    fn a_sender_that_sends_and_is_not_heard_of_is_silent_after_a_while_and_it_is_said_once_an_hour() {
        let (hearing, sender) = (Hearing::default(), sender());
        assert_eq!((hearing.sent(&sender, at(0)), hearing.sent(&sender, at(599))), (None, None));
        let silent = Some(Deaf::Silent { since: at(0), last_at: None });
        assert_eq!((hearing.sent(&sender, at(600)), hearing.sent(&sender, at(601))), (silent, None));
        assert_eq!(hearing.sent(&sender, at(4200)), silent);
        assert_eq!(hearing.of(&sender).deaf(at(4300)), silent);
        assert!(hearing.proven(&sender, at(4400)), "it is heard of again");
        assert_eq!(hearing.of(&sender).deaf(at(9999)), None);
        assert_eq!(hearing.sent(&sender, at(5000)), None);
        let later = Deaf::Silent { since: at(5000), last_at: Some(at(4400)) };
        assert_eq!(hearing.of(&sender).deaf(at(5600)), Some(later));
        assert!(later.fault().contains("no webhook has come"));
    }

    #[test]
    fn a_sender_that_does_not_send_is_not_deaf() {
        let (hearing, sender) = (Hearing::default(), sender());
        assert_eq!(hearing.of(&sender).deaf(at(99_999)), None);
        hearing.proven(&sender, at(0));
        assert_eq!(hearing.of(&sender).deaf(at(99_999)), None);
    }

    #[test]
    fn webhooks_with_another_signature_mean_a_wrong_secret_unless_proven_ones_come() {
        let (hearing, sender) = (Hearing::default(), sender());
        assert_eq!((hearing.unproven(&sender, at(1)), hearing.unproven(&sender, at(2))), (true, false));
        let wrong = Some(Deaf::WrongSecret { last_at: at(2) });
        assert_eq!(hearing.of(&sender).deaf(at(3)), wrong);
        assert!(hearing.proven(&sender, at(4)));
        assert_eq!(hearing.of(&sender).deaf(at(4)), None);
        assert!(hearing.unproven(&sender, at(5)));
        assert_eq!(hearing.of(&sender).deaf(at(6)), None, "a stranger guesses");
        hearing.sent(&sender, at(7));
        hearing.unproven(&sender, at(700));
        assert_eq!(hearing.of(&sender).deaf(at(701)), Some(Deaf::WrongSecret { last_at: at(700) }), "it was exchanged");
    }

    #[test]
    fn kinds_of_notices_are_counted_and_bounded() {
        let (hearing, sender) = (Hearing::default(), sender());
        let locked = Notice::error(131_031);
        assert_eq!((hearing.notice(&sender, &locked, at(0)), hearing.notice(&sender, &locked, at(1))), (true, false));
        assert_eq!(hearing.of(&sender).notices[&locked].count, 2);
        for code in 0..1000 {
            hearing.notice(&sender, &Notice::error(code), at(2));
        }
        let notices = hearing.of(&sender).notices;
        assert!(notices.len() <= KINDS_MAX + 1 && notices[&Notice::unread("others", None)].count > 900);
    }
}
