//! What Meta's error codes mean for us, in one table.
//!
//! Meta's own advice is to decide by the code and its details, never by the HTTP status: throttles come as 400 and as
//! 429, and a 500 may be final. The status decides only for undocumented codes.

use domain::outcome::{Class, Scope, Verdict};

/// Where an error was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the answer to the call: Meta did not accept the message.
    Answer,
    /// In a `failed` receipt: Meta accepted the message, which failed later.
    Receipt,
}

/// What is known about an error.
#[derive(Clone, Copy, Debug)]
pub struct Signal<'a> {
    /// Meta's code.
    pub code: i64,
    /// Meta's subcode, which is rarely given.
    pub subcode: Option<i64>,
    /// The texts of the error: message and details.
    pub details: &'a str,
    /// The HTTP status that it came with.
    pub http_status: Option<u16>,
    /// Whether Meta says that the error is temporary (`is_transient`). This counts for undocumented codes only.
    pub is_transient: bool,
    /// Where it came from.
    pub origin: Origin,
}

const fn is(class: Class, scope: Scope) -> Verdict {
    Verdict { class, scope }
}

/// The meaning of an error. A code means the same in an answer and in a receipt.
pub fn classify(signal: &Signal<'_>) -> Verdict {
    use Class::{Blocked, Deferred, OptedOut, Permanent, Throttled, Transient};
    match signal.code {
        // Temporary: server errors, overload, downtime, a marketing template that is still being synced.
        1 | 2 | 131000 | 131016 | 133004 | 134101 => is(Transient, Scope::Message),

        // Too many calls of the app.
        4 | 17 | 32 | 341 | 613 => is(Throttled, Scope::App),
        // Too many calls of the account; or fewer allowed for mis-categorised templates (131064).
        80000..=80014 | 131064 => is(Throttled, Scope::Account),
        // Too many messages of the phone number (130429), or limited for its quality (131048).
        130429 | 131048 => is(Throttled, Scope::Number),
        // The phone number is in maintenance for a minute or a few: it cannot send meanwhile.
        131057 | 2494100 => is(Throttled, Scope::Number),
        // Too many messages to this recipient, or to this group (131208).
        131056 | 131208 => is(Throttled, Scope::Pair),
        // The flow in the template may be sent ten times an hour.
        132069 => is(Throttled, Scope::Template),

        // The app lacks a capability, is unknown, or does not allow this machine's address (5) or calls without a proof.
        3 | 5 | 101 => is(Blocked, Scope::App),
        100 if signal.details.to_ascii_lowercase().contains("appsecret_proof") => is(Blocked, Scope::App),
        // The token is missing, expired, revoked or lacks a permission. Each sender has its own token.
        0 | 10 | 102 | 104 | 190 | 200..=299 | 131005 => is(Blocked, Scope::Number),
        // The phone number is deleted, unknown, unregistered, badly certified, or its display name is not approved.
        33 | 803 | 131037 | 131045 | 133010 => is(Blocked, Scope::Number),
        // The address is wrong: a path that does not exist (2500, such as from a version that occurs twice), or a
        // version that is no longer served (12, 2635). Every message would fail.
        12 | 2500 | 2635 => is(Blocked, Scope::Number),
        100 if names_an_unknown_sender(signal) => is(Blocked, Scope::Number),
        // The account is restricted, locked, unpaid, or has terms to accept. 141xxx are findings of the health check.
        368 | 131031 | 131042 | 134011 | 134102 | 141000..=141999 => is(Blocked, Scope::Account),
        // The template is paused (132015), or marketing is switched off for this way of sending (131063). Other
        // templates can be sent.
        131063 | 132015 => is(Blocked, Scope::Template),

        // The template is missing, unapproved, violates policy, is disabled for good, or its flow is blocked.
        132001 | 132007 | 132016 | 132068 => is(Permanent, Scope::Template),

        // Meta sends this recipient no more marketing for now.
        131049 => is(Deferred, Scope::Marketing),
        // The recipient stopped this business's marketing messages.
        131050 => is(OptedOut, Scope::Marketing),
        // The recipient is in Meta's experiment without marketing: they did not choose it.
        130472 => is(Permanent, Scope::Marketing),

        // The recipient is not on WhatsApp, was blocked by this business, or changed identity (137000).
        130403 | 131026 | 137000 => is(Permanent, Scope::Recipient),
        // The account may not write to the recipient's country. Recipients in other countries still get messages, so
        // the account is not stopped.
        130497 => is(Permanent, Scope::Recipient),
        // The recipient is a group that is empty, unknown or suspended.
        131020 | 131041 | 131207 => is(Permanent, Scope::Recipient),
        // A test number may write to five listed recipients. Those still get messages, so the number is not stopped.
        131030 => is(Permanent, Scope::Recipient),

        // The message is wrong in itself: a parameter, its type, its length, its media.
        100 | 131008 | 131009 | 131021 | 131051 | 131053 | 131062 | 135000 => is(Permanent, Scope::Message),
        // The 24-hour window since the recipient last wrote is closed; only templates can be sent.
        131047 => is(Permanent, Scope::Message),
        // The parameters do not fit the template.
        132000 | 132005 | 132008 | 132012 | 132018 => is(Permanent, Scope::Message),
        // Not for this kind of call: a duplicate post, methods of the marketing API, old on-premises codes.
        506 | 131001 | 131002 | 131006 | 131043 | 131055 | 134100 => is(Permanent, Scope::Message),
        // Sending does not cause these: inbound media, calls, groups, registration, templates, flows, usernames,
        // onboarding.
        131044 | 131052 | 131059 | 131201 | 131202 | 131204 | 131209..=131215 => is(Permanent, Scope::Message),
        133000..=133003 | 133005..=133009 | 133015 | 133016 | 136024 | 136025 => is(Permanent, Scope::Message),
        138000..=138018 | 139000..=139004 | 139100..=139103 | 147001..=147005 => is(Permanent, Scope::Message),
        200005..=200007 | 1752041 | 2388012..=2388299 | 2494164..=2494179 | 2593107 | 2593108 => {
            is(Permanent, Scope::Message)
        }

        _ => undocumented(signal),
    }
}

/// Code 100 means a wrong parameter, unless the wrong parameter is the sender's own id in the address: then every
/// message of the sender would fail. The text counts too, since Meta no longer promises the subcode. It must mention
/// the object, or a message that quotes a missing one would stop its sender.
fn names_an_unknown_sender(signal: &Signal<'_>) -> bool {
    let details = signal.details.to_ascii_lowercase();
    signal.subcode == Some(33)
        || details.contains("missing permissions")
        || (details.contains("object") && details.contains("does not exist"))
}

/// An undocumented code. It may be temporary if it came in an answer with a server error, or if Meta says so; otherwise
/// another try would most likely fail again, or send twice.
fn undocumented(signal: &Signal<'_>) -> Verdict {
    let class = match (signal.origin, signal.http_status) {
        (Origin::Answer, Some(500..)) => Class::Transient,
        (Origin::Answer, None | Some(_)) if signal.is_transient => Class::Transient,
        (Origin::Answer, None | Some(_)) | (Origin::Receipt, _) => Class::Permanent,
    };
    is(class, Scope::Message)
}

#[cfg(test)]
mod tests;
