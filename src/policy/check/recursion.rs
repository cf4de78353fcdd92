//! Which relations can come back to themselves, and through which operators.

use crate::{
    access::RelationName,
    policy::model::{Model, Relation, RelationId, Rewrite, Shape},
};

/// How a relation can come back to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recursion {
    /// It cannot.
    None,
    /// Through unions only, so that an object once seen need not be seen again. Relations of one number lead to one
    /// another.
    Unions(u32),
    /// Through intersections or the base of an exclusion too, but never through what is subtracted.
    Monotone,
    /// Through what an exclusion subtracts. Values depend on the path then, and are not remembered.
    Negated,
}

/// Where a way to another relation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Under {
    Unions,
    Others,
    Subtract,
}

struct Way {
    to: usize,
    under: Under,
}

/// The recursion of each relation, in the order of their numbers.
pub(super) fn recursions(model: &Model) -> Vec<Recursion> {
    let ways: Vec<Vec<Way>> = model
        .all_relations()
        .map(|(_, relation)| {
            let mut found = Vec::new();
            collect(model, relation, relation.rewrite(), Under::Unions, &mut found);
            found
        })
        .collect();
    let components = components(&ways);
    let mut worst: Vec<Option<Under>> = vec![None; ways.len()];
    for (from, found) in ways.iter().enumerate() {
        let component = components.get(from).copied();
        for way in found.iter().filter(|way| components.get(way.to).copied() == component) {
            if let Some(worst) = component.and_then(|component| worst.get_mut(component)) {
                *worst = (*worst).max(Some(way.under));
            }
        }
    }
    let recursion = |component: &usize| match worst.get(*component).copied().flatten() {
        None => Recursion::None,
        Some(Under::Unions) => Recursion::Unions(u32::try_from(*component).unwrap_or(u32::MAX)),
        Some(Under::Others) => Recursion::Monotone,
        Some(Under::Subtract) => Recursion::Negated,
    };
    components.iter().map(recursion).collect()
}

fn collect(model: &Model, relation: &Relation, rewrite: &Rewrite<RelationName>, under: Under, found: &mut Vec<Way>) {
    let mut add = |target: Option<RelationId>| found.extend(target.map(|target| Way { to: target.index(), under }));
    let sibling = |name: &RelationName| model.relation_id(relation.object_type(), name.as_str());
    match rewrite {
        Rewrite::Direct => relation.restrictions().iter().for_each(|restriction| match restriction.shape {
            Shape::Plain | Shape::Wildcard => {}
            Shape::Userset(target) => add(Some(target)),
        }),
        Rewrite::Computed(name) => add(sibling(name)),
        Rewrite::TupleToUserset { computed, tupleset } => {
            let tupleset = sibling(tupleset).and_then(|id| model.relation(id));
            for restriction in tupleset.into_iter().flat_map(Relation::restrictions) {
                add(model.relation_id(restriction.user_type, computed.as_str()));
            }
        }
        Rewrite::Union(operands) => operands.iter().for_each(|each| collect(model, relation, each, under, found)),
        Rewrite::Intersection(operands) => {
            let under = under.max(Under::Others);
            operands.iter().for_each(|each| collect(model, relation, each, under, found));
        }
        Rewrite::Exclusion { base, subtract } => {
            collect(model, relation, base, under.max(Under::Others), found);
            collect(model, relation, subtract, Under::Subtract, found);
        }
    }
}

/// For each node the number of its strongly connected component: Kosaraju's two walks, without recursion.
fn components(ways: &[Vec<Way>]) -> Vec<usize> {
    let forward: Vec<Vec<usize>> = ways.iter().map(|found| found.iter().map(|way| way.to).collect()).collect();
    let mut backward: Vec<Vec<usize>> = vec![Vec::new(); ways.len()];
    for (from, targets) in forward.iter().enumerate() {
        for target in targets {
            if let Some(sources) = backward.get_mut(*target) {
                sources.push(from);
            }
        }
    }
    let mut finished = Vec::with_capacity(ways.len());
    let mut seen = vec![false; ways.len()];
    for root in 0..ways.len() {
        walk(&forward, root, &mut seen, &mut finished);
    }
    let mut component = vec![0; ways.len()];
    let mut seen = vec![false; ways.len()];
    for root in finished.into_iter().rev() {
        let mut members = Vec::new();
        walk(&backward, root, &mut seen, &mut members);
        for member in members {
            if let Some(component) = component.get_mut(member) {
                *component = root;
            }
        }
    }
    component
}

/// Walks depth first from `root` and appends each new node once all it leads to is appended.
fn walk(graph: &[Vec<usize>], root: usize, seen: &mut [bool], finished: &mut Vec<usize>) {
    let mut enter = |node: usize| seen.get_mut(node).is_some_and(|seen| !std::mem::replace(seen, true));
    if !enter(root) {
        return;
    }
    let mut path = vec![(root, 0)];
    while let Some((node, next)) = path.last_mut() {
        match graph.get(*node).and_then(|targets| targets.get(*next)) {
            Some(target) => {
                *next += 1;
                if enter(*target) {
                    path.push((*target, 0));
                }
            }
            None => {
                finished.push(*node);
                path.pop();
            }
        }
    }
}
