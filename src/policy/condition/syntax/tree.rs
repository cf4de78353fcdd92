//! The tree of an expression, as it was written.

use std::sync::Arc;

/// A value that the text itself spells.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::policy::condition) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
}

/// Which macro a loop was written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy::condition) enum Iteration {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}

/// `range.exists(variable, test)` and its relatives.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::policy::condition) struct Loop {
    pub(in crate::policy::condition) iteration: Iteration,
    pub(in crate::policy::condition) range: Expression,
    pub(in crate::policy::condition) variable: String,
    /// What decides, absent from `range.map(variable, result)`.
    pub(in crate::policy::condition) test: Option<Expression>,
    /// What `map` makes of an element.
    pub(in crate::policy::condition) result: Option<Expression>,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::policy::condition) enum Form {
    Literal(Literal),
    Name(String),
    Select { operand: Box<Expression>, field: String },
    Has { operand: Box<Expression>, field: String },
    Index { operand: Box<Expression>, index: Box<Expression> },
    Call { target: Option<Box<Expression>>, function: String, arguments: Vec<Expression> },
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Ternary(Box<[Expression; 3]>),
    List(Vec<Expression>),
    Map(Vec<(Expression, Expression)>),
    Loop(Box<Loop>),
}

/// An expression and the byte where it, or its operator, stands.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::policy::condition) struct Expression {
    pub(in crate::policy::condition) at: usize,
    /// How many levels it nests.
    pub(in crate::policy::condition) depth: usize,
    pub(in crate::policy::condition) form: Form,
}
