//! The commands `check` and `explain`.

use std::{process::ExitCode, sync::Arc, time::SystemTime};

use serde_json::{Value, json};

use crate::{
    access::{Access, Principal, Timestamp},
    policy::{Denial, Explanation, Policy, RequestContext, TaskRule, User},
};

use super::{
    arguments::Ask,
    print::{explanation_as_json, print_problems},
    source::{policy, principal},
};

/// Prints whether the principal is permitted.
pub(super) fn check(question: &Ask) -> anyhow::Result<ExitCode> {
    answer(question, |_, _, _| Vec::new())
}

/// Prints whether the principal is permitted, and why or why not.
pub(super) fn explain(question: &Ask) -> anyhow::Result<ExitCode> {
    answer(question, explanations)
}

type Explained = Vec<(String, Result<Explanation, String>)>;
type Reasons = for<'p> fn(&'p Policy, &Asked, &RequestContext<'p>) -> Explained;

fn answer(question: &Ask, reasons: Reasons) -> anyhow::Result<ExitCode> {
    let policy = match policy(&question.source) {
        Ok(policy) => policy,
        Err(problems) => {
            print_problems(&problems);
            return Ok(ExitCode::FAILURE);
        }
    };
    let asked = Asked::new(question);
    let context = RequestContext::new(&question.given.context).at(Timestamp::from(SystemTime::now()));
    let accesses = vec![asked.access.clone()];
    let decision = policy.authorize(&asked.principal, accesses, TaskRule::Optional, &context);
    let decision = decision.map(drop);
    let reasons = reasons(&policy, &asked, &context);
    if question.given.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&asked, &decision, &reasons))?);
    } else {
        print(&asked, &decision, &reasons);
    }
    Ok(if decision.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The question with its principal in the order of a credential.
struct Asked {
    principal: Arc<Principal>,
    access: Access,
}

impl Asked {
    fn new(question: &Ask) -> Self {
        let access = Access { action: question.action.clone(), resource: question.resource.clone() };
        Self { principal: principal(&question.chain), access }
    }
}

fn explanations<'p>(policy: &'p Policy, asked: &Asked, context: &RequestContext<'p>) -> Explained {
    let explain = |user: &crate::access::Entity, access: &Access| {
        let explained = policy.explain(&User::Object(user.clone()), &access.action, &access.resource, context);
        (user.to_string(), explained.map_err(|error| error.to_string()))
    };
    let mut explained: Explained = asked.principal.members().map(|member| explain(member, &asked.access)).collect();
    if let (Some(task), Some(holder)) = (asked.principal.task(), policy.task_holder()) {
        let access = Access { action: holder.clone(), resource: task.clone() };
        explained.extend(asked.principal.parties().map(|party| explain(party, &access)));
    }
    explained
}

fn print(asked: &Asked, decision: &Result<(), Denial>, reasons: &Explained) {
    let chain = asked.principal.members().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match decision {
        Ok(()) => println!("allowed: {} for {chain}", asked.access),
        Err(denial) => println!("denied ({}): {}", denial.reason, denial.detail),
    }
    for (member, explained) in reasons {
        println!();
        match explained {
            Ok(explanation) => println!("{explanation}"),
            Err(problem) => println!("{member}: {problem}"),
        }
    }
}

fn as_json(asked: &Asked, decision: &Result<(), Denial>, reasons: &Explained) -> Value {
    let mut object = json!({
        "allowed": decision.is_ok(),
        "reason": decision.as_ref().err().map_or("permitted", |denial| denial.reason.name()),
        "action": asked.access.action.as_str(),
        "resource": asked.access.resource.as_str(),
        "principal": {
            "subject": asked.principal.subject().as_str(),
            "actors": asked.principal.actors().iter().map(|actor| actor.as_str()).collect::<Vec<_>>(),
            "task": asked.principal.task().map(|task| task.as_str()),
        },
    });
    if let (Err(denial), Some(members)) = (decision, object.as_object_mut()) {
        members.insert("detail".to_owned(), denial.detail.clone().into());
        members.insert("denied_member".to_owned(), denial.member.as_ref().map(|member| member.as_str()).into());
    }
    if let (false, Some(members)) = (reasons.is_empty(), object.as_object_mut()) {
        let explained = reasons.iter().map(|(member, explained)| match explained {
            Ok(explanation) => json!({
                "member": member,
                "answer": explanation.answer().name(),
                "because": explanation_as_json(explanation.root()),
            }),
            Err(problem) => json!({ "member": member, "answer": "undecided", "problem": problem }),
        });
        members.insert("members".to_owned(), explained.collect::<Vec<_>>().into());
    }
    object
}
