//! What the log tells of records that it does not have.

use std::time::SystemTime;

use super::line::{Object, name, time};

/// Writes, as one JSON object without a line's end, that so many records had no place in the queue: they belong between the
/// lines before and the ones behind, at most as many lines away as the queue is long. They are of denials, answers of the
/// proxy itself and signals, and of what was let through because the operator chose that (`on_failure: count`).
pub(super) fn write_gap(line: &mut Vec<u8>, written: SystemTime, lost: usize) {
    Object::write(line, |gap| {
        gap.member(name!("time"), |line| time(line, written));
        gap.plain(name!("kind"), "gap");
        gap.number(name!("lost"), u64::try_from(lost).unwrap_or(u64::MAX));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_apart_from_decisions() {
        let mut line = Vec::new();
        write_gap(&mut line, SystemTime::UNIX_EPOCH, 7);
        assert_eq!(line, br#"{"time":"1970-01-01T00:00:00.000000Z","kind":"gap","lost":7}"#);
    }
}
