//! Walks plans and tuples until a question is answered.

use smallvec::SmallVec;

use super::{
    memo::{Known, Memo},
    plan::{Hop, Plan, Plans, RelationPlan},
    question::{Circumstances, Limits, Outcome, Question, Subject, Tuples},
    reach::Kind,
    recursion::Recursion,
    verdict::{Failure, Truth, Verdict},
    witness::{Remark, Step, Witness},
};
use crate::policy::{
    condition::ConditionError,
    graph::{EdgeId, Graph, Number},
    model::{RelationId, Restriction, Shape},
};

/// So many hops over usersets and tuplesets are too many (OpenFGA's limit). Computed relations are free.
pub(super) const TOO_DEEP: u8 = 25;
/// So many nested relations and operators are too many for the stack. Only a chain of hundreds of computed relations
/// gets there.
const MOST_NESTED: u32 = 1000;
/// Rows longer than this are compared with what the user has, instead of being followed one by one.
pub(super) const WIDE: usize = 4;

/// Relations that lead to one another through unions only are seen as one graph, in which no object is seen twice.
#[derive(Debug, Clone, Copy)]
struct Scope {
    component: u32,
    frame: usize,
    mark: usize,
}

/// The state of one evaluation. It lives on the stack, and allocates only when the evaluation becomes long.
#[derive(Debug)]
pub(in crate::policy) struct Evaluator<'a, 'q, W> {
    pub(super) graph: &'a Graph,
    plans: &'a Plans,
    pub(super) circumstances: Circumstances<'a, 'q>,
    // Why the first condition without an answer has none.
    pub(super) fault: Option<ConditionError>,
    subject: Subject,
    kind: Kind,
    limits: Limits,
    steps: u32,
    nested: u32,
    // The recursive relations and their objects on the path to here.
    frames: SmallVec<[u64; 16]>,
    scope: Option<Scope>,
    memo: Memo,
    pub(super) witness: W,
}

impl<'a, 'q, W: Witness> Evaluator<'a, 'q, W> {
    /// Answers a question by the rules of OpenFGA's check, in its first version. Most end with following unions, and need
    /// nothing of what an evaluation needs.
    #[inline]
    pub(in crate::policy) fn answer(
        graph: &'a Graph,
        plans: &'a Plans,
        question: Question,
        limits: Limits,
        circumstances: Circumstances<'a, 'q>,
        witness: W,
    ) -> Outcome<W> {
        // Who watches wants to see all of it.
        let followed = if W::WATCHES { None } else { plans.follow_unions(graph, question, limits.most_steps) };
        if let Some((is_true, steps)) = followed {
            let truth = if is_true { Truth::True } else { Truth::False };
            return Outcome { truth, witness, steps, fault: None };
        }
        Self::evaluate(graph, plans, question, limits, circumstances, witness)
    }

    fn evaluate(
        graph: &'a Graph,
        plans: &'a Plans,
        question: Question,
        limits: Limits,
        circumstances: Circumstances<'a, 'q>,
        witness: W,
    ) -> Outcome<W> {
        let mut evaluator = Self {
            graph,
            plans,
            circumstances,
            fault: None,
            subject: question.subject,
            kind: plans.kind(question.subject),
            limits,
            steps: 0,
            nested: 0,
            frames: SmallVec::new(),
            scope: None,
            memo: Memo::default(),
            witness,
        };
        let verdict = evaluator.relation(question.relation, question.object.number, 0);
        Outcome { truth: verdict.truth(), witness: evaluator.witness, steps: evaluator.steps, fault: evaluator.fault }
    }

    fn relation(&mut self, id: RelationId, object: Number, depth: u8) -> Verdict {
        self.witness.open(Step::Relation(id, object));
        let verdict = self.reachable(id, object, depth);
        self.witness.close(verdict);
        verdict
    }

