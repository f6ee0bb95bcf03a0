//! What Meta's answer to a send says about the recipient.

use domain::message::is_user_id;

use crate::fields::{Fields, plain};
use crate::mend::mend;
use crate::webhook::number;

/// Every answer that gives another name of the recipient contains one of these.
const MARKS: [&[u8]; 2] = [b"user_id", b"wa_id"];

/// The recipient's ids in an answer, and their number if the message was sent to an id. Empty if the answer gives none
/// or cannot be read.
pub fn user_ids(answer: &[u8]) -> Vec<String> {
    if !MARKS.iter().any(|mark| answer.windows(mark.len()).any(|part| part == *mark)) {
        return Vec::new();
    }
    let answer = mend(answer);
    let contacts = Fields::parse(answer.trim_ascii()).and_then(|answer| answer.list("contacts")).unwrap_or_default();
    contacts.into_iter().filter_map(Fields::read).flat_map(|contact| names(&contact)).collect()
}

/// A contact's names. If the message was sent to a number, it has that number already.
fn names(contact: &Fields<'_>) -> Vec<String> {
    let ids = [contact.text("user_id"), contact.text("parent_user_id")];
    let ids = ids.into_iter().flatten().filter(|id| is_user_id(id));
    let is_by_id = contact.text("input").is_some_and(|input| is_user_id(&input));
    let number = contact.get("wa_id").filter(|_| is_by_id).and_then(|told| number(plain(told)));
    ids.chain(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_where_they_are_told() {
        let told = br#"{"contacts":[{"input":"+4915112345678","wa_id":"4915112345678","user_id":"DE.1","parent_user_id":"DE.ENT.1"}],
            "messages":[{"id":"wamid.A"}]}"#;
        assert_eq!(user_ids(told), ["DE.1", "DE.ENT.1"]);
        let by_id = br#"{"contacts":[{"input":"DE.1","wa_id":"4915112345678","user_id":"DE.1"}]}"#;
        assert_eq!(user_ids(by_id), ["DE.1", "+4915112345678"]);
        assert_eq!(user_ids(br#"{"contacts":[{"input":"DE.1","wa_id":4915112345678}]}"#), ["+4915112345678"]);
        let beside = br#"{"contacts":[null,{"user_id":7},{"profile":{"name":"\ud83d"},"user_id":"DE.1"}]}"#;
        assert_eq!(user_ids(beside), ["DE.1"]);
        for none in [
            r#"{"contacts":[{"wa_id":"1"}]}"#,
            r#"{"contacts":[{"input":"DE.1","wa_id":"DE.1"}]}"#,
            r#"{"contacts":[{"input":"+4915112345678","wa_id":"4915187654321"}]}"#,
            r#"{"contacts":[{"user_id":7}]}"#,
            r#"{"contacts":[{"user_id":"x"}]}"#,
            "user_id",
        ] {
            assert!(user_ids(none.as_bytes()).is_empty(), "{none}");
        }
    }
}
