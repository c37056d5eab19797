//! The figures as tables for people, or as JSON for programs.

use serde_json::{Value, json};

use super::calls::Operation;
use super::figures::Spread;
use super::load::Outcome;
use super::primitives::Primitive;
use super::process::Memory;
use super::sides::Kind;

/// What one side did in one round.
pub(super) struct Sample {
    pub(super) side: String,
    pub(super) kind: Kind,
    pub(super) operation: Operation,
    pub(super) outcome: Outcome,
}

/// A server's start, and its memory then and at the end.
pub(super) struct Started {
    pub(super) side: String,
    pub(super) keys: usize,
    pub(super) ready_ms: f64,
    pub(super) at_start: Memory,
    pub(super) at_end: Memory,
}

#[derive(Default)]
pub(super) struct Report {
    /// How it was run.
    pub(super) title: String,
    pub(super) saturated: Vec<Sample>,
    pub(super) paced: Vec<Sample>,
    pub(super) started: Vec<Started>,
    pub(super) primitives: Vec<Primitive>,
    /// What could not be measured, and why.
    pub(super) skipped: Vec<String>,
}

/// A side's figures for one operation, over all rounds.
pub(super) struct Row {
    pub(super) side: String,
    pub(super) kind: Kind,
    pub(super) operation: Operation,
    pub(super) rate: Spread,
    /// Of the server, for each request.
    pub(super) cpu_us: Option<Spread>,
    pub(super) p50_ms: Spread,
    pub(super) p99_ms: Spread,
    pub(super) generator_busy: f64,
    pub(super) others_busy: f64,
}

/// Rows in the order of operations, then of sides.
pub(super) fn rows(samples: &[Sample]) -> Vec<Row> {
    let mut sides: Vec<&str> = Vec::new();
    for sample in samples {
        if !sides.contains(&sample.side.as_str()) {
            sides.push(&sample.side);
        }
    }
    sides.sort_by_key(|name| samples.iter().find(|sample| sample.side == *name).map(rank));
    let mut rows = Vec::new();
    for operation in Operation::ALL {
        for side in &sides {
            let of_row = samples
                .iter()
                .filter(|sample| sample.operation == operation && sample.side == *side);
            rows.extend(Row::of(&of_row.collect::<Vec<_>>()));
        }
    }
    rows
}

/// The floor stands first, then what is built on it.
fn rank(sample: &Sample) -> (u8, String) {
    let kind = match sample.kind {
        Kind::Constant => 0,
        Kind::Sealane | Kind::Given => 1,
        Kind::Moto => 2,
    };
    (kind, sample.side.clone())
}

impl Row {
    fn of(samples: &[&Sample]) -> Option<Self> {
        let spread = |figure: fn(&Outcome) -> f64| {
            Spread::of(samples.iter().map(|sample| figure(&sample.outcome)))
        };
        let cpu = samples.iter().filter_map(|sample| sample.outcome.cpu);
        let first = samples.first()?;
        Some(Self {
            side: first.side.clone(),
            kind: first.kind,
            operation: first.operation,
            rate: spread(|outcome| outcome.rate)?,
            cpu_us: Spread::of(cpu.map(|cpu| cpu.as_secs_f64() * 1e6)),
            p50_ms: spread(|outcome| outcome.p50.as_secs_f64() * 1e3)?,
            p99_ms: spread(|outcome| outcome.p99.as_secs_f64() * 1e3)?,
            generator_busy: spread(|outcome| outcome.generator_busy)?.median,
            others_busy: spread(|outcome| outcome.others_busy)?.median,
        })
    }

    /// Of the server's CPU, in microseconds for each request.
    fn more_than_constant(&self, rows: &[Row]) -> Option<f64> {
        let floor = rows
            .iter()
            .find(|row| row.kind == Kind::Constant && row.operation == self.operation)?;
        let more = self.cpu_us?.median - floor.cpu_us?.median;
        (self.kind != Kind::Constant).then_some(more)
    }
}

