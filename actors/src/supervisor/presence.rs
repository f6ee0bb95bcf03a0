//! Which organisations are in memory: those that have something to do. Others are passivated, and started again for a message or
//! when something is due.

use std::sync::Arc;

use domain::org::Org;
use domain::{OrgId, Timestamp};
use store::StoreError;

use super::{OrgChild, RootMsg, Stage, State};
use crate::address::Address;
use crate::directory::Presence;
use crate::org::OrgMsg;
use crate::org::passivation::{Work, work};

impl State {
    pub(super) fn may_passivate(&mut self, id: &OrgId, next: Option<Timestamp>) {
        let Some(child) = self.orgs.get_mut(id) else { return };
        if let Stage::Running(address) = &child.stage {
            let address = address.clone();
            child.stage = Stage::Passivating { next, waiting: Vec::new() };
            self.ctx.directory.set_presence(id, Presence::Passivated);
            address.send(OrgMsg::Passivate);
        }
    }

    pub(super) fn stays(&mut self, id: &OrgId, address: Address<OrgMsg>) {
        let Some(child) = self.orgs.get_mut(id) else { return };
        if let Stage::Passivating { waiting, .. } = &mut child.stage {
            for msg in std::mem::take(waiting) {
                address.send(msg);
            }
            child.stage = Stage::Running(address.clone());
            self.ctx.directory.set_presence(id, Presence::Running(address));
        }
    }

    /// An OrgActor has left: what came for it meanwhile brings it back, as what it has to do later will.
    pub(super) async fn left(&mut self, id: &OrgId, next: Option<Timestamp>, waiting: Vec<OrgMsg>) {
        let Some(child) = self.orgs.get_mut(id) else { return };
        self.vitals.disown(&child.vitals);
        child.stage = Stage::Passivated { alarm: None };
        for msg in waiting {
            self.deliver(id, msg).await;
        }
        if let Some(next) = next {
            self.wake_at(id, next);
        }
    }

    fn wake_at(&mut self, id: &OrgId, at: Timestamp) {
        let (me, due, wait) = (self.me.clone(), id.clone(), at.since(self.ctx.clock.now()));
        if let Some(OrgChild { stage: Stage::Passivated { alarm }, .. }) = self.orgs.get_mut(id) {
            let sleeper = tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                me.send(RootMsg::Due(due));
            });
            if let Some(old) = alarm.replace(sleeper.abort_handle()) {
                old.abort();
            }
        }
    }

    pub(super) async fn due(&mut self, id: &OrgId) -> Result<(), StoreError> {
        match self.ctx.directory.org(id) {
            Some(record) => self.look_for_work(record).await,
            None => Ok(()),
        }
    }

    /// Starts a passivated organisation if it has something to do now, else sees to it that it is woken when it has.
    pub(super) async fn look_for_work(&mut self, record: Arc<Org>) -> Result<(), StoreError> {
        if !matches!(self.orgs.get(&record.id), Some(OrgChild { stage: Stage::Passivated { .. }, .. })) {
            return Ok(());
        }
        match work(&self.ctx, &record)? {
            Work::Now => self.start(record, true).await,
            Work::Later(at) => self.wake_at(&record.id, at),
            Work::None => {}
        }
        Ok(())
    }

    pub(super) async fn reconfigured(&mut self) -> Result<(), StoreError> {
        for child in self.orgs.values_mut() {
            match &mut child.stage {
                Stage::Running(address) => address.send(OrgMsg::Reconfigured),
                Stage::Passivating { waiting, .. } => waiting.push(OrgMsg::Reconfigured),
                Stage::Passivated { .. } | Stage::Down => {}
            }
        }
        for record in self.ctx.directory.orgs() {
            self.look_for_work(record).await?;
        }
        Ok(())
    }
}
