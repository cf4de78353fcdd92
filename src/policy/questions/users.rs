//! The users that have a relation on an object.

use crate::{
    access::{Entity, RelationName, TypeName},
    policy::{
        condition::RequestContext,
        engine::{CheckError, Policy},
        tuple::User,
    },
};

/// Which users are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFilter {
    /// Of this type.
    pub user_type: TypeName,
    /// Usersets of this relation, instead of objects.
    pub relation: Option<RelationName>,
}

impl Policy {
    /// The users of the filter that have the relation on the object, at most `limit`.
    pub fn list_users<'p>(
        &'p self,
        object: &Entity,
        relation: &RelationName,
        filter: &UserFilter,
        context: &RequestContext<'p>,
        limit: usize,
    ) -> Result<Vec<User>, CheckError> {
        let mut candidates = Vec::new();
        let type_id = self.model().type_id(filter.user_type.as_str());
        let type_id = type_id.ok_or_else(|| CheckError::UnknownType(filter.user_type.to_string()))?;
        if filter.relation.is_none() {
            candidates.push(User::Wildcard(filter.user_type.clone()));
        }
        for number in 0..u32::try_from(self.graph().object_count(type_id)).unwrap_or(u32::MAX) {
            candidates.extend(self.graph().entity(type_id, number).map(|entity| match &filter.relation {
                Some(relation) => User::Userset(entity, relation.clone()),
                None => User::Object(entity),
            }));
        }
        let mut users = Vec::new();
        for user in candidates {
            if users.len() < limit && self.check(&user, relation, object, context)? {
                users.push(user);
            }
        }
        Ok(users)
    }
}