    fn reachable(&mut self, id: RelationId, object: Number, depth: u8) -> Verdict {
        if self.subject == (Subject::Userset { relation: id, number: object }) {
            self.witness.remark(Remark::Itself);
            return Verdict::TRUE;
        }
        let plans = self.plans;
        let Some(plan) = plans.plan(id).filter(|_| plans.reaches(id, self.kind)) else {
            self.witness.remark(Remark::OutOfReach);
            return Verdict::FALSE;
        };
        if let Err(failure) = self.spend() {
            return Verdict::error(failure);
        }
        if plan.recursion == Recursion::None && !self.memo.is_on() {
            return self.run(&plan.root, object, depth);
        }
        self.remembered(plan, u64::from(id.0) << 32 | u64::from(object), object, depth)
    }

    fn remembered(&mut self, plan: &'a RelationPlan, key: u64, object: Number, depth: u8) -> Verdict {
        let remembers = self.memo.is_on() && plan.recursion != Recursion::Negated;
        if let Some(verdict) = self.recalled(key, depth).filter(|_| remembers) {
            self.witness.remark(Remark::Repeated);
            return verdict;
        }
        if plan.recursion == Recursion::None {
            let verdict = self.run(&plan.root, object, depth);
            self.remember(plan, key, depth, verdict);
            return verdict;
        }
        if let Some(frame) = self.frames.iter().position(|frame| *frame == key) {
            self.witness.remark(Remark::Cycle);
            return Verdict::cut(frame);
        }
        let own = self.frames.len();
        let outer = self.scope;
        let opens = self.opens_scope(plan, own);
        self.frames.push(key);
        let verdict = self.run(&plan.root, object, depth).closed_at(own);
        self.frames.pop();
        if opens {
            let mark = self.scope.map_or(0, |scope| scope.mark);
            self.memo.settle(mark, verdict.is_plainly_false().then_some(verdict.height));
            self.scope = outer;
        }
        if remembers {
            self.remember(plan, key, depth, verdict);
        }
        verdict
    }

    fn opens_scope(&mut self, plan: &RelationPlan, frame: usize) -> bool {
        let Recursion::Unions(component) = plan.recursion else { return false };
        if self.scope.is_some_and(|scope| scope.component == component) {
            return false;
        }
        self.scope = Some(Scope { component, frame, mark: self.memo.mark() });
        true
    }

    fn recalled(&self, key: u64, depth: u8) -> Option<Verdict> {
        match self.memo.find(key)? {
            Known::Answer { is_true, height } if depth.saturating_add(height) < TOO_DEEP => {
                let verdict = if is_true { Verdict::TRUE } else { Verdict::FALSE };
                Some(Verdict { height, ..verdict })
            }
            // With fewer hops left it must be looked at again, to fail as it would have failed.
            Known::Answer { .. } => None,
            // Nearer to the beginning more hops are left than when they did not suffice.
            Known::Seen { depth: seen, failed: true } if depth < seen => None,
            Known::Seen { .. } => self.scope.map(|scope| Verdict::cut(scope.frame)),
        }
    }

    fn remember(&mut self, plan: &RelationPlan, key: u64, depth: u8, verdict: Verdict) {
        let in_scope = match (plan.recursion, self.scope) {
            (Recursion::Unions(component), Some(scope)) => scope.component == component,
            (Recursion::Unions(_) | Recursion::None | Recursion::Monotone | Recursion::Negated, _) => false,
        };
        match verdict.truth {
            Truth::True => self.memo.answer(key, true, verdict.height),
            Truth::False if verdict.is_plainly_false() => self.memo.answer(key, false, verdict.height),
            Truth::False if in_scope => self.memo.seen(key, depth, false),
            Truth::Error(Failure::Depth) if in_scope => self.memo.seen(key, depth, true),
            Truth::False | Truth::Error(_) => {}
        }
    }

