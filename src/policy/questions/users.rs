//! The users that have a relation on an object.

use super::{
    budget::{Budget, Interrupt, Undecided},
    expansion::{EVERYONE, Expansion, Filter},
    objects::Searched,
};
use crate::{
    access::{Entity, RelationName, TypeName},
    policy::{
        check::{Circumstances, Failure, Question, Subject, Truth, Unanswered},
        condition::RequestContext,
        engine::{CheckError, Policy},
        graph::UNKNOWN,
        tuple::User,
    },
};

/// Which users are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFilter {
    /// Of this type.
    pub user_type: TypeName,
    /// Usersets of this relation, instead of objects and the wildcard.
    pub relation: Option<RelationName>,
}

/// Which users are looked for.
#[derive(Debug, Clone, Copy)]
pub struct UsersQuestion<'a> {
    /// Those on this object,
    pub object: &'a Entity,
    /// with this relation,
    pub relation: &'a RelationName,
    /// of this kind.
    pub filter: &'a UserFilter,
}

impl Policy {
    /// The users of the filter that have the relation on the object, at most `limit`, sorted by their texts.
    ///
    /// They are those that tuples name on the way, by the rules of OpenFGA's ListUsers: who has the relation through a
    /// wildcard only is not among them, the wildcard is. All have it by [`check`](Self::check), which OpenFGA does not
    /// see to: it lists some that an exclusion within an intersection or another exclusion takes out. A list that has
    /// the wildcard may still have users whom an exclusion takes out again.
    ///
    /// Fails if any tuple on the way has a condition without an answer, if the way is deeper than 25 relations, and if
    /// it takes more steps than the settings allow to one question: what could be found of it is never taken for all.
    pub fn list_users<'p>(
        &'p self,
        object: &Entity,
        relation: &RelationName,
        filter: &UserFilter,
        context: &RequestContext<'p>,
        limit: usize,
    ) -> Result<Vec<User>, CheckError> {
        let question = UsersQuestion { object, relation, filter };
        Ok(self.find_users(question, context, Interrupt::never(), limit)?.0)
    }

    /// The same users, or with the interrupt those of them that were found until then, and how the search ended. All of
    /// them have the relation. Who comes and goes by exclusions is known late: an interrupt can leave nobody.
    pub fn find_users<'p>(
        &'p self,
        question: UsersQuestion<'_>,
        context: &RequestContext<'p>,
        interrupt: Interrupt,
        limit: usize,
    ) -> Result<(Vec<User>, Searched), CheckError> {
        let mut budget = Budget::until(self, interrupt);
        let (mut users, mut searched) = self.users(question, context, Undecided::FailsTheList, &mut budget)?;
        if users.len() > limit {
            users.truncate(limit);
            searched = Searched::Enough;
        }
        Ok((users, searched))
    }

    /// The same users, but for those of whom it cannot be decided: all of these have the relation by
    /// [`check`](Self::check), whatever becomes of others. Sorted by their texts. `None` if the interrupt came before
    /// all were found.
    ///
    /// Fails if the way is deeper than 25 relations, and if it takes too many steps.
    pub fn list_certain_users<'p>(
        &'p self,
        question: UsersQuestion<'_>,
        context: &RequestContext<'p>,
        interrupt: Interrupt,
    ) -> Result<Option<Vec<User>>, CheckError> {
        let mut budget = Budget::until(self, interrupt);
        let (users, searched) = self.users(question, context, Undecided::IsLeftOut, &mut budget)?;
        Ok((searched == Searched::Whole).then_some(users))
    }

    fn users<'p>(
        &'p self,
        UsersQuestion { object, relation, filter }: UsersQuestion<'_>,
        context: &RequestContext<'p>,
        undecided: Undecided,
        budget: &mut Budget,
    ) -> Result<(Vec<User>, Searched), CheckError> {
        let target = self.relation(object.type_name(), relation.as_str())?;
        let model = self.model();
        let user_type = filter.user_type.as_str();
        let user_type = model.type_id(user_type).ok_or_else(|| CheckError::UnknownType(user_type.to_owned()))?;
        let member = filter.relation.as_ref();
        let member = member.map(|member| self.relation(filter.user_type.as_str(), member.as_str())).transpose()?;
        let filter = Filter { user_type, member };
        let object_type = model.type_id(object.type_name());
        let number = object_type.and_then(|id| self.graph().number(id, object.id())).unwrap_or(UNKNOWN);
        let circumstances = Circumstances { context, unanswered: Unanswered::Fails };
        let unanswered = match undecided {
            Undecided::FailsTheList => Unanswered::Fails,
            // Whoever has the relation for certain has it even so.
            Undecided::IsLeftOut => Unanswered::Holds,
        };
        let candidates = Circumstances { unanswered, ..circumstances };
        let found = match Expansion::find(self, candidates, filter, (target, number), budget) {
            Err(CheckError::StepsExceeded) if budget.is_over() => return Ok((Vec::new(), Searched::Interrupted)),
            found => found?,
        };
        let mut users = Vec::new();
        let mut searched = Searched::Whole;
        for user in found {
            let subject = match member {
                Some(relation) => Subject::Userset { relation, number: user },
                None if user == EVERYONE => Subject::Wildcard { user_type },
                None => Subject::Object { user_type, number: user },
            };
            let question = Question { subject, relation: target, object: number.into() };
            let outcome = budget.evaluate(self, question, circumstances);
            match outcome.truth {
                Truth::True => users.extend(self.listed(filter, user, object)),
                Truth::False => {}
                Truth::Error(Failure::Condition | Failure::Depth) if undecided == Undecided::IsLeftOut => {}
                Truth::Error(Failure::Steps) if budget.is_over() => {
                    searched = Searched::Interrupted;
                    break;
                }
                Truth::Error(_) => drop(outcome.answer()?),
            }
        }
        users.sort_by_cached_key(User::to_string);
        Ok((users, searched))
    }

    fn listed(&self, filter: Filter, number: u32, object: &Entity) -> Option<User> {
        let model = self.model();
        let entity = || match number {
            // Only the object asked about can be one that no tuple names.
            UNKNOWN => Some(object.clone()),
            number => self.graph().entity(filter.user_type, number),
        };
        Some(match filter.member {
            Some(relation) => User::Userset(entity()?, model.relation(relation)?.name().clone()),
            None if number == EVERYONE => User::Wildcard(model.type_name(filter.user_type).parse().ok()?),
            None => User::Object(entity()?),
        })
    }
}
