//! People of several names: what links two of them goes into the commit of what told of it, and with it what either has
//! said of consent. From then on consent is recorded under all of them, so that asking for it takes one look at one name.

use domain::audit::{Fact, Subject};
use domain::consent::{Consent, Source, Statement};
use domain::people::{IdentityLink, NameOwners, Person, is_number};
use domain::{Message, MessageId, Seq, Timestamp, spelling};
use store::{KnownNames, StoreError};

use super::State;
use super::uncommitted::Uncommitted;
use super::writer::Transaction;

/// Links in commits on their way.
#[derive(Default)]
pub(super) struct People {
    owners: Uncommitted<String, NameOwners>,
    /// `None`: gone.
    persons: Uncommitted<MessageId, Option<Person>>,
}

impl People {
    pub(super) fn committed(&mut self, seq: Seq) {
        self.owners.committed(seq);
        self.persons.committed(seq);
    }
}

fn linked(person: &Person) -> Fact {
    let counted = |names: usize| u8::try_from(names).unwrap_or(u8::MAX);
    Fact::Linked { names: counted(person.names.len()), former: counted(person.former.len()) }
}

impl State {
    fn name_owners(&self, canonical: &str) -> Result<NameOwners, StoreError> {
        match self.people.owners.get(canonical) {
            Some(owners) => Ok(owners.clone()),
            None => self.ctx.store.name_owners(self.record.no, canonical),
        }
    }

    fn person(&self, id: MessageId) -> Result<Option<Person>, StoreError> {
        match self.people.persons.get(&id) {
            Some(person) => Ok(person.clone()),
            None => self.ctx.store.person(self.record.no, id),
        }
    }

    /// Who has a name now, if they have several.
    pub(super) fn holder(&self, name: &str) -> Result<Option<Person>, StoreError> {
        self.holder_by(&self.name_owners(&spelling::canonical(name))?)
    }

    fn holder_by(&self, owners: &NameOwners) -> Result<Option<Person>, StoreError> {
        Ok(owners.now.map(|id| self.person(id)).transpose()?.flatten())
    }

    /// Who had a name at a time, by Meta's clock, and gave it up since.
    pub(super) fn had(&self, name: &str, at: Timestamp) -> Result<Option<Person>, StoreError> {
        let name = spelling::canonical(name);
        self.had_by(&self.name_owners(&name)?, &name, at)
    }

    fn had_by(&self, owners: &NameOwners, name: &str, at: Timestamp) -> Result<Option<Person>, StoreError> {
        let mut first: Option<(Timestamp, Person)> = None;
        for id in &owners.before {
            let Some(person) = self.person(*id)? else { continue };
            let until = person.former.iter().find(|former| former.name == name).map(|former| former.until);
            if let Some(until) = until.filter(|until| *until >= at)
                && first.as_ref().is_none_or(|(earliest, _)| until < *earliest)
            {
                first = Some((until, person));
            }
        }
        Ok(first.map(|(_, person)| person))
    }

    /// All that whoever has a name is known by, durable or not.
    pub(super) fn known_names(&self, name: &str) -> Result<KnownNames, StoreError> {
        Ok(KnownNames::new(name, self.holder(name)?))
    }

    /// Follows a link between the names of one person.
    pub(super) fn link(&mut self, transaction: &mut Transaction, link: &IdentityLink) -> Result<(), StoreError> {
        let (mut known, mut others): (Vec<Person>, Vec<Person>) = (Vec::new(), Vec::new());
        let (moved_to, kept): (Vec<_>, Vec<_>) = link.all().partition(|name| link.is_moved_to(name));
        for name in kept.iter().chain(&moved_to) {
            let owners = self.name_owners(name)?;
            if self.had_by(&owners, name, link.at)?.is_some() {
                // It is of who had the name then.
                return Ok(());
            }
            let Some(holder) =
                self.holder_by(&owners)?.filter(|holder| known.iter().all(|person| person.id != holder.id))
            else {
                continue;
            };
            if link.is_moved_to(name) { others.push(holder) } else { known.push(holder) }
        }
        let id = self.ctx.clock.new_message_id(transaction.at);
        let Some(after) = Person::after(&known, link, id, transaction.at) else { return Ok(()) };
        if known.as_slice() == std::slice::from_ref(&after) {
            return Ok(());
        }
        let seq = self.writer.fact(transaction, Subject::Person(after.id), linked(&after))?;
        for name in moved_to {
            if known.iter().all(|person| !person.names.contains(name)) {
                self.take_from(transaction, &others, name, link.moment(transaction.at))?;
            }
        }
        let mut names: Vec<_> = link.all().collect();
        names.extend(known.iter().flat_map(|person| &person.names));
        names.sort_unstable();
        names.dedup();
        self.agree(transaction, &names)?;
        for name in names.into_iter().filter(|name| !after.names.contains(name)) {
            self.leave_behind(transaction, name)?;
        }
        self.relink(transaction, seq, &known, Some(&after))
    }

