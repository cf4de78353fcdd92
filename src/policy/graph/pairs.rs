//! Two numbers in one, and how to sort very many of them.

/// `key << 32 | value`.
pub(super) fn pair(key: u32, value: u32) -> u64 {
    u64::from(key) << 32 | u64::from(value)
}

/// The key of a pair.
pub(super) fn high(pair: u64) -> u32 {
    u32::try_from(pair >> 32).unwrap_or(u32::MAX)
}

/// The value of a pair.
pub(super) fn low(pair: u64) -> u32 {
    u32::try_from(pair & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// Fewer pairs than this are sorted by comparing them.
const FEW: usize = 1 << 14;
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;

/// Sorts pairs. Many of them are dealt out by one digit after the other, the lowest first, where keys or values differ.
pub(super) fn sort(pairs: &mut Vec<u64>) {
    if pairs.is_sorted() {
        return;
    }
    if pairs.len() < FEW {
        return pairs.sort_unstable();
    }
    let used = pairs.iter().fold(0, |used, pair| used | pair);
    let mut other = vec![0; pairs.len()];
    for shift in digits(low(used)).chain(digits(high(used)).map(|shift| shift + 32)) {
        deal(pairs, &mut other, shift);
        std::mem::swap(pairs, &mut other);
    }
}

/// Where the digits begin of numbers without other bits than these.
fn digits(used: u32) -> impl Iterator<Item = u32> {
    (0..u32::BITS).step_by(DIGIT_BITS as usize).take_while(move |shift| used >> shift != 0)
}

fn deal(from: &[u64], to: &mut [u64], shift: u32) {
    let digit = |pair: u64| usize::try_from(pair >> shift).unwrap_or_default() % DIGITS;
    let mut next = [0_usize; DIGITS];
    for pair in from {
        if let Some(count) = next.get_mut(digit(*pair)) {
            *count += 1;
        }
    }
    starts_of(&mut next);
    for pair in from {
        let Some(position) = next.get_mut(digit(*pair)) else { continue };
        if let Some(place) = to.get_mut(*position) {
            *place = *pair;
        }
        *position += 1;
    }
}

/// Turns counts into where each counted kind begins.
fn starts_of(counts: &mut [usize]) {
    let mut start = 0;
    for count in counts {
        start += std::mem::replace(count, start);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn many_pairs_are_sorted_as_few_are(
            seed in vec(any::<(u32, u32)>(), FEW..FEW + 10),
            keys in 0_u32..32,
            values in 0_u32..32,
        ) {
            let mut pairs: Vec<_> = seed.iter().map(|(key, value)| pair(key >> keys, value >> values)).collect();
            let mut expected = pairs.clone();
            expected.sort_unstable();
            sort(&mut pairs);
            prop_assert_eq!(pairs, expected);
        }
    }

    #[test]
    fn a_pair_is_taken_apart_again() {
        let both = pair(7, u32::MAX);
        assert_eq!((high(both), low(both)), (7, u32::MAX));
    }
}
