//! The words that come with twotick, in the languages that templates have, and Meta's own label for the end of marketing.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::fold::fold;

/// A stop word covers all messages, and a start word counts as consent, so none of these is an everyday answer to
/// something else, such as "cancel", "end" or "sign up". Many people write without accents: those words are listed both
/// ways.
#[rustfmt::skip]
pub(super) const STOP: &[&str] = &[
    // English
    "stop", "stopall", "stop all", "stop messages", "unsubscribe", "unsubscribe me", "opt out", "optout", "opt-out",
    // German, Dutch, Afrikaans, Danish, Norwegian, Swedish
    "stopp", "stoppen", "abmelden", "abmeldung", "abbestellen", "austragen", "afmelden", "uitschrijven", "staak",
    "afmeld", "avmeld", "meld meg av", "sluta", "avregistrera",
    // French
    "stopper", "arrêt", "arret", "arrêter", "arreter", "arrêtez", "arretez", "désabonner", "desabonner",
    "se désabonner", "se desabonner", "me désabonner", "me desabonner", "désinscription", "desinscription",
    // Spanish, Catalan
    "parar", "pare", "paren", "detener", "baja", "dar de baja", "darme de baja", "darse de baja", "desuscribir",
    "desuscribirme", "cancelar suscripción", "cancelar suscripcion", "atura", "dona'm de baixa",
    // Portuguese
    "parem", "sair", "descadastrar", "descadastre", "me descadastre", "cancelar inscrição", "cancelar inscricao",
    "não quero receber", "nao quero receber",
    // Italian, Romanian
    "disiscrivimi", "disiscriviti", "annulla iscrizione", "interrompi", "oprește", "opreste", "opriți", "opriti",
    "dezabonare",
    // Polish, Czech, Slovak, Slovenian, Croatian, Serbian, Macedonian, Bulgarian
    "wypisz", "wypisz mnie", "zatrzymaj", "odhlásit", "odhlasit", "zastavit", "odhlásiť", "zastaviť", "ustavi",
    "odjava", "odjavi me", "zaustavi", "prestani", "престани", "одјава", "одјави ме", "заустави", "запри", "спри", "отпиши ме",
    // Russian, Ukrainian, Kazakh, Kyrgyz
    "стоп", "отписаться", "отпишите меня", "остановить", "відписатися", "відпишіть мене", "зупинити", "тоқта", "тоқтату",
    "токто", "токтотуу",
    // Albanian, Greek, Georgian, Hungarian, Finnish, Estonian, Latvian, Lithuanian, Irish
    "ndal", "çabonohu", "cabonohu", "στοπ", "διακοπή", "διακοπη", "σταμάτα", "σταματα", "შეჩერება", "შეწყვეტა",
    "leiratkozás", "leiratkozas", "leiratkozom", "állj", "lopeta", "lõpeta", "apturēt", "apturet", "atrakstīties", "stabdyti",
    "sustabdyti", "stad",
    // Turkish, Azerbaijani, Uzbek
    "abonelikten çık", "abonelikten cik", "dur", "durdur", "dayandır", "dayandir", "to'xtat", "to'xtatish",
    // Arabic, Persian, Urdu, Hebrew
    "توقف", "إيقاف", "ايقاف", "أوقف", "اوقف", "إلغاء الاشتراك", "الغاء الاشتراك", "لغو اشتراک", "بند کریں", "روکیں",
    "הסר", "הסרה", "הפסק", "הפסיקו", "עצור",
    // Hindi, Marathi, Bengali, Gujarati, Punjabi, Tamil, Telugu, Kannada, Malayalam
    "रोकें", "रोको", "बंद करें", "बंद करो", "थांबवा", "बंद करा", "বন্ধ করুন", "থামুন", "બંધ કરો", "રોકો", "ਬੰਦ ਕਰੋ", "ਰੋਕੋ",
    "நிறுத்து", "நிறுத்தவும்", "ఆపు", "ఆపండి", "ನಿಲ್ಲಿಸಿ", "നിർത്തുക",
    // Indonesian, Malay, Filipino, Vietnamese, Thai, Lao
    "berhenti", "berhenti berlangganan", "hentikan", "henti", "itigil", "ihinto", "dừng", "dừng lại", "ngừng",
    "hủy đăng ký", "huỷ đăng ký", "หยุด", "ยกเลิกการสมัคร", "ຢຸດ",
    // Chinese, Japanese, Korean
    "停止", "退订", "退訂", "取消订阅", "取消訂閱", "配信停止", "登録解除", "ストップ", "중지", "정지", "수신거부", "수신 거부",
    // Swahili, Hausa, Kinyarwanda, Zulu
    "simama", "simamisha", "tsaya", "dakata", "hagarika", "misa", "yima",
];