    fn run(&mut self, plan: &'a Plan, object: Number, depth: u8) -> Verdict {
        match plan {
            Plan::Exact(edges) => self.exact(edges, object),
            Plan::Usersets(hops) => self.usersets(hops, object, depth),
            Plan::Tupleset(hops) => self.tupleset(hops, object, depth),
            Plan::Computed(_) | Plan::Any(_) | Plan::All(_) | Plan::Except(_) if self.nested >= MOST_NESTED => {
                Verdict::error(Failure::Depth)
            }
            Plan::Computed(id) => self.nested(|this| this.relation(*id, object, depth)),
            Plan::Any(operands) => self.nested(|this| this.any(operands, object, depth)),
            Plan::All(operands) => self.nested(|this| this.all(operands, object, depth)),
            Plan::Except(pair) => self.nested(|this| this.except(pair, object, depth)),
        }
    }

    fn nested(&mut self, run: impl FnOnce(&mut Self) -> Verdict) -> Verdict {
        self.nested += 1;
        let verdict = run(self);
        self.nested -= 1;
        verdict
    }

    fn any(&mut self, operands: &'a [Plan], object: Number, depth: u8) -> Verdict {
        self.witness.open(Step::Any);
        let mut verdict = Verdict::FALSE;
        for operand in operands {
            let next = self.run(operand, object, depth);
            verdict = if next.is_true() { next } else { verdict.or(next) };
            if verdict.is_true() {
                break;
            }
        }
        self.witness.close(verdict);
        verdict
    }

    fn all(&mut self, operands: &'a [Plan], object: Number, depth: u8) -> Verdict {
        self.witness.open(Step::All);
        let mut verdict = Verdict::TRUE;
        for operand in operands {
            let next = self.run(operand, object, depth);
            verdict = if next.is_plainly_false() { next } else { verdict.and(next) };
            if verdict.is_plainly_false() {
                break;
            }
        }
        self.witness.close(verdict);
        verdict
    }

    fn except(&mut self, [base, subtract]: &'a [Plan; 2], object: Number, depth: u8) -> Verdict {
        self.witness.open(Step::Except);
        let mut verdict = self.run(base, object, depth);
        if !verdict.is_plainly_false() {
            verdict = verdict.but_not(self.run(subtract, object, depth));
        }
        self.witness.close(verdict);
        verdict
    }

    fn exact(&mut self, edges: &[(EdgeId, Restriction)], object: Number) -> Verdict {
        self.witness.open(Step::Exact);
        let mut verdict = Verdict::FALSE;
        for (edge, restriction) in edges {
            let user = match (self.subject, restriction.shape) {
                (Subject::Object { user_type, number }, Shape::Plain) if user_type == restriction.user_type => number,
                (Subject::Object { user_type, .. } | Subject::Wildcard { user_type }, Shape::Wildcard)
                    if user_type == restriction.user_type =>
                {
                    0
                }
                (Subject::Object { .. } | Subject::Wildcard { .. } | Subject::Userset { .. }, _) => continue,
            };
            if !self.graph.has(*edge, object, user) {
                continue;
            }
            self.witness.remark(Remark::Tuple { edge: *edge, object, user });
            let found = self.weighed(*edge, object, user);
            verdict = if found.is_true() { found } else { verdict.or(found) };
            if verdict.is_true() {
                break;
            }
        }
        self.witness.close(verdict);
        verdict
    }

    fn usersets(&mut self, hops: &[Hop], object: Number, depth: u8) -> Verdict {
        let mut verdict = Verdict::FALSE;
        for hop in hops {
            let graph = self.graph;
            let users = graph.users(hop.edge, object);
            if users.is_empty() || !self.plans.reaches(hop.target, self.kind) {
                continue;
            }
            // A stored userset is the user itself: no hop is needed to see that.
            if let Subject::Userset { relation, number } = self.subject
                && relation == hop.target
                && graph.has(hop.edge, object, number)
            {
                let stored = self.stored_userset(hop.edge, object, number);
                if stored.is_true() {
                    return stored;
                }
                verdict = verdict.or(stored);
            }
            if users.len() > WIDE && !W::WATCHES && depth + 1 < TOO_DEEP {
                match self.compared(hop, object) {
                    Some(found) if found.is_true() => return found,
                    Some(missed) => {
                        verdict = verdict.or(missed);
                        continue;
                    }
                    None => {}
                }
            }
            let step = |user| Step::Userset { edge: hop.edge, object, user };
            verdict = self.follow(Tuples { hop: *hop, object, users }, depth, verdict, step);
            if verdict.is_true() {
                return verdict;
            }
        }
        verdict
    }

