//! What a body says, read strictly or not at all.
#![warn(missing_docs)]

mod edit;
mod form;
mod graphql;
mod json;
mod json_rpc;
mod mcp;
mod media_type;
mod websocket;

pub use edit::{Edit, EditChange, edited};
pub use form::FormKind;
pub use graphql::{GraphQlField, GraphQlKind, GraphQlLimits, GraphQlProblem, GraphQlRequest};
pub use json::{Json, JsonLimits, JsonProblem, MemberProblem, NotStrict, parse_json};
pub use json_rpc::{InvalidMessage, RpcMessage, parameter};
pub use mcp::{McpHead, McpMismatch};
pub use media_type::{JsonKind, is_json};
pub use websocket::{BadFrame, CloseCode, Frames, Sender, is_websocket_key, websocket_accept};
