//! The objects on which a user has a relation.

use crate::{
    access::{Entity, RelationName, TypeName},
    policy::{
        check::{Circumstances, Nobody, Truth, Unanswered},
        condition::RequestContext,
        engine::{CheckError, Policy},
        tuple::User,
    },
};

impl Policy {
    /// The objects of a type on which the user has the relation, at most `limit`.
    pub fn list_objects<'p>(
        &'p self,
        user: &User,
        relation: &RelationName,
        object_type: &TypeName,
        context: &RequestContext<'p>,
        limit: usize,
    ) -> Result<Vec<Entity>, CheckError> {
        let _ = self.relation(object_type.as_str(), relation.as_str())?;
        let type_id = self.model().type_id(object_type.as_str());
        let mut objects: Vec<Entity> = type_id
            .into_iter()
            .flat_map(|id| {
                let count = u32::try_from(self.graph().object_count(id)).unwrap_or(u32::MAX);
                (0..count).filter_map(move |number| self.graph().entity(id, number))
            })
            .collect();
        if let User::Userset(own, _) = user
            && own.type_name() == object_type.as_str()
            && !objects.contains(own)
        {
            objects.push(own.clone());
        }
        let mut found = Vec::new();
        for object in objects {
            if found.len() >= limit {
                break;
            }
            match self.check(user, relation, &object, context) {
                Ok(true) => found.push(object),
                Ok(false) | Err(CheckError::DepthExceeded) => {}
                Err(error) if self.may_hold(user, relation, &object, context)? => return Err(error),
                Err(_) => {}
            }
        }
        Ok(found)
    }

    fn may_hold<'p>(
        &'p self,
        user: &User,
        relation: &RelationName,
        object: &Entity,
        context: &RequestContext<'p>,
    ) -> Result<bool, CheckError> {
        let circumstances = Circumstances { context, unanswered: Unanswered::Holds };
        let outcome = self.evaluate(self.question(user.into(), relation, object)?, circumstances, Nobody);
        Ok(outcome.truth == Truth::True)
    }
}
