//! Companies of any size, and how fast one core decides about them.

#![expect(clippy::expect_used, reason = "a measurement may stop where it makes no sense")]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis::{
    access::{Entity, RelationName},
    compile,
    policy::{GraphBuilder, Policy, PolicySettings, RequestContext, User},
};

use super::{
    graph::{self, mixed},
    latency::Latencies,
    report::median,
};

/// Folders above a document, and groups above a user.
pub(crate) const LEVELS: u64 = 6;
pub(crate) const GROUPS: u64 = 4;
/// How many users an organization has for each document, turned around.
const DOCUMENTS_A_USER: u64 = 6;
/// Questions are made in blocks, so that their own texts are near when they are asked.
const BLOCK: u64 = 2_000;

/// Organizations, each with a tree of folders, documents in it with two owners from anywhere, and two chains of groups
/// that may view the root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Company {
    organizations: u64,
    /// In each organization.
    documents: u64,
}

impl Company {
    /// Of about so many tuples.
    pub(crate) fn of_size(tuples: u64) -> Self {
        let documents = (tuples * 3 / 10).min(6_000);
        Self { organizations: (tuples * 10 / (documents * 33)).max(1), documents }
    }

    fn all_documents(self) -> u64 {
        self.organizations * self.documents
    }

    fn users(self) -> u64 {
        self.all_documents() / DOCUMENTS_A_USER
    }

    fn owner(self, document: u64, which: u64) -> u64 {
        mixed(document * 2 + which) % self.users()
    }

    /// The user's organization, and which of its two chains of groups it is in.
    fn chain(self, user: u64) -> (u64, u64) {
        (user % self.organizations, user / self.organizations % 2)
    }

    /// Gives every tuple as user, relation and object.
    pub(crate) fn tuples(self, mut tuple: impl FnMut(&str, &str, &str)) {
        for organization in 0..self.organizations {
            self.organization(organization, &mut tuple);
        }
        for user in 0..self.users() {
            let (organization, chain) = self.chain(user);
            tuple(&format!("user:u{user}"), "member", &group(organization, chain, GROUPS));
        }
    }

    fn organization(self, organization: u64, tuple: &mut impl FnMut(&str, &str, &str)) {
        for n in 0..self.documents {
            let number = organization * self.documents + n;
            let document = format!("document:d{number}");
            tuple(&folder(organization, 1, n % self.folders(1)), "parent", &document);
            for which in 0..2 {
                tuple(&format!("user:u{}", self.owner(number, which)), "owner", &document);
            }
        }
        for level in 1..LEVELS {
            for n in 0..self.folders(level) {
                let above = folder(organization, level + 1, n % self.folders(level + 1));
                tuple(&above, "parent", &folder(organization, level, n));
            }
        }
        for chain in 0..2 {
            let root = folder(organization, LEVELS, 0);
            tuple(&format!("{}#member", group(organization, chain, 1)), "viewer", &root);
            for depth in 1..GROUPS {
                let inner = format!("{}#member", group(organization, chain, depth + 1));
                tuple(&inner, "member", &group(organization, chain, depth));
            }
        }
    }

    fn folders(self, level: u64) -> u64 {
        if level == LEVELS {
            1
        } else {
            (self.documents / 12 / 5_u64.pow(u32::try_from(level).unwrap_or(0) - 1)).max(1)
        }
    }

    /// Whether the user owns the document; every second question is about an owner.
    fn direct(self, n: u64) -> Question {
        let document = mixed(n) % self.all_documents();
        let user = if n.is_multiple_of(2) { self.owner(document, n / 2 % 2) } else { mixed(n + 1) % self.users() };
        Question::new(&format!("user:u{user}"), "owner", &format!("document:d{document}"))
    }

    /// Whether the user may read the document; every second question is about a member of its organization.
    fn nested(self, n: u64) -> Question {
        let document = mixed(n) % self.all_documents();
        let organization = document / self.documents;
        let user = if n.is_multiple_of(2) {
            let members = (self.users() / self.organizations).max(1);
            mixed(n + 1) % members * self.organizations + organization
        } else {
            mixed(n + 1) % self.users()
        };
        Question::new(&format!("user:u{user}"), "can_read", &format!("document:d{document}"))
    }

    /// The policy of all tuples.
    pub(crate) fn policy(self) -> Policy {
        let mut builder = builder();
        self.tuples(|user, relation, object| {
            builder.add(user, relation, object).expect("the tuple is well formed");
        });
        Policy::new(builder.finish(), PolicySettings::default())
    }
}

fn folder(organization: u64, level: u64, n: u64) -> String {
    format!("folder:f{level}-{organization}-{n}")
}

fn group(organization: u64, chain: u64, depth: u64) -> String {
    format!("group:g{depth}-{organization}-{chain}")
}

/// An empty graph under the model of the companies.
pub(crate) fn builder() -> GraphBuilder {
    let model = compile::model(&Arc::from("bench.fga"), graph::MODEL).expect("the model is right");
    GraphBuilder::new(Arc::new(model))
}

/// A question that can be asked at once.
#[derive(Debug)]
pub(crate) struct Question {
    user: User,
    action: RelationName,
    resource: Entity,
}

impl Question {
    pub(crate) fn new(user: &str, action: &str, resource: &str) -> Self {
        let invalid = "a question is well formed";
        Self {
            user: user.parse().expect(invalid),
            action: action.parse().expect(invalid),
            resource: resource.parse().expect(invalid),
        }
    }

