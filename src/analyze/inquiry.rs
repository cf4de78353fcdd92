//! Questions of people to a policy, and their answers as a document and as text.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use crate::{
    access::{Access, ContextualTuple, Entity, Principal, Reason, RelationName, TypeName},
    policy::{Denial, Explanation, ExplanationNode, NodeKind, Policy, RequestContext, TaskRule, User, UserFilter},
};

/// What somebody wants to know of a policy.
#[derive(Debug, Clone)]
pub enum Inquiry {
    /// Whether everybody in the chain is permitted the access.
    Check(Arc<Principal>, Access),
    /// The same, and why.
    Explain(Arc<Principal>, Access),
    /// The objects that everybody in the chain is permitted the action on.
    Objects(Arc<Principal>, RelationName, TypeName, Limit),
    /// The users of the filter that are permitted the access.
    Users(Access, UserFilter, Limit),
}

/// How many entries of a list are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub usize);

/// The answer to an inquiry. The same question to the same policy has the same answer, wherever it is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// For a check whether it is permitted; every list that could be made holds.
    pub holds: bool,
    /// For programs: an object.
    pub document: Value,
    /// For people.
    pub text: String,
    /// What else people should know.
    pub note: Option<String>,
}

impl Inquiry {
    /// Answers it. A list of which anything cannot be decided fails, and says why.
    pub fn answer<'p>(&self, policy: &'p Policy, context: &RequestContext<'p>) -> Result<Answered, String> {
        self.answer_told(policy, &[], context)
    }

    /// The same by a policy that these tuples were laid over ([`Policy::with_told`]): reasons say which they are.
    pub fn answer_told<'p>(
        &self,
        policy: &'p Policy,
        told: &[ContextualTuple],
        context: &RequestContext<'p>,
    ) -> Result<Answered, String> {
        match self {
            Self::Check(principal, access) => Ok(decided(policy, principal, access, context, &Vec::new())),
            Self::Explain(principal, access) => {
                let reasons = explanations(policy, principal, access, context);
                let marked = |(member, explained): (String, Result<Explanation, String>)| {
                    (member, explained.map(|explanation| explanation.with_told(told)))
                };
                let reasons = reasons.into_iter().map(marked).collect();
                Ok(decided(policy, principal, access, context, &reasons))
            }
            Self::Objects(principal, action, object_type, limit) => {
                let found = permitted_objects(policy, principal, action, object_type, context)?;
                Ok(listed("objects", &found, *limit))
            }
            Self::Users(access, filter, limit) => {
                let users = policy.list_users(&access.resource, &access.action, filter, context, usize::MAX);
                let users = users.map_err(|error| error.to_string())?;
                Ok(listed("users", &users.iter().map(User::to_string).collect(), *limit))
            }
        }
    }
}

type Explained = Vec<(String, Result<Explanation, String>)>;

fn explanations<'p>(
    policy: &'p Policy,
    principal: &Principal,
    access: &Access,
    context: &RequestContext<'p>,
) -> Explained {
    let explain = |user: &Entity, access: &Access| {
        let explained = policy.explain(&User::Object(user.clone()), &access.action, &access.resource, context);
        (user.to_string(), explained.map_err(|error| error.to_string()))
    };
    let mut explained: Explained = principal.members().map(|member| explain(member, access)).collect();
    if let (Some(task), Some(holder)) = (principal.task(), policy.task_holder()) {
        let access = Access { action: holder.clone(), resource: task.clone() };
        explained.extend(principal.parties().map(|party| explain(party, &access)));
    }
    explained
}

fn decided<'p>(
    policy: &'p Policy,
    principal: &Arc<Principal>,
    access: &Access,
    context: &RequestContext<'p>,
    reasons: &Explained,
) -> Answered {
    let decision = policy.authorize(principal, vec![access.clone()], TaskRule::Optional, context).map(drop);
    Answered {
        holds: decision.is_ok(),
        document: decision_document(principal, access, &decision, reasons),
        text: decision_text(principal, access, &decision, reasons),
        note: None,
    }
}

