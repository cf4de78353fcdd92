//! Relations that nothing but unions make, answered by following tuples, without an evaluation's ceremony.

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use smallvec::SmallVec;

use super::{
    evaluator::{TOO_DEEP, WIDE},
    plan::{Hop, Plan, Plans, RelationPlan},
    question::{Question, Subject},
};
use crate::policy::{
    graph::{EdgeId, Graph, Located, Number, Row, UNKNOWN},
    model::{RelationId, Restriction, Shape, TypeId},
};

/// After so many steps the question is left to the evaluator, which can remember what it found out.
const MOST_STEPS: u32 = 128;
/// So many computed relations within one another are put in.
const MOST_NESTED: u8 = 64;
/// So many parts of plans are looked at for all unions of a model: one hub that many relations compute is put into each.
const MOST_PARTS: u32 = 1 << 20;

/// A relation whose computed relations are put in: any of these tuples gives it.
#[derive(Debug, Default)]
struct Union {
    /// Tuples that name the user itself or its wildcard.
    exact: Vec<(EdgeId, Restriction)>,
    /// Tuples that name objects which have the target.
    hops: Vec<Hop>,
    /// The first of them, to be read ahead.
    first: Vec<EdgeId>,
    /// Tuples that name the user itself at the end of any way that begins with a hop.
    last: Vec<(EdgeId, TypeId)>,
}

/// The relations of a model that are unions, as are all that they lead to.
#[derive(Debug)]
pub(super) struct Unions(Box<[Option<Union>]>);

#[derive(Debug, Clone, Copy)]
struct Node {
    relation: RelationId,
    object: Located,
    depth: u8,
}

/// The objects that some edges give a user.
#[derive(Debug, Default)]
struct Own {
    edges: [(EdgeId, Near); MOST_ENDS],
    count: usize,
}

/// Objects that are known beforehand: at most two, and [`UNKNOWN`] in place of what is not there.
#[derive(Debug, Clone, Copy)]
struct Near([Number; 2]);

impl Near {
    fn has(self, object: Number) -> bool {
        self.0.contains(&object) & (object != UNKNOWN)
    }
}

impl Default for Near {
    fn default() -> Self {
        Self([UNKNOWN; 2])
    }
}

impl Own {
    fn iter(&self) -> impl Iterator<Item = &(EdgeId, Near)> {
        self.edges.iter().take(self.count)
    }
}

/// What a look at both ends of a wide row tells.
enum Compared {
    Shared,
    NothingShared,
    Open,
}

impl Unions {
    pub(super) fn new(plans: &[RelationPlan]) -> Self {
        let mut room = MOST_PARTS;
        let mut unions: Vec<Option<Union>> =
            plans.iter().map(|plan| Union::new(plans, &plan.root, &mut room)).collect();
        // In both directions in turn, so that long chains need few rounds.
        while (0..unions.len())
            .chain((0..unions.len()).rev())
            .fold(false, |any, index| any | leave_out(&mut unions, index))
        {}
        for index in 0..unions.len() {
            let last = ends(&unions, index);
            if let Some(Some(union)) = unions.get_mut(index) {
                union.last = last;
            }
        }
        Self(unions.into())
    }
}

/// Takes out a union that leads to a relation which is none. True if it did.
fn leave_out(unions: &mut [Option<Union>], index: usize) -> bool {
    let leads_out = |union: &Union| union.hops.iter().any(|hop| found(unions, hop.target).is_none());
    let out = unions.get(index).and_then(Option::as_ref).is_some_and(leads_out);
    if let Some(union) = unions.get_mut(index).filter(|_| out) {
        *union = None;
    }
    out
}

/// So many ends of a union's ways are told beforehand.
const MOST_ENDS: usize = 4;
/// So many parts of unions are looked at for the ends of one of them: whoever writes a model chooses how they are woven.
const MOST_LOOKED_AT: usize = 256;
/// So many of a union's own tuples are read ahead.
const MOST_FIRST: usize = 16;

