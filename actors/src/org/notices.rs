//! What Meta tells of a sender that changes no message: on the trail once a day for each kind, however often it comes.

use std::collections::HashSet;

use domain::SenderNo;
use domain::audit::{Fact, Subject};
use domain::notice::Notice;
use store::StoreError;

use super::State;
use super::writer::Transaction;

/// Kinds that are told apart within a day. Meta has fewer; what is beyond is counted, and not on the trail.
const KINDS_MAX: usize = 256;

/// What is on the trail already, of one day.
#[derive(Default)]
pub(super) struct Notices {
    day: u64,
    told: HashSet<(SenderNo, Notice)>,
}

impl Notices {
    fn is_news(&mut self, today: u64, notice: &(SenderNo, Notice)) -> bool {
        if self.day != today {
            *self = Self { day: today, told: HashSet::new() };
        }
        self.told.len() < KINDS_MAX && self.told.insert(notice.clone())
    }
}

impl State {
    pub(super) fn notice(
        &mut self,
        transaction: &mut Transaction,
        notices: Vec<(SenderNo, Notice)>,
    ) -> Result<(), StoreError> {
        for told in notices {
            let sender = self.record.senders.iter().find(|sender| sender.no == told.0);
            let Some(subject) = sender.map(|sender| Subject::Sender(sender.phone_number_id.clone())) else { continue };
            if self.notices.is_news(transaction.at.day(), &told) {
                self.writer.fact(transaction, subject, Fact::Noticed(told.1))?;
            }
        }
        Ok(())
    }
}
