//! Bodies of webhooks, as Meta writes them, whose items have little to choose from.

use domain::AttemptRef;
use rand::RngExt;
use serde_json::{Value, json};

use super::{History, IDS, NUMBERS, ORGS, WAMIDS};
use crate::support::{START, attempt, org_id};

/// Ids that Meta gives to what recipients write.
const INBOUND: [&str; 6] = ["wamid.in-0", "wamid.in-1", "wamid.in-2", "wamid.in-3", "wamid.same-1", "wamid.same-2"];

impl History {
    pub(super) fn body(&mut self, org: usize) -> String {
        let changes: Vec<_> = (0..self.dice.random_range(1..3)).map(|_| self.change(org)).collect();
        json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}).to_string()
    }

    fn change(&mut self, org: usize) -> Value {
        let number = *self.pick(ORGS[org].1);
        let mut value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": number}});
        if self.dice.random_bool(0.3) {
            value["contacts"] = json!([self.named("wa_id", "user_id")]);
        }
        if self.dice.random_bool(0.1) {
            value["user_preferences"] = json!([self.preference()]);
            return json!({"field": "user_preferences", "value": value});
        }
        let (statuses, messages) = (self.dice.random_range(0..4), self.dice.random_range(0..3));
        value["statuses"] = (0..statuses).map(|_| self.status(org)).collect();
        value["messages"] = (0..messages).map(|_| self.message_of_theirs()).collect();
        json!({"field": "messages", "value": value})
    }

    /// Seconds that collide: of now, or a little before or after.
    fn second(&mut self) -> String {
        let now = START.after(self.world.elapsed()).as_millis() / 1000;
        (now + 1 - self.dice.random_range(0..4).min(now)).to_string()
    }

    /// A number, an id, or both.
    fn named(&mut self, number_as: &str, id_as: &str) -> Value {
        let mut names = json!({});
        let which = self.dice.random_range(0..4);
        if which != 0 {
            names[number_as] = json!(self.pick(&NUMBERS)[1..]);
        }
        if which != 1 {
            names[id_as] = json!(self.pick(&IDS));
        }
        names
    }

    fn status(&mut self, org: usize) -> Value {
        let kind = *self.pick(&["sent", "delivered", "read", "failed"]);
        let mut status = self.named("recipient_id", "recipient_user_id");
        status["status"] = json!(kind);
        status["timestamp"] = json!(self.second());
        let opaque = self.opaque(org);
        let own = opaque.and_then(|opaque| self.wamid_of(org, opaque));
        status["id"] = match own {
            Some(own) if self.dice.random_bool(0.5) => json!(own),
            Some(_) | None => json!(self.pick(&WAMIDS)),
        };
        if let Some(opaque) = opaque.filter(|_| self.dice.random_bool(0.6)) {
            status["biz_opaque_callback_data"] = json!(opaque.to_string());
        }
        if kind == "failed" {
            let code = *self.pick(&[131_026, 131_050, 131_000, 131_049]);
            status["errors"] = json!([{"code": code, "title": "t", "message": "m"}]);
        }
        status
    }

    /// An attempt of a message of an organisation, mostly its own; perhaps one that it never made.
    fn opaque(&mut self, org: usize) -> Option<AttemptRef> {
        let of = if self.dice.random_bool(0.9) { org } else { 1 - org };
        let message = self.message(&org_id(ORGS[of].0))?;
        Some(attempt(message, self.dice.random_range(1..4)))
    }

    fn wamid_of(&self, org: usize, opaque: AttemptRef) -> Option<String> {
        let no = self.world.org_no(&org_id(ORGS[org].0));
        let state = self.world.store.state(no, opaque.message).unwrap()?;
        Some(state.attempt(opaque.attempt)?.provider_id.as_ref()?.as_str().to_owned()).filter(|id| !id.is_empty())
    }

    fn message_of_theirs(&mut self) -> Value {
        let id = if self.dice.random_bool(0.7) {
            format!("wamid.in-{}", self.dice.random_range(0..1000))
        } else {
            (*self.pick(&INBOUND)).to_owned()
        };
        let mut item = self.named("from", "from_user_id");
        item["id"] = json!(id);
        item["timestamp"] = json!(self.second());
        match self.dice.random_range(0..6) {
            0 => {
                let kind = *self.pick(&["user_changed_number", "user_changed_user_id", "customer_identity_changed"]);
                let mut system = self.named("wa_id", "user_id");
                system["type"] = json!(kind);
                if self.dice.random_bool(0.5) {
                    system["previous_user_id"] = json!(self.pick(&IDS));
                }
                item["type"] = json!("system");
                item["system"] = system;
            }
            1 => {
                item["type"] = json!("text");
                item["text"] = json!({"body": self.pick(&["STOP", "START"])});
            }
            _ => {
                item["type"] = json!("text");
                item["text"] = json!({"body": "x".repeat(*self.pick(&[1, 5000]))});
            }
        }
        item
    }

    fn preference(&mut self) -> Value {
        let mut item = self.named("wa_id", "user_id");
        item["category"] = json!("marketing_messages");
        item["value"] = json!(self.pick(&["stop", "resume"]));
        item["timestamp"] = json!(self.second());
        item
    }
}
