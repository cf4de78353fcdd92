//! The commands `check`, `explain` and `list`.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::SystemTime,
};

use serde_json::{Map, Value};

use crate::{
    access::{Access, Timestamp},
    admin::{ByRevision, OperatorQuestion, ask_running},
    analyze::{Answered, Inquiry, Limit},
    policy::{RequestContext, UserFilter},
};

use super::{
    arguments::{Ask, GivenOptions, List, ListObjects, ListUsers, PolicyOptions},
    print::{print_problems, problems_as_json},
    source::{policy, principal},
};

/// Prints whether the principal is permitted.
pub(super) fn check(question: &Ask) -> anyhow::Result<ExitCode> {
    answer(&question.source, &question.given, Inquiry::Check(principal(&question.chain), access(question)))
}

/// Prints whether the principal is permitted, and why or why not.
pub(super) fn explain(question: &Ask) -> anyhow::Result<ExitCode> {
    answer(&question.source, &question.given, Inquiry::Explain(principal(&question.chain), access(question)))
}

/// Lists objects or users.
pub(super) fn list(command: &List) -> anyhow::Result<ExitCode> {
    match command {
        List::Objects(question) => objects(question),
        List::Users(question) => users(question),
    }
}

fn access(question: &Ask) -> Access {
    Access { action: question.action.clone(), resource: question.resource.clone() }
}

fn objects(question: &ListObjects) -> anyhow::Result<ExitCode> {
    let (action, object_type) = (question.action.clone(), question.object_type.clone());
    let inquiry = Inquiry::Objects(principal(&question.chain), action, object_type, Limit(question.limit));
    answer(&question.source, &question.given, inquiry)
}

fn users(question: &ListUsers) -> anyhow::Result<ExitCode> {
    let filter = UserFilter { user_type: question.user_type.clone(), relation: question.relation.clone() };
    let access = Access { action: question.action.clone(), resource: question.object.clone() };
    answer(&question.source, &question.given, Inquiry::Users(access, filter, Limit(question.limit)))
}

/// Asks the files, or the proxy that runs.
fn answer(source: &PolicyOptions, given: &GivenOptions, inquiry: Inquiry) -> anyhow::Result<ExitCode> {
    if let Some(socket) = &source.admin {
        let question = OperatorQuestion { inquiry, context: given.context.clone(), told: given.told.clone() };
        // Lists tell what the policy says. Whether somebody may do something is decided by a snapshot that is not stale.
        let is_decision = matches!(question.inquiry, Inquiry::Check(..) | Inquiry::Explain(..));
        let ByRevision { mut answered, revision, age, stale } = ask_running(socket, &question)?;
        answered.holds &= !(stale && is_decision);
        print(answered, given, |document| {
            document.insert("revision".to_owned(), revision.into());
            document.insert("age_seconds".to_owned(), age.as_secs_f64().into());
            document.insert("stale".to_owned(), stale.into());
        })
        .inspect(|_| {
            let age = humantime::format_duration(std::time::Duration::from_secs(age.as_secs()));
            eprintln!("by revision {revision} of the running proxy, confirmed {age} ago");
            if stale {
                eprintln!("this revision is older than `policy.max_staleness`: the proxy denies every request");
            }
        })
    } else {
        let policy = match policy(source) {
            Ok(policy) => policy,
            Err(problems) if given.json => {
                writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&problems_as_json(&problems))?)?;
                return Ok(ExitCode::FAILURE);
            }
            Err(problems) => {
                print_problems(&problems);
                return Ok(ExitCode::FAILURE);
            }
        };
        let policy = policy.with_told(&given.told)?;
        let context = RequestContext::new(&given.context).at(Timestamp::from(SystemTime::now()));
        let answered = inquiry.answer_told(&policy, &given.told, &context).map_err(anyhow::Error::msg)?;
        print(answered, given, |_| {})
    }
}

fn print(
    answered: Answered,
    given: &GivenOptions,
    add: impl FnOnce(&mut Map<String, Value>),
) -> anyhow::Result<ExitCode> {
    let Answered { holds, mut document, text, note } = answered;
    if given.json {
        if let Some(members) = document.as_object_mut() {
            add(members);
        }
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&document)?)?;
    } else {
        write!(io::stdout(), "{text}")?;
        note.iter().for_each(|note| eprintln!("{note}"));
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
