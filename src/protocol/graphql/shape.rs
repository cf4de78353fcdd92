//! One document as a tree that is held against the grammar once more.

use apollo_parser::{
    Parser, SyntaxKind, SyntaxNode,
    cst::{CstNode, Document},
};

use super::{
    problem::GraphQlProblem,
    text::{NESTING, check_text},
};

/// Reads one executable document (GraphQL October 2021, sections 2.2 to 2.12). Refuses all definitions of a type system.
///
/// The parser goes on after what it does not understand, and passes over an argument without a value: a tree counts only
/// without an error, with the text whole and each node of just those parts that the grammar gives it.
pub(super) fn parse_document(query: &str, tokens: usize) -> Result<Document, GraphQlProblem> {
    check_text(query, tokens)?;
    // One more, as the end is a token to the parser.
    let parser = Parser::new(query).recursion_limit(NESTING).token_limit(tokens.saturating_add(1));
    let tree = parser.parse();
    let document = tree.document();
    let root = document.syntax();
    let is_whole =
        tree.errors().len() == 0 && root.text() == query && root.descendants().all(|node| is_well_formed(&node));
    if is_whole { Ok(document) } else { Err(GraphQlProblem::Syntax) }
}

/// How often one of these kinds stands at a place.
enum Part {
    Once(&'static [SyntaxKind]),
    Maybe(&'static [SyntaxKind]),
    /// Once or more.
    Many(&'static [SyntaxKind]),
    /// Never, once or more.
    Any(&'static [SyntaxKind]),
}

const DEFINITION: &[SyntaxKind] = &[SyntaxKind::OPERATION_DEFINITION, SyntaxKind::FRAGMENT_DEFINITION];
const OPERATION: &[SyntaxKind] = &[SyntaxKind::query_KW, SyntaxKind::mutation_KW, SyntaxKind::subscription_KW];
const SELECTION: &[SyntaxKind] = &[SyntaxKind::FIELD, SyntaxKind::FRAGMENT_SPREAD, SyntaxKind::INLINE_FRAGMENT];
const TYPE: &[SyntaxKind] = &[SyntaxKind::NAMED_TYPE, SyntaxKind::LIST_TYPE, SyntaxKind::NON_NULL_TYPE];
const VALUE: &[SyntaxKind] = &[
    SyntaxKind::VARIABLE,
    SyntaxKind::INT_VALUE,
    SyntaxKind::FLOAT_VALUE,
    SyntaxKind::STRING_VALUE,
    SyntaxKind::BOOLEAN_VALUE,
    SyntaxKind::NULL_VALUE,
    SyntaxKind::ENUM_VALUE,
    SyntaxKind::LIST_VALUE,
    SyntaxKind::OBJECT_VALUE,
];

/// The parts of a node, in order. Kinds that no executable document has are not here.
fn parts(kind: SyntaxKind) -> Option<&'static [Part]> {
    use Part::{Any, Many, Maybe, Once};
    use SyntaxKind as K;
    Some(match kind {
        K::DOCUMENT => &[Many(DEFINITION)],
        K::OPERATION_DEFINITION => &[
            Maybe(&[K::OPERATION_TYPE]),
            Maybe(&[K::NAME]),
            Maybe(&[K::VARIABLE_DEFINITIONS]),
            Maybe(&[K::DIRECTIVES]),
            Once(&[K::SELECTION_SET]),
        ],
        K::OPERATION_TYPE => &[Once(OPERATION)],
        K::FRAGMENT_DEFINITION => &[
            Once(&[K::fragment_KW]),
            Once(&[K::FRAGMENT_NAME]),
            Once(&[K::TYPE_CONDITION]),
            Maybe(&[K::DIRECTIVES]),
            Once(&[K::SELECTION_SET]),
        ],
        K::SELECTION_SET => &[Once(&[K::L_CURLY]), Many(SELECTION), Once(&[K::R_CURLY])],
        K::FIELD => &[
            Maybe(&[K::ALIAS]),
            Once(&[K::NAME]),
            Maybe(&[K::ARGUMENTS]),
            Maybe(&[K::DIRECTIVES]),
            Maybe(&[K::SELECTION_SET]),
        ],
        K::FRAGMENT_SPREAD => &[Once(&[K::SPREAD]), Once(&[K::FRAGMENT_NAME]), Maybe(&[K::DIRECTIVES])],
        K::INLINE_FRAGMENT => {
            &[Once(&[K::SPREAD]), Maybe(&[K::TYPE_CONDITION]), Maybe(&[K::DIRECTIVES]), Once(&[K::SELECTION_SET])]
        }
        K::ALIAS => &[Once(&[K::NAME]), Once(&[K::COLON])],
        K::FRAGMENT_NAME | K::NAMED_TYPE | K::ENUM_VALUE => &[Once(&[K::NAME])],
        K::TYPE_CONDITION => &[Once(&[K::on_KW]), Once(&[K::NAMED_TYPE])],
        K::VARIABLE_DEFINITIONS => &[Once(&[K::L_PAREN]), Many(&[K::VARIABLE_DEFINITION]), Once(&[K::R_PAREN])],
        K::VARIABLE_DEFINITION => {
            &[Once(&[K::VARIABLE]), Once(&[K::COLON]), Once(TYPE), Maybe(&[K::DEFAULT_VALUE]), Maybe(&[K::DIRECTIVES])]
        }
        K::DEFAULT_VALUE => &[Once(&[K::EQ]), Once(VALUE)],
        K::LIST_TYPE => &[Once(&[K::L_BRACK]), Once(TYPE), Once(&[K::R_BRACK])],
        K::NON_NULL_TYPE => &[Once(&[K::NAMED_TYPE, K::LIST_TYPE]), Once(&[K::BANG])],
        K::DIRECTIVES => &[Many(&[K::DIRECTIVE])],
        K::DIRECTIVE => &[Once(&[K::AT]), Once(&[K::NAME]), Maybe(&[K::ARGUMENTS])],
        K::ARGUMENTS => &[Once(&[K::L_PAREN]), Many(&[K::ARGUMENT]), Once(&[K::R_PAREN])],
        K::ARGUMENT | K::OBJECT_FIELD => &[Once(&[K::NAME]), Once(&[K::COLON]), Once(VALUE)],
        K::VARIABLE => &[Once(&[K::DOLLAR]), Once(&[K::NAME])],
        K::INT_VALUE => &[Once(&[K::INT])],
        K::FLOAT_VALUE => &[Once(&[K::FLOAT])],
        K::STRING_VALUE => &[Once(&[K::STRING])],
        K::BOOLEAN_VALUE => &[Once(&[K::true_KW, K::false_KW])],
        K::NULL_VALUE => &[Once(&[K::null_KW])],
        K::LIST_VALUE => &[Once(&[K::L_BRACK]), Any(VALUE), Once(&[K::R_BRACK])],
        K::OBJECT_VALUE => &[Once(&[K::L_CURLY]), Any(&[K::OBJECT_FIELD]), Once(&[K::R_CURLY])],
        K::NAME => &[Once(&[K::IDENT])],
        _ => return None,
    })
}

/// How the tokens that are always the same are written. The parser gives them their kinds by the place they are at.
fn fixed_text(kind: SyntaxKind) -> Option<&'static str> {
    Some(match kind {
        SyntaxKind::query_KW => "query",
        SyntaxKind::mutation_KW => "mutation",
        SyntaxKind::subscription_KW => "subscription",
        SyntaxKind::fragment_KW => "fragment",
        SyntaxKind::on_KW => "on",
        SyntaxKind::true_KW => "true",
        SyntaxKind::false_KW => "false",
        SyntaxKind::null_KW => "null",
        SyntaxKind::L_CURLY => "{",
        SyntaxKind::R_CURLY => "}",
        SyntaxKind::L_PAREN => "(",
        SyntaxKind::R_PAREN => ")",
        SyntaxKind::L_BRACK => "[",
        SyntaxKind::R_BRACK => "]",
        SyntaxKind::SPREAD => "...",
        SyntaxKind::COLON => ":",
        SyntaxKind::EQ => "=",
        SyntaxKind::BANG => "!",
        SyntaxKind::AT => "@",
        SyntaxKind::DOLLAR => "$",
        _ => return None,
    })
}

fn is_well_formed(node: &SyntaxNode) -> bool {
    let Some(parts) = parts(node.kind()) else { return false };
    let is_ignored = |kind| matches!(kind, SyntaxKind::WHITESPACE | SyntaxKind::COMMENT | SyntaxKind::COMMA);
    let mut children = node.children_with_tokens().filter(|child| !is_ignored(child.kind())).peekable();
    let mut takes = |kinds: &[SyntaxKind]| {
        let child = children.next_if(|child| kinds.contains(&child.kind()))?;
        let text = fixed_text(child.kind());
        Some(text.is_none() || child.as_token().map(|token| token.text()) == text)
    };
    let are_there = parts.iter().all(|part| match part {
        Part::Once(kinds) => takes(kinds) == Some(true),
        Part::Maybe(kinds) => takes(kinds) != Some(false),
        Part::Many(kinds) => takes(kinds) == Some(true) && all(|| takes(kinds)),
        Part::Any(kinds) => all(|| takes(kinds)),
    });
    are_there && children.next().is_none()
}

/// Whether all that is taken until there is no more is right.
fn all(takes: impl FnMut() -> Option<bool>) -> bool {
    std::iter::from_fn(takes).all(|is_right| is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_document(query: &str) -> bool {
        parse_document(query, 1000).is_ok()
    }

    #[test]
    fn executable_documents_are_read() {
        for query in [
            "{a}",
            "{a b,c,,d}",
            "query{a}",
            "query Q{a}",
            "query query{query mutation fragment on type}",
            "query on{on}",
            "mutation M($a:Int=1,$b:[T!]!=[{c:1,d:[]}]@x(y:{}))@z{a(b:$a,c:$b){d}}",
            "query($a: [[Int]!]!) { a }",
            "subscription{a}",
            "{a:b(c:-1,d:1.5e+3,e:\"x\",f:true,g:false,h:null,i:ENUM,j:[1,2],k:{l:$m},n:[],o:{})@p{q}}",
            "{...a...on T{b}...{c}...@d{e}...onX}fragment a on T{f}fragment onX on T@g{h}",
            "{...{a}}",
            "{... on on{a}}",
            "fragment f on on{a}",
            "{true false null}",
            "{a(true:false,on:on,query:query)}",
            "{a #}\n}",
            "#x\n{a}#y",
            "{a(b:[1 2,3]c:{d:1 e:2})}",
            "{a}{b}",
        ] {
            assert!(is_document(query), "{query}");
        }
    }

    #[test]
    fn what_is_no_executable_document_is_refused() {
        for query in [
            "",
            " ",
            "#",
            "{}",
            "{a{}}",
            "{...{}}",
            "a",
            "query",
            "query Q",
            "{a}}",
            "{a",
            "{a}x",
            "{a}query",
            "foo {a}",
            "Query {a}",
            "{a:}",
            "{:a}",
            "{a:b:c}",
            "{a()}",
            "query(){a}",
            "query($a){a}",
            "query($a:){a}",
            "query($a:Int=){a}",
            "query($a:Int=$b){a}",
            "query($a:Int=[$b]){a}",
            "query($a:Int@x(y:$b)){a}",
            "query($a:Int!!){a}",
            "query($a:[Int){a}",
            "query($a:[]){a}",
            "query($:Int){a}",
            "query(a:Int){a}",
            "{a!}",
            "{a?}",
            "{a@}",
            "{@a}",
            "{a|b}",
            "{a&b}",
            "{a=b}",
            "{$a}",
            "{\"a\"}",
            "{1}",
            "query Q R{a}",
            "query@x Q{a}",
            "mutation{a}{}",
        ] {
            assert!(!is_document(query), "{query}");
        }
    }

    #[test]
    fn what_the_parser_passes_over_is_refused() {
        for query in [
            "{a(b)}",
            "{a(b c:1)}",
            "{a(c:1 b)}",
            "{a(b:{c})}",
            "{a(b:{c d:1})}",
            "{a{d(b)}}",
            "{a@x(b)}",
            "query@x(b){a}",
            "query($a:T={b}){a}",
            "fragment f on T@x(b){a}",
            "\"fragment\" fragment on T{a}",
            "{a(b:\"\nc\")}",
        ] {
            assert!(!is_document(query), "{query}");
        }
    }

    #[test]
    fn fragments_are_written_in_one_way() {
        for query in [
            "{...}",
            "{...on}",
            "{...on{a}}",
            "{... on @x{a}}",
            "{...on T}",
            "{...on T U{a}}",
            "{... T{a}}",
            "{...a(b:1)}",
            "{...a{b}}",
            "{...$a}",
            "{..a}",
            "{. ..a}",
            "{....a}",
            "fragment on on T{a}",
            "fragment f{a}",
            "fragment f T{a}",
            "fragment f on{a}",
            "fragment f on T",
            "fragment on T{a}",
            "fragment f($a:Int)on T{a}",
            "fragment f on [T]{a}",
            "fragment f on T!{a}",
        ] {
            assert!(!is_document(query), "{query}");
        }
    }

    #[test]
    fn numbers_end_where_they_seem_to() {
        for number in ["0", "-0", "7", "-12", "0.0", "1.50", "0e1", "1E-2", "-1.5e+3"] {
            assert!(is_document(&format!("{{a(b:{number})}}")), "{number}");
        }
        for number in [
            "01", "-01", "+1", "0x1", "1a", "1_0", "1.", ".5", "1.e1", "1e", "1e+", "1.5.5", "1.5a", "1e1a", "--1", "-",
        ] {
            assert!(!is_document(&format!("{{a(b:{number})}}")), "{number}");
            assert!(!is_document(&format!("{{a(b:[{number}])}}")), "{number}");
        }
    }

    #[test]
    fn definitions_of_a_type_system_are_refused() {
        for definition in [
            "type T{a:Int}",
            "type T",
            "schema{query:Q}",
            "scalar S",
            "interface I{a:Int}",
            "union U=A|B",
            "enum E{A}",
            "input I{a:Int}",
            "directive@d on FIELD",
            "extend type T{a:Int}",
            "extend schema@d",
        ] {
            for query in [definition.to_owned(), format!("{{a}}{definition}"), format!("{definition} query Q{{a}}")] {
                assert!(!is_document(&query), "{query}");
            }
        }
    }
}
