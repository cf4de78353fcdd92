//! One GraphQL request.

use apollo_parser::cst::OperationDefinition;

use super::{
    super::json::{Json, MemberProblem},
    document::split,
    expansion::top_level_fields,
    limits::GraphQlLimits,
    problem::GraphQlProblem,
    shape::parse_document,
    value::Reader,
    variables::Variables,
};

/// What an operation does (GraphQL October 2021, section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphQlKind {
    /// Reads.
    Query,
    /// Writes, and then reads.
    Mutation,
    /// Reads again and again.
    Subscription,
}

/// One field of an operation's root (GraphQL October 2021, section 2.5).
#[derive(Debug, Clone, PartialEq)]
pub struct GraphQlField {
    /// The name that the schema knows it by, never the alias.
    pub name: Box<str>,
    /// The arguments, an object in the order of the document, with variables filled in. Enum values are strings.
    pub arguments: Json,
}

/// What one request asks for: one operation's kind, and all of its top-level fields.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphQlRequest {
    /// What the operation does.
    pub kind: GraphQlKind,
    /// The top-level fields in the order of the document, those of fragments in their places. There is at least one. Those
    /// that `@skip` or `@include` or a type would take out are there, too.
    pub fields: Vec<GraphQlField>,
}

impl GraphQlRequest {
    /// Reads the body of a POST (GraphQL over HTTP, section 5.1; GraphQL October 2021, section 6.1). Refuses whatever two
    /// readers could take for two requests: batches, members that are not a request's, persisted queries, documents that are
    /// not executable, operations that are not exactly one, and what is over the limits.
    pub fn parse(body: &Json, limits: GraphQlLimits) -> Result<Self, GraphQlProblem> {
        let envelope = Envelope::new(body)?;
        let document = parse_document(envelope.query, limits.tokens)?;
        let (operation, fragments) = split(&document, envelope.operation)?;
        let kind = kind(&operation)?;
        let variables = Variables::new(&operation, envelope.variables)?;
        let mut reader = Reader::new(&variables, body);
        let mut fields = Vec::new();
        for field in top_level_fields(&operation, &fragments, limits)? {
            let (name, arguments) = reader.read(&field)?;
            fields.push(GraphQlField { name: name.into(), arguments });
        }
        Ok(Self { kind, fields })
    }
}

/// The members of a request.
struct Envelope<'b> {
    query: &'b str,
    operation: Option<&'b str>,
    variables: Option<&'b Json>,
}

impl<'b> Envelope<'b> {
    fn new(body: &'b Json) -> Result<Self, GraphQlProblem> {
        let Json::Object(members) = body else { return Err(GraphQlProblem::NotOneRequest) };
        let (mut query, mut operation, mut variables) = (None, None, None);
        for (name, value) in members {
            match (name.as_str(), value) {
                ("query", Json::String(text)) => query = Some(text.as_str()),
                ("operationName", Json::String(text)) if !text.is_empty() => operation = Some(text.as_str()),
                ("variables", Json::Object(_)) => variables = Some(value),
                ("extensions", Json::Object(_)) => refuse_persisted(value)?,
                ("operationName" | "variables" | "extensions", Json::Null) => {}
                ("query" | "operationName" | "variables" | "extensions", _) => return Err(GraphQlProblem::WrongMember),
                _ => return Err(GraphQlProblem::UnknownMember),
            }
        }
        Ok(Self { query: query.ok_or(GraphQlProblem::WrongMember)?, operation, variables })
    }
}

/// A server looks for a document by what is in there, and may run that one.
fn refuse_persisted(extensions: &Json) -> Result<(), GraphQlProblem> {
    match extensions.member(["persistedQuery"]) {
        Err(MemberProblem::Missing) => Ok(()),
        Ok(_) | Err(MemberProblem::LookAlike | MemberProblem::NotAnId | MemberProblem::ControlCharacter) => {
            Err(GraphQlProblem::PersistedQuery)
        }
    }
}

