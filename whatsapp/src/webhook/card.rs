//! Contact cards. The card that somebody sends of themselves when a business asks for their number links the number to
//! their id. Any other card links nothing.

use super::contacts::{number, number_or_id};
use crate::fields::Fields;

/// Meta's mark of a card that the business asked for. The card has it, or, in Meta's older page, the item that contains
/// the card.
const ASKED_FOR: &str = "contact_request";

/// The number that the author of an item shows of themselves.
pub(super) fn own_number(item: &Fields<'_>) -> Option<String> {
    let is_asked_for = |of: &Fields<'_>| of.text("origin").is_some_and(|origin| origin.eq_ignore_ascii_case(ASKED_FOR));
    let is_item_asked_for = is_asked_for(item);
    let cards = item.list("contacts")?.into_iter().filter_map(Fields::read);
    // A card with another origin is somebody else's.
    let mut own = cards.filter(|card| is_asked_for(card) || (is_item_asked_for && card.get("origin").is_none()));
    own.find_map(|card| of_phones(&card).or_else(|| of_vcard(&card)))
}

fn of_phones(card: &Fields<'_>) -> Option<String> {
    let mut phones = card.list("phones")?.into_iter().filter_map(Fields::read);
    phones.find_map(|phone| {
        let told = phone.get("wa_id").and_then(number_or_id).filter(|name| name.starts_with('+'));
        told.or_else(|| international(&phone.text("phone")?))
    })
}

/// A number as people write it. Without a '+' it could belong to any country.
fn international(written: &str) -> Option<String> {
    let is_between = |letter: char| letter.is_whitespace() || matches!(letter, '-' | '(' | ')' | '.' | '/');
    let bare = written.replace(is_between, "");
    bare.starts_with('+').then(|| number(&bare)).flatten()
}

/// `TEL;type=CELL;waid=4915112345678:+49 151 12345678`.
fn of_vcard(card: &Fields<'_>) -> Option<String> {
    let vcard = card.text("vcard")?;
    let (_, rest) = vcard.split_once("waid=")?;
    number(rest.split(|letter: char| !letter.is_ascii_digit()).next()?)
}
