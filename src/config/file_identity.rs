//! The `identity` section of the configuration file, key by key, as people write it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::located::{Located, OneOrMany};

/// Whose credentials are accepted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Identity {
    /// Issuers of JSON Web Tokens.
    pub(super) jwt: Vec<Located<Issuer>>,
    /// API keys, stored as hashes.
    pub(super) api_keys: Option<ApiKeys>,
    /// Trust domains whose workloads are known by the certificates of their connections (SPIFFE X.509-SVID), which
    /// listeners ask for with `tls.client`.
    pub(super) spiffe: Vec<Spiffe>,
    /// Agents without tokens that sign each of their requests (HTTP message signatures, RFC 9421; Web Bot Auth).
    pub(super) signatures: Option<Signatures>,
    /// Which kinds of credentials a request must bring, where its route does not say it. By default any one.
    pub(super) authentication: Option<Located<Authentication>>,
    /// Which actors of a chain must be permitted: `all` (the default) or only the `current` one.
    pub(super) actors: Actors,
    /// Tokens that are bound to a key by `cnf.jkt` (DPoP, RFC 9449). Without it they are refused.
    pub(super) dpop: Option<Dpop>,
    /// The field in which requests name their task by its id, such as `x-task-id`. The credential must be bound to that
    /// task: by the claim of `task`, which then may be a list, or by the entry of the API key.
    pub(super) task_header: Option<Located<String>>,
    /// The field in which transaction tokens come, such as `txn-token`; issuers accept them by `txntoken+jwt` in `types`.
    /// By default they are not accepted.
    pub(super) transaction_header: Option<Located<String>>,
    /// What clients are told of this API (RFC 9728). Without it they are told nothing but that a token is needed.
    pub(super) protected_resource: Option<ProtectedResource>,
}

/// Tokens that are bound to a key: each request with one brings a proof of its possession in the field `DPoP`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dpop {
    /// How far the time of a proof may be from this machine's. By default 60s, at most 300s.
    pub(super) window: Option<Located<String>>,
    /// The scheme and host that clients see, if something before this proxy changes them: `https://api.acme.example`.
    pub(super) origin: Option<Located<String>>,
    /// Whether tokens that are bound to no key are refused. By default they are not.
    #[serde(default)]
    pub(super) required: bool,
}

/// Signatures of requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Signatures {
    /// Who signs. A signature names its key by the thumbprint (RFC 7638), and the key says which agent it is.
    pub(super) agents: Located<Vec<Located<SigningAgent>>>,
    /// The `tag` of the one signature that counts. By default `web-bot-auth`.
    pub(super) tag: Option<Located<String>>,
    /// What it covers at least. By default `@method`, `@authority`, `@path` and `@query`, which `@target-uri` may stand
    /// for in part. With fewer it is good for other requests too.
    pub(super) components: Option<Located<Vec<Located<String>>>>,
    /// How long after `created` it may expire. By default 5m, at most 24h.
    pub(super) max_lifetime: Option<Located<String>>,
    /// How far clocks may differ. By default 30s, at most 120s.
    pub(super) leeway: Option<Located<String>>,
    /// Whether each needs a `nonce`, which is good once. By default not: then it is good for its request as often as it
    /// comes while it lasts.
    #[serde(default)]
    pub(super) require_nonce: bool,
    /// Whether the signature of a request with a body must cover `content-digest` (RFC 9530). By default it must. One that is
    /// covered is checked in any case, before anything is forwarded.
    #[serde(default = "yes")]
    pub(super) require_content_digest: bool,
    /// The scheme that clients see, if something before this proxy ends their TLS.
    pub(super) scheme: Option<Scheme>,
}

/// One agent that signs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SigningAgent {
    /// The subject that its keys stand for: `agent:reader`.
    pub(super) subject: Located<String>,
    /// Where its public keys are.
    pub(super) directory: Located<Directory>,
}

/// A directory of keys that sign: a JWK Set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Directory {
    /// A file; read again when it changes. Its keys are this agent's, whatever directories publish too.
    pub(super) file: Option<Located<String>>,
    /// An `https` URL (or `http`, to loopback) with the path `/.well-known/http-message-signatures-directory`, which serves
    /// it as `application/http-message-signatures-directory+json`. What requests say in `Signature-Agent` must be its origin,
    /// and of several directories with one key a covered `Signature-Agent` says whose it is.
    pub(super) url: Option<Located<String>>,
    /// For `url`: how often it is fetched. By default 5m.
    pub(super) refresh: Option<Located<String>>,
    /// For `url`: how long the last good keys are used while they cannot be fetched; then the agent is refused. By default
    /// 1h.
    pub(super) max_staleness: Option<Located<String>>,
    /// For `url`: a PEM file with the only authorities to trust. By default the machine's.
    pub(super) ca_file: Option<Located<String>>,
}

