//! Pages of long lists, and the parameters of a query.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{access::hex_byte, snapshot::Page};

use super::fault::{Code, Fault};

const DEFAULT_SIZE: usize = 50;
const MOST: usize = 100;

/// How many entries a page has, if that is said.
pub(super) fn page_size(message: &str, asked: Option<i32>) -> Result<usize, Fault> {
    match asked {
        None => Ok(DEFAULT_SIZE),
        Some(asked) => {
            let size = usize::try_from(asked).ok().filter(|size| (1..=MOST).contains(size));
            size.ok_or_else(|| Fault::field(&format!("{message}.PageSize"), "value must be inside range [1, 100]"))
        }
    }
}

/// Of which list a token continues the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List<'a> {
    Stores,
    Models,
    Tuples,
    /// Of the objects of this type, or of all.
    Changes(&'a str),
}

impl List<'_> {
    fn mark(self) -> String {
        match self {
            Self::Stores => "stores".to_owned(),
            Self::Models => "models".to_owned(),
            Self::Tuples => "tuples".to_owned(),
            Self::Changes(object_type) => format!("changes/{object_type}"),
        }
    }

    /// The token for what comes after this entry.
    pub(super) fn token(self, after: &impl ToString) -> String {
        URL_SAFE_NO_PAD.encode(format!("{} {}", after.to_string(), self.mark()))
    }

    /// The token for what comes after this page, empty after the last.
    pub(super) fn next<T, N: ToString>(self, page: &Page<T, N>) -> String {
        page.next.as_ref().map(|after| self.token(after)).unwrap_or_default()
    }

    /// After which entry the page begins; `None` at the beginning.
    pub(super) fn after<N: std::str::FromStr>(self, token: &str) -> Result<Option<N>, Fault> {
        if token.is_empty() {
            return Ok(None);
        }
        let invalid = || Fault::new(Code::InvalidContinuationToken, "Invalid continuation token");
        let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(invalid)?;
        let (after, mark) = text.split_once(' ').ok_or_else(invalid)?;
        if mark != self.mark() {
            return match self {
                Self::Changes(_) if mark.starts_with("changes/") => Err(Fault::new(
                    Code::TokenMismatch,
                    "The type in the querystring and the continuation token don't match",
                )),
                Self::Stores | Self::Models | Self::Tuples | Self::Changes(_) => Err(invalid()),
            };
        }
        after.parse().map(Some).map_err(|_| invalid())
    }
}

/// The parameters of a query.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn read(query: &str) -> Result<Self, Fault> {
        let parameters = query.split('&').filter(|part| !part.is_empty()).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decoded(name)?, decoded(value)?))
        });
        let parameters: Option<Vec<_>> = parameters.collect();
        parameters.map(Self).ok_or_else(|| Fault::invalid("the query is malformed"))
    }

    /// The value of a parameter, empty if it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The size of a page.
    pub(super) fn page_size(&self, message: &str) -> Result<usize, Fault> {
        let asked = match self.get("page_size") {
            "" => None,
            text => Some(text.parse().map_err(|_| Fault::invalid("page_size is not a number"))?),
        };
        page_size(message, asked)
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex_byte(rest.next()?, rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}
