//! Which words may be names, and which belong to the language.

/// Words that are nobody's name.
const KEYWORDS: [&str; 11] =
    ["and", "condition", "define", "false", "from", "in", "null", "or", "relations", "true", "with"];
/// Words of the language that types and relations may have as names, and conditions not.
const SOFT_KEYWORDS: [&str; 6] = ["extend", "model", "module", "relation", "schema", "type"];
/// The names of parameters' types, which no parameter and no condition may have.
const PARAMETER_TYPES: [&str; 10] =
    ["bool", "string", "int", "uint", "double", "duration", "timestamp", "ipaddress", "map", "list"];

/// Whether a type or a relation may have this name: `a_b-c`, or `team.a/b-c` with single `/`, `.` and `-` inside.
pub(super) fn is_identifier(word: &str) -> bool {
    is_plain(word) || (begins_well(word) && word.split(['/', '.', '-']).all(is_word))
}

/// Whether this has the form of a condition's or a parameter's name.
pub(super) fn is_plain(word: &str) -> bool {
    begins_well(word) && word.split('-').all(|part| part.is_empty() || is_word(part))
}

/// Whether the word belongs to the language alone.
pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

/// Whether restrictions can name a condition of this name.
pub(super) fn is_condition(word: &str) -> bool {
    is_plain(word) && !is_keyword(word) && !SOFT_KEYWORDS.contains(&word)
}

/// Whether a condition's parameter or a condition may be declared by this name.
pub(super) fn is_declarable(word: &str) -> bool {
    is_plain(word) && !PARAMETER_TYPES.contains(&word)
}

fn begins_well(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn is_word(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_openfga_s_grammar_lets_through() {
        for name in ["a", "_", "a-", "a--b", "a1.5", "x2.5-e", "team.a/b-c", "type", "model", "but", "not", "b_/c"] {
            assert!(is_identifier(name) && !is_keyword(name), "{name}");
        }
        for other in ["", "1a", "-a", "a/b-", "a/b--c", "a./b", "a/", "a//b", "a.", "é"] {
            assert!(!is_identifier(other), "{other}");
        }
        for word in ["or", "from", "define", "in", "true", "with"] {
            assert!(is_keyword(word) && !is_condition(word), "{word}");
        }
        assert!(is_condition("c-d") && !is_condition("c.d") && !is_condition("type"));
        assert!(is_declarable("or") && !is_declarable("string") && !is_declarable("map"));
    }
}