/// The scheme of a URL.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

const fn yes() -> bool {
    true
}

/// What clients are told of this API (RFC 9728): served at `/.well-known/oauth-protected-resource`, there too with the
/// path of `resource` after it, and named by every challenge.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProtectedResource {
    /// Its `https` URL as clients know it, without a query.
    pub(super) resource: Located<String>,
    /// Where clients get tokens. By default the issuers.
    pub(super) authorization_servers: Option<Vec<Located<String>>>,
    /// The scopes that clients are told of. By default those that routes ask for.
    pub(super) scopes: Option<Vec<Located<String>>>,
    /// Its name, for people.
    pub(super) name: Option<String>,
    /// The URL of a page that says how it is used.
    pub(super) documentation: Option<Located<String>>,
}

/// Which kinds of credentials a request must bring: one of several, or all of them. Whatever it brings must be good.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Authentication {
    /// One of these kinds says who asks. A certificate may stand beside a token, a key or a signature.
    pub(super) one_of: Option<Vec<Located<CredentialKind>>>,
    /// All of these kinds, of one sender: `[jwt, spiffe]`, `[api_key, spiffe]`, or one of them and `signature`.
    pub(super) all_of: Option<Vec<Located<CredentialKind>>>,
}

/// A kind of credential.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CredentialKind {
    /// A token.
    Jwt,
    /// An API key.
    ApiKey,
    /// The certificate of the connection.
    Spiffe,
    /// A signature of the request.
    Signature,
}

/// Which actors of a chain must be permitted.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Actors {
    /// The current actor and all prior ones.
    #[default]
    All,
    /// The current actor only (RFC 8693, section 4.1).
    Current,
}

/// One issuer of tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    /// The exact value of `iss`.
    pub(super) issuer: Located<String>,
    /// The values of `aud` that are meant for this proxy; a token must have one of them.
    pub(super) audiences: Located<Vec<String>>,
    /// Where its keys are.
    pub(super) jwks: Keys,
    /// The subject, from claims: `user:{sub}`. Either this or `spiffe`.
    pub(super) subject: Option<Located<String>>,
    /// The tokens are JWT-SVIDs: their `sub` is a SPIFFE ID, which the subject is made of.
    pub(super) spiffe: Option<Located<SpiffeTokens>>,
    /// The subject of a token that an agent got for itself, from claims: `agent:{sub}`. Such a token's `sub` is its client's
    /// id, or its `sub_entity_type` is `agent` or `app`.
    pub(super) client_subject: Option<Located<String>>,
    /// An actor, from the members of an `act` claim: `agent:{sub}`. Without it a token with `act` is refused.
    pub(super) actor: Option<Located<String>>,
    /// The task, from claims: `task:{task}`. Used if the claim is there.
    pub(super) task: Option<Located<String>>,
    /// The actor of a token without `act`, from claims: `agent:{client_id}`. If there is an `act`, its current actor must be
    /// this one.
    pub(super) client: Option<Located<String>>,
    /// Ids of programs through which people act themselves, so that `client` makes no actor of them.
    #[serde(default)]
    pub(super) human_clients: Vec<String>,
    /// Signature algorithms. By default ES256, EdDSA, RS256 and PS256.
    pub(super) algorithms: Option<Vec<Located<String>>>,
    /// Values of `typ`. By default `at+jwt`, `application/at+jwt` and `JWT`.
    pub(super) types: Option<Vec<String>>,
    /// How far clocks may differ. By default 30s, at most 120s.
    pub(super) leeway: Option<Located<String>>,
    /// The greatest age of a token, by its `iat`. By default none.
    pub(super) max_age: Option<Located<String>>,
    /// The most actors in one chain. By default 3.
    pub(super) max_actors: Option<usize>,
    /// The claim of the scopes: a text of words, or an array of words. By default `scope`.
    pub(super) scope_claim: Option<Located<String>>,
    /// Whether the token's `authorization_details` restrict it: `enforce` (the default), or `ignore` if they are for
    /// somebody else.
    #[serde(default)]
    pub(super) authorization_details: AuthorizationDetails,
    /// Groups and roles of the token as contextual tuples of its subject, for the decisions of its own requests.
    #[serde(default)]
    pub(super) contextual_tuples: Vec<Located<ClaimTuples>>,
}

