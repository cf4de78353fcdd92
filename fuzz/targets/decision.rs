//! Decisions: bytes become a model, tuples and questions, which the engine and the naive evaluator must answer alike.
#![no_main]
#![expect(dead_code, reason = "the tests use more of what they share")]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/engine/policy_random.rs"]
mod policy_random;
#[path = "../../tests/engine/reference.rs"]
mod reference;
#[path = "../../tests/engine/trials.rs"]
mod trials;

fuzz_target!(|bytes: &[u8]| {
    if let Some(difference) = policy_random::first_difference(&mut policy_random::Random::of_bytes(bytes)) {
        panic!("{difference}");
    }
});
