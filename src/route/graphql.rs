//! What the requests of GraphQL stand for: each field at the top by its own rule.

use crate::{
    access::CanonicalRequest,
    protocol::{GraphQlKind, GraphQlLimits, GraphQlRequest},
};

use super::{
    call::{CallRule, Called, Named},
    extract::MappingProblem,
    query,
};

/// The parameters of a query that are a request by GET to many servers (GraphQL over HTTP).
const PARAMETERS: [&str; 4] = ["query", "operationName", "variables", "extensions"];

/// What each field at the top of an operation stands for. What has no rule is denied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GraphQlRules {
    /// The fields of queries.
    pub query: Named<CallRule>,
    /// Those of mutations.
    pub mutation: Named<CallRule>,
    /// Those of subscriptions.
    pub subscription: Named<CallRule>,
    /// How large a request may be.
    pub limits: GraphQlLimits,
}

impl GraphQlRules {
    /// The rule for each field at the top. A request that is in the query of the target too stands for nothing.
    pub(super) fn called<'r, 'm>(
        &'r self,
        request: &'m GraphQlRequest,
        head: &CanonicalRequest,
    ) -> Result<Vec<(&'r CallRule, Called<'m>)>, MappingProblem> {
        for name in PARAMETERS {
            query::check_absent(head.query(), name)
                .map_err(|problem| MappingProblem::Query(name.to_owned(), problem))?;
        }
        let rules = self.of(request.kind);
        let called = request.fields.iter().map(|field| {
            let called = Called { name: &field.name, arguments: Some(&field.arguments), captures: Vec::new() };
            rules.get(&field.name).map(|rule| (rule, called)).ok_or(MappingProblem::NoRule)
        });
        called.collect()
    }

    fn of(&self, kind: GraphQlKind) -> &Named<CallRule> {
        match kind {
            GraphQlKind::Query => &self.query,
            GraphQlKind::Mutation => &self.mutation,
            GraphQlKind::Subscription => &self.subscription,
        }
    }

    pub(super) fn all(&self) -> Vec<(String, &CallRule)> {
        let kinds = [("query", &self.query), ("mutation", &self.mutation), ("subscription", &self.subscription)];
        let each = kinds.into_iter().flat_map(|(kind, named)| {
            let rules = named.rules.iter().map(move |(name, rule)| (format!("{kind} {name}"), rule));
            rules.chain(named.others.iter().map(move |rule| (format!("{kind} *"), rule)))
        });
        each.collect()
    }
}
