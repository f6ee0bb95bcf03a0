//! What a query asks for: the filters and the page of each list, read from the text behind the `?`. Pure, and every bad
//! parameter is named at once.

use actors::TreeQuery;
use domain::audit::Action;
use domain::message::{NotARecipient, Recipient};
use domain::state::Status;
use domain::{FieldError, MessageId, PhoneNumberId, Seq};
use store::search::MessageFilter;

/// A page of a list, where nothing else is asked for.
const PAGE: usize = 50;
/// The largest page of a list.
pub const PAGE_MAX: usize = 200;
/// The largest page of what is held of a person.
pub const EXPORT_MAX: usize = 500;
/// Beyond so many messages a page by number would read too much; the cursor has no such limit.
pub const PAGED_MAX: usize = 100_000;
/// Nodes of the actor tree that one parent shows.
const CHILDREN_MAX: usize = 100_000;
/// Meta's ids of users are shorter.
const USER_ID_MAX: usize = 200;

/// What [`author`] understands.
pub(crate) const AUTHOR: &str =
    "must be a phone number in E.164, such as +4915112345678, or Meta's id of a user, such as US.13491208655302741918";
const CURSOR: &str = "must be a nextCursor of an earlier page";

/// What was read, or every parameter that was refused, with the reason.
pub type Read<T> = Result<T, Vec<FieldError>>;

/// The parameters as they came.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging<C> {
    /// At most so many, and at least one.
    pub limit: usize,
    /// Where the page before ended; `None` for the first.
    pub cursor: Option<C>,
}

impl Query {
    /// Reads the text behind the `?`.
    pub fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The parameter of this name; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// No parameters.
    pub fn nothing(&self) -> Read<()> {
        Reader::of(self).read(|_| ())
    }

    /// `GET /outbound/messages`.
    pub fn messages(&self) -> Read<(MessageFilter, Paging<MessageId>)> {
        Reader::of(self).read(|it| (it.message_filter(), it.page()))
    }

    /// `GET /outbound/messages/paginated`: the filter, the page's number from 0, its size.
    pub fn numbered(&self) -> Read<(MessageFilter, usize, usize)> {
        Reader::of(self).read(|it| {
            let (filter, size) = (it.message_filter(), it.number("size", 20, 1, PAGE_MAX));
            (filter, it.number("page", 0, 0, PAGED_MAX / size), size)
        })
    }

    /// `GET /inbound/messages`: the author's name, if only theirs are asked for.
    pub fn inbound(&self) -> Read<(Option<String>, Paging<MessageId>)> {
        Reader::of(self).read(|it| (it.parsed("from", AUTHOR, author), it.page()))
    }

    /// `GET /activities`: of which dossier.
    pub fn activities(&self) -> Read<(String, Paging<Seq>)> {
        Reader::of(self).read(|it| {
            let dossier = it.text("dossierId");
            if dossier.is_none() {
                it.refuse("dossierId", "is required");
            }
            (dossier.unwrap_or_default().to_owned(), it.page())
        })
    }

    /// `GET /audit`: about what, and what was done.
    pub fn audit(&self) -> Read<(Option<String>, Option<Action>, Paging<Seq>)> {
        Reader::of(self).read(|it| {
            let entity = it.text("entityId").map(str::to_owned);
            (entity, it.parsed("action", &one_of(Action::ALL.map(Action::as_str)), Action::parse), it.page())
        })
    }

    /// The statements of one recipient, with `GET /consents/{recipient}`.
    pub fn statements(&self) -> Read<Paging<Seq>> {
        Reader::of(self).read(|it| it.page())
    }

    /// `GET /consents`, in the order of their hashes.
    pub fn consents(&self) -> Read<Paging<[u8; 16]>> {
        Reader::of(self).read(|it| it.page_of(PAGE, PAGE_MAX, |text| hex::decode(text).ok()?.try_into().ok()))
    }

    /// `GET /recipients/{recipient}/export`.
    pub fn export(&self) -> Read<Paging<MessageId>> {
        Reader::of(self).read(|it| it.page_of(100, EXPORT_MAX, |text| text.parse().ok()))
    }

