//! The grammar of CEL, without messages and optional values.

use super::{
    lexer::{Token, Word, words},
    tree::{Expression, Form, Iteration, Literal, Loop},
};
use crate::policy::condition::problem::{ConditionFault, ConditionProblem, DEEPEST_EXPRESSION, LONGEST_EXPRESSION};

type Parsed<T> = Result<T, ConditionProblem>;

/// The binary operators, how tightly they bind, and the functions they stand for.
const OPERATORS: &[(&str, u8, &str)] = &[
    ("<", 1, "_<_"),
    ("<=", 1, "_<=_"),
    (">", 1, "_>_"),
    (">=", 1, "_>=_"),
    ("==", 1, "_==_"),
    ("!=", 1, "_!=_"),
    ("+", 2, "_+_"),
    ("-", 2, "_-_"),
    ("*", 3, "_*_"),
    ("/", 3, "_/_"),
    ("%", 3, "_%_"),
];

/// The tree of a whole expression. Refuses what is too long or too deep to be walked safely.
pub(in crate::policy::condition) fn parse(text: &str) -> Parsed<Expression> {
    if text.chars().count() > LONGEST_EXPRESSION {
        return Err(ConditionProblem::new(0, ConditionFault::TooLong));
    }
    let words = words(text)?;
    let mut parser = Parser { words: &words, next: 0, depth: 0 };
    let expression = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(expression),
        _ => Err(parser.expected("an operator or the end of the expression")),
    }
}

