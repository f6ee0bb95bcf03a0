//! A small schema for JSON values. A value that does not match is refused in Meta's words, with paths such as
//! `text['body']`.

use serde_json::{Map, Value};

use crate::errors::Refusal;

/// What a value must be.
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// A string of one to this many characters.
    Text(usize),
    /// A string of up to this many characters, which may be empty.
    Loose(usize),
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// Degrees from minus to plus this many, as a number or a string.
    Degrees(f64),
    /// An object.
    Object(&'static Object),
    /// An array with a least and a greatest length.
    List(&'static Shape, usize, usize),
}

/// The members that an object must or may have.
pub(crate) struct Object {
    /// The members, and whether each must be there.
    pub(crate) members: &'static [(&'static str, Need, Shape)],
    /// Whether any other member is refused.
    pub(crate) closed: bool,
    /// A check that involves more than one member.
    pub(crate) rule: Option<Rule>,
}

/// A check of an object. It receives the object and its path.
type Rule = fn(&Map<String, Value>, &str) -> Result<(), Refusal>;

/// Whether a member must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It is required.
    Must,
    /// It is optional.
    May,
}

impl Shape {
    /// Checks the value at `path`.
    pub(crate) fn check(&self, value: &Value, path: &str) -> Result<(), Refusal> {
        match self {
            Self::Any => Ok(()),
            Self::Text(_) if value.as_str() == Some("") => Err(must(path, "not be empty")),
            Self::Text(most) | Self::Loose(most) => {
                let text = value.as_str().ok_or_else(|| must(path, "be a string"))?;
                if text.chars().count() > *most {
                    return Err(must(path, &format!("be at most {most} characters long")));
                }
                Ok(())
            }
            Self::Word(words) => {
                let word = value.as_str().ok_or_else(|| must(path, "be a string"))?;
                if words.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                    return Ok(());
                }
                Err(must(path, &format!("be one of {{{}}} - got \"{word}\"", words.join(", "))))
            }
            Self::Flag if value.is_boolean() => Ok(()),
            Self::Flag => Err(must(path, "be a boolean")),
            Self::Degrees(most) => {
                let degrees = value.as_f64().or_else(|| value.as_str()?.parse().ok());
                if degrees.is_some_and(|degrees| degrees.abs() <= *most) {
                    return Ok(());
                }
                Err(must(path, &format!("be degrees from -{most} to {most}")))
            }
            Self::Object(object) => {
                let members = value.as_object().ok_or_else(|| must(path, "be a JSON object"))?;
                object.check(members, path)
            }
            Self::List(of, least, most) => {
                let items = value.as_array().ok_or_else(|| must(path, "be an array"))?;
                if !(*least..=*most).contains(&items.len()) {
                    return Err(must(path, &format!("have {least} to {most} items - got {}", items.len())));
                }
                items.iter().enumerate().try_for_each(|(i, item)| of.check(item, &format!("{path}[{i}]")))
            }
        }
    }
}

impl Object {
    /// Checks the members of the object at `path`.
    pub(crate) fn check(&self, given: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
        for (name, need, shape) in self.members {
            match self::given(given, name) {
                None if *need == Need::Must => return Err(Refusal::missing(&member(path, name))),
                None => {}
                Some(value) => shape.check(value, &member(path, name))?,
            }
        }
        let known = |name: &String| self.members.iter().any(|(known, ..)| known == name);
        if let Some(name) = given.keys().find(|name| self.closed && !known(name)) {
            return Err(Refusal::malformed(format!("Unexpected key \"{name}\" on param \"{path}\".")));
        }
        self.rule.map_or(Ok(()), |rule| rule(given, path))
    }
}

/// A member that is present. `null` counts as absent.
pub(crate) fn given<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

/// The path of a member, as Meta writes it.
pub(crate) fn member(path: &str, name: &str) -> String {
    format!("{path}['{name}']")
}

/// Refuses the value at `path`, which must `be` something else.
fn must(path: &str, be: &str) -> Refusal {
    Refusal::invalid(format!("Param {path} must {be}."))
}