#[rustfmt::skip]
pub(super) const START: &[&str] = &[
    "start", "unstop", "subscribe", "opt in", "optin", "opt-in", "abonnieren", "s'abonner", "darme de alta",
    "suscribirme", "abone ol", "старт", "подписаться", "підписатися", "ابدأ", "اشترك", "शुरू", "mulai",
];

/// What people call marketing. Next to one word that stops, it ends marketing and nothing else: Meta's own quick reply,
/// "Stop promotions", sends this label in the template's language.
#[rustfmt::skip]
const PROMOTIONS: &[&str] = &[
    "promotions", "promotion", "promos", "promo", "offers", "ads", "advertising", "marketing",
    "werbung", "werbeaktionen", "aktionen", "angebote", "werbenachrichten", "promoties", "reclame", "aanbiedingen",
    "kampagner", "reklamer", "reklame", "kampanjer", "reklam", "erbjudanden", "promosies", "publicités", "publicites",
    "publicité", "publicite", "offres", "promociones", "promoción", "promocion", "ofertas", "publicidad", "promocions",
    "promoções", "promocoes", "promoção", "promocao", "publicidade", "promozioni", "promozione", "offerte", "pubblicità",
    "pubblicita", "promoții", "promotii", "promoțiile", "promotiile", "oferte", "promocje", "promocji", "reklamy", "reklam",
    "propagace", "propagácie", "akce", "akcie", "promocije", "promocij", "promocija", "reklame", "промоције", "промоции",
    "рекламу", "рекламы", "реклама", "рассылку", "акции", "промоакции", "рекламу", "рекламні", "розсилку", "акції",
    "promovimet", "promocionet", "προσφορών", "προσφορές", "προωθήσεις", "προωθήσεων", "διαφημίσεις", "promóciók",
    "promóciókat", "reklámok", "reklámokat", "mainokset", "kampanjat", "tarjoukset", "pakkumised", "reklaamid", "reklāmas",
    "akcijas", "akcijos", "reklamas", "promosyonları", "promosyonlari", "promosyon", "tanıtımları", "reklamları", "reklamlari",
    "kampanyaları", "reklamları", "العروض", "الترويج", "الإعلانات", "الاعلانات", "تبلیغات", "تبلیغات", "تشہیر", "פרסומות",
    "מבצעים", "קידומים", "प्रमोशन", "प्रचार", "ऑफ़र", "विज्ञापन", "প্রচার", "প্রোমোশন", "પ્રમોશન", "ਪ੍ਰਮੋਸ਼ਨ", "விளம்பரங்களை",
    "ప్రమోషన్లను", "ಪ್ರಚಾರಗಳನ್ನು", "പ്രമോഷനുകൾ", "promosi", "iklan", "penawaran", "promosyon", "promosyong", "matangazo", "ofa",
];

/// Words that stop only next to a word for promotions: on their own they mean other things.
#[rustfmt::skip]
const ENDERS: &[&str] = &[
    "end", "cancel", "keine", "beenden", "beende", "abstellen", "deaktivieren", "beëindigen", "stans", "stoppa", "cesser",
    "desactivar", "cancelar", "desativar", "interrompere", "ferma", "fermare", "wstrzymaj", "wyłącz", "zatrzymać", "ukončit",
    "ukončiť", "zastav", "zaustavi", "ustavite", "прекратить", "отключить", "отменить", "вимкнути", "припинити", "прекрати",
    "спиране", "спрете", "leállítása", "leállítás", "pysäytä", "peata", "pārtraukt", "nutraukti", "kapat", "bitir", "وقف",
    "إلغاء", "الغاء", "עצירת", "הפסקת", "रोकना", "बंद", "dừng", "ngừng", "tigil", "komesha", "sitisha",
];

