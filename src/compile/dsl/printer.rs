//! Prints a model in OpenFGA's language.

use std::fmt::Write;

use super::{
    lexer::without_comments,
    names::{is_condition, is_declarable, is_identifier, is_keyword},
    parser::parse,
};
use crate::{
    access::Place,
    compile::report::Report,
    policy::{
        ConditionSource, ModelSource, Origin, ParameterType, Placed, RelationSource, RestrictionSource, Rewrite, Shape,
        TypeSource,
    },
};

/// Prints a model, or reports everything in it that only JSON can say.
///
/// As OpenFGA's own printer does, it moves `[types]` to the front of the union or intersection that they are part of, and
/// says in comments which module of a modular model each part comes from.
pub(in crate::compile) fn print(source: &ModelSource, report: &mut Report) -> String {
    let mut printer = Printer { text: format!("model\n  schema {}\n", source.schema), report };
    for written in &source.types {
        printer.type_definition(written);
    }
    for condition in &source.conditions {
        printer.condition(condition, source.condition_origins.get(&condition.name.value));
    }
    printer.text
}

struct Printer<'r> {
    text: String,
    report: &'r mut Report,
}

impl Printer<'_> {
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn inexpressible(&mut self, place: Place, what: &str, help: &str) {
        self.report.add(place, format!("{what} cannot be written in this language"), Some(help.to_owned()));
    }

    fn origin(&mut self, prefix: &str, origin: Option<&Origin>) {
        let Some(Origin { module, file }) = origin else { return };
        let file = file.as_ref().map(|file| format!(", file: {file}")).unwrap_or_default();
        // A line break within a name would end the comment.
        let comment = format!("{prefix} module: {module}{file}").replace(['\n', '\r'], " ");
        self.add(&format!(" #{comment}"));
    }

    fn name(&mut self, name: &str, place: Place) {
        if !is_identifier(name) || is_keyword(name) {
            self.inexpressible(place, &format!("the name `{name}`"), "choose another name, or keep the model as JSON");
        }
        self.add(name);
    }

    fn condition_name(&mut self, name: &str, place: Place) {
        if !is_condition(name) || !is_declarable(name) {
            let what = format!("the condition's name `{name}`");
            self.inexpressible(place, &what, "choose another name, or keep the model as JSON");
        }
        self.add(name);
    }

    fn type_definition(&mut self, written: &TypeSource) {
        self.add("\ntype ");
        self.name(written.name.value.as_str(), written.name.place);
        self.origin("", written.origin.as_ref());
        self.add("\n");
        if !written.relations.is_empty() {
            self.add("  relations\n");
        }
        for relation in &written.relations {
            self.relation(relation);
        }
    }

    fn relation(&mut self, relation: &RelationSource) {
        self.add("    define ");
        self.name(relation.name.value.as_str(), relation.name.place);
        self.add(": ");
        let rewrite = types_first(&relation.rewrite);
        let mut lists = 0;
        relation.rewrite.for_each_leaf(&mut |leaf| lists += usize::from(*leaf == Rewrite::Direct));
        if lists > 1 || (lists == 1 && !begins_with_types(&rewrite)) {
            let what = format!("`this` in the middle of relation `{}`", relation.name.value);
            let help = "here types are the first operand, once: define a relation for them, or keep the model as JSON";
            self.inexpressible(relation.name.place, &what, help);
        }
        self.rewrite(relation, &rewrite, true);
        self.origin(" extended by:", relation.origin.as_ref());
        self.add("\n");
    }

    fn rewrite(&mut self, relation: &RelationSource, rewrite: &Written, is_outermost: bool) {
        let operator = match rewrite {
            Rewrite::Direct => return self.restrictions(&relation.restrictions),
            Rewrite::Computed(name) => return self.name(name.value.as_str(), name.place),
            Rewrite::TupleToUserset { computed, tupleset } => {
                self.name(computed.value.as_str(), computed.place);
                self.add(" from ");
                return self.name(tupleset.value.as_str(), tupleset.place);
            }
            Rewrite::Union(_) => " or ",
            Rewrite::Intersection(_) => " and ",
            Rewrite::Exclusion { .. } => " but not ",
        };
        self.add(if is_outermost { "" } else { "(" });
        for (number, operand) in rewrite.operands().enumerate() {
            self.add(if number > 0 { operator } else { "" });
            self.rewrite(relation, operand, false);
        }
        self.add(if is_outermost { "" } else { ")" });
    }

    fn restrictions(&mut self, restrictions: &[RestrictionSource]) {
        self.add("[");
        for (number, restriction) in restrictions.iter().enumerate() {
            self.add(if number > 0 { ", " } else { "" });
            self.name(restriction.user_type.value.as_str(), restriction.user_type.place);
            match &restriction.shape {
                Shape::Plain => {}
                Shape::Wildcard => self.add(":*"),
                Shape::Userset(relation) => {
                    self.add("#");
                    self.name(relation.value.as_str(), relation.place);
                }
            }
            if let Some(condition) = &restriction.condition {
                self.add(" with ");
                self.condition_name(condition.value.as_str(), condition.place);
            }
        }
        self.add("]");
    }

    fn condition(&mut self, condition: &ConditionSource, origin: Option<&Origin>) {
        let ConditionSource { name, parameters, expression } = condition;
        self.add("\ncondition ");
        self.condition_name(name.value.as_str(), name.place);
        self.add("(");
        if parameters.is_empty() {
            self.inexpressible(name.place, "a condition without parameters", "keep the model as JSON");
        }
        for (number, parameter) in parameters.iter().enumerate() {
            let Placed { value: name, place } = &parameter.name;
            if !is_declarable(name) {
                self.inexpressible(*place, &format!("the parameter's name `{name}`"), "choose another name");
            }
            let Some(kind) = kind(&parameter.kind) else {
                let what = format!("the type of parameter `{name}`");
                self.inexpressible(*place, &what, "here there is no `any`, and lists and maps hold simple values");
                continue;
            };
            let comma = if number > 0 { ", " } else { "" };
            // Writing to a text never fails.
            let _ = write!(self.text, "{comma}{name}: {kind}");
        }
        self.add(") {\n  ");
        let body = expression.value.trim();
        if !is_kept(body) {
            let what = format!("the expression of condition `{}`", name.value);
            let help = "` #` begins a comment even inside text, and `}` ends the condition outside of text";
            self.inexpressible(expression.place, &what, help);
        }
        self.add(body);
        self.add("\n}");
        self.origin("", origin);
        self.add("\n");
    }
}

