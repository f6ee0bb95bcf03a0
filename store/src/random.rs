//! Bytes that nobody can guess.

use ring::rand::{SecureRandom, SystemRandom};

use crate::backend::StoreError;

pub(crate) fn random<const LEN: usize>() -> Result<[u8; LEN], StoreError> {
    let mut bytes = [0; LEN];
    let failed = |_| StoreError::Backend { doing: "draw random bytes", cause: "the system gave none".into() };
    SystemRandom::new().fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
