//! Consent: what recipients say goes into the commit of what brought it, and nothing goes to whom it may not. The
//! question is asked where steps are put in order: once a revocation is answered, no attempt begins.

use std::sync::Arc;

use domain::audit::{By, Fact, Subject};
use domain::consent::{self, Choice, Consent, Covers, Preference, Refusal, Source, Statement};
use domain::intake::{NewMessage, OWN_KEYS};
use domain::lifecycle::{Decision, Event, Move, OptOut, decide};
use domain::message::{Category, Recipient};
use domain::org::ConsentPolicy;
use domain::people::IdentityLink;
use domain::{AttemptNo, AttemptRef, Dossier, Inbound, Message, State as MessageState, spelling};
use ractor::ActorProcessingErr;
use serde_json::json;
use store::group_commit::Slot;
use store::{CommitError, StoreError, Unavailable};
use tokio::sync::oneshot;
use whatsapp::webhook::Said;

use super::commit_slot::reserve;
use super::writer::Transaction;
use super::{After, State};

/// What a client tells of a recipient.
pub(crate) struct ConsentRequest {
    /// A phone number, or Meta's id of a user.
    pub(crate) name: String,
    pub(crate) choice: Choice,
    pub(crate) covers: Covers,
    pub(crate) source: Source,
    pub(crate) by: By,
    pub(crate) reply: oneshot::Sender<Result<Consent, Unavailable>>,
}

impl State {
    pub(super) fn consent(&mut self, request: ConsentRequest) -> Result<(), ActorProcessingErr> {
        let ConsentRequest { name, choice, covers, source, by, reply } = request;
        let committer = self.ctx.committer.clone();
        let Some((slot, reply)) = reserve(&committer, reply) else { return Ok(()) };
        let now = self.ctx.clock.now();
        let mut transaction = self.writer.begin(now, by.clone());
        let statement = Statement { choice, covers, at: now, recorded_at: now, by, source };
        let Some(known) = self.say(&mut transaction, &name, &statement, None)? else { return Ok(()) };
        self.writer.close(&mut transaction)?;
        self.submit(slot, transaction, After::Changed, move |result| {
            let _ = reply.send(result.map(|()| known).map_err(|_| Unavailable::Closed));
        });
        Ok(())
    }

    /// What is known of a recipient, durable or not.
    pub(super) fn known(&self, canonical: &str) -> Result<Option<Consent>, StoreError> {
        match self.uncommitted_consents.get(canonical) {
            Some(consent) => Ok(Some(consent.clone())),
            None => self.ctx.store.consent(self.record.no, canonical),
        }
    }

    /// The same, also of one of whom nothing is. One that was erased has a name again from here on.
    pub(super) fn known_as(&self, transaction: &Transaction, canonical: &str) -> Result<Consent, StoreError> {
        let unknown = || Consent::unknown(self.ctx.clock.new_message_id(transaction.at), String::new());
        let mut known = self.known(canonical)?.unwrap_or_else(unknown);
        canonical.clone_into(&mut known.recipient);
        Ok(known)
    }

    /// Adds a statement of whoever has this name to a transaction, under all names of theirs; what is then known under the first.
    /// `None` if it tells nothing new, and then nothing is added.
    fn say(
        &mut self,
        transaction: &mut Transaction,
        name: &str,
        statement: &Statement,
        dossier: Option<&Dossier>,
    ) -> Result<Option<Consent>, StoreError> {
        let had = match statement.source {
            // Of the present.
            Source::Api { .. } | Source::Linked { .. } => None,
            Source::Word { .. } | Source::Preference { .. } | Source::OptOut { .. } => self.had(name, statement.at)?,
        };
        let Some(person) = had else {
            return self.say_under(transaction, &self.known_names(name)?.names, statement, dossier);
        };
        // It came late. As if it had come in time, it goes with them, and a revocation stays with the name, too.
        let known = self.say_under(transaction, &person.names, statement, dossier)?;
        if statement.choice == Choice::Revoked {
            self.say_under(transaction, &self.known_names(name)?.names, statement, None)?;
        }
        Ok(known)
    }

    /// The same under all these names of one person.
    fn say_under(
        &mut self,
        transaction: &mut Transaction,
        names: &[String],
        statement: &Statement,
        dossier: Option<&Dossier>,
    ) -> Result<Option<Consent>, StoreError> {
        let Some((name, others)) = names.split_first() else { return Ok(None) };
        let known = self.known_as(transaction, name)?;
        let Some(next) = known.after(statement, self.writer.head.last_seq + 1) else { return Ok(None) };
        self.record_statement(transaction, name, next.clone(), statement, dossier)?;
        for other in others {
            let other_next = self.known_as(transaction, other)?.like(&next, self.writer.head.last_seq + 1);
            self.record_statement(transaction, other, other_next, statement, None)?;
        }
        Ok(Some(next))
    }

