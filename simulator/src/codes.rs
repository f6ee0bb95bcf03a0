//! Meta's error codes, each with its HTTP status, title and details, from Meta's page of errors and its answers.
//! Meta's documents disagree on the status of throttles (400 or 429); the simulator uses 429.

/// What Meta says along with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// The HTTP status of an answer that carries it.
    pub(crate) http_status: u16,
    /// Meta's name for the error. It appears in `message` and, in a webhook, in `title`.
    pub(crate) title: &'static str,
    /// `error_data.details`. `None` for errors of the Graph API itself, which say everything in `message`.
    pub(crate) details: Option<&'static str>,
}

const fn cloud(http_status: u16, title: &'static str, details: &'static str) -> Described {
    Described { http_status, title, details: Some(details) }
}

const fn graph(http_status: u16, message: &'static str) -> Described {
    Described { http_status, title: message, details: None }
}

/// Looks up what Meta says along with `code`.
pub(crate) const fn describe(code: i64) -> Described {
    match code {
        130_000..=131_999 => messaging(code),
        132_000..=139_999 => templates_and_numbers(code),
        _ => platform(code),
    }
}

/// The description of a code that Meta has not published.
const UNKNOWN: Described = graph(400, "An unknown error occurred");

const PERMISSION: &str = "Permission is either not granted or has been removed.";

/// The codes of the Graph API and of the account.
const fn platform(code: i64) -> Described {
    match code {
        0 => cloud(401, "AuthException", "We were unable to authenticate the app user."),
        1 => cloud(400, "API Unknown", "Invalid request or possible server error."),
        2 => cloud(503, "API Service", "Temporary due to downtime or due to being overloaded."),
        3 => cloud(500, "API Method", "Capability or permissions issue."),
        4 => cloud(429, "Application request limit reached", "The app has reached its API call rate limit."),
        10 => cloud(403, "Permission Denied", PERMISSION),
        17 => graph(400, "User request limit reached"),
        33 => cloud(400, "Parameter value is not valid", "The business phone number has been deleted."),
        100 => {
            cloud(400, "Invalid parameter", "The request included one or more unsupported or misspelled parameters.")
        }
        102 => graph(401, "Session has been invalidated because the user changed the password."),
        104 => graph(401, "An access token is required to request this resource."),
        190 => graph(401, "Error validating access token: Session has expired."),
        200..=299 => cloud(403, "API Permission", PERMISSION),
        341 => graph(400, "Application limit reached"),
        368 => cloud(
            403,
            "Temporarily blocked for policies violations",
            "The WhatsApp Business Account associated with the app has been restricted or disabled for violating a \
             platform policy.",
        ),
        506 => graph(400, "Duplicate status message"),
        613 => graph(400, "Calls to this api have exceeded the rate limit."),
        803 => graph(404, "Some of the aliases you requested do not exist."),
        2500 => graph(404, "Unknown path components."),
        80_007 => cloud(429, "Rate limit issues", "The WhatsApp Business Account has reached its rate limit."),
        80_008 => graph(429, "There have been too many calls to this WhatsApp Business account."),
        1_752_041 => cloud(400, "Duplicate request", "The business was already invited to onboard."),
        2_388_040 => cloud(400, "Character limit exceeded", "One of the template fields exceeded the character limit."),
        2_388_047 => cloud(400, "Message header format is incorrect", "The template's header is not valid."),
        2_388_072 => cloud(400, "Message body format is incorrect", "The template's body is not valid."),
        2_388_073 => cloud(400, "Message footer format is incorrect", "The template's footer is not valid."),
        2_388_293 => {
            cloud(400, "Parameter words ratio exceeds limit", "The template has too many variables for its length.")
        }
        2_388_299 => cloud(
            400,
            "Leading or trailing params are not allowed",
            "Variables can't be at the start or end of the template.",
        ),
        2_494_100 => cloud(
            400,
            "Account in maintenance mode",
            "The phone number is in maintenance mode. Please try again in a few minutes.",
        ),
        _ => UNKNOWN,
    }
}

