//! The example's programs by themselves, without Sealane: what fails here is not Sealane's fault.

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let missing = ["python3", "redis-server"].into_iter().find(|program| !is_installed(program));
    let trial = Trial::test("shop_works_without_sealane", shop_works);
    let trial = match missing {
        None => trial,
        Some(program) => trial.with_kind(format!("needs {program}")).with_ignored_flag(true),
    };
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

fn shop_works() -> Result<(), Failed> {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop");
    // -B, so that a test leaves nothing behind in the source tree.
    let status = Command::new("python3").args(["-B", "test_shop.py"]).current_dir(shop).status()?;
    if status.success() { Ok(()) } else { Err(format!("test_shop.py: {status}").into()) }
}

fn is_installed(program: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
