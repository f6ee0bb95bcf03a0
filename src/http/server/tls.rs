//! TLS from PEM files, which are read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A certificate with its key, as last read.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads both files; an error names the file.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Self, String> {
        let config = RwLock::new(read(cert, key)?);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), config })
    }

    /// What new connections speak.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Reads the files whenever they change. A pair that does not fit is logged, and the one in use stays.
    pub(crate) async fn follow(&self) {
        let mut seen = self.stamp().await;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.stamp().await;
            if now == seen {
                continue;
            }
            seen = now;
            let (cert, key) = (self.cert.clone(), self.key.clone());
            match tokio::task::spawn_blocking(move || read(&cert, &key)).await {
                Ok(Ok(config)) => {
                    *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                    tracing::info!("the TLS certificate was read anew");
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "the new TLS files cannot be used; the old ones stay in force")
                }
                Err(_) => {}
            }
        }
    }

    async fn stamp(&self) -> [Option<(SystemTime, u64)>; 2] {
        let mut stamps = [None, None];
        for (stamp, path) in stamps.iter_mut().zip([&self.cert, &self.key]) {
            let found = tokio::fs::metadata(path).await.ok();
            *stamp = found.and_then(|file| Some((file.modified().ok()?, file.len())));
        }
        stamps
    }
}

/// What both keys name.
const PEM_FILES: &str = "name a PEM file that this user can read, such as tls_cert = \"/etc/twotick/fullchain.pem\" and tls_key = \
                         \"/etc/twotick/privkey.pem\"";

fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let wrong = |name: &str, path: &Path, error: &dyn std::fmt::Display| format!("{name} {}: {error}", path.display());
    let of_cert = |error: &dyn std::fmt::Display| wrong("http.tls_cert", cert, error);
    let chain = CertificateDer::pem_file_iter(cert);
    let chain = chain.map_err(|error| of_cert(&format!("{error}; {PEM_FILES}")))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(|error| of_cert(&error))?;
    if chain.is_empty() {
        return Err(of_cert(&"has no certificate; it must be the PEM file of the chain, the server's own first"));
    }
    let of_key = |error: &dyn std::fmt::Display| wrong("http.tls_key", key, error);
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        let is_missing = matches!(error, pem::Error::NoItemsFound);
        let missing = "has no private key; it must be the PEM file of the certificate's, not encrypted";
        if is_missing { of_key(&missing) } else { of_key(&format!("{error}; {PEM_FILES}")) }
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| of_cert(&error))?.with_no_client_auth();
    let signing = rustls::crypto::ring::sign::any_supported_type(&secret);
    signing.map_err(|_| of_key(&"holds no private key of RSA, ECDSA or EdDSA that can be read"))?;
    let mut config = builder.with_single_cert(chain, secret).map_err(|error| {
        if matches!(error, rustls::Error::InvalidCertificate(_)) {
            of_cert(&format!("holds something that is no certificate: {error}"))
        } else {
            of_key(&format!("does not go with the certificate in {}: {error}", cert.display()))
        }
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
