//! What a request costs its sender, by the rules of its operation.

use crate::{access::Timestamp, net::OutboundBody, route::Operation};

use super::{
    budget::{Budgets, Exhausted, Grant},
    exchange::Exchange,
    rejection::Rejection,
};

impl Budgets {
    /// Counts a use of the operation and bounds the bytes that may pass, where there are rules for that. Of what does not
    /// pass, nothing is spent.
    pub(super) fn charge(
        &self,
        exchange: &mut Exchange,
        (operation, now): (&Operation, Timestamp),
        (user, mover): (Option<Grant>, Option<Grant>),
        mut outbound: OutboundBody,
    ) -> Result<OutboundBody, Rejection> {
        let mut allowed = None;
        if let Some((rule, mover)) = operation.bytes.zip(mover) {
            let allowance = self.allow(mover, rule, now)?;
            if rule.of.of_requests() {
                outbound = outbound.within(&allowance)?;
            }
            allowed = Some((allowance, rule.of));
        }
        if let Some((rule, user)) = operation.uses.zip(user) {
            let give_back = |_: &Exhausted| {
                if let Some((allowance, _)) = allowed.as_ref().filter(|(_, of)| of.of_requests()) {
                    outbound.give_back(allowance);
                }
            };
            self.spend(user, rule, now).inspect_err(give_back)?;
        }
        if let Some((allowance, of)) = allowed {
            exchange.bound(allowance, of);
        }
        Ok(outbound)
    }
}
