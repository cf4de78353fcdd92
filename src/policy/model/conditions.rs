//! The conditions of a model, by name.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::source::Placed;
use super::validate::{ModelFault, ModelProblem};
use crate::{
    access::Place,
    policy::condition::{Condition, ConditionFault, ConditionName, ConditionProblem, ConditionSource},
};

/// The conditions of a model, each once, in the order they are written.
#[derive(Debug, Default)]
pub struct Conditions {
    all: Box<[Condition]>,
    numbers: HashMap<ConditionName, u32, RandomState>,
}

impl Conditions {
    /// Compiles conditions whose names differ, or says everything that is wrong with them.
    pub(super) fn new(sources: &[ConditionSource]) -> Result<Self, Vec<ModelProblem>> {
        let mut problems = Vec::new();
        let mut all = Vec::with_capacity(sources.len());
        for source in sources {
            match Condition::compile(source) {
                Ok(condition) => all.push(condition),
                // What is declared twice is reported with the place of the second.
                Err(found) => problems.extend(
                    found
                        .into_iter()
                        .filter(|problem| !matches!(problem.fault, ConditionFault::DuplicateParameter(_)))
                        .map(|problem| placed(source, problem)),
                ),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let numbers = (0..).zip(&all).map(|(number, known)| (known.name().clone(), number)).collect();
        Ok(Self { all: all.into(), numbers })
    }

    /// The condition of this name.
    pub fn get(&self, name: &str) -> Option<&Condition> {
        self.number(name).and_then(|number| self.at(number))
    }

    /// All conditions.
    pub fn iter(&self) -> impl Iterator<Item = &Condition> {
        self.all.iter()
    }

    /// The number of the condition of this name.
    pub(in crate::policy) fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The condition with this number.
    pub(in crate::policy) fn at(&self, number: u32) -> Option<&Condition> {
        self.all.get(number as usize)
    }
}

/// The problem, at its place in the model.
fn placed(source: &ConditionSource, problem: ConditionProblem) -> ModelProblem {
    let Placed { value: text, place } = &source.expression;
    let place = match problem.offset {
        Some(offset) => {
            let Place { line, column } = Place::of_offset(text, offset);
            // Only the expression's first line begins behind something.
            let column = if line == 1 { column.saturating_add(place.column).saturating_sub(1) } else { column };
            Place { line: line.saturating_add(place.line).saturating_sub(1), column }
        }
        None => source.name.place,
    };
    ModelProblem { place, fault: ModelFault::Condition(source.name.value.clone(), problem.fault), help: None }
}
