//! People of several names: what links two of them goes into the commit of what told of it, and with it what either has
//! said of consent. From then on consent is recorded under all of them, so that asking for it takes one look at one name.

use domain::audit::{Fact, Subject};
use domain::consent::{Consent, Source, Statement};
use domain::people::{Person, Ties, Told, is_number};
use domain::{Message, MessageId, Seq, Timestamp, spelling};
use store::{Called, StoreError};

use super::State;
use super::fresh::Fresh;
use super::ledger::Draft;

/// Links in commits on their way.
#[derive(Default)]
pub(super) struct People {
    ties: Fresh<String, Ties>,
    /// `None`: gone.
    persons: Fresh<MessageId, Option<Person>>,
}

impl People {
    pub(super) fn landed(&mut self, seq: Seq) {
        self.ties.landed(seq);
        self.persons.landed(seq);
    }
}

fn linked(person: &Person) -> Fact {
    let counted = |names: usize| u8::try_from(names).unwrap_or(u8::MAX);
    Fact::Linked { names: counted(person.names.len()), former: counted(person.former.len()) }
}

impl State {
    fn ties(&self, canonical: &str) -> Result<Ties, StoreError> {
        match self.people.ties.get(canonical) {
            Some(ties) => Ok(ties.clone()),
            None => self.ctx.store.ties(self.record.no, canonical),
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
        self.holder_by(&self.ties(&spelling::canonical(name))?)
    }

    fn holder_by(&self, ties: &Ties) -> Result<Option<Person>, StoreError> {
        Ok(ties.now.map(|id| self.person(id)).transpose()?.flatten())
    }

    /// Who had a name at a time, by Meta's clock, and gave it up since.
    pub(super) fn had(&self, name: &str, at: Timestamp) -> Result<Option<Person>, StoreError> {
        let name = spelling::canonical(name);
        self.had_by(&self.ties(&name)?, &name, at)
    }

    fn had_by(&self, ties: &Ties, name: &str, at: Timestamp) -> Result<Option<Person>, StoreError> {
        let mut first: Option<(Timestamp, Person)> = None;
        for id in &ties.before {
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
    pub(super) fn called(&self, name: &str) -> Result<Called, StoreError> {
        Ok(Called::new(name, self.holder(name)?))
    }

    /// Follows what something told of one person's names.
    pub(super) fn link(&mut self, draft: &mut Draft, told: &Told) -> Result<(), StoreError> {
        let (mut known, mut others): (Vec<Person>, Vec<Person>) = (Vec::new(), Vec::new());
        let (moved_to, kept): (Vec<_>, Vec<_>) = told.all().partition(|name| told.is_moved_to(name));
        for name in kept.iter().chain(&moved_to) {
            let ties = self.ties(name)?;
            if self.had_by(&ties, name, told.at)?.is_some() {
                // It is of who had the name then.
                return Ok(());
            }
            let Some(holder) =
                self.holder_by(&ties)?.filter(|holder| known.iter().all(|person| person.id != holder.id))
            else {
                continue;
            };
            if told.is_moved_to(name) { others.push(holder) } else { known.push(holder) }
        }
        let id = self.ctx.clock.new_message_id(draft.at);
        let Some(after) = Person::after(&known, told, id, draft.at) else { return Ok(()) };
        if known.as_slice() == std::slice::from_ref(&after) {
            return Ok(());
        }
        let seq = self.ledger.fact(draft, Subject::Person(after.id), linked(&after))?;
        for name in moved_to {
            if known.iter().all(|person| !person.names.contains(name)) {
                self.take_from(draft, &others, name, told.moment(draft.at))?;
            }
        }
        let mut names: Vec<_> = told.all().collect();
        names.extend(known.iter().flat_map(|person| &person.names));
        names.sort_unstable();
        names.dedup();
        self.agree(draft, &names)?;
        for name in names.into_iter().filter(|name| !after.names.contains(name)) {
            self.leave_behind(draft, name)?;
        }
        self.tie(draft, seq, &known, Some(&after))
    }

    /// A number is somebody else's from a time on than whoever had it before, perhaps one of `others`.
    fn take_from(
        &mut self,
        draft: &mut Draft,
        others: &[Person],
        name: &str,
        then: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some(known) = self.known(name)? {
            self.keep_left(draft, name, &known, known.left_behind_at(then))?;
        }
        let Some(before) = others.iter().find(|person| person.names.iter().any(|own| own == name)) else {
            return Ok(());
        };
        let after = before.without(name, then);
        let fact = after.as_ref().map_or(Fact::Linked { names: 0, former: 0 }, linked);
        let seq = self.ledger.fact(draft, Subject::Person(before.id), fact)?;
        self.tie(draft, seq, std::slice::from_ref(before), after.as_ref())
    }

    /// Links what something tells of a message's recipient. The number that it went to is theirs only where no other is told:
    /// they may have changed it meanwhile.
    pub(super) fn meet(
        &mut self,
        draft: &mut Draft,
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
        match Told::new(&names, &[], at) {
            Some(told) => self.link(draft, &told),
            None => Ok(()),
        }
    }

    /// Lets all names say the same of consent, and know the same repeats.
    fn agree(&mut self, draft: &mut Draft, names: &[&String]) -> Result<(), StoreError> {
        let mut known = names.iter().map(|name| self.known_as(draft, name)).collect::<Result<Vec<_>, _>>()?;
        let before = known.clone();
        for (own, name) in known.iter_mut().zip(names) {
            // One of whom nothing was said gets a record with the statement that it lacks.
            if own.hear(&before) && (own.transactional.is_some() || own.marketing.is_some()) {
                draft.commit.consent(own)?;
                self.fresh.note(self.ledger.head.last_seq, (*name).clone(), own.clone());
            }
        }
        for lack in Consent::agree(&known) {
            let (Some(own), Some(name)) = (known.get_mut(lack.name), names.get(lack.name)) else { continue };
            let statement = Statement {
                choice: lack.last.choice,
                covers: lack.covers,
                at: lack.last.at,
                recorded_at: draft.at,
                by: draft.by.clone(),
                source: Source::Linked { consent: lack.consent, record: lack.last.record },
            };
            *own = own.with(&lack, self.ledger.head.last_seq + 1);
            self.record_statement(draft, name, own.clone(), &statement, None)?;
        }
        Ok(())
    }

    /// A name that its holder gave up keeps their revocations only.
    fn leave_behind(&mut self, draft: &mut Draft, name: &str) -> Result<(), StoreError> {
        let Some(known) = self.known(name)? else { return Ok(()) };
        self.keep_left(draft, name, &known, known.left_behind())
    }

    fn keep_left(&mut self, draft: &mut Draft, name: &str, known: &Consent, left: Consent) -> Result<(), StoreError> {
        if left != *known {
            draft.commit.erase_consent(name, &left)?;
            self.fresh.note(self.ledger.head.last_seq, name.to_owned(), left);
        }
        Ok(())
    }

    /// Unlinks all names of whoever has a name; from those who gave it up, it goes. `seq` is an entry of the same commit.
    pub(super) fn untie(&mut self, draft: &mut Draft, seq: Seq, name: &str) -> Result<(), StoreError> {
        let Ties { now, before } = self.ties(name)?;
        if let Some(person) = now.map(|id| self.person(id)).transpose()?.flatten() {
            self.tie(draft, seq, &[person], None)?;
        }
        for id in before {
            let Some(person) = self.person(id)? else { continue };
            let left = person.without_former(name);
            self.tie(draft, seq, &[person], left.as_ref())?;
        }
        Ok(())
    }

    /// Puts `after` in the place of the persons `before`.
    fn tie(
        &mut self,
        draft: &mut Draft,
        seq: Seq,
        before: &[Person],
        after: Option<&Person>,
    ) -> Result<(), StoreError> {
        let mut names: Vec<&String> = before.iter().chain(after).flat_map(Person::all_names).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let old = self.ties(name)?;
            let mut ties = old.clone();
            for person in before {
                ties.cut(person.id);
            }
            if let Some(after) = after {
                if after.names.contains(name) {
                    ties.now = Some(after.id);
                } else if after.former.iter().any(|former| former.name == *name) {
                    ties.before.push(after.id);
                }
            }
            if ties != old {
                draft.commit.ties(name, &ties)?;
                self.people.ties.note(seq, name.clone(), ties);
            }
        }
        for gone in before.iter().filter(|person| after.is_none_or(|after| after.id != person.id)) {
            draft.commit.forget_person(gone.id);
            self.people.persons.note(seq, gone.id, None);
        }
        if let Some(after) = after {
            draft.commit.person(after)?;
            self.people.persons.note(seq, after.id, Some(after.clone()));
        }
        Ok(())
    }
}
