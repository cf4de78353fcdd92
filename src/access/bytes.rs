//! What each byte of a text is, looked up: texts are short, and every one of them is looked at whole.

/// What each byte is, as bits whose meaning is the owner's.
#[derive(Debug)]
pub struct ByteClasses([u8; 256]);

impl ByteClasses {
    /// Every byte has the bits of the last list that it is in; one that is in none has `other`.
    #[expect(clippy::indexing_slicing, reason = "a byte is always an index of 256 places")]
    pub const fn of(lists: &[(&[u8], u8)], other: u8) -> Self {
        let mut classes = [other; 256];
        let mut lists = lists;
        while let [(bytes, class), rest @ ..] = lists {
            let mut bytes = *bytes;
            while let [byte, others @ ..] = bytes {
                classes[*byte as usize] = *class;
                bytes = others;
            }
            lists = rest;
        }
        Self(classes)
    }

    /// The bits of one byte.
    #[inline]
    pub fn class(&self, byte: u8) -> u8 {
        self.0.get(usize::from(byte)).copied().unwrap_or(u8::MAX)
    }

    /// The bits of all bytes together.
    #[inline]
    pub fn all(&self, bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |all, byte| all | self.class(*byte))
    }
}

/// Letters and digits of ASCII.
pub const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_the_bits_of_its_list() {
        let classes = ByteClasses::of(&[(b"ab", 1), (b"bc", 2), (b"d", 0)], 4);
        for (text, bits) in [("", 0), ("a", 1), ("b", 2), ("c", 2), ("d", 0), ("e", 4), ("ad", 1), ("ace", 7)] {
            assert_eq!(classes.all(text.as_bytes()), bits, "{text}");
        }
        assert_eq!((classes.class(0), classes.class(255)), (4, 4));
    }
}
