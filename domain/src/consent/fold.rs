//! When two words that people write are the same word.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizer;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};

/// What becomes of the capital İ where case is folded.
const DOTTED_I: &str = "i\u{307}";

/// What is compared of a word or a few: not its case, nor whether an I has its dot (capitals of Turkish keep it, keyboards of others
/// do not), nor how an apostrophe is written, not Unicode's other forms of the same letters, what cannot be seen, how wide
/// blanks are, nor the punctuation and pictures around it. A text of only those stays, for it may be just that.
pub(super) fn fold(text: &str) -> String {
    let nfkc = ComposingNormalizer::new_nfkc();
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let is_seen = |letter: &char| !ignorable.contains(*letter) && (!letter.is_control() || letter.is_whitespace());
    let seen: String = text.chars().filter(is_seen).collect();
    let folded = CaseMapper::new().fold_string(&nfkc.normalize(&seen)).into_owned();
    let folded: String = folded.replace(DOTTED_I, "i").chars().map(alike).collect();
    // What is folded need not be normal any more.
    let normal = nfkc.normalize(&folded);
    // Ids of buttons are written with lines in place of blanks.
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

/// One letter for all that people write in its place.
const fn alike(letter: char) -> char {
    match letter {
        'ı' => 'i',
        'ʻ' | 'ʼ' | '‘' | '’' | '`' => '\'',
        other => other,
    }
}
