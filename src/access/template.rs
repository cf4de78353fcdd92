//! Texts with variables, such as `account:{path.account}`, that are filled in one unambiguous way.

use std::fmt;

use thiserror::Error;

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTemplate {
    /// A `{` without its `}`, or a `}` without its `{`.
    #[error("a brace in `{0}` has no partner")]
    UnbalancedBrace(String),
    /// Two variables touch, so that nobody could tell where one value ends and the next begins.
    #[error("`{0}` has two variables without a text between them, write a separator such as `/`")]
    TouchingVariables(String),
    /// The owner of the template knows no such variable.
    #[error("{0}")]
    UnknownVariable(String),
}

/// Why a template could not be filled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RenderProblem<E> {
    /// The variable has no value that may be used.
    #[error(transparent)]
    Value(E),
    /// The variable is the empty text.
    #[error("`{{{0}}}` is empty")]
    Empty(String),
    /// The value holds the text that separates it from the next variable.
    #[error("`{{{0}}}` holds the separator that follows it")]
    Ambiguous(String),
}

/// A variable as it is written, and what its owner made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable<V> {
    /// The text between the braces.
    pub text: Box<str>,
    /// Where its value comes from.
    pub source: V,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<V> {
    Literal(Box<str>),
    Variable(Variable<V>),
}

/// Literal text and variables of the kind `V`.
///
/// Filling is injective: two different lists of values never give the same text. So a value from a request cannot
/// move a border between two parts of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template<V> {
    // INVARIANT: no two variables touch, no literal is empty.
    parts: Vec<Part<V>>,
}

impl<V> Template<V> {
    /// Reads `text`; `variable` says what the text between two braces stands for, or why it stands for nothing.
    pub fn parse(text: &str, mut variable: impl FnMut(&str) -> Result<V, String>) -> Result<Self, InvalidTemplate> {
        let unbalanced = || InvalidTemplate::UnbalancedBrace(text.to_owned());
        let mut parts: Vec<Part<V>> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, after) = rest.split_once('{').map_or((rest, None), |(literal, after)| (literal, Some(after)));
            if literal.contains('}') {
                return Err(unbalanced());
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.into()));
            }
            let Some(after) = after else { break };
            let (name, after) = after.split_once('}').ok_or_else(unbalanced)?;
            if name.contains('{') {
                return Err(unbalanced());
            }
            if matches!(parts.last(), Some(Part::Variable(_))) {
                return Err(InvalidTemplate::TouchingVariables(text.to_owned()));
            }
            let source = variable(name).map_err(InvalidTemplate::UnknownVariable)?;
            parts.push(Part::Variable(Variable { text: name.into(), source }));
            rest = after;
        }
        Ok(Self { parts })
    }

    /// The text with each variable replaced by what `value` appends for it. Refuses an empty value, and a value that
    /// holds the separator after it.
    pub fn render<E>(
        &self,
        mut value: impl FnMut(&V, &mut String) -> Result<(), E>,
    ) -> Result<String, RenderProblem<E>> {
        let mut text = String::with_capacity(64);
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            let variable = match part {
                Part::Literal(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Part::Variable(variable) => variable,
            };
            let start = text.len();
            value(&variable.source, &mut text).map_err(RenderProblem::Value)?;
            let end = text.len();
            if end == start {
                return Err(RenderProblem::Empty(variable.text.to_string()));
            }
            // The last variable may hold anything: its end is the end of the text.
            if let Some(Part::Literal(separator)) = parts.peek() {
                text.push_str(separator);
                parts.next();
                let found = text.get(start..).and_then(|tail| tail.find(separator.as_ref()));
                if parts.peek().is_some() && found != Some(end - start) {
                    return Err(RenderProblem::Ambiguous(variable.text.to_string()));
                }
            }
        }
        Ok(text)
    }

    /// The variables, from left to right.
    pub fn variables(&self) -> impl Iterator<Item = &Variable<V>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Literal(_) => None,
        })
    }

    /// The literal text before the first variable.
    pub fn beginning(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(literal)) => literal,
            Some(Part::Variable(_)) | None => "",
        }
    }

    /// The type of the objects that this template makes, if its literal beginning says it (`account:{…}`).
    pub fn type_name(&self) -> Option<&str> {
        match self.parts.first() {
            Some(Part::Literal(literal)) => literal.split_once(':').map(|(type_name, _)| type_name),
            Some(Part::Variable(_)) | None => None,
        }
    }
}

impl<V> fmt::Display for Template<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(literal) => f.write_str(literal),
            Part::Variable(variable) => write!(f, "{{{}}}", variable.text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template<char> {
        Template::parse(text, |name| name.chars().next().ok_or_else(|| "no name".to_owned())).unwrap()
    }

    fn render(text: &str, values: &[(char, &str)]) -> Result<String, RenderProblem<String>> {
        template(text).render(|name, out| {
            let (_, value) = values.iter().find(|(key, _)| key == name).ok_or_else(|| format!("no {name}"))?;
            out.push_str(value);
            Ok(())
        })
    }

    #[test]
    fn variables_are_replaced() {
        assert_eq!(render("account:{a}", &[('a', "A-1")]).unwrap(), "account:A-1");
        assert_eq!(render("pull:{r}/{n}", &[('r', "api"), ('n', "7")]).unwrap(), "pull:api/7");
        assert_eq!(render("branch:{r}/{b}", &[('r', "api"), ('b', "fix/x")]).unwrap(), "branch:api/fix/x");
        assert_eq!(template("account:{a}").to_string(), "account:{a}");
        assert_eq!(template("account:{a}").type_name(), Some("account"));
        assert_eq!(template("{a}:x").type_name(), None);
        assert_eq!((template("account:x/{a}-y").beginning(), template("{a}:x").beginning()), ("account:x/", ""));
    }

    #[test]
    fn a_value_cannot_move_the_border_between_two_values() {
        let moved = render("pull:{r}/{n}", &[('r', "api/7"), ('n', "x")]);
        assert_eq!(moved, Err(RenderProblem::Ambiguous("r".to_owned())));
        let overlap = render("x:{a}--{b}", &[('a', "p-"), ('b', "q")]);
        assert_eq!(overlap, Err(RenderProblem::Ambiguous("a".to_owned())));
        assert_eq!(render("x:{a}", &[('a', "")]), Err(RenderProblem::Empty("a".to_owned())));
        assert_eq!(render("x:{a}", &[]), Err(RenderProblem::Value("no a".to_owned())));
    }

    #[test]
    fn bad_templates_are_refused() {
        let parse = |text: &str| Template::parse(text, |_| Ok(()));
        assert!(matches!(parse("a{b"), Err(InvalidTemplate::UnbalancedBrace(_))));
        assert!(matches!(parse("a}b"), Err(InvalidTemplate::UnbalancedBrace(_))));
        assert!(matches!(parse("{a{b}}"), Err(InvalidTemplate::UnbalancedBrace(_))));
        assert!(matches!(parse("{a}{b}"), Err(InvalidTemplate::TouchingVariables(_))));
    }
}