    fn stored_userset(&mut self, edge: EdgeId, object: Number, user: Number) -> Verdict {
        self.witness.open(Step::Exact);
        self.witness.remark(Remark::Tuple { edge, object, user });
        let verdict = self.weighed(edge, object, user);
        self.witness.close(verdict);
        verdict
    }

    /// Compares a wide row of usersets with those that name the user directly. `None` if that does not settle it.
    fn compared(&mut self, hop: &Hop, object: Number) -> Option<Verdict> {
        let Subject::Object { user_type, number } = self.subject else { return None };
        let target = self.plans.plan(hop.target)?;
        // The tuples that two rows share do not tell which of them count.
        let mut edges = target.sufficient().iter().map(|(edge, _)| *edge).chain([hop.edge]);
        if edges.any(|edge| self.graph.edge_has_conditions(edge)) {
            return None;
        }
        let mut has_wildcard = false;
        for (member, restriction) in target.sufficient().iter().filter(|(_, known)| known.user_type == user_type) {
            match restriction.shape {
                Shape::Plain if self.graph.between(hop.edge, object, *member, number).is_some() => {
                    return Some(Verdict::TRUE.after_hop());
                }
                Shape::Plain => {}
                Shape::Wildcard | Shape::Userset(_) => has_wildcard = true,
            }
        }
        (target.is_exact() && !has_wildcard).then(|| Verdict::FALSE.after_hop())
    }

    fn tupleset(&mut self, hops: &[Hop], object: Number, depth: u8) -> Verdict {
        let mut verdict = Verdict::FALSE;
        for hop in hops {
            let graph = self.graph;
            let parents = graph.users(hop.edge, object);
            if parents.is_empty() || !self.plans.reaches(hop.target, self.kind) {
                continue;
            }
            let step = |user| Step::Tupleset { edge: hop.edge, object, user };
            verdict = self.follow(Tuples { hop: *hop, object, users: parents }, depth, verdict, step);
            if verdict.is_true() {
                return verdict;
            }
        }
        verdict
    }

    fn follow(
        &mut self,
        tuples: Tuples<'_>,
        depth: u8,
        mut verdict: Verdict,
        step: impl Fn(Number) -> Step,
    ) -> Verdict {
        let Tuples { hop, object, users } = tuples;
        for user in users.iter() {
            self.witness.open(step(user));
            let weight = self.weighed(hop.edge, object, user);
            let next = if weight.is_true() { self.hop(hop.target, user, depth + 1) } else { weight };
            self.witness.close(next);
            if next.is_true() {
                return next;
            }
            verdict = verdict.or(next);
            if next.truth == Truth::Error(Failure::Steps) {
                break;
            }
        }
        verdict
    }

    fn hop(&mut self, target: RelationId, object: Number, depth: u8) -> Verdict {
        if depth >= TOO_DEEP {
            self.witness.remark(Remark::TooDeep);
            return Verdict::error(Failure::Depth);
        }
        self.relation(target, object, depth).after_hop()
    }

    fn spend(&mut self) -> Result<(), Failure> {
        self.steps += 1;
        if self.steps > self.limits.steps_before_memory && !self.memo.is_on() {
            self.memo.turn_on();
        }
        if self.steps > self.limits.most_steps { Err(Failure::Steps) } else { Ok(()) }
    }
}
