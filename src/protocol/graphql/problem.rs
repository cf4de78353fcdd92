//! Why a GraphQL request has no one reading.

use thiserror::Error;

/// Why a body is not one GraphQL request that a decision may use. The texts hold nothing of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GraphQlProblem {
    /// An array of requests, or no object at all.
    #[error("the body is not one request")]
    NotOneRequest,
    /// A member that is none of a request's (GraphQL over HTTP, section 5.1), or only looks like one: a server may find
    /// another document by it.
    #[error("the body has an unknown member")]
    UnknownMember,
    /// A member is missing, or of another type than it has to be.
    #[error("a member of the body is missing or of a wrong type")]
    WrongMember,
    /// `extensions` names a document that the server is to know.
    #[error("the request is for a persisted query")]
    PersistedQuery,
    /// Not one executable document (GraphQL October 2021, section 2), or one that only some readers take for one.
    #[error("the query is not one executable document")]
    Syntax,
    /// More text, or more values of arguments, than is read.
    #[error("the query or its arguments are too large")]
    TooLarge,
    /// More tokens than the limit.
    #[error("the query has too many tokens")]
    TooManyTokens,
    /// More nesting than the limit.
    #[error("the query is nested too deeply")]
    TooDeep,
    /// More selections than the limit.
    #[error("the query selects too much")]
    TooManyNodes,
    /// More aliases than the limit.
    #[error("the query has too many aliases")]
    TooManyAliases,
    /// No operation, or more than one (section 6.1), or two of one name (section 5.2.1.1), or an anonymous one beside
    /// others (section 5.2.2.1).
    #[error("not exactly one operation is selected")]
    NotOneOperation,
    /// A fragment is not there, or there twice, or spreads itself (sections 5.5.1.1, 5.5.2.1 and 5.5.2.2).
    #[error("a fragment is unknown, repeated or within itself")]
    Fragment,
    /// Two arguments or two fields of an object have one name (sections 5.4.2 and 5.6.3).
    #[error("an argument is repeated")]
    RepeatedArgument,
    /// A variable is not defined, or defined twice, or has a look-alike among the values, or is needed and has no value
    /// (sections 5.8.1 and 5.8.3).
    #[error("a variable has no one value")]
    Variable,
    /// A block string, an escape that only some readers know, or a number that JSON readers do not hold exactly.
    #[error("a literal has no one value")]
    Literal,
}
