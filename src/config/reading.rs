//! Where the configuration is read from, and how it is told what is wrong with it: the key, what is allowed, an example, the place.

use std::path::{Path, PathBuf};

use figment::error::{Actual, Kind};
use figment::providers::{Env, Format, Toml};
use figment::{Error, Figment};
use toml::de::{DeTable, DeValue};

use super::{Config, ConfigError, DEFAULTS};

const ENV_PREFIX: &str = "TWOTICK__";
/// Read from the working directory when no file is named.
const DEFAULT_FILE: &str = "config.toml";

/// The defaults, a file and the environment, put together.
pub(super) struct Sources {
    file: Option<(PathBuf, String)>,
    figment: Figment,
}

impl Sources {
    /// Defaults, then `file` (or `config.toml` here, if there is one), then the environment.
    pub(super) fn open(file: Option<&Path>) -> Result<Self, ConfigError> {
        let here = Path::new(DEFAULT_FILE);
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        let mut read = None;
        if let Some(path) = file.or_else(|| here.exists().then_some(here)) {
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConfigError(format!("cannot read {}: {error}", path.display())))?;
            let syntax = text.parse::<toml::Table>();
            syntax.map_err(|error| ConfigError(format!("{}{}", path.display(), without_source(&text, &error))))?;
            figment = figment.merge(Toml::string(&text));
            read = Some((path.to_owned(), text));
        }
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let mut found = names.filter_map(|name| meant(&name).map(|meant| (name, meant)));
        if let Some((name, meant)) = found.next() {
            let reason = format!("environment variable {name} is not read: write {meant}, with two underscores");
            return Err(ConfigError(reason));
        }
        Ok(Self { file: read, figment: figment.merge(Env::prefixed(ENV_PREFIX).split("__")) })
    }

    /// The configuration, not yet checked.
    pub(super) fn extract(&self) -> Result<Config, ConfigError> {
        self.figment.extract().map_err(|error| self.unreadable(&error))
    }

    /// What is wrong with a key, with its place.
    pub(super) fn wrong(&self, key: &str, reason: &str) -> ConfigError {
        let source = self.figment.find_metadata(key);
        self.at(key, reason, source.is_some_and(|source| source.name.contains("environment")))
    }

    fn unreadable(&self, error: &Error) -> ConfigError {
        let mut key = error.path.join(".");
        let reason = if let Kind::UnknownField(name, known) = &error.kind {
            // The path may or may not end with the key itself.
            if error.path.last() != Some(name) {
                key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            }
            format!(": is not a known key; known here are {}", known.join(", "))
        } else if let Kind::MissingField(name) = &error.kind {
            key = format!("{key}.{name}");
            format!(": is missing{}", example(&key))
        } else {
            format!(": {}{}", words(&key, &error.kind), example(&key))
        };
        let is_of_environment = error.metadata.as_ref().is_some_and(|source| source.name.contains("environment"));
        self.at(&key, &reason, is_of_environment)
    }

    fn at(&self, key: &str, reason: &str, is_of_environment: bool) -> ConfigError {
        let variable = || format!(" (environment variable {ENV_PREFIX}{})", key.to_uppercase().replace('.', "__"));
        let line =
            |(path, text): &(PathBuf, String)| Some(format!(" ({}, line {})", path.display(), line_of(text, key)?));
        let place = if is_of_environment { Some(variable()) } else { self.file.as_ref().and_then(line) };
        ConfigError(format!("{}{reason}{}", shown(key), place.unwrap_or_default()))
    }
}

/// What a variable was meant to be that is named like a key of ours, but for the underscores: nobody would read it.
fn meant(name: &str) -> Option<String> {
    let rest = name.strip_prefix("TWOTICK_").filter(|_| !name.starts_with(ENV_PREFIX))?;
    let rest = rest.to_lowercase().replace("__", "_");
    let defaults: toml::Table = DEFAULTS.parse().ok()?;
    defaults.iter().find_map(|(section, keys)| {
        let named = rest.strip_prefix(&format!("{section}_"))?;
        let bare = |key: &str| key.replace('_', "");
        // Another key of the section is as little read, and told as what it names.
        let known = keys.as_table()?.keys().find(|key| bare(key) == bare(named)).map_or(named, String::as_str);
        Some(format!("{ENV_PREFIX}{}__{}", section.to_uppercase(), known.to_uppercase()))
    })
}

/// A key for people: `orgs.0.senders` is `orgs[0].senders`.
fn shown(key: &str) -> String {
    let mut text = String::new();
    for part in key.split('.') {
        match part.parse::<usize>() {
            Ok(n) => text.push_str(&format!("[{n}]")),
            Err(_) if text.is_empty() => text.push_str(part),
            Err(_) => text.push_str(&format!(".{part}")),
        }
    }
    text
}

