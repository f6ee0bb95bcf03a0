//! Secrets at rest: an organisation's record is written without them, and they follow encrypted under the master key.
//!
//! Whatever need not be secret can be read without the key. Each secret is bound to its organisation, sender and field, so
//! that an encrypted one put in another's place cannot be decrypted.

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
use crate::codec;
use crate::random::random;
use crate::records::{OrgV2, Wire};

const KIND: codec::Kind = "organisation";
/// The version with all in clear, which is only read.
const PLAIN: u8 = 1;
/// The version with encrypted secrets.
const ENCRYPTED: u8 = 2;
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

/// The key that all secrets in a store are encrypted under (ChaCha20-Poly1305).
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

/// An organisation as it is written since version 2: its secrets are empty, and follow in the order of [`Sender::secrets_mut`].
#[derive(Serialize, Deserialize)]
struct EncryptedRecord {
    key: KeyId,
    org: OrgV2,
    secrets: Vec<EncryptedSecret>,
}

#[derive(Serialize, Deserialize)]
struct EncryptedSecret {
    nonce: [u8; NONCE_LEN],
    ciphertext: Vec<u8>,
}

impl MasterKey {
    /// Its name, which may be seen.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// An organisation's record as it is written.
    pub(crate) fn encrypt(&self, org: &Org) -> Result<Vec<u8>, StoreError> {
        let mut org = org.clone();
        let no = org.no;
        let mut secrets = Vec::new();
        for (sender, field, secret) in org.senders.iter_mut().flat_map(Sender::secrets_mut) {
            let secret = std::mem::take(secret);
            secrets.push(self.encrypt_secret(&secret, &aad(no, sender, field))?);
        }
        codec::encode_wire(KIND, ENCRYPTED, &EncryptedRecord { key: self.id, org: OrgV2::of(&org), secrets })
    }

    fn encrypt_secret(&self, secret: &Secret, aad: &[u8]) -> Result<EncryptedSecret, StoreError> {
        let failed = |_| StoreError::Backend { doing: "encrypt a secret", cause: "it is too long".into() };
        let nonce = random::<NONCE_LEN>()?;
        let mut ciphertext = secret.expose().as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.cipher.seal_in_place_append_tag(unique, Aad::from(aad), &mut ciphertext).map_err(failed)?;
        Ok(EncryptedSecret { nonce, ciphertext })
    }

    fn decrypt(&self, encrypted: EncryptedRecord) -> Result<Org, StoreError> {
        let EncryptedRecord { key, org, secrets } = encrypted;
        if key != self.id {
            return Err(StoreError::OtherKey { found: key, given: self.id });
        }
        let mut org: Org = org.into_value();
        let no = org.no;
        let mut secrets = secrets.into_iter();
        for (sender, field, secret) in org.senders.iter_mut().flat_map(Sender::secrets_mut) {
            let decrypted =
                secrets.next().and_then(|encrypted| self.decrypt_secret(encrypted, &aad(no, sender, field)));
            *secret = decrypted.ok_or(StoreError::Damaged { what: "secret" })?;
        }
        Ok(org)
    }

    fn decrypt_secret(&self, encrypted: EncryptedSecret, aad: &[u8]) -> Option<Secret> {
        let nonce = Nonce::assume_unique_for_key(encrypted.nonce);
        let mut text = Zeroizing::new(encrypted.ciphertext);
        let plain = self.cipher.open_in_place(nonce, Aad::from(aad), &mut text).ok()?;
        std::str::from_utf8(plain).ok()?.parse().ok()
    }
}

/// The associated data of a secret: what its encryption binds it to.
fn aad(org: OrgNo, sender: domain::SenderNo, field: SecretField) -> Vec<u8> {
    let mut aad = b"twotick secret 1".to_vec();
    aad.extend(org.0.to_be_bytes());
    aad.extend(sender.0.to_be_bytes());
    aad.push(field as u8);
    aad
}

/// An organisation as it was found.
pub(crate) enum Found {
    /// With its secrets encrypted.
    Encrypted(Box<EncryptedOrg>),
    /// By a version that did not encrypt them.
    Plain(Box<Org>),
}

/// An organisation whose secrets are encrypted.
pub(crate) struct EncryptedOrg(EncryptedRecord);

impl Found {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        match codec::split(KIND, bytes)? {
            (ENCRYPTED, body) => Ok(Self::Encrypted(Box::new(EncryptedOrg(codec::decode_body(KIND, body)?)))),
            // Such a record ends before the quotas: it has none, as zeros say.
            (PLAIN, body) => {
                let org: OrgV2 = codec::decode_body(KIND, &[body, &[0; 3]].concat())?;
                Ok(Self::Plain(Box::new(org.into_value())))
            }
            (version, _) => Err(codec::unknown(KIND, version, ENCRYPTED)),
        }
    }

    /// The key that its secrets are encrypted under.
    pub(crate) fn key(&self) -> Option<KeyId> {
        match self {
            Self::Encrypted(encrypted) => Some(encrypted.0.key),
            Self::Plain(_) => None,
        }
    }

    /// With its secrets.
    pub(crate) fn decrypt(self, key: Option<&MasterKey>) -> Result<Org, StoreError> {
        match self {
            Self::Encrypted(encrypted) => key.ok_or(StoreError::Locked)?.decrypt(encrypted.0),
            Self::Plain(org) => Ok(*org),
        }
    }

    /// Without its secrets: they are empty.
    pub(crate) fn without_secrets(self) -> Org {
        match self {
            Self::Encrypted(encrypted) => encrypted.0.org.into_value(),
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
