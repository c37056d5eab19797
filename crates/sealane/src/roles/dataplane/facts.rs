//! What a proxy has seen of its connections, summed up for `status` and `report`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::ipc::messages::{ConnectionFact, Protection, Request};

/// How many different lines are kept. Rules bound them in practice; a peer must not.
pub const LINES_MAX: usize = 4096;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    from: String,
    to: String,
    target: String,
    protection: Protection,
}

#[derive(Default)]
struct Sums {
    bytes: Cell<u64>,
    count: Cell<u64>,
    open: Cell<u64>,
}

/// Shared by all tasks of one process.
#[derive(Clone, Default)]
pub struct Facts(Rc<RefCell<BTreeMap<Line, Rc<Sums>>>>);

/// One open connection. Counts while it lives.
pub struct Counted(Option<Rc<Sums>>);

impl Facts {
    #[must_use]
    pub fn open(&self, from: &str, to: &str, target: &str, protection: Protection) -> Counted {
        let line = Line { from: from.into(), to: to.into(), target: target.into(), protection };
        let mut lines = self.0.borrow_mut();
        if lines.len() >= LINES_MAX && !lines.contains_key(&line) {
            return Counted(None);
        }
        let sums = Rc::clone(lines.entry(line).or_default());
        sums.count.update(|count| count + 1);
        sums.open.update(|open| open + 1);
        Counted(Some(sums))
    }

    #[must_use]
    pub fn all(&self) -> Vec<ConnectionFact> {
        let lines = self.0.borrow();
        let fact = |(line, sums): (&Line, &Rc<Sums>)| ConnectionFact {
            from: line.from.clone(),
            to: line.to.clone(),
            target: line.target.clone(),
            protection: line.protection.clone(),
            bytes: sums.bytes.get(),
            count: sums.count.get(),
            open: sums.open.get(),
        };
        lines.iter().map(fact).collect()
    }
}

impl Counted {
    pub fn add(&self, bytes: usize) {
        if let Some(sums) = &self.0 {
            sums.bytes.update(|sum| sum + bytes as u64);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(sums) = &self.0 {
            sums.open.update(|open| open - 1);
        }
    }
}

/// How often control is told.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Tells control whenever something has changed.
pub async fn report(facts: Facts) {
    let mut told = Vec::new();
    loop {
        tokio::time::sleep(REPORT_EVERY).await;
        let all = facts.all();
        if all != told && super::ask(&Request::ReportConnections(all.clone())).await.is_ok() {
            told = all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protection() -> Protection {
        Protection {
            tls_version: "TLSv1.3".into(),
            cipher: "a cipher".into(),
            key_exchange: "a group".into(),
        }
    }

    #[test]
    fn connections_of_a_pair_are_summed_up() {
        let facts = Facts::default();
        let first = facts.open("a", "b", "1", protection());
        let second = facts.open("a", "b", "1", protection());
        first.add(3);
        second.add(4);
        drop(first);
        let all = facts.all();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].bytes, all[0].count, all[0].open), (7, 2, 1));
    }

    #[test]
    fn the_number_of_lines_is_bounded() {
        let facts = Facts::default();
        for target in 0..LINES_MAX + 10 {
            facts.open("a", "b", &target.to_string(), protection()).add(1);
        }
        assert_eq!(facts.all().len(), LINES_MAX);
        let known = facts.open("a", "b", "0", protection());
        known.add(1);
        assert_eq!(facts.all().iter().map(|fact| fact.bytes).sum::<u64>(), LINES_MAX as u64 + 1);
    }
}
