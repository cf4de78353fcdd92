//! A program: the tree of an expression with every name resolved.

use regex::Regex;

use super::{
    function::{Charge, Function},
    value::Datum,
};
use crate::policy::condition::syntax::Iteration;

/// A checked expression.
#[derive(Debug, Clone)]
pub(in crate::policy::condition) struct Program {
    pub(in crate::policy::condition) root: Node,
}

/// A step of a program. `charge` is what reading a name costs: nothing where cel-go does not observe it.
#[derive(Debug, Clone)]
pub(in crate::policy::condition) enum Node {
    Constant(Datum),
    Parameter {
        index: usize,
        charge: u64,
    },
    Local {
        index: usize,
        charge: u64,
    },
    /// What a field or index is read from, if it is not itself read by name.
    Made {
        operand: Box<Node>,
        charge: u64,
    },
    Field {
        operand: Box<Node>,
        name: Box<str>,
    },
    Has {
        operand: Box<Node>,
        name: Box<str>,
    },
    Index(Box<(Node, Node)>),
    And(Box<[Node]>),
    Or(Box<[Node]>),
    Ternary(Box<[Node; 3]>),
    List(Box<[Node]>),
    Map(Box<[(Node, Node)]>),
    Unary {
        function: Function,
        charge: Charge,
        operand: Box<Node>,
    },
    Binary {
        function: Function,
        charge: Charge,
        operands: Box<(Node, Node)>,
    },
    /// `text.matches("constant")`.
    Matches {
        text: Box<Node>,
        pattern: Box<(Regex, u64)>,
    },
    /// `value in [constants]`, the constants sorted.
    Member {
        value: Box<Node>,
        set: Box<[Datum]>,
    },
    Loop(Box<Loop>),
}

/// A loop with its variable's place among the locals.
#[derive(Debug, Clone)]
pub(in crate::policy::condition) struct Loop {
    pub(in crate::policy::condition) iteration: Iteration,
    pub(in crate::policy::condition) range: Node,
    pub(in crate::policy::condition) test: Option<Node>,
    pub(in crate::policy::condition) result: Option<Node>,
}

impl Node {
    /// Takes away the charge for reading a name, as where it only chooses what is read.
    pub(in crate::policy::condition) fn unobserved(mut self) -> Self {
        let mut node = &mut self;
        loop {
            match node {
                Self::Parameter { charge, .. } | Self::Local { charge, .. } | Self::Made { charge, .. } => {
                    *charge = 0;
                    return self;
                }
                Self::Field { operand, .. } | Self::Has { operand, .. } => node = operand,
                Self::Index(operands) => node = &mut operands.0,
                _ => return self,
            }
        }
    }

    /// Whether the value is read by name: cel-go calls these attributes.
    pub(in crate::policy::condition) const fn is_read_by_name(&self) -> bool {
        matches!(
            self,
            Self::Parameter { .. }
                | Self::Local { .. }
                | Self::Field { .. }
                | Self::Has { .. }
                | Self::Index(_)
                | Self::Ternary(_)
        )
    }
}
