//! OpenID AuthZEN's Authorization API 1.0 over the policy that decides requests.
//!
//! # What a question means
//!
//! | AuthZEN | OpenFGA |
//! |---|---|
//! | `subject` `{type, id}` | the user `type:id`, always one object: `*` and usersets are not subjects |
//! | `action` `{name}` | the relation `name` |
//! | `resource` `{type, id}` | the object `type:id` |
//! | `subject.properties.x` | `subject_x` in the context of conditions |
//! | `action.properties.x` | `action_x` |
//! | `resource.properties.x` | `resource_x` |
//! | `context.x` | `x`, which wins over a property of the same name |
//!
//! These are the names and the precedence of OpenFGA's own AuthZEN interface, so that a model serves both. What a tuple
//! says of itself wins over all of them. Callers are trusted with their context, as they are with the subject, but not with
//! the time: `current_time` is that of the proxy.
//!
//! A denial is 200 with `decision: false`, and so is whatever cannot be decided; `context.reason` says which of the two,
//! and `context.error` is there for the latter only. Searches leave out what cannot be decided: their results are those
//! for which an evaluation would be `decision: true`, but for a subject with the id `*`. That one stands for everybody of
//! its type, save those who are excluded, and is none that an evaluation could be asked of.

mod answer;
mod base;
mod body;
mod decision;
mod evaluations;
mod fault;
mod page;
mod search;

pub(super) use answer::{answer_asked, metadata, named, request_id};
pub use base::{BaseUrl, InvalidBaseUrl};
