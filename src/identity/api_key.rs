//! API keys: what they look like, and whom they stand for.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderName;
use thiserror::Error;

use super::{
    authenticated::{Credential, Method},
    digest::sha256,
    error::AuthenticationError,
    settings::InvalidSettings,
    tasks::Chain,
};
use crate::access::{ActorMode, Entity, Grants, Principal, Scope, Timestamp, hex_byte};

/// The digits of RFC 4648, section 6, in lower case: five bits each, none of them easily mistaken.
const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

const PREFIX: &str = "pcl_";
const ID_DIGITS: usize = 8;
const SECRET_DIGITS: usize = 31;
const CHECKSUM_DIGITS: usize = 6;

/// The text has not the form `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an API key's hash is `sha256:` and 64 hexadecimal digits")]
pub struct InvalidApiKeyHash;

/// The SHA-256 digest of a whole API key.
///
/// A plain fast hash is enough here: the key has 152 random bits, so nobody can find it by trying, which is all that a
/// salt, a server's own key or a slow hash would make harder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ApiKeyHash([u8; 32]);

impl ApiKeyHash {
    /// The hash of this key.
    fn of(key: &str) -> Self {
        Self(sha256(key.as_bytes()))
    }

    /// Whether it is the hash of this text. The time says nothing of it.
    pub fn is_of(&self, text: &str) -> bool {
        verify_slices_are_equal(&self.0, &sha256(text.as_bytes())).is_ok()
    }
}

impl FromStr for ApiKeyHash {
    type Err = InvalidApiKeyHash;

    fn from_str(text: &str) -> Result<Self, InvalidApiKeyHash> {
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64).ok_or(InvalidApiKeyHash)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return Err(InvalidApiKeyHash) };
            *byte = hex_byte(*high, *low).ok_or(InvalidApiKeyHash)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyHash(..)")
    }
}

/// Where API keys come, and which there are.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKeySettings {
    /// The field that carries the key.
    pub header: HeaderName,
    /// The keys.
    pub keys: Vec<ApiKey>,
}

impl ApiKeySettings {
    /// The field if nothing else is said.
    pub const DEFAULT_HEADER: HeaderName = HeaderName::from_static("x-api-key");
}

/// One API key as it is stored: never its secret.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKey {
    /// Its public id: the eight characters after `pcl_`.
    pub id: Arc<str>,
    /// The hash of the whole key.
    pub hash: ApiKeyHash,
    /// The subject that it stands for.
    pub subject: Entity,
    /// The actors, the current one first.
    pub actors: Vec<Entity>,
    /// The task that bounds it.
    pub task: Option<Entity>,
    /// The scopes that it has.
    pub scopes: Vec<Scope>,
    /// Who answers for it, for the log and for whoever finds it.
    pub owner: Option<Arc<str>>,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
}

/// A key that was just made. Its text is shown once and stored nowhere. It has no `Debug`, because it holds the secret.
#[expect(missing_debug_implementations, reason = "it holds a secret")]
pub struct NewApiKey {
    /// Its public id.
    pub id: String,
    /// The key itself, for its owner alone.
    pub text: String,
    /// What is stored.
    pub hash: ApiKeyHash,
}

impl NewApiKey {
    /// A key made of 24 random bytes: `pcl_`, an id of 40 bits, `_`, a secret of 152 bits and a checksum of 30 bits.
    ///
    /// The prefix lets scanners find leaked keys, the id says in logs which one it is, and the checksum tells a
    /// mistyped key from an unknown one. The bytes must come from a generator that is fit for secrets.
    pub fn generate(random: [u8; 24]) -> Self {
        let (id, secret) = random.split_at(5);
        let id = base32(id, ID_DIGITS);
        let body = format!("{PREFIX}{id}_{}", base32(secret, SECRET_DIGITS));
        let text = format!("{body}{}", checksum(&body));
        Self { hash: ApiKeyHash::of(&text), id, text }
    }
}

