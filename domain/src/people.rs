//! One person, several names: phone numbers and Meta's ids of a user. Anything from Meta that shows two of them
//! together links them.
//!
//! A number can change hands. So a name that a person gave up is kept apart, with the time until which it was theirs:
//! what came before is about them, what comes after may be about somebody else.

use std::fmt;

use crate::ids::MessageId;
use crate::spelling;
use crate::time::{AHEAD_MAX, Timestamp};

/// The most names that a person has at once. One more replaces the one known longest.
pub const NAMES_MAX: usize = 8;
/// The most former names that are remembered.
pub const FORMER_MAX: usize = 8;

/// Whether a name is a phone number.
pub fn is_number(name: &str) -> bool {
    name.starts_with('+')
}

/// Somebody with more than one name. Names are canonical spellings of phone numbers, and Meta's ids of users.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// Stands for the person where no name may appear.
    pub id: MessageId,
    /// Their names now, the one known longest first.
    pub names: Vec<String>,
    /// The names that they gave up.
    pub former: Vec<Former>,
}

/// A name that somebody gave up.
#[derive(Clone, PartialEq, Eq)]
pub struct Former {
    /// The name.
    pub name: String,
    /// Until when it was theirs.
    pub until: Timestamp,
}

/// Who has a name, and who had it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameOwners {
    /// The person who has it now; `None`: nobody, or somebody with no other name.
    pub now: Option<MessageId>,
    /// The persons who gave it up.
    pub before: Vec<MessageId>,
}

impl NameOwners {
    /// Whether nobody has or had the name.
    pub const fn is_empty(&self) -> bool {
        self.now.is_none() && self.before.is_empty()
    }

    /// Forgets a person.
    pub fn cut(&mut self, person: MessageId) {
        self.now = self.now.filter(|id| *id != person);
        self.before.retain(|id| *id != person);
    }
}

/// Names that belong to one person, as something from Meta shows.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityLink {
    /// Names that they have.
    pub names: Vec<String>,
    /// Names that they had until now. If they changed their number, they keep no number but those in `names`.
    pub before: Vec<String>,
    /// When, by Meta's clock.
    pub at: Timestamp,
}

impl IdentityLink {
    /// The link between `names` and `before`, in any spelling; `None` if they are not two different names.
    pub fn new<T: AsRef<str>>(names: &[T], before: &[T], at: Timestamp) -> Option<Self> {
        let mut known = Vec::new();
        let mut unseen = |name: &T| {
            let name = spelling::canonical(name.as_ref()).into_owned();
            (!known.contains(&name)).then(|| {
                known.push(name.clone());
                name
            })
        };
        let names: Vec<_> = names.iter().filter_map(&mut unseen).collect();
        let before: Vec<_> = before.iter().filter_map(&mut unseen).collect();
        (known.len() > 1).then_some(Self { names, before, at })
    }

    /// When, as far as Meta's clock is credible.
    pub fn moment(&self, now: Timestamp) -> Timestamp {
        self.at.min(now.after(AHEAD_MAX))
    }

    /// Whether it says that they moved to this number. Until then the number was somebody else's, or nobody's.
    pub fn is_moved_to(&self, name: &String) -> bool {
        is_number(name) && self.names.contains(name) && self.before.iter().any(|name| is_number(name))
    }

    /// All names in it.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        self.before.iter().chain(&self.names)
    }
}

impl fmt::Debug for Person {
    /// Without the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Person({}: {} names, {} former)", self.id, self.names.len(), self.former.len())
    }
}

impl fmt::Debug for Former {
    /// Without the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Former(until {})", self.until)
    }
}

impl fmt::Debug for IdentityLink {
    /// Without the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityLink({} names, {} before, at {})", self.names.len(), self.before.len(), self.at)
    }
}

impl Person {
    /// The one person that all of `known` turn out to be by this link; `None` if the link is older than a change of
    /// theirs. `id` is for somebody new.
    pub fn after(known: &[Self], link: &IdentityLink, id: MessageId, now: Timestamp) -> Option<Self> {
        let at = link.moment(now);
        let is_over = |former: &Former| former.until >= at && link.all().any(|name| *name == former.name);
        if known.iter().flat_map(|person| &person.former).any(is_over) {
            return None;
        }
        let mut next = Self { id: known.first().map_or(id, |person| person.id), names: Vec::new(), former: Vec::new() };
        for name in known.iter().flat_map(|person| &person.names).chain(link.all()) {
            if !next.names.contains(name) {
                next.names.push(name.clone());
            }
        }
        for former in known.iter().flat_map(|person| &person.former) {
            if !next.names.contains(&former.name) {
                next.gave_up(former.name.clone(), former.until);
            }
        }
        let has_moved = !link.before.is_empty();
        let keeps = |name: &String| !has_moved || !is_number(name) || link.names.contains(name);
        let (names, left): (Vec<_>, Vec<_>) = std::mem::take(&mut next.names).into_iter().partition(keeps);
        let crowd = names.len().saturating_sub(NAMES_MAX);
        let (pushed_out, names) = names.split_at(crowd);
        next.names = names.to_vec();
        for name in left {
            next.gave_up(name, at);
        }
        for name in pushed_out {
            next.gave_up(name.clone(), now);
        }
        Some(next)
    }

