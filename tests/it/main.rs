//! The tests of the whole: one binary, so that it is linked once.

mod gate;
mod layers;
mod support;
