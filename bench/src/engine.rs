//! How fast one core decides, and how much a tuple takes.

#![expect(clippy::expect_used, reason = "a measurement may stop where it makes no sense")]

use std::{fmt::Write, hint::black_box, sync::Arc, time::Instant};

use portcullis::{
    access::{Entity, RelationName},
    compile::{self, TupleFormat},
    policy::{GraphBuilder, Policy, PolicySettings, User},
};

const MODEL: &str = "model
  schema 1.1
type user
type group
  relations
    define member: [user, group#member]
type organization
  relations
    define viewer: [user, group#member]
type folder
  relations
    define parent: [organization, folder]
    define viewer: [user, group#member] or viewer from parent
type document
  relations
    define parent: [folder]
    define owner: [user]
    define viewer: [user, group#member] or viewer from parent
    define can_read: viewer or owner
";

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

/// Prints the figures of the policy engine.
pub(crate) fn run() {
    direct();
    hierarchy();
    storage(1_000_000);
    storage(10_000_000);
    files(100_000);
}

fn builder() -> GraphBuilder {
    let model = compile::model(&Arc::from("bench.fga"), MODEL).expect("the model is right");
    GraphBuilder::new(Arc::new(model))
}

fn add(builder: &mut GraphBuilder, user: &str, relation: &str, object: &str) {
    builder.add(user, relation, object).expect("the tuple is well formed");
}

fn direct() {
    let mut graph = builder();
    for n in 0..100_000_u64 {
        add(&mut graph, &format!("user:u{}", mixed(n) % 5_000), "owner", &format!("document:d{}", n % 50_000));
    }
    let policy = Policy::new(graph.finish(), PolicySettings::default());
    let questions: Vec<_> = (0..20_000_u64)
        .map(|n| {
            let user = if n % 2 == 0 { mixed(n) } else { mixed(n + 7) };
            Question::new(&format!("user:u{}", user % 5_000), "owner", &format!("document:d{}", n % 50_000))
        })
        .collect();
    measure("direct grants", &policy, &questions);
}

/// Documents in folders in folders in organizations, which groups of groups of users may view.
fn hierarchy() {
    let mut graph = builder();
    for n in 0..50_000_u64 {
        add(&mut graph, &format!("folder:f{}", n % 5_000), "parent", &format!("document:d{n}"));
    }
    for n in 0..5_000_u64 {
        add(&mut graph, &format!("folder:top{}", n % 500), "parent", &format!("folder:f{n}"));
    }
    for n in 0..500_u64 {
        add(&mut graph, &format!("organization:o{}", n % 50), "parent", &format!("folder:top{n}"));
    }
    for n in 0..50_u64 {
        add(&mut graph, &format!("group:all{n}#member"), "viewer", &format!("organization:o{n}"));
        for part in 0..5 {
            add(&mut graph, &format!("group:part{n}-{part}#member"), "member", &format!("group:all{n}"));
        }
    }
    for n in 0..44_000_u64 {
        add(&mut graph, &format!("user:u{n}"), "member", &format!("group:part{}-{}", n % 50, n / 50 % 5));
    }
    let policy = Policy::new(graph.finish(), PolicySettings::default());
    let questions: Vec<_> = (0..20_000_u64)
        .map(|n| {
            // Half of the users belong to the organization of the document.
            let user = if n % 2 == 0 { n % 50 + 50 * (mixed(n) % 800) } else { mixed(n) % 44_000 };
            Question::new(&format!("user:u{user}"), "can_read", &format!("document:d{n}"))
        })
        .collect();
    measure("four levels and nested groups", &policy, &questions);
}

fn measure(name: &str, policy: &Policy, questions: &[Question]) {
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
    println!(
        "{name}: {:.2} M checks/s, {:.0} % allowed, {} tuples",
        count / best / 1e6,
        f64::from(allowed) / count * 100.0,
        policy.statistics().tuples
    );
}

fn storage(count: u32) {
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
    println!(
        "{} tuples of {} objects: {:.1} bytes a tuple, {:.2} M tuples/s built",
        statistics.tuples,
        statistics.objects,
        per(statistics.bytes),
        f64::from(count) / seconds / 1e6
    );
}

fn files(count: u32) {
    let (mut lines, mut yaml) = (String::new(), String::new());
    for n in 0..count {
        let user = mixed(u64::from(n)) % 5_000;
        let _ = writeln!(lines, r#"{{"user":"user:u{user}","relation":"owner","object":"document:d{n}"}}"#);
        let _ = writeln!(yaml, "- user: user:u{user}\n  relation: owner\n  object: document:d{n}");
    }
    let file = Arc::from("tuples");
    for (name, text, format) in [("JSON lines", &lines, TupleFormat::JsonLines), ("YAML", &yaml, TupleFormat::Yaml)] {
        let started = Instant::now();
        let read = compile::tuples(&file, text, format).map_or(0, |document| document.len());
        println!("{read} tuples read as {name} in {:.3} s", started.elapsed().as_secs_f64());
    }
}

/// A number that looks random (the finish of SplitMix64).
fn mixed(n: u64) -> u64 {
    let mut mixed = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
