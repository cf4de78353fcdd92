//! The tests of the whole: one binary, so that it is linked once.

mod bad_input;
mod commands;
mod failures;
mod gate;
mod layers;
mod malformed;
mod mapping;
mod model_diagnostics;
mod policy;
mod policy_random;
mod reference;
mod reload;
mod support;
mod transport;
