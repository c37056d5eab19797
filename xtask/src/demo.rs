//! `make demo`: the example cell, from nothing to a prompt that says what to try.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::run::{cargo, root, run, target_dir};
use crate::{Error, setup};

const CELL: &str = "examples/shop/cell.toml";

/// `cargo xtask demo`
pub(crate) fn command(arguments: &[String]) -> Result<(), Error> {
    if !arguments.is_empty() {
        return Err(format!("takes no arguments, not `{}`", arguments.join(" ")).into());
    }
    setup::ensure(setup::DEMO)?;
    // A debug build would show a data path several times slower than it is.
    run(cargo().args(["build", "--release", "--package", "sealane"]))?;
    let program = target_dir("release")?.join("sealane");
    let called = program.strip_prefix(root()).unwrap_or(&program).display().to_string();
    println!("{}", what_to_try(&called));
    if !crate::run::is_root() {
        println!("{WITHOUT_ROOT}");
    }
    // Replaced, not started: Ctrl-C must reach the cell, and its exit code must be ours.
    let error = Command::new(&program).current_dir(root()).args(["up", CELL]).exec();
    Err(format!("cannot start {}: {error}", program.display()).into())
}

/// What `sealane up` would refuse to start without, and what root alone gives.
const WITHOUT_ROOT: &str = "\
You are not root. The cell needs user namespaces and an open /dev/fuse; where one is missing it says
what to do, and starts nothing. All services run as you, in namespaces of their own; as root each
has a user of its own as well.
";

fn what_to_try(sealane: &str) -> String {
    format!(
        "
The cell starts below and runs until Ctrl-C. In another terminal, in this directory, try:

  # The certificate authority of the cell, so that curl can verify the ingress.
  {sealane} ca bundle > ca.pem

  # Store an item and read it: ingress, web, catalog, redis, sealed volume, and back.
  curl --cacert ca.pem -X PUT --data 'a red chair' https://acme.shop.localhost:8443/items/chair
  curl --cacert ca.pem https://acme.shop.localhost:8443/items/chair
  # Where the name does not resolve, add: --resolve acme.shop.localhost:8443:127.0.0.1

  # The other tenant has its own services, keys and volume, and no such item.
  curl --cacert ca.pem https://globex.shop.localhost:8443/items/chair

  # What runs, what is protected and how, and who may call whom.
  {sealane} status
  {sealane} report
  {sealane} policy explain acme/web catalog:8080
  {sealane} policy explain acme/web redis:6379

  # Take a tenant's key away: its volume stops within seconds, the other tenant goes on.
  {sealane} key list
  {sealane} key disable KEY-ID
  {sealane} key enable KEY-ID

  # What the disk holds: sealed segments, and no red chair.
  grep -r 'red chair' sealane.d || echo 'nothing in the clear'
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cell_of_the_demo_exists() {
        assert!(root().join(CELL).is_file());
    }

    #[test]
    fn the_hints_name_the_hosts_of_the_cell() {
        let cell = std::fs::read_to_string(root().join(CELL)).unwrap();
        for host in ["acme.shop.localhost", "globex.shop.localhost"] {
            assert!(cell.contains(host) && what_to_try("sealane").contains(host));
        }
    }
}
