//! The command `list`.

use std::{collections::BTreeSet, process::ExitCode, time::SystemTime};

use serde_json::json;

use crate::{
    access::{Access, Reason, Timestamp},
    policy::{Policy, RequestContext, TaskRule, User, UserFilter},
};

use super::{
    arguments::{GivenOptions, List, ListObjects, ListUsers, PolicyOptions},
    print::print_problems,
    source::{policy, principal},
};

/// Lists objects or users.
pub(super) fn list(command: &List) -> anyhow::Result<ExitCode> {
    match command {
        List::Objects(question) => objects(question),
        List::Users(question) => users(question),
    }
}

fn objects(question: &ListObjects) -> anyhow::Result<ExitCode> {
    answer(("objects", question.limit), &question.source, &question.given, |policy, context| {
        permitted_objects(policy, question, context)
    })
}

fn users(question: &ListUsers) -> anyhow::Result<ExitCode> {
    let filter = UserFilter { user_type: question.user_type.clone(), relation: question.relation.clone() };
    answer(("users", question.limit), &question.source, &question.given, |policy, context| {
        let users = policy.list_users(&question.object, &question.action, &filter, context, usize::MAX);
        users.map(|users| users.iter().map(ToString::to_string).collect()).map_err(|error| error.to_string())
    })
}

/// The objects that the proxy would permit the whole chain. What cannot be decided fails the list.
fn permitted_objects<'p>(policy: &'p Policy, question: &ListObjects, context: &RequestContext<'p>) -> Listed {
    let principal = principal(&question.chain);
    let subject = User::Object(principal.subject().clone());
    let candidates = policy.list_objects(&subject, &question.action, &question.object_type, context, usize::MAX);
    let mut permitted = BTreeSet::new();
    for resource in candidates.map_err(|error| error.to_string())? {
        let name = resource.to_string();
        let accesses = vec![Access { action: question.action.clone(), resource }];
        match policy.authorize(&principal, accesses, TaskRule::Optional, context) {
            Ok(_) => {
                permitted.insert(name);
            }
            Err(denial) if denial.reason == Reason::NotPermitted => {}
            Err(denial) => return Err(denial.detail),
        }
    }
    Ok(permitted)
}

type Listed = Result<BTreeSet<String>, String>;

fn answer(
    (what, limit): (&str, usize),
    source: &PolicyOptions,
    given: &GivenOptions,
    ask: impl for<'p> FnOnce(&'p Policy, &RequestContext<'p>) -> Listed,
) -> anyhow::Result<ExitCode> {
    let policy = match policy(source) {
        Ok(policy) => policy,
        Err(problems) => {
            print_problems(&problems);
            return Ok(ExitCode::FAILURE);
        }
    };
    let context = RequestContext::new(&given.context).at(Timestamp::from(SystemTime::now()));
    let found = ask(&policy, &context).map_err(anyhow::Error::msg)?;
    let shown: Vec<&String> = found.iter().take(limit).collect();
    let is_whole = shown.len() == found.len();
    if given.json {
        println!("{}", serde_json::to_string_pretty(&json!({ what: shown, "complete": is_whole }))?);
        return Ok(ExitCode::SUCCESS);
    }
    shown.iter().for_each(|name| println!("{name}"));
    if !is_whole {
        eprintln!("{} of {} {what} are listed, `--limit` shows more", shown.len(), found.len());
    }
    Ok(ExitCode::SUCCESS)
}
