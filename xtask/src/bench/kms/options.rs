//! What the user may ask of this benchmark.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Signing;
use crate::Error;

#[derive(Debug, PartialEq)]
pub(super) struct Options {
    pub(super) rounds: usize,
    pub(super) time: Duration,
    pub(super) connections: usize,
    pub(super) keys: usize,
    /// The same with [`KEYS_MANY`] keys beside it.
    pub(super) scale: bool,
    pub(super) signing: Signing,
    pub(super) plaintext_bytes: usize,
    pub(super) json: bool,
    pub(super) moto: bool,
    /// A server that runs already.
    pub(super) server: Option<SocketAddr>,
    /// Its process, if it is one of this machine.
    pub(super) process: Option<u32>,
    /// Where stores lie.
    pub(super) scratch: Option<PathBuf>,
}

pub(super) const KEYS_MANY: usize = 1_000_000;
/// Up to so many keys are made through the API; more are put into the store beforehand.
pub(super) const KEYS_BY_API_MAX: usize = 1000;

impl Options {
    pub(super) fn parse(arguments: &[String]) -> Result<Self, Error> {
        let mut options = Self {
            rounds: 3,
            time: Duration::from_secs(4),
            connections: 32,
            keys: 100,
            scale: false,
            signing: Signing::Second,
            plaintext_bytes: 256,
            json: false,
            moto: true,
            server: None,
            process: None,
            scratch: None,
        };
        let mut signing = None;
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--rounds" => options.rounds = number(value()?, 1..=100)?,
                "--seconds" => {
                    options.time = Duration::from_secs(number(value()?, 1..=600)? as u64);
                }
                "--connections" => options.connections = number(value()?, 1..=1024)?,
                "--keys" => options.keys = number(value()?, 1..=10_000_000)?,
                "--scale" => options.scale = true,
                "--sign" => signing = Some(Signing::parse(value()?)?),
                "--plaintext" => options.plaintext_bytes = number(value()?, 1..=4096)?,
                "--output" => options.json = is_json(value()?)?,
                "--no-moto" => options.moto = false,
                "--server" => options.server = Some(address(value()?)?),
                "--pid" => options.process = Some(u32::try_from(number(value()?, 1..=1 << 22)?)?),
                "--scratch" => options.scratch = Some(PathBuf::from(value()?)),
                _ => return Err(format!("no such option: {name}").into()),
            }
        }
        if options.scale {
            options.moto = false;
        }
        if options.server.is_some() && (options.scale || options.keys > KEYS_BY_API_MAX) {
            return Err("a server that runs is given its keys through the API: a few only".into());
        }
        let many = options.scale || options.keys > KEYS_BY_API_MAX;
        // Requests that are signed beforehand could only name some of many keys.
        let usual = if many { Signing::Each } else { Signing::Second };
        options.signing = signing.unwrap_or(usual);
        Ok(options)
    }
}

fn number(text: &str, within: std::ops::RangeInclusive<usize>) -> Result<usize, Error> {
    let number = text.parse().ok().filter(|number| within.contains(number));
    let (start, end) = (within.start(), within.end());
    number.ok_or_else(|| format!("{text} is no number from {start} to {end}").into())
}

fn is_json(text: &str) -> Result<bool, Error> {
    match text {
        "json" => Ok(true),
        "markdown" => Ok(false),
        _ => Err(format!("{text} is neither json nor markdown").into()),
    }
}

fn address(url: &str) -> Result<SocketAddr, Error> {
    let address = url.strip_prefix("http://").map(|address| address.trim_end_matches('/'));
    let address = address.and_then(|address| address.parse().ok());
    address.ok_or_else(|| format!("{url} is no http://ADDRESS:PORT, address in numbers").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Error> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    #[test]
    fn options_are_read_and_refused() {
        let options = parse("--rounds 5 --seconds 2 --sign each --output json --no-moto").unwrap();
        assert_eq!((options.rounds, options.time.as_secs()), (5, 2));
        assert!(options.signing == Signing::Each && options.json && !options.moto);
        for wrong in [
            "--rounds",
            "--rounds 0",
            "--keys many",
            "--sign never",
            "--output xml",
            "--server https://127.0.0.1:1",
            "--server http://127.0.0.1:1 --scale",
            "--faster",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn many_keys_are_drawn_for_each_request() {
        assert_eq!(parse("").unwrap().signing, Signing::Second);
        assert_eq!(parse("--keys 1000000").unwrap().signing, Signing::Each);
        assert_eq!(parse("--scale").unwrap().signing, Signing::Each);
        assert_eq!(parse("--scale --sign second").unwrap().signing, Signing::Second);
    }

    #[test]
    fn a_server_is_named_by_url() {
        let options = parse("--server http://127.0.0.1:8080/ --pid 7").unwrap();
        assert_eq!(options.server, Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(options.process, Some(7));
    }
}
