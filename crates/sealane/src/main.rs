//! The one binary. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealane::cli::main()
}
