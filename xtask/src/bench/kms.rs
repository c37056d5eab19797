//! The KMS server's speed, above the floor that its HTTP library sets, and beside moto's.
//!
//! **Start reading** at [`run`]: sides are made ready ([`sides`]), put under load in turns
//! ([`load`]), and compared ([`report`]).

mod answer;
mod calls;
mod constant;
mod figures;
mod interrupts;
mod load;
mod options;
mod primitives;
mod process;
mod report;
mod request;
mod server;
mod sides;
mod sigv4;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

pub(super) use constant::{NAME as CONSTANT, command as serve_constant};

use crate::Error;
use crate::run::target_dir;
use calls::Operation;
use load::{Load, Outcome, Pace};
use options::{KEYS_MANY, Options};
use process::Memory;
use report::{Report, Sample, Started};
use server::Server;
use sides::{Kind, Side};

/// When requests are signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Signing {
    /// A few for each connection, once a second, as the signature of a second is good for it.
    Second,
    /// On the fly, under a key drawn for it.
    Each,
}

impl Signing {
    fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "second" => Ok(Self::Second),
            "each" => Ok(Self::Each),
            _ => Err(format!("{text} is neither second nor each").into()),
        }
    }
}

/// `cargo xtask bench kms`, see docs/benchmarks.md
pub(super) fn run(arguments: &[String]) -> Result<(), Error> {
    let options = Options::parse(arguments)?;
    if cfg!(debug_assertions) {
        return Err(run_optimized(arguments));
    }
    interrupts::watch()?;
    let scratch = Scratch::create(&options)?;
    let mut report = Report { title: title(&options), ..Report::default() };
    let mut sides = prepare(&options, &scratch.0, &mut report)?;
    saturate(&mut sides, &options, &mut report)?;
    pace(&mut sides, &options, &mut report)?;
    for side in &sides {
        report.started.extend(started(side)?);
    }
    report.primitives = primitives::measure()?;
    // Servers end before their folders go.
    drop(sides);
    if options.json {
        println!("{:#}", report.json());
    } else {
        print!("{}", report.markdown());
    }
    Ok(())
}

/// A generator and a floor that are not optimized would measure themselves: goes on as another
/// build of this program, and returns only if it cannot.
fn run_optimized(arguments: &[String]) -> Error {
    let again = || -> Result<std::convert::Infallible, Error> {
        sides::output(&mut sides::optimized("build", "xtask")?)?;
        let program = target_dir("release")?.join("xtask");
        let mut command = std::process::Command::new(program);
        Err(command.args(["bench", "kms"]).args(arguments).exec().into())
    };
    match again() {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn title(options: &Options) -> String {
    format!(
        "{} connections, {} rounds of {} s, plaintexts of {} bytes, {}; medians over rounds, \
         spread in brackets",
        options.connections,
        options.rounds,
        options.time.as_secs(),
        options.plaintext_bytes,
        match options.signing {
            Signing::Second => "requests signed once a second",
            Signing::Each => "each request signed by itself, under a key drawn for it",
        }
    )
}

/// The servers to be measured, the one that the floor belongs to first.
fn prepare(options: &Options, scratch: &Path, report: &mut Report) -> Result<Vec<Side>, Error> {
    let mut sides = Vec::new();
    if let Some(address) = options.server {
        sides.push(sides::given(address, options)?);
    } else {
        sides::output(&mut sides::optimized("build", "sealane")?)?;
        if options.scale {
            for (name, keys) in [("sealane", options.keys), ("sealane, many keys", KEYS_MANY)] {
                sides.push(sides::sealane(name, keys, scratch, options)?);
            }
        } else {
            sides.push(sides::sealane("sealane", options.keys, scratch, options)?);
        }
    }
    sides.push(sides::constant(&sides[0], scratch, options)?);
    if options.moto && options.server.is_none() {
        match sides::moto(scratch, options) {
            Ok(side) => sides.push(side),
            Err(error) => {
                interrupts::check()?;
                report.skipped.push(format!("moto: {error}"));
            }
        }
    }
    Ok(sides)
}

fn saturate(sides: &mut [Side], options: &Options, report: &mut Report) -> Result<(), Error> {
    for round in 0..options.rounds {
        for (number, operation) in Operation::ALL.into_iter().enumerate() {
            // Who goes first changes, so that none profits from what another warmed.
            for turn in 0..sides.len() {
                let at = (round + turn) % sides.len();
                let side = &mut sides[at];
                let outcome = side.load(number, Pace::Saturated, options)?;
                progress(round, side, operation, &outcome);
                report.saturated.push(side.sample(operation, outcome));
            }
        }
    }
    Ok(())
}

/// Latency where a server is to be run: half as fast as it could.
fn pace(sides: &mut [Side], options: &Options, report: &mut Report) -> Result<(), Error> {
    let rows = report::rows(&report.saturated);
    for round in 0..options.rounds {
        for (number, operation) in Operation::ALL.into_iter().enumerate() {
            let judged = |kind| matches!(kind, Kind::Sealane | Kind::Given);
            let saturated =
                rows.iter().filter(|row| row.operation == operation && judged(row.kind));
            let slowest = saturated.map(|row| row.rate.median).fold(f64::INFINITY, f64::min);
            for side in sides.iter_mut().filter(|side| side.kind != Kind::Moto) {
                let outcome = side.load(number, Pace::Rate(slowest / 2.0), options)?;
                progress(round, side, operation, &outcome);
                report.paced.push(side.sample(operation, outcome));
            }
        }
    }
    Ok(())
}

fn progress(round: usize, side: &Side, operation: Operation, outcome: &Outcome) {
    eprintln!(
        "round {round}: {} {}: {:.0} per second, {:.1} µs of CPU each, p99 {:.3} ms",
        side.name,
        operation.name(),
        outcome.rate,
        outcome.cpu.unwrap_or_default().as_secs_f64() * 1e6,
        outcome.p99.as_secs_f64() * 1e3,
    );
}

fn started(side: &Side) -> Result<Option<Started>, Error> {
    let (Some(server), Some(at_start)) = (&side.server, side.memory) else { return Ok(None) };
    Ok(Some(Started {
        side: side.name.clone(),
        keys: side.keys,
        ready_ms: server.ready_in.as_secs_f64() * 1e3,
        at_start,
        at_end: Memory::of(server.process())?,
    }))
}

impl Side {
    fn load(&mut self, number: usize, pace: Pace, options: &Options) -> Result<Outcome, Error> {
        let (address, server, time) = (self.address, self.process, self.time);
        let (connections, requests) = (options.connections, &mut self.requests[number]);
        let load = Load { address, server, connections, pace, time, requests };
        load.run().map_err(|error| {
            let complaint = self.server.as_mut().and_then(Server::complaint).unwrap_or_default();
            format!("{}: {error} {complaint}", self.name).trim_end().into()
        })
    }

    fn sample(&self, operation: Operation, outcome: Outcome) -> Sample {
        Sample { side: self.name.clone(), kind: self.kind, operation, outcome }
    }
}

/// A folder that goes away with the run.
struct Scratch(PathBuf);

impl Scratch {
    /// In memory where there is one: not the disk is measured.
    fn create(options: &Options) -> Result<Self, Error> {
        let memory = Path::new("/dev/shm");
        let parent = match &options.scratch {
            Some(scratch) => std::path::absolute(scratch)?,
            None if memory.is_dir() => memory.to_owned(),
            None => target_dir("bench")?,
        };
        let path = parent.join(format!("sealane-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
