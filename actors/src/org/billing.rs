//! What WhatsApp bills templates as: learnt from receipts, and from then on the consent that their messages are weighed by,
//! whatever these call themselves.

use domain::audit::{Fact, Subject};
use domain::billing::{Billed, BilledAs, is_news};
use domain::gate::TemplateKey;
use domain::message::Category;
use domain::org::{ConsentPolicy, Org};
use domain::receipt::Receipt;
use domain::{Message, OrgNo, PhoneNumberId};
use store::{Store, StoreError};

use super::State;
use super::uncommitted::Uncommitted;
use super::writer::Transaction;

/// What is known of them, commits on their way included.
pub(super) struct Billing {
    /// Whether anything is known of any: nearly always not, and then nothing is looked up.
    has_any: bool,
    uncommitted: Uncommitted<(String, TemplateKey), Billed>,
}

impl Billing {
    pub(super) fn load(store: &Store, org: OrgNo) -> Result<Self, StoreError> {
        Ok(Self { has_any: store.has_billed(org)?, uncommitted: Uncommitted::default() })
    }

    pub(super) fn committed(&mut self, seq: domain::Seq) {
        self.uncommitted.committed(seq);
    }
}

/// Under which accounts a sender's templates may be known: its own, and its number from before that was told.
fn accounts<'a>(org: &'a Org, from: &'a PhoneNumberId) -> impl Iterator<Item = &'a str> {
    let account = org.sender(from).and_then(|sender| sender.waba_id.as_deref());
    account.into_iter().chain([from.as_str()])
}

/// The latest that `look_up` knows of a template of a sender.
fn latest(
    org: &Org,
    from: &PhoneNumberId,
    look_up: impl Fn(&str) -> Result<Option<Billed>, StoreError>,
) -> Result<Option<Billed>, StoreError> {
    let known = accounts(org, from).map(look_up).collect::<Result<Vec<_>, _>>()?;
    Ok(known.into_iter().flatten().max_by_key(|billed| billed.at))
}

/// The category by which a message is weighed, going by what is durable.
pub(crate) fn weighed(store: &Store, org: &Org, message: &Message) -> Result<Category, StoreError> {
    let Some(template) = message.template().filter(|_| message.category == Category::Transactional) else {
        return Ok(message.category);
    };
    let known = latest(org, &message.from, |account| store.billed(org.no, account, &template))?;
    Ok(weigh(message.category, known.as_ref()))
}

fn weigh(own: Category, known: Option<&Billed>) -> Category {
    match known.map(|billed| billed.category) {
        Some(BilledAs::Marketing) => Category::BilledMarketing,
        Some(BilledAs::Transactional) | None => own,
    }
}

impl State {
    /// The category by which a message of this sender is weighed.
    pub(super) fn weighed(
        &self,
        from: &PhoneNumberId,
        own: Category,
        template: impl FnOnce() -> Option<TemplateKey>,
    ) -> Result<Category, StoreError> {
        let may_be_other =
            self.billing.has_any && own == Category::Transactional && self.record.consent != ConsentPolicy::Off;
        match may_be_other.then(template).flatten() {
            Some(template) => Ok(weigh(own, self.billed(from, &template)?.as_ref())),
            None => Ok(own),
        }
    }

    fn billed(&self, from: &PhoneNumberId, template: &TemplateKey) -> Result<Option<Billed>, StoreError> {
        latest(&self.record, from, |account| {
            match self.billing.uncommitted.get(&(account.to_owned(), template.clone())) {
                Some(billed) => Ok(Some(billed.clone())),
                None => self.ctx.store.billed(self.record.no, account, template),
            }
        })
    }

    /// Adds to a transaction what a receipt tells of its message's template, if that is news.
    pub(super) fn learn_billing(
        &mut self,
        transaction: &mut Transaction,
        message: &Message,
        receipt: &Receipt,
    ) -> Result<(), StoreError> {
        let category = receipt.pricing.as_deref().and_then(whatsapp::pricing::category);
        let Some(category) = category.filter(|told| self.billing.has_any || *told == BilledAs::Marketing) else {
            return Ok(());
        };
        let Some(template) = message.template() else { return Ok(()) };
        if !is_news(self.billed(&message.from, &template)?.as_ref(), category, receipt.at) {
            return Ok(());
        }
        let TemplateKey { name, language } = template.clone();
        let account = accounts(&self.record, &message.from).next().unwrap_or_default().to_owned();
        let fact = Fact::TemplateBilled {
            account: account.clone(),
            template: name.clone(),
            language: language.clone(),
            category,
            message: message.id,
        };
        let record = self.writer.fact(transaction, Subject::Sender(message.from.clone()), fact)?;
        tracing::info!(
            org = %self.record.id, template = name, language, category = category.as_str(),
            "WhatsApp bills a template otherwise than was known; its messages need consent to that from now on"
        );
        let billed = Billed { account: account.clone(), name, language, category, at: receipt.at, record };
        transaction.commit.billed(&billed)?;
        self.billing.has_any = true;
        self.billing.uncommitted.note(record, (account, template), billed);
        Ok(())
    }
}
