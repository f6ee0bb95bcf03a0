//! The account's message templates and Meta's paged list of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::errors::Refusal;

/// The number of templates on a page, unless the request gives another.
const PAGE: usize = 25;
const PAGE_MAX: usize = 1000;
/// The first template id. It has as many digits as Meta's ids.
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
    /// Its id. If absent, the simulator assigns one.
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
    /// The WhatsApp business account that owns it. If absent, every account has it.
    #[serde(rename = "wabaId", default, skip_serializing_if = "Option::is_none")]
    waba_id: Option<String>,
    /// The other fields of Meta's template object.
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

/// The current templates.
pub(crate) struct Templates(Mutex<List>);

impl Default for Templates {
    /// The templates of a new account.
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
    /// The template as Meta lists it: the requested fields and the id.
    fn listed(&self, fields: Option<&str>) -> Value {
        let mut listed = match serde_json::to_value(self) {
            Ok(Value::Object(listed)) => listed,
            // A template serializes to an object.
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

    /// The current templates.
    pub(crate) fn get(&self) -> List {
        self.list().clone()
    }

    /// Replaces all templates.
    pub(crate) fn set(&self, list: List) {
        *self.list() = list;
    }

    /// The template with this id, with the requested fields.
    pub(crate) fn find(&self, id: &str, fields: Option<&str>) -> Option<Value> {
        self.list().templates.iter().find(|template| template.id == id).map(|template| template.listed(fields))
    }

    /// The category by which Meta charges a message with this template. An unknown template counts as utility.
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

    /// One page of an account's templates. `here` is the requested URL without its query.
    pub(crate) fn page(&self, waba_id: &str, query: &str, here: &str) -> Result<Value, Refusal> {
        let asked = Query::read(query)?;
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

/// The query of a list.
struct Query {
    limit: usize,
    after: Option<usize>,
    before: Option<usize>,
    fields: Option<String>,
    filters: Vec<(String, String)>,
    /// The parameters that the URLs of other pages repeat.
    others: Vec<String>,
}

impl Query {
    fn read(query: &str) -> Result<Self, Refusal> {
        let mut asked =
            Self { limit: PAGE, after: None, before: None, fields: None, filters: Vec::new(), others: Vec::new() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "limit" => asked.limit = value.parse().unwrap_or(PAGE).clamp(1, PAGE_MAX),
                "after" => asked.after = Some(position(&value)?),
                "before" => asked.before = Some(position(&value)?),
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

/// Encodes a position in the list as an opaque cursor.
fn cursor(position: usize) -> String {
    BASE64_STANDARD.encode(position.to_string())
}

fn position(cursor: &str) -> Result<usize, Refusal> {
    let text = BASE64_STANDARD.decode(cursor).ok().and_then(|text| String::from_utf8(text).ok());
    let position = text.and_then(|text| text.parse::<u32>().ok()).and_then(|position| usize::try_from(position).ok());
    position.ok_or_else(|| Refusal::malformed("Invalid cursors values for the list of templates."))
}
