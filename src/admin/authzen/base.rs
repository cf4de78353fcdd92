//! The URL by which callers know this decision point, and the document that they find there.

use std::{fmt, str::FromStr};

use http::Uri;
use serde_json::{Value, json};
use thiserror::Error;

/// Where the document is, before the path of the base.
const WELL_KNOWN: &str = "/.well-known/authzen-configuration";

/// A text is not the base URL of a decision point.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not an `https` URL with a host, and without user, query and fragment")]
pub struct InvalidBaseUrl(String);

/// The base URL of a decision point: `https://pdp.acme.example`, with a path or not, never with a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    url: String,
    // INVARIANT: the path of `url`, empty or beginning with a slash.
    path: String,
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        let invalid = || InvalidBaseUrl(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(invalid)?;
        let is_base = uri.scheme_str() == Some("https") && uri.query().is_none() && !text.contains(['#', '?']);
        if !is_base || authority.host().is_empty() {
            return Err(invalid());
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { url: format!("https://{authority}{path}"), path })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl BaseUrl {
    /// Whether the document of this base is at the path.
    pub(super) fn is_described_at(&self, path: &str) -> bool {
        path.strip_prefix(WELL_KNOWN) == Some(&self.path)
    }

    /// What callers find there (AuthZEN 1.0, PDP metadata).
    pub(super) fn document(&self) -> Value {
        let at = |path: &str| format!("{self}/access/v1/{path}");
        json!({
            "policy_decision_point": self.url,
            "access_evaluation_endpoint": at("evaluation"),
            "access_evaluations_endpoint": at("evaluations"),
            "search_subject_endpoint": at("search/subject"),
            "search_resource_endpoint": at("search/resource"),
            "search_action_endpoint": at("search/action"),
        })
    }
}

/// Whether the path is for documents of decision points.
pub(super) fn is_well_known(path: &str) -> bool {
    path.strip_prefix(WELL_KNOWN).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_has_its_document_before_its_path() {
        let base: BaseUrl = "https://pdp.acme.example/".parse().unwrap();
        assert_eq!(base.to_string(), "https://pdp.acme.example");
        assert!(base.is_described_at("/.well-known/authzen-configuration"));
        assert!(!base.is_described_at("/.well-known/authzen-configuration/tenant1"));
        let base: BaseUrl = "https://pdp.acme.example:8443/tenant1".parse().unwrap();
        assert!(base.is_described_at("/.well-known/authzen-configuration/tenant1"));
        assert!(!base.is_described_at("/.well-known/authzen-configuration"));
        let endpoint = "https://pdp.acme.example:8443/tenant1/access/v1/search/action";
        assert_eq!(base.document()["search_action_endpoint"], endpoint);
    }

    #[test]
    fn other_texts_are_no_base() {
        for text in [
            "",
            "pdp.acme.example",
            "http://pdp.acme.example",
            "https://",
            "https://erin@pdp.acme.example",
            "https://pdp.acme.example?tenant=1",
            "https://pdp.acme.example/#top",
            "/access",
        ] {
            assert!(text.parse::<BaseUrl>().is_err(), "{text}");
        }
    }
}
