//! Reads the rule on the right of `define name:`.

use super::{
    super::report::Report,
    lexer::{Line, Token, TokenKind},
    names::{is_condition, is_identifier, is_keyword},
};
use crate::{
    access::{Place, RelationName, TypeName},
    policy::{ConditionName, Placed, RestrictionSource, Rewrite, Shape},
};

/// So deep may parentheses be nested.
const DEEPEST: usize = 50;

/// What the names of conditions are.
pub(super) const CONDITION_NAMES: &str =
    "conditions have names of letters, digits, `_` and `-`, at most 50, which are no words of the language";

/// The tokens of one statement, read from left to right.
pub(super) struct Cursor<'a, 'r> {
    line: &'a Line<'a>,
    next: usize,
    pub(super) report: &'r mut Report,
    // The one list of types that a rule may have.
    restrictions: Vec<RestrictionSource>,
}

/// A rule, and the types that tuples may name.
pub(super) type Rule = (Rewrite<Placed<RelationName>>, Vec<RestrictionSource>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    ButNot,
}

impl Operator {
    const fn name(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::ButNot => "but not",
        }
    }
}

/// Whether a list of types may stand here. It may only be the first operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Types {
    Allowed,
    TooLate,
}

/// The line has a fault that was reported.
pub(super) struct Faulty;

impl<'a, 'r> Cursor<'a, 'r> {
    pub(super) fn new(line: &'a Line<'a>, report: &'r mut Report) -> Self {
        Self { line, next: 0, report, restrictions: Vec::new() }
    }

    /// Reads the rest of the line as a rule.
    pub(super) fn rule(mut self) -> Result<Rule, Faulty> {
        let rewrite = self.operands(Types::Allowed, 0)?;
        self.end()?;
        Ok((rewrite, self.restrictions))
    }

