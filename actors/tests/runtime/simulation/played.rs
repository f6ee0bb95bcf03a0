//! What happened in a play: the figures, and the story by which two plays are compared.

use std::collections::BTreeMap;
use std::fmt;

use domain::Status;

/// What happened in a play, or in many.
#[derive(Default)]
pub(super) struct Played {
    pub(super) story: Vec<String>,
    pub(super) plays: u64,
    pub(super) messages: u64,
    pub(super) calls: u64,
    pub(super) crashes: u64,
    pub(super) restarts: u64,
    pub(super) restores: u64,
    pub(super) held: u64,
    pub(super) released: u64,
    pub(super) receipts: u64,
    pub(super) resent: u64,
    pub(super) statuses: BTreeMap<Status, u64>,
}

impl Played {
    /// Adds up the figures.
    pub(super) fn add(&mut self, other: &Self) {
        self.plays += 1;
        self.messages += other.messages;
        self.calls += other.calls;
        self.crashes += other.crashes;
        self.restarts += other.restarts;
        self.restores += other.restores;
        self.held += other.held;
        self.released += other.released;
        self.receipts += other.receipts;
        self.resent += other.resent;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
    }

    pub(super) fn everything_happened(&self) -> bool {
        let ends = [Status::Sent, Status::Delivered, Status::Read, Status::Failed, Status::Cancelled];
        let per_play = |count: u64, least: u64| count >= least * self.plays;
        ends.iter().all(|end| self.statuses.contains_key(end))
            && per_play(self.messages, 5)
            && per_play(self.calls, 5)
            && per_play(self.crashes, 1)
            && per_play(self.receipts, 5)
            && self.restarts > 0
            && self.restores > 0
            && self.released > 0
            && self.released < self.held
            && self.resent > 0
    }
}

impl fmt::Display for Played {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plays, messages, calls, crashes, restarts, restores, held, released, .. } = self;
        let Self { receipts, resent, statuses, .. } = self;
        write!(
            out,
            "{plays} plays: {messages} messages, {calls} calls, {crashes} crashes, {restarts} restarts, {restores} restores \
             with {held} held of which people let {released} go, {receipts} receipts, {resent} sent again rightly; in the end {statuses:?}"
        )
    }
}
