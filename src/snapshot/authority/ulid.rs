//! Ids that sort by the time they were made.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 26;

/// The text is not 26 of Crockford's digits in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an id has 26 digits and capital letters, without I, L, O and U")]
pub struct InvalidUlid;

/// An id of a store or model. Of two ids made by one process the later sorts behind the earlier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid([u8; LENGTH]);

impl Ulid {
    /// The id of the one store that every proxy has.
    pub(in crate::snapshot) const OF_PROXY: Self = Self(*b"0000000000SNAPSH0T00000000");

    /// A new id.
    pub fn now() -> Self {
        // UUIDs of version 7 begin with the milliseconds since 1970, as ULIDs do.
        Self::of_bits(uuid::Uuid::now_v7().as_u128())
    }

    /// The id that follows from these bytes. It begins with ten zeros, and so sorts before every new one.
    pub fn of_content(bytes: &[u8]) -> Self {
        let hash = digest(&SHA256, bytes);
        let first = hash.as_ref().iter().take(10);
        Self::of_bits(first.fold(0, |bits, byte| bits << 8 | u128::from(*byte)))
    }

    fn of_bits(bits: u128) -> Self {
        let mut digits = [b'0'; LENGTH];
        for (at, digit) in digits.iter_mut().rev().enumerate() {
            let five = (bits >> (5 * at)) & 31;
            *digit = usize::try_from(five).ok().and_then(|five| DIGITS.get(five)).copied().unwrap_or(b'0');
        }
        Self(digits)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // All digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Ulid {
    type Err = InvalidUlid;

    fn from_str(text: &str) -> Result<Self, InvalidUlid> {
        let digits: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| InvalidUlid)?;
        if digits.iter().all(|digit| DIGITS.contains(digit)) { Ok(Self(digits)) } else { Err(InvalidUlid) }
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_are_read_back() {
        let ids: Vec<Ulid> = (0..1_000).map(|_| Ulid::now()).collect();
        assert!(ids.is_sorted_by(|one, next| one < next));
        assert!(ids.iter().all(|id| id.to_string().parse() == Ok(*id)));
    }

    #[test]
    fn the_same_content_has_the_same_id_before_all_new_ones() {
        let (one, other) = (Ulid::of_content(b"one"), Ulid::of_content(b"other"));
        assert_eq!(one, Ulid::of_content(b"one"));
        assert_ne!(one, other);
        assert!(one < Ulid::now() && one.to_string().parse() == Ok(one));
        assert!(one.as_str().starts_with("0000000000"), "{one}");
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in ["", "01H0H015178Y2V4CX10C2KGHF", "01h0h015178y2v4cx10c2kghf4", "01H0H015178Y2V4CX10C2KGHFU"] {
            assert_eq!(text.parse::<Ulid>(), Err(InvalidUlid), "{text}");
        }
    }
}