/// The tuples that name the user at the end of the ways that begin with a hop, none if there are too many.
fn ends(unions: &[Option<Union>], index: usize) -> Vec<(EdgeId, TypeId)> {
    let targets = |index: usize| {
        let union = unions.get(index).and_then(Option::as_ref);
        union.into_iter().flat_map(|union| union.hops.iter().map(|hop| hop.target.index()))
    };
    let mut seen: HashSet<usize, RandomState> = targets(index).collect();
    let mut open: Vec<usize> = seen.iter().copied().collect();
    let mut ends = Vec::new();
    let mut looked_at = 0;
    while let Some(index) = open.pop() {
        looked_at += unions.get(index).and_then(Option::as_ref).map_or(1, |union| union.exact.len() + union.hops.len());
        if looked_at > MOST_LOOKED_AT {
            return Vec::new();
        }
        let exact = unions.get(index).and_then(Option::as_ref).into_iter().flat_map(|union| &union.exact);
        let plain = exact.filter(|(_, restriction)| restriction.shape == Shape::Plain);
        ends.extend(plain.map(|(edge, restriction)| (*edge, restriction.user_type)));
        if ends.len() > 4 * MOST_ENDS {
            return Vec::new();
        }
        open.extend(targets(index).filter(|target| seen.insert(*target)));
    }
    ends.sort_unstable_by_key(|(edge, _)| *edge);
    ends.dedup();
    ends
}

fn found(unions: &[Option<Union>], id: RelationId) -> Option<&Union> {
    unions.get(id.index())?.as_ref()
}

impl Union {
    /// The union that a plan is, if there is room for it.
    fn new(plans: &[RelationPlan], plan: &Plan, room: &mut u32) -> Option<Self> {
        let mut union = Self::default();
        let mut computed = HashSet::default();
        union.take(plans, plan, &mut computed, room, 0)?;
        let edges = union.exact.iter().map(|(edge, _)| *edge).chain(union.hops.iter().map(|hop| hop.edge));
        union.first = edges.take(MOST_FIRST).collect();
        Some(union)
    }

    fn take(
        &mut self,
        plans: &[RelationPlan],
        plan: &Plan,
        computed: &mut HashSet<usize, RandomState>,
        room: &mut u32,
        nested: u8,
    ) -> Option<()> {
        let mut spend = |parts: usize| {
            *room = room.saturating_sub(u32::try_from(parts).unwrap_or(u32::MAX));
            (*room > 0).then_some(())
        };
        match plan {
            Plan::Exact(edges) => {
                spend(edges.len())?;
                self.exact.extend(edges);
            }
            Plan::Usersets(hops) | Plan::Tupleset(hops) => {
                spend(hops.len())?;
                self.hops.extend(hops);
            }
            Plan::Computed(id) => {
                spend(1)?;
                if computed.insert(id.index()) {
                    let nested = nested.checked_add(1).filter(|nested| *nested <= MOST_NESTED)?;
                    self.take(plans, &plans.get(id.index())?.root, computed, room, nested)?;
                }
            }
            Plan::Any(operands) => {
                operands.iter().try_for_each(|operand| self.take(plans, operand, computed, room, nested))?
            }
            Plan::All(_) | Plan::Except(_) => return None,
        }
        Some(())
    }
}

impl Union {
    /// The objects that the tuples at the ends of all ways give the user, where these are few.
    fn own(&self, graph: &Graph, (user_type, number): (TypeId, Number)) -> Own {
        let mut own = Own::default();
        for (id, _) in self.last.iter().filter(|(_, of)| *of == user_type) {
            let few = graph.edge(*id).filter(|edge| !edge.is_void()).and_then(|edge| edge.few_objects(number));
            if let (Some(few), Some(place)) = (few, own.edges.get_mut(own.count)) {
                *place = (*id, Near(few));
                own.count += 1;
            }
        }
        own
    }

    /// Objects that give the user the union by tuples of its own that carry no condition.
    fn near(&self, graph: &Graph, own: &Own) -> Near {
        let is_exact = |id: EdgeId| self.exact.iter().any(|(exact, _)| *exact == id);
        let near = own.iter().find(|(id, _)| is_exact(*id) && !graph.edge_has_conditions(*id));
        near.map_or_else(Near::default, |(_, near)| *near)
    }

    /// Whether a tuple of the object names the user or its wildcard. `None` if a condition has a say in that.
    #[inline]
    fn gives(&self, graph: &Graph, object: Located, (user_type, number): (TypeId, Number), own: &Own) -> Option<bool> {
        let mut is_given = false;
        for (id, restriction) in self.exact.iter().filter(|(_, restriction)| restriction.user_type == user_type) {
            let Some(edge) = graph.edge(*id).filter(|edge| !edge.is_void()) else { continue };
            let is_there = match own.iter().find(|(own, _)| own == id) {
                // The user's own row is near, the object's is not.
                Some((_, near)) => near.has(object.number),
                None if restriction.shape == Shape::Wildcard => edge.has_at(object, 0),
                None => edge.has_at(object, number),
            };
            if edge.has_conditions() {
                if is_there {
                    return None;
                }
                continue;
            }
            // Without a jump here a processor need not guess, and wait for what is far away when it guessed wrong.
            is_given |= is_there;
        }
        Some(is_given)
    }
}

