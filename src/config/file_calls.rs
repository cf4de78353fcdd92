//! The configuration file's keys of routes on which messages are spoken: MCP and GraphQL.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{file::Access, located::Located};

/// A server of the Model Context Protocol (Streamable HTTP, 2025-03-26 to 2026-07-28): what each message stands for. What has
/// no rule is denied, and so are several messages at once (batches, which only 2025-03-26 had).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mcp {
    /// What is asked of every client of the server: for `initialize`, `server/discover`, `ping`, lists, the notifications of
    /// a session, and for GET and DELETE. Lists show only what has a rule, and what is permitted as far as that is known, but
    /// templates of resources are shown whole. Scopes hide nothing: whoever lacks one hears at the call which one it is.
    pub(super) server: Option<Located<Call>>,
    /// `tools/call`, by the name of the tool; `"*"` is for all others, but for those that differ from one that is written by
    /// case or white space alone. Variables: `name`, `arguments.NAME`, and those of every
    /// route but `body.NAME`.
    #[serde(default)]
    pub(super) tools: BTreeMap<String, Located<Call>>,
    /// `prompts/get`, in the same way.
    #[serde(default)]
    pub(super) prompts: BTreeMap<String, Located<Call>>,
    /// `resources/read` and subscriptions to one, by URI, such as `file:///reports/{report}`, where `{uri.report}` is the
    /// variable: letters, digits and `-._~`. All that match must be permitted.
    #[serde(default)]
    pub(super) resources: BTreeMap<String, Located<Call>>,
    /// Other methods, such as `completion/complete` or `tasks/get`. Variables: `params.NAME`. Of the arguments of a prompt hears
    /// only whoever sees the prompt, and resources are listened to (`subscriptions/listen`) by their own rules.
    #[serde(default)]
    pub(super) methods: BTreeMap<String, Located<Call>>,
    /// What a client answers when its server asks it for something: sampling, elicitation, roots.
    pub(super) responses: Option<Located<Call>>,
    /// The scopes that the credential must have for everything here, all of them.
    #[serde(default)]
    pub(super) scopes: Vec<Located<String>>,
    /// Whether everything here must be within a task.
    #[serde(default)]
    pub(super) require_task: bool,
}

/// What a call stands for: one access (`action` and `resource`), or several that must all be permitted (`accesses`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    /// The relation that must hold.
    pub(super) action: Option<Located<String>>,
    /// The object it must hold on: `pull:{arguments.repository}/{arguments.number}`.
    pub(super) resource: Option<Located<String>>,
    /// Several accesses.
    pub(super) accesses: Option<Vec<Access>>,
    /// The scopes that the credential must have beside those of all calls.
    #[serde(default)]
    pub(super) scopes: Vec<Located<String>>,
    /// Whether the call must be within a task.
    #[serde(default)]
    pub(super) require_task: bool,
    /// Of tools and prompts: what must be permitted for it to be in a list. By default what the call asks for, and if that
    /// depends on its arguments, nothing.
    pub(super) list: Option<Access>,
}

/// A service that speaks GraphQL: what each field at the top of an operation stands for. What has no rule is denied; what lies
/// deeper is decided with the field that it lies in. One operation for each request, by POST.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GraphQl {
    /// The fields of queries, `__schema` and `__typename` among them; `"*"` is for all others, but for those that differ from
    /// one that is written by case alone. Variables: `name`, `arguments.NAME`, and those of every route but `body.NAME`.
    #[serde(default)]
    pub(super) query: BTreeMap<String, Located<Call>>,
    /// The fields of mutations.
    #[serde(default)]
    pub(super) mutation: BTreeMap<String, Located<Call>>,
    /// The fields of subscriptions, whose events come as the answer to the POST.
    #[serde(default)]
    pub(super) subscription: BTreeMap<String, Located<Call>>,
    /// How deep fields may lie in each other. By default 15.
    pub(super) depth: Option<Located<u32>>,
    /// How many fields may be given another name. By default 30.
    pub(super) aliases: Option<Located<u32>>,
    /// How many fields a request may have, those of fragments as often as they are used. By default 1000.
    pub(super) fields: Option<Located<u32>>,
    /// The scopes that the credential must have for everything here, all of them.
    #[serde(default)]
    pub(super) scopes: Vec<Located<String>>,
    /// Whether everything here must be within a task.
    #[serde(default)]
    pub(super) require_task: bool,
}