/// The codes 130000 to 131999.
const fn messaging(code: i64) -> Described {
    match code {
        130_403 => cloud(400, "Message undeliverable", "The recipient was blocked by this business."),
        130_429 => cloud(
            429,
            "Rate limit hit",
            "Message failed to send because there were too many messages sent from this phone number in a short period of time.",
        ),
        130_472 => cloud(
            400,
            "User's number is part of an experiment",
            "Failed to send message because this user's phone number is part of an experiment",
        ),
        130_497 => cloud(
            403,
            "Business account is restricted from messaging users in this country.",
            "The WhatsApp Business Account is restricted from messaging to users in certain countries.",
        ),
        131_000 => cloud(500, "Something went wrong", "Message failed to send due to an unknown error."),
        131_005 => cloud(403, "Access denied", PERMISSION),
        131_008 => cloud(400, "Required parameter is missing", "The request is missing a required parameter."),
        131_009 => cloud(400, "Parameter value is not valid", "One or more parameter values are invalid."),
        131_016 => cloud(500, "Service unavailable", "A service is temporarily unavailable."),
        131_020 => cloud(400, "Group has no participants", "The group has no other participant than this business."),
        131_021 => cloud(400, "Recipient cannot be sender", "Sender and recipient phone number is the same."),
        131_026 => cloud(400, "Message undeliverable", "Message Undeliverable."),
        131_030 => cloud(
            400,
            "Recipient phone number not in allowed list",
            "Recipient phone number not in allowed list: Add recipient phone number to recipient list and try again.",
        ),
        131_031 => cloud(
            403,
            "Account has been locked",
            "Business Account locked: The WhatsApp Business Account associated with the app has been restricted or disabled for violating a platform policy.",
        ),
        131_037 => cloud(
            400,
            "WhatsApp provided number needs display name approval before message can be sent.",
            "The 555 business phone number used to send the message does not have an approved display name.",
        ),
        131_041 => cloud(400, "Group does not exist", "The group is unknown or this business is no participant of it."),
        131_042 => cloud(
            400,
            "Business eligibility payment issue",
            "Message failed to send because there was one or more errors related to your payment method.",
        ),
        131_044 => cloud(
            400,
            "Business eligibility payment issue",
            "The call failed because there was one or more errors related to your payment method.",
        ),
        131_045 => {
            cloud(500, "Incorrect certificate", "Message failed to send due to a phone number registration error.")
        }
        131_047 => cloud(
            400,
            "Re-engagement message",
            "Message failed to send because more than 24 hours have passed since the customer last replied to this number.",
        ),
        131_048 => cloud(
            429,
            "Spam rate limit hit",
            "Message failed to send because there are restrictions on how many messages can be sent from this phone number. This may be because too many previous messages were blocked or flagged as spam.",
        ),
        131_049 => cloud(
            400,
            "This message was not delivered to maintain healthy ecosystem engagement.",
            "In order to maintain a healthy ecosystem engagement, the message failed to be delivered.",
        ),
        131_050 => cloud(
            400,
            "Unable to deliver the message. This recipient has chosen to stop receiving marketing messages on WhatsApp from your business",
            "Unable to deliver the message. This recipient has chosen to stop receiving marketing messages on WhatsApp from your business",
        ),
        131_051 => cloud(400, "Unsupported message type", "Message type is currently not supported."),
        131_052 => cloud(400, "Media download error", "Unable to download the media sent by the user."),
        131_053 => cloud(400, "Media upload error", "Unable to upload the media used in the message."),
        131_055 => cloud(400, "Method not allowed", "Only marketing template messages can be sent by this method."),
        131_056 => cloud(
            429,
            "(Business Account, Consumer Account) pair rate limit hit",
            "Message failed to send because there were too many messages sent from this phone number to the same phone number in a short period of time.",
        ),
        131_057 => cloud(500, "Account in maintenance mode", "Business Account is in maintenance mode."),
        131_058 => cloud(
            400,
            "Hello World templates can only be sent from the Public Test Numbers",
            "Hello World templates can only be sent from the Public Test Numbers.",
        ),
        131_059 => cloud(400, "Cursor expired", "The cursor of the list of groups has expired."),
        131_062 => cloud(
            400,
            "Business-scoped User ID (BSUID) recipients are not supported for this message.",
            "This message can't be sent to a business-scoped user ID. Send it to the user's phone number.",
        ),
        131_063 => cloud(
            400,
            "Marketing templates disabled for Cloud API",
            "Marketing template messages can't be sent by Cloud API for this account: use Marketing Messages API.",
        ),
        131_064 => cloud(
            400,
            "Messaging limit reached due to template classification violations",
            "Message failed to send because this account has reached its messaging limit due to template classification violations.",
        ),
        131_201 => cloud(206, "Partial success", "The request succeeded for some of the participants only."),
        131_202 => cloud(400, "Duplicate request", "The request was made before."),
        131_204 => cloud(400, "Group limit reached", "The business phone number has as many groups as it may."),
        131_207 => cloud(403, "Group suspended", "The group is suspended."),
        131_208 => cloud(
            429,
            "Group rate limit hit",
            "Message failed to send because there were too many messages sent to this group in a short period of time.",
        ),
        _ => UNKNOWN,
    }
}

