//! Reads Meta's error object, in all the ways that it is written.

use domain::outcome::ProviderError;
use serde_json::Value;

use crate::classify::{Origin, Signal, classify};

/// The longest text that is kept.
const MESSAGE_MAX: usize = 500;

/// Meta's field that says that an error is temporary.
const HINT: &str = "is_transient";

/// The error in `error`, from an answer or from a webhook's `errors`. `None` if it has no code; then it is not Meta's.
pub(crate) fn read(error: &Value, http_status: Option<u16>, origin: Origin) -> Option<ProviderError> {
    read_hinted(error, error.get(HINT), http_status, origin)
}

/// The error in an answer. Some answers have the hint next to the error object.
pub(crate) fn read_answer(answer: &Value, http_status: u16) -> Option<ProviderError> {
    let error = answer.get("error")?;
    let hint = error.get(HINT).filter(|hint| !hint.is_null()).or_else(|| answer.get(HINT));
    read_hinted(error, hint, Some(http_status), Origin::Answer)
}

fn read_hinted(error: &Value, hint: Option<&Value>, http_status: Option<u16>, origin: Origin) -> Option<ProviderError> {
    let code = integer(error.get("code")?)?;
    let text = |name: &str| error.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    // The data is an object with details, or the details themselves.
    let details = error.get("error_data").and_then(|data| data.get("details").unwrap_or(data).as_str());
    let details = details.filter(|details| !details.is_empty());
    let message = text("message").or_else(|| text("title"));
    let verdict = classify(&Signal {
        code,
        subcode: error.get("error_subcode").and_then(integer),
        details: &[message, details].map(Option::unwrap_or_default).join("\n"),
        http_status,
        is_transient: hint.is_some_and(is_true),
        origin,
    });
    let message = details.or(message).unwrap_or("Meta gave no text with this code.");
    Some(ProviderError { code, message: message.chars().take(MESSAGE_MAX).collect(), verdict })
}

/// Meta writes `true`; gateways may turn it into a string or a number.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(is_true) => *is_true,
        Value::String(text) => text.trim().eq_ignore_ascii_case("true"),
        Value::Number(number) => number.as_i64() == Some(1),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// A whole number, even if it is written as a string.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::outcome::{Class, Scope};
    use serde_json::json;

    fn answer(error: Value) -> Option<ProviderError> {
        read(&error, Some(400), Origin::Answer)
    }

    #[test]
    fn details_win_over_the_message_and_the_message_over_the_title() {
        let all = json!({"code": 131026, "title": "T", "message": "M", "error_data": {"details": "D"}});
        assert_eq!(answer(all).unwrap().message, "D");
        assert_eq!(answer(json!({"code": 131026, "title": "T", "message": "M"})).unwrap().message, "M");
        assert_eq!(answer(json!({"code": 131026, "title": "T"})).unwrap().message, "T");
        assert_eq!(answer(json!({"code": 131026})).unwrap().message, "Meta gave no text with this code.");
    }

    #[test]
    fn error_data_of_any_shape_is_borne() {
        for (data, message) in [
            (json!("told as a string"), "told as a string"),
            (json!({"messaging_product": "whatsapp"}), "M"),
            (json!({"details": {"odd": true}}), "M"),
            (json!({"details": ""}), "M"),
            (json!(["x"]), "M"),
            (json!(null), "M"),
        ] {
            assert_eq!(answer(json!({"code": 100, "message": "M", "error_data": data})).unwrap().message, message);
        }
    }

    #[test]
    fn codes_may_be_written_as_strings() {
        let error =
            answer(json!({"code": "100", "error_subcode": "33", "message": "Unsupported post request."})).unwrap();
        assert_eq!((error.code, error.verdict.class, error.verdict.scope), (100, Class::Blocked, Scope::Number));
    }

    #[test]
    fn a_code_that_nobody_knows_passes_by_itself_if_meta_says_so() {
        let class = |code: i64, transient: Value, origin| {
            let error = json!({"code": code, "is_transient": transient});
            read(&error, Some(400), origin).unwrap().verdict.class
        };
        assert_eq!(class(987_654, json!(true), Origin::Answer), Class::Transient);
        assert_eq!(class(987_654, json!("true"), Origin::Answer), Class::Transient);
        assert_eq!(class(987_654, json!("True"), Origin::Answer), Class::Transient);
        assert_eq!(class(987_654, json!(1), Origin::Answer), Class::Transient);
        assert_eq!(class(987_654, json!(0), Origin::Answer), Class::Permanent);
        assert_eq!(class(987_654, json!(false), Origin::Answer), Class::Permanent);
        assert_eq!(class(987_654, json!(null), Origin::Answer), Class::Permanent);
        assert_eq!(class(987_654, json!(true), Origin::Receipt), Class::Permanent, "it was taken once already");
        assert_eq!(class(131_026, json!(true), Origin::Answer), Class::Permanent, "a known code means what it means");
    }

    #[test]
    fn the_hint_may_stand_beside_the_error_and_counts_less_there() {
        for (answer, class) in [
            (json!({"error": {"code": 987_654}, "is_transient": true}), Class::Transient),
            (json!({"error": {"code": 987_654, "is_transient": null}, "is_transient": "true"}), Class::Transient),
            (json!({"error": {"code": 987_654, "is_transient": true}}), Class::Transient),
            (json!({"error": {"code": 987_654, "is_transient": false}, "is_transient": true}), Class::Permanent),
            (json!({"error": {"code": 987_654}}), Class::Permanent),
        ] {
            assert_eq!(read_answer(&answer, 400).unwrap().verdict.class, class, "{answer}");
        }
        assert!(read_answer(&json!({"is_transient": true}), 400).is_none());
    }

    #[test]
    fn what_has_no_code_is_not_metas() {
        for error in [json!({"message": "M"}), json!({"code": null}), json!({"code": "E_FAIL"}), json!("x"), json!([1])]
        {
            assert!(answer(error).is_none());
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let error = answer(json!({"code": 100, "message": "ü".repeat(2000)})).unwrap();
        assert_eq!(error.message, "ü".repeat(MESSAGE_MAX));
    }
}
