//! Webhooks as they come, good and bad.

mod inbound;
mod people;
mod preference;
mod template;

use super::*;
use domain::outcome::{Class, Scope, Verdict};
use domain::receipt::{Receipt, ReceiptKind};
use domain::{AttemptNo, AttemptRef, MessageId};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const AT: Timestamp = Timestamp::from_secs(1_767_225_600);

fn update(kind: ReceiptKind) -> StatusUpdate<'static> {
    StatusUpdate {
        phone_number_id: "1066",
        provider_id: "wamid.A",
        recipient: "4915112345678",
        group: false,
        kind,
        played: false,
        category: "utility",
        at: AT,
        opaque: None,
        error: None,
    }
}

/// A webhook of one change with these `statuses`.
fn with_statuses(statuses: &Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"display_phone_number": "1555", "phone_number_id": "1066"},
        "statuses": statuses}}]}]})
}

fn read(webhook: &Value) -> Vec<Change> {
    parse(&serde_json::to_vec(webhook).unwrap(), NOW).unwrap().changes
}

/// The change of a webhook that has one.
fn read_one(webhook: &Value) -> Change {
    let mut changes = read(webhook);
    assert_eq!(changes.len(), 1);
    changes.remove(0)
}

fn receipts(change: &Change) -> Vec<&Receipt> {
    change.receipts.iter().map(|reported| &reported.receipt).collect()
}

#[test]
fn what_is_composed_is_read_back() {
    let attempt = AttemptRef { message: MessageId::from_bytes([7; 16]), attempt: AttemptNo(2) };
    let opaque = attempt.to_string();
    let error = StatusError { code: 131_049, title: "Not delivered", details: "To keep the ecosystem healthy" };
    let updates = [
        StatusUpdate { opaque: Some(&opaque), ..update(ReceiptKind::Sent) },
        StatusUpdate { phone_number_id: "2077", ..update(ReceiptKind::Delivered) },
        StatusUpdate { provider_id: "wamid.B", ..update(ReceiptKind::Read) },
        StatusUpdate { error: Some(error), ..update(ReceiptKind::Failed) },
    ];
    let changes = parse(&compose(&updates), NOW).unwrap().changes;
    let numbers: Vec<_> = changes.iter().map(|change| change.phone_number_id.clone().unwrap().to_string()).collect();
    assert_eq!(numbers, ["1066", "2077"]);
    assert!(changes.iter().all(|change| change.skipped == 0 && change.inbound.is_empty()));
    let first = receipts(&changes[0]);
    let [sent, read, failed] = first.as_slice() else { panic!("{:?}", changes[0]) };
    let delivered = &&changes[1].receipts[0].receipt;
    assert_eq!((sent.kind, sent.attempt, sent.at), (ReceiptKind::Sent, Some(attempt), AT));
    assert_eq!((delivered.kind, delivered.attempt), (ReceiptKind::Delivered, None));
    assert_eq!((read.kind, read.provider_id.as_str()), (ReceiptKind::Read, "wamid.B"));
    let error = failed.error.as_ref().unwrap();
    assert_eq!((error.code, error.message.as_str()), (131_049, "To keep the ecosystem healthy"));
    assert_eq!(error.verdict, Verdict { class: Class::Deferred, scope: Scope::Marketing });
    for (receipt, priced) in [(sent, true), (delivered, true), (read, false), (failed, false)] {
        assert_eq!(receipt.pricing.is_some(), priced, "{}", receipt.kind);
    }
    let pricing: Value = serde_json::from_slice(sent.pricing.as_ref().unwrap()).unwrap();
    assert_eq!(pricing["pricing_model"], "PMP");
}