impl Report {
    pub(super) fn markdown(&self) -> String {
        let mut text = format!("{}\n", self.title);
        let saturated = rows(&self.saturated);
        push_rows(&mut text, "As fast as it goes", &saturated);
        push_rows(&mut text, "At half of the saturated rate", &rows(&self.paced));
        push_ratios(&mut text, &saturated);
        if !self.started.is_empty() {
            text.push_str(
                "\n| | keys | start ms | RSS MiB after start | after the load | at most |\n\
                 |---|---|---|---|---|---|\n",
            );
        }
        for started in &self.started {
            text.push_str(&format!(
                "| {} | {} | {:.0} | {:.1} | {:.1} | {:.1} |\n",
                started.side,
                started.keys,
                started.ready_ms,
                mib(started.at_start.now),
                mib(started.at_end.now),
                mib(started.at_end.most),
            ));
        }
        text.push_str("\n| primitive | µs |\n|---|---|\n");
        for primitive in &self.primitives {
            text.push_str(&format!("| {} | {} |\n", primitive.name, in_full(primitive.micros, 2)));
        }
        for skipped in &self.skipped {
            text.push_str(&format!("\nskipped: {skipped}\n"));
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let saturated = rows(&self.saturated);
        let paced = rows(&self.paced);
        let start = |started: &Started| {
            json!({
                "side": started.side,
                "keys": started.keys,
                "start_ms": started.ready_ms,
                "rss_bytes_at_start": started.at_start.now,
                "rss_bytes_at_end": started.at_end.now,
                "rss_bytes_most": started.at_end.most,
            })
        };
        let primitive = |primitive: &Primitive| json!({ "name": primitive.name, "us": in_json(primitive.micros) });
        json!({
            "title": self.title,
            "saturated": saturated.iter().map(|row| row_json(row, &saturated)).collect::<Vec<_>>(),
            "half_rate": paced.iter().map(|row| row_json(row, &paced)).collect::<Vec<_>>(),
            "started": self.started.iter().map(start).collect::<Vec<_>>(),
            "primitives": self.primitives.iter().map(primitive).collect::<Vec<_>>(),
            "skipped": self.skipped,
        })
    }
}

fn push_rows(text: &mut String, title: &str, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    text.push_str(&format!(
        "\n| {title} | per second | server CPU µs | more than constant µs | p50 ms | p99 ms |\n\
         |---|---|---|---|---|---|\n"
    ));
    for row in rows {
        let cpu = row.cpu_us.map_or_else(|| "–".to_owned(), |cpu| in_full(cpu, 1));
        let more = row.more_than_constant(rows);
        text.push_str(&format!(
            "| {} {} | {} | {cpu} | {} | {:.3} | {} |\n",
            row.operation.name(),
            row.side,
            in_full(row.rate, 0),
            more.map_or_else(|| "–".to_owned(), |more| format!("{more:.1}")),
            row.p50_ms.median,
            in_full(row.p99_ms, 3),
        ));
    }
    let most = |figure: fn(&Row) -> f64| {
        let rows = rows.iter().filter(|row| row.kind != Kind::Moto);
        rows.map(figure).fold(0.0, f64::max) * 100.0
    };
    text.push_str(&format!(
        "\nAt most, the generator had {:.0} % of one CPU, and others {:.0} % of all.\n",
        most(|row| row.generator_busy),
        most(|row| row.others_busy),
    ));
}

/// What more keys do to the same figures.
fn push_ratios(text: &mut String, rows: &[Row]) {
    let mut first = true;
    for operation in Operation::ALL {
        let of_sealane = |row: &&Row| row.kind == Kind::Sealane && row.operation == operation;
        let mut sealanes = rows.iter().filter(of_sealane);
        let (Some(few), Some(many)) = (sealanes.next(), sealanes.next()) else { return };
        let ratio = |figure: fn(&Row) -> Option<f64>| match (figure(few), figure(many)) {
            (Some(few), Some(many)) => format!("{:.2}", many / few),
            _ => "–".to_owned(),
        };
        if std::mem::take(&mut first) {
            let (few, many) = (&few.side, &many.side);
            text.push_str(&format!(
                "\n| {many} / {few} | per second | server CPU | p50 | p99 |\n|---|---|---|---|---|\n"
            ));
        }
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} |\n",
            operation.name(),
            ratio(|row| Some(row.rate.median)),
            ratio(|row| row.cpu_us.map(|cpu| cpu.median)),
            ratio(|row| Some(row.p50_ms.median)),
            ratio(|row| Some(row.p99_ms.median)),
        ));
    }
}

fn row_json(row: &Row, rows: &[Row]) -> Value {
    json!({
        "operation": row.operation.name(),
        "side": row.side,
        "per_second": in_json(row.rate),
        "cpu_us": row.cpu_us.map(in_json),
        "cpu_us_more_than_constant": row.more_than_constant(rows),
        "p50_ms": in_json(row.p50_ms),
        "p99_ms": in_json(row.p99_ms),
        "generator_busy": row.generator_busy,
        "others_busy": row.others_busy,
    })
}

fn in_full(spread: Spread, digits: usize) -> String {
    let Spread { median, least, most } = spread;
    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
}

fn in_json(spread: Spread) -> Value {
    json!({ "median": spread.median, "least": spread.least, "most": spread.most })
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
