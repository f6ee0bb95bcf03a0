//! People of several names: each name leads to its person and back, and consent is the same under all that one has now.

use domain::consent::Consent;
use domain::message::Category;
use domain::people::{FORMER_MAX, NAMES_MAX, Person, Ties};

use super::{Broken, Of, Walk, name};
use crate::codec::decode;
use crate::keys;

impl Walk<'_> {
    /// Checks everybody who is known by several names.
    pub(super) fn people(&mut self) {
        self.each(b'P', |walk, key, bytes| match decode::<Person>(name(b'P'), bytes) {
            Ok(person) if keys::person(walk.org, person.id) == key => walk.person(&person),
            Ok(person) => walk.wrong(name(b'P'), Of::Message(person.id), Broken::Differs),
            Err(error) => walk.wrong(name(b'P'), Of::Organisation, Broken::Unreadable(error)),
        });
        let mut found = 0;
        self.each(b'A', |walk, _, bytes| match decode::<Ties>(name(b'A'), bytes) {
            Ok(ties) => found += u64::from(ties.now.is_some()) + u64::try_from(ties.before.len()).unwrap_or(u64::MAX),
            Err(error) => walk.wrong(name(b'A'), Of::Organisation, Broken::Unreadable(error)),
        });
        let said = self.expected.get(&b'A').copied().unwrap_or_default();
        if said != found {
            self.wrong(name(b'A'), Of::Organisation, Broken::Count { said, found });
        }
    }

    fn person(&mut self, person: &Person) {
        let (org, of) = (self.org, Of::Message(person.id));
        let (now, before) = (person.names.len(), person.former.len());
        if now > NAMES_MAX || before > FORMER_MAX || now + before < 2 {
            self.wrong(name(b'P'), of, Broken::Differs);
        }
        for own in &person.names {
            self.expect_record::<Ties>(&keys::name(org, own), of, |ties| ties.now == Some(person.id));
        }
        for former in &person.former {
            self.expect_record::<Ties>(&keys::name(org, &former.name), of, |ties| ties.before.contains(&person.id));
        }
        let known = person.names.iter().map(|own| self.store.consent(org, own)).collect::<Result<Vec<_>, _>>();
        let said = |known: &Option<Consent>| {
            [Category::Transactional, Category::Marketing]
                .map(|category| known.as_ref()?.standing(category).map(|said| (said.choice, said.at)))
        };
        match known {
            Ok(known) if known.windows(2).all(|two| two.first().map(said) == two.last().map(said)) => {}
            Ok(_) => self.wrong(name(b'c'), of, Broken::Differs),
            Err(error) => self.wrong(name(b'c'), of, Broken::Unreadable(error)),
        }
    }
}
