//! The scenarios: what people worry about, as requests, and what must come of each.

use super::{
    expected::{Scenario, request},
    who::{Credential, Who},
    workplace::Edit,
};

const ERIN: Who = Who::user("erin").via(&["sales-assistant"]);
const FRANK: Who = Who::user("frank").via(&["sales-assistant"]);
const DANA: Who = Who::user("dana").via(&["sales-assistant"]);
const DANA_ALONE: Who = Who::user("dana");
const MIA: Who = Who::user("mia").via(&["code-review"]);
const MIA_ALONE: Who = Who::user("mia");
const OMAR: Who = Who::user("omar").via(&["research"]);
const OMAR_ALONE: Who = Who::user("omar");
const RITA: Who = Who::user("rita").via(&["research"]);
const CFO: Who = Who::user("cfo").via(&["fin-analyst"]);
const CFO_ALONE: Who = Who::user("cfo");
const TESS: Who = Who::user("tess").via(&["helpdesk"]);
const TESS_ALONE: Who = Who::user("tess");
const VP: Who = Who::user("vp").via(&["ops-copilot"]);
const CHAIN: Who = Who::user("erin").via(&["planner", "coder"]);
const DEV: Who = Who::user("dev").via(&["cluster-debug"]);
const SAM: Who = Who::user("sam").via(&["cluster-debug"]);

/// In this order: what one changes, the next one finds.
pub(super) const SCENARIOS: &[&[Scenario]] =
    &[SALES, CODE, MESSAGES, DOCUMENTS, FINANCE, SUPPORT, TASKS, DELEGATION, CLUSTER, CREDENTIALS, SPELLINGS, CHANGES];

