//! Cores decide and never reach out: what they may not touch.

use super::source::{Source, SourcePath};
use super::{Violation, crate_of};

/// `crypto` and `wire` are held to the same, being what the cores are made of.
const PURE: &[&str] = &["keys", "mesh", "volume", "backup", "wire", "crypto"];

/// Paths that begin so reach out of the core.
const PATHS: &[&str] =
    &["std::fs", "std::env", "std::thread", "std::process", "std::os", "rustix", "tokio", "libc"];

/// Paths that end so read a clock.
const CLOCKS: &[&str] = &["SystemTime::now", "Instant::now", "OffsetDateTime::now_utc"];

/// Names that mean a socket or the system's randomness wherever they come from.
const NAMES: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "SystemEntropy",
    "SystemRandom",
    "getrandom",
    "OsRng",
];

/// Facts go in, decisions come out. What sits under `#[cfg(test)]` is not held to it.
pub(super) fn cores_are_pure(file: &str, source: &Source) -> Vec<Violation> {
    let Some((name, inside)) = crate_of(file).filter(|(name, _)| PURE.contains(name)) else {
        return Vec::new();
    };
    // A core's integration tests are tests throughout.
    if !inside.starts_with("src/") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for path in source.paths().iter().filter(|path| !path.for_tests) {
        if let Some(what) = impure(name, path) {
            let advice = format!(
                "`{what}` in a pure core: take the fact as an argument, or give the intention back \
                 and let `sealane` carry it out"
            );
            found.push(Violation::new(file, path.line, advice));
        }
    }
    for token in source.tokens.iter().filter(|token| token.text == "async" && !token.for_tests) {
        let advice =
            "`async` in a pure core: make it a machine that `sealane` turns (submit, poll)";
        found.push(Violation::new(file, token.line, advice));
    }
    found
}

fn impure(name: &str, path: &SourcePath) -> Option<&'static str> {
    let starts = PATHS.iter().find(|wanted| path.starts_with(wanted));
    let ends = CLOCKS.iter().find(|wanted| path.ends_with(wanted));
    // `crypto` is where the system's randomness is wrapped as an `Entropy`.
    let named = NAMES.iter().find(|wanted| {
        path.mentions(wanted) && !(name == "crypto" && wanted.starts_with("System"))
    });
    starts.or(ends).or(named).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str, text: &str) -> Vec<usize> {
        let found = cores_are_pure(file, &Source::parse(text));
        found.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn every_way_out_of_a_core_is_caught() {
        for text in [
            "use std::fs;",
            "use std::{io, fs::File};",
            "fn f() { std::env::var(\"X\"); }",
            "fn f() { std::thread::spawn(g); }",
            "use tokio::sync::mpsc;",
            "pub async fn f() {}",
            "fn f() { async { 1 }; }",
            "use std::net::{IpAddr, TcpStream};",
            "fn f(l: std::net::TcpListener) {}",
            "use std::net::UdpSocket as Socket;",
            "fn f() { let now = Instant::now(); }",
            "fn f() { std::time::SystemTime::now(); }",
            "use crypto::SystemEntropy;",
        ] {
            for name in ["keys", "mesh", "volume", "wire", "backup"] {
                assert_eq!(lines(&format!("crates/{name}/src/x.rs"), text), [1], "{text}");
            }
            assert_eq!(lines("crates/sealane/src/x.rs", text), [0; 0], "{text}");
        }
    }

    #[test]
    fn values_and_tests_are_free() {
        for text in [
            "use std::time::{Duration, Instant}; fn f(now: Instant) {}",
            "use std::net::IpAddr;",
            "/// As std::fs does.\nfn f() -> &'static str { \"tokio async\" }",
            "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }",
        ] {
            assert_eq!(lines("crates/volume/src/x.rs", text), [0; 0], "{text}");
        }
    }

    #[test]
    fn crypto_wraps_the_systems_randomness_and_nothing_else() {
        assert_eq!(lines("crates/crypto/src/entropy.rs", "pub struct SystemEntropy;"), [0; 0]);
        assert_eq!(lines("crates/crypto/src/entropy.rs", "use std::fs;"), [1]);
    }
}
