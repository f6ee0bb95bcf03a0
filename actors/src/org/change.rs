//! Changes of the organisation itself: its senders, its keys, its end.

use std::sync::Arc;

use domain::Message;
use domain::audit::{By, Fact, Subject};
use domain::org::{ApiKey, Org, PutOrg};
use ractor::ActorProcessingErr;
use tokio::sync::oneshot;

use super::{After, State};
use crate::message::MessageMsg;
use crate::provider::ProviderMsg;
use crate::supervisor::{ChangeError, RootMsg};

/// A change of an organisation.
#[derive(Clone, Debug)]
pub enum OrgChange {
    /// Its settings and senders.
    Put(PutOrg),
    /// The same from the configuration file, with the keys that it names.
    Declare(PutOrg, Vec<ApiKey>),
    /// One more API key.
    AddKey(ApiKey),
    /// The end of the API key of this id.
    RevokeKey(String),
    /// Its end. Its data is purged afterwards.
    Delete,
}

pub(crate) struct ChangeRequest {
    pub(crate) change: OrgChange,
    pub(crate) by: By,
    pub(crate) reply: oneshot::Sender<Result<Arc<Org>, ChangeError>>,
}

impl State {
    pub(super) fn change(&mut self, request: ChangeRequest) -> Result<(), ActorProcessingErr> {
        let ChangeRequest { change, by, reply } = request;
        let committer = self.ctx.committer.clone();
        let planned = committer.reserve().map_err(ChangeError::from).and_then(|slot| {
            let (next, subject, fact) = self.plan_change(&change)?;
            Ok((slot, next, subject, fact))
        });
        let (slot, next, subject, fact) = match planned {
            Ok(planned) => planned,
            Err(error) => {
                let _ = reply.send(Err(error));
                return Ok(());
            }
        };
        let next = Arc::new(next);
        let is_same = Org { updated_at: self.record.updated_at, ..(*next).clone() } == *self.record;
        if is_same && self.is_kept {
            // A declaration that says nothing new: no reason to write.
            let _ = reply.send(Ok(Arc::clone(&self.record)));
            return Ok(());
        }
        let mut draft = self.ledger.draft(self.ctx.clock.now(), by);
        self.ledger.fact(&mut draft, subject, fact)?;
        draft.commit.org(Some(&self.record).filter(|_| self.is_kept).map(|record| &**record), &next)?;
        self.ledger.close(&mut draft)?;
        self.record = Arc::clone(&next);
        self.is_kept = true;
        let (directory, me) = (Arc::clone(&self.ctx.directory), self.me.clone());
        self.submit(slot, draft, After::Record, move |result| {
            let answer = match result {
                Ok(()) => {
                    // Before the answer: whoever gets it may use a new key at once.
                    match next.deleted_at {
                        None => directory.list(Arc::clone(&next), me),
                        Some(_) => directory.remove(&next.id),
                    }
                    Ok(next)
                }
                Err(_) => Err(ChangeError::Unavailable),
            };
            let _ = reply.send(answer);
        });
        Ok(())
    }

    fn plan_change(&self, change: &OrgChange) -> Result<(Org, Subject, Fact), ChangeError> {
        let now = self.ctx.clock.now();
        let mut next = Org { updated_at: now, ..(*self.record).clone() };
        Ok(match change {
            OrgChange::Put(put) => {
                (self.record.apply(put, now).map_err(ChangeError::Invalid)?, Subject::Organisation, Fact::OrgPut)
            }
            OrgChange::Declare(put, keys) => {
                next = self.record.apply(put, now).map_err(ChangeError::Invalid)?;
                let known = |new: &ApiKey| next.keys.iter().find(|key| key.hash == new.hash).cloned();
                let declared: Vec<_> = keys.iter().map(|new| known(new).unwrap_or_else(|| new.clone())).collect();
                next.keys.retain(|key| !key.id.starts_with(DECLARED) && !declared.contains(key));
                next.keys.extend(declared);
                (next, Subject::Organisation, Fact::OrgPut)
            }
            OrgChange::AddKey(key) => {
                next.keys.push(key.clone());
                (next, Subject::ApiKey(key.id.clone()), Fact::KeyCreated)
            }
            OrgChange::RevokeKey(id) => {
                next.keys.retain(|key| key.id != *id);
                if next.keys.len() == self.record.keys.len() {
                    return Err(ChangeError::NotFound);
                }
                (next, Subject::ApiKey(id.clone()), Fact::KeyRevoked)
            }
            OrgChange::Delete => {
                next.deleted_at = Some(now);
                (next, Subject::Organisation, Fact::OrgDeleted)
            }
        })
    }

    /// A change of the record is durable: the senders' actors and those who wait for them follow it.
    pub(super) async fn recorded(&mut self) -> Result<(), ActorProcessingErr> {
        if self.record.deleted_at.is_some() {
            self.root.send(RootMsg::Deleted(self.record.id.clone()));
            return Ok(());
        }
        let record = Arc::clone(&self.record);
        self.providers.retain(|no, child| match record.senders.iter().find(|sender| sender.no == *no) {
            Some(sender) => {
                child.address.send(ProviderMsg::Configure(Box::new(sender.clone())));
                true
            }
            None => {
                child.address.actor().stop(None);
                self.vitals.disown(child.address.vitals());
                false
            }
        });
        let has_gone = |message: &Message| record.senders.iter().all(|sender| sender.no != message.sender);
        for (_, resident) in self.ledger.desk.addresses().filter(|(message, _)| has_gone(message)) {
            resident.send(MessageMsg::Provider(None));
        }
        self.fill().await
    }
}

/// Ids of keys that came from the configuration file begin so.
pub const DECLARED: &str = "config-";
