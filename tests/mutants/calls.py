"""Faults in how messages are read and decided, of MCP and of GraphQL: each is an attack that would pass, and a test must see it."""

MCP, GRAPHQL, LIB = ["--test", "it", "mcp"], ["--test", "it", "graphql"], ["--lib", "protocol::"]
RPC, CALL, RULES, FIELDS = "protocol/json_rpc.rs", "route/call.rs", "route/mcp.rs", "route/graphql.rs"
INSPECT, FILTER, LISTING, SESSIONS, UPSTREAM = (f"proxy/{name}.rs" for name in ["inspect", "filter", "listing", "sessions", "upstream"])

MUTANTS = [
    ("messages have any members", RPC, "if members.iter().any(|(name, _)| !MEMBERS.contains(&name.as_str())) {", "if false {", LIB),
    ("ids are anything", RPC, "(text.len() <= LONGEST_ID).then_some(id)", "(text.len() <= usize::MAX).then_some(id)", LIB),
    ("requests hold answers", RPC, "(Some(Json::String(method)), (None, None)) => method", "(Some(Json::String(method)), _) => method", LIB),
    ("the version of head and message may disagree", INSPECT, "told.check_version(document)?;", "", MCP),
    ("head and message may disagree", INSPECT, "    told.check(document)?;\n", "", MCP),
    ("unknown methods are the server's", RULES, ".filter(|_| SERVER_METHODS.contains(&method))", "", MCP),
    ("responses are the server's", RULES, "let rule = self.responses.as_ref().ok_or(", "let rule = self.responses.as_ref().or(self.server.as_ref()).ok_or(", MCP),
    ("one rule of a URI is enough", RULES, "        matching.collect()\n", "        matching.take(1).collect()\n", MCP),
    ("one access of a call is enough", CALL, "for template in &rule.accesses {", "for template in rule.accesses.iter().take(1) {", MCP),
    ("scopes of calls do not count", CALL, "rules.all(|rule| grants.is_some_and(|grants| grants.has(&rule.scopes)))", "rules.all(|rule| grants.is_some_and(|grants| grants.has(&rule.scopes)) || true)", MCP),
    ("lists show what has no rule", LISTING, "Shown::Nobody => return false,", "Shown::Nobody => return true,", MCP),
    ("lists show what is not permitted", LISTING, "!accesses.is_empty() && policy", "!accesses.is_empty() || policy", MCP),
    ("sessions are anybody's", SESSIONS, "hmac::verify(&self.0, &Self::sealed(place, principal, id), &tag).ok()?;", "", MCP),
    ("sessions are of any path", SESSIONS, "        part(place.path.as_bytes());\n", "", ["--lib", "proxy::sessions"]),
    ("what is listened to is anybody's", RULES, '"subscriptions/listen" => found.extend(self.listened(body)?),\n', "", MCP),
    ("arguments of a prompt are completed for anybody", RULES, '"completion/complete" => found.extend(self.completed(body)?),\n', "", MCP),
    ("what looks like a name with a rule has that of all others", CALL, ".filter(|_| !self.folded.contains(&folded(name)))", "", MCP),
    ("lists show what needs a task", RULES, ".filter(|rule| !hides(&rule.call))", "", MCP),
    ("lists of errors pass", FILTER, "!is_error || media_type.map_or(true, |media_type| media_type.is_some_and(is_message))", "{ let _ = media_type.map(|media_type| media_type.map(is_message)); !is_error }", MCP),
    ("clients keep what servers do not speak of", LISTING, "if is_kept || member(", "if member(", MCP),
    ("what somebody else was told is told again", UPSTREAM, "if id.is_none() || *self.request.method() != Method::GET {", "if false {", MCP),
    ("the query of the target holds a request too", FIELDS, "query::check_absent(head.query(), name)", "query::check_absent(None, name)", GRAPHQL),
    ("one field is decided", CALL, "for (rule, called) in &called {", "for (rule, called) in called.iter().take(1) {", GRAPHQL),
]
