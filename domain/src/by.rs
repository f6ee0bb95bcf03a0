//! Who caused something.

/// Who caused something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// twotick itself.
    System,
    /// A holder of the organisation's API key of this name.
    ApiKey(String),
    /// A holder of the admin key.
    Admin,
    /// Meta, by webhook.
    WhatsApp,
    /// The configuration file, at start.
    Config,
}
