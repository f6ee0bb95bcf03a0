//! Consent: what a recipient has agreed to, how a statement changes it, and which messages it lets through.

mod defaults;
mod fold;
mod known;
mod labels;
mod policy;
mod seen;
mod statement;
mod words;

pub use known::{Consent, MissingConsent, Standing};
pub use labels::{END_OF_PROMOTIONS, ends_promotions};
pub use policy::{ConsentPolicy, Refusal, check};
pub use seen::{Proof, SeenStatement, SeenStatements};
pub use statement::{Choice, Covers, Preference, Source, Statement};
pub use words::{PutWords, WordList, Words};

#[cfg(test)]
mod tests;
