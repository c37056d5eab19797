//! The load: one thread that asks over many connections, as cheaply as it can, for it shares the
//! machine with the server that it measures.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use super::answer::parse;
use super::calls::Requests;
use super::figures::{Random, percentile};
use super::interrupts;
use super::process::{Cpu, MachineCpu, ThreadCpu};
use super::request::connect;
use crate::Error;

/// When requests are sent.
#[derive(Clone, Copy)]
pub(super) enum Pace {
    /// The next as soon as the last is answered.
    Saturated,
    /// So many per second, at times that do not depend on answers.
    Rate(f64),
}

pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    pub(super) server: Option<u32>,
    pub(super) connections: usize,
    pub(super) pace: Pace,
    pub(super) time: Duration,
    pub(super) requests: &'a mut Requests,
}

/// What one load saw.
pub(super) struct Outcome {
    pub(super) rate: f64,
    /// The server's CPU time for each request.
    pub(super) cpu: Option<Duration>,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// The part of the time that the generator itself computed: near 1, it is what was measured.
    pub(super) generator_busy: f64,
    /// The part of the machine's CPU time that neither server nor generator had.
    pub(super) others_busy: f64,
}

/// Not counted: connections are made, caches filled, and what the server does after its answers
/// runs at both ends of what is counted.
const WARM_UP: Duration = Duration::from_millis(300);
/// One of so many answers is read, not only its status.
const CHECKED_EVERY: u64 = 64;
/// An answer that takes longer than this ends the benchmark.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether the user wants to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Load<'_> {
    pub(super) fn run(self) -> Result<Outcome, Error> {
        let mut generator = Generator::new(self.address, self.connections, self.requests)?;
        generator.run(WARM_UP, self.pace)?;
        generator.latencies.clear();
        let before = self.server.map(Cpu::of).transpose()?;
        let (own, machine) = (ThreadCpu::now()?, MachineCpu::now()?);
        let started = Instant::now();
        generator.run(self.time, self.pace)?;
        let elapsed = started.elapsed();
        let own = ThreadCpu::now()?.since(&own);
        let after = self.server.map(Cpu::of).transpose()?;
        let server = after.zip(before).map(|(after, before)| after.since(&before));
        let ours = own + server.unwrap_or_default();
        let others_busy = MachineCpu::now()?.others_since(&machine, ours);
        let mut latencies = generator.latencies;
        latencies.sort_unstable();
        let answered = u32::try_from(latencies.len())?.max(1);
        Ok(Outcome {
            rate: f64::from(answered) / elapsed.as_secs_f64(),
            cpu: server.map(|server| server / answered),
            p50: percentile(&latencies, 500),
            p99: percentile(&latencies, 990),
            generator_busy: own.as_secs_f64() / elapsed.as_secs_f64(),
            others_busy,
        })
    }
}

/// What follows an answer.
#[derive(Clone, Copy)]
enum Next {
    AtOnce { until: Instant },
    Nothing,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// From when its request's latency counts; `None`: it is idle.
    since: Option<Instant>,
}

struct Generator<'a> {
    address: SocketAddr,
    requests: &'a mut Requests,
    connections: Vec<Connection>,
    /// Whoever waited longest comes first, so that all connections are used.
    idle: VecDeque<usize>,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    answered: u64,
    latencies: Vec<Duration>,
    random: Random,
}

