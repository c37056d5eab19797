//! The example through a whole cell, beside the same three programs without Sealane.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Options, https};
use crate::Error;
use crate::run::{cargo, root, target_dir};

const HOST: &str = "acme.shop.localhost";
const READY_MAX: Duration = Duration::from_secs(60);
const BODY: [u8; 100] = [b'x'; 100];
/// Items that are written and read, so that reads find something.
const ITEMS: usize = 1000;

pub(super) fn run(options: &Options) -> Result<(), Error> {
    crate::run::run(cargo().args(["build", "--release", "--package", "sealane"]))?;
    let scratch = Scratch::create()?;
    let plain = Programs::plain(&scratch.0.join("plain"))?;
    let sealed = Programs::sealed(&scratch.0.join("sealed"))?;
    let sides = [("plain", plain.client()?), ("sealane", sealed.client()?)];
    for (_, client) in &sides {
        fill(client)?;
    }
    let mut samples = Vec::new();
    for round in 0..options.rounds {
        for method in ["PUT", "GET"] {
            // Who goes first changes, so that neither profits from what the other warmed.
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for side in order {
                let (name, client) = &sides[side];
                let sample = load(name, client, method, options)?;
                eprintln!("round {round}: {name} {method}: {:.0} per second", sample.rate);
                samples.push(sample);
            }
        }
    }
    print_table(&samples, options);
    Ok(())
}

/// A folder that goes away with the run.
struct Scratch(PathBuf);

impl Scratch {
    fn create() -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("sealane-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The three programs, however they are run. Interrupted in reverse order on drop.
struct Programs {
    children: Vec<Child>,
    address: SocketAddr,
    /// PEM of the ingress's roots; none for plain HTTP.
    roots: Option<PathBuf>,
}

impl Programs {
    fn plain(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)?;
        let shop = root().join("examples/shop");
        let [redis, catalog, web] = [free_port()?, free_port()?, free_port()?];
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, web));
        let mut programs = Self { children: Vec::new(), address, roots: None };
        let mut start = |command: &mut Command| -> Result<(), Error> {
            let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            programs.children.push(command.current_dir(&shop).spawn()?);
            Ok(())
        };
        let redis_port = redis.to_string();
        start(
            Command::new("redis-server").arg("redis.conf").args(["--port", &redis_port]).args([
                "--bind",
                "127.0.0.1",
                "--dir",
                &folder.display().to_string(),
            ]),
        )?;
        start(
            Command::new("/usr/bin/python3")
                .arg("catalog.py")
                .env("PORT", catalog.to_string())
                .env("REDIS_ADDR", format!("127.0.0.1:{redis}")),
        )?;
        start(
            Command::new("/usr/bin/python3")
                .arg("web.py")
                .env("PORT", web.to_string())
                .env("CATALOG_URL", format!("http://127.0.0.1:{catalog}")),
        )?;
        Ok(programs)
    }

    fn sealed(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)?;
        let port = free_port()?;
        for entry in std::fs::read_dir(root().join("examples/shop"))? {
            let path = entry?.path();
            if let (true, Some(name)) = (path.is_file(), path.file_name()) {
                std::fs::copy(&path, folder.join(name))?;
            }
        }
        let file = folder.join("cell.toml");
        let cell = std::fs::read_to_string(&file)?;
        std::fs::write(&file, cell.replace("0.0.0.0:8443", &format!("127.0.0.1:{port}")))?;
        let program = target_dir("release")?.join("sealane");
        let child = Command::new(&program)
            .args(["up", "cell.toml"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let roots = folder.join("bundle.pem");
        let programs = Self { children: vec![child], address, roots: Some(roots.clone()) };
        let deadline = Instant::now() + READY_MAX;
        loop {
            let status = Command::new(&program)
                .args(["status", "--output", "json"])
                .current_dir(folder)
                .output()?;
            if String::from_utf8_lossy(&status.stdout).replace(' ', "").contains("\"ready\":true") {
                break;
            }
            if Instant::now() > deadline {
                return Err("the cell was not ready in time".into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let bundle = Command::new(&program).args(["ca", "bundle"]).current_dir(folder).output()?;
        std::fs::write(roots, bundle.stdout)?;
        Ok(programs)
    }

    fn client(&self) -> Result<https::Client, Error> {
        Ok(match &self.roots {
            Some(roots) => https::Client::new(self.address, HOST, &std::fs::read_to_string(roots)?),
            None => https::Client::plain(self.address, HOST),
        })
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let interrupted =
                Command::new("kill").args(["-INT", &child.id().to_string()]).status().is_ok();
            if !interrupted {
                let _ = child.kill();
            }
            let _ = child.wait();
        }
    }
}

fn free_port() -> Result<u16, Error> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn fill(client: &https::Client) -> Result<(), Error> {
    let deadline = Instant::now() + READY_MAX;
    while !client.get("/items/0").is_ok_and(|response| matches!(response.status, 200 | 404)) {
        if Instant::now() > deadline {
            return Err("the shop does not answer".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut connection = client.connect()?;
    for item in 0..ITEMS {
        expect_success(&connection.request("PUT", &format!("/items/{item}"), &BODY)?)?;
    }
    Ok(())
}

fn expect_success(response: &https::Response) -> Result<(), Error> {
    if (200..300).contains(&response.status) {
        return Ok(());
    }
    let body = String::from_utf8_lossy(&response.body);
    Err(format!("the shop answered {}: {body}", response.status).into())
}

/// What one side did in one round.
struct Sample {
    side: &'static str,
    method: &'static str,
    rate: f64,
    p50: Duration,
    p99: Duration,
}

fn load(
    side: &'static str,
    client: &https::Client,
    method: &'static str,
    options: &Options,
) -> Result<Sample, Error> {
    let started = Instant::now();
    let until = started + Duration::from_secs(options.seconds);
    let worker = |number: usize| -> Result<Vec<Duration>, String> {
        let mut connection = client.connect().map_err(|error| error.to_string())?;
        let mut latencies = Vec::new();
        let mut item = number * 7919;
        while Instant::now() < until {
            item = (item + 1) % ITEMS;
            let body: &[u8] = if method == "PUT" { &BODY } else { b"" };
            let asked = Instant::now();
            let response = connection
                .request(method, &format!("/items/{item}"), body)
                .map_err(|error| error.to_string())?;
            latencies.push(asked.elapsed());
            expect_success(&response).map_err(|error| error.to_string())?;
        }
        Ok(latencies)
    };
    let mut latencies = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..options.connections).map(|number| scope.spawn(move || worker(number))).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| "a load thread panicked")??);
        }
        Ok::<_, String>(all)
    })?;
    let rate = latencies.len() as f64 / started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let quantile = |per_mille: usize| {
        latencies.get(latencies.len() * per_mille / 1000).copied().unwrap_or_default()
    };
    Ok(Sample { side, method, rate, p50: quantile(500), p99: quantile(990) })
}

