//! Which types may stand for one another, and what the unknown ones turn out to be.

use std::cell::Cell;

use super::kind::Kind;

/// The most steps that all comparisons of types in one condition may take.
const MOST_STEPS: u32 = 5_000_000;

/// What is known of the type variables. Guesses that lead nowhere are taken back.
#[derive(Debug)]
pub(super) struct Variables {
    known: Vec<Option<Kind>>,
    /// What is left of the steps that one condition may take. Types can grow twofold with each word.
    fuel: Cell<u32>,
    // What each changed variable was before, so that a guess can be taken back.
    changes: Vec<(usize, Option<Kind>)>,
}

impl Default for Variables {
    fn default() -> Self {
        Self { known: Vec::new(), fuel: Cell::new(MOST_STEPS), changes: Vec::new() }
    }
}

impl Variables {
    /// Whether the types were too complex to be compared to the end.
    pub(super) fn is_exhausted(&self) -> bool {
        self.fuel.get() == 0
    }

    fn spend(&self) -> bool {
        let left = self.fuel.get().saturating_sub(1);
        self.fuel.set(left);
        left > 0
    }

    /// A variable of which nothing is known.
    pub(super) fn fresh(&mut self) -> Kind {
        self.known.push(None);
        Kind::Variable(self.known.len() - 1)
    }

    /// Whether each of `given` may stand where `wanted` does. What this says about variables is kept if so.
    pub(super) fn assign_all(&mut self, given: &[Kind], wanted: &[Kind]) -> bool {
        self.changes.clear();
        let fits = given.len() == wanted.len() && given.iter().zip(wanted).all(|(one, other)| self.fits(one, other));
        if !fits {
            for (variable, before) in self.changes.drain(..).rev() {
                if let Some(slot) = self.known.get_mut(variable) {
                    *slot = before;
                }
            }
        }
        fits
    }

    /// Whether `given` may stand where `wanted` does.
    pub(super) fn assign(&mut self, given: &Kind, wanted: &Kind) -> bool {
        self.assign_all(std::slice::from_ref(given), std::slice::from_ref(wanted))
    }

    /// The type that has room for both, or `any`.
    pub(super) fn join(&mut self, one: Kind, other: Kind) -> Kind {
        if !self.assign(&one, &other) {
            Kind::Dynamic
        } else if less_specific(&one, &other) {
            one
        } else {
            other
        }
    }

    /// The type with all known variables filled in.
    pub(super) fn resolve(&self, kind: &Kind) -> Kind {
        if !self.spend() {
            return Kind::Wrong;
        }
        match kind {
            Kind::Variable(variable) => match self.get(*variable) {
                Some(known) => self.resolve(known),
                None => kind.clone(),
            },
            Kind::List(element) => Kind::list(self.resolve(element)),
            Kind::Map(entry) => Kind::map(self.resolve(&entry.0), self.resolve(&entry.1)),
            Kind::Type(of) => Kind::Type(Box::new(self.resolve(of))),
            other => other.clone(),
        }
    }

    fn get(&self, variable: usize) -> Option<&Kind> {
        self.known.get(variable).and_then(Option::as_ref)
    }

    fn learn(&mut self, variable: usize, kind: Kind) {
        if let Some(slot) = self.known.get_mut(variable) {
            self.changes.push((variable, slot.replace(kind)));
        }
    }

    fn fits(&mut self, given: &Kind, wanted: &Kind) -> bool {
        if !self.spend() {
            return false;
        }
        if let Kind::Variable(variable) = wanted {
            match self.stands_for(given, *variable) {
                Substitution::Fits => return true,
                Substitution::Contradicts => return false,
                Substitution::Circular => {}
            }
        }
        match (given, wanted) {
            (Kind::Variable(variable), _) => matches!(self.stands_for(wanted, *variable), Substitution::Fits),
            (one, other) if one.is_open() || other.is_open() => true,
            (Kind::Null, other) | (other, Kind::Null) => is_nullable(other),
            (Kind::List(one), Kind::List(other)) => self.fits(one, other),
            (Kind::Map(one), Kind::Map(other)) => self.fits(&one.0, &other.0) && self.fits(&one.1, &other.1),
            (Kind::Type(_), Kind::Type(_)) => true,
            (one, other) => one == other,
        }
    }

    fn stands_for(&mut self, kind: &Kind, variable: usize) -> Substitution {
        if *kind == Kind::Variable(variable) {
            return Substitution::Fits;
        }
        if let Some(known) = self.get(variable).cloned() {
            if *kind == known {
                return Substitution::Fits;
            }
            if !self.fits(kind, &known) {
                return Substitution::Contradicts;
            }
            let general = if less_specific(kind, &known) { kind.clone() } else { known };
            if self.is_free_of(&general, variable) {
                self.learn(variable, general);
            }
            return Substitution::Fits;
        }
        if !self.is_free_of(kind, variable) {
            return Substitution::Circular;
        }
        self.learn(variable, kind.clone());
        Substitution::Fits
    }

    /// Whether the variable is no part of the type: a list cannot be its own element.
    fn is_free_of(&self, kind: &Kind, variable: usize) -> bool {
        if !self.spend() {
            return false;
        }
        match kind {
            Kind::Variable(other) if *other == variable => false,
            Kind::Variable(other) => self.get(*other).is_none_or(|known| self.is_free_of(known, variable)),
            Kind::List(element) | Kind::Type(element) => self.is_free_of(element, variable),
            Kind::Map(entry) => self.is_free_of(&entry.0, variable) && self.is_free_of(&entry.1, variable),
            _ => true,
        }
    }
}

enum Substitution {
    Fits,
    Contradicts,
    Circular,
}

/// The types that `null` may stand for (cel-go's list).
const fn is_nullable(kind: &Kind) -> bool {
    matches!(kind, Kind::Null | Kind::Timestamp | Kind::Duration | Kind::IpAddress)
}

/// Whether `one` has room for all that `other` has.
fn less_specific(one: &Kind, other: &Kind) -> bool {
    match (one, other) {
        (Kind::Dynamic | Kind::Any | Kind::Variable(_), _) => true,
        (_, Kind::Dynamic | Kind::Any | Kind::Variable(_)) => false,
        (Kind::List(one), Kind::List(other)) => less_specific(one, other),
        (Kind::Map(one), Kind::Map(other)) => less_specific(&one.0, &other.0) && less_specific(&one.1, &other.1),
        (Kind::Type(_), Kind::Type(_)) => true,
        (one, other) => one == other,
    }
}
