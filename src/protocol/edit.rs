//! Taking parts out of a JSON text, or putting others in their place, every other value left as it was spelled.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What is changed, and where: the names of the members on the way there.
#[derive(Debug, Clone, Copy)]
pub struct Edit<'a> {
    /// The names from the root.
    pub path: &'a [Box<str>],
    /// What happens there.
    pub change: EditChange<'a>,
}

/// A change at the end of a path.
#[derive(Debug, Clone, Copy)]
pub enum EditChange<'a> {
    /// Of the array's elements only those stay whose flag is set; what has no flag goes.
    Keep(&'a [bool]),
    /// The member goes.
    Remove,
    /// The member has this value, which is JSON, whether it was there or not.
    Put(&'a str),
}

/// The text with these changes. Values keep their spelling, numbers of any size among them; white space
/// around them may go. An edit whose path leads nowhere changes nothing, but `Put` adds the last member of its path, and
/// `Keep` at what is no array is an error, as is text that is not JSON.
pub fn edited(text: &str, edits: &[Edit<'_>]) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::with_capacity(text.len());
    write(text, edits, &mut bytes)?;
    Ok(bytes)
}

fn write(text: &str, edits: &[Edit<'_>], bytes: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    if let Some(flags) = edits.iter().find_map(|edit| edit.flags_here()) {
        let elements: Vec<&RawValue> = serde_json::from_str(text)?;
        let kept = elements.iter().zip(flags).filter(|(_, kept)| **kept).map(|(element, _)| element.get());
        return list(b"[]", kept, bytes, |element, bytes| {
            bytes.extend_from_slice(element.as_bytes());
            Ok(())
        });
    }
    if let Some(value) = edits.iter().find_map(|edit| edit.value_here()) {
        bytes.extend_from_slice(value.as_bytes());
        return Ok(());
    }
    if edits.is_empty() || !text.trim_start().starts_with('{') {
        bytes.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    let Members(members) = serde_json::from_str(text)?;
    let is_there = |name: &str| members.iter().any(|(other, _)| other == name);
    let put = edits.iter().filter_map(|edit| edit.put_here()).filter(|(name, _)| !is_there(name));
    let added: Vec<(String, &str)> = put.map(|(name, value)| (name.to_owned(), value)).collect();
    let members = members.into_iter().map(|(name, value)| (name, value.get()));
    let within = members.chain(added).filter_map(|(name, value)| {
        let inner: Vec<Edit<'_>> = edits.iter().filter_map(|edit| edit.within(&name)).collect();
        let goes = inner.iter().any(|edit| edit.path.is_empty() && matches!(edit.change, EditChange::Remove));
        (!goes).then_some((name, value, inner))
    });
    list(b"{}", within, bytes, |(name, value, inner), bytes| {
        name.serialize(&mut serde_json::Serializer::new(&mut *bytes))?;
        bytes.push(b':');
        write(value, &inner, bytes)
    })
}

fn list<T>(
    [open, close]: &[u8; 2],
    items: impl Iterator<Item = T>,
    bytes: &mut Vec<u8>,
    mut item: impl FnMut(T, &mut Vec<u8>) -> Result<(), serde_json::Error>,
) -> Result<(), serde_json::Error> {
    bytes.push(*open);
    for (index, value) in items.enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        item(value, bytes)?;
    }
    bytes.push(*close);
    Ok(())
}

impl<'a> Edit<'a> {
    fn flags_here(&self) -> Option<&'a [bool]> {
        match self.change {
            EditChange::Keep(flags) if self.path.is_empty() => Some(flags),
            EditChange::Keep(_) | EditChange::Remove | EditChange::Put(_) => None,
        }
    }

    fn value_here(&self) -> Option<&'a str> {
        match self.change {
            EditChange::Put(value) if self.path.is_empty() => Some(value),
            EditChange::Keep(_) | EditChange::Remove | EditChange::Put(_) => None,
        }
    }

    /// The member of this object that has a value afterwards, and which.
    fn put_here(&self) -> Option<(&'a str, &'a str)> {
        match (self.change, self.path) {
            (EditChange::Put(value), [name]) => Some((name, value)),
            _ => None,
        }
    }

    fn within(&self, name: &str) -> Option<Self> {
        let (first, path) = self.path.split_first()?;
        (**first == *name).then_some(Self { path, ..*self })
    }
}

/// The members of an object, as they were spelled.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = entries.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<Box<str>> {
        text.split('.').filter(|name| !name.is_empty()).map(Box::from).collect()
    }

    fn without(text: &str, each: &str, flags: &[bool], removed: &[&str]) -> String {
        let (each, removed): (_, Vec<_>) = (path(each), removed.iter().map(|text| path(text)).collect());
        let removals = removed.iter().map(|path| Edit { path, change: EditChange::Remove });
        let edits: Vec<_> = removals.chain([Edit { path: &each, change: EditChange::Keep(flags) }]).collect();
        String::from_utf8(edited(text, &edits).unwrap()).unwrap()
    }

    #[test]
    fn what_stays_keeps_its_spelling() {
        let text = r#"{"total":3,"page":{"items":[{"id":1,"sum":10.00},{"id":2},{"n":123456789012345678901234567890.50e+1}],"next":"x"}}"#;
        assert_eq!(
            without(text, "page.items", &[true, false, true], &["total", "page.next", "page.none.such"]),
            r#"{"page":{"items":[{"id":1,"sum":10.00},{"n":123456789012345678901234567890.50e+1}]}}"#
        );
        assert_eq!(without("[1, 2,3]", "", &[false, true, true], &[]), "[2,3]");
        assert_eq!(without("[1,2]", "", &[], &[]), "[]");
        assert_eq!(without(r#"{"a\n":[],"b":[7]}"#, "b", &[true], &[]), r#"{"a\n":[],"b":[7]}"#);
    }

    #[test]
    fn a_member_gets_its_value_where_it_is_or_at_the_end() {
        let (scope, new, none) = (path("result.scope"), path("result.new"), path("none.such"));
        let put = |path| Edit { path, change: EditChange::Put("\"private\"") };
        let text = r#"{"result":{"a":[1.0],"scope":{"x":1}},"scope":1}"#;
        let edited = String::from_utf8(edited(text, &[put(&scope), put(&new), put(&none)]).unwrap()).unwrap();
        assert_eq!(edited, r#"{"result":{"a":[1.0],"scope":"private","new":"private"},"scope":1}"#);
    }

    #[test]
    fn what_is_no_array_is_not_kept_from() {
        let each = path("items");
        for text in [r#"{"items":{}}"#, r#"{"items":7}"#, r#"{"items":[1}"#, "{"] {
            assert!(edited(text, &[Edit { path: &each, change: EditChange::Keep(&[true]) }]).is_err(), "{text}");
        }
    }
}
