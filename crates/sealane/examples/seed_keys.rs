//! Fills the cell in DIR with keys of the account, many to a transaction, and writes their ids to
//! OUT, one a line. For benchmarks at scale: `seed_keys DIR N OUT`.

use std::io::Write as _;

use anyhow::Context as _;
use crypto::SystemEntropy;
use keys::access::{Principals, may_create_own};
use keys::policy::caller::{Caller, CallerKind};
use keys::{KeySpec, NewKey, Owner};
use sealane::cell_dir::{self, CellDir, UnlockWith};

const KEYS_PER_TRANSACTION: usize = 20_000;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(count), Some(to)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        anyhow::bail!("usage: seed_keys DIR N OUT");
    };
    let count: usize = count.parse().context("N is a number")?;
    let cell = cell_dir::open(&CellDir::at(dir), &UnlockWith::KeyFile(None))?;
    let mut ids = std::io::BufWriter::new(std::fs::File::create(to)?);
    let caller = Caller {
        arn: "seed_keys".to_owned(),
        account: cell.kms.account().to_string(),
        kind: CallerKind::Root,
        tenant: None,
    };
    let owner = Owner::Account;
    let principals = Principals { owner, at_home: caller.clone(), abroad: caller };
    let entropy = &mut SystemEntropy::new();
    let mut made = 0;
    while made < count {
        let mut change = cell.kms.begin()?;
        let batch = KEYS_PER_TRANSACTION.min(count - made);
        for _ in 0..batch {
            let new = NewKey::of(owner, KeySpec::SymmetricDefault, "");
            let permit = may_create_own(&principals);
            let record = permit.create_key(new, change.ring(), sealane::kms::now(), entropy);
            change.add_key(&record)?;
            writeln!(ids, "{}", record.id)?;
        }
        change.commit()?;
        made += batch;
        eprintln!("{made} keys");
    }
    ids.flush()?;
    cell.kms.trail().close()?;
    Ok(())
}
