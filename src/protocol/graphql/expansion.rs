//! An operation with its fragments in their places.

use apollo_parser::cst::{CstChildren, Field, OperationDefinition, Selection, SelectionSet};

use super::{document::Fragments, limits::GraphQlLimits, problem::GraphQlProblem};

/// The top-level fields of an operation, in the order of the document: all of them, whatever the types of the fragments
/// they are in and whatever their directives say (GraphQL October 2021, section 6.3.2, takes some of these). Refuses what
/// is over a limit anywhere in the operation, and looks no further than that.
pub(super) fn top_level_fields(
    operation: &OperationDefinition,
    fragments: &Fragments,
    limits: GraphQlLimits,
) -> Result<Vec<Field>, GraphQlProblem> {
    let set = operation.selection_set().ok_or(GraphQlProblem::Syntax)?;
    let (mut nodes, mut aliases) = (limits.nodes, limits.aliases);
    let mut fields = Vec::new();
    let mut open = vec![level(&set, 1, limits)?];
    while let Some((selections, depth)) = open.last_mut() {
        let (Some(selection), depth) = (selections.next(), *depth) else {
            open.pop();
            continue;
        };
        nodes = nodes.checked_sub(1).ok_or(GraphQlProblem::TooManyNodes)?;
        match selection {
            Selection::Field(field) => {
                if field.alias().is_some() {
                    aliases = aliases.checked_sub(1).ok_or(GraphQlProblem::TooManyAliases)?;
                }
                if let Some(set) = field.selection_set() {
                    open.push(level(&set, depth.saturating_add(1), limits)?);
                }
                if depth == 1 {
                    fields.push(field);
                }
            }
            Selection::InlineFragment(fragment) => {
                let set = fragment.selection_set().ok_or(GraphQlProblem::Syntax)?;
                open.push(level(&set, depth, limits)?);
            }
            Selection::FragmentSpread(spread) => open.push(level(&fragments.find(&spread)?, depth, limits)?),
        }
    }
    Ok(fields)
}

/// What is left of a selection set, and how deep it is.
type Level = (CstChildren<Selection>, usize);

fn level(set: &SelectionSet, depth: usize, limits: GraphQlLimits) -> Result<Level, GraphQlProblem> {
    if depth > limits.depth { Err(GraphQlProblem::TooDeep) } else { Ok((set.selections(), depth)) }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            document::{name_text, split},
            shape::parse_document,
        },
        *,
    };

    fn names(query: &str, limits: GraphQlLimits) -> Result<String, GraphQlProblem> {
        let document = parse_document(query, 5_000).unwrap();
        let (operation, fragments) = split(&document, None).unwrap();
        let fields = top_level_fields(&operation, &fragments, limits)?;
        Ok(fields.iter().map(|field| name_text(field.name()).unwrap()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn top_level_fields_are_found_in_all_fragments() {
        for (query, expected) in [
            ("{a}", "a"),
            ("{a{x}b{y z}c}", "a b c"),
            ("{a a a}", "a a a"),
            ("{read:delete delete:read}", "delete read"),
            ("{a ...{b}c}", "a b c"),
            ("{...on Query{a ...on Other{b{x}}}c}", "a b c"),
            ("{a ...f b ...f}fragment f on Other{c d{x}}", "a c d b c d"),
            ("{...f c}fragment f on T{a ...g b}fragment g on U{x:d{e}}", "a d b c"),
            (
                "{a@skip(if:true)b@include(if:false)...f@skip(if:true)...@include(if:false){c}}fragment f on T{d}",
                "a b d c",
            ),
            ("{a{...f}}fragment f on T{b{c}}", "a"),
            ("{__typename __schema{types{name}}}", "__typename __schema"),
        ] {
            assert_eq!(names(query, GraphQlLimits::default()).as_deref(), Ok(expected), "{query}");
        }
    }

    #[test]
    fn operations_are_bounded_with_their_fragments_in_their_places() {
        let limits = GraphQlLimits { depth: 3, aliases: 2, nodes: 6, tokens: 5_000 };
        for (query, expected) in [
            ("{a{b{c}}}", None),
            ("{...{...{...{a{b{c}}}}}}", None),
            ("{a{b{c{d}}}}", Some(GraphQlProblem::TooDeep)),
            ("{...f}fragment f on T{a{...g}}fragment g on T{b{c}}", None),
            ("{...f}fragment f on T{a{...g}}fragment g on T{b{c{d}}}", Some(GraphQlProblem::TooDeep)),
            ("{x:a y:b}", None),
            ("{x:a y:b z:c}", Some(GraphQlProblem::TooManyAliases)),
            ("{x:a{y:b{z:c}}}", Some(GraphQlProblem::TooManyAliases)),
            ("{...f ...f}fragment f on T{x:a}", None),
            ("{x:b ...f ...f}fragment f on T{x:a}", Some(GraphQlProblem::TooManyAliases)),
            ("{a}fragment f on T{x:a y:b z:c}", None),
            ("{a b c d e f}", None),
            ("{a b c d e f g}", Some(GraphQlProblem::TooManyNodes)),
            ("{a{b c}d{e f}}", None),
            ("{a{b c}d{e f g}}", Some(GraphQlProblem::TooManyNodes)),
            ("{...f ...f}fragment f on T{a b}", None),
            ("{...f ...f}fragment f on T{a{b c}}", Some(GraphQlProblem::TooManyNodes)),
            ("{...{...{...{...{...{...{a}}}}}}}", Some(GraphQlProblem::TooManyNodes)),
        ] {
            assert_eq!(names(query, limits).err(), expected, "{query}");
        }
        let none = GraphQlLimits { depth: 0, ..limits };
        assert_eq!(names("{a}", none), Err(GraphQlProblem::TooDeep));
    }

    #[test]
    fn fragments_that_double_stop_at_the_limit() {
        let doubling = |levels: usize| {
            let fragments = (1..levels).map(|it| format!("fragment f{it} on T{{...f{} ...f{}}}", it - 1, it - 1));
            format!("{{...f{}}}fragment f0 on T{{a}}{}", levels - 1, fragments.collect::<String>())
        };
        assert_eq!(names(&doubling(9), GraphQlLimits::default()).unwrap().matches('a').count(), 256);
        for levels in [10, 60, 200] {
            assert_eq!(names(&doubling(levels), GraphQlLimits::default()), Err(GraphQlProblem::TooManyNodes));
        }
    }
}