fn print_table(samples: &[Sample], options: &Options) {
    println!(
        "{} connections, {} rounds of {} s, medians over rounds, spread of the rate in brackets\n",
        options.connections, options.rounds, options.seconds
    );
    println!("| | per second | p50 ms | p99 ms | ratio to plain |");
    println!("|---|---|---|---|---|");
    for method in ["PUT", "GET"] {
        let plain = median(samples, "plain", method, |sample| sample.rate);
        for side in ["plain", "sealane"] {
            let of = |value: fn(&Sample) -> f64| median(samples, side, method, value);
            let rate = of(|sample| sample.rate);
            let rates: Vec<_> = matching(samples, side, method).map(|sample| sample.rate).collect();
            let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
            let most = rates.iter().copied().fold(0.0, f64::max);
            println!(
                "| {method} {side} | {rate:.0} ({least:.0}–{most:.0}) | {:.2} | {:.2} | {:.2} |",
                of(|sample| sample.p50.as_secs_f64() * 1e3),
                of(|sample| sample.p99.as_secs_f64() * 1e3),
                rate / plain
            );
        }
    }
}

fn matching<'a>(
    samples: &'a [Sample],
    side: &'a str,
    method: &'a str,
) -> impl Iterator<Item = &'a Sample> {
    samples.iter().filter(move |sample| sample.side == side && sample.method == method)
}

fn median(samples: &[Sample], side: &str, method: &str, value: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<_> = matching(samples, side, method).map(value).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