/// The codes 132000 to 139999.
const fn templates_and_numbers(code: i64) -> Described {
    match code {
        132_000 => cloud(
            400,
            "Number of parameters does not match the expected number of params",
            "body: number of localizable_params (0) does not match the expected number of params (1)",
        ),
        132_001 => cloud(
            404,
            "Template name does not exist in the translation",
            "template name does not exist in the language, or the template has not been approved",
        ),
        132_005 => cloud(400, "Translated text too long", "The template's text with its parameters is too long."),
        132_007 => {
            cloud(400, "Template format character policy violated", "Template content violates a WhatsApp policy.")
        }
        132_008 => cloud(400, "Parameter value is not valid", "A variable's value is formatted incorrectly."),
        132_012 => cloud(
            400,
            "Parameter format does not match format in the created template",
            "Variable parameter values formatted incorrectly.",
        ),
        132_015 => cloud(
            400,
            "Template is paused",
            "Template is paused due to low quality so it cannot be sent in a template message.",
        ),
        132_016 => cloud(
            400,
            "Template is disabled",
            "Template has been paused too many times due to low quality and is now permanently disabled.",
        ),
        132_018 => cloud(
            400,
            "There was an issue with the parameters in your template",
            "Param text cannot have new-line/tab characters or more than 4 consecutive spaces",
        ),
        132_068 => cloud(400, "Flow is blocked", "Flow is in blocked state."),
        132_069 => cloud(
            400,
            "Flow is throttled",
            "Flow is in throttled state and 10 messages using this flow were already sent in the last hour.",
        ),
        133_000 => cloud(500, "Incomplete deregistration", "A previous deregistration attempt failed."),
        133_004 => cloud(503, "Server temporarily unavailable", "Server is temporarily unavailable."),
        133_005 => cloud(400, "Two step verification PIN mismatch", "Two-step verification PIN incorrect."),
        133_006 => {
            cloud(400, "Phone number re-verification needed", "Phone number needs to be verified before registering.")
        }
        133_008 => cloud(
            400,
            "Too many two step verification PIN guesses",
            "Too many two-step verification PIN guesses for this phone number.",
        ),
        133_009 => cloud(
            400,
            "Two step verification PIN guessed too fast",
            "Two-step verification PIN was entered too quickly.",
        ),
        133_010 => {
            cloud(400, "Phone number not registered", "Phone number not registered on the WhatsApp Business Platform.")
        }
        133_015 => cloud(
            400,
            "Please wait a few minutes before attempting to register this phone number",
            "The phone number you are attempting to register was recently deleted, and deletion has not yet completed.",
        ),
        133_016 => cloud(
            429,
            "Account register deregister rate limit exceeded",
            "Registration or Deregistration failed because there were too many attempts for this phone number in a short period of time",
        ),
        134_011 => cloud(
            400,
            "WhatsApp Payments terms of service has not been accepted",
            "The business has not accepted the terms of service of WhatsApp Payments.",
        ),
        134_100 => cloud(400, "Only marketing messages supported", "The template is not of the category marketing."),
        134_101 => cloud(
            400,
            "Template is still syncing",
            "The template was not synced with the ad account yet. Wait up to 10 minutes.",
        ),
        134_102 => cloud(500, "Business not onboarded", "The account is not onboarded to Marketing Messages API."),
        135_000 => cloud(
            400,
            "Generic user error",
            "Message failed to send because of an unknown error with your request parameters.",
        ),
        136_024 => cloud(400, "Verification code request failed", "The verification code could not be requested."),
        136_025 => cloud(400, "Verify code error", "The verification code is wrong."),
        137_000 => cloud(
            400,
            "Recipient identity key hash mismatch",
            "The recipient's identity key hash does not match the one in the request.",
        ),
        138_006 => cloud(400, "Call permission not granted", "No approved call permission from the recipient."),
        138_009 => cloud(
            400,
            "Call permission request limit hit",
            "The limit of call permission requests to this user is reached.",
        ),
        139_000 => cloud(400, "Blocked by integrity", "The flow violates WhatsApp's policies."),
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_about_a_message_has_its_own_title_and_details() {
        for code in [
            0, 1, 2, 3, 4, 10, 33, 100, 200, 299, 368, 80_007, 130_429, 130_472, 130_497, 131_000, 131_005, 131_008,
            131_009, 131_016, 131_021, 131_026, 131_030, 131_031, 131_037, 131_042, 131_045, 131_047, 131_048, 131_049,
            131_050, 131_051, 131_052, 131_053, 131_055, 131_056, 131_057, 131_058, 131_062, 131_063, 131_064, 132_000,
            132_001, 132_005, 132_007, 132_008, 132_012, 132_015, 132_016, 132_018, 132_068, 132_069, 133_004, 133_010,
            134_011, 134_100, 134_101, 134_102, 135_000, 137_000, 2_494_100,
        ] {
            let described = describe(code);
            assert_ne!(described, UNKNOWN, "{code}");
            assert!(described.details.is_some() && !described.title.contains("imulated"), "{code}");
        }
        for code in [17, 102, 104, 190, 341, 613, 803, 2500, 80_008] {
            assert!(describe(code) != UNKNOWN && describe(code).details.is_none(), "{code}");
        }
        assert_eq!(describe(999_999), UNKNOWN);
    }
}
