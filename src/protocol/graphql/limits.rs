//! How large one operation may be.

/// How large a GraphQL request may be, its fragments in their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphQlLimits {
    /// Selection sets of fields within each other. Those of fragments are as deep as where they are spread. Whatever the
    /// limit, brackets are in each other at most 64 times.
    pub depth: usize,
    /// Aliases in the whole operation.
    pub aliases: usize,
    /// Selections in the whole operation: fields, spreads and inline fragments.
    pub nodes: usize,
    /// Tokens of the whole document, with white space, commas and comments.
    pub tokens: usize,
}

impl Default for GraphQlLimits {
    fn default() -> Self {
        Self { depth: 15, aliases: 30, nodes: 1_000, tokens: 5_000 }
    }
}
