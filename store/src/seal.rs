//! Secrets at rest: an organisation's record is written without them, and they follow sealed under the master key.
//!
//! Whatever need not be secret can be read without the key. Each secret is bound to its organisation, sender and field, so
//! that a sealed one put in another's place does not open.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use domain::OrgNo;
use domain::org::{Org, Secret, SecretField, Sender};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::backend::StoreError;
use crate::codec::{self, Format};
use crate::random::random;

const KIND: codec::Kind = "organisation";
const KEY_LEN: usize = 32;

/// Names a master key without telling it: the beginning of a hash of its 256 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId([u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The key that all secrets in a store are sealed under (ChaCha20-Poly1305).
#[derive(Clone)]
pub struct MasterKey {
    id: KeyId,
    cipher: Arc<LessSafeKey>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

impl FromStr for MasterKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "must be 64 hexadecimal digits, such as `openssl rand -hex 32` prints";
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        hex::decode_to_slice(text, bytes.as_mut_slice()).map_err(|_| WRONG)?;
        let cipher = UnboundKey::new(&CHACHA20_POLY1305, bytes.as_slice()).map_err(|_| WRONG)?;
        let hash = Sha256::new().chain_update("twotick master key").chain_update(bytes.as_slice()).finalize();
        let id = KeyId(hash.first_chunk().copied().ok_or(WRONG)?);
        Ok(Self { id, cipher: Arc::new(LessSafeKey::new(cipher)) })
    }
}

/// An organisation as it is written: its secrets are empty, and follow in the order of [`Sender::secrets_mut`].
#[derive(Serialize, Deserialize)]
struct Sealed {
    key: KeyId,
    org: Org,
    secrets: Vec<SealedSecret>,
}

#[derive(Serialize, Deserialize)]
struct SealedSecret {
    nonce: [u8; NONCE_LEN],
    text: Vec<u8>,
}

impl MasterKey {
    /// Its name, which may be seen.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// An organisation's record as it is written.
    pub(crate) fn seal(&self, org: &Org) -> Result<Vec<u8>, StoreError> {
        let mut org = org.clone();
        let no = org.no;
        let mut secrets = Vec::new();
        for (sender, field, secret) in org.senders.iter_mut().flat_map(Sender::secrets_mut) {
            let secret = std::mem::take(secret);
            secrets.push(self.seal_secret(&secret, &place(no, sender, field))?);
        }
        codec::encode_as(Format::Sealed, KIND, &Sealed { key: self.id, org, secrets })
    }

    fn seal_secret(&self, secret: &Secret, place: &[u8]) -> Result<SealedSecret, StoreError> {
        let failed = |_| StoreError::Backend { doing: "seal a secret", cause: "it is too long".into() };
        let nonce = random::<NONCE_LEN>()?;
        let mut text = secret.expose().as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.cipher.seal_in_place_append_tag(unique, Aad::from(place), &mut text).map_err(failed)?;
        Ok(SealedSecret { nonce, text })
    }

    fn open(&self, sealed: Sealed) -> Result<Org, StoreError> {
        let Sealed { key, mut org, secrets } = sealed;
        if key != self.id {
            return Err(StoreError::OtherKey { found: key, given: self.id });
        }
        let no = org.no;
        let mut secrets = secrets.into_iter();
        for (sender, field, secret) in org.senders.iter_mut().flat_map(Sender::secrets_mut) {
            let opened = secrets.next().and_then(|sealed| self.open_secret(sealed, &place(no, sender, field)));
            *secret = opened.ok_or(StoreError::Damaged { what: "secret" })?;
        }
        Ok(org)
    }

    fn open_secret(&self, sealed: SealedSecret, place: &[u8]) -> Option<Secret> {
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let mut text = Zeroizing::new(sealed.text);
        let plain = self.cipher.open_in_place(nonce, Aad::from(place), &mut text).ok()?;
        std::str::from_utf8(plain).ok()?.parse().ok()
    }
}

/// What a sealed secret is bound to.
fn place(org: OrgNo, sender: domain::SenderNo, field: SecretField) -> Vec<u8> {
    let mut place = b"twotick secret 1".to_vec();
    place.extend(org.0.to_be_bytes());
    place.extend(sender.0.to_be_bytes());
    place.push(field as u8);
    place
}

/// An organisation as it was found.
pub(crate) enum Found {
    /// With its secrets sealed.
    Sealed(Box<SealedOrg>),
    /// By a version that did not seal them.
    Plain(Box<Org>),
}

/// An organisation whose secrets are sealed.
pub(crate) struct SealedOrg(Sealed);

impl Found {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        match codec::format(KIND, bytes)? {
            Format::Sealed => Ok(Self::Sealed(Box::new(SealedOrg(codec::decode_as(Format::Sealed, KIND, bytes)?)))),
            // Such a record ends before the quotas: it has none, as zeros say.
            Format::Plain => Ok(Self::Plain(Box::new(codec::decode(KIND, &[bytes, &[0; 3]].concat())?))),
        }
    }

    /// The key that its secrets are sealed under.
    pub(crate) fn key(&self) -> Option<KeyId> {
        match self {
            Self::Sealed(sealed) => Some(sealed.0.key),
            Self::Plain(_) => None,
        }
    }

    /// With its secrets.
    pub(crate) fn open(self, key: Option<&MasterKey>) -> Result<Org, StoreError> {
        match self {
            Self::Sealed(sealed) => key.ok_or(StoreError::Locked)?.open(sealed.0),
            Self::Plain(org) => Ok(*org),
        }
    }

    /// Without its secrets: they are empty.
    pub(crate) fn without_secrets(self) -> Org {
        match self {
            Self::Sealed(sealed) => sealed.0.org,
            Self::Plain(mut org) => {
                org.senders
                    .iter_mut()
                    .flat_map(Sender::secrets_mut)
                    .for_each(|(.., secret)| *secret = Secret::default());
                *org
            }
        }
    }
}
