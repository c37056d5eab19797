//! `cargo xtask bench`: speed, as a ratio to a peer that ran in the same minutes.

mod e2e;
#[path = "../../crates/sealane/tests/support/https.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod https;
mod kms;

use crate::Error;

/// `cargo xtask bench e2e [--rounds N] [--seconds N] [--connections N]`, or `bench kms` with
/// options of its own
pub(crate) fn command(arguments: &[String]) -> Result<(), Error> {
    match arguments.split_first() {
        Some((name, rest)) if name == "e2e" => e2e::run(&options(rest)?),
        Some((name, rest)) if name == "kms" => kms::run(rest),
        Some((name, rest)) if name == kms::CONSTANT => kms::serve_constant(rest),
        _ => Err("takes the name of a benchmark: e2e or kms".into()),
    }
}

struct Options {
    rounds: usize,
    seconds: u64,
    connections: usize,
}

fn options(arguments: &[String]) -> Result<Options, Error> {
    let mut options = Options { rounds: 3, seconds: 5, connections: 8 };
    let mut arguments = arguments.iter();
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
        let number: usize = value.parse().map_err(|_| format!("{value} is no number"))?;
        match name.as_str() {
            "--rounds" => options.rounds = number.max(1),
            "--seconds" => options.seconds = (number as u64).clamp(1, 600),
            "--connections" => options.connections = number.clamp(1, 256),
            _ => return Err(format!("no such option: {name}").into()),
        }
    }
    Ok(options)
}
