//! Answers questions by Cedar: `cedar-peer links|attributes FOLDER ROUNDS`.
//!
//! The folder holds `tuples.jsonl` and `questions.jsonl`. Objects become entities: a member's group and an object's
//! parent become its parents, whose closure Cedar computes when it loads them. What a group may view becomes
//!
//! - `links`: one linked policy for each grant, as Cedar writes down roles, or
//! - `attributes`: an attribute of the organization, and of each document the organization that it is in at the end, so
//!   that one policy does: faster, and every move of a folder would have to rewrite all documents in it.
//!
//! Prints how many were allowed, then for each round the seconds; then the 50th and 99th percentile in nanoseconds.

use std::{
    collections::{HashMap, HashSet},
    env, fs,
    hint::black_box,
    path::Path,
    time::Instant,
};

use anyhow::{Context as _, bail, ensure};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicyId, PolicySet, Request, RestrictedExpression,
    SlotId, Template,
};
use serde::Deserialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TEMPLATE: &str =
    r#"permit(principal in ?principal, action == Action::"can_read", resource in ?resource);"#;
const POLICY: &str = r#"permit(principal, action == Action::"can_read", resource)
    when { principal in resource.organization.viewers };"#;

#[derive(Deserialize)]
struct Tuple {
    user: String,
    relation: String,
    object: String,
}

#[derive(Deserialize)]
struct Question {
    user: String,
    relation: String,
    object: String,
    allowed: bool,
}

#[derive(Default)]
struct World {
    parents: HashMap<String, HashSet<String>>,
    /// Who may view what.
    grants: Vec<(String, String)>,
}

impl World {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut world = Self::default();
        for line in fs::read_to_string(path)?.lines() {
            let Tuple { user, relation, object } = serde_json::from_str(line)?;
            let user = user.trim_end_matches("#member").to_owned();
            world.parents.entry(user.clone()).or_default();
            world.parents.entry(object.clone()).or_default();
            match relation.as_str() {
                "member" => world.parents.entry(user).or_default().insert(object),
                "parent" => world.parents.entry(object).or_default().insert(user),
                "viewer" => {
                    world.grants.push((user, object));
                    true
                }
                other => bail!("no entity for `{other}`"),
            };
        }
        Ok(world)
    }

    /// The organization that an object is in.
    fn organization(&self, object: &str) -> Option<&str> {
        let mut at = object;
        loop {
            let parent = self.parents.get(at)?.iter().next()?;
            if parent.starts_with("organization:") {
                return Some(parent);
            }
            at = parent;
        }
    }

    fn entities(&self, with_attributes: bool) -> anyhow::Result<Entities> {
        let viewers: HashMap<&str, &str> =
            self.grants.iter().map(|(group, object)| (object.as_str(), group.as_str())).collect();
        let mut entities = Vec::new();
        for (name, parents) in &self.parents {
            let mut attributes = HashMap::new();
            let mut set = |attribute: &str, value: &str| -> anyhow::Result<()> {
                let value = RestrictedExpression::new_entity_uid(uid(value)?);
                attributes.insert(attribute.to_owned(), value);
                Ok(())
            };
            if let Some(group) = viewers.get(name.as_str()).filter(|_| with_attributes) {
                set("viewers", group)?;
            }
            if name.starts_with("document:") && with_attributes {
                set("organization", self.organization(name).context("a document is in no organization")?)?;
            }
            let parents = parents.iter().map(|parent| uid(parent)).collect::<anyhow::Result<_>>()?;
            entities.push(Entity::new(uid(name)?, attributes, parents)?);
        }
        Ok(Entities::from_entities(entities, None)?)
    }

    fn policies(&self, with_attributes: bool) -> anyhow::Result<PolicySet> {
        if with_attributes {
            return Ok(POLICY.parse()?);
        }
        let mut policies = PolicySet::new();
        policies.add_template(Template::parse(Some(PolicyId::new("view")), TEMPLATE)?)?;
        for (number, (group, object)) in self.grants.iter().enumerate() {
            let slots = HashMap::from([(SlotId::principal(), uid(group)?), (SlotId::resource(), uid(object)?)]);
            policies.link(PolicyId::new("view"), PolicyId::new(format!("grant-{number}")), slots)?;
        }
        Ok(policies)
    }
}

fn uid(object: &str) -> anyhow::Result<EntityUid> {
    let (kind, id) = object.split_once(':').context("not an object")?;
    Ok(EntityUid::from_type_name_and_id(kind.parse()?, cedar_policy::EntityId::new(id)))
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [kind, folder, rounds] = arguments.as_slice() else { bail!("cedar-peer links|attributes FOLDER ROUNDS") };
    let with_attributes = kind == "attributes";
    let folder = Path::new(folder);
    let world = World::read(&folder.join("tuples.jsonl"))?;
    let (policies, entities) = (world.policies(with_attributes)?, world.entities(with_attributes)?);
    let authorizer = Authorizer::new();
    let mut questions = Vec::new();
    for line in fs::read_to_string(folder.join("questions.jsonl"))?.lines() {
        let Question { user, relation, object, allowed } = serde_json::from_str(line)?;
        let action = EntityUid::from_type_name_and_id("Action".parse()?, cedar_policy::EntityId::new(relation));
        questions.push((Request::new(uid(&user)?, action, uid(&object)?, Context::empty(), None)?, allowed));
    }
    let ask = |request| authorizer.is_authorized(request, &policies, &entities).decision() == Decision::Allow;
    for (request, allowed) in &questions {
        ensure!(ask(request) == *allowed, "Cedar answers {request} differently");
    }
    println!("{}", questions.iter().filter(|(_, allowed)| *allowed).count());
    for _ in 0..rounds.parse::<u32>()? {
        let started = Instant::now();
        for (request, _) in &questions {
            black_box(ask(request));
        }
        println!("{}", started.elapsed().as_secs_f64());
    }
    let mut latencies: Vec<u128> = Vec::new();
    for (request, _) in &questions {
        let started = Instant::now();
        black_box(ask(request));
        latencies.push(started.elapsed().as_nanos());
    }
    latencies.sort_unstable();
    let quantile = |thousandths: usize| latencies.get(latencies.len() * thousandths / 1000).copied().unwrap_or(0);
    println!("{} {}", quantile(500), quantile(990));
    Ok(())
}