/// What was found, and what belongs there.
fn words(key: &str, kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("must be {}, not {}", kind_of_value(expected), value(key, found))
        }
        Kind::UnknownVariant(found, known) => format!("must be one of {}, not {found:?}", known.join(", ")),
        Kind::Message(_)
        | Kind::InvalidLength(..)
        | Kind::UnknownField(..)
        | Kind::MissingField(_)
        | Kind::DuplicateField(_)
        | Kind::ISizeOutOfRange(_)
        | Kind::USizeOutOfRange(_)
        | Kind::Unsupported(_)
        | Kind::UnsupportedKey(..) => kind.to_string(),
    }
}

/// serde's word for a type, for people.
fn kind_of_value(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        "a string" => "text in quotes",
        "a sequence" => "a list in brackets",
        "a map" => "a table",
        "f64" => "a number",
        "integer overflow" => "a whole number from 0 on, within bounds",
        "path string" => "a path in quotes",
        "parsable string" => "a value as in the example",
        _ if expected.starts_with("enum ") => "one of the words of the example",
        _ if expected.starts_with("struct ") => "a table",
        _ if ["usize", "u64", "u32", "u16", "i64"].iter().any(|number| expected.ends_with(number)) => "a whole number",
        _ => expected,
    }
}

/// A value that was found; not, where it may be a secret.
fn value(key: &str, found: &Actual) -> String {
    let is_secret = ["key", "token", "secret", "proxy"].iter().any(|word| key.contains(word));
    match found {
        Actual::Unit
        | Actual::Option
        | Actual::NewtypeStruct
        | Actual::Enum
        | Actual::UnitVariant
        | Actual::NewtypeVariant
        | Actual::TupleVariant
        | Actual::StructVariant
        | Actual::Bytes(_)
        | Actual::Other(_) => "that".to_owned(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        Actual::Str(_) if is_secret => "other text".to_owned(),
        _ if is_secret => "a number, or true or false".to_owned(),
        Actual::Str(text) => format!("{text:?}"),
        Actual::Char(text) => format!("{text:?}"),
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(value) => value.to_string(),
        Actual::Signed(value) => value.to_string(),
        Actual::Float(value) => value.to_string(),
    }
}

/// How the key is written in the shipped file, which documents each: `; write it like VALUE: WHAT IT IS`.
fn example(key: &str) -> String {
    let parts: Vec<_> = key.split('.').filter(|part| part.parse::<usize>().is_err()).collect();
    let Some((name, section)) = parts.split_last() else { return String::new() };
    let (section, mut here) = (section.join("."), String::new());
    for line in DEFAULTS.lines() {
        let line = line.trim_start_matches("# ");
        if let Some(header) = line.strip_prefix('[') {
            here = header.split(']').next().unwrap_or_default().trim_start_matches('[').to_owned();
        }
        let value = line.strip_prefix(name).and_then(|rest| rest.trim_start().strip_prefix('='));
        if let Some(value) = value.filter(|_| here == section) {
            let (value, what) = value.split_once(" #").unwrap_or((value, ""));
            let like = Some(value.trim()).filter(|value| *value != "\"\"");
            let like = like.map(|value| format!("; write it like {value}")).unwrap_or_default();
            let what = Some(what.trim()).filter(|what| !what.is_empty()).map(|what| format!(" ({what})"));
            return format!("{like}{}", what.unwrap_or_default());
        }
    }
    String::new()
}

/// A syntax error by its line, without the line itself: it may hold a secret.
fn without_source(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().and_then(|span| line_at(text, span.start)).map(|line| format!(", line {line}"));
    format!("{}: {}", line.unwrap_or_default(), error.message())
}

fn line_at(text: &str, at: usize) -> Option<usize> {
    Some(text.get(..at)?.matches('\n').count() + 1)
}

/// The line where a key stands, or where the nearest of what it is in does.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeValue::Table(DeTable::parse(text).ok()?.into_inner());
    let (mut value, mut at) = (&document, None);
    for part in key.split('.') {
        let inner = match value {
            DeValue::Table(table) => {
                let found = table.iter().find(|(name, _)| name.get_ref() == part);
                found.map(|(name, inner)| (name.span().start, inner))
            }
            DeValue::Array(items) => {
                let found = part.parse().ok().and_then(|n: usize| items.get(n));
                found.map(|inner| (inner.span().start, inner))
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => None,
        };
        let Some((start, inner)) = inner else { break };
        (value, at) = (inner.get_ref(), Some(start));
    }
    line_at(text, at?)
}
