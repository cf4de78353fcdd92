//! The binary: the commands, and nothing else.

use std::process::ExitCode;

// Short-lived small allocations on many threads are what a proxy does: measured cheaper than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portcullis::cli::main()
}
