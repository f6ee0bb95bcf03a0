//! What WhatsApp bills templates as.

use std::ops::ControlFlow;

use domain::OrgNo;
use domain::billing::Billed;
use domain::gate::TemplateKey;

use crate::backend::{Order, StoreError};
use crate::commit::Commit;
use crate::keys;
use crate::store::Store;

impl Store {
    /// What is known of a template of an account.
    pub fn billed(&self, org: OrgNo, account: &str, template: &TemplateKey) -> Result<Option<Billed>, StoreError> {
        self.record("billed template", &keys::billed(org, account, &template.name, &template.language))
    }

    /// Whether anything is known of any.
    pub fn has_billed(&self, org: OrgNo) -> Result<bool, StoreError> {
        let mut found = false;
        self.scan(keys::of_kind(b'M', org), Order::Ascending, &mut |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }
}

impl Commit {
    /// What is known of a template.
    pub fn billed(&mut self, billed: &Billed) -> Result<(), StoreError> {
        let Billed { account, name, language, .. } = billed;
        self.put("billed template", keys::billed(self.org, account, name, language), billed)
    }
}