    /// The sender that a change is for; none: all of them.
    pub fn senders(&self) -> Read<Vec<PhoneNumberId>> {
        Reader::of(self)
            .read(|it| it.parsed("sender", "must be a phone number id", |text| text.parse().ok()).into_iter().collect())
    }

    /// `GET /admin/actors`: what of the tree, and whether as text.
    pub fn tree(&self) -> Read<(TreeQuery, bool)> {
        Reader::of(self).read(|it| {
            let format = |text: &str| matches!(text, "json" | "text").then_some(text == "text");
            let is_text = it.parsed("format", "must be json or text", format) == Some(true);
            let tree = TreeQuery {
                depth: it.number("depth", usize::MAX, 0, usize::MAX),
                org: it.text("org").map(str::to_owned),
                limit: it.number("limit", 100, 0, CHILDREN_MAX),
            };
            (tree, is_text)
        })
    }
}

/// A '+' in a query means a blank: a number may come with either.
pub(crate) fn author(text: &str) -> Option<String> {
    let is_user_id = |id: &&str| {
        id.len() <= USER_ID_MAX && id.contains('.') && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
    };
    recipient(text).ok().or_else(|| Some(text).filter(is_user_id).map(str::to_owned))
}

/// A name that a message can be sent to.
pub(crate) fn recipient(text: &str) -> Result<String, NotARecipient> {
    text.replace(' ', "+").parse::<Recipient>().map(|to| to.as_str().to_owned())
}

/// The rule of a parameter that knows some words only.
fn one_of<const N: usize>(words: [&str; N]) -> String {
    format!("must be one of {}", words.join(", "))
}

/// Takes known parameters out and collects what is wrong.
struct Reader<'a> {
    query: &'a Query,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl<'a> Reader<'a> {
    const fn of(query: &'a Query) -> Self {
        Self { query, known: Vec::new(), errors: Vec::new() }
    }

    /// What `take` takes out, if nothing was wrong. A parameter that it does not know is, and one that is empty: neither a
    /// misspelt filter nor a shell's unset variable may widen what is asked for; nor may one that comes twice be half heeded.
    fn read<T>(mut self, take: impl FnOnce(&mut Self) -> T) -> Read<T> {
        let taken = take(&mut self);
        let Query(pairs) = self.query;
        for (n, (name, value)) in pairs.iter().enumerate() {
            if !self.known.contains(&name.as_str()) {
                let known = self.known.join(", ");
                self.refuse(name, format!("is not a known parameter; known are {known}"));
            } else if value.is_empty() && !self.errors.iter().any(|error| error.field == *name) {
                self.refuse(name, "must not be empty; leave it out to ask for no particular one");
            } else if pairs.iter().take(n).any(|(earlier, _)| earlier == name) {
                self.refuse(name, "must come only once");
            }
        }
        if self.errors.is_empty() { Ok(taken) } else { Err(self.errors) }
    }

    fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: name.to_owned(), message: message.into() });
    }

    fn text(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        self.query.get(name)
    }

    fn parsed<T>(&mut self, name: &'static str, rule: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let parsed = parse(self.text(name)?);
        if parsed.is_none() {
            self.refuse(name, rule);
        }
        parsed
    }

    fn number(&mut self, name: &'static str, default: usize, min: usize, max: usize) -> usize {
        let rule = format!("must be a whole number from {min} to {max}");
        let within = |text: &str| text.parse().ok().filter(|number| (min..=max).contains(number));
        self.parsed(name, &rule, within).unwrap_or(default)
    }

    fn page<C: std::str::FromStr>(&mut self) -> Paging<C> {
        self.page_of(PAGE, PAGE_MAX, |text| text.parse().ok())
    }

    fn page_of<C>(&mut self, default: usize, max: usize, cursor: impl Fn(&str) -> Option<C>) -> Paging<C> {
        Paging { limit: self.number("limit", default, 1, max), cursor: self.parsed("cursor", CURSOR, cursor) }
    }

    fn message_filter(&mut self) -> MessageFilter {
        MessageFilter {
            dossier: self.text("dossierId").map(str::to_owned),
            status: self.parsed("status", &one_of(Status::ALL.map(Status::as_str)), Status::parse),
            to: self.parsed("to", AUTHOR, |to| recipient(to).ok()),
        }
    }
}
