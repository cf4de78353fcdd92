//! How fast one core decides, and how much a tuple takes.

#![expect(clippy::expect_used, reason = "a measurement may stop where it makes no sense")]

use std::{fmt::Write, hint::black_box, sync::Arc, time::Instant};

use portcullis::{
    access::{Entity, RelationName},
    compile::{self, TupleFormat},
    policy::{GraphBuilder, Policy, PolicySettings, User},
};

use super::{
    graph::{self, ORGANIZATIONS, USERS, mixed},
    report::{self, Report},
};

/// Checks a second on one core.
const DIRECT_BAR: f64 = 1e6;
const HIERARCHY_BAR: f64 = 5e5;

struct Question {
    user: User,
    action: RelationName,
    resource: Entity,
}

impl Question {
    fn new(user: &str, action: &str, resource: &str) -> Self {
        let invalid = "a question is well formed";
        Self {
            user: user.parse().expect(invalid),
            action: action.parse().expect(invalid),
            resource: resource.parse().expect(invalid),
        }
    }
}

/// Measures the policy engine, and saves the tables.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut report = Report::new("engine", "The policy engine on one core", "engine");
    report.line("The best of 20 passes over 20,000 questions, half of them or more denied.\n");
    let checks = [direct(), hierarchy()];
    report.table(&["", "tuples", "allowed %", "M checks/s", "bar", ""], &checks);
    let built = [storage(1_000_000), storage(10_000_000)];
    report.table(&["tuples", "objects", "bytes a tuple", "M tuples/s built"], &built);
    report.table(&["format", "tuples", "seconds to read"], &files(100_000));
    report.save()
}

fn builder() -> GraphBuilder {
    let model = compile::model(&Arc::from("bench.fga"), graph::MODEL).expect("the model is right");
    GraphBuilder::new(Arc::new(model))
}

fn add(builder: &mut GraphBuilder, user: &str, relation: &str, object: &str) {
    builder.add(user, relation, object).expect("the tuple is well formed");
}

fn direct() -> Vec<String> {
    let mut graph = builder();
    for n in 0..100_000_u64 {
        // Two owners of each document, never the same.
        let user = (mixed(n % 50_000) + n / 50_000) % 5_000;
        add(&mut graph, &format!("user:u{user}"), "owner", &format!("document:d{}", n % 50_000));
    }
    let policy = Policy::new(graph.finish(), PolicySettings::default());
    let questions: Vec<_> = (0..20_000_u64)
        .map(|n| {
            let user = if n % 2 == 0 { mixed(n) } else { mixed(n + 7) };
            Question::new(&format!("user:u{}", user % 5_000), "owner", &format!("document:d{}", n % 50_000))
        })
        .collect();
    measure("direct grants", &policy, &questions, DIRECT_BAR)
}

fn hierarchy() -> Vec<String> {
    let mut graph = builder();
    graph::hierarchy(|user, relation, object| add(&mut graph, user, relation, object));
    let policy = Policy::new(graph.finish(), PolicySettings::default());
    let questions: Vec<_> = (0..20_000_u64)
        .map(|n| {
            // Half of the users belong to the organization of the document.
            let user = if n % 2 == 0 { n % ORGANIZATIONS + ORGANIZATIONS * (mixed(n) % 800) } else { mixed(n) % USERS };
            Question::new(&format!("user:u{user}"), "can_read", &format!("document:d{n}"))
        })
        .collect();
    measure("four levels and nested groups", &policy, &questions, HIERARCHY_BAR)
}

fn measure(name: &str, policy: &Policy, questions: &[Question], bar: f64) -> Vec<String> {
    let mut best = f64::MAX;
    let mut allowed = 0;
    for _ in 0..20 {
        let started = Instant::now();
        allowed = 0;
        for question in questions {
            let answer = policy.check(&question.user, &question.action, black_box(&question.resource));
            allowed += u32::from(answer.is_ok_and(|allowed| allowed));
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    let count = f64::from(u32::try_from(questions.len()).unwrap_or(u32::MAX));
    let rate = count / best;
    vec![
        name.to_owned(),
        policy.statistics().tuples.to_string(),
        format!("{:.0}", f64::from(allowed) / count * 100.0),
        format!("{:.2}", rate / 1e6),
        format!("{:.1}", bar / 1e6),
        report::bar(rate, bar).to_owned(),
    ]
}

fn storage(count: u32) -> Vec<String> {
    let texts = |n: u32, user: &mut String, object: &mut String| {
        user.clear();
        object.clear();
        let random = mixed(u64::from(n));
        let _ = write!(user, "user:{:08}", random % u64::from(count / 20));
        let _ = write!(object, "document:{:012}", n / 5);
    };
    let (mut user, mut object) = (String::new(), String::new());
    let started = Instant::now();
    for n in 0..count {
        texts(n, &mut user, &mut object);
        black_box((&user, &object));
    }
    let writing = started.elapsed();
    let mut graph = builder();
    let started = Instant::now();
    for n in 0..count {
        texts(n, &mut user, &mut object);
        let relation = if n % 5 == 0 { "owner" } else { "viewer" };
        add(&mut graph, &user, relation, &object);
    }
    let graph = graph.finish();
    let seconds = started.elapsed().saturating_sub(writing).as_secs_f64();
    let statistics = graph.statistics();
    let per = |bytes: usize| f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) * 1024.0 / f64::from(count);
    vec![
        statistics.tuples.to_string(),
        statistics.objects.to_string(),
        format!("{:.1}", per(statistics.bytes)),
        format!("{:.2}", f64::from(count) / seconds / 1e6),
    ]
}

fn files(count: u32) -> Vec<Vec<String>> {
    let (mut lines, mut yaml) = (String::new(), String::new());
    for n in 0..count {
        let user = mixed(u64::from(n)) % 5_000;
        let _ = writeln!(lines, r#"{{"user":"user:u{user}","relation":"owner","object":"document:d{n}"}}"#);
        let _ = writeln!(yaml, "- user: user:u{user}\n  relation: owner\n  object: document:d{n}");
    }
    let file = Arc::from("tuples");
    let formats = [("JSON lines", &lines, TupleFormat::JsonLines), ("YAML", &yaml, TupleFormat::Yaml)];
    let rows = formats.map(|(name, text, format)| {
        let started = Instant::now();
        let read = compile::tuples(&file, text, format).map_or(0, |document| document.len());
        vec![name.to_owned(), read.to_string(), format!("{:.3}", started.elapsed().as_secs_f64())]
    });
    rows.to_vec()
}
