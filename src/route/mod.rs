//! From a request to the accesses it stands for, by the routes of the configuration.
#![warn(missing_docs)]

mod coverage;
mod extract;
mod matcher;
mod operation;
mod origin;
mod query;
mod source;
mod table;

pub use coverage::{DetailNeed, DetailRule, Uncovered};
pub use extract::{Inputs, MappingProblem};
pub use matcher::{HeaderMatch, HostPattern, InvalidPattern, PathTemplate};
pub use operation::{
    AccessTemplate, BodyRule, ByteRule, CountedBodies, FormRule, ItemFilter, JsonPath, Operation, Upgrade, UseRule,
    UsedBy, WebSocketRule,
};
pub use origin::{InvalidOrigin, Origin};
pub use source::{PrincipalField, Source};
pub use table::{Captures, Conflict, Operations, Route, RouteProblem, RouteTable, UpstreamId};
