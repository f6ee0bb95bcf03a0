//! The templates of the account, as its lists tell them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::errors::Refusal;

/// The templates of a page, unless it is asked for another number.
const PAGE: usize = 25;
const PAGE_MAX: usize = 1000;
/// Ids of templates have as many digits as Meta's.
const FIRST_ID: usize = 2_000_000_000_000_000;

/// All templates. In JSON `{"templates":[…]}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    templates: Vec<Template>,
}

/// One template in one language.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Template {
    /// Its id; the simulator gives it one where there is none.
    #[serde(default)]
    id: String,
    name: String,
    language: String,
    category: Category,
    #[serde(default = "approved")]
    status: String,
    #[serde(default)]
    components: Vec<Value>,
    #[serde(default = "positional")]
    parameter_format: String,
    /// The only WhatsApp business account that has it; all have it where there is none.
    #[serde(rename = "wabaId", default, skip_serializing_if = "Option::is_none")]
    waba_id: Option<String>,
    /// What else Meta tells of a template.
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Category {
    Authentication,
    Marketing,
    Utility,
}

fn approved() -> String {
    "APPROVED".to_owned()
}

fn positional() -> String {
    "POSITIONAL".to_owned()
}

/// The templates now.
pub(crate) struct Templates(Mutex<List>);

impl Default for Templates {
    /// What a new account has.
    fn default() -> Self {
        let body = json!({ "type": "BODY", "text": "Welcome and congratulations!! This message demonstrates your \
                            ability to send a WhatsApp message notification from the Cloud API." });
        let hello = Template {
            id: String::new(),
            name: "hello_world".into(),
            language: "en_US".into(),
            category: Category::Utility,
            status: approved(),
            components: vec![body],
            parameter_format: positional(),
            waba_id: None,
            more: Map::new(),
        };
        Self(Mutex::new(List { templates: vec![hello] }.with_ids()))
    }
}

impl List {
    /// Reads `{"templates":[…]}`.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text).map(Self::with_ids)
    }

    fn with_ids(mut self) -> Self {
        for (i, template) in self.templates.iter_mut().enumerate() {
            if template.id.is_empty() {
                template.id = (FIRST_ID + i).to_string();
            }
        }
        self
    }
}

impl Template {
    /// As Meta lists it: with the fields asked for, and its id.
    fn listed(&self, fields: Option<&str>) -> Value {
        let mut listed = match serde_json::to_value(self) {
            Ok(Value::Object(listed)) => listed,
            // A template is an object.
            Ok(_) | Err(_) => Map::new(),
        };
        listed.remove("wabaId");
        if let Some(fields) = fields {
            listed.retain(|name, _| name == "id" || fields.split(',').any(|field| field == name));
        }
        listed.into()
    }
}

impl Templates {
    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As they were set.
    pub(crate) fn get(&self) -> List {
        self.list().clone()
    }

    /// Replaces all.
    pub(crate) fn set(&self, list: List) {
        *self.list() = list;
    }

    /// The template with this id, with the fields asked for.
    pub(crate) fn find(&self, id: &str, fields: Option<&str>) -> Option<Value> {
        self.list().templates.iter().find(|template| template.id == id).map(|template| template.listed(fields))
    }

    /// What Meta charges a message by this template as; utility if it is not known.
    pub(crate) fn category(&self, name: &str, language: &str) -> &'static str {
        let list = self.list();
        let mut named = list.templates.iter().filter(|template| template.name == name).peekable();
        let first = named.peek().map(|template| template.category);
        let same = named.find(|template| template.language == language).map(|template| template.category);
        match same.or(first) {
            Some(Category::Authentication) => "authentication",
            Some(Category::Marketing) => "marketing",
            Some(Category::Utility) | None => "utility",
        }
    }

    /// One page of an account's templates; `here` is the address that was asked, without its query.
    pub(crate) fn page(&self, waba_id: &str, query: &str, here: &str) -> Result<Value, Refusal> {
        let asked = Asked::read(query)?;
        let list = self.list();
        let all = list.templates.iter().filter(|template| template.waba_id.as_deref().is_none_or(|id| id == waba_id));
        let found: Vec<&Template> = all.filter(|template| asked.fits(template)).collect();
        let from = match (asked.after, asked.before) {
            (Some(after), _) => after + 1,
            (None, Some(before)) => before.saturating_sub(asked.limit),
            (None, None) => 0,
        };
        let to = asked.before.unwrap_or(found.len()).min(from.saturating_add(asked.limit)).min(found.len());
        let data: Vec<Value> =
            found.iter().take(to).skip(from).map(|template| template.listed(asked.fields.as_deref())).collect();
        if data.is_empty() {
            return Ok(json!({ "data": [] }));
        }
        let (first, last) = (cursor(from), cursor(to - 1));
        let mut paging = json!({ "cursors": { "before": first, "after": last } });
        if let Some(paging) = paging.as_object_mut() {
            let address = |way: &str, cursor: &str| {
                let others = asked.others.iter().fold(String::new(), |all, other| format!("{all}{other}&"));
                format!("{here}?{others}limit={}&{way}={cursor}", asked.limit).into()
            };
            if to < found.len() {
                paging.insert("next".into(), address("after", &last));
            }
            if from > 0 {
                paging.insert("previous".into(), address("before", &first));
            }
        }
        Ok(json!({ "data": data, "paging": paging }))
    }
}

/// What a list is asked for.
struct Asked {
    limit: usize,
    after: Option<usize>,
    before: Option<usize>,
    fields: Option<String>,
    filters: Vec<(String, String)>,
    /// What the addresses of other pages repeat.
    others: Vec<String>,
}

impl Asked {
    fn read(query: &str) -> Result<Self, Refusal> {
        let mut asked =
            Self { limit: PAGE, after: None, before: None, fields: None, filters: Vec::new(), others: Vec::new() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "limit" => asked.limit = value.parse().unwrap_or(PAGE).clamp(1, PAGE_MAX),
                "after" => asked.after = Some(place(&value)?),
                "before" => asked.before = Some(place(&value)?),
                "access_token" => {}
                _ => {
                    match name {
                        "fields" => asked.fields = Some(value),
                        "name" | "language" | "status" | "category" => asked.filters.push((name.to_owned(), value)),
                        _ => {}
                    }
                    asked.others.push(pair.to_owned());
                }
            }
        }
        Ok(asked)
    }

    fn fits(&self, template: &Template) -> bool {
        let listed = template.listed(None);
        self.filters.iter().all(|(name, value)| {
            listed.get(name).and_then(Value::as_str).is_some_and(|own| own.eq_ignore_ascii_case(value))
        })
    }
}

/// A place in the list, as clients are told it.
fn cursor(place: usize) -> String {
    BASE64_STANDARD.encode(place.to_string())
}

fn place(cursor: &str) -> Result<usize, Refusal> {
    let text = BASE64_STANDARD.decode(cursor).ok().and_then(|text| String::from_utf8(text).ok());
    let place = text.and_then(|text| text.parse::<u32>().ok()).and_then(|place| usize::try_from(place).ok());
    place.ok_or_else(|| Refusal::malformed("Invalid cursors values for the list of templates."))
}
