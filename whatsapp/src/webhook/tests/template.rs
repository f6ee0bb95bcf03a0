//! Changes of templates.

use super::*;

fn with_value(value: &Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "time": 1_751_247_548,
        "changes": [{"field": "message_template_status_update", "value": value}]}]})
}

#[test]
fn a_template_s_status_is_read() {
    for (event, is_usable) in [
        ("APPROVED", Some(true)),
        ("REINSTATED", Some(true)),
        ("UNARCHIVED", Some(true)),
        ("PAUSED", Some(false)),
        ("DISABLED", None),
        ("REJECTED", None),
        ("FLAGGED", None),
        ("SOMETHING_NEW", None),
    ] {
        for language in ["en_US", "en-US"] {
            let change =
                read_one(&with_value(&json!({"event": event, "message_template_id": 1_689_556_908_129_832_u64,
                "message_template_name": "order_confirmation", "message_template_language": language,
                "reason": "NONE", "other_info": {"title": "SECOND_PAUSE"}})));
            assert_eq!((change.waba_id.as_deref(), change.skipped), (Some("102290129340398"), 0));
            assert!(change.phone_number_id.is_none() && change.receipts.is_empty() && change.inbound.is_empty());
            let update = change.template.unwrap();
            assert_eq!((update.event.as_str(), update.is_usable()), (event, is_usable));
            assert_eq!((update.name.as_str(), update.language.as_str()), ("order_confirmation", "en_US"));
        }
    }
}

#[test]
fn a_status_that_names_no_template_is_skipped() {
    let whole = json!({"event": "PAUSED", "message_template_name": "x", "message_template_language": "en"});
    assert!(read_one(&with_value(&whole)).template.is_some());
    for missing in ["event", "message_template_name", "message_template_language"] {
        let mut value = whole.clone();
        value[missing] = json!(null);
        let change = read_one(&with_value(&value));
        assert_eq!((change.template, change.skipped), (None, 1), "{missing}");
    }
    assert_eq!(read_one(&with_value(&json!(null))).skipped, 1);
}

#[test]
fn other_fields_that_have_an_event_tell_of_no_template() {
    let mut webhook = with_value(&json!({"event": {"odd": 1}, "message_template_name": "x",
        "message_template_language": "en"}));
    webhook["entry"][0]["changes"][0]["field"] = json!("message_template_quality_update");
    let change = read_one(&webhook);
    assert_eq!((change.field.as_str(), change.template, change.skipped), ("message_template_quality_update", None, 0));
}
