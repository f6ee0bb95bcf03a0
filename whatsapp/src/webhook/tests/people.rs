//! What webhooks say about a person's names.

use domain::people::IdentityLink;

use super::*;

const NUMBER: &str = "+4915112345678";

/// A webhook of one change with these contacts and items.
fn with(contacts: &Value, field: &str, items: &Value) -> Value {
    let mut webhook = with_statuses(&json!(null));
    let value = &mut webhook["entry"][0]["changes"][0]["value"];
    value["contacts"] = contacts.clone();
    value[field] = items.clone();
    webhook
}

fn link(names: &[&str], before: &[&str]) -> Option<IdentityLink> {
    IdentityLink::new(names, before, AT)
}

#[test]
fn an_inbound_message_and_its_contact_tell_all_names_of_its_author() {
    let contact =
        json!([{"wa_id": "1"}, {"wa_id": "4915112345678", "user_id": "DE.1", "parent_user_id": "DE.ENT.1"}, 7]);
    for (contacts, message, names) in [
        (&json!(null), json!({"from": "4915112345678", "from_user_id": "DE.1"}), &[NUMBER, "DE.1"][..]),
        (&contact, json!({"from": "4915112345678"}), &[NUMBER, "DE.1", "DE.ENT.1"]),
        (&contact, json!({"from_user_id": "DE.1"}), &["DE.1", NUMBER, "DE.ENT.1"]),
        (&contact, json!({"from_user_id": "DE.2", "from_parent_user_id": "DE.ENT.2"}), &["DE.2", "DE.ENT.2"]),
        (&contact, json!({"from": "4915187654321"}), &[]),
        (&contact, json!({}), &[]),
        (&json!([{"wa_id": "4915112345678", "user_id": "DE.1"}]), json!({}), &[NUMBER, "DE.1"]),
        (&json!([{"wa_id": "4915112345678", "user_id": "DE.1"}]), json!({"from": "4915187654321"}), &[]),
        (&json!({"wa_id": "4915112345678"}), json!({"from": "4915112345678"}), &[]),
    ] {
        let mut item = json!({"id": "wamid.I", "timestamp": "1767225600", "type": "text"});
        item.as_object_mut().unwrap().extend(message.as_object().unwrap().clone());
        let change = read_one(&with(contacts, "messages", &json!([item])));
        assert_eq!((&change.inbound[0].link, change.skipped), (&link(names, &[]), 0), "{item}");
    }
}

#[test]
fn a_status_and_its_contact_tell_all_names_of_its_recipient_and_none_of_a_group() {
    let contacts = json!([{"wa_id": "4915112345678", "user_id": "DE.1"}]);
    for (status, names) in [
        (json!({"recipient_id": "4915112345678"}), &[NUMBER, "DE.1"][..]),
        (json!({"recipient_user_id": "DE.2", "recipient_parent_user_id": "DE.ENT.2"}), &["DE.2", "DE.ENT.2"]),
        (json!({"recipient_id": "4915187654321", "recipient_user_id": []}), &["+4915187654321"]),
        (json!({"recipient_id": "4915112345678", "recipient_type": "group"}), &[]),
        (json!({"recipient_id": "DE.1"}), &["DE.1", NUMBER]),
        (json!({}), &[]),
    ] {
        let mut item = json!({"id": "wamid.A", "status": "sent"});
        item.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
        let change = read_one(&with(&contacts, "statuses", &json!([item])));
        assert_eq!(change.receipts[0].names, names, "{item}");
    }
}