/// An operation without a type is a query, and has nothing but a selection set.
fn kind(operation: &OperationDefinition) -> Result<GraphQlKind, GraphQlProblem> {
    let Some(written) = operation.operation_type() else {
        let is_short = operation.name().is_none()
            && operation.variable_definitions().is_none()
            && operation.directives().is_none();
        return if is_short { Ok(GraphQlKind::Query) } else { Err(GraphQlProblem::Syntax) };
    };
    if written.query_token().is_some() {
        Ok(GraphQlKind::Query)
    } else if written.mutation_token().is_some() {
        Ok(GraphQlKind::Mutation)
    } else if written.subscription_token().is_some() {
        Ok(GraphQlKind::Subscription)
    } else {
        Err(GraphQlProblem::Syntax)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::json::{JsonLimits, parse_json},
        *,
    };

    fn parse(body: &str) -> Result<GraphQlRequest, GraphQlProblem> {
        let limits = JsonLimits { items: 20_000, ..JsonLimits::default() };
        GraphQlRequest::parse(&parse_json(body.as_bytes(), limits).unwrap(), GraphQlLimits::default())
    }

    fn body(query: &str, variables: &str) -> String {
        format!(r#"{{"query":{},"variables":{variables}}}"#, serde_json::to_string(query).unwrap())
    }

    /// What a request asks for, in short.
    fn read(query: &str, variables: &str) -> Result<String, GraphQlProblem> {
        let request = parse(&body(query, variables))?;
        let fields = request.fields.iter().map(|field| {
            let arguments = serde_json::to_string(&field.arguments).unwrap();
            if arguments == "{}" { field.name.to_string() } else { format!("{}{arguments}", field.name) }
        });
        Ok(format!("{:?} {}", request.kind, fields.collect::<Vec<_>>().join(" ")))
    }

    #[test]
    fn a_request_is_its_kind_and_its_fields() {
        for (query, expected) in [
            ("{a}", "Query a"),
            ("query{a b}", "Query a b"),
            ("query Q{a}", "Query a"),
            ("mutation{delete(id:1){id}}", "Mutation delete{\"id\":1}"),
            ("mutation{read:delete(id:1)}", "Mutation delete{\"id\":1}"),
            ("mutation{a(x:1)a(x:2)b:a(x:3)}", "Mutation a{\"x\":1} a{\"x\":2} a{\"x\":3}"),
            ("subscription S{changes(of:\"a\")}", "Subscription changes{\"of\":\"a\"}"),
            ("mutation{...f}fragment f on Mutation{delete(id:2)}", "Mutation delete{\"id\":2}"),
            ("{a # } mutation { delete }\n}", "Query a"),
            ("{a(b:\"} mutation { delete\")}", "Query a{\"b\":\"} mutation { delete\"}"),
            ("{mutation query}", "Query mutation query"),
        ] {
            assert_eq!(read(query, "{}").as_deref(), Ok(expected), "{query}");
        }
    }

    #[test]
    fn arguments_are_json_in_their_order() {
        let query = r#"{a(s:"\u0041\n" i:-7 f:1.5 t:true u:false n:null e:ENUM l:[1,[]"x"] o:{z:{},a:[{k:ON}]})}"#;
        let expected = r#"Query a{"s":"A\n","i":-7,"f":1.5,"t":true,"u":false,"n":null,"e":"ENUM","l":[1,[],"x"],"o":{"z":{},"a":[{"k":"ON"}]}}"#;
        assert_eq!(read(query, "{}").as_deref(), Ok(expected));
    }

    #[test]
    fn variables_are_filled_in() {
        let defined = "query($a:T,$b:T=5,$c:T={k:[B]},$d:T=null)";
        for (arguments, variables, expected) in [
            ("x:$a", r#"{"a":{"k":[1,"$b"]}}"#, r#"{"x":{"k":[1,"$b"]}}"#),
            ("x:$a", r#"{"a":null}"#, r#"{"x":null}"#),
            ("x:$a y:1", "{}", r#"{"y":1}"#),
            ("x:$b", "{}", r#"{"x":5}"#),
            ("x:$b", r#"{"b":6}"#, r#"{"x":6}"#),
            ("x:$c", "null", r#"{"x":{"k":["B"]}}"#),
            ("x:$d", "null", r#"{"x":null}"#),
            ("x:[$b,$a,[$b]]", r#"{"a":true}"#, r#"{"x":[5,true,[5]]}"#),
            ("x:{p:$a q:{r:$b s:$a}}", "{}", r#"{"x":{"q":{"r":5}}}"#),
            ("x:$a", r#"{"a":1,"other":2}"#, r#"{"x":1}"#),
        ] {
            let read = read(&format!("{defined}{{f({arguments})}}"), variables);
            assert_eq!(read, Ok(format!("Query f{expected}")), "{arguments} {variables}");
        }
    }

    #[test]
    fn arguments_without_one_value_are_refused() {
        for (query, expected) in [
            ("{f(x:1,x:1)}", GraphQlProblem::RepeatedArgument),
            ("query($a:T){f(x:1,x:$a)}", GraphQlProblem::RepeatedArgument),
            ("query($a:T){f(x:$a,y:1,x:$a)}", GraphQlProblem::RepeatedArgument),
            ("{f(x:{y:1 z:2 y:1})}", GraphQlProblem::RepeatedArgument),
            ("{f(x:[{y:[{z:1,z:2}]}])}", GraphQlProblem::RepeatedArgument),
            ("query($a:T={y:1,y:2}){f(x:$a)}", GraphQlProblem::RepeatedArgument),
            ("{...g}fragment g on T{f(x:1,x:2)}", GraphQlProblem::RepeatedArgument),
            ("{f(x:$a)}", GraphQlProblem::Variable),
            ("query($b:T){f(x:[{y:$a}])}", GraphQlProblem::Variable),
            ("query($a:T){f(x:[$a])}", GraphQlProblem::Variable),
            ("query($a:T){f(x:{y:[1,$a]})}", GraphQlProblem::Variable),
            ("query($a:T $a:T){f}", GraphQlProblem::Variable),
            ("{f(x:18446744073709551616)}", GraphQlProblem::Literal),
            ("{f(x:1e999)}", GraphQlProblem::Literal),
            ("{f(x:\"\"\"a\"\"\")}", GraphQlProblem::Literal),
            ("{f(x:[{y:\"\"\"\"\"\"}])}", GraphQlProblem::Literal),
            ("{f(x:\"\\ud83d\\ude00\")}", GraphQlProblem::Literal),
            ("{f(x:\"\\u{41}\")}", GraphQlProblem::Literal),
            ("{f(x)}", GraphQlProblem::Syntax),
            ("{f(x:1)", GraphQlProblem::Syntax),
            ("", GraphQlProblem::Syntax),
        ] {
            assert_eq!(read(query, "{}"), Err(expected), "{query}");
        }
        assert_eq!(read("query($a:T){f(x:$a)}", r#"{"a":1,"A":2}"#), Err(GraphQlProblem::Variable));
    }

    #[test]
    fn a_body_is_one_request_of_known_members() {
        for text in [
            r#"{"query":"{a}"}"#,
            r#"{"query":"{a}","operationName":null,"variables":null,"extensions":null}"#,
            r#"{"variables":{},"extensions":{"trace":1},"operationName":"A","query":"query A{a} mutation B{b}"}"#,
            r#"{"\u0071uery":"{\u0061}"}"#,
        ] {
            assert!(parse(text).is_ok_and(|request| request.kind == GraphQlKind::Query), "{text}");
        }
        for (text, expected) in [
            (r#"[{"query":"{a}"}]"#, GraphQlProblem::NotOneRequest),
            ("[]", GraphQlProblem::NotOneRequest),
            (r#""{a}""#, GraphQlProblem::NotOneRequest),
            ("null", GraphQlProblem::NotOneRequest),
            ("{}", GraphQlProblem::WrongMember),
            (r#"{"operationName":"A"}"#, GraphQlProblem::WrongMember),
            (r#"{"query":null}"#, GraphQlProblem::WrongMember),
            (r#"{"query":["{a}"]}"#, GraphQlProblem::WrongMember),
            (r#"{"query":"{a}","operationName":""}"#, GraphQlProblem::WrongMember),
            (r#"{"query":"{a}","operationName":1}"#, GraphQlProblem::WrongMember),
            (r#"{"query":"{a}","variables":"{}"}"#, GraphQlProblem::WrongMember),
            (r#"{"query":"{a}","variables":[]}"#, GraphQlProblem::WrongMember),
            (r#"{"query":"{a}","extensions":true}"#, GraphQlProblem::WrongMember),
            (r#"{"query":"{a}","id":"1"}"#, GraphQlProblem::UnknownMember),
            (r#"{"query":"{a}","documentId":null}"#, GraphQlProblem::UnknownMember),
            (r#"{"query":"{a}","Query":"{b}"}"#, GraphQlProblem::UnknownMember),
            (r#"{"query":"{a}","operationname":"A"}"#, GraphQlProblem::UnknownMember),
            (r#"{"query":"{a}","variables\u200b":{}}"#, GraphQlProblem::UnknownMember),
            (r#"{"QUERY":"{a}"}"#, GraphQlProblem::UnknownMember),
            (r#"{"query":"{a}","extensions":{"persistedQuery":{}}}"#, GraphQlProblem::PersistedQuery),
            (r#"{"query":"{a}","extensions":{"persistedQuery":null}}"#, GraphQlProblem::PersistedQuery),
            (r#"{"query":"{a}","extensions":{"PersistedQuery":{}}}"#, GraphQlProblem::PersistedQuery),
            (r#"{"query":"query A{a} query B{b}"}"#, GraphQlProblem::NotOneOperation),
            (r#"{"query":"query A{a}","operationName":"B"}"#, GraphQlProblem::NotOneOperation),
            (r#"{"query":"{...f}"}"#, GraphQlProblem::Fragment),
        ] {
            assert_eq!(parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn what_is_repeated_does_not_multiply() {
        let spread = |argument: &str, times: usize| {
            format!("query($a:T){{{}}}fragment f on T{{f(x:{argument})}}", "...f ".repeat(times))
        };
        let list = format!(r#"{{"a":[{}0]}}"#, "0,".repeat(4_000));
        assert!(read(&spread("$a", 4), &list).is_ok());
        assert_eq!(read(&spread("$a", 5), &list), Err(GraphQlProblem::TooLarge));
        for element in ["{}", "[]", "{\"\":0}"] {
            let list = format!(r#"{{"a":[{}0]}}"#, format!("{element},").repeat(4_500));
            assert!(read(&spread("$a", 1), &list).is_ok(), "{element}");
            assert_eq!(read(&spread("$a", 5), &list), Err(GraphQlProblem::TooLarge), "{element}");
        }
        let text = "x".repeat(200_000);
        assert!(read(&spread("$a", 2), &format!(r#"{{"a":"{text}"}}"#)).is_ok());
        assert_eq!(read(&spread("$a", 3), &format!(r#"{{"a":"{text}"}}"#)), Err(GraphQlProblem::TooLarge));
        assert!(read(&spread(&format!("\"{text}\""), 2), "{}").is_ok());
        assert_eq!(read(&spread(&format!("\"{text}\""), 3), "{}"), Err(GraphQlProblem::TooLarge));
        assert_eq!(read(&spread(&text, 3), "{}"), Err(GraphQlProblem::TooLarge));
        assert_eq!(read(&spread(&format!("{{{text}:1}}"), 3), "{}"), Err(GraphQlProblem::TooLarge));
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(62), "]".repeat(62));
        assert!(read(&spread("[[[$a]]]", 1), &deep).is_ok());
    }

    #[test]
    fn no_document_takes_more_than_a_small_stack() {
        let nested = |begin: &str, open: &str, inner: &str, close: &str, end: &str, levels: usize| {
            format!("{begin}{}{inner}{}{end}", open.repeat(levels), close.repeat(levels))
        };
        let shapes = [
            ("", "{a", "", "}", ""),
            ("{", "...{", "a", "}", "}"),
            ("{f(x:", "[", "", "]", ")}"),
            ("{f(x:", "{y:", "1", "}", ")}"),
            ("{f(x:", "[{y:", "1", "}]", ")}"),
            ("{a{f(x:", "[", "", "]", ")}}"),
            ("query($a:T=", "[", "", "]", "){f(x:$a)}"),
            ("query($a:", "[", "T", "]", "){f(x:$a)}"),
            ("{f@d(x:", "{y:", "1", "}", ")}"),
            ("{f", "(", "x:1", ")", "}"),
        ];
        let documents = shapes.iter().flat_map(|(begin, open, inner, close, end)| {
            [10, 29, 60, 10_000, 200_000].map(|levels| (levels, nested(begin, open, inner, close, end, levels)))
        });
        let unclosed = ["{a", "{...{", "{a(x:[", "{a(x:{y:", "[", "query($a:[", "{a(x:[{y:"]
            .map(|open| (100_000, open.repeat(100_000)));
        let documents: Vec<_> = documents.chain(unclosed).collect();
        let check = move || {
            for (levels, document) in documents {
                let result = read(&document, "{}");
                assert!(levels < 10_000 || result.is_err(), "{}", document.get(..20).unwrap_or_default());
            }
        };
        std::thread::Builder::new().stack_size(512 << 10).spawn(check).unwrap().join().unwrap();
    }

    #[test]
    fn long_documents_are_refused_soon() {
        for (part, times, expected) in [
            (" a", 100_000, GraphQlProblem::TooManyTokens),
            ("#\n", 100_000, GraphQlProblem::TooManyTokens),
            (",", 100_000, GraphQlProblem::TooManyTokens),
            (" ...f", 1_500, GraphQlProblem::Fragment),
            (" a:b", 500, GraphQlProblem::TooManyAliases),
            (" a", 1_500, GraphQlProblem::TooManyNodes),
            ("a", 2_000_000, GraphQlProblem::TooLarge),
        ] {
            assert_eq!(read(&format!("{{{}}}", part.repeat(times)), "{}"), Err(expected), "{part}");
        }
    }
}