    /// All names that they have and had.
    pub fn all_names(&self) -> impl Iterator<Item = &String> {
        self.names.iter().chain(self.former.iter().map(|former| &former.name))
    }

    /// The person without a `name` that somebody else has now; it was theirs until `until`. `None` if it was their only
    /// one.
    pub fn without(&self, name: &str, until: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        next.names.retain(|own| own != name);
        next.gave_up(name.to_owned(), until);
        (!next.names.is_empty()).then_some(next)
    }

    /// The person without a former name; `None` if nothing remains worth keeping.
    pub fn without_former(&self, name: &str) -> Option<Self> {
        let mut next = self.clone();
        next.former.retain(|former| former.name != name);
        (next.names.len() > 1 || !next.former.is_empty()).then_some(next)
    }

    fn gave_up(&mut self, name: String, until: Timestamp) {
        self.former.retain(|former| former.name != name);
        self.former.push(Former { name, until });
        self.former.sort_by_key(|former| former.until);
        let crowd = self.former.len().saturating_sub(FORMER_MAX);
        self.former.drain(..crowd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: MessageId = MessageId::from_bytes([9; 16]);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn link(names: &[&str], before: &[&str], secs: u64) -> IdentityLink {
        IdentityLink::new(names, before, at(secs)).unwrap()
    }

    fn person(id: u8, names: &[&str]) -> Person {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Person { id: MessageId::from_bytes([id; 16]), names, former: Vec::new() }
    }

    #[test]
    fn two_spellings_of_one_number_are_one_name() {
        assert_eq!(IdentityLink::new(&["+525512345678", "+5215512345678"], &[], at(1)), None);
        let both = link(&["+5215512345678", "MX.1"], &["+525512345678"], 1);
        assert_eq!(
            (both.names.as_slice(), both.before.is_empty()),
            (["+525512345678", "MX.1"].map(Into::into).as_slice(), true)
        );
    }

    #[test]
    fn a_link_of_two_names_links_all_that_each_was_linked_to() {
        let known = [person(1, &["+4915112345678", "DE.1"]), person(2, &["DE.2", "DE.ENT.2"])];
        let after = Person::after(&known, &link(&["+4915112345678", "DE.2"], &[], 5), ID, at(5)).unwrap();
        assert_eq!(after, person(1, &["+4915112345678", "DE.1", "DE.2", "DE.ENT.2"]));
        assert_eq!(Person::after(&[], &link(&["+4915112345678", "DE.2"], &[], 5), ID, at(5)).unwrap().id, ID);
    }

    #[test]
    fn who_changes_their_number_leaves_the_old_one_and_older_news_do_not_bring_it_back() {
        let known = [person(1, &["+4915112345678", "DE.1"])];
        let moved = link(&["+4915187654321", "DE.2"], &["+4915112345678", "DE.1"], 5);
        let after = Person::after(&known, &moved, ID, at(9)).unwrap();
        assert_eq!(after.names, ["DE.1", "+4915187654321", "DE.2"]);
        assert_eq!(after.former, [Former { name: "+4915112345678".into(), until: at(5) }]);
        let again = [after];
        for old in [moved, link(&["+4915112345678", "DE.1"], &[], 4)] {
            assert_eq!(Person::after(&again, &old, ID, at(99)), None);
        }
        let back = Person::after(&again, &link(&["+4915112345678", "DE.2"], &[], 6), ID, at(99)).unwrap();
        assert!(back.former.is_empty() && back.names.len() == 4);
    }

    #[test]
    fn a_new_id_without_a_number_leaves_every_number() {
        let known = [person(1, &["+4915112345678", "DE.1"])];
        let after = Person::after(&known, &link(&["DE.2"], &["DE.1"], 5), ID, at(5)).unwrap();
        assert_eq!((after.names.as_slice(), after.former.len()), (["DE.1", "DE.2"].map(Into::into).as_slice(), 1));
    }

    #[test]
    fn names_are_bounded_and_the_oldest_go_first() {
        let mut known = vec![person(1, &["+4915112345678"])];
        for n in 0..40 {
            let news = link(&[known[0].names.last().unwrap().as_str(), &format!("DE.{n}")], &[], n);
            known = vec![Person::after(&known, &news, ID, at(n)).unwrap()];
        }
        assert_eq!((known[0].names.len(), known[0].former.len()), (NAMES_MAX, FORMER_MAX));
        assert_eq!(known[0].names.last().unwrap(), "DE.39");
        assert_eq!(known[0].former[FORMER_MAX - 1].name, "DE.31");
    }
}
