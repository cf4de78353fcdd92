//! The configuration file, key by key, as people write it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    file_calls::{GraphQl, Mcp},
    file_identity::{Authentication, Identity},
    file_limits::{Limits, Requests, Timeouts},
    file_places::{Admin, HandOver, Listen, Telemetry, Tls, Upstream},
    file_tokens::{SharedSignals, TransactionTokens},
    located::{Located, OneOrMany},
};

/// The configuration of Portcullis. Paths of files are relative to this file's directory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Portcullis")]
pub(super) struct File {
    /// Where agents connect: at least one address.
    pub(super) listen: Vec<Listen>,
    /// Where metrics, liveness and readiness are served. Without it they are not.
    pub(super) telemetry: Option<Telemetry>,
    /// Where applications ask for decisions. Without it they cannot.
    pub(super) decision: Option<Decision>,
    /// Where the operator asks the running proxy. Without it nobody can.
    pub(super) admin: Option<Admin>,
    /// Where the next process asks this one for its listening sockets. Without it they end with the process.
    pub(super) hand_over: Option<HandOver>,
    /// Threads that serve requests, at most 1024. By default one for each core.
    pub(super) workers: Option<Located<u32>>,
    /// The services behind the proxy, by name.
    #[serde(default)]
    pub(super) upstreams: BTreeMap<String, Located<Upstream>>,
    /// Whose credentials are accepted. Without it every request is denied.
    #[serde(default)]
    pub(super) identity: Identity,
    /// Signed tokens that tell upstreams what was decided. Without it there are none.
    pub(super) transaction_tokens: Option<TransactionTokens>,
    /// Signals of the issuers that sessions ended (Shared Signals). Without it none are heard.
    pub(super) shared_signals: Option<SharedSignals>,
    /// Who may do what.
    pub(super) policy: Policy,
    /// Where decisions are recorded. By default on standard output.
    #[serde(default)]
    pub(super) audit: Audit,
    /// Bounds on what one client, or all clients, may use.
    #[serde(default)]
    pub(super) limits: Limits,
    /// How long things may take.
    #[serde(default)]
    pub(super) timeouts: Timeouts,
    /// Which requests are taken that some servers read in two ways.
    #[serde(default)]
    pub(super) requests: Requests,
    /// Which request stands for which access. What has no route is denied.
    #[serde(default)]
    pub(super) routes: Vec<Located<Route>>,
}

/// The decision listener: OpenFGA's HTTP API and AuthZEN's Authorization API over the policy that decides requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Decision {
    /// `IP:PORT`; port 0 takes any free one.
    pub(super) address: Located<String>,
    /// Serve TLS. Without it the listener speaks in the clear.
    pub(super) tls: Option<Tls>,
    /// Who may ask, and so see the whole policy: `service:crm`, or `service:*` for all of a type. At least one.
    pub(super) callers: Located<Vec<Located<String>>>,
    /// Who of the callers may change a policy in memory, named in the same way. By default nobody.
    pub(super) writers: Option<Located<Vec<Located<String>>>>,
    /// The `https` URL by which callers know it, for AuthZEN's discovery. Without it there is none.
    pub(super) url: Option<Located<String>>,
}

/// Who may do what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    /// Where model and tuples come from.
    pub(super) source: Located<Source>,
    /// How long the source may be out of reach, or refused, before every request is denied. By default for ever.
    pub(super) max_staleness: Option<Located<String>>,
    /// The relation of a task's type that says who works in it. Without it a request with a task is denied.
    pub(super) task_holder: Option<Located<String>>,
    /// A file of what was revoked: tokens, API keys, and whoever may be in a chain. It is watched like the tuples.
    pub(super) denylist: Option<Located<String>>,
    /// Types of resources that need a task wherever a route asks for them, as if `require_task` stood there.
    #[serde(default)]
    pub(super) require_task: Vec<Located<String>>,
    /// The most tuples that one check may look at. By default 1000000.
    pub(super) max_steps: Option<u32>,
}

/// A source of model and tuples: exactly one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    /// Files, watched for changes.
    pub(super) file: Option<FileSource>,
    /// Memory, for development and tests: the decision listener takes writes, and all is lost when the process ends.
    pub(super) memory: Option<MemorySource>,
}

/// Model and tuples in memory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemorySource {
    /// The authorization model to begin with, which routes are checked against. It is read once.
    pub(super) model: Located<String>,
    /// The relationship tuples to begin with: one file or several, read once. By default none.
    pub(super) tuples: Option<Located<OneOrMany>>,
}

