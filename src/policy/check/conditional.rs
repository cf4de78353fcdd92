//! What a tuple's condition makes of it.

use super::{
    evaluator::Evaluator,
    question::Unanswered,
    verdict::{Failure, Verdict},
    witness::{Remark, Witness},
};
use crate::policy::graph::{Carried, EdgeId, Number};

impl<'a, W: Witness> Evaluator<'a, '_, W> {
    /// What a tuple that is there is worth by itself: true, unless its condition says something else.
    pub(super) fn weighed(&mut self, edge: EdgeId, object: Number, user: Number) -> Verdict {
        let graph = self.graph;
        if !graph.edge_has_conditions(edge) {
            return Verdict::TRUE;
        }
        let Some(carried) = graph.condition(edge, object, user) else { return Verdict::TRUE };
        let verdict = self.conditional(carried);
        self.witness.remark(Remark::Conditional { edge, object, user, truth: verdict.truth() });
        verdict
    }

    fn conditional(&mut self, carried: &'a Carried) -> Verdict {
        let Some(condition) = self.graph.model().conditions().at(carried.number) else {
            return Verdict::error(Failure::Condition);
        };
        match condition.evaluate(&carried.bound, self.circumstances.context) {
            Ok(true) => Verdict::TRUE,
            Ok(false) => Verdict::FALSE,
            Err(_) if self.circumstances.unanswered == Unanswered::Holds => Verdict::TRUE,
            Err(fault) => {
                self.fault.get_or_insert(fault);
                Verdict::error(Failure::Condition)
            }
        }
    }
}