impl<'a> Generator<'a> {
    fn new(address: SocketAddr, count: usize, requests: &'a mut Requests) -> Result<Self, Error> {
        // Else the kernel would wake this thread up to 50 us late, and that would be latency.
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1000))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut generator = Self {
            address,
            requests,
            connections: Vec::new(),
            idle: (0..count).collect(),
            epoll,
            events: Vec::with_capacity(count),
            answered: 0,
            latencies: Vec::new(),
            random: Random::new(3),
        };
        for number in 0..count {
            let stream = generator.open(number)?;
            generator.connections.push(Connection { stream, input: Vec::new(), since: None });
        }
        Ok(generator)
    }

    fn open(&self, number: usize) -> Result<TcpStream, Error> {
        let stream = connect(self.address)?;
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
        Ok(stream)
    }

    /// Asks for `time`, then waits for what is under way.
    fn run(&mut self, time: Duration, pace: Pace) -> Result<(), Error> {
        let until = Instant::now() + time;
        let mut next = Next::Nothing;
        match pace {
            Pace::Saturated => {
                next = Next::AtOnce { until };
                while let Some(number) = self.idle.pop_front() {
                    self.send(number, Instant::now())?;
                }
            }
            Pace::Rate(rate) => self.run_paced(until, Duration::from_secs_f64(1.0 / rate))?,
        }
        let mut answered = (self.answered, Instant::now());
        while self.idle.len() < self.connections.len() {
            self.take_answers(LOOK_EVERY, next)?;
            if answered.0 != self.answered {
                answered = (self.answered, Instant::now());
            } else if answered.1.elapsed() > PATIENCE {
                return Err(format!("no answer within {} s", PATIENCE.as_secs()).into());
            }
        }
        Ok(())
    }

    /// Requests come as from many who do not know of each other. One that finds no idle connection
    /// waits, and its latency counts from when it came: a server that stalls cannot hide it.
    fn run_paced(&mut self, until: Instant, mean: Duration) -> Result<(), Error> {
        let mut waiting = VecDeque::new();
        let mut next = Instant::now() + self.random.gap(mean);
        while next < until || !waiting.is_empty() {
            let now = Instant::now();
            while next < until && next <= now {
                waiting.push_back(next);
                next += self.random.gap(mean);
            }
            while !waiting.is_empty()
                && let Some(number) = self.idle.pop_front()
                && let Some(came) = waiting.pop_front()
            {
                self.send(number, came)?;
            }
            let wait = next.saturating_duration_since(Instant::now());
            self.take_answers(if next < until { wait } else { LOOK_EVERY }, Next::Nothing)?;
            if now.saturating_duration_since(until) > PATIENCE {
                return Err("what came could not be answered in time".into());
            }
        }
        Ok(())
    }

    fn send(&mut self, number: usize, since: Instant) -> Result<(), Error> {
        let request = self.requests.next(number)?;
        let connection = &mut self.connections[number];
        connection.since = Some(since);
        match connection.stream.write(request) {
            Ok(written) if written == request.len() => Ok(()),
            Ok(written) => finish_write(&mut connection.stream, &request[written..]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                finish_write(&mut connection.stream, request)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what has come, or else what comes within `wait`.
    fn take_answers(&mut self, wait: Duration, next: Next) -> Result<(), Error> {
        interrupts::check()?;
        let mut timeout = Timespec::try_from(LOOK_EVERY)?;
        if wait < LOOK_EVERY {
            // epoll counts milliseconds here, poll nanoseconds.
            let mut ready = [PollFd::new(&self.epoll, PollFlags::IN)];
            poll(&mut ready, Some(&Timespec::try_from(wait)?))?;
            timeout = Timespec::default();
        }
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout))?;
        for event in &events {
            self.read(usize::try_from(event.data.u64())?)?;
            if let Next::AtOnce { until } = next
                && Instant::now() < until
                && let Some(number) = self.idle.pop_front()
            {
                self.send(number, Instant::now())?;
            }
        }
        self.events = events;
        Ok(())
    }

    fn read(&mut self, number: usize) -> Result<(), Error> {
        let connection = &mut self.connections[number];
        let mut part = [0; 8192];
        let read = match connection.stream.read(&mut part) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let Some(since) = connection.since.filter(|_| read > 0) else {
            return Err("the server closed a connection, or said what nobody asked".into());
        };
        connection.input.extend_from_slice(&part[..read]);
        let Some(answer) = parse(&connection.input)? else { return Ok(()) };
        self.latencies.push(since.elapsed());
        self.answered += 1;
        let body = &connection.input[answer.body];
        if answer.status != 200 {
            let said = String::from_utf8_lossy(body);
            return Err(format!("an answer of status {}: {said}", answer.status).into());
        }
        if self.answered.is_multiple_of(CHECKED_EVERY) {
            self.requests.check(number, body)?;
        }
        connection.input.clear();
        connection.since = None;
        self.idle.push_back(number);
        if answer.closes {
            self.connections[number].stream = self.open(number)?;
        }
        Ok(())
    }
}

/// What a full socket did not take at once.
fn finish_write(stream: &mut TcpStream, rest: &[u8]) -> Result<(), Error> {
    stream.set_nonblocking(false)?;
    stream.write_all(rest)?;
    stream.set_nonblocking(true)?;
    Ok(())
}