#[test]
fn statuses_are_composed_with_contacts_groups_prices_and_voice_as_meta_has_them() {
    let updates = [
        StatusUpdate { category: "service", ..update(ReceiptKind::Sent) },
        StatusUpdate { recipient: "DE.1", category: "authentication", ..update(ReceiptKind::Delivered) },
        StatusUpdate { recipient: "Y2FwaV9n", group: true, category: "marketing", ..update(ReceiptKind::Sent) },
        StatusUpdate { played: true, ..update(ReceiptKind::Read) },
        StatusUpdate { recipient: "4915100000001", ..update(ReceiptKind::Failed) },
    ];
    let body: Value = serde_json::from_slice(&compose(&updates)).unwrap();
    let value = &body["entry"][0]["changes"][0]["value"];
    let [sent, delivered, group, played, failed] = value["statuses"].as_array().unwrap().as_slice() else {
        panic!("{value}")
    };
    let names = |contact: &Value| (contact["wa_id"].clone(), contact["user_id"].clone());
    let contacts: Vec<_> = value["contacts"].as_array().unwrap().iter().map(names).collect();
    let expected = [
        (json!("4915112345678"), Value::Null),
        (Value::Null, json!("DE.1")),
        (group["recipient_participant_id"].clone(), group["recipient_participant_user_id"].clone()),
    ];
    assert_eq!(contacts, expected, "each once, and none of what failed");
    assert_eq!(sent["pricing"]["category"], "service");
    assert_eq!(sent["pricing"]["type"], "free_customer_service");
    assert_eq!(
        (&delivered["pricing"]["category"], &delivered["recipient_user_id"]),
        (&json!("authentication"), &json!("DE.1"))
    );
    assert_eq!((&group["recipient_type"], &group["recipient_id"]), (&json!("group"), &json!("Y2FwaV9n")));
    assert_eq!(group["pricing"]["category"], "group_marketing");
    assert_eq!((&played["status"], &failed["status"]), (&json!("played"), &json!("failed")));
}

#[test]
fn a_webhook_is_of_the_account_that_it_is_composed_for() {
    let updates = [update(ReceiptKind::Sent)];
    let account = |body: &[u8]| parse(body, NOW).unwrap().changes.remove(0).waba_id;
    assert_eq!(account(&StatusUpdate::compose_for("77", &updates)).as_deref(), Some("77"));
}

#[test]
fn no_updates_compose_to_a_webhook_without_changes() {
    assert!(parse(&compose(&[]), NOW).unwrap().changes.is_empty());
}

#[test]
fn one_bad_status_among_a_thousand_spoils_nothing_else() {
    let good = json!({"id": "wamid.A", "status": "sent", "timestamp": "1767225600", "recipient_id": "49"});
    for bad in [
        json!(null),
        json!("sent"),
        json!(["wamid.A", "sent"]),
        json!({}),
        json!({"status": "sent"}),
        json!({"id": "", "status": "sent"}),
        json!({"id": 7, "status": "sent"}),
        json!({"id": "wamid.A"}),
        json!({"id": "wamid.A", "status": null}),
        json!({"id": "wamid.A", "status": "warning"}),
    ] {
        let mut statuses = vec![good.clone(); 1000];
        statuses[500] = bad.clone();
        let change = read_one(&with_statuses(&json!(statuses)));
        assert_eq!((change.receipts.len(), change.skipped), (999, 1), "{bad}");
    }
}

#[test]
fn a_status_is_read_however_oddly_its_lesser_fields_are_written() {
    for (odd, at) in [
        (json!({"timestamp": 1_767_225_600}), AT),
        (json!({"timestamp": "1767225600"}), AT),
        (json!({}), NOW),
        (json!({"timestamp": "soon"}), NOW),
        (json!({"timestamp": null, "biz_opaque_callback_data": null, "pricing": null, "errors": null}), NOW),
        (json!({"timestamp": -1}), NOW),
        (json!({"timestamp": {}, "biz_opaque_callback_data": 7, "errors": "x", "conversation": {"id": 1}}), NOW),
        (json!({"biz_opaque_callback_data": "of another app", "recipient_id": [], "errors": [], "new_field": {}}), NOW),
        (json!({"errors": [{"no": "code"}]}), NOW),
        (json!({"errors": ["x"]}), NOW),
    ] {
        let mut status = json!({"id": "wamid.A/B", "status": "failed"});
        status.as_object_mut().unwrap().extend(odd.as_object().unwrap().clone());
        let change = read_one(&with_statuses(&json!([status])));
        assert_eq!(change.skipped, 0, "{odd}");
        let receipt = &change.receipts[0].receipt;
        assert_eq!((receipt.at, receipt.attempt, receipt.error.is_none()), (at, None, true), "{odd}");
    }
}

