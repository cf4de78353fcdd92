//! Several certificates on one listener, chosen by the name that the client asks for (SNI).

use std::{collections::HashMap, path::Path, sync::Arc};

use rustls::{
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use webpki::EndEntityCert;

use super::tls::{TlsError, certificates, private_key};

/// A certificate chain and its key, both PEM.
#[derive(Debug, Clone, Copy)]
pub struct CertificateFiles<'f> {
    /// The chain, the server's own certificate first.
    pub certificate: &'f Path,
    /// The private key.
    pub key: &'f Path,
}

/// The certificates of a listener.
#[derive(Debug)]
pub(super) struct ByServerName {
    first: Arc<CertifiedKey>,
    // By DNS name in lower case; `*.` for any one label.
    others: HashMap<String, Arc<CertifiedKey>>,
}

impl ByServerName {
    pub(super) fn load(first: CertificateFiles<'_>, additional: &[CertificateFiles<'_>]) -> Result<Self, TlsError> {
        let mut loaded = Self { first: certified(first)?, others: HashMap::new() };
        let of_first = if additional.is_empty() { Vec::new() } else { names(&loaded.first, first.certificate)? };
        for files in additional {
            let key = certified(*files)?;
            let names = names(&key, files.certificate)?;
            if names.is_empty() {
                return Err(TlsError::NoServerName(files.certificate.to_owned()));
            }
            for name in names {
                if of_first.contains(&name) || loaded.others.contains_key(&name) {
                    return Err(TlsError::RepeatedServerName(files.certificate.to_owned(), name));
                }
                loaded.others.insert(name, Arc::clone(&key));
            }
        }
        // An exact name of the first certificate wins over a wildcard of another one.
        for name in of_first {
            loaded.others.insert(name, Arc::clone(&loaded.first));
        }
        Ok(loaded)
    }

    fn chosen(&self, name: &str) -> &Arc<CertifiedKey> {
        let name = name.to_ascii_lowercase();
        let wildcard = || self.others.get(&format!("*.{}", name.split_once('.')?.1));
        self.others.get(&name).or_else(wildcard).unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for ByServerName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Almost every listener has one certificate.
        let name = hello.server_name().filter(|_| !self.others.is_empty());
        Some(Arc::clone(name.map_or(&self.first, |name| self.chosen(name))))
    }
}

fn certified(files: CertificateFiles<'_>) -> Result<Arc<CertifiedKey>, TlsError> {
    let (chain, key) = (certificates(files.certificate)?, private_key(files.key)?);
    // Refuses a key that is another certificate's.
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?))
}

fn names(key: &CertifiedKey, file: &Path) -> Result<Vec<String>, TlsError> {
    let no_certificate = || TlsError::NoCertificate(file.to_owned());
    let certificate = key.cert.first().ok_or_else(no_certificate)?;
    let certificate = EndEntityCert::try_from(certificate).map_err(|_| no_certificate())?;
    Ok(certificate.valid_dns_names().map(str::to_ascii_lowercase).collect())
}
