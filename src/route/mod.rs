//! From a request to the accesses it stands for, by the routes of the configuration.
#![warn(missing_docs)]

mod call;
mod coverage;
mod extract;
mod graphql;
mod matcher;
mod mcp;
mod operation;
mod origin;
mod query;
mod source;
mod table;
mod uri_pattern;

pub use call::{CallRule, Called, Mapped, Message, Named, Protocol};
pub use coverage::{DetailNeed, DetailRule, Uncovered};
pub use extract::{Inputs, MappingProblem, access};
pub use graphql::GraphQlRules;
pub use matcher::{HeaderMatch, HostPattern, InvalidPattern, PathTemplate};
pub use mcp::{ListedRule, McpList, McpRules, NAMING_METHODS, SERVER_METHODS, Shown};
pub use operation::{
    AccessTemplate, BodyRule, ByteRule, CountedBodies, FormRule, ItemFilter, JsonPath, Operation, Upgrade, UseRule,
    UsedBy, WebSocketRule,
};
pub use origin::{InvalidOrigin, Origin};
pub use source::{CallKind, PrincipalField, Source};
pub use table::{Captures, Conflict, Operations, Route, RouteProblem, RouteTable, UpstreamId};
pub use uri_pattern::{InvalidUriPattern, UriPattern};
