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
    // The names in the first one, whether or not there are others.
    of_first: Vec<String>,
}

/// The name that a connection was made for, where its requests must be for that.
#[derive(Debug, Clone)]
pub struct AskedName {
    // `None` if the client has asked for none.
    asked: Option<Box<str>>,
    certificates: Arc<ByServerName>,
}

/// Made for the same, with the same certificates to choose from.
impl PartialEq for AskedName {
    fn eq(&self, other: &Self) -> bool {
        self.asked == other.asked && Arc::ptr_eq(&self.certificates, &other.certificates)
    }
}

impl Eq for AskedName {}

impl AskedName {
    pub(super) fn new(asked: Option<&str>, certificates: &Arc<ByServerName>) -> Self {
        let asked = asked.map(|asked| asked.trim_end_matches('.').into());
        Self { asked, certificates: Arc::clone(certificates) }
    }

    /// Whether a request for this host may come on the connection: for the name that was asked for, or for another one in
    /// the certificate which that has chosen, as clients of HTTP/2 share connections (RFC 9113, section 9.1.1). Where no
    /// name was asked for, as by clients that know an address only, it is for every host that has no other certificate.
    pub fn admits(&self, host: &str) -> bool {
        let Self { asked, certificates } = self;
        let chosen = asked.as_deref().map_or(&certificates.first, |asked| certificates.chosen(asked));
        match asked {
            Some(asked) if asked.eq_ignore_ascii_case(host) => true,
            Some(_) => Arc::ptr_eq(chosen, certificates.chosen(host)) && certificates.is_in_one(host),
            None => Arc::ptr_eq(chosen, certificates.chosen(host)),
        }
    }
}

impl ByServerName {
    pub(super) fn load(first: CertificateFiles<'_>, additional: &[CertificateFiles<'_>]) -> Result<Self, TlsError> {
        let key = certified(first)?;
        let of_first = match names(&key, first.certificate) {
            // Alone it need not say what it is for.
            Err(_) if additional.is_empty() => Vec::new(),
            names => names?,
        };
        let mut loaded = Self { first: key, others: HashMap::new(), of_first };
        if additional.is_empty() {
            return Ok(loaded);
        }
        for files in additional {
            let key = certified(*files)?;
            let names = names(&key, files.certificate)?;
            if names.is_empty() {
                return Err(TlsError::NoServerName(files.certificate.to_owned()));
            }
            for name in names {
                if loaded.of_first.contains(&name) || loaded.others.contains_key(&name) {
                    return Err(TlsError::RepeatedServerName(files.certificate.to_owned(), name));
                }
                loaded.others.insert(name, Arc::clone(&key));
            }
        }
        // An exact name of the first certificate wins over a wildcard of another one.
        for name in &loaded.of_first {
            loaded.others.insert(name.clone(), Arc::clone(&loaded.first));
        }
        Ok(loaded)
    }

    /// Whether some certificate has the name, and it is not only the first one's for want of another.
    fn is_in_one(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let has = |name: &String| self.others.contains_key(name) || self.of_first.contains(name);
        has(&name) || wildcard.as_ref().is_some_and(has)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with certificates of these names, the first of which is the listener's first.
    fn given(certificates: &[&[&str]]) -> Arc<ByServerName> {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<_> = certificates
            .iter()
            .enumerate()
            .map(|(index, names)| {
                let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
                let made = rcgen::generate_simple_self_signed(names).unwrap();
                let (certificate, key) =
                    (folder.path().join(format!("{index}.crt")), folder.path().join(format!("{index}.key")));
                std::fs::write(&certificate, made.cert.pem()).unwrap();
                std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
                (certificate, key)
            })
            .collect();
        let files: Vec<_> = files.iter().map(|(certificate, key)| CertificateFiles { certificate, key }).collect();
        Arc::new(ByServerName::load(files[0], &files[1..]).unwrap())
    }

    #[test]
    fn a_connection_is_for_the_name_that_was_asked_for_and_those_that_share_its_certificate() {
        let several = given(&[&["api.acme.example", "acme.example"], &["crm.acme.example"], &["*.tools.example"]]);
        let admits = |asked: &str, host: &str| AskedName::new(Some(asked), &several).admits(host);
        assert!(admits("api.acme.example", "api.acme.example") && admits("API.acme.example.", "api.acme.example"));
        assert!(admits("api.acme.example", "acme.example") && admits("mcp.tools.example", "sql.tools.example"));
        for (asked, host) in [
            ("api.acme.example", "crm.acme.example"),
            ("crm.acme.example", "api.acme.example"),
            ("mcp.tools.example", "a.mcp.tools.example"),
            ("mcp.tools.example", "tools.example"),
            // Both get the first certificate, which is for neither.
            ("one.example", "other.example"),
            ("api.acme.example", "other.example"),
            ("api.acme.example", "127.0.0.1"),
        ] {
            assert!(!admits(asked, host), "{asked} {host}");
        }
        assert!(admits("other.example", "other.example"));
    }

    #[test]
    fn where_no_name_was_asked_for_the_first_certificate_is_shown() {
        let several = given(&[&["api.acme.example"], &["crm.acme.example"]]);
        let admits = |host: &str| AskedName::new(None, &several).admits(host);
        assert!(admits("api.acme.example") && admits("127.0.0.1") && admits("[::1]"));
        assert!(!admits("crm.acme.example"));
        let one = given(&[&["api.acme.example", "*.tools.example"]]);
        assert!(AskedName::new(None, &one).admits("other.example"));
        let asked = AskedName::new(Some("api.acme.example"), &one);
        assert!(asked.admits("mcp.tools.example") && !asked.admits("other.example"));
    }
}