/// S1: a sales assistant and every customer's record.
const SALES: &[Scenario] = &[
    request("S1.1", ERIN, "GET", "/crm/v1/accounts/A-100").says(200, "/name", "Nordlicht Logistik"),
    request("S1.2", ERIN, "GET", "/crm/v1/accounts/A-200").lacks("agent:sales-assistant"),
    request("S1.3", FRANK, "GET", "/crm/v1/accounts/A-100").lacks("user:frank"),
    request("S1.4", DANA, "DELETE", "/crm/v1/accounts/A-100").lacks("agent:sales-assistant"),
    request("S1.5", DANA, "POST", "/crm/v1/accounts/export").lacks("agent:sales-assistant"),
    request("S1.L", ERIN, "GET", "/crm/v1/accounts").lists(&["A-100", "A-101"]),
    request("S1.L2", FRANK, "GET", "/crm/v1/accounts").lists(&[]),
    request("S1.L3", DANA_ALONE, "GET", "/crm/v1/accounts").lists(&["A-100", "A-101", "A-200", "A-201"]),
    request("S1.ids", ERIN, "GET", "/crm/v1/accounts?ids=A-100,A-200").lists(&["A-100"]),
    request("S1.search", ERIN, "POST", "/crm/v1/accounts/search").body(r#"{"stage":"customer"}"#).lists(&["A-100"]),
    request("S1.export", DANA_ALONE, "POST", "/crm/v1/accounts/export").answered(200),
    request("S1.update", Who::user("erin"), "PATCH", "/crm/v1/accounts/A-101")
        .body(r#"{"stage":"customer"}"#)
        .says(200, "/stage", "customer"),
    // This account is not needed by what follows.
    request("S1.6", DANA_ALONE, "DELETE", "/crm/v1/accounts/A-201").answered(204),
    request("S1.gone", DANA_ALONE, "GET", "/crm/v1/accounts/A-201").answered(404),
];

/// S2: a code-review agent and production.
const CODE: &[Scenario] = &[
    request("S2.1", MIA, "POST", "/repos/acme/api/pulls/7/comments")
        .body(r#"{"text":"one retry is enough"}"#)
        .answered(201),
    request("S2.2", MIA, "PATCH", "/repos/acme/api/git/refs/heads/main")
        .body(r#"{"sha":"badc0de"}"#)
        .lacks("agent:code-review"),
    request("S2.3", MIA, "PATCH", "/repos/acme/api/git/refs/heads/bot-fix-1")
        .body(r#"{"sha":"c0ffee0"}"#)
        .says(200, "/sha", "c0ffee0"),
    request("S2.4", MIA, "POST", "/repos/acme/api/deployments")
        .body(r#"{"environment":"production"}"#)
        .lacks("agent:code-review"),
    request("S2.5", MIA, "POST", "/repos/acme/api/deployments").body(r#"{"environment":"staging"}"#).answered(201),
    request("S2.6", MIA, "PUT", "/repos/acme/api/pulls/7/merge").lacks("agent:code-review"),
    request("S2.7", MIA_ALONE, "PUT", "/repos/acme/api/pulls/7/merge").body("{}").says(200, "/state", "merged"),
    request("S2.twice", MIA, "POST", "/repos/acme/api/deployments")
        .body(r#"{"environment":"staging","environment":"production"}"#)
        .refused(400, "malformed_body"),
    request("S2.escaped", MIA, "POST", "/repos/acme/api/deployments")
        .body(r#"{"environment":"staging","\u0065nvironment":"production"}"#)
        .refused(400, "malformed_body"),
    request("S2.list", MIA, "POST", "/repos/acme/api/deployments")
        .body(r#"{"environment":["staging","production"]}"#)
        .refused(400, "mapping_failed"),
    request("S2.none", MIA, "POST", "/repos/acme/api/deployments").body("{}").refused(400, "mapping_failed"),
    request("S2.form", MIA, "POST", "/repos/acme/api/deployments")
        .field("content-type", "application/x-www-form-urlencoded")
        .body("environment=staging")
        .refused(415, "unsupported_media_type"),
    // The same by tools and by GraphQL: the same decision, and the same reason.
    request("S2.tools", MIA, "POST", "/mcp")
        .body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)
        .lists(&["comment_pull_request"]),
    request("S2.tools2", MIA_ALONE, "POST", "/mcp")
        .body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)
        .lists(&["comment_pull_request", "merge_pull_request"]),
    request("S2.call", MIA, "POST", "/mcp").body(MERGE_BY_TOOL).errs_for("agent:code-review"),
    request("S2.call2", MIA_ALONE, "POST", "/mcp").body(MERGE_BY_TOOL).says(200, "/result/content/0/text", "merged"),
    request("S2.graphql", MIA, "POST", "/graphql").body(MERGE_BY_GRAPHQL).lacks("agent:code-review"),
    request("S2.graphql2", MIA_ALONE, "POST", "/graphql").body(MERGE_BY_GRAPHQL).says(
        200,
        "/data/mergePullRequest/state",
        "merged",
    ),
    // Another name for a field, and a second field that alone would be permitted.
    request("S2.alias", MIA, "POST", "/graphql")
        .body(
            r#"{"query":"mutation($repository: ID!, $number: Int!) { a: commentPullRequest(repository: $repository, number: $number, text: \"x\") { added } commentPullRequest: mergePullRequest(repository: $repository, number: $number) { state } }","variables":{"repository":"api","number":7}}"#,
        )
        .lacks("agent:code-review"),
];

const MERGE_BY_TOOL: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"merge_pull_request","arguments":{"repository":"api","number":7}}}"#;

const MERGE_BY_GRAPHQL: &str = r#"{"query":"mutation($repository: ID!, $number: Int!) { mergePullRequest(repository: $repository, number: $number) { state } }","variables":{"repository":"api","number":7}}"#;

/// S12: what messages of the Model Context Protocol say, and what is said of them.
const MESSAGES: &[Scenario] = &[
    request("S12.call", MIA, "POST", "/mcp")
        .body(r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"comment_pull_request","arguments":{"repository":"api","number":7,"text":"by a tool"}}}"#)
        .answered(200),
    request("S12.name", MIA, "POST", "/mcp").field("mcp-name", "comment_pull_request").body(MERGE_BY_TOOL).errs(400, "header_mismatch"),
    request("S12.tool", MIA_ALONE, "POST", "/mcp")
        .body(r#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"delete_repository","arguments":{"repository":"api"}}}"#)
        .errs(200, "no_route"),
    request("S12.method", MIA, "POST", "/mcp")
        .body(r#"{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage","params":{}}"#)
        .errs(200, "no_route"),
    request("S12.batch", MIA, "POST", "/mcp")
        .body(r#"[{"jsonrpc":"2.0","id":6,"method":"tools/list"}]"#)
        .refused(400, "malformed_body"),
    request("S12.token", MIA.with(Credential::Missing), "POST", "/mcp").body(MERGE_BY_TOOL).refused(401, "missing_credential"),
    request("S12.page", MIA, "POST", "/mcp")
        .field("origin", "https://evil.example")
        .body(MERGE_BY_TOOL)
        .refused(403, "origin_not_allowed"),
    request("S12.session", MIA, "DELETE", "/mcp").field("mcp-session-id", "somebody-elses").refused(404, "unknown_session"),
    // The company tells nothing of its own accord.
    request("S12.events", MIA, "GET", "/mcp").field("accept", "text/event-stream").answered(405),
];

/// S3: a research agent and the folder of mergers and acquisitions.
const DOCUMENTS: &[Scenario] = &[
    request("S3.1", OMAR, "GET", "/drive/files/F-1").says(200, "/name", "Battery market"),
    request("S3.2", OMAR, "GET", "/drive/files/F-9").lacks("agent:research"),
    request("S3.3", OMAR_ALONE, "GET", "/drive/files/F-9").says(200, "/name", "Whom we buy"),
    request("S3.4", OMAR, "GET", "/drive/folders/project-x/children").lacks("agent:research"),
    request("S3.5", OMAR, "PUT", "/drive/files/F-1").body(r#"{"text":"A market."}"#).lacks("agent:research"),
    request("S3.write", OMAR_ALONE, "PUT", "/drive/files/F-1").body(r#"{"text":"A market of tiny margins."}"#).says(
        200,
        "/text",
        "A market of tiny margins.",
    ),
    request("S3.6", RITA, "GET", "/drive/files/F-2").answered(200),
    request("S3.list", OMAR, "GET", "/drive/folders/research/children").lists(&["F-1", "F-2"]),
    request("S3.L", OMAR, "GET", "/drive/search?q=market").lists(&["F-1", "F-2"]),
    request("S3.L2", RITA, "GET", "/drive/search?q=market").lists(&["F-1", "F-2"]),
    request("S3.L3", OMAR_ALONE, "GET", "/drive/search?q=market").lists(&["F-1", "F-2", "F-9"]),
    // Source and target are two accesses: each of them alone is not enough.
    request("S3.copy", OMAR_ALONE, "POST", "/drive/files/F-1/copy")
        .body(r#"{"folder":"mna"}"#)
        .says(201, "/folder", "mna"),
    request("S3.copy2", OMAR, "POST", "/drive/files/F-1/copy").body(r#"{"folder":"research"}"#).lacks("agent:research"),
    request("S3.copy3", OMAR, "POST", "/drive/files/F-9/copy").body(r#"{"folder":"research"}"#).lacks("agent:research"),
    request("S3.copy4", RITA, "POST", "/drive/files/F-1/copy").body(r#"{"folder":"research"}"#).lacks("user:rita"),
];

/// S4: published and embargoed results.
const FINANCE: &[Scenario] = &[
    request("S4.1", CFO, "GET", "/fin/reports/2026/Q1").says(200, "/id", "2026-Q1"),
    request("S4.1?", CFO, "GET", "/fin/reports?year=2026&quarter=Q1").says(200, "/id", "2026-Q1"),
    // Released in 2098 and in 2021: the demo has the same outcome every day.
    request("S4.2", CFO, "GET", "/fin/reports/2098/Q2").lacks("agent:fin-analyst"),
    request("S4.2?", CFO, "GET", "/fin/reports?year=2098&quarter=Q2").lacks("agent:fin-analyst"),
    request("S4.3", CFO, "GET", "/fin/reports/2020/Q4").says(200, "/id", "2020-Q4"),
    request("S4.3?", CFO, "GET", "/fin/reports?year=2020&quarter=Q4").says(200, "/id", "2020-Q4"),
    request("S4.4", CFO_ALONE, "GET", "/fin/reports/2026/Q2").says(200, "/id", "2026-Q2"),
    request("S4.hint", CFO, "GET", "/fin/reports/2026/Q1").lists(&["2020-Q4"]),
    request("S4.hint2", CFO_ALONE, "GET", "/fin/reports/2026/Q1").lists(&["2020-Q4", "2098-Q2"]),
    request("S4.twice", CFO, "GET", "/fin/reports?year=2026&quarter=Q1&quarter=Q2").refused(400, "mapping_failed"),
    request("S4.array", CFO, "GET", "/fin/reports?year=2026&quarter[]=Q1").refused(400, "mapping_failed"),
    request("S4.other", CFO, "GET", "/fin/reports?year=2026&quarter=Q1&Quarter=Q2").refused(400, "mapping_failed"),
    request("S4.semi", CFO, "GET", "/fin/reports?year=2026&quarter=Q1;quarter=Q2").refused(400, "mapping_failed"),
    request("S4.none", CFO, "GET", "/fin/reports?year=2026").refused(400, "mapping_failed"),
    // No report has this id, and nobody may read what nobody has named.
    request("S4.case", CFO, "GET", "/fin/reports?year=2026&quarter=q2").lacks("user:cfo"),
    request("S4.border", CFO, "GET", "/fin/reports/2026-Q1/x").refused(400, "mapping_failed"),
];

/// S5: tickets and billing.
const SUPPORT: &[Scenario] = &[
    request("S5.read", TESS, "GET", "/support/tickets/T-1").says(200, "/status", "open"),
    request("S5.list", TESS, "GET", "/support/tickets").lists(&["T-1", "T-2"]),
    request("S5.1", TESS, "PATCH", "/support/tickets/T-1")
        .body(r#"{"status":"solved"}"#)
        .says(200, "/status", "solved"),
    request("S5.2", TESS, "GET", "/billing/invoices/I-1").lacks("agent:helpdesk"),
    request("S5.3", TESS, "PATCH", "/billing/invoices/I-1").body(r#"{"amount":0}"#).lacks("agent:helpdesk"),
    request("S5.alone", TESS_ALONE, "GET", "/billing/invoices/I-1").answered(200),
    request("S5.4", TESS_ALONE, "PATCH", "/billing/invoices/I-1").body(r#"{"note":"sent"}"#).says(200, "/note", "sent"),
];

/// S7: one agent, three domains, one task for each.
const TASKS: &[Scenario] = &[
    request("S7.sales", VP.within("t-sales"), "GET", "/crm/v1/accounts/A-100").answered(200),
    request("S7.list", VP.within("t-sales"), "GET", "/crm/v1/accounts").lists(&["A-100", "A-101", "A-200"]),
    request("S7.cross", VP.within("t-sales"), "GET", "/hr/v1/employees/E-1").lacks("task:t-sales"),
    request("S7.hr", VP.within("t-hr"), "GET", "/hr/v1/employees/E-1").says(200, "/name", "Robin Vale"),
    request("S7.metrics", VP.within("t-metrics"), "GET", "/metrics/v1/dashboards/D-1").answered(200),
    request("S7.past", VP.within("t-past"), "GET", "/crm/v1/accounts/A-100").refused(403, "not_task_holder"),
    request("S7.none", VP, "GET", "/hr/v1/employees/E-1").refused(403, "task_required"),
    request("S7.other", Who::user("erin").via(&["ops-copilot"]).within("t-sales"), "GET", "/crm/v1/accounts/A-100")
        .refused(403, "not_task_holder"),
];

/// S8: delegation only narrows.
const DELEGATION: &[Scenario] = &[
    request("S8.1", CHAIN, "GET", "/crm/v1/accounts/A-100").answered(200),
    request("S8.2", CHAIN, "GET", "/crm/v1/accounts/A-200").lacks("agent:coder"),
    request("S8.3", Who::user("frank").via(&["planner", "coder"]), "GET", "/crm/v1/accounts/A-100").lacks("user:frank"),
    request("S8.4", CHAIN, "PATCH", "/crm/v1/accounts/A-100").body(r#"{"stage":"lost"}"#).lacks("agent:coder"),
    // The current actor may, and the prior one may not.
    request("S8.prior", Who::user("erin").via(&["coder", "planner"]), "GET", "/crm/v1/accounts/A-200")
        .lacks("agent:coder")
        .currently_answered(200),
    request("S8.three", Who::user("erin").via(&["planner", "coder", "planner"]), "GET", "/crm/v1/accounts/A-100")
        .answered(200),
    request(
        "S8.four",
        Who::user("erin").via(&["coder", "planner", "coder", "planner"]),
        "GET",
        "/crm/v1/accounts/A-100",
    )
    .refused(401, "invalid_credential"),
    // A token that does not own up to its agent does not become its user's own.
    request("S8.client", DANA_ALONE.through("sales-assistant"), "DELETE", "/crm/v1/accounts/A-100")
        .lacks("agent:sales-assistant"),
    request("S8.L", CHAIN, "GET", "/crm/v1/accounts").lists(&["A-100", "A-101"]),
];

/// S11: a developer asks an agent that can do more than she.
const CLUSTER: &[Scenario] = &[
    request("S11.1", DEV, "GET", "/api/v1/namespaces/prod/secrets/payments").hidden("user:dev"),
    request("S11.2", SAM, "GET", "/api/v1/namespaces/prod/secrets/payments").answered(200),
    request("S11.3", DEV, "GET", "/api/v1/namespaces/prod/configmaps/payments").answered(200),
];

/// Who it is, and who only says so.
const CREDENTIALS: &[Scenario] = &[
    request("auth.none", ERIN.with(Credential::Missing), "GET", "/crm/v1/accounts/A-100")
        .refused(401, "missing_credential"),
    request("auth.audience", ERIN.with(Credential::OtherAudience), "GET", "/crm/v1/accounts/A-100")
        .refused(401, "invalid_credential"),
    request("auth.expired", ERIN.with(Credential::Expired), "GET", "/crm/v1/accounts/A-100")
        .refused(401, "invalid_credential"),
    request("auth.forged", ERIN.with(Credential::Forged), "GET", "/crm/v1/accounts/A-100")
        .refused(401, "invalid_credential"),
    // The upstream must not take her for somebody else: what it saw is compared for each request.
    request("auth.header", ERIN, "GET", "/crm/v1/accounts/A-100")
        .field("portcullis-subject", "user:dana")
        .answered(200),
    request("auth.rewrite", ERIN, "GET", "/crm/v1/accounts/A-100")
        .field("x-original-url", "/crm/v1/accounts/A-200")
        .says(200, "/id", "A-100"),
];

/// What has no route, and what has more than one reading.
const SPELLINGS: &[Scenario] = &[
    request("route.path", DANA_ALONE, "GET", "/crm/v1/contacts/C-1").refused(403, "no_route"),
    request("route.method", DANA_ALONE, "PUT", "/crm/v1/accounts/A-100").body("{}").refused(403, "no_route"),
    request("body.get", ERIN, "GET", "/crm/v1/accounts/A-100").body("{}").refused(400, "unexpected_body"),
    request("path.dots", OMAR, "GET", "/drive/files/%2e%2e/files/F-9").refused(400, "non_canonical_path"),
    request("path.plain", OMAR, "GET", "/drive/files/F-1/../F-9").refused(400, "non_canonical_path"),
    request("path.empty", OMAR, "GET", "/drive//files/F-9").refused(400, "non_canonical_path"),
    request("path.slash", OMAR, "GET", "/drive/files/F-1%2F..%2FF-9").refused(400, "non_canonical_path"),
    request("path.params", OMAR, "GET", "/drive/files/..;x/F-9").refused(400, "non_canonical_path"),
    request("path.nul", OMAR, "GET", "/drive/files/F-1%00F-9").refused(400, "non_canonical_path"),
    // These have one reading, and are decided by it.
    request("path.semi", OMAR, "GET", "/drive/files/F-9;x").lacks("user:omar"),
    request("path.twice", OMAR, "GET", "/drive/files/%2546-9").lacks("user:omar"),
    request("path.letter", OMAR, "GET", "/drive/files/%46-9").lacks("agent:research"),
    request("path.letter2", OMAR, "GET", "/drive/files/%46-1").forwarded("/drive/files/F-1").says(200, "/id", "F-1"),
];

/// The policy changes while agents work. Each edit is in force as soon as a later revision answers.
const CHANGES: &[Scenario] = &[
    request("S3.before", OMAR, "GET", "/drive/files/F-9").lacks("agent:research"),
    request("S3.moved", OMAR, "GET", "/drive/files/F-9").after(MOVE).says(200, "/name", "Whom we buy"),
    request("S4.before", CFO, "GET", "/fin/reports/2098/Q2").lacks("agent:fin-analyst"),
    request("S4.release", CFO, "GET", "/fin/reports/2098/Q2").after(RELEASE).says(200, "/id", "2098-Q2"),
    request("S4.hint3", CFO, "GET", "/fin/reports/2026/Q1").lists(&["2020-Q4", "2098-Q2"]),
    request("S10.before", ERIN, "GET", "/crm/v1/accounts/A-101").says(200, "/stage", "customer"),
    request("S10.revoked", ERIN, "GET", "/crm/v1/accounts/A-101").after(REVOKE).lacks("agent:sales-assistant"),
    request("S10.list", ERIN, "GET", "/crm/v1/accounts").lists(&[]),
    request("S10.granted", ERIN, "GET", "/crm/v1/accounts/A-101").after(GRANT).says(200, "/stage", "customer"),
];

const MOVE: Edit = Edit {
    replace: "- { user: folder:project-x, relation: parent, object: file:F-9 }",
    by: "- { user: folder:research, relation: parent, object: file:F-9 }",
};

const RELEASE: Edit = Edit { replace: "\"2098-08-01T00:00:00Z\"", by: "\"2021-08-01T00:00:00Z\"" };

const REVOKE: Edit =
    Edit { replace: "- { user: agent:sales-assistant, relation: reader, object: territory:emea }\n", by: "" };

const GRANT: Edit = Edit {
    replace: "# ---- Code ----\n",
    by: "- { user: agent:sales-assistant, relation: reader, object: territory:emea }\n\n# ---- Code ----\n",
};
