//! The first bytes of a text as one number.

/// How many bytes are told.
pub(super) const WORD: usize = size_of::<u64>();

/// The first bytes of a text, and zeros where it is shorter.
///
/// They never go through memory: a processor that reads back in one piece what it has just written in two would have to
/// wait for the writes, and for all that is under way before them.
#[inline]
pub(super) fn word(text: &[u8]) -> u64 {
    if let Some(word) = text.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << ((text.len() - size_of_val(&last)) * 8);
    }
    text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_begins_with_its_bytes() {
        let text: Vec<u8> = (1..=20).collect();
        for length in 0..text.len() {
            let mut expected = [0; WORD];
            let known = length.min(WORD);
            expected[..known].copy_from_slice(&text[..known]);
            assert_eq!(word(&text[..length]).to_le_bytes(), expected, "{length}");
        }
    }
}
