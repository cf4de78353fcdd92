//! The tests of the whole: one binary, so that it is linked once.

mod gate;
mod layers;
mod model_diagnostics;
mod policy;
mod policy_random;
mod reference;
mod support;
