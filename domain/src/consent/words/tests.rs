//! What a word or a label says, and how an organisation puts its own.

use serde_json::json;

use super::*;
use crate::consent::{END_OF_PROMOTIONS, ends_promotions};
use Choice::{Granted, Revoked};

fn put(given: &Value) -> (PutWords, Vec<String>) {
    let mut fields = Fields::new(given.as_object().unwrap(), "");
    let put = PutWords::parse(&mut fields);
    (put, fields.finish().into_iter().map(|error| error.field).collect())
}

fn words(given: &Value) -> Words {
    Words::default().apply(&put(given).0).unwrap()
}

#[test]
fn a_message_that_is_just_a_word_chooses_whatever_its_case_and_blanks() {
    let table: &[(&str, Option<Choice>)] = &[
        ("STOP", Some(Revoked)),
        (" stop \n", Some(Revoked)),
        ("Stopp", Some(Revoked)),
        ("ABMELDEN", Some(Revoked)),
        ("ARRÊT", Some(Revoked)),
        ("Baja", Some(Revoked)),
        ("СТОП", Some(Revoked)),
        ("توقف", Some(Revoked)),
        ("Stop.", Some(Revoked)),
        ("STOP!!! ", Some(Revoked)),
        ("¡Baja!", Some(Revoked)),
        ("«стоп»", Some(Revoked)),
        ("stop?", Some(Revoked)),
        ("STOP \u{1f6d1}", Some(Revoked)),
        ("stop \u{2764}\u{fe0f}", Some(Revoked)),
        ("\u{ff33}\u{ff34}\u{ff2f}\u{ff30}", Some(Revoked)),
        ("\u{1d412}\u{1d413}\u{1d40e}\u{1d40f}", Some(Revoked)),
        ("s\u{200b}t\u{200d}o\u{ad}p\u{feff}", Some(Revoked)),
        ("st\u{8}op\0", Some(Revoked)),
        ("arre\u{302}t", Some(Revoked)),
        ("stop\u{a0}  all", Some(Revoked)),
        ("opt\nout", Some(Revoked)),
        ("रोकें।", Some(Revoked)),
        ("توقف؟", Some(Revoked)),
        ("start?", None),
        ("ابدأ؟", None),
        ("start.", Some(Granted)),
        ("START", Some(Granted)),
        ("старт", Some(Granted)),
        ("stop it", None),
        ("stop. now", None),
        ("non-stop", None),
        ("\u{1f6d1}", None),
        ("...", None),
        ("\u{200b}", None),
        ("please stop", None),
        ("don't stop", None),
        ("cancel", None),
        // "OK" in Hindi and Urdu, and "low" in Portuguese.
        ("acha", None),
        ("Baixa", None),
        ("", None),
        (&"stop ".repeat(100), None),
    ];
    for (written, expected) in table {
        assert_eq!(Words::default().choice(written), expected.map(|choice| (choice, Covers::Both)), "{written:?}");
    }
}

#[test]
fn a_stop_word_is_known_in_the_languages_that_templates_have() {
    for word in [
        "PARAR",
        "Pare",
        "DETENER",
        "stoppen",
        "arrêtez",
        "στοπ",
        "Odjava",
        "odhlásit",
        "leiratkozás",
        "dur",
        "रोकें",
        "停止",
        "退订",
        "配信停止",
        "수신거부",
        "หยุด",
        "hủy đăng ký",
        "הפסק",
        "ايقاف",
        "বন্ধ করুন",
        "berhenti berlangganan",
        "simama",
        "ABONELİKTEN ÇIK",
        "abonelikten cik",
        "DAYANDIR",
        "DAYANDİR",
        "Di\u{307}SI\u{307}SCRIVIMI",
        "apturet",
        "престани",
        "TO\u{2019}XTAT",
        "to\u{2bb}xtat",
        "to\u{2bc}xtatish",
        "to`xtat",
        "dona\u{2018}m de baixa",
        "unsubscribe_me",
        "OPT_OUT",
    ] {
        assert_eq!(Words::default().choice(word), Some((Revoked, Covers::Both)), "{word}");
    }
}

#[test]
fn meta_s_own_quick_reply_ends_marketing_only_in_any_language_and_whatever_the_organisation_s_words_are() {
    let own = words(&json!({"stopWords": ["Schluss"], "startWords": []}));
    for label in [
        "Stop promotions",
        "STOP PROMOTIONS",
        "stop_promotions",
        "Parar promoções",
        "parar promocoes",
        "Detener promociones",
        "Interrompi promozioni",
        "הפסקת הודעות הקידום",
        "Arrêter les promotions",
        "Werbung stoppen",
        "Promoties stoppen",
        "Hentikan promosi",
        "Остановить рекламу",
        "Promosyonları durdur",
        "إيقاف العروض",
        "停止促销",
        "プロモーションを停止",
        "프로모션 중지",
        "หยุดโปรโมชัน",
        "Stop marketing",
        "Stop all promotions \u{1f6d1}",
        "प्रमोशन रोकें",
    ] {
        for words in [&Words::default(), &own] {
            assert_eq!(words.choice(label), Some((Revoked, Covers::Marketing)), "{label}");
        }
    }
    for other in [
        "promotions",
        "show promotions",
        "stop by",
        "please stop promotions today",
        "cancel",
        "cancel order",
        "the promotions",
    ] {
        assert_eq!(Words::default().choice(other), None, "{other}");
    }
}