#[test]
fn played_counts_as_read_and_errors_count_for_failed_only() {
    let errors = json!([{"code": 131026, "title": "Message undeliverable"}]);
    let change = read_one(&with_statuses(&json!([
        {"id": "wamid.A", "status": "played"},
        {"id": "wamid.A", "status": "sent", "errors": errors},
        {"id": "wamid.A", "status": "failed", "errors": errors},
    ])));
    let seen: Vec<_> = receipts(&change).iter().map(|receipt| (receipt.kind, receipt.error.is_some())).collect();
    assert_eq!(seen, [(ReceiptKind::Read, false), (ReceiptKind::Sent, false), (ReceiptKind::Failed, true)]);
}

#[test]
fn of_several_errors_the_first_counts_but_for_the_recipient_s_own_word_and_one_may_stand_alone() {
    let (other, opt_out) = (json!({"code": 131_000}), json!({"code": 131_050, "title": "Stopped"}));
    for (errors, code) in [
        (json!([other, opt_out]), 131_050),
        (json!([opt_out, other]), 131_050),
        (json!([null, "x", other, {"code": 131_026}]), 131_000),
        (opt_out.clone(), 131_050),
        (other.clone(), 131_000),
    ] {
        let change = read_one(&with_statuses(&json!([{"id": "wamid.A", "status": "failed", "errors": errors}])));
        assert_eq!(change.receipts[0].receipt.error.as_ref().unwrap().code, code, "{errors}");
    }
}

#[test]
fn the_case_of_a_status_does_not_matter() {
    for (status, kind) in [
        ("SENT", ReceiptKind::Sent),
        ("DELIVERED", ReceiptKind::Delivered),
        ("Played", ReceiptKind::Read),
        ("FAILED", ReceiptKind::Failed),
    ] {
        let change = read_one(&with_statuses(&json!([{"id": "wamid.A", "status": status}])));
        assert_eq!(change.receipts[0].receipt.kind, kind);
    }
}

#[test]
fn an_escaped_id_is_the_same_id() {
    let escaped = serde_json::to_string(&with_statuses(&json!([{"id": "wamid.A/B", "status": "sent"}])))
        .unwrap()
        .replace("wamid.A/B", r"wam\u0069d.A\/B");
    let notification = parse(escaped.as_bytes(), NOW).unwrap();
    assert_eq!(notification.changes[0].receipts[0].receipt.provider_id.as_str(), "wamid.A/B");
}

#[test]
fn every_entry_and_change_is_read_whatever_stands_beside_it() {
    let good = with_statuses(&json!([{"id": "wamid.A", "status": "sent"}]))["entry"][0].clone();
    let change = good["changes"][0].clone();
    let webhook = json!({"object": "whatsapp_business_account", "entry": [
        good, null, [], {"id": "2"}, {"id": "2", "changes": null}, {"id": "2", "changes": {}},
        {"id": "2", "changes": [change, 7, {"field": 7}, {"field": "messages", "value": "x"}, {"field": "messages"}]},
        good]});
    let changes = read(&webhook);
    assert_eq!(changes.iter().map(|change| change.receipts.len()).sum::<usize>(), 3);
    assert_eq!(changes.iter().map(|change| change.skipped).sum::<usize>(), 6);
}

#[test]
fn changes_of_other_fields_have_no_receipts() {
    let mut webhook = with_statuses(&json!([{"id": "wamid.A", "status": "sent"}]));
    webhook["entry"][0]["changes"][0]["field"] = json!("calls");
    let change = read_one(&webhook);
    assert_eq!((change.receipts.len(), change.skipped), (0, 0));
    assert_eq!(change.phone_number_id.unwrap().as_str(), "1066");
    webhook["entry"][0]["changes"][0] = json!({"field": "account_update", "value": {"event": "ACCOUNT_DELETED"}});
    assert!(read_one(&webhook).phone_number_id.is_none());
}