/// Model and tuples in files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSource {
    /// The authorization model: a `.fga` file, its JSON form, or an `fga.mod` that lists modules.
    pub(super) model: Located<String>,
    /// The relationship tuples: one file or several, each `.yaml`, `.json` or `.jsonl`.
    pub(super) tuples: Located<OneOrMany>,
}

/// Where decisions are recorded.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audit {
    /// A file that records are appended to. By default they go to standard output.
    pub(super) file: Option<Located<String>>,
    /// What happens to requests while no record can be kept: `deny` them (the default), or serve and `count` them.
    pub(super) on_failure: AuditFailure,
    /// `sent`: records have digests (SHA-256) of the head as it is sent to the upstream, and of a body that was read before.
    /// By default `none`.
    pub(super) digests: AuditDigests,
}

/// What is kept of a request as it is sent.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuditDigests {
    /// Nothing.
    #[default]
    None,
    /// Digests of what was sent.
    Sent,
}

/// What happens to requests while no record can be kept.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuditFailure {
    /// They are denied.
    #[default]
    Deny,
    /// They are served, and the lost records are counted.
    Count,
}

/// A route: which requests, where to, and what they stand for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    /// Its name in records and metrics. By default its host and path.
    pub(super) name: Option<Located<String>>,
    /// `crm.acme.example`, with a port or not, or `*.acme.example`. By default any.
    pub(super) host: Option<Located<String>>,
    /// `/crm/v1/accounts/{account}`; `{*rest}` at the end captures what is left of the path.
    pub(super) path: Located<String>,
    /// Header fields that must have exactly this value.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Located<String>>,
    /// The name of an upstream.
    pub(super) upstream: Located<String>,
    /// Which kinds of credentials a request must bring. By default as `identity.authentication` says.
    pub(super) authentication: Option<Located<Authentication>>,
    /// Whether the upstream gets the credential: `strip` (the default) or `forward`.
    #[serde(default)]
    pub(super) credential: Credential,
    /// Whether clients of explicit proxies reach it too, with credentials of their own for the service: what they send in
    /// `Authorization` and other fields of credentials travels on unread there.
    #[serde(default)]
    pub(super) egress: bool,
    /// Whether what may not be read looks like what does not exist: 404 for 403.
    #[serde(default)]
    pub(super) hide_existence: bool,
    /// Whether what the path's variables take may hold an escaped slash (`%2F`), which then is escaped in the resource's name
    /// too, as all of its segment is: for services that name things so in one segment. By default such paths are refused.
    #[serde(default)]
    pub(super) allow_encoded_slash: bool,
    /// The origins of pages that may ask, such as `https://app.acme.example`: a request with another `Origin` is refused. By
    /// default all may, but for what has fields of MCP, or a body that is read and is a message of JSON-RPC.
    pub(super) origins: Option<Vec<Located<String>>>,
    /// How long the body of a request may pause, where clients stream with pauses. By default `timeouts.body_pause`.
    pub(super) body_pause: Option<Located<String>>,
    /// How long an answer may pause, such as a stream of rare events. By default `timeouts.answer_pause`.
    pub(super) answer_pause: Option<Located<String>>,
    /// What each method stands for. Other methods are denied.
    #[serde(default)]
    pub(super) operations: BTreeMap<String, Located<Operation>>,
    /// In the place of `operations`: what each message of the Model Context Protocol stands for.
    pub(super) mcp: Option<Located<Mcp>>,
    /// In the place of `operations`: what each field at the top of a request of GraphQL stands for.
    pub(super) graphql: Option<Located<GraphQl>>,
}

/// What happens to the credential.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Credential {
    /// It ends here.
    #[default]
    Strip,
    /// The upstream gets it.
    Forward,
}

/// What a method stands for: one access (`action` and `resource`), or several that must all be permitted (`accesses`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Operation {
    /// The relation that must hold.
    pub(super) action: Option<Located<String>>,
    /// The object it must hold on: `account:{path.account}`. Variables: `path.NAME`, `query.NAME`, `header.NAME`,
    /// `body.NAME`, `principal.subject`, `principal.actor`, `principal.task`.
    pub(super) resource: Option<Located<String>>,
    /// Several accesses: `[{ action: can_read, resource: "file:{body.source}" }, …]`.
    pub(super) accesses: Option<Vec<Access>>,
    /// `allow`: a body may come, whatever the method, and no form is looked at. `refuse`: none may. By default one may come
    /// with all methods but GET, HEAD, DELETE and OPTIONS, and fields of a form that would change what was decided, such
    /// as `_method`, are refused.
    pub(super) body: Option<Located<BodyUse>>,
    /// What a GET may switch to on its connection: `websocket` (RFC 6455), over HTTP/1.1 and HTTP/2. By default
    /// nothing.
    pub(super) upgrade: Option<Located<Upgrade>>,
    /// What may be spoken after `upgrade: websocket`, and how long it may be silent.
    pub(super) websocket: Option<Located<WebSocket>>,
    /// Whether the request must be within a task.
    #[serde(default)]
    pub(super) require_task: bool,
    /// The scopes that the credential must have, all of them.
    #[serde(default)]
    pub(super) scopes: Vec<Located<String>>,
    /// The authorization detail (RFC 9396) that must cover the request. A token with `authorization_details` is refused
    /// where there is none.
    pub(super) authorization_details: Option<Located<DetailRule>>,
    /// How often it may be used.
    pub(super) uses: Option<Located<Uses>>,
    /// How many bytes it may move.
    pub(super) bytes: Option<Located<ByteBudget>>,
    /// For lists: what must be permitted for an element to be shown.
    pub(super) filter: Option<Located<Filter>>,
}

