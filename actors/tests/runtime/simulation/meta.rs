//! What Meta tells of the messages that it took, when, and how often.

use std::time::Duration;

use actors::News;
use domain::receipt::{Receipt, ReceiptKind};
use domain::{AttemptRef, OrgId, Wait};
use rand::RngExt;
use rand::seq::IndexedRandom;
use whatsapp::classify::Origin;

use super::chance::after;
use super::play::Play;
use crate::provider::{Call, error, wamid};
use crate::support::{MINUTE, SECOND, receipt};

/// A receipt that Meta has, or had, to tell.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) org: OrgId,
    pub(super) receipt: Receipt,
    pub(super) attempt: AttemptRef,
    /// When it was told first.
    pub(super) first_told: Option<Duration>,
    /// When it was answered 200.
    pub(super) at: Option<Duration>,
    /// Whether it was told to an original that is lost, or is about an attempt that only that one knew, and nobody waits for.
    pub(super) is_lost: bool,
}

impl Told {
    /// Whether it names its attempt.
    pub(super) const fn is_named(&self) -> bool {
        self.receipt.attempt.is_some()
    }
}

impl Play {
    /// Receipts of the messages that Meta has taken.
    pub(super) fn plan_receipts(&mut self) {
        use ReceiptKind::{Delivered, Failed, Read, Sent};
        let calls = self.world.provider.calls_after(self.planned);
        for call in calls.iter().filter(|call| call.is_taken()) {
            let plans: &[&[ReceiptKind]] =
                &[&[Sent, Delivered, Read], &[Sent, Delivered], &[Read, Delivered], &[Sent], &[Failed], &[]];
            let mut kinds = plans.choose(&mut self.dice).unwrap().to_vec();
            if self.dice.random_bool(0.2) {
                kinds.extend_from_within(..);
            }
            let (is_named, code) = (self.dice.random_bool(0.9), *[131_026, 131_000].choose(&mut self.dice).unwrap());
            let most = if self.dice.random_bool(0.9) { 10 * SECOND } else { 20 * MINUTE };
            for kind in kinds {
                self.plan_receipt(call, kind, is_named, code, most);
            }
        }
        self.planned += calls.len();
    }

    fn plan_receipt(&mut self, call: &Call, kind: ReceiptKind, is_named: bool, code: i64, most: Duration) {
        let Call { attempt, at, from, .. } = call;
        let mut receipt = receipt(kind, wamid(*attempt), is_named.then_some(*attempt));
        receipt.error = (kind == ReceiptKind::Failed).then(|| error(code, Origin::Receipt));
        let [first, second] = &self.orgs;
        let org = if from.starts_with('1') { first } else { second };
        self.due.insert((*at + after(&mut self.dice, most), self.told.len()), ());
        self.told.push(Told {
            org: org.clone(),
            receipt,
            attempt: *attempt,
            first_told: None,
            at: None,
            is_lost: false,
        });
    }

    /// Whether it is about an attempt that is known, or that a copy may learn of.
    fn is_awaited(&self, told: &Told) -> bool {
        let Told { org, attempt, .. } = told;
        let state = self.world.store.state(self.world.org_no(org), attempt.message).unwrap();
        state.is_some_and(|state| state.wait == Wait::Restored || state.attempt(attempt.attempt).is_some())
    }

    /// Tells what is due, all of an organisation at once; what is not answered 200 is told again later.
    pub(super) async fn deliver(&mut self) {
        let now = self.world.elapsed();
        let due: Vec<(Duration, usize)> = self.due.keys().copied().take_while(|(at, _)| *at <= now).collect();
        for org in self.orgs.clone() {
            let due: Vec<_> = due.iter().copied().filter(|(_, n)| self.told[*n].org == org).collect();
            let receipts: Vec<_> = due.iter().map(|(_, n)| self.told[*n].receipt.clone().into()).collect();
            if receipts.is_empty() {
                continue;
            }
            for (_, n) in &due {
                self.told[*n].first_told.get_or_insert(now);
                self.told[*n].is_lost |= !self.is_awaited(&self.told[*n]);
            }
            self.played.receipts += u64::try_from(receipts.len()).unwrap();
            let answer = self.world.outbox.webhook(&org, News { receipts, ..News::default() }).await;
            let is_done = matches!(self.heard(answer), Some(Ok(())));
            for (at, n) in due {
                self.due.remove(&(at, n));
                if is_done {
                    self.told[n].at = Some(self.world.elapsed());
                } else {
                    self.due.insert((now + SECOND, n), ());
                }
            }
        }
    }
}