#[test]
fn what_is_no_webhook_is_refused_with_the_missing_part() {
    for (body, reason) in [
        ("", NotAWebhook::NotAnObject),
        ("null", NotAWebhook::NotAnObject),
        ("[\"whatsapp_business_account\",[]]", NotAWebhook::NotAnObject),
        ("{\"object\":\"x\",\"entry\":[]", NotAWebhook::NotAnObject),
        ("{\"object\":\"x\",\"entry\":[]} more", NotAWebhook::NotAnObject),
        ("{\"entry\":[]}", NotAWebhook::NoObject),
        ("{\"object\":7,\"entry\":[]}", NotAWebhook::NoObject),
        ("{\"object\":\"x\"}", NotAWebhook::NoEntry),
        ("{\"object\":\"x\",\"entry\":{}}", NotAWebhook::NoEntry),
    ] {
        assert_eq!(parse(body.as_bytes(), NOW).unwrap_err(), reason, "{body}");
    }
    assert_eq!(parse(b"{\"object\":\"\xff\"}", NOW).unwrap_err(), NotAWebhook::NoEntry);
    assert_eq!(parse(b"\xff{\"object\":\"x\",\"entry\":[]}", NOW).unwrap_err(), NotAWebhook::NotAnObject);
    for good in ["", "\u{feff}"].map(|before| format!("{before} {{\"object\":\"a\nb\\x41\",\"entry\":[]}}\n")) {
        assert!(parse(good.as_bytes(), NOW).unwrap().changes.is_empty(), "{good:?}");
    }
}

#[test]
fn deep_nesting_neither_crashes_nor_spoils_the_rest() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(parse(deep.as_bytes(), NOW).unwrap_err(), NotAWebhook::NotAnObject);
    let webhook = serde_json::to_string(&with_statuses(&json!([
        {"id": "wamid.A", "status": "failed", "errors": "DEEP"}, {"id": "wamid.B", "status": "sent"}, "DEEP"])))
    .unwrap()
    .replace("\"DEEP\"", &deep);
    let change = parse(webhook.as_bytes(), NOW).unwrap().changes.remove(0);
    assert_eq!((change.receipts.len(), change.skipped), (2, 1));
    assert!(change.receipts[0].receipt.error.is_none());
}

#[test]
fn what_became_of_something_else_than_a_message_is_no_receipt_though_it_bears_a_message_s_id() {
    let status = |more: Value| {
        let mut status = json!({"id": "wamid.A", "status": "failed"});
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let change = read_one(&with_statuses(&json!([status])));
        assert_eq!(change.receipts.len() + change.skipped, 1, "{more}");
        change.receipts.len()
    };
    for other in [
        json!({"type": "payment", "payment": {"reference_id": "r"}}),
        json!({"type": "payment"}),
        json!({"type": "PAYMENT"}),
        json!({"payment": {"reference_id": "r"}}),
        json!({"type": "call"}),
        json!({"type": "something_of_2031"}),
    ] {
        assert_eq!(status(other.clone()), 0, "{other}");
    }
    for of_a_message in
        [json!({}), json!({"type": null}), json!({"type": "message"}), json!({"type": 7, "payment": null})]
    {
        assert_eq!(status(of_a_message.clone()), 1, "{of_a_message}");
    }
}

#[test]
fn a_time_in_finer_units_is_the_same_time_and_none_leaves_the_years_that_can_be_written() {
    let at = |timestamp: Value| {
        let change = read_one(&with_statuses(&json!([{"id": "wamid.A", "status": "sent", "timestamp": timestamp}])));
        change.receipts[0].receipt.at
    };
    for same in [
        json!("1767225600123"),
        json!(1_767_225_600_123_u64),
        json!("1767225600123456"),
        json!(1_767_225_600_123_456_789_u64),
        json!("1767225600.25"),
        json!(1_767_225_600.25),
    ] {
        assert_eq!(at(same.clone()), AT, "{same}");
    }
    for far in [json!(u64::MAX), json!("99999999999999"), json!(253_402_300_799_u64)] {
        assert!(at(far.clone()).to_string().ends_with("Z"), "{far}");
    }
    for none in [json!("1e9"), json!("1.5e9"), json!(-5), json!("99999999999999999999999")] {
        assert_eq!(at(none.clone()), NOW, "{none}");
    }
}

