//! The conditions of a model, by name.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::validate::ModelProblem;
use crate::policy::condition::{ConditionName, ConditionSource};

/// The conditions of a model, each once, in the order they are written.
#[derive(Debug, Default)]
pub struct Conditions {
    all: Box<[ConditionSource]>,
    numbers: HashMap<ConditionName, usize, RandomState>,
}

impl Conditions {
    /// Compiles conditions whose names differ, or says everything that is wrong with them.
    pub(super) fn new(sources: Vec<ConditionSource>) -> Result<Self, Vec<ModelProblem>> {
        let mut problems = Vec::new();
        let mut all = Vec::with_capacity(sources.len());
        for source in sources {
            match compile(source) {
                Ok(condition) => all.push(condition),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let numbers = all.iter().enumerate().map(|(number, known)| (known.name.value.clone(), number)).collect();
        Ok(Self { all: all.into(), numbers })
    }

    /// The condition of this name.
    pub fn get(&self, name: &str) -> Option<&ConditionSource> {
        self.all.get(*self.numbers.get(name)?)
    }

    /// All conditions.
    pub fn iter(&self) -> impl Iterator<Item = &ConditionSource> {
        self.all.iter()
    }
}

/// What becomes of a condition: the one place where its expression is compiled, which today only keeps it.
#[expect(clippy::unnecessary_wraps, reason = "an expression that does not compile will be a problem of the model")]
fn compile(source: ConditionSource) -> Result<ConditionSource, ModelProblem> {
    Ok(source)
}