    /// A number is somebody else's from a time on than whoever had it before, perhaps one of `others`.
    fn take_from(
        &mut self,
        transaction: &mut Transaction,
        others: &[Person],
        name: &str,
        then: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some(known) = self.known(name)? {
            self.keep_left(transaction, name, &known, known.left_behind_at(then))?;
        }
        let Some(before) = others.iter().find(|person| person.names.iter().any(|own| own == name)) else {
            return Ok(());
        };
        let after = before.without(name, then);
        let fact = after.as_ref().map_or(Fact::Linked { names: 0, former: 0 }, linked);
        let seq = self.writer.fact(transaction, Subject::Person(before.id), fact)?;
        self.relink(transaction, seq, std::slice::from_ref(before), after.as_ref())
    }

    /// Links what something tells of a message's recipient. The number that it went to is theirs only where no other is told:
    /// they may have changed it meanwhile.
    pub(super) fn meet(
        &mut self,
        transaction: &mut Transaction,
        message: &Message,
        others: &[String],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (is_to_id, has_number) = (message.to.is_user_id(), others.iter().any(|name| is_number(name)));
        let tells_ids = others.iter().any(|name| !is_number(name));
        if !(is_to_id || tells_ids) || message.erased.is_some() || self.erasures.cover(message) {
            return Ok(());
        }
        let mut names: Vec<&str> = others.iter().map(String::as_str).collect();
        if is_to_id || !has_number {
            names.push(message.to.as_str());
        }
        match IdentityLink::new(&names, &[], at) {
            Some(link) => self.link(transaction, &link),
            None => Ok(()),
        }
    }

    /// Lets all names say the same of consent, and know the same repeats.
    fn agree(&mut self, transaction: &mut Transaction, names: &[&String]) -> Result<(), StoreError> {
        let mut known = names.iter().map(|name| self.known_as(transaction, name)).collect::<Result<Vec<_>, _>>()?;
        let before = known.clone();
        for (own, name) in known.iter_mut().zip(names) {
            // A name without any statement gets its record below, with the consent that is missing.
            if own.merge_seen(&before) && (own.transactional.is_some() || own.marketing.is_some()) {
                transaction.commit.consent(own)?;
                self.uncommitted_consents.note(self.writer.head.last_seq, (*name).clone(), own.clone());
            }
        }
        for missing in Consent::agree(&known) {
            let (Some(own), Some(name)) = (known.get_mut(missing.name), names.get(missing.name)) else { continue };
            let statement = Statement {
                choice: missing.last.choice,
                covers: missing.covers,
                at: missing.last.at,
                recorded_at: transaction.at,
                by: transaction.by.clone(),
                source: Source::Linked { consent: missing.consent, record: missing.last.record },
            };
            *own = own.with(&missing, self.writer.head.last_seq + 1);
            self.record_statement(transaction, name, own.clone(), &statement, None)?;
        }
        Ok(())
    }

    /// A name that its holder gave up keeps their revocations only.
    fn leave_behind(&mut self, transaction: &mut Transaction, name: &str) -> Result<(), StoreError> {
        let Some(known) = self.known(name)? else { return Ok(()) };
        self.keep_left(transaction, name, &known, known.left_behind())
    }

    fn keep_left(
        &mut self,
        transaction: &mut Transaction,
        name: &str,
        known: &Consent,
        left: Consent,
    ) -> Result<(), StoreError> {
        if left != *known {
            transaction.commit.erase_consent(name, &left)?;
            self.uncommitted_consents.note(self.writer.head.last_seq, name.to_owned(), left);
        }
        Ok(())
    }

    /// Unlinks all names of whoever has a name; from those who gave it up, it goes. `seq` is an entry of the same commit.
    pub(super) fn unlink(&mut self, transaction: &mut Transaction, seq: Seq, name: &str) -> Result<(), StoreError> {
        let NameOwners { now, before } = self.name_owners(name)?;
        if let Some(person) = now.map(|id| self.person(id)).transpose()?.flatten() {
            self.relink(transaction, seq, &[person], None)?;
        }
        for id in before {
            let Some(person) = self.person(id)? else { continue };
            let left = person.without_former(name);
            self.relink(transaction, seq, &[person], left.as_ref())?;
        }
        Ok(())
    }

    /// Replaces the persons `before` by `after`.
    fn relink(
        &mut self,
        transaction: &mut Transaction,
        seq: Seq,
        before: &[Person],
        after: Option<&Person>,
    ) -> Result<(), StoreError> {
        let mut names: Vec<&String> = before.iter().chain(after).flat_map(Person::all_names).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let old = self.name_owners(name)?;
            let mut owners = old.clone();
            for person in before {
                owners.cut(person.id);
            }
            if let Some(after) = after {
                if after.names.contains(name) {
                    owners.now = Some(after.id);
                } else if after.former.iter().any(|former| former.name == *name) {
                    owners.before.push(after.id);
                }
            }
            if owners != old {
                transaction.commit.name_owners(name, &owners)?;
                self.people.owners.note(seq, name.clone(), owners);
            }
        }
        for gone in before.iter().filter(|person| after.is_none_or(|after| after.id != person.id)) {
            transaction.commit.forget_person(gone.id);
            self.people.persons.note(seq, gone.id, None);
        }
        if let Some(after) = after {
            transaction.commit.person(after)?;
            self.people.persons.note(seq, after.id, Some(after.clone()));
        }
        Ok(())
    }
}
