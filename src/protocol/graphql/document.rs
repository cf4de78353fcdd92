//! The operations and fragments of a document by their names.

use std::collections::HashMap;

use apollo_parser::{
    SyntaxNode,
    cst::{CstNode, Definition, Document, FragmentDefinition, FragmentSpread, Name, OperationDefinition, SelectionSet},
};

use super::problem::GraphQlProblem;

/// The selection sets of a document's fragments. None is within itself, and each that is spread is there.
pub(super) struct Fragments(HashMap<String, SelectionSet>);

impl Fragments {
    /// What a spread of this name stands for.
    pub(super) fn find(&self, spread: &FragmentSpread) -> Result<SelectionSet, GraphQlProblem> {
        let name = spread.fragment_name().and_then(|name| name.name());
        self.0.get(&name_text(name)?).cloned().ok_or(GraphQlProblem::Fragment)
    }
}

/// Splits a document into its one selected operation and its fragments. With a name the operation is the one of just that
/// name, without one the only one that there is (GraphQL October 2021, section 6.1).
pub(super) fn split(
    document: &Document,
    name: Option<&str>,
) -> Result<(OperationDefinition, Fragments), GraphQlProblem> {
    let (mut operations, mut fragments) = (Vec::new(), Vec::new());
    for definition in document.definitions() {
        match definition {
            Definition::OperationDefinition(operation) => operations.push(operation),
            Definition::FragmentDefinition(fragment) => fragments.push(fragment),
            _ => return Err(GraphQlProblem::Syntax),
        }
    }
    let operation = select(&operations, name)?;
    let fragments = collect(&fragments)?;
    for operation in operations {
        for spread in spreads(operation.syntax()) {
            fragments.find(&spread)?;
        }
    }
    Ok((operation, fragments))
}

fn select(operations: &[OperationDefinition], name: Option<&str>) -> Result<OperationDefinition, GraphQlProblem> {
    let (mut selected, mut names) = (None, Vec::new());
    for operation in operations {
        let own = operation.name().map(|own| name_text(Some(own))).transpose()?;
        if name.is_none() || own.as_deref() == name {
            selected = Some(operation);
        }
        names.push(own);
    }
    names.sort_unstable();
    let is_lone = operations.len() == 1;
    // An anonymous operation is the only one, and without a name there is but one.
    let is_clear = names.is_sorted_by(|one, next| one < next) && (is_lone || name.is_some() && !names.contains(&None));
    selected.filter(|_| is_clear).cloned().ok_or(GraphQlProblem::NotOneOperation)
}

fn collect(definitions: &[FragmentDefinition]) -> Result<Fragments, GraphQlProblem> {
    let mut numbers = HashMap::new();
    let mut sets = HashMap::new();
    for (number, definition) in definitions.iter().enumerate() {
        let name = name_text(definition.fragment_name().and_then(|name| name.name()))?;
        let set = definition.selection_set().ok_or(GraphQlProblem::Syntax)?;
        numbers.insert(name.clone(), number);
        if sets.insert(name, set).is_some() {
            return Err(GraphQlProblem::Fragment);
        }
    }
    let mut within = Vec::new();
    for definition in definitions {
        let mut inner = Vec::new();
        for spread in spreads(definition.syntax()) {
            let name = name_text(spread.fragment_name().and_then(|name| name.name()))?;
            inner.push(*numbers.get(&name).ok_or(GraphQlProblem::Fragment)?);
        }
        within.push(inner);
    }
    if has_cycle(&within) { Err(GraphQlProblem::Fragment) } else { Ok(Fragments(sets)) }
}

/// Whether some fragment is within itself, used or not. Takes away those that are in no other, until none is left.
fn has_cycle(within: &[Vec<usize>]) -> bool {
    let mut uses = vec![0_usize; within.len()];
    for inner in within.iter().flatten() {
        if let Some(count) = uses.get_mut(*inner) {
            *count += 1;
        }
    }
    let mut free: Vec<usize> = (0..within.len()).filter(|number| uses.get(*number) == Some(&0)).collect();
    let mut taken = 0;
    while let Some(number) = free.pop() {
        taken += 1;
        for inner in within.get(number).into_iter().flatten() {
            if let Some(count) = uses.get_mut(*inner) {
                *count -= 1;
                if *count == 0 {
                    free.push(*inner);
                }
            }
        }
    }
    taken < within.len()
}

