//! The rules about ways through a model: no computed cycles, and a way in for every relation.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use super::{
    rewrite::Rewrite,
    source::{ModelSource, Placed, RelationSource, Shape},
    validate::{ModelFault, ModelProblem},
};
use crate::access::{RelationName, TypeName};

/// Relations that computed relations define by themselves, then relations that no tuple leads into.
///
/// Every name in the model must resolve.
pub(super) fn problems(source: &ModelSource) -> Vec<ModelProblem> {
    let ways = Ways::new(source);
    let cycles = ways.cycles();
    if !cycles.is_empty() {
        return cycles;
    }
    let missing = ways.without_entrypoint();
    if missing.is_empty() { ways.with_loop() } else { missing }
}

/// So many steps of OpenFGA's search for a way into a relation are taken. In odd models it has no end in sight.
const MOST_STEPS: u32 = 20_000;

/// Which relations a path has seen, by type, and whether they are assigned directly. Paths share the inner maps.
type Seen<'a> = HashMap<&'a TypeName, Rc<RefCell<HashMap<usize, bool>>>>;

struct Node<'a> {
    type_name: &'a TypeName,
    relation: &'a RelationSource,
}

struct Ways<'a> {
    nodes: Vec<Node<'a>>,
    numbers: HashMap<(&'a TypeName, &'a RelationName), usize>,
}

