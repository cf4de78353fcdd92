//! The name that a misspelt one was probably meant to be.

/// The candidate that is nearest to `wrong` and near enough to be a slip of the pen.
///
/// At most a third of the characters may differ; of equally near candidates the first wins.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (wrong.chars().count() / 3).clamp(1, 4);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates.into_iter().filter(|candidate| *candidate != wrong) {
        let distance = distance(wrong, candidate);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The advice that goes with a misspelt name, if a near one exists.
pub fn did_you_mean<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(wrong, candidates).map(|name| format!("did you mean `{name}`?"))
}

// Levenshtein's distance with neighbours swapped as one step, over three rows of its table.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous_left = None;
    for (row, left_char) in left.chars().enumerate() {
        let mut current = Vec::with_capacity(last.len());
        current.push(row + 1);
        let mut previous_right = None;
        for (column, right_char) in right.iter().copied().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&last, column) + usize::from(left_char != right_char);
            let removed = at(&last, column + 1) + 1;
            let added = at(&current, column) + 1;
            let mut least = changed.min(removed).min(added);
            if previous_left == Some(right_char) && previous_right == Some(left_char) && column > 0 {
                least = least.min(at(&before_last, column - 1) + 1);
            }
            current.push(least);
            previous_right = Some(right_char);
        }
        previous_left = Some(left_char);
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let names = ["viewer", "editor", "owner", "can_read"];
        assert_eq!(nearest("viewr", names), Some("viewer"));
        assert_eq!(nearest("onwer", names), Some("owner"));
        assert_eq!(nearest("can_raed", names), Some("can_read"));
        assert_eq!(nearest("banana", names), None);
        assert_eq!(nearest("x", ["y"]), Some("y"));
        assert_eq!(did_you_mean("edtor", names).unwrap(), "did you mean `editor`?");
    }

    #[test]
    fn distances_count_single_edits() {
        for (left, right, edits) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("abc", "abc", 0), ("ab", "ba", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }
}