fn spreads(node: &SyntaxNode) -> impl Iterator<Item = FragmentSpread> {
    node.descendants().filter_map(FragmentSpread::cast)
}

/// The text of a name.
pub(super) fn name_text(name: Option<Name>) -> Result<String, GraphQlProblem> {
    let token = name.and_then(|name| name.ident_token());
    token.map(|token| token.text().to_owned()).ok_or(GraphQlProblem::Syntax)
}

#[cfg(test)]
mod tests {
    use super::{super::shape::parse_document, *};

    fn fragments_of(query: &str) -> Result<usize, GraphQlProblem> {
        let document = parse_document(query, 1000).unwrap();
        split(&document, None).map(|(_, fragments)| fragments.0.len())
    }

    #[test]
    fn an_operation_is_selected_by_its_exact_name() {
        let two = "query A{a} mutation B{b} fragment A on T{c}";
        for (query, name, expected) in [
            ("{a}", None, Some("{a}")),
            ("query A{a}", None, Some("query A{a}")),
            ("query A{a}", Some("A"), Some("query A{a}")),
            ("query A{a}", Some("a"), None),
            ("query A{a}", Some("B"), None),
            ("{a}", Some("A"), None),
            ("query{a}", Some("query"), None),
            (two, Some("A"), Some("query A{a}")),
            (two, Some("B"), Some("mutation B{b}")),
            (two, Some("C"), None),
            (two, Some("A "), None),
            (two, None, None),
            ("query A{a} query A{b}", Some("A"), None),
            ("query A{a} mutation A{b}", Some("A"), None),
            ("query A{a} query A{b} query C{c}", Some("C"), None),
            ("query A{a} {b}", Some("A"), None),
            ("query A{a} query{b}", Some("A"), None),
            ("{a} {b}", None, None),
            ("{a} query A{b}", None, None),
            ("query A{a} query B{b}", None, None),
            ("fragment A on T{a}", None, None),
            ("fragment A on T{a}", Some("A"), None),
        ] {
            let document = parse_document(query, 1000).unwrap();
            let selected = split(&document, name).map(|(operation, _)| operation.source_string().trim().to_owned());
            let expected = expected.map(str::to_owned).ok_or(GraphQlProblem::NotOneOperation);
            assert_eq!(selected, expected, "{query} {name:?}");
        }
    }

    #[test]
    fn fragments_are_there_once_and_not_within_themselves() {
        for (query, expected) in [
            ("{...f}fragment f on T{a}", 1),
            ("{a}fragment f on T{a}", 1),
            ("{...f ...f}fragment f on T{...g ...g}fragment g on T{a}", 2),
            ("{...f ...g}fragment f on T{...h}fragment g on T{b{...h}}fragment h on T{a}", 3),
            ("{a{...f}}fragment g on T{...h}fragment h on T{a}fragment f on T{...h}", 3),
        ] {
            assert_eq!(fragments_of(query), Ok(expected), "{query}");
        }
        for query in [
            "{...f}",
            "{a{b{...f}}}",
            "{...F}fragment f on T{a}",
            "{...on U{...f}}",
            "{...f}fragment f on T{...g}",
            "{a}fragment f on T{...g}",
            "{...f}fragment f on T{a}fragment f on T{b}",
            "{a}fragment f on T{a}fragment f on T{a}",
            "{...f}fragment f on T{...f}",
            "{a}fragment f on T{...f}",
            "{...f}fragment f on T{a{...f}}",
            "{...f}fragment f on T{...on U{...f}}",
            "{...f}fragment f on T{...g}fragment g on T{...f}",
            "{a}fragment f on T{...g}fragment g on T{...h a}fragment h on T{b{...f}}",
            "{...f}fragment f on T{...g}fragment g on T{...h}fragment h on T{...g}",
        ] {
            assert_eq!(fragments_of(query), Err(GraphQlProblem::Fragment), "{query}");
        }
        // Those of the operations that are not selected, too.
        let document = parse_document("query A{a} query B{...f}", 1000).unwrap();
        assert_eq!(split(&document, Some("A")).err(), Some(GraphQlProblem::Fragment));
    }
}
