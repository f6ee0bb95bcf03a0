//! People of several names: each name leads to its person and back, and consent is the same under all that one has now.

use domain::consent::Consent;
use domain::message::Category;
use domain::people::{FORMER_MAX, NAMES_MAX, NameOwners, Person};

use super::{Broken, Of, Walk, name};
use crate::backend::Write;
use crate::codec::{decode, encode};
use crate::keys;

impl Walk<'_> {
    /// Checks everybody who is known by several names.
    pub(super) fn people(&mut self) {
        self.each(b'P', |walk, key, bytes| match decode::<Person>(name(b'P'), bytes) {
            Ok(person) if keys::person(walk.org, person.id) == key => walk.person(&person),
            Ok(person) => walk.wrong(name(b'P'), Of::Message(person.id), Broken::Differs),
            Err(error) => walk.wrong(name(b'P'), Of::Organisation, Broken::Unreadable(error)),
        });
        self.each(b'A', |walk, key, bytes| match decode::<NameOwners>(name(b'A'), bytes) {
            Ok(owners) => walk.name(key, &owners),
            Err(error) => walk.wrong(name(b'A'), Of::Organisation, Broken::Unreadable(error)),
        });
    }

    /// A name leads only to those who have it, or had it.
    fn name(&mut self, key: &[u8], owners: &NameOwners) {
        let (org, store) = (self.org, self.store);
        let mut right = owners.clone();
        right.before.dedup();
        for id in owners.now.iter().chain(&owners.before) {
            // Who cannot be read was told before.
            let Ok(person) = store.person(org, *id) else { return };
            let has = |own: &String| keys::name(org, own) == key;
            let is_now = person.as_ref().is_some_and(|person| person.names.iter().any(has));
            let was = person.as_ref().is_some_and(|person| person.former.iter().any(|former| has(&former.name)));
            right.now = right.now.filter(|now| now != id || is_now);
            right.before.retain(|before| before != id || was);
        }
        if right == *owners && !owners.is_empty() {
            return;
        }
        let key = key.to_vec();
        let mend = if right.is_empty() { None } else { encode(name(b'A'), &right).ok() };
        let mend = match mend {
            Some(value) => Write::Put(key, value),
            None => Write::Delete(key),
        };
        self.mend(Of::Organisation, Broken::Stale, mend);
    }

    /// What a name should tell of, so that it leads to a person as well; `None` where it leads to another who has it now.
    fn tied(&self, own: &str, tie: impl FnOnce(&mut NameOwners)) -> Option<Vec<u8>> {
        let known = self.store.name_owners(self.org, own).unwrap_or_default();
        let mut owners = known.clone();
        tie(&mut owners);
        let other = known.now.filter(|_| known.now != owners.now);
        let has_it = |person: &Person| person.names.iter().any(|name| name == own);
        let is_anothers =
            other.is_some_and(|id| self.store.person(self.org, id).ok().flatten().as_ref().is_some_and(has_it));
        (!is_anothers).then(|| encode(name(b'A'), &owners).ok()).flatten()
    }

    fn person(&mut self, person: &Person) {
        let (org, of) = (self.org, Of::Message(person.id));
        let (now, before) = (person.names.len(), person.former.len());
        if now > NAMES_MAX || before > FORMER_MAX || now + before < 2 {
            self.wrong(name(b'P'), of, Broken::Differs);
        }
        for own in &person.names {
            let right = self.tied(own, |owners| owners.now = Some(person.id));
            self.expect_record::<NameOwners>(&keys::name(org, own), right, of, |owners| owners.now == Some(person.id));
        }
        for former in &person.former {
            let key = keys::name(org, &former.name);
            let right = self.tied(&former.name, |owners| owners.before.push(person.id));
            self.expect_record::<NameOwners>(&key, right, of, |owners| owners.before.contains(&person.id));
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