    /// The same, of somebody who shows several names; what is then known under the first.
    fn say_as(
        &mut self,
        transaction: &mut Transaction,
        shown: &[&str],
        statement: &Statement,
        dossier: Option<&Dossier>,
    ) -> Result<Option<Consent>, StoreError> {
        let (mut said, mut first) = (Vec::new(), None);
        for name in shown {
            // Nearly always they are linked by now, and the first has said it for all.
            if said.iter().any(|known| *known == spelling::canonical(name)) {
                continue;
            }
            let is_first = said.is_empty();
            said.extend(self.known_names(name)?.names);
            let known = self.say(transaction, name, statement, dossier.filter(|_| is_first))?;
            if is_first {
                first = known;
            }
        }
        Ok(first)
    }

    /// Adds a statement under one name, and what is known there after it: its id is the next entry's number.
    pub(super) fn record_statement(
        &mut self,
        transaction: &mut Transaction,
        canonical: &str,
        next: Consent,
        statement: &Statement,
        dossier: Option<&Dossier>,
    ) -> Result<(), StoreError> {
        let fact = Fact::Consent { choice: statement.choice, covers: statement.covers };
        let seq = self.writer.entry(transaction, Subject::Consent(next.id), fact, dossier)?;
        transaction.commit.statement(&next, seq, statement)?;
        self.uncommitted_consents.note(seq, canonical.to_owned(), next);
        Ok(())
    }

    /// Follows an inbound message that is just a stop or a start word, or Meta's own label for the end of marketing.
    pub(super) fn follow_words(
        &mut self,
        transaction: &mut Transaction,
        inbound: &Inbound,
        dossier: Option<&Dossier>,
    ) -> Result<(), StoreError> {
        let Some((choice, covers)) = self.chosen(&whatsapp::webhook::said(&inbound.payload)) else { return Ok(()) };
        let statement = Statement {
            choice,
            covers,
            at: inbound.at.min(inbound.received_at),
            recorded_at: transaction.at,
            by: transaction.by.clone(),
            source: Source::Word { inbound: inbound.id },
        };
        let names: Vec<_> = inbound.names().collect();
        match self.say_as(transaction, &names, &statement, dossier)? {
            Some(known) => self.confirm(transaction, known, choice, inbound, dossier),
            None => Ok(()),
        }
    }

    /// What somebody chose who said all of this at once: a revocation before a grant, and of two revocations the one of more.
    fn chosen(&self, said: &[Said]) -> Option<(Choice, Covers)> {
        let chosen = said.iter().filter_map(|said| {
            let choice = self.record.words.choice(&said.text)?;
            (said.is_said_alone || choice.0 == Choice::Revoked).then_some(choice)
        });
        chosen.max_by_key(|(choice, covers)| (*choice == Choice::Revoked, *covers == Covers::Both))
    }

    /// Answers a stop or a start word, once a day, where the organisation wants it: by a message like any other, accepted
    /// in the same commit.
    fn confirm(
        &mut self,
        transaction: &mut Transaction,
        mut known: Consent,
        choice: Choice,
        inbound: &Inbound,
        dossier: Option<&Dossier>,
    ) -> Result<(), StoreError> {
        let Some((shown, text)) = inbound.names().next().zip(self.record.words.reply(choice)) else { return Ok(()) };
        // One who has given up the name that they wrote under is not there any more.
        let to = if spelling::canonical(shown) == known.recipient { shown } else { &known.recipient };
        let body = json!({"to": to, "payloadJson": {"type": "text", "text": {"body": text}}});
        let key = format!("{OWN_KEYS}{}:{}:{}", choice.as_str(), known.id, transaction.at.day());
        let is_used = self.ctx.store.idempotency(self.record.no, &key)?.is_some();
        if is_used || !self.has_room() || !known.confirm(choice, transaction.at) {
            return Ok(());
        }
        let parsed = body.as_object().map(|body| NewMessage::parse(body, None, transaction.at));
        let Some(Ok(request)) = parsed else { return Ok(()) };
        transaction.commit.consent(&known)?;
        self.uncommitted_consents.note(self.writer.head.last_seq, known.recipient.clone(), known);
        let fingerprint = request.fingerprint;
        let id = self.ctx.clock.new_message_id(transaction.at);
        let message = Message {
            category: Category::Confirmation,
            dossier: dossier.cloned(),
            idempotency_key: Some(key),
            ..request.into_message(id, inbound.sender.clone(), inbound.sender_no, transaction.at)
        };
        let state = self.first_state(&message, transaction.at);
        // Nobody asked for it but twotick itself.
        let by = std::mem::replace(&mut transaction.by, By::System);
        self.writer.accept(transaction, &Arc::new(message), state, &fingerprint)?;
        transaction.by = by;
        Ok(())
    }

