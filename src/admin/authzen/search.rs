//! Who may, on what, and which actions.

use serde_json::{Value, json};

use crate::{
    access::{Entity, RelationName, TypeName},
    policy::{CheckError, ObjectsQuestion, RequestContext, User, UserFilter, UsersQuestion},
};

use super::{
    body::{Members, Question},
    decision::{Decision, Point, identity},
    fault::Fault,
    page::Page,
};

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    Subjects,
    Resources,
    Actions,
}

impl Search {
    const fn name(self) -> &'static str {
        match self {
            Self::Subjects => "subject",
            Self::Resources => "resource",
            Self::Actions => "action",
        }
    }
}

impl Point<'_> {
    /// The page of results that the request asks for. A name that the policy does not have finds nothing.
    pub(super) fn search(self, search: Search, request: Members<'_>) -> Result<Value, Fault> {
        let question = Question::alone(request);
        let page = Page::read(search.name(), request, self)?;
        let results = match search {
            Search::Subjects => self.subjects(question)?,
            Search::Resources => self.resources(question)?,
            Search::Actions => self.actions(question)?,
        };
        let shown = |result: &str| match search {
            Search::Subjects | Search::Resources => {
                let (type_name, id) = result.split_once(':').unwrap_or_default();
                json!({ "type": type_name, "id": id })
            }
            Search::Actions => json!({ "name": result }),
        };
        Ok(page.answer(&results, shown, self))
    }

    fn subjects(self, question: Question<'_>) -> Result<Vec<String>, Fault> {
        let user_type = question.part("subject")?.text("type")?;
        let action = question.part("action")?.text("name")?;
        let resource = identity(question.part("resource")?)?;
        let context = question.context()?;
        let asked = || Some((user_type.parse().ok()?, action.parse().ok()?, resource.entity().ok()?));
        let Some((user_type, action, resource)): Option<(TypeName, RelationName, Entity)> = asked() else {
            return Ok(Vec::new());
        };
        let context = RequestContext::new(&context).only_at(self.now);
        let filter = UserFilter { user_type, relation: None };
        let question = UsersQuestion { object: &resource, relation: &action, filter: &filter };
        sorted(self.policy.list_certain_users(question, &context, self.deadline.interrupt()))
    }

    fn resources(self, question: Question<'_>) -> Result<Vec<String>, Fault> {
        let subject = identity(question.part("subject")?)?;
        let action = question.part("action")?.text("name")?;
        let object_type = question.part("resource")?.text("type")?;
        let context = question.context()?;
        let asked = || Some((subject.entity().ok()?, action.parse().ok()?, object_type.parse().ok()?));
        let Some((subject, action, object_type)): Option<(Entity, RelationName, TypeName)> = asked() else {
            return Ok(Vec::new());
        };
        let context = RequestContext::new(&context).only_at(self.now);
        let subject = User::Object(subject);
        let question = ObjectsQuestion { user: &subject, relation: &action, object_type: &object_type };
        sorted(self.policy.list_certain_objects(question, &context, self.deadline.interrupt()))
    }

    fn actions(self, question: Question<'_>) -> Result<Vec<String>, Fault> {
        let (subject, resource) = (identity(question.part("subject")?)?, identity(question.part("resource")?)?);
        let context = question.context()?;
        let (Ok(subject), Ok(resource)) = (subject.entity(), resource.entity()) else { return Ok(Vec::new()) };
        let (subject, context) = (User::Object(subject), RequestContext::new(&context).only_at(self.now));
        let mut names: Vec<String> = Vec::new();
        for action in self.policy.model().relations(resource.type_name()) {
            if self.deadline.is_over() {
                return Err(too_late());
            }
            let decision = Decision::from(self.policy.check(&subject, action, &resource, &context));
            names.extend(decision.is_permitted().then(|| action.to_string()));
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn too_late() -> Fault {
    Fault::Failed("it took too long: ask for less".to_owned())
}

/// The texts of what was found. A search that the deadline ended has no results: nothing would say that some lack.
fn sorted<T: ToString>(found: Result<Option<Vec<T>>, CheckError>) -> Result<Vec<String>, Fault> {
    match found {
        Ok(None) => Err(too_late()),
        Ok(Some(found)) => {
            let mut names: Vec<String> = found.iter().map(T::to_string).collect();
            names.sort_unstable();
            Ok(names)
        }
        Err(CheckError::UnknownType(_) | CheckError::UnknownRelation(..)) => Ok(Vec::new()),
        Err(error) => Err(Fault::Failed(error.to_string())),
    }
}