#[test]
fn a_label_in_more_words_ends_marketing_where_it_was_tapped_and_not_where_it_was_written() {
    for label in [
        "प्रचार बंद करें",
        "Ne plus recevoir de promotions",
        "Dejar de recibir promociones",
        "Interromper promoções",
        "Blocca promozioni",
        "停止接收促销信息",
        "プロモーションの停止",
        "Спиране на промоциите",
        "Зупинити промоакції",
        "Zastavit propagaci",
        "Promosyonları iptal et",
    ] {
        assert!(ends_promotions(label), "{label}");
    }
    for other in [
        "promotions",
        "Show promotions",
        "Stop",
        "Non-stop promotions",
        "Don\u{2019}t stop promotions",
        "Cancel order",
        "Dejar de recibir",
        "",
        &"Stop promotions ".repeat(9),
    ] {
        assert!(!ends_promotions(other), "{other}");
    }
    for written in ["Ne plus recevoir de promotions", "please stop promotions today"] {
        assert_eq!(Words::default().choice(written), None, "{written}");
    }
    assert_eq!(Words::default().choice(END_OF_PROMOTIONS), Some((Revoked, Covers::Marketing)));
}

#[test]
fn a_word_of_an_organisation_may_be_a_picture_and_two_spellings_of_it_are_one() {
    let own = words(&json!({"stopWords": ["\u{1f6d1}", "Straße", "İptal"], "startWords": ["\u{2705}\u{fe0f}"]}));
    for (written, choice) in [
        ("\u{1f6d1}", Some(Revoked)),
        ("STRASSE", Some(Revoked)),
        ("İPTAL", Some(Revoked)),
        ("\u{2705}", Some(Granted)),
        ("\u{274c}", None),
    ] {
        assert_eq!(own.choice(written), choice.map(|choice| (choice, Covers::Both)), "{written:?}");
    }
    let both = put(&json!({"startWords": ["\u{ff33}top!"]})).0;
    assert_eq!(Words::default().apply(&both).unwrap_err().field, "startWords");
}

#[test]
fn no_default_word_is_in_both_lists() {
    assert!(Words::default().apply(&PutWords::default()).is_ok());
}

#[test]
fn words_of_an_organisation_replace_the_defaults_and_can_be_taken_back() {
    let own = words(&json!({"stopWords": ["  Schluss "], "startWords": []}));
    let revoked = Some((Revoked, Covers::Both));
    assert_eq!((own.choice("schluss"), own.choice("stop"), own.choice("start")), (revoked, None, None));
    let kept = own.apply(&PutWords::default()).unwrap();
    assert_eq!(kept, own);
    let back = own.apply(&put(&json!({"stopWords": "default", "startWords": "default"})).0).unwrap();
    assert_eq!((back.choice("schluss"), back.choice("stop")), (None, revoked));
    let shown = own.apply(&put(&json!({"stopWords": back.stop(), "startWords": back.start()})).0).unwrap();
    assert_eq!(shown, Words::default(), "the defaults come back as they are shown");
}

#[test]
fn a_reply_is_kept_until_it_is_emptied() {
    let own = words(&json!({"stopReply": "Bye", "startReply": "Hi"}));
    assert_eq!((own.reply(Revoked), own.reply(Granted)), (Some("Bye"), Some("Hi")));
    let own = own.apply(&put(&json!({"stopReply": ""})).0).unwrap();
    assert_eq!((own.reply(Revoked), own.reply(Granted)), (None, Some("Hi")));
}

#[test]
fn every_bad_field_is_named() {
    let long = "x".repeat(51);
    let given = json!({"stopWords": ["ok", "\u{200b}", 7, long], "startWords": "x", "stopReply": 1,
        "startReply": "x".repeat(1001)});
    let mut fields = put(&given).1;
    fields.sort();
    assert_eq!(fields, ["startReply", "startWords", "stopReply", "stopWords[1]", "stopWords[2]", "stopWords[3]"]);
    assert_eq!(put(&json!({"stopWords": vec!["w"; 501]})).1, ["stopWords"]);
    for (given, field) in
        [(json!({"startWords": ["STOP"]}), "startWords"), (json!({"stopWords": ["Start"]}), "stopWords")]
    {
        assert_eq!(Words::default().apply(&put(&given).0).unwrap_err().field, field);
    }
}