    /// Follows WhatsApp's own switch for marketing messages.
    pub(super) fn prefer(&mut self, transaction: &mut Transaction, preference: Preference) -> Result<(), StoreError> {
        let Preference { names, choice, at, detail } = preference;
        let statement = Statement {
            choice,
            covers: Covers::Marketing,
            at: at.min(transaction.at),
            recorded_at: transaction.at,
            by: transaction.by.clone(),
            source: Source::Preference { told_at: at, detail },
        };
        for name in &names {
            if self.known(&spelling::canonical(name))?.is_some_and(|known| known.has_seen(&statement)) {
                // A repeat, perhaps of one who was erased since: it must not bring their names back.
                return Ok(());
            }
        }
        if let Some(link) = IdentityLink::new(&names, &[], at) {
            self.link(transaction, &link)?;
        }
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        self.say_as(transaction, &names, &statement, None)?;
        Ok(())
    }

    /// Adds a step of a message to a transaction. An attempt that consent no longer lets go does not begin; what the step tells
    /// of the recipient is recorded with it.
    pub(super) fn take_step(
        &mut self,
        transaction: &mut Transaction,
        message: &Arc<Message>,
        before: &MessageState,
        step: Move,
        response: Option<(AttemptNo, Vec<u8>)>,
    ) -> Result<Arc<MessageState>, StoreError> {
        let step = match step.call {
            Some(_) => match self.consent_denied(transaction, message, before)? {
                Some(end) => end,
                None => self.ration(transaction, message, before)?.unwrap_or(step),
            },
            None => step,
        };
        if let Some((_, answer)) = &response {
            self.meet(transaction, message, &whatsapp::answer::user_ids(answer), transaction.at)?;
        }
        let opt_out = step.opt_out;
        let after = self.writer.apply(transaction, message, before, step, response)?;
        if let Some(OptOut { attempt, at }) = opt_out {
            let statement = Statement {
                choice: Choice::Revoked,
                covers: Covers::Marketing,
                at,
                recorded_at: transaction.at,
                by: By::WhatsApp,
                source: Source::OptOut { attempt: AttemptRef { message: message.id, attempt } },
            };
            self.say(transaction, message.to.as_str(), &statement, message.dossier.as_ref())?;
        }
        Ok(after)
    }

    /// The step that ends a message in place of an attempt, if its recipient's consent does not let it go, or its recipient
    /// is being erased.
    fn consent_denied(
        &self,
        transaction: &Transaction,
        message: &Message,
        before: &MessageState,
    ) -> Result<Option<Move>, StoreError> {
        let category = self.weighed(&message.from, message.category, || message.template())?;
        let event = match self.refusal(&message.to, category)? {
            _ if self.erasures.cover(message) => Event::Cancel,
            Some((refusal, _)) => Event::ConsentDenied(refusal),
            None => return Ok(None),
        };
        let decision = decide(message, before, &event, &self.ctx.settings().policy, transaction.at, 0.0);
        Ok(match decision {
            Decision::Move(step) => Some(*step),
            Decision::Ignore(_) => None,
        })
    }

    /// Why a message may not go, if so, and what that is known by.
    pub(super) fn refusal(&self, to: &Recipient, category: Category) -> Result<Option<(Refusal, Subject)>, StoreError> {
        if self.record.consent == ConsentPolicy::Off || category == Category::Confirmation {
            return Ok(None);
        }
        let known = self.known(&spelling::canonical(to.as_str()))?;
        let refused = consent::check(self.record.consent, category, known.as_ref()).err();
        let subject = known.map_or(Subject::Organisation, |known| Subject::Consent(known.id));
        Ok(refused.map(|refusal| (refusal, subject)))
    }

    /// Records that a request was refused; `then` answers it.
    pub(super) fn refuse(
        &mut self,
        slot: Slot<'_>,
        by: By,
        (refusal, subject): (Refusal, Subject),
        dossier: Option<&Dossier>,
        then: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) -> Result<(), ActorProcessingErr> {
        let mut transaction = self.writer.begin(self.ctx.clock.now(), by);
        self.writer.entry(&mut transaction, subject, Fact::Blocked(refusal), dossier)?;
        self.writer.close(&mut transaction)?;
        self.submit(slot, transaction, After::Changed, then);
        Ok(())
    }
}
