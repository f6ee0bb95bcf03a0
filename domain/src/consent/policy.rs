//! Which messages a consent lets through.

use std::fmt;

use super::known::{Consent, Standing};
use super::statement::Choice;
use crate::failure::OurCode;
use crate::message::Category;

/// How strictly an organisation asks for consent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsentPolicy {
    /// Transactional messages unless revoked, marketing only if granted.
    #[default]
    Default,
    /// Both only if granted.
    Required,
    /// Consent is never asked for.
    Off,
}

impl ConsentPolicy {
    /// The words for it in the API and in the configuration.
    pub const WORDS: [(&'static str, Self); 3] =
        [("default", Self::Default), ("required", Self::Required), ("off", Self::Off)];

    /// The policy as clients write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Required => "required",
            Self::Off => "off",
        }
    }
}

/// Why a message may not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The message's category.
    pub category: Category,
    /// The revocation that decided; `None` if a grant was needed and there is none.
    pub revoked: Option<Standing>,
}

impl Refusal {
    /// The code of refused messages and requests.
    pub const CODE: &'static str = OurCode::BlockedByPolicy.as_str();
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let category = self.category.as_str();
        match &self.revoked {
            Some(Standing { at, record, .. }) => {
                write!(f, "the recipient revoked consent to {category} messages at {at} (consent record {record})")
            }
            None => write!(f, "no consent of the recipient to {category} messages is recorded"),
        }?;
        match self.category {
            Category::BilledMarketing => f.write_str(", and WhatsApp bills its template as marketing"),
            Category::Transactional | Category::Marketing | Category::Confirmation => Ok(()),
        }
    }
}

/// Whether a message of this category may be sent to a recipient of whom this is `known`.
pub fn check(policy: ConsentPolicy, category: Category, known: Option<&Consent>) -> Result<(), Refusal> {
    let standing = known.and_then(|known| known.standing(category));
    let is_granted = standing.is_some_and(|standing| standing.choice == Choice::Granted);
    let revoked = standing.filter(|standing| standing.choice == Choice::Revoked);
    let may_go = match (policy, category) {
        (ConsentPolicy::Off, _) | (_, Category::Confirmation) => true,
        (ConsentPolicy::Default, Category::Transactional) => revoked.is_none(),
        (ConsentPolicy::Default, Category::Marketing | Category::BilledMarketing)
        | (ConsentPolicy::Required, Category::Transactional | Category::Marketing | Category::BilledMarketing) => {
            is_granted
        }
    };
    if may_go { Ok(()) } else { Err(Refusal { category, revoked }) }
}
