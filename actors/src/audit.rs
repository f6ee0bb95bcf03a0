//! AuditActor: tails the committed audit entries of an organisation and seals them into a hash chain. What is not yet
//! sealed when it ends is sealed when it starts again.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::{Block, Hash};
use domain::{Epoch, OrgNo, Seq};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use store::Commit;

use crate::address::Address;
use crate::context::Context;
use crate::figures::{AuditFigures, Figures};
use crate::vitals::Vitals;

/// Entries in one block, at most.
const BLOCK_MAX: usize = 512;
/// How long an entry stays unsealed, at most, while the store is well.
const SEAL_EVERY: Duration = Duration::from_secs(2);

/// Messages to an AuditActor.
pub(crate) enum AuditMsg {
    /// The trail is durable up to here.
    Appended(Seq),
    /// Time to seal.
    Seal,
    /// A block is durable, or is not.
    Sealed(Option<Block>),
}

pub(crate) struct AuditActor;

pub(crate) struct Args {
    pub(crate) ctx: Arc<Context>,
    pub(crate) org: OrgNo,
    pub(crate) epoch: Epoch,
    /// The trail's end as read at start.
    pub(crate) last_seq: Seq,
    pub(crate) vitals: Arc<Vitals>,
}

pub(crate) struct State {
    ctx: Arc<Context>,
    org: OrgNo,
    epoch: Epoch,
    me: Address<AuditMsg>,
    appended: Seq,
    sealed: Seq,
    hash: Hash,
    /// Whether `Seal` or `Sealed` is on its way.
    busy: bool,
}

impl Actor for AuditActor {
    type Msg = AuditMsg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, myself: ActorRef<AuditMsg>, args: Args) -> Result<State, ActorProcessingErr> {
        let Args { ctx, org, epoch, last_seq, vitals } = args;
        let last = ctx.store.last_block(org)?;
        let (sealed, hash) = last.map_or((0, Hash::default()), |block| (block.last, block.hash));
        let me = Address::new(myself, vitals);
        let mut state = State { ctx, org, epoch, me, appended: last_seq, sealed, hash, busy: false };
        state.wait();
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<AuditMsg>,
        msg: AuditMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (vitals, ctx) = (Arc::clone(state.me.vitals()), Arc::clone(&state.ctx));
        vitals.attend(&ctx, msg.label(), async { state.react(msg) }).await
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<AuditMsg>,
        _event: SupervisionEvent,
        _state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // It has no children; the default would stop it.
        Ok(())
    }
}

impl AuditMsg {
    const fn label(&self) -> &'static str {
        match self {
            Self::Appended(_) => "following the trail",
            Self::Seal => "sealing",
            Self::Sealed(_) => "noting a seal",
        }
    }
}

impl State {
    /// One arm for each message.
    fn react(&mut self, msg: AuditMsg) -> Result<(), ActorProcessingErr> {
        match msg {
            AuditMsg::Appended(seq) => self.appended = self.appended.max(seq),
            AuditMsg::Seal => self.seal()?,
            AuditMsg::Sealed(block) => self.sealed(block),
        }
        self.wait();
        let unsealed = self.appended.saturating_sub(self.sealed);
        self.me.vitals().show(Figures::Audit(AuditFigures { entries: self.appended, unsealed }));
        Ok(())
    }

    /// Makes sure that what is unsealed will be sealed.
    fn wait(&mut self) {
        if self.busy || self.appended <= self.sealed {
            return;
        }
        self.busy = true;
        let me = self.me.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SEAL_EVERY).await;
            me.send(AuditMsg::Seal);
        });
    }

    fn seal(&mut self) -> Result<(), ActorProcessingErr> {
        self.busy = false;
        let first = self.sealed + 1;
        let wanted = usize::try_from(self.appended.saturating_sub(self.sealed)).unwrap_or(usize::MAX).min(BLOCK_MAX);
        // No slot in the commit queue: the timer comes again.
        let Ok(slot) = self.ctx.committer.reserve() else { return Ok(()) };
        let entries = self.ctx.store.sealed_entries(self.org, first, wanted)?;
        if entries.is_empty() {
            return Ok(());
        }
        let block = Block::seal(first, self.hash, entries.iter().map(Vec::as_slice));
        let mut commit = Commit::new(self.org, self.epoch);
        commit.block(&block)?;
        self.busy = true;
        let me = self.me.clone();
        slot.submit(commit, move |result| me.send(AuditMsg::Sealed(result.is_ok().then_some(block))));
        Ok(())
    }

    fn sealed(&mut self, block: Option<Block>) {
        self.busy = false;
        if let Some(block) = block {
            self.sealed = block.last;
            self.hash = block.hash;
            if self.appended.saturating_sub(self.sealed) >= u64::try_from(BLOCK_MAX).unwrap_or(u64::MAX) {
                self.busy = true;
                self.me.send(AuditMsg::Seal);
            }
        }
    }
}
