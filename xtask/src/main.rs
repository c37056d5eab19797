//! The project's automation: what `make` and CI start.
//!
//! **Decides** which checks make the project green, what a machine needs, and what the code may not
//! do ([`tidy`]). **Deliberately does not know** any crate of Sealane: it must build and complain
//! when they do not. **Start reading** at [`COMMANDS`].

#![forbid(unsafe_code)]

mod bench;
mod ci;
mod demo;
mod run;
mod setup;
mod summary;
mod tidy;

use std::process::ExitCode;

type Error = Box<dyn std::error::Error>;

struct Command {
    name: &'static str,
    arguments: &'static str,
    purpose: &'static str,
    run: fn(&[String]) -> Result<(), Error>,
}

/// Every subcommand. A new one is a line here and a file beside this one.
const COMMANDS: &[Command] = &[
    Command {
        name: "ci",
        arguments: "[--full]",
        purpose: "everything that must be green: format, lints, tests, docs, bans, canary hunt",
        run: ci::ci,
    },
    Command {
        name: "test",
        arguments: "[--full]",
        purpose: "the tests alone; --full kills more often and tries more seeds",
        run: ci::test,
    },
    Command {
        name: "tidy",
        arguments: "",
        purpose: "the rules of CONTRIBUTING.md that a machine can check",
        run: tidy::command,
    },
    Command {
        name: "setup",
        arguments: "demo|test",
        purpose: "install the Debian packages that the example or the tests need",
        run: setup::command,
    },
    Command {
        name: "bench",
        arguments: "e2e|kms",
        purpose: "speed beside a peer: the example through a cell and without one; the KMS server",
        run: bench::command,
    },
    Command {
        name: "demo",
        arguments: "",
        purpose: "build Sealane and run examples/shop until Ctrl-C",
        run: demo::command,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        eprint!("{}", usage());
        return ExitCode::from(2);
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprint!("xtask: there is no `{name}`\n\n{}", usage());
        return ExitCode::from(2);
    };
    match (command.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let mut text = String::from("usage: cargo xtask COMMAND\n\n");
    for command in COMMANDS {
        let call = format!("{} {}", command.name, command.arguments);
        text.push_str(&format!("  {call:<18} {}\n", command.purpose));
    }
    text
}
