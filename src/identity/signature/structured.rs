//! Structured fields (RFC 9651) in which nothing comes twice.

use sfv::{
    BareItemFromInput, ItemSerializer, KeyRef, ListSerializer, Parser, RefBareItem,
    visitor::{DictionaryVisitor, EntryVisitor, InnerListVisitor, ItemVisitor, ParameterVisitor},
};
use thiserror::Error;

/// The most members of a field, items of a list, and parameters of either.
const MOST: usize = 32;

/// The field is malformed, has too many parts, or a name comes twice. By the RFC the last one of a name would count, and
/// whoever takes the first one reads something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a structured field whose names come once")]
pub(super) struct Unreadable;

/// Parameters, in the order in which they came.
pub(super) type Parameters<'f> = Vec<(&'f KeyRef, BareItemFromInput<'f>)>;

/// A value with its parameters.
#[derive(Debug)]
pub(super) struct Item<'f> {
    pub(super) value: BareItemFromInput<'f>,
    pub(super) parameters: Parameters<'f>,
}

/// A member of a dictionary.
#[derive(Debug)]
pub(super) struct Member<'f> {
    pub(super) name: &'f str,
    /// Its value, if that is no list.
    pub(super) value: Option<BareItemFromInput<'f>>,
    /// Its items, if it is a list.
    pub(super) list: Vec<Item<'f>>,
    pub(super) parameters: Parameters<'f>,
}

impl<'f> Member<'f> {
    /// The value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&BareItemFromInput<'f>> {
        self.parameters.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value)
    }

    /// Its value with all parameters, in the one strict serialization (RFC 9651, section 4.1).
    pub(super) fn serialized(&self) -> Option<String> {
        match &self.value {
            Some(value) => Some(
                ItemSerializer::new().bare_item(RefBareItem::from(value)).parameters(shown(&self.parameters)).finish(),
            ),
            None => {
                let mut serializer = ListSerializer::new();
                let mut list = serializer.inner_list();
                for item in &self.list {
                    let _ = list.bare_item(RefBareItem::from(&item.value)).parameters(shown(&item.parameters)).finish();
                }
                let _ = list.finish().parameters(shown(&self.parameters)).finish();
                serializer.finish()
            }
        }
    }
}

fn shown<'p>(parameters: &'p Parameters<'_>) -> impl Iterator<Item = (&'p KeyRef, RefBareItem<'p>)> {
    parameters.iter().map(|(key, value)| (*key, RefBareItem::from(value)))
}

/// The members of a dictionary (RFC 9651, section 3.2), in their order.
pub(super) fn dictionary(text: &str) -> Result<Vec<Member<'_>>, Unreadable> {
    Parser::new(text).parse_dictionary_with_visitor(Members(Vec::new())).map_err(|_| Unreadable)
}

/// An item (RFC 9651, section 3.3).
pub(super) fn item(text: &str) -> Result<Item<'_>, Unreadable> {
    let mut items = Vec::new();
    Parser::new(text).parse_item_with_visitor(Items(&mut items)).map_err(|_| Unreadable)?;
    items.pop().ok_or(Unreadable)
}

struct Members<'f>(Vec<Member<'f>>);
struct OneMember<'m, 'f>(&'m mut Member<'f>);
struct Items<'m, 'f>(&'m mut Vec<Item<'f>>);
struct List<'m, 'f>(&'m mut Vec<Item<'f>>, &'m mut Parameters<'f>);
struct Once<'m, 'f>(&'m mut Parameters<'f>);

impl<'f> DictionaryVisitor<'f> for Members<'f> {
    type Out = Vec<Member<'f>>;
    type Error = Unreadable;

    fn entry(&mut self, key: &'f KeyRef) -> Result<impl EntryVisitor<'f>, Unreadable> {
        let name = key.as_str();
        if self.0.len() >= MOST || self.0.iter().any(|member| member.name == name) {
            return Err(Unreadable);
        }
        self.0.push(Member { name, value: None, list: Vec::new(), parameters: Vec::new() });
        self.0.last_mut().map(OneMember).ok_or(Unreadable)
    }

    fn finish(self) -> Result<Vec<Member<'f>>, Unreadable> {
        Ok(self.0)
    }
}

impl<'f> EntryVisitor<'f> for OneMember<'_, 'f> {
    type Error = Unreadable;

    fn item(self) -> Result<impl ItemVisitor<'f>, Unreadable> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'f>, Unreadable> {
        Ok(List(&mut self.0.list, &mut self.0.parameters))
    }
}

impl<'f> ItemVisitor<'f> for OneMember<'_, 'f> {
    type Out = ();
    type Error = Unreadable;

    fn bare_item(self, value: BareItemFromInput<'f>) -> Result<impl ParameterVisitor<'f, Out = ()>, Unreadable> {
        self.0.value = Some(value);
        Ok(Once(&mut self.0.parameters))
    }
}

impl<'f> InnerListVisitor<'f> for List<'_, 'f> {
    type Error = Unreadable;

    fn item(&mut self) -> Result<impl ItemVisitor<'f>, Unreadable> {
        Ok(Items(self.0))
    }

    fn finish(self) -> Result<impl ParameterVisitor<'f>, Unreadable> {
        Ok(Once(self.1))
    }
}

impl<'f> ItemVisitor<'f> for Items<'_, 'f> {
    type Out = ();
    type Error = Unreadable;

    fn bare_item(self, value: BareItemFromInput<'f>) -> Result<impl ParameterVisitor<'f, Out = ()>, Unreadable> {
        if self.0.len() >= MOST {
            return Err(Unreadable);
        }
        self.0.push(Item { value, parameters: Vec::new() });
        self.0.last_mut().map(|item| Once(&mut item.parameters)).ok_or(Unreadable)
    }
}

impl<'f> ParameterVisitor<'f> for Once<'_, 'f> {
    type Out = ();
    type Error = Unreadable;

    fn parameter(&mut self, key: &'f KeyRef, value: BareItemFromInput<'f>) -> Result<(), Unreadable> {
        if self.0.len() >= MOST || self.0.iter().any(|(known, _)| known.as_str() == key.as_str()) {
            return Err(Unreadable);
        }
        self.0.push((key, value));
        Ok(())
    }

    fn finish(self) -> Result<(), Unreadable> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_comes_twice_and_parts_are_bounded() {
        assert_eq!(dictionary("a=(\"x\" \"y\";q);p=1, b=:AA==:").unwrap().len(), 2);
        let many = |count: usize, between: &str| {
            (0..count).map(|number| format!("a{number}")).collect::<Vec<_>>().join(between)
        };
        assert!(dictionary(&many(MOST, ", ")).is_ok() && dictionary(&many(MOST + 1, ", ")).is_err());
        assert!(dictionary(&format!("a=({})", many(MOST, " "))).is_ok());
        assert!(dictionary(&format!("a=({})", many(MOST + 1, " "))).is_err());
        assert!(item(&many(MOST + 1, ";")).is_ok() && item(&many(MOST + 2, ";")).is_err());
        for text in ["a=1, a=2", "a=1;p;p", "a=(1 2);p=1;q;p=2", "a=(1;p;p)", "a", "a=", "a=(", "A=1", "a=1,", "a b"] {
            assert_eq!(dictionary(text).is_ok(), text == "a", "{text}");
        }
    }
}