/// For each text of a claim, called `it`, a contextual tuple: the token's subject has `relation` on `object`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimTuples {
    /// The claim, a text or an array of texts: its name, or the names that lead to it, such as `[realm_access, roles]`.
    pub(super) claim: OneOrMany,
    /// The relation, which must let in subjects without a condition: `member`.
    pub(super) relation: Located<String>,
    /// The object: `group:{it}`. Other variables are claims.
    pub(super) object: Located<String>,
    /// The only values that count, each with what `it` is for it. By default all count, as they are.
    pub(super) values: Option<BTreeMap<String, Located<String>>>,
    /// Whether a token without the claim is refused. By default it is not, and has none of the relations.
    #[serde(default)]
    pub(super) required: bool,
}

/// How the authorization details of tokens are read.
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuthorizationDetails {
    /// A request must be covered by one of them, as its route says.
    #[default]
    Enforce,
    /// They are for somebody else.
    Ignore,
}

/// Where a key set (JWKS) is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    /// A file; read again when it changes.
    pub(super) file: Option<Located<String>>,
    /// An `https` URL (or `http`, to loopback); fetched again before it is old and when a token names an unknown key.
    pub(super) url: Option<Located<String>>,
    /// `true`: the issuer says where they are, at `/.well-known/openid-configuration` after its URL or at the place of
    /// RFC 8414. Its document must name the issuer exactly.
    pub(super) discovery: Option<Located<bool>>,
    /// For `discovery`: hosts beside the issuer's own that the keys may be at, with their port if it is not the usual one.
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    /// For `url` and `discovery`: how often it is fetched. By default 5m.
    pub(super) refresh: Option<Located<String>>,
    /// For `url` and `discovery`: how long the last good keys are used while they cannot be fetched; then every token of the issuer is
    /// refused. By default 1h.
    pub(super) max_staleness: Option<Located<String>>,
    /// For `url` and `discovery`: a PEM file with the only authorities to trust. By default the machine's.
    pub(super) ca_file: Option<Located<String>>,
}

/// API keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiKeys {
    /// The header field that carries a key. By default `x-api-key`.
    pub(super) header: Option<Located<String>>,
    /// The keys.
    pub(super) keys: Vec<Located<ApiKey>>,
}

/// One API key, made by `portcullis key new`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiKey {
    /// Its public part.
    pub(super) id: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub(super) hash: Located<String>,
    /// Whom it stands for: `user:erin` or `agent:nightly-report`.
    pub(super) subject: Located<String>,
    /// Actors that act for the subject, the current one first.
    #[serde(default)]
    pub(super) actors: Vec<Located<String>>,
    /// The task that it is bound to.
    pub(super) task: Option<Located<String>>,
    /// The scopes that it has.
    #[serde(default)]
    pub(super) scopes: Vec<Located<String>>,
    /// Who answers for it: a person or a team. It is in the audit record of each request with the key.
    pub(super) owner: Option<Located<String>>,
    /// When it ends: `2027-01-31T00:00:00Z`.
    pub(super) expires: Option<Located<String>>,
}

/// One trust domain of SPIFFE.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Spiffe {
    /// Its exact name: `acme.example`.
    pub(super) trust_domain: Located<String>,
    /// Its own authorities, the only ones that vouch for its IDs.
    pub(super) bundle: Bundle,
    /// Which IDs stand for which subjects, the first that fits. IDs of other paths are refused.
    pub(super) subjects: Located<Vec<Located<SpiffeSubject>>>,
}

/// JWT-SVIDs of one trust domain.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SpiffeTokens {
    /// Its exact name: `acme.example`.
    pub(super) trust_domain: Located<String>,
    /// Which IDs stand for which subjects, the first that fits. IDs of other paths are refused.
    pub(super) subjects: Located<Vec<Located<SpiffeSubject>>>,
}

/// Where the authorities of a trust domain are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Bundle {
    /// A PEM file; read again when it changes.
    pub(super) file: Located<String>,
}

/// The IDs of one path, and the subjects that they stand for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SpiffeSubject {
    /// `/agents/{name}`; `*` is any segment, `{*rest}` at the end is all that is left.
    pub(super) path: Located<String>,
    /// The subject: `agent:{name}`. Every name of the path must be in it.
    pub(super) subject: Located<String>,
}
