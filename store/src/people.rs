//! Who is behind a name: the links between the names of one person, written and read.

use domain::people::{Former, NameOwners, Person};
use domain::{MessageId, OrgNo, spelling};

use crate::backend::StoreError;
use crate::commit::Commit;
use crate::keys;
use crate::store::Store;

/// All that somebody is known by. Names are canonical spellings of phone numbers, and Meta's ids of users.
#[derive(Clone, Debug, Default)]
pub struct KnownNames {
    /// What they are known by now, the name that was asked for first.
    pub names: Vec<String>,
    /// What they were known by before.
    pub former: Vec<Former>,
}

impl KnownNames {
    /// Somebody of this name, in any spelling, who is this person if it is one that is known.
    pub fn new(name: &str, person: Option<Person>) -> Self {
        let name = spelling::canonical(name).into_owned();
        let (others, former) = person.map_or_else(Default::default, |person| (person.names, person.former));
        let mut names = vec![name];
        names.extend(others.into_iter().filter(|other| names.first() != Some(other)).collect::<Vec<_>>());
        Self { names, former }
    }
}

impl Store {
    /// Who is behind a name in any spelling.
    pub fn name_owners(&self, org: OrgNo, name: &str) -> Result<NameOwners, StoreError> {
        Ok(self.record("name", &keys::name(org, name))?.unwrap_or_default())
    }

    /// Somebody who is known by several names.
    pub fn person(&self, org: OrgNo, id: MessageId) -> Result<Option<Person>, StoreError> {
        self.record("person", &keys::person(org, id))
    }

    /// All that whoever has a name is known by.
    pub fn known_names(&self, org: OrgNo, name: &str) -> Result<KnownNames, StoreError> {
        let person = self.name_owners(org, name)?.now.map(|id| self.person(org, id)).transpose()?.flatten();
        Ok(KnownNames::new(name, person))
    }
}

impl Commit {
    /// Who is behind a name.
    pub fn name_owners(&mut self, name: &str, owners: &NameOwners) -> Result<(), StoreError> {
        let key = keys::name(self.org, name);
        if owners.is_empty() {
            self.delete(key);
            return Ok(());
        }
        self.put("name", key, owners)
    }

    /// Somebody who is known by several names.
    pub fn person(&mut self, person: &Person) -> Result<(), StoreError> {
        self.put("person", keys::person(self.org, person.id), person)
    }

    /// Their names are no longer linked.
    pub fn forget_person(&mut self, id: MessageId) {
        self.delete(keys::person(self.org, id));
    }
}