fn decision_text(principal: &Principal, access: &Access, decision: &Result<(), Denial>, reasons: &Explained) -> String {
    let chain = principal.members().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let first = match decision {
        Ok(()) => format!("allowed: {access} for {chain}\n"),
        Err(denial) => format!("denied ({}): {}\n", denial.reason, denial.detail),
    };
    let why = reasons.iter().map(|(member, explained)| match explained {
        Ok(explanation) => format!("\n{explanation}\n"),
        Err(problem) => format!("\n{member}: {problem}\n"),
    });
    std::iter::once(first).chain(why).collect()
}

fn decision_document(
    principal: &Principal,
    access: &Access,
    decision: &Result<(), Denial>,
    reasons: &Explained,
) -> Value {
    let mut object = json!({
        "allowed": decision.is_ok(),
        "reason": decision.as_ref().err().map_or("permitted", |denial| denial.reason.name()),
        "action": access.action.as_str(),
        "resource": access.resource.as_str(),
        "principal": {
            "subject": principal.subject().as_str(),
            "actors": principal.actors().iter().map(|actor| actor.as_str()).collect::<Vec<_>>(),
            "task": principal.task().map(|task| task.as_str()),
        },
    });
    let Some(members) = object.as_object_mut() else { return object };
    if let Err(denial) = decision {
        members.insert("detail".to_owned(), denial.detail.clone().into());
        members.insert("denied_member".to_owned(), denial.member.as_ref().map(|member| member.as_str()).into());
    }
    if !reasons.is_empty() {
        let explained = reasons.iter().map(|(member, explained)| match explained {
            Ok(explanation) => json!({
                "member": member,
                "answer": explanation.answer().name(),
                "because": explanation_document(explanation),
            }),
            Err(problem) => json!({ "member": member, "answer": "undecided", "problem": problem }),
        });
        members.insert("members".to_owned(), explained.collect::<Vec<_>>().into());
    }
    object
}

/// An explanation for programs.
pub fn explanation_document(explanation: &Explanation) -> Value {
    node_document(explanation.root())
}

fn node_document(of: &ExplanationNode) -> Value {
    let kind = match of.kind() {
        NodeKind::Relation => "relation",
        NodeKind::Union => "union",
        NodeKind::Intersection => "intersection",
        NodeKind::Exclusion => "exclusion",
        NodeKind::Direct => "direct",
        NodeKind::Userset => "userset",
        NodeKind::TupleToUserset => "tuple_to_userset",
    };
    json!({
        "kind": kind,
        "object": of.object(),
        "relation": of.relation(),
        "tuple": of.tuple().map(ToString::to_string),
        "answer": of.answer().name(),
        "note": of.note(),
        "children": of.children().iter().map(node_document).collect::<Vec<_>>(),
    })
}

/// The objects that the proxy would permit the whole chain.
fn permitted_objects<'p>(
    policy: &'p Policy,
    principal: &Arc<Principal>,
    action: &RelationName,
    object_type: &TypeName,
    context: &RequestContext<'p>,
) -> Result<BTreeSet<String>, String> {
    let subject = User::Object(principal.subject().clone());
    let candidates = policy.list_objects(&subject, action, object_type, context, usize::MAX);
    let mut permitted = BTreeSet::new();
    for resource in candidates.map_err(|error| error.to_string())? {
        let name = resource.to_string();
        let accesses = vec![Access { action: action.clone(), resource }];
        match policy.authorize(principal, accesses, TaskRule::Optional, context) {
            Ok(_) => drop(permitted.insert(name)),
            Err(denial) if denial.reason == Reason::NotPermitted => {}
            Err(denial) => return Err(denial.detail),
        }
    }
    Ok(permitted)
}

fn listed(what: &str, found: &BTreeSet<String>, limit: Limit) -> Answered {
    let shown: Vec<&String> = found.iter().take(limit.0).collect();
    let is_whole = shown.len() == found.len();
    let cut = || format!("{} of {} {what} are listed, `--limit` shows more", shown.len(), found.len());
    Answered {
        holds: true,
        text: shown.iter().map(|name| format!("{name}\n")).collect(),
        note: (!is_whole).then(cut),
        document: json!({ what: shown, "complete": is_whole }),
    }
}
