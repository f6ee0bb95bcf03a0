//! One phone number, two spellings: in three countries WhatsApp adds or drops a digit, so an answer may come from
//! another number than the one that a message was sent to.

use std::borrow::Cow;

/// The canonical spelling of a number, in E.164. Other text is returned as it is.
pub fn canonical(number: &str) -> Cow<'_, str> {
    mobile_mark_dropped(number).map_or(Cow::Borrowed(number), Cow::Owned)
}

/// Every spelling of a number; the first is the canonical one.
pub fn all(number: &str) -> Vec<String> {
    let canonical = canonical(number).into_owned();
    let longer = mobile_mark_added(&canonical);
    std::iter::once(canonical).chain(longer).collect()
}

fn mobile_mark_dropped(number: &str) -> Option<String> {
    // Mexico has dropped the 1 before mobile numbers; Argentina adds a 9 only for calls from abroad.
    for (marked, plain) in [("+521", "+52"), ("+549", "+54")] {
        if let Some(rest) = number.strip_prefix(marked).filter(|rest| rest.len() == 10) {
            return Some(format!("{plain}{rest}"));
        }
    }
    let (area, local) = number.strip_prefix("+55")?.split_at_checked(2)?;
    let old = local.strip_prefix('9').filter(|old| is_old_brazilian_mobile(old))?;
    Some(format!("+55{area}{old}"))
}

fn mobile_mark_added(canonical: &str) -> Option<String> {
    for (marked, plain) in [("+521", "+52"), ("+549", "+54")] {
        if let Some(rest) = canonical.strip_prefix(plain).filter(|rest| rest.len() == 10) {
            return Some(format!("{marked}{rest}"));
        }
    }
    let (area, local) = canonical.strip_prefix("+55")?.split_at_checked(2)?;
    is_old_brazilian_mobile(local).then(|| format!("+55{area}9{local}"))
}

/// Brazil put a 9 before mobile numbers, which had eight digits and began with 6 to 9. Landlines did not change.
fn is_old_brazilian_mobile(local: &str) -> bool {
    local.len() == 8 && local.starts_with(['6', '7', '8', '9'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_number_are_one() {
        for (short, long) in [
            ("+525512345678", "+5215512345678"),
            ("+541112345678", "+5491112345678"),
            ("+551187654321", "+5511987654321"),
        ] {
            assert_eq!((canonical(short), canonical(long)), (short.into(), short.into()));
            assert_eq!(all(short), [short, long]);
            assert_eq!(all(long), [short, long]);
        }
    }

    #[test]
    fn other_numbers_have_one_spelling() {
        for number in [
            "+4915112345678",
            "+551132123456",
            "+5511932123456",
            "+52155123456",
            "+52",
            "+5",
            "",
            "US.13491208655302741918",
        ] {
            assert_eq!(all(number), [number]);
        }
    }
}
