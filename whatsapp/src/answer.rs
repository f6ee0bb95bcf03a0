//! What Meta's answer to a send tells of the recipient.

use crate::fields::Fields;
use crate::mend::mend;

const MARK: &[u8] = b"user_id";

/// The recipient's ids in an answer; none if it tells none, or cannot be read.
pub fn user_ids(answer: &[u8]) -> Vec<String> {
    // Nearly all answers tell none.
    if !answer.windows(MARK.len()).any(|part| part == MARK) {
        return Vec::new();
    }
    let answer = mend(answer);
    let contacts = Fields::parse(answer.trim_ascii()).and_then(|answer| answer.list("contacts")).unwrap_or_default();
    let ids = |contact: Fields<'_>| [contact.text("user_id"), contact.text("parent_user_id")];
    let ids = contacts.into_iter().filter_map(Fields::read).flat_map(ids).flatten();
    ids.filter(|id| domain::message::is_user_id(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_where_they_are_told() {
        let told = br#"{"contacts":[{"input":"+4915112345678","wa_id":"4915112345678","user_id":"DE.1","parent_user_id":"DE.ENT.1"}],
            "messages":[{"id":"wamid.A"}]}"#;
        assert_eq!(user_ids(told), ["DE.1", "DE.ENT.1"]);
        let beside = br#"{"contacts":[null,{"user_id":7},{"profile":{"name":"\ud83d"},"user_id":"DE.1"}]}"#;
        assert_eq!(user_ids(beside), ["DE.1"]);
        for none in [
            r#"{"contacts":[{"wa_id":"1"}]}"#,
            r#"{"contacts":[{"user_id":7}]}"#,
            r#"{"contacts":[{"user_id":"x"}]}"#,
            "user_id",
        ] {
            assert!(user_ids(none.as_bytes()).is_empty(), "{none}");
        }
    }
}