    pub(crate) fn ask(&self, policy: &Policy) -> bool {
        policy
            .check(&self.user, &self.action, black_box(&self.resource), &RequestContext::default())
            .is_ok_and(|allowed| allowed)
    }
}

/// What kind of questions are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Direct,
    Nested,
}

impl Company {
    fn block(self, kind: Kind, block: u64) -> Vec<Question> {
        let questions = (block * BLOCK..(block + 1) * BLOCK).map(|n| match kind {
            Kind::Direct => self.direct(n),
            Kind::Nested => self.nested(n),
        });
        questions.collect()
    }
}

/// How fast questions were answered, each of them new.
#[derive(Debug)]
pub(crate) struct Speed {
    pub(crate) a_second: f64,
    pub(crate) allowed: f64,
    pub(crate) latencies: Latencies,
}

/// Asks `blocks` of new questions, and takes the middle one, because a block is too short to be shared with
/// other processes. Then it asks as many again with the clock read between them.
pub(crate) fn measure(policy: &Policy, company: Company, kind: Kind, blocks: u64) -> Speed {
    let mut allowed = 0_u32;
    let mut spent = Vec::new();
    for block in 0..blocks {
        let questions = company.block(kind, block);
        let started = Instant::now();
        for question in &questions {
            allowed += u32::from(question.ask(policy));
        }
        spent.push(started.elapsed().as_secs_f64());
    }
    let mut latencies = Latencies::new();
    for block in blocks..2 * blocks {
        for question in company.block(kind, block) {
            let started = Instant::now();
            black_box(question.ask(policy));
            latencies.record(started.elapsed());
        }
    }
    let count = f64::from(u32::try_from(blocks * BLOCK).unwrap_or(u32::MAX));
    let block = f64::from(u32::try_from(BLOCK).unwrap_or(u32::MAX));
    Speed { a_second: block / median(spent), allowed: f64::from(allowed) / count, latencies }
}

/// How often the same questions are asked.
pub(crate) const ROUNDS: u32 = 100;

/// Asks the same 20,000 questions again and again, as a proxy sees the same agents; the best of all rounds counts.
pub(crate) fn measure_repeated(policy: &Policy, company: Company, kind: Kind) -> Speed {
    let questions: Vec<Question> = (0..10).flat_map(|block| company.block(kind, block)).collect();
    let mut allowed = 0_u32;
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        allowed = questions.iter().map(|question| u32::from(question.ask(policy))).sum();
        best = best.min(started.elapsed().as_secs_f64());
    }
    let mut latencies = Latencies::new();
    for question in (0..20).flat_map(|_| &questions) {
        let started = Instant::now();
        black_box(question.ask(policy));
        latencies.record(started.elapsed());
    }
    let count = f64::from(u32::try_from(questions.len()).unwrap_or(u32::MAX));
    Speed { a_second: count / best, allowed: f64::from(allowed) / count, latencies }
}

/// What one read takes that no cache holds, when the next one has to wait for it: a walk through 256 MiB at random.
pub(crate) fn memory_latency() -> Duration {
    const LINES: u32 = 1 << 22;
    const STEPS: u32 = 1 << 20;
    // One cycle through all lines (Sattolo), each of which names the next one.
    let mut next: Vec<u32> = (0..LINES).collect();
    for line in (1..LINES).rev() {
        let other = mixed(line.into()) % u64::from(line);
        next.swap(line as usize, usize::try_from(other).unwrap_or_default());
    }
    let lines: Vec<[u32; 16]> = next.into_iter().map(|next| [next; 16]).collect();
    let mut at = 0;
    let started = Instant::now();
    for _ in 0..STEPS {
        at = lines.get(at as usize).map_or(0, |[next, ..]| *next);
    }
    black_box(at);
    started.elapsed() / STEPS
}

/// What reading the clock adds to a latency: the middle of many.
pub(crate) fn clock_cost() -> Duration {
    let mut latencies = Latencies::new();
    for _ in 0..1_000_000 {
        let started = Instant::now();
        latencies.record(started.elapsed());
    }
    latencies.quantile(500)
}

/// The latencies of a question whose user is at the end of a chain of so many groups, among 100,000 tuples.
pub(crate) fn at_depth(depth: u64) -> Latencies {
    let mut builder = builder();
    let mut add = |user: &str, relation: &str, object: &str| {
        builder.add(user, relation, object).expect("the tuple is well formed");
    };
    let chains = 100_000 / (depth + 1);
    for chain in 0..chains {
        add(&format!("{}#member", group(chain, 0, 1)), "viewer", &format!("document:d{chain}"));
        for level in 1..depth {
            add(&format!("{}#member", group(chain, 0, level + 1)), "member", &group(chain, 0, level));
        }
        add(&format!("user:u{chain}"), "member", &group(chain, 0, depth));
    }
    let policy = Policy::new(builder.finish(), PolicySettings::default());
    let mut latencies = Latencies::new();
    for n in 0..100_000 {
        let chain = mixed(n) % chains;
        let question = Question::new(&format!("user:u{chain}"), "can_read", &format!("document:d{chain}"));
        let started = Instant::now();
        let allowed = question.ask(&policy);
        latencies.record(started.elapsed());
        assert!(allowed, "the user is a member");
    }
    latencies
}
