//! The rule by which a relation is computed from tuples and other relations.

/// A rewrite rule of OpenFGA's language, with relations named by `N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrite<N> {
    /// Tuples that name the user, a wildcard or a userset: `[user, user:*, group#member]`.
    Direct,
    /// Another relation of the same object: `editor`.
    Computed(N),
    /// A relation of the objects that the tupleset's tuples name: `viewer from parent`.
    TupleToUserset {
        /// The relation on the other object.
        computed: N,
        /// The relation whose tuples name the other objects.
        tupleset: N,
    },
    /// Any operand: `a or b`.
    Union(Vec<Self>),
    /// Every operand: `a and b`.
    Intersection(Vec<Self>),
    /// The base without the subtracted: `a but not b`.
    Exclusion {
        /// Who is in.
        base: Box<Self>,
        /// Who is out again.
        subtract: Box<Self>,
    },
}

impl<N> Rewrite<N> {
    /// The operands, in the order they are written.
    pub fn operands(&self) -> impl Iterator<Item = &Self> {
        let (many, pair) = match self {
            Self::Direct | Self::Computed(_) | Self::TupleToUserset { .. } => (&[][..], None),
            Self::Union(operands) | Self::Intersection(operands) => (operands.as_slice(), None),
            Self::Exclusion { base, subtract } => (&[][..], Some([base.as_ref(), subtract.as_ref()])),
        };
        many.iter().chain(pair.into_iter().flatten())
    }

    /// Whether tuples can give this relation directly.
    pub fn is_assignable(&self) -> bool {
        matches!(self, Self::Direct) || self.operands().any(Self::is_assignable)
    }

    /// Calls `visit` for each leaf of the tree.
    pub fn for_each_leaf<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        match self {
            Self::Direct | Self::Computed(_) | Self::TupleToUserset { .. } => visit(self),
            Self::Union(_) | Self::Intersection(_) | Self::Exclusion { .. } => {
                self.operands().for_each(|operand| operand.for_each_leaf(visit));
            }
        }
    }

    /// The same tree with each name replaced.
    pub fn map<M>(self, name: &mut impl FnMut(N) -> M) -> Rewrite<M> {
        let mut each = |operands: Vec<Self>| operands.into_iter().map(|operand| operand.map(name)).collect();
        match self {
            Self::Direct => Rewrite::Direct,
            Self::Union(operands) => Rewrite::Union(each(operands)),
            Self::Intersection(operands) => Rewrite::Intersection(each(operands)),
            Self::Computed(relation) => Rewrite::Computed(name(relation)),
            Self::TupleToUserset { computed, tupleset } => {
                Rewrite::TupleToUserset { computed: name(computed), tupleset: name(tupleset) }
            }
            Self::Exclusion { base, subtract } => {
                Rewrite::Exclusion { base: Box::new(base.map(name)), subtract: Box::new(subtract.map(name)) }
            }
        }
    }
}