impl Plans {
    /// The tuples of the object itself that a question about a union begins with.
    pub(in crate::policy) fn first_edges(&self, relation: RelationId) -> &[EdgeId] {
        found(&self.unions().0, relation).map_or(&[], |union| &union.first)
    }

    /// The answer to a question about an object, and the steps it took, if tuples without conditions settle it soon.
    ///
    /// It is the answer that the evaluator would come to: what is found is found, and where nothing is left to be
    /// followed nothing is there. Whatever else comes up (a condition, a cycle, a long way) is left to the evaluator.
    pub(super) fn follow_unions(&self, graph: &Graph, question: Question, most_steps: u32) -> Option<(bool, u32)> {
        let Subject::Object { user_type, number } = question.subject else { return None };
        let unions = &*self.unions().0;
        let asked = found(unions, question.relation)?;
        let kind = self.kind(question.subject);
        if !self.reaches(question.relation, kind) {
            return Some((false, 0));
        }
        if asked.hops.is_empty() && most_steps > 0 {
            return Some((asked.gives(graph, question.object, (user_type, number), &Own::default())?, 1));
        }
        self.walk_unions(graph, question, asked, (user_type, number), most_steps)
    }

    fn walk_unions(
        &self,
        graph: &Graph,
        question: Question,
        asked: &Union,
        (user_type, number): (TypeId, Number),
        most_steps: u32,
    ) -> Option<(bool, u32)> {
        let unions = &*self.unions().0;
        let kind = self.kind(question.subject);
        // What most ways end with is far away, and asked for before it is needed.
        let own = asked.own(graph, (user_type, number));
        let most_steps = most_steps.min(MOST_STEPS);
        let mut steps = 0;
        let mut open: SmallVec<[Node; 16]> = SmallVec::new();
        open.push(Node { relation: question.relation, object: question.object, depth: 0 });
        while let Some(Node { relation, object, depth }) = open.pop() {
            steps += 1;
            if steps > most_steps {
                return None;
            }
            let union = found(unions, relation)?;
            if union.gives(graph, object, (user_type, number), &own)? {
                return Some((true, steps));
            }
            for hop in &union.hops {
                let Some(edge) = graph.edge(hop.edge).filter(|edge| !edge.is_void()) else { continue };
                let few = edge.few_users(object);
                let users = if few.is_some() { Row::EMPTY } else { edge.users_at(object) };
                let is_empty = few.map_or_else(|| users.is_empty(), |[one, _]| one == UNKNOWN);
                if is_empty || !self.reaches(hop.target, kind) {
                    continue;
                }
                if edge.has_conditions() || depth + 1 >= TOO_DEEP {
                    return None;
                }
                // To see the end of the way beside others saves going all of those.
                let near = found(unions, hop.target)?.near(graph, &own);
                let mut follow = |user: Number| {
                    open.push(Node { relation: hop.target, object: user.into(), depth: depth + 1 });
                };
                if let Some([one, other]) = few {
                    if near.has(one) || near.has(other) {
                        return Some((true, steps));
                    }
                    follow(one);
                    if other != UNKNOWN {
                        follow(other);
                    }
                    continue;
                }
                if users.len() > WIDE {
                    match compared(graph, found(unions, hop.target)?, hop, object.number, (user_type, number)) {
                        Compared::Shared => return Some((true, steps)),
                        Compared::NothingShared => continue,
                        Compared::Open => {}
                    }
                }
                if users.len() > MOST_STEPS as usize {
                    return None;
                }
                match users.unchanged() {
                    Some(users) if users.iter().any(|user| near.has(*user)) => return Some((true, steps)),
                    Some(users) => users.iter().for_each(|user| follow(*user)),
                    None => users.iter().for_each(follow),
                }
            }
        }
        Some((false, steps))
    }
}

/// Compares the objects that an object's tuples name with those on which the user itself has the target.
fn compared(graph: &Graph, target: &Union, hop: &Hop, object: Number, user: (TypeId, Number)) -> Compared {
    let (user_type, number) = user;
    let mut nothing_else = target.hops.is_empty();
    for (edge, restriction) in target.exact.iter().filter(|(_, restriction)| restriction.user_type == user_type) {
        if restriction.shape != Shape::Plain || graph.edge_has_conditions(*edge) {
            nothing_else = false;
        } else if graph.between(hop.edge, object, *edge, number).is_some() {
            return Compared::Shared;
        }
    }
    if nothing_else { Compared::NothingShared } else { Compared::Open }
}