struct Parser<'a> {
    words: &'a [Word],
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.words.get(self.next).map_or(&Token::End, |word| &word.token)
    }

    fn at(&self) -> usize {
        self.words.get(self.next).or(self.words.last()).map_or(0, |word| word.at)
    }

    /// The next word, taken. The end is never passed.
    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += usize::from(token != Token::End);
        token
    }

    fn accept(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(next) if *next == sign);
        self.next += usize::from(found);
        found
    }

    fn expected(&self, what: &'static str) -> ConditionProblem {
        ConditionProblem::new(self.at(), ConditionFault::Expected(what))
    }

    fn require(&mut self, sign: &'static str) -> Parsed<()> {
        if self.accept(sign) { Ok(()) } else { Err(self.expected(sign)) }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEEPEST_EXPRESSION {
            return Err(ConditionProblem::new(self.at(), ConditionFault::TooDeep));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn expression(&mut self) -> Parsed<Expression> {
        self.deeper(Self::ternary)
    }

    fn ternary(&mut self) -> Parsed<Expression> {
        let test = self.any()?;
        let at = self.at();
        if !self.accept("?") {
            return Ok(test);
        }
        let then = self.any()?;
        self.require(":")?;
        let otherwise = self.expression()?;
        let below = test.depth.max(then.depth).max(otherwise.depth);
        node(at, below, Form::Ternary(Box::new([test, then, otherwise])))
    }

    fn any(&mut self) -> Parsed<Expression> {
        self.several("||", Self::all, Form::Or)
    }

    fn all(&mut self) -> Parsed<Expression> {
        self.several("&&", |parser| parser.binary(1), Form::And)
    }

    fn several(
        &mut self,
        sign: &str,
        operand: impl Fn(&mut Self) -> Parsed<Expression>,
        form: impl Fn(Vec<Expression>) -> Form,
    ) -> Parsed<Expression> {
        let first = operand(self)?;
        let at = self.at();
        if !self.accept(sign) {
            return Ok(first);
        }
        let mut below = first.depth;
        let mut operands = vec![first];
        loop {
            let next = operand(self)?;
            below = below.max(next.depth);
            operands.push(next);
            if !self.accept(sign) {
                return node(at, below, form(operands));
            }
        }
    }

    fn binary(&mut self, least: u8) -> Parsed<Expression> {
        let mut left = self.unary()?;
        loop {
            let at = self.at();
            let operator = match self.peek() {
                Token::In => Some(("in", 1, "@in")),
                Token::Sign(sign) => OPERATORS.iter().find(|(written, ..)| written == sign).copied(),
                _ => None,
            };
            let Some((_, strength, function)) = operator.filter(|(_, strength, _)| *strength >= least) else {
                return Ok(left);
            };
            self.take();
            let right = self.binary(strength + 1)?;
            left = call(at, None, function, vec![left, right])?;
        }
    }

    fn unary(&mut self) -> Parsed<Expression> {
        let at = self.at();
        let (sign, function) = match self.peek() {
            Token::Sign("!") => ("!", "!_"),
            Token::Sign("-") => ("-", "-_"),
            _ => return self.member(),
        };
        let mut odd = false;
        while !(sign == "-" && self.negative_number()) && self.accept(sign) {
            odd = !odd;
        }
        let operand = self.member()?;
        if odd { call(at, None, function, vec![operand]) } else { Ok(operand) }
    }

    /// Whether a `-` and a number come next, which is a negative number.
    fn negative_number(&self) -> bool {
        let number = self.words.get(self.next + 1).map(|word| &word.token);
        matches!(self.peek(), Token::Sign("-"))
            && matches!(number, Some(Token::Digits { .. } | Token::Literal(Literal::Double(_))))
    }

    fn member(&mut self) -> Parsed<Expression> {
        let mut operand = self.primary()?;
        loop {
            let at = self.at();
            if self.accept(".") {
                operand = self.field(at, operand)?;
            } else if self.accept("[") {
                if self.accept("?") {
                    return Err(ConditionProblem::new(at, ConditionFault::Unsupported("optional values")));
                }
                let index = self.expression()?;
                self.require("]")?;
                let below = operand.depth.max(index.depth);
                operand = node(at, below, Form::Index { operand: Box::new(operand), index: Box::new(index) })?;
            } else if matches!((self.peek(), &operand.form), (Token::Sign("{"), Form::Select { .. })) {
                return Err(ConditionProblem::new(at, ConditionFault::Unsupported("messages")));
            } else {
                return Ok(operand);
            }
        }
    }

    fn field(&mut self, at: usize, operand: Expression) -> Parsed<Expression> {
        if self.accept("?") {
            return Err(ConditionProblem::new(at, ConditionFault::Unsupported("optional values")));
        }
        let field = match self.take() {
            Token::Name(name) | Token::Reserved(name) => name,
            _ => {
                self.next -= 1;
                return Err(self.expected("a name"));
            }
        };
        if self.accept("(") {
            let arguments = self.items(")")?;
            return method(at, operand, &field, arguments);
        }
        node(at, operand.depth, Form::Select { operand: Box::new(operand), field })
    }

    fn items(&mut self, end: &'static str) -> Parsed<Vec<Expression>> {
        let mut items = Vec::new();
        if self.accept(end) {
            return Ok(items);
        }
        loop {
            items.push(self.expression()?);
            if self.accept(end) {
                return Ok(items);
            }
            self.require(",")?;
            // Only lists may end with a comma.
            if end == "]" && self.accept(end) {
                return Ok(items);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Expression> {
        let at = self.at();
        match self.take() {
            Token::Literal(literal) => node(at, 0, Form::Literal(literal)),
            Token::Digits { text, radix } => number(at, "", &text, radix),
            Token::Sign("-") => match self.take() {
                Token::Digits { text, radix } => number(at, "-", &text, radix),
                Token::Literal(Literal::Double(double)) => node(at, 0, Form::Literal(Literal::Double(-double))),
                _ => Err(ConditionProblem::new(at, ConditionFault::Expected("a value"))),
            },
            // A leading dot says that the name is a whole one. There are no others here.
            Token::Sign(".") => match self.take() {
                Token::Name(name) => self.named(at, name),
                _ => Err(ConditionProblem::new(at, ConditionFault::Expected("a name after the dot"))),
            },
            Token::Name(name) => self.named(at, name),
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.require(")")?;
                Ok(inner)
            }
            Token::Sign("[") => {
                if matches!(self.peek(), Token::Sign("?")) {
                    return Err(ConditionProblem::new(at, ConditionFault::Unsupported("optional values")));
                }
                let items = self.items("]")?;
                node(at, deepest(&items), Form::List(items))
            }
            Token::Sign("{") => self.map(at),
            _ => Err(ConditionProblem::new(at, ConditionFault::Expected("a value"))),
        }
    }

    fn named(&mut self, at: usize, name: String) -> Parsed<Expression> {
        if self.accept("(") {
            let arguments = self.items(")")?;
            return function(at, &name, arguments);
        }
        if matches!(self.peek(), Token::Sign("{")) {
            return Err(ConditionProblem::new(at, ConditionFault::Unsupported("messages")));
        }
        node(at, 0, Form::Name(name))
    }

    fn map(&mut self, at: usize) -> Parsed<Expression> {
        let mut entries = Vec::new();
        let mut below = 0;
        while !self.accept("}") {
            if self.accept("?") {
                return Err(ConditionProblem::new(at, ConditionFault::Unsupported("optional values")));
            }
            let key = self.expression()?;
            self.require(":")?;
            let value = self.expression()?;
            below = below.max(key.depth).max(value.depth);
            entries.push((key, value));
            if !self.accept(",") {
                self.require("}")?;
                break;
            }
        }
        node(at, below, Form::Map(entries))
    }
}

fn deepest(items: &[Expression]) -> usize {
    items.iter().map(|item| item.depth).max().unwrap_or(0)
}

fn node(at: usize, below: usize, form: Form) -> Parsed<Expression> {
    if below >= DEEPEST_EXPRESSION {
        return Err(ConditionProblem::new(at, ConditionFault::TooDeep));
    }
    Ok(Expression { at, depth: below + 1, form })
}

fn call(at: usize, target: Option<Expression>, function: &str, arguments: Vec<Expression>) -> Parsed<Expression> {
    let below = deepest(&arguments).max(target.as_ref().map_or(0, |target| target.depth));
    node(at, below, Form::Call { target: target.map(Box::new), function: function.to_owned(), arguments })
}

fn number(at: usize, sign: &str, digits: &str, radix: u32) -> Parsed<Expression> {
    match i64::from_str_radix(&format!("{sign}{digits}"), radix) {
        Ok(number) => node(at, 0, Form::Literal(Literal::Int(number))),
        Err(_) => Err(ConditionProblem::new(at, ConditionFault::NumberTooLarge(format!("{sign}{digits}")))),
    }
}

/// `has(x.field)` is a macro, every other plain call is a function.
fn function(at: usize, name: &str, mut arguments: Vec<Expression>) -> Parsed<Expression> {
    if name == "has" && arguments.len() == 1 {
        let expected = ConditionProblem::new(at, ConditionFault::Expected("a field, as in `has(x.field)`"));
        let argument = arguments.pop().ok_or_else(|| expected.clone())?;
        let Form::Select { operand, field } = argument.form else { return Err(expected) };
        return node(at, operand.depth, Form::Has { operand, field });
    }
    call(at, None, name, arguments)
}

/// `range.exists(variable, test)` is a macro, a call with another number of arguments a function.
fn method(at: usize, range: Expression, name: &str, arguments: Vec<Expression>) -> Parsed<Expression> {
    let iteration = match (name, arguments.len()) {
        ("all", 2) => Iteration::All,
        ("exists", 2) => Iteration::Exists,
        ("exists_one", 2) => Iteration::ExistsOne,
        ("filter", 2) => Iteration::Filter,
        ("map", 2 | 3) => Iteration::Map,
        _ => return call(at, Some(range), name, arguments),
    };
    let below = deepest(&arguments).max(range.depth);
    let mut arguments = arguments.into_iter();
    let variable = match arguments.next() {
        Some(Expression { form: Form::Name(variable), .. }) => variable,
        other => {
            let at = other.map_or(at, |other| other.at);
            return Err(ConditionProblem::new(at, ConditionFault::Expected("the name of the loop's variable")));
        }
    };
    let last = arguments.next_back();
    let (test, result) = match iteration {
        Iteration::Map => (arguments.next(), last),
        Iteration::All | Iteration::Exists | Iteration::ExistsOne | Iteration::Filter => (last, None),
    };
    node(at, below, Form::Loop(Box::new(Loop { iteration, range, variable, test, result })))
}