/// Meta's texts are cut within characters, and its fields come in shapes that nobody has written down.
#[test]
fn nothing_that_is_not_needed_keeps_what_is_needed_from_being_read() {
    const JUNK: [&str; 9] = [
        r#""\ud83d""#,
        r#""\udc00\ud83d""#,
        "null",
        "[]",
        "{}",
        "7",
        "1e999",
        r#"[null,"\ud83d",{"\ud83d":[]}]"#,
        "DEEP",
    ];
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for junk in JUNK.map(|junk| junk.replace("DEEP", &deep)) {
        let body = r#"{"object":"x","J\ud83d":JUNK,"entry":[null,{"J":JUNK,"id":"1","time":JUNK,"changes":[null,{"J":JUNK,"field":"messages",
            "value":{"J":JUNK,"messaging_product":JUNK,"metadata":{"display_phone_number":JUNK,"phone_number_id":"1066","\ud83d":JUNK},
            "contacts":[null,JUNK,{"profile":JUNK,"wa_id":"4915112345678","user_id":"DE.1"}],
            "errors":JUNK,"event":JUNK,"message_template_name":JUNK,
            "statuses":[null,{"id":"wamid.A","status":"failed","timestamp":"1767225600","conversation":JUNK,"J":JUNK,
                "recipient_id":"4915112345678","recipient_user_id":JUNK,"errors":[null,JUNK,{"code":131026,"title":JUNK,"href":JUNK}]}],
            "messages":[null,{"from":"4915112345678","id":"wamid.I","timestamp":"1767225600","type":"text","text":{"body":"STOP","J":JUNK},
                "referral":{"body":JUNK},"context":JUNK,"J\ud83d":JUNK}]}}]}]}"#
            .replace("JUNK", &junk);
        let changes = parse(body.as_bytes(), NOW).unwrap().changes;
        let change = changes.iter().find(|change| change.phone_number_id.is_some()).unwrap();
        let [reported] = change.receipts.as_slice() else { panic!("{junk:.40}: {change:?}") };
        assert_eq!(reported.receipt.error.as_ref().unwrap().code, 131_026, "{junk:.40}");
        assert!(reported.names.starts_with(&["+4915112345678".to_owned()]), "{junk:.40}");
        let [item] = change.inbound.as_slice() else { panic!("{junk:.40}: {change:?}") };
        assert_eq!(item.link.as_ref().unwrap().names, ["+4915112345678", "DE.1"], "{junk:.40}");
        let words: Vec<_> = said(&item.raw).into_iter().map(|said| said.text).collect();
        assert_eq!(words, ["STOP"], "{junk:.40}");
    }
}

#[test]
fn lists_that_are_none_are_skipped_and_those_beside_them_read() {
    let mut webhook = with_statuses(&json!({"id": "wamid.A", "status": "sent"}));
    webhook["entry"][0]["changes"][0]["value"]["messages"] = json!([{"id": "wamid.I", "type": "text"}]);
    webhook["entry"][0]["changes"][0]["value"]["contacts"] = json!("x");
    let change = read_one(&webhook);
    assert_eq!((change.receipts.len(), change.inbound.len(), change.skipped), (0, 1, 1));
}

#[test]
fn of_a_field_that_comes_twice_the_last_counts() {
    let body = r#"{"object":"x","entry":[{"changes":[{"field":"messages","value":{"metadata":{"phone_number_id":"1066"},
        "statuses":[{"id":"wamid.A","status":"sent","id":"wamid.B","status":"read"}]}}]}]}"#;
    let change = parse(body.as_bytes(), NOW).unwrap().changes.remove(0);
    let receipt = &change.receipts[0].receipt;
    assert_eq!((receipt.provider_id.as_str(), receipt.kind), ("wamid.B", ReceiptKind::Read));
}