impl<'a> Ways<'a> {
    fn new(source: &'a ModelSource) -> Self {
        let relations = |written: &'a super::source::TypeSource| {
            written.relations.iter().map(|relation| Node { type_name: &written.name.value, relation })
        };
        let nodes: Vec<Node<'a>> = source.types.iter().flat_map(relations).collect();
        let numbers =
            nodes.iter().enumerate().map(|(n, node)| ((node.type_name, &node.relation.name.value), n)).collect();
        Self { nodes, numbers }
    }

    fn number(&self, type_name: &TypeName, relation: &RelationName) -> Option<usize> {
        self.numbers.get(&(type_name, relation)).copied()
    }

    // Takes away, again and again, what computes nothing that is left. What stays is on a cycle or leads into one, and
    // the same from the other end leaves the cycles.
    fn cycles(&self) -> Vec<ModelProblem> {
        let mut forward: Vec<Vec<usize>> = Vec::with_capacity(self.nodes.len());
        let mut backward: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (number, node) in self.nodes.iter().enumerate() {
            let mut targets = Vec::new();
            node.relation.rewrite.for_each_leaf(&mut |leaf| {
                if let Rewrite::Computed(target) = leaf {
                    targets.extend(self.number(node.type_name, &target.value));
                }
            });
            for target in &targets {
                if let Some(sources) = backward.get_mut(*target) {
                    sources.push(number);
                }
            }
            forward.push(targets);
        }
        let (leads_in, leads_out) = (peel(&forward, &backward), peel(&backward, &forward));
        let on_cycle = |number: &usize| leads_in.get(*number) == Some(&true) && leads_out.get(*number) == Some(&true);
        (0..self.nodes.len()).filter(on_cycle).filter_map(|number| self.problem(number, ModelFault::Cycle)).collect()
    }

    // Least fixed point, in both directions in turn so that long chains need few rounds.
    fn without_entrypoint(&self) -> Vec<ModelProblem> {
        let mut known = vec![false; self.nodes.len()];
        let mut round = |numbers: &mut dyn Iterator<Item = usize>| {
            let mut changed = false;
            for number in numbers {
                let found = self.nodes.get(number).is_some_and(|node| self.has(node, &node.relation.rewrite, &known));
                if let Some(slot) = known.get_mut(number).filter(|slot| found && !**slot) {
                    *slot = true;
                    changed = true;
                }
            }
            changed
        };
        while round(&mut (0..self.nodes.len())) && round(&mut (0..self.nodes.len()).rev()) {}
        let missing = known.iter().enumerate().filter(|(_, has)| !**has);
        missing.filter_map(|(number, _)| self.problem(number, ModelFault::NoEntrypoint)).collect()
    }

    fn has(&self, node: &Node<'a>, rewrite: &Rewrite<Placed<RelationName>>, known: &[bool]) -> bool {
        let is_known = |type_name: &TypeName, relation: &RelationName| {
            self.number(type_name, relation).and_then(|number| known.get(number)).is_some_and(|known| *known)
        };
        match rewrite {
            Rewrite::Direct => node.relation.restrictions.iter().any(|restriction| match &restriction.shape {
                Shape::Plain | Shape::Wildcard => true,
                Shape::Userset(relation) => is_known(&restriction.user_type.value, &relation.value),
            }),
            Rewrite::Computed(target) => is_known(node.type_name, &target.value),
            Rewrite::TupleToUserset { computed, tupleset } => {
                let tupleset = self.number(node.type_name, &tupleset.value).and_then(|number| self.nodes.get(number));
                let restrictions = tupleset.into_iter().flat_map(|found| &found.relation.restrictions);
                restrictions.into_iter().any(|restriction| is_known(&restriction.user_type.value, &computed.value))
            }
            Rewrite::Union(operands) => operands.iter().any(|operand| self.has(node, operand, known)),
            Rewrite::Intersection(_) | Rewrite::Exclusion { .. } => {
                rewrite.operands().all(|operand| self.has(node, operand, known))
            }
        }
    }

    // OpenFGA searches along paths that share what they have seen of a type, so that some relations with a way in seem
    // to be none. A model that it does not take is not taken here.
    fn with_loop(&self) -> Vec<ModelProblem> {
        let is_missed = |number: &usize| {
            let mut steps = MOST_STEPS;
            self.nodes.get(*number).is_some_and(|node| {
                self.finds(*number, &node.relation.rewrite, &Seen::default(), &mut steps) == Some(false)
            })
        };
        (0..self.nodes.len()).filter(is_missed).filter_map(|number| self.problem(number, ModelFault::Loop)).collect()
    }

    // Whether OpenFGA's search finds a way into this part of a relation. Nothing if it would hardly end.
    fn finds(
        &self,
        number: usize,
        rewrite: &Rewrite<Placed<RelationName>>,
        seen: &Seen<'a>,
        steps: &mut u32,
    ) -> Option<bool> {
        *steps = steps.checked_sub(1)?;
        let Some(node) = self.nodes.get(number) else { return Some(false) };
        let mut here = seen.clone();
        here.entry(node.type_name).or_default().borrow_mut().insert(number, false);
        let mut into = |target: usize| -> Option<bool> {
            let Some(found) = self.nodes.get(target) else { return Some(false) };
            self.finds(target, &found.relation.rewrite, &here, steps)
        };
        let before = |target: usize| {
            let types = self.nodes.get(target).and_then(|found| here.get(found.type_name));
            types.and_then(|relations| relations.borrow().get(&target).copied())
        };
        match rewrite {
            Rewrite::Direct => {
                for restriction in &node.relation.restrictions {
                    let Shape::Userset(relation) = &restriction.shape else {
                        here.entry(node.type_name).or_default().borrow_mut().insert(number, true);
                        return Some(true);
                    };
                    let target = self.number(&restriction.user_type.value, &relation.value);
                    if let Some(target) = target.filter(|target| before(*target).is_none())
                        && into(target)?
                    {
                        return Some(true);
                    }
                }
                Some(false)
            }
            Rewrite::Computed(target) => match self.number(node.type_name, &target.value) {
                Some(target) => before(target).map_or_else(|| into(target), Some),
                None => Some(false),
            },
            Rewrite::TupleToUserset { computed, tupleset } => {
                let tupleset = self.number(node.type_name, &tupleset.value).and_then(|number| self.nodes.get(number));
                for restriction in tupleset.into_iter().flat_map(|found| &found.relation.restrictions) {
                    if let Some(target) = self.number(&restriction.user_type.value, &computed.value)
                        && before(target).map_or_else(|| into(target), Some)?
                    {
                        return Some(true);
                    }
                }
                Some(false)
            }
            Rewrite::Union(operands) => {
                for operand in operands {
                    if self.finds(number, operand, seen, steps)? {
                        return Some(true);
                    }
                }
                Some(false)
            }
            Rewrite::Intersection(_) | Rewrite::Exclusion { .. } => {
                for operand in rewrite.operands() {
                    if !self.finds(number, operand, seen, steps)? {
                        return Some(false);
                    }
                }
                Some(true)
            }
        }
    }

    fn problem(&self, number: usize, fault: fn(RelationName, TypeName) -> ModelFault) -> Option<ModelProblem> {
        let node = self.nodes.get(number)?;
        let name = &node.relation.name;
        let help = "add a type to assign, such as `[user]`, to one of the relations it is made of".to_owned();
        Some(ModelProblem {
            place: name.place,
            fault: fault(name.value.clone(), node.type_name.clone()),
            help: Some(help),
        })
    }
}

// Which nodes still have a way forward once all dead ends are taken away.
fn peel(forward: &[Vec<usize>], backward: &[Vec<usize>]) -> Vec<bool> {
    let mut open: Vec<usize> = forward.iter().map(Vec::len).collect();
    let mut dead: Vec<usize> = open.iter().enumerate().filter(|(_, count)| **count == 0).map(|(n, _)| n).collect();
    while let Some(number) = dead.pop() {
        for source in backward.get(number).into_iter().flatten() {
            if let Some(count) = open.get_mut(*source) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    dead.push(*source);
                }
            }
        }
    }
    open.iter().map(|count| *count > 0).collect()
}
