//! Meta's own quick reply that ends marketing, in any language: a tap sends its label back. A label is matched more
//! loosely than written text, since somebody who writes may mention promotions without wanting to end them.

use std::sync::LazyLock;

use super::defaults;
use super::fold::fold;

/// The label in English. It stands for all others wherever the end of marketing is recorded.
pub const END_OF_PROMOTIONS: &str = "Stop promotions";

/// Meta's labels are shorter; longer text is not one of them.
const CHARS_MAX: usize = 60;
const WORDS_MAX: usize = 7;

/// How words for promotions begin.
#[rustfmt::skip]
const PROMOTIONS: &[&str] = &[
    "promo", "promóci", "marketing", "werb", "reklam", "reklám", "reklaam", "reklām", "publicid", "publicit", "pubblicit", "propag",
    "kampan", "kampagn", "tanıtım", "maino", "iklan", "khuyến mãi", "khuyến mại", "quảng cáo",
    "промо", "реклам", "рассыл", "розсил", "προωθ", "προσφορ", "διαφημ", "קידום", "פרסומ", "שיווק", "ترويج", "عروض", "إعلان", "اعلان",
    "تبلیغ", "تشہیر", "پروموش", "प्रचार", "प्रमोशन", "विज्ञापन", "जाहिरात", "প্রচার", "প্রোমোশন", "પ્રમોશન", "પ્રચાર", "ਪ੍ਰਮੋਸ਼ਨ", "ਪ੍ਰਚਾਰ",
    "விளம்பர", "ప్రమోషన్", "ప్రచార", "ಪ್ರಚಾರ", "പ്രമോഷ", "რეკლამ", "โปรโมช", "โฆษณา", "ໂປຣໂມຊ",
    "促销", "促銷", "推广", "推廣", "推销", "推銷", "营销", "營銷", "行銷", "宣传", "宣傳", "广告", "廣告", "プロモ", "宣伝", "広告",
    "프로모션", "광고", "마케팅",
];

/// How verbs and phrases begin that end what they stand next to.
#[rustfmt::skip]
const ENDS: &[&str] = &[
    "unsubscribe", "opt out", "no more", "no longer", "block", "blok", "bloqu", "blocc", "deaktiv", "desactiv", "désactiv", "desativ",
    "disattiv", "nicht mehr", "nie wieder", "abbestell", "abmeld", "niet meer", "uitschrijv", "ne plus", "arrêt", "arret", "cesse",
    "dejar de", "deja de", "no recibir", "no quiero", "no más", "no mas", "deixar de", "não receber", "nao receber", "não quero",
    "nao quero", "interromp", "interrump", "detén", "deten", "non ricev", "smetti", "dezactiv", "opreșt", "oprest", "oprir", "zastav",
    "zruš", "zrus", "ukonč", "ukonc", "zatrzym", "wstrzym", "wyłącz", "wylacz", "wypis", "zakończ", "zakoncz", "zaustav", "ustav",
    "odjav", "odhlás", "odhlas", "prekin", "iptal", "durdur", "dayandır", "leáll", "leiratkoz", "pysäyt", "lopet", "lõpeta", "peata",
    "pārtrau", "aptur", "nutrauk", "stabdy", "sustabdy", "ndalo", "ndërpre", "hentikan", "berhenti", "henti", "ihinto", "itigil",
    "dừng", "ngừng", "hủy", "huỷ", "komesh", "sitish", "to'xtat",
    "останов", "прекра", "отключ", "отпис", "не получать", "зупин", "припин", "вимк", "відпис", "не отримувати", "спир", "спре", "спри",
    "запр", "заустав", "престан", "одјав", "тоқта", "токто", "διακοπ", "σταμάτ", "σταματ", "להפסיק", "הפסק", "עציר", "עצור", "הסר",
    "إيقاف", "ايقاف", "أوقف", "اوقف", "إلغاء", "الغاء", "توقف", "متوقف", "لغو", "بند", "روک", "बंद", "रोक", "थांब", "বন্ধ", "থাম", "બંધ",
    "રોક", "ਬੰਦ", "ਰੋਕ", "நிறுத்த", "ఆప", "నిలిప", "ನಿಲ್ಲಿಸ", "നിർത്ത", "შეჩერ", "შეწყვეტ", "หยุด", "ยกเลิก", "ຢຸດ",
    "停止", "退订", "退訂", "取消", "拒收", "中止", "解除", "拒否", "중지", "중단", "정지", "거부", "차단",
];

/// Phrases that say that nothing ends, although they contain such a verb.
#[rustfmt::skip]
const KEEPS: &[&str] = &[
    "don't stop", "dont stop", "do not stop", "never stop", "not stop", "nicht stopp", "nicht abbestell", "ne pas arr", "no parar",
    "no detener", "no dejar", "não parar", "nao parar", "non interromp", "non blocc", "не останав", "не зупин", "не отключ", "不要停止",
];

struct Stems {
    promotions: Vec<String>,
    ends: Vec<String>,
    keeps: Vec<String>,
}

/// Folded once, like the words compared with them.
static STEMS: LazyLock<Stems> =
    LazyLock::new(|| Stems { promotions: folded(PROMOTIONS), ends: folded(ENDS), keeps: folded(KEEPS) });

/// The stems to look for: at the beginning of a word; or anywhere in scripts that do not separate words, or join
/// articles to them.
fn folded(stems: &[&str]) -> Vec<String> {
    let is_anywhere = |stem: &str| stem.starts_with(|letter: char| letter >= FIRST_JOINED);
    let looked_for = |stem: &&str| {
        let stem = fold(stem);
        if is_anywhere(&stem) { stem } else { format!(" {stem}") }
    };
    stems.iter().map(looked_for).collect()
}

/// The first letter of Hebrew. Latin, Greek and Cyrillic stems begin with earlier letters.
const FIRST_JOINED: char = '\u{590}';

/// Whether the label or payload of a quick reply asks for the end of marketing: it has a word for promotions next to
/// one that stops. Not for written text.
pub fn ends_promotions(label: &str) -> bool {
    if label.chars().take(CHARS_MAX + 1).count() > CHARS_MAX {
        return false;
    }
    let folded = fold(label);
    let words: Vec<&str> =
        folded.split(' ').map(|word| word.trim_matches(|of: char| of.is_ascii_punctuation())).collect();
    if words.len() > WORDS_MAX {
        return false;
    }
    let parted = format!(" {} ", words.join(" "));
    let holds = |stems: &[String]| stems.iter().any(|stem| parted.contains(stem.as_str()));
    let stops = |word: &&str| defaults::is_stop(word) || defaults::is_ender(word);
    let has_promotions = holds(&STEMS.promotions) || words.iter().any(|word| defaults::is_promotion(word));
    has_promotions && (holds(&STEMS.ends) || words.iter().any(stops)) && !holds(&STEMS.keeps)
}