#[test]
fn news_of_a_user_are_theirs_whom_they_call_by_a_new_name() {
    for (from, system, names, before) in [
        (
            json!("4915112345678"),
            json!({"type": "user_changed_number", "wa_id": "4915187654321", "body": "x"}),
            &["+4915187654321"][..],
            &[NUMBER][..],
        ),
        (
            json!("4915112345678"),
            json!({"type": "user_changed_number", "wa_id": "4915187654321", "user_id": "DE.2", "previous_user_id": "DE.1",
                "previous_parent_user_id": "DE.ENT.1"}),
            &["+4915187654321", "DE.2"],
            &[NUMBER, "DE.1", "DE.ENT.1"],
        ),
        (
            json!(null),
            json!({"type": "user_changed_user_id", "user_id": "DE.2", "previous_user_id": "DE.1"}),
            &["DE.2"],
            &["DE.1"],
        ),
        (
            json!("4915112345678"),
            json!({"type": "customer_changed_number", "new_wa_id": "4915187654321", "customer": "4915112345678"}),
            &["+4915187654321"],
            &[NUMBER],
        ),
        (
            json!(null),
            json!({"type": "customer_changed_number",
                "customer_changed_number": {"new_wa_id": "4915187654321", "old_wa_id": "4915112345678"}}),
            &["+4915187654321"],
            &[NUMBER],
        ),
        (
            json!("DE.1"),
            json!({"type": "user_changed_user_id", "user_id": "DE.2", "body": "User DE.9 changed from DE.1 to DE.2"}),
            &["DE.2"],
            &["DE.1"],
        ),
        (
            json!("4915112345678"),
            json!({"type": "customer_identity_changed", "wa_id": "4915187654321"}),
            &[NUMBER],
            &[],
        ),
        (json!("4915112345678"), json!({"type": "user_changed_number"}), &[NUMBER], &[]),
        (json!("4915112345678"), json!(["user_changed_number"]), &[NUMBER], &[]),
    ] {
        let item =
            json!({"id": "wamid.I", "timestamp": "1767225600", "type": "system", "from": from, "system": system});
        let change = read_one(&with(&json!(null), "messages", &json!([item])));
        let inbound = &change.inbound[0];
        assert_eq!(inbound.link, link(names, before), "{item}");
        let author = inbound.from.as_ref().map_or(inbound.user_id.as_deref(), |from| Some(from.as_str()));
        assert_eq!((author, inbound.opens_window), (Some(names[0]), false), "{item}");
    }
}

#[test]
fn the_card_that_a_business_asked_for_is_its_sender_s_own_and_no_other_is() {
    let phone = |wa_id: Value, phone: Value| json!([{"wa_id": wa_id, "phone": phone, "type": "MOBILE"}]);
    let own = phone(json!("4915112345678"), json!("+49 151 12345678"));
    let vcard = "BEGIN:VCARD\nTEL;type=CELL;waid=4915112345678:+49 151 12345678\nEND:VCARD";
    for (contacts, origin, is_own) in [
        (json!([{"origin": "contact_request", "phones": own}]), json!(null), true),
        (
            json!([{"origin": "CONTACT_REQUEST", "phones": phone(json!(4_915_112_345_678_u64), json!(null))}]),
            json!(null),
            true,
        ),
        (
            json!([{"origin": "contact_request", "phones": phone(json!(null), json!("+49 (151) 123-45678"))}]),
            json!(null),
            true,
        ),
        (json!([null, {"origin": "contact_request", "vcard": vcard}]), json!(null), true),
        (json!([{"phones": own}]), json!("contact_request"), true),
        (json!([{"origin": "other", "phones": own}]), json!("contact_request"), false),
        (json!([{"origin": "other", "phones": own}]), json!(null), false),
        (json!([{"phones": own}]), json!("other"), false),
        (json!([{"phones": own}]), json!(null), false),
        (
            json!([{"origin": "contact_request", "phones": phone(json!(null), json!("0151 12345678"))}]),
            json!(null),
            false,
        ),
        (json!([{"origin": "contact_request", "phones": phone(json!("DE.7"), json!(null))}]), json!(null), false),
        (json!({"origin": "contact_request", "phones": own}), json!(null), false),
    ] {
        let item = json!({"id": "wamid.I", "timestamp": "1767225600", "type": "contacts", "from_user_id": "DE.1",
            "contacts": contacts, "origin": origin});
        let change = read_one(&with(&json!(null), "messages", &json!([item])));
        let inbound = &change.inbound[0];
        assert_eq!(inbound.link, if is_own { link(&["DE.1", NUMBER], &[]) } else { None }, "{item}");
        assert_eq!((inbound.from.as_ref(), inbound.user_id.as_deref()), (None, Some("DE.1")), "{item}");
    }
}