/// What a request may switch to.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Upgrade {
    /// WebSocket.
    Websocket,
}

/// A WebSocket connection: `{ subprotocols: [chat.v2], idle: 5m }`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebSocket {
    /// The client must offer one of these, and the upstream choose one: others are not passed on. By default any, or none.
    pub(super) subprotocols: Option<Located<Vec<Located<String>>>>,
    /// How long nothing may pass in either direction before both sides are told to close. By default for ever.
    pub(super) idle: Option<Located<String>>,
}

/// How often an operation may be used: `{ most: 3, within: 1h, per: task }`. Every permitted request counts, in this process.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Uses {
    /// So often.
    pub(super) most: Located<u32>,
    /// Within this time from the first use on.
    pub(super) within: Located<String>,
    /// Whose uses count together: those within one `task` (which is required then), of one `subject`, of one current
    /// `actor` (or of the subject if there is none), or with one `credential` (a token must have a `jti` then).
    pub(super) per: UsesPer,
}

/// How many bytes of bodies an operation may move: `{ most: 10MiB, within: 1h, per: task }`. They are counted while they
/// pass, in this process; a body that would exceed them is broken off.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ByteBudget {
    /// So many: a number and one of `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB` and `GB`.
    pub(super) most: Located<String>,
    /// Within this time from the first request on.
    pub(super) within: Located<String>,
    /// Whose bytes count together, as with `uses`.
    pub(super) per: UsesPer,
    /// Whose bodies are counted: `requests`, `answers`, or `both` (the default).
    #[serde(default)]
    pub(super) of: BudgetOf,
}

/// Whose bodies are counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum BudgetOf {
    /// Those of requests.
    Requests,
    /// Those of answers.
    Answers,
    /// All.
    #[default]
    Both,
}

/// Whose uses count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum UsesPer {
    /// Those within one task.
    Task,
    /// Those on the authority of one subject.
    Subject,
    /// Those of one current actor.
    Actor,
    /// Those with one token or API key.
    Credential,
}

/// What one element of a token's `authorization_details` must hold (RFC 9396, section 2). The element must have each
/// field that is named here with all of its values, and no other field. Values have the variables of `resource`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DetailRule {
    /// Its type.
    pub(super) r#type: Located<String>,
    /// Its `actions`.
    pub(super) actions: Option<Vec<Located<String>>>,
    /// Its `locations`: `["https://crm.acme.example/accounts/{path.account}"]`.
    pub(super) locations: Option<Vec<Located<String>>>,
    /// Its `datatypes`.
    pub(super) datatypes: Option<Vec<Located<String>>>,
    /// Its `identifier`: `"{path.account}"`.
    pub(super) identifier: Option<Located<String>>,
    /// Its `privileges`.
    pub(super) privileges: Option<Vec<Located<String>>>,
    /// Other members that it may have, and that are not looked at.
    #[serde(default)]
    pub(super) ignore: Vec<String>,
    /// Whether a credential without authorization details is refused (the default), or passes.
    pub(super) required: Option<bool>,
}

/// One access.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Access {
    /// The relation that must hold.
    pub(super) action: Located<String>,
    /// The object it must hold on.
    pub(super) resource: Located<String>,
}

/// Whether a body may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum BodyUse {
    /// It is passed on unread.
    Allow,
    /// It is refused.
    Refuse,
}

/// Which elements of a JSON answer are shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// The array: `$.items[*]`.
    pub(super) each: Located<String>,
    /// The relation that must hold.
    pub(super) action: Located<String>,
    /// The object it must hold on: `account:{item.id}`.
    pub(super) resource: Located<String>,
    /// Members that would tell of hidden elements: `[$.total, $.next]`.
    #[serde(default)]
    pub(super) remove: Vec<Located<String>>,
}
