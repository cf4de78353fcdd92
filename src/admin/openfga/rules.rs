//! The rules that the fields of messages keep, by OpenFGA's protocol: they come before every look at a model.

use super::fault::Fault;

/// What a text must look like. White space is that of its protocol: blank, tab, line feed, form feed, carriage return.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pattern {
    // As messages show it.
    shown: &'static str,
    // In characters.
    least: usize,
    most: usize,
    // Beside white space.
    forbidden: &'static [char],
}

/// The name of a type.
pub(super) const TYPE: Pattern =
    Pattern { shown: "^[^:#@\\\\s]{1,254}$", least: 1, most: 254, forbidden: &[':', '#', '@'] };
/// The name of a relation.
pub(super) const RELATION: Pattern =
    Pattern { shown: "^[^:#@\\\\s]{1,50}$", least: 1, most: 50, forbidden: &[':', '#', '@'] };
/// An object.
pub(super) const OBJECT: Pattern = Pattern { shown: "^[^\\\\s]{2,256}$", least: 2, most: 256, forbidden: &[] };
/// The user of a question.
pub(super) const USER: Pattern = Pattern { shown: "^[^\\\\s]{2,512}$", least: 2, most: 512, forbidden: &[] };
/// The type that changes are read of.
pub(super) const CHANGED_TYPE: Pattern =
    Pattern { shown: "^[^:#\\\\s]{1,254}$", least: 1, most: 254, forbidden: &[':', '#'] };

/// The longest user, in bytes.
const LONGEST_USER: usize = 512;

/// The fields of one message, and what is wrong with them.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    message: &'a str,
    wrong: Vec<(String, String)>,
}

impl<'a> Fields<'a> {
    /// The fields of a message of this name.
    pub(super) fn of(message: &'a str) -> Self {
        Self { message, wrong: Vec::new() }
    }

    /// A field that must keep the pattern.
    pub(super) fn required(mut self, name: &str, text: &str, pattern: Pattern) -> Self {
        if !pattern.lets_in(text) {
            self.is_wrong(name, pattern.rule());
        }
        self
    }

    /// A field that must keep the pattern unless it is empty.
    pub(super) fn optional(self, name: &str, text: &str, pattern: Pattern) -> Self {
        if text.is_empty() { self } else { self.required(name, text, pattern) }
    }

    /// A user of a tuple.
    pub(super) fn user_of_tuple(mut self, user: &str) -> Self {
        if user.len() > LONGEST_USER {
            self.is_wrong("User", format!("value length must be at most {LONGEST_USER} bytes"));
        }
        self
    }

    /// The user of a list.
    pub(super) fn user_of_list(mut self, user: &str) -> Self {
        if user.is_empty() || user.len() > LONGEST_USER {
            self.is_wrong("User", format!("value length must be between 1 and {LONGEST_USER} bytes, inclusive"));
        }
        self
    }

    /// The user that tuples are read of, with a type and an id, or none.
    pub(super) fn user_to_read(mut self, user: &str) -> Self {
        let is_part = |part: &str| (1..512).contains(&part.chars().count()) && !part.contains(is_space);
        let mut splits = user.match_indices(':').filter_map(|(at, _)| user.split_at_checked(at));
        let is_whole = splits.any(|(before, after)| is_part(before) && after.get(1..).is_some_and(is_part));
        if !user.is_empty() && !is_whole {
            let rule = r#"value does not match regex pattern "^[^\\s]{1,511}:[^\\s]{1,511}$""#;
            self.is_wrong("User", rule.to_owned());
        }
        self.user_of_tuple(user)
    }

    /// Refuses the message if anything is wrong. The code is that of the first field.
    pub(super) fn check(self) -> Result<(), Fault> {
        let mut wrong = self.wrong.into_iter();
        let Some((field, rule)) = wrong.next() else { return Ok(()) };
        let more = wrong.map(|(field, rule)| format!("; invalid {field}: {rule}"));
        Err(Fault::field(&field, &std::iter::once(rule).chain(more).collect::<String>()))
    }

    fn is_wrong(&mut self, name: &str, rule: String) {
        self.wrong.push((format!("{}.{name}", self.message), rule));
    }
}

impl Pattern {
    fn lets_in(self, text: &str) -> bool {
        let is_legal = |c: char| !is_space(c) && !self.forbidden.contains(&c);
        (self.least..=self.most).contains(&text.chars().count()) && text.chars().all(is_legal)
    }

    fn rule(self) -> String {
        format!("value does not match regex pattern \"{}\"", self.shown)
    }
}

const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{c}' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_told() {
        let told = |fields: Fields<'_>| fields.check().err().map(|fault| fault.body());
        let key = |user: &str, relation: &str| {
            told(Fields::of("Key").required("User", user, USER).optional("Relation", relation, RELATION))
        };
        assert_eq!(key("user:erin", "viewer"), None);
        assert_eq!(key("user:erin", ""), None);
        let both = key("x", "a b").unwrap();
        let message = r#"invalid Key.User: value does not match regex pattern "^[^\\s]{2,512}$"; "#.to_owned()
            + r#"invalid Key.Relation: value does not match regex pattern "^[^:#@\\s]{1,50}$""#;
        assert_eq!(both["message"], message);
        assert_eq!(told(Fields::of("Key").required("Type", "", TYPE)).unwrap()["code"], "type_invalid_pattern");
    }

    #[test]
    fn a_user_to_read_has_a_type_and_an_id() {
        let is_right = |user: &str| Fields::of("Key").user_to_read(user).check().is_ok();
        for user in ["", "user:erin", "group:g#member", "user:*", "a:b:c"] {
            assert!(is_right(user), "{user}");
        }
        for user in ["user", "user:", ":erin", "user:a b", "*"] {
            assert!(!is_right(user), "{user}");
        }
        assert!(!is_right(&format!("user:{}", "x".repeat(508))));
    }
}