    /// Refuses anything after this.
    pub(super) fn end(&mut self) -> Result<(), Faulty> {
        let Some(token) = self.peek() else { return Ok(()) };
        let help = match token.kind {
            TokenKind::Symbol(')') => "this `)` has no `(`",
            TokenKind::Word(_) | TokenKind::Symbol(_) => {
                "relations are combined with `or`, `and`, `but not` and `from`, a new statement needs a new line"
            }
        };
        self.fault(token.place, format!("`{}` does not belong here", token.text()), Some(help.to_owned()))
    }

    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.line.tokens.get(self.next).copied()
    }

    pub(super) fn advance(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.next += 1;
        token
    }

    /// The place of the next token, or the end of the line.
    pub(super) fn place(&self) -> Place {
        self.peek().map_or(self.line.end, |token| token.place)
    }

    /// Takes the word if it comes next.
    pub(super) fn takes_word(&mut self, word: &str) -> bool {
        let is_next = self.peek().and_then(Token::word) == Some(word);
        self.next += usize::from(is_next);
        is_next
    }

    /// Takes the symbol if it comes next.
    pub(super) fn takes(&mut self, symbol: char) -> bool {
        let is_next = self.peek().is_some_and(|token| token.kind == TokenKind::Symbol(symbol));
        self.next += usize::from(is_next);
        is_next
    }

    /// Reads a name of this kind, such as `a relation`.
    pub(super) fn name<N: std::str::FromStr>(&mut self, what: &str) -> Result<Placed<N>, Faulty>
    where
        N::Err: std::fmt::Display,
    {
        let place = self.place();
        let Some(token) = self.advance() else {
            return self.fault(place, format!("{what} is missing"), None);
        };
        let Some(word) = token.word() else {
            return self.fault(place, format!("{what} is expected, not `{}`", token.text()), None);
        };
        if is_keyword(word) {
            let message = format!("{what} is expected, not the keyword `{word}`");
            return self.fault(place, message, Some("choose another name".to_owned()));
        }
        if !is_identifier(word) {
            let help =
                "names begin with a letter or `_`, and have letters, digits, `_`, `-` and single `/` and `.` inside";
            return self.fault(place, format!("`{word}` is not a name"), Some(help.to_owned()));
        }
        match word.parse() {
            Ok(name) => Ok(Placed::new(name, place)),
            Err(error) => self.fault(place, N::Err::to_string(&error), None),
        }
    }

    pub(super) fn fault<T>(&mut self, place: Place, message: String, help: Option<String>) -> Result<T, Faulty> {
        self.report.add(place, message, help);
        Err(Faulty)
    }

    fn operands(&mut self, types: Types, depth: usize) -> Result<Rewrite<Placed<RelationName>>, Faulty> {
        if depth > DEEPEST {
            let message = format!("parentheses are nested more than {DEEPEST} levels deep");
            return self.fault(self.place(), message, Some("define relations for the parts".to_owned()));
        }
        let first = self.operand(types, depth)?;
        let place = self.place();
        let Some(operator) = self.operator()? else { return Ok(first) };
        let mut operands = vec![first, self.operand(Types::TooLate, depth)?];
        let mut fault = None;
        loop {
            let again = self.place();
            let Some(other) = self.operator()? else { break };
            let mixed = other != operator || operator == Operator::ButNot;
            fault = fault.or(mixed.then_some((again, other)));
            operands.push(self.operand(Types::TooLate, depth)?);
        }
        if let Some((again, other)) = fault {
            let message = format!("`{}` follows `{}` without parentheses", other.name(), operator.name());
            let help = "put parentheses around what belongs together, as in `(a or b) and c`".to_owned();
            return self.fault(again, message, Some(help));
        }
        Ok(match operator {
            Operator::Or => Rewrite::Union(operands),
            Operator::And => Rewrite::Intersection(operands),
            Operator::ButNot => {
                let mut both = operands.into_iter().map(Box::new);
                match (both.next(), both.next()) {
                    (Some(base), Some(subtract)) => Rewrite::Exclusion { base, subtract },
                    _ => return self.fault(place, "`but not` needs two operands".to_owned(), None),
                }
            }
        })
    }

    fn operator(&mut self) -> Result<Option<Operator>, Faulty> {
        if self.takes_word("or") {
            return Ok(Some(Operator::Or));
        }
        if self.takes_word("and") {
            return Ok(Some(Operator::And));
        }
        if self.takes_word("but") {
            let place = self.place();
            if self.takes_word("not") {
                return Ok(Some(Operator::ButNot));
            }
            return self.fault(place, "`but` is followed by `not`".to_owned(), Some("write `but not`".to_owned()));
        }
        Ok(None)
    }

    fn operand(&mut self, types: Types, depth: usize) -> Result<Rewrite<Placed<RelationName>>, Faulty> {
        let place = self.place();
        if self.takes('(') {
            let inner = self.operands(types, depth + 1)?;
            if self.takes(')') {
                return Ok(inner);
            }
            let message = format!("`)` is missing, for the `(` in column {}", place.column);
            return self.fault(self.place(), message, None);
        }
        if self.takes('[') {
            if types == Types::TooLate {
                let help = "put `[…]` before the other operands".to_owned();
                return self.fault(place, "types may only be the first operand".to_owned(), Some(help));
            }
            self.restrictions()?;
            return Ok(Rewrite::Direct);
        }
        let computed = self.name("a relation")?;
        if self.takes_word("from") {
            return Ok(Rewrite::TupleToUserset { computed, tupleset: self.name("a relation after `from`")? });
        }
        Ok(Rewrite::Computed(computed))
    }

    fn restrictions(&mut self) -> Result<(), Faulty> {
        loop {
            let restriction = self.restriction()?;
            self.restrictions.push(restriction);
            if self.takes(']') {
                return Ok(());
            }
            if !self.takes(',') {
                let help = "types are separated by `,` and end with `]`".to_owned();
                return self.fault(self.place(), "`,` or `]` is missing".to_owned(), Some(help));
            }
        }
    }

    fn restriction(&mut self) -> Result<RestrictionSource, Faulty> {
        let user_type: Placed<TypeName> = self.name("a type")?;
        let shape = if self.takes('#') {
            Shape::Userset(self.name("a relation after `#`")?)
        } else if self.takes(':') {
            if !self.takes('*') {
                let help = format!("write `{0}` for single objects or `{0}:*` for all", user_type.value);
                return self.fault(self.place(), "`*` is missing after `:`".to_owned(), Some(help));
            }
            Shape::Wildcard
        } else {
            Shape::Plain
        };
        let condition = if self.takes_word("with") { Some(self.condition()?) } else { None };
        Ok(RestrictionSource { user_type, shape, condition })
    }

    fn condition(&mut self) -> Result<Placed<ConditionName>, Faulty> {
        let place = self.place();
        let Some(word) = self.advance().and_then(Token::word) else {
            return self.fault(place, "a condition is expected after `with`".to_owned(), None);
        };
        let name = word.parse().ok().filter(|_| is_condition(word));
        match name {
            Some(name) => Ok(Placed::new(name, place)),
            None => self.fault(place, format!("`{word}` is not a condition's name"), Some(CONDITION_NAMES.to_owned())),
        }
    }
}