type Written = Rewrite<Placed<crate::access::RelationName>>;

/// The same rule with the list of types in front of its neighbours, where the order says nothing.
fn types_first(rewrite: &Written) -> Written {
    let ordered = |operands: &[Written]| {
        let mut operands: Vec<Written> = operands.iter().map(types_first).collect();
        if let Some(types) = operands.iter().position(|operand| *operand == Rewrite::Direct) {
            operands.get_mut(..=types).into_iter().for_each(|before| before.rotate_right(1));
        }
        operands
    };
    match rewrite {
        Rewrite::Direct | Rewrite::Computed(_) | Rewrite::TupleToUserset { .. } => rewrite.clone(),
        Rewrite::Union(operands) => Rewrite::Union(ordered(operands)),
        Rewrite::Intersection(operands) => Rewrite::Intersection(ordered(operands)),
        Rewrite::Exclusion { base, subtract } => {
            Rewrite::Exclusion { base: Box::new(types_first(base)), subtract: Box::new(types_first(subtract)) }
        }
    }
}

fn begins_with_types(rewrite: &Written) -> bool {
    *rewrite == Rewrite::Direct || rewrite.operands().next().is_some_and(begins_with_types)
}

fn kind(kind: &ParameterType) -> Option<String> {
    let is_scalar =
        |inner: &ParameterType| !matches!(inner, ParameterType::Any | ParameterType::List(_) | ParameterType::Map(_));
    let name = match kind {
        ParameterType::Bool => "bool",
        ParameterType::String => "string",
        ParameterType::Int => "int",
        ParameterType::Uint => "uint",
        ParameterType::Double => "double",
        ParameterType::Duration => "duration",
        ParameterType::Timestamp => "timestamp",
        ParameterType::IpAddress => "ipaddress",
        ParameterType::Any => return None,
        ParameterType::List(inner) if is_scalar(inner) => return Some(format!("list<{}>", self::kind(inner)?)),
        ParameterType::Map(inner) if is_scalar(inner) => return Some(format!("map<{}>", self::kind(inner)?)),
        ParameterType::List(_) | ParameterType::Map(_) => return None,
    };
    Some(name.to_owned())
}

/// Whether the expression would be read again as it is, but for comments and blanks at the ends of lines.
fn is_kept(expression: &str) -> bool {
    let lines = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    if lines(&without_comments(expression)) != lines(expression) {
        return false;
    }
    // A blank at the end of a line is part of a text that spans lines.
    if ["\"\"\"", "'''"].iter().any(|quote| expression.contains(quote)) && lines(expression) != expression {
        return false;
    }
    let mut report = Report::new(&"".into());
    let around = format!("model\n  schema 1.1\ncondition c(x: int) {{\n  {expression}\n}}");
    let parsed = parse(&without_comments(&around), 1, &mut report);
    report.is_empty() && parsed.conditions.len() == 1
}