/// Words that may come between the two.
#[rustfmt::skip]
const FILLERS: &[&str] = &[
    "all", "the", "these", "my", "your", "any", "more", "receiving", "mehr", "alle", "die", "meer", "de", "les", "des", "las", "los",
    "la", "le", "el", "as", "os", "tutte", "il", "lo", "di", "recibir", "receber", "toutes", "todas", "todos",
];

/// Labels of more than two words, or written without blanks.
#[rustfmt::skip]
const LABELS: &[&str] = &[
    "no more promotions", "stop promotional messages", "stop marketing messages",
    "הפסקת הודעות הקידום", "הפסק הודעות קידום", "עצור הודעות שיווקיות", "إيقاف العروض الترويجية", "ايقاف العروض الترويجية",
    "إيقاف الرسائل الترويجية", "停止促销", "停止促銷", "停止推广", "停止推廣", "停止推销", "停止推銷", "停止营销", "停止行銷",
    "プロモーションを停止", "プロモーションを停止する", "プロモーション停止", "宣伝を停止", "프로모션 중지", "프로모션 중단", "프로모션 수신 거부",
    "광고 수신 거부", "หยุดโปรโมชัน", "หยุดโปรโมชั่น", "หยุดรับโปรโมชัน", "dừng khuyến mãi", "dừng quảng cáo", "ngừng khuyến mãi",
    "ngừng quảng cáo", "dừng tin khuyến mãi", "itigil ang mga promo", "itigil ang mga promosyon", "ihinto ang mga promosyon",
    "प्रमोशन बंद करें", "प्रमोशन रोकें", "প্রচার বন্ধ করুন", "প্রোমোশন বন্ধ করুন", "प्रमोशन थांबवा", "تبلیغات را متوقف کنید",
    "پروموشنز بند کریں", "પ્રમોશન બંધ કરો", "ਪ੍ਰਮੋਸ਼ਨ ਬੰਦ ਕਰੋ", "ຢຸດໂປຣໂມຊັນ", "რეკლამის შეჩერება", "აქციების შეჩერება",
];

struct Known {
    stop: HashSet<String>,
    start: HashSet<String>,
    promotions: HashSet<String>,
    enders: HashSet<String>,
    fillers: HashSet<String>,
    labels: HashSet<String>,
}

/// Folded once: each inbound text is compared with all of them.
static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let folded = |words: &[&str]| words.iter().map(|word| fold(word)).collect();
    Known {
        stop: folded(STOP),
        start: folded(START),
        promotions: folded(PROMOTIONS),
        enders: folded(ENDERS),
        fillers: folded(FILLERS),
        labels: folded(LABELS),
    }
});

/// Whether a folded text is a stop word.
pub(super) fn is_stop(folded: &str) -> bool {
    KNOWN.stop.contains(folded)
}

/// Whether it is a start word.
pub(super) fn is_start(folded: &str) -> bool {
    KNOWN.start.contains(folded)
}

/// Whether it is a word for promotions.
pub(super) fn is_promotion(folded: &str) -> bool {
    KNOWN.promotions.contains(folded)
}

/// Whether it stops what stands beside it.
pub(super) fn is_ender(folded: &str) -> bool {
    KNOWN.enders.contains(folded)
}

/// Whether it asks for the end of marketing and nothing else.
pub(super) fn ends_promotions(folded: &str) -> bool {
    let known = &*KNOWN;
    if known.labels.contains(folded) {
        return true;
    }
    let words: Vec<&str> = folded.split(' ').filter(|word| !known.fillers.contains(*word)).collect();
    let stops = |word: &str| known.stop.contains(word) || known.enders.contains(word);
    let [one, other] = words.as_slice() else { return false };
    [(one, other), (other, one)].iter().any(|(stop, what)| stops(stop) && known.promotions.contains(**what))
}
