//! The vocabulary that every other module speaks.
#![warn(missing_docs)]

mod authority;
mod bounded;
mod bytes;
mod connect;
mod contextual;
mod credentials;
mod decision;
mod diagnostic;
mod ending;
mod entity;
mod fields;
mod forwarded;
mod grants;
mod head_bounds;
mod head_rules;
mod lenient;
mod path;
mod principal;
mod request;
mod sent;
mod template;
mod timestamp;
mod trailers;

pub use authority::Authority;
pub use bounded::Bounded;
pub use bytes::{ALPHANUMERIC, ByteClasses};
pub use contextual::{ContextualTuple, NotContextual};
pub use credentials::{CredentialKind, CredentialRule};
pub use decision::{DecisionId, Outcome, Reason, Revision};
pub use diagnostic::{Diagnostic, Place};
pub use ending::{ends_here, is_end_to_end, is_hop_by_hop, is_reserved};
pub use entity::{Access, Entity, InvalidName, RelationName, TypeName};
pub use fields::CredentialHandling;
pub use forwarded::Forwarded;
pub use grants::{AuthorizationDetail, DetailField, Grants, InvalidScope, Scope};
pub use head_bounds::HeadBounds;
pub use head_rules::{HeadRules, OldHttp, Underscores};
pub use lenient::{is_method_override, parameter_name, percent_decoded};
pub use path::{CanonicalPath, NonCanonical, decoded_segment, hex_byte};
pub use principal::{ActorMode, Principal};
pub use request::{CanonicalRequest, HeaderProblem, Malformed, Scheme, authority as asked_authority};
pub use sent::SentRequest;
pub use template::{InvalidTemplate, RenderProblem, Template, Variable};
pub use timestamp::Timestamp;
pub use trailers::{TooManyTrailers, may_be_trailer, trailers};