impl ApiKeySettings {
    pub(super) fn find_problems(&self, problems: &mut Vec<InvalidSettings>) {
        for (index, key) in self.keys.iter().enumerate() {
            let id = Arc::clone(&key.id);
            if id.len() != ID_DIGITS || !id.bytes().all(is_digit) {
                problems.push(InvalidSettings::ApiKeyId { index, id });
            } else if self.keys.iter().take(index).any(|other| other.id == id) {
                problems.push(InvalidSettings::RepeatedApiKey { index, id });
            }
        }
    }
}

/// All accepted API keys, by id.
pub(super) struct ApiKeys {
    header: HeaderName,
    keys: BTreeMap<Arc<str>, StoredKey>,
}

/// The one key that a request came with.
pub(super) struct StoredKey {
    pub(super) chain: Chain,
    pub(super) credential: Arc<Credential>,
    hash: ApiKeyHash,
}

impl ApiKeys {
    /// Of settings without a problem.
    pub(super) fn new(settings: &ApiKeySettings, mode: ActorMode) -> Self {
        let mut keys = BTreeMap::new();
        for key in &settings.keys {
            let id = Arc::clone(&key.id);
            let principal = Principal::new(key.subject.clone(), key.actors.clone(), key.task.clone(), mode);
            let method = Method::ApiKey { id: Arc::clone(&id), owner: key.owner.clone() };
            let grants =
                (!key.scopes.is_empty()).then(|| Arc::new(Grants { scopes: key.scopes.clone(), details: None }));
            let credential = Arc::new(Credential { grants, ..Credential::new(method, key.expires) });
            let stored = StoredKey { chain: Chain::Fixed(Arc::new(principal)), credential, hash: key.hash };
            keys.insert(id, stored);
        }
        Self { header: settings.header.clone(), keys }
    }

    /// The field that carries the key.
    pub(super) fn header(&self) -> &HeaderName {
        &self.header
    }

    /// The key that `text` is. An unknown id and a wrong secret are refused alike.
    pub(super) fn find(&self, text: &str, now: Timestamp) -> Result<&StoredKey, AuthenticationError> {
        let id = public_id(text).ok_or(AuthenticationError::MalformedApiKey)?;
        let known = self.keys.get(id);
        // The public id finds the key; the secret is only compared, in constant time, with or without a key.
        let stored = known.map_or([0; 32], |key| key.hash.0);
        let equal = verify_slices_are_equal(&stored, &ApiKeyHash::of(text).0).is_ok();
        let key = known.filter(|_| equal).ok_or(AuthenticationError::UnknownApiKey)?;
        match key.credential.expires {
            Some(expires) if now >= expires => Err(AuthenticationError::ExpiredApiKey),
            Some(_) | None => Ok(key),
        }
    }
}

/// The id of a text that has the form of a key and the right checksum.
fn public_id(text: &str) -> Option<&str> {
    let (id, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let digits = id.len() == ID_DIGITS && rest.len() == SECRET_DIGITS + CHECKSUM_DIGITS;
    if !digits || !id.bytes().chain(rest.bytes()).all(is_digit) {
        return None;
    }
    let (body, sum) = text.split_at_checked(text.len().checked_sub(CHECKSUM_DIGITS)?)?;
    (checksum(body) == sum).then_some(id)
}

fn checksum(body: &str) -> String {
    base32(&sha256(body.as_bytes()), CHECKSUM_DIGITS)
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'2'..=b'7')
}

/// The first digits of the bytes in base 32 (RFC 4648, section 6), filled with zero bits at the end.
fn base32(bytes: &[u8], digits: usize) -> String {
    let bit = |index: usize| bytes.get(index / 8).map_or(0, |byte| byte >> (7 - index % 8) & 1);
    let digit = |start: usize| (start..start + 5).fold(0, |value, index| value << 1 | bit(index));
    let values = (0..digits).map(|place| digit(place * 5));
    values.filter_map(|value| DIGITS.get(usize::from(value)).copied().map(char::from)).collect()
}
