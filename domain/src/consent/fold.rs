//! When two words that people write are the same word.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizer;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};

/// How the capital İ is folded.
const DOTTED_I: &str = "i\u{307}";

/// What is compared of a word or a few words. It ignores case; whether an I has its dot (Turkish capitals keep it,
/// other keyboards drop it); how an apostrophe is written; Unicode's other forms of the same letters; invisible
/// characters; the width of blanks; and punctuation and pictures around the text. A text of only those stays, since it
/// may mean just that.
pub(super) fn fold(text: &str) -> String {
    let nfkc = ComposingNormalizer::new_nfkc();
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let is_seen = |letter: &char| !ignorable.contains(*letter) && (!letter.is_control() || letter.is_whitespace());
    let seen: String = text.chars().filter(is_seen).collect();
    let folded = CaseMapper::new().fold_string(&nfkc.normalize(&seen)).into_owned();
    let folded: String = folded.replace(DOTTED_I, "i").chars().map(alike).collect();
    // Folded text may no longer be normal.
    let normal = nfkc.normalize(&folded);
    // Ids of buttons have underscores in place of blanks.
    let words = normal.split(|letter: char| letter.is_whitespace() || letter == '_').filter(|word| !word.is_empty());
    let words = words.collect::<Vec<_>>().join(" ");
    let categories = CodePointMapData::<GeneralCategory>::new();
    let is_around = |letter: char| {
        let category = categories.get(letter);
        let groups = [GeneralCategoryGroup::Punctuation, GeneralCategoryGroup::Symbol, GeneralCategoryGroup::Separator];
        groups.iter().any(|group| group.contains(category))
    };
    match words.trim_matches(is_around) {
        "" => words,
        inner => inner.to_owned(),
    }
}

/// The one letter that stands for its look-alikes.
const fn alike(letter: char) -> char {
    match letter {
        'ı' => 'i',
        'ʻ' | 'ʼ' | '‘' | '’' | '`' => '\'',
        other => other,
    }
}
