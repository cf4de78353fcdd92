//! How often an operation may be used, and how many bytes it may move.

use crate::route::{ByteRule, CountedBodies, UseRule, UsedBy};

use super::{
    file::{BudgetOf, ByteBudget, Uses, UsesPer},
    located::Located,
    problems::Problems,
};

/// The units of sizes, in bytes.
const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

pub(super) fn uses(written: &Located<Uses>, problems: &mut Problems) -> UseRule {
    if written.most.value == 0 {
        problems.add(written.most.place, "0 uses would deny everything, write a number above zero");
    }
    // A problem was reported if it is no duration.
    let within = problems.optional_duration(Some(&written.within)).unwrap_or_default();
    UseRule { most: written.most.value, within, by: by(written.per) }
}

pub(super) fn bytes(written: &Located<ByteBudget>, problems: &mut Problems) -> ByteRule {
    let most = size(&written.most.value);
    match most {
        None => {
            let message = format!("`{}` is not a size", written.most.value);
            problems.add_with_help(
                written.most.place,
                message,
                "write a number and a unit, such as `500kB` or `10MiB`",
            );
        }
        Some(0) => problems.add(written.most.place, "0 bytes would deny everything, write a number above zero"),
        Some(_) => {}
    }
    // A problem was reported if it is no duration.
    let within = problems.optional_duration(Some(&written.within)).unwrap_or_default();
    let of = match written.of {
        BudgetOf::Requests => CountedBodies::Requests,
        BudgetOf::Answers => CountedBodies::Answers,
        BudgetOf::Both => CountedBodies::Both,
    };
    ByteRule { most: most.unwrap_or_default(), within, by: by(written.per), of }
}

const fn by(per: UsesPer) -> UsedBy {
    match per {
        UsesPer::Task => UsedBy::Task,
        UsesPer::Subject => UsedBy::Subject,
        UsesPer::Actor => UsedBy::Actor,
        UsesPer::Credential => UsedBy::Credential,
    }
}

/// `10MiB`, in bytes.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit.trim_start_matches(' '))?;
    number.parse::<u64>().ok()?.checked_mul(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        let sizes =
            [("1B", 1), ("0B", 0), ("500kB", 500_000), ("10MiB", 10 << 20), ("2 GiB", 2 << 30), ("3GB", 3_000_000_000)];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "10", "MiB", "10mib", "-1B", "1.5MiB", "1e3B", "10M", "99999999999GiB", "1B ", "é"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
