//! Changes of the organisation itself: its senders, its keys, its end.

use std::sync::Arc;

use domain::Message;
use domain::PhoneNumberId;
use domain::audit::{By, Denial, Fact, Subject};
use domain::org::{ApiKey, Org, Pause, PausedBy, PutOrg};
use ractor::ActorProcessingErr;
use tokio::sync::oneshot;

use super::{After, State};
use crate::directory::Presence;
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
    /// Nothing more is sent by these senders; by none, if none is named. What Meta paused, a person may pause over.
    Pause(Vec<PhoneNumberId>, Pause),
    /// The same the other way round. A person resumes whatever paused it, and with the whole organisation what Meta's errors
    /// paused; `by` Meta only what Meta paused.
    Resume(Vec<PhoneNumberId>, PausedBy),
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
        if self.record.deleted_at.is_some() {
            // Its end is on its way: the root will make it anew for whoever asks again.
            let _ = reply.send(Err(ChangeError::Unavailable));
            return Ok(());
        }
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
        if let OrgChange::Resume(senders, PausedBy::Operator) = &change {
            // Also where nothing was paused: a throttle or an outage holds no less, and a person may know that it is over.
            self.try_now(senders)?;
        }
        let next = Arc::new(next);
        let is_same = Org { updated_at: self.record.updated_at, ..(*next).clone() } == *self.record;
        if is_same && self.is_kept {
            // A declaration that says nothing new: no reason to write.
            let _ = reply.send(Ok(Arc::clone(&self.record)));
            return Ok(());
        }
        let mut transaction = self.writer.begin(self.ctx.clock.now(), by);
        self.writer.fact(&mut transaction, subject, fact)?;
        let before = Some(&*self.record).filter(|_| self.is_kept);
        transaction.commit.org(self.ctx.store.master_key()?, before, &next)?;
        self.writer.close(&mut transaction)?;
        self.record = Arc::clone(&next);
        self.is_kept = true;
        let (directory, me, root) = (Arc::clone(&self.ctx.directory), self.me.clone(), self.root.clone());
        self.submit(slot, transaction, After::Record, move |result| {
            let answer = match (result, next.deleted_at) {
                (Ok(()), None) => {
                    // Before the answer: whoever gets it may use a new key at once.
                    directory.list(Arc::clone(&next), Presence::Running(me));
                    Ok(next)
                }
                (Ok(()), Some(_)) => {
                    directory.remove(&next.id);
                    // The root answers, once the organisation can be made anew.
                    return root.send(RootMsg::Deleted { record: next, reply });
                }
                (Err(_), _) => Err(ChangeError::Unavailable),
            };
            let _ = reply.send(answer);
        });
        Ok(())
    }

    /// Puts a refusal of one of its keys on the trail; with a full queue it is let go.
    pub(super) fn denied(&mut self, key: &ApiKey, denial: Denial) -> Result<(), ActorProcessingErr> {
        let committer = self.ctx.committer.clone();
        let Ok(slot) = committer.reserve() else { return Ok(()) };
        let mut transaction = self.writer.begin(self.ctx.clock.now(), By::ApiKey(key.name.clone()));
        self.writer.fact(&mut transaction, Subject::ApiKey(key.id.clone()), Fact::Denied { denial })?;
        self.writer.close(&mut transaction)?;
        self.submit(slot, transaction, After::Changed, |_| ());
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
                next.revoke(|key| !key.id.starts_with(DECLARED) || declared.contains(key));
                next.keys.retain(|key| !declared.contains(key));
                next.revoked.retain(|key| declared.iter().all(|live| live.hash != key.hash));
                next.keys.extend(declared);
                (next, Subject::Organisation, Fact::OrgPut)
            }
            OrgChange::AddKey(key) => {
                next.keys.push(key.clone());
                (next, Subject::ApiKey(key.id.clone()), Fact::KeyCreated)
            }
            OrgChange::RevokeKey(id) => {
                next.revoke(|key| key.id != *id);
                if next.keys.len() == self.record.keys.len() {
                    return Err(ChangeError::NotFound);
                }
                (next, Subject::ApiKey(id.clone()), Fact::KeyRevoked)
            }
            OrgChange::Pause(senders, pause) => {
                let wins = |old: &Option<Pause>| pause.by == PausedBy::Operator || old.is_none();
                for paused in pauses(&mut next, senders)? {
                    if wins(paused) {
                        *paused = Some(pause.clone());
                    }
                }
                (next, subject_of(senders), Fact::Paused { reason: pause.reason.clone() })
            }
            OrgChange::Resume(senders, by) => {
                for paused in pauses(&mut next, senders)? {
                    paused.take_if(|pause| *by == PausedBy::Operator || pause.by == PausedBy::Meta);
                }
                if senders.is_empty() {
                    for sender in &mut next.senders {
                        sender.paused.take_if(|pause| pause.by == PausedBy::Meta);
                    }
                }
                (next, subject_of(senders), Fact::Resumed)
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
            return Ok(());
        }
        let record = Arc::clone(&self.record);
        self.providers.retain(|no, child| match record.senders.iter().find(|sender| sender.no == *no) {
            Some(sender) => {
                if let Some(address) = &child.address {
                    address.send(ProviderMsg::Configure(Box::new(record.effective(sender))));
                }
                true
            }
            None => {
                child.dismiss(&self.vitals);
                false
            }
        });
        let has_gone = |message: &Message| record.senders.iter().all(|sender| sender.no != message.sender);
        for (_, resident) in self.writer.active.addresses().filter(|(message, _)| has_gone(message)) {
            resident.send(MessageMsg::Provider(None));
        }
        self.follow_quotas()?;
        self.fill().await
    }
}

/// The pauses of the named senders; the organisation's own, if none is named.
fn pauses<'a>(org: &'a mut Org, senders: &[PhoneNumberId]) -> Result<Vec<&'a mut Option<Pause>>, ChangeError> {
    if senders.is_empty() {
        return Ok(vec![&mut org.paused]);
    }
    if senders.iter().any(|id| org.sender(id).is_none()) {
        return Err(ChangeError::NotFound);
    }
    let named = org.senders.iter_mut().filter(|sender| senders.contains(&sender.phone_number_id));
    Ok(named.map(|sender| &mut sender.paused).collect())
}

fn subject_of(senders: &[PhoneNumberId]) -> Subject {
    senders.first().map_or(Subject::Organisation, |sender| Subject::Sender(sender.clone()))
}

/// Ids of keys that came from the configuration file begin so.
pub const DECLARED: &str = "config-";
