//! The one binary. All of it is in the library.

use std::process::ExitCode;

/// Events are made by one thread and dropped by another, which the system's allocator pays for with
/// locks between the two.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sealane::cli::main()
}
