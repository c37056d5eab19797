//! The one binary. All of it is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use sealane::sys::wiping::Wiping;

/// Events are made by one thread and dropped by another, which the system's allocator pays for with
/// locks between the two; and what is given back holds nobody's secrets.
#[global_allocator]
static ALLOCATOR: Wiping<MiMalloc> = Wiping(MiMalloc);

fn main() -> ExitCode {
    sealane::cli::main()
}
