//! How answers read: aligned tables and a few words of colour.

use super::model::{
    CheckReport, CredentialInfo, DualControlInfo, ErasureInfo, Explanation, KeyInfo, KeyState,
    ServiceState, Status, SvidInfo, TenantInfo, UserInfo, VolumeInfo, VolumeState,
};

use crate::control::Report;
use crate::ipc::messages::Protection;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    Colour,
    Plain,
}

/// What can be shown to people. Lines end in a line feed.
pub trait Text {
    fn text(&self, style: Style) -> String;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    Plain,
    Heading,
    Good,
    Busy,
    Bad,
}

impl Tone {
    /// SGR parameters that are readable on dark and on light backgrounds.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Heading => Some("1"),
            Self::Good => Some("32"),
            Self::Busy => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// Cells may hold names from elsewhere (a certificate, a path): control characters in them must
/// not steer the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

pub(super) fn paint(text: &str, tone: Tone, style: Style) -> String {
    match tone.code() {
        Some(code) if style == Style::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        _ => text.to_owned(),
    }
}

/// What stands in one column of one line.
#[derive(Debug)]
pub struct Cell(String, Tone);

impl<T: ToString> From<T> for Cell {
    fn from(value: T) -> Self {
        Self(plain(&value.to_string()), Tone::Plain)
    }
}

/// Columns as wide as their widest cell, two spaces apart.
fn table<const N: usize>(headings: [&str; N], rows: Vec<[Cell; N]>, style: Style) -> String {
    let mut all = vec![heading(headings)];
    all.extend(rows);
    lines(&mut [0; N], all, style)
}

fn heading<const N: usize>(headings: [&str; N]) -> [Cell; N] {
    headings.map(|heading| Cell(heading.to_owned(), Tone::Heading))
}

/// Columns as wide as `widths` and as their widest cell, which widens them.
fn lines<const N: usize>(widths: &mut [usize; N], rows: Vec<[Cell; N]>, style: Style) -> String {
    for row in &rows {
        for (width, Cell(content, _)) in widths.iter_mut().zip(row) {
            *width = content.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, Cell(content, tone)) in row.into_iter().enumerate() {
            let missing = widths[column] - content.chars().count();
            line.push_str(&paint(&content, tone, style));
            if column + 1 < N {
                line.push_str(&" ".repeat(missing + 2));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What is listed, however many there are.
pub trait Listed<const N: usize> {
    const NOTHING: &'static str;
    const HEADINGS: [&'static str; N];

    #[must_use]
    fn row(&self) -> [Cell; N];
}

/// A table that is written as its rows come. A column is as wide as what came so far.
#[derive(Debug)]
pub struct Rows<const N: usize> {
    widths: Option<[usize; N]>,
    style: Style,
}

impl<const N: usize> Rows<N> {
    #[must_use]
    pub fn new(style: Style) -> Self {
        Self { widths: None, style }
    }

    /// The lines for `items`, the first under the headings.
    pub fn more<T: Listed<N>>(&mut self, items: &[T]) -> String {
        let mut rows = Vec::with_capacity(items.len() + 1);
        if self.widths.is_none() && !items.is_empty() {
            rows.push(heading(T::HEADINGS));
        }
        rows.extend(items.iter().map(T::row));
        if rows.is_empty() {
            String::new()
        } else {
            lines(self.widths.get_or_insert([0; N]), rows, self.style)
        }
    }

    /// What is left to say: that there was nothing.
    #[must_use]
    pub fn end<T: Listed<N>>(self) -> String {
        if self.widths.is_none() { format!("{}\n", T::NOTHING) } else { String::new() }
    }
}

/// A table, or one line that says that there is nothing.
fn list<T, const N: usize>(
    items: &[T],
    nothing: &str,
    headings: [&str; N],
    row: impl Fn(&T) -> [Cell; N],
    style: Style,
) -> String {
    if items.is_empty() {
        return format!("{nothing}\n");
    }
    table(headings, items.iter().map(row).collect(), style)
}

/// Bytes in the largest unit that keeps a digit before the point.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut unit = 0;
    let mut rest = count;
    while rest >= 1024 * 1024 && unit + 1 < UNITS.len() {
        rest /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", rest / 1024, rest % 1024 * 10 / 1024, UNITS[unit])
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// The name that JSON gives a state, so that both formats speak of the same thing.
pub(super) fn state_name(state: impl serde::Serialize) -> String {
    let name = serde_json::to_value(state).ok();
    name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A line for each thing that has a reason: in the table they would push all else off the screen.
fn reasons<'r>(all: impl Iterator<Item = (&'r String, &'r String, Option<&'r String>)>) -> String {
    let line = |(tenant, name, reason): (&String, &String, Option<&String>)| {
        Some(format!("  {}/{}: {}\n", plain(tenant), plain(name), plain(reason?)))
    };
    all.filter_map(line).collect()
}

impl ServiceState {
    fn tone(self) -> Tone {
        match self {
            Self::Ready => Tone::Good,
            Self::Failed | Self::BackingOff => Tone::Bad,
            Self::Waiting | Self::Starting | Self::Stopping | Self::Stopped => Tone::Busy,
        }
    }
}

impl VolumeState {
    fn tone(self) -> Tone {
        match self {
            Self::Attached => Tone::Good,
            Self::KeyDisabled | Self::Failed => Tone::Bad,
            Self::Detached | Self::Attaching | Self::Detaching => Tone::Busy,
        }
    }
}

impl KeyState {
    fn tone(self) -> Tone {
        match self {
            Self::Enabled => Tone::Good,
            Self::PendingImport => Tone::Busy,
            Self::Disabled | Self::PendingDeletion => Tone::Bad,
        }
    }
}

impl Text for Status {
    fn text(&self, style: Style) -> String {
        let mut text = if self.ready {
            paint("ready", Tone::Good, style)
        } else {
            paint("not ready", Tone::Busy, style)
        };
        text.push('\n');
        for warning in &self.warnings {
            text.push_str(&paint("warning", Tone::Bad, style));
            text.push_str(&format!(": {}\n", plain(warning)));
        }
        let mut section = |table: String| {
            text.push('\n');
            text.push_str(&table);
        };
        section(
            list(
                &self.services,
                "no services",
                ["SERVICE", "TENANT", "STATE", "PID", "RESTARTS", "IDENTITY"],
                |s| {
                    let state = Cell(state_name(s.state), s.state.tone());
                    let (pid, restarts) = (or_dash(s.pid).into(), s.restarts.into());
                    [
                        (&s.name).into(),
                        (&s.tenant).into(),
                        state,
                        pid,
                        restarts,
                        (&s.identity).into(),
                    ]
                },
                style,
            ) + &reasons(self.services.iter().map(|s| (&s.tenant, &s.name, s.reason.as_ref()))),
        );
        section(
            list(
                &self.volumes,
                "no volumes",
                ["VOLUME", "TENANT", "STATE", "SEALED"],
                |v| {
                    let state = Cell(state_name(v.state), v.state.tone());
                    [(&v.name).into(), (&v.tenant).into(), state, bytes(v.bytes_sealed).into()]
                },
                style,
            ) + &reasons(self.volumes.iter().map(|v| (&v.tenant, &v.name, v.reason.as_ref()))),
        );
        let shown = self.keys.len() as u64;
        let rest = match self.keys_total.checked_sub(shown) {
            None | Some(0) => String::new(),
            Some(rest) => format!("  and {rest} more: `sealane key list` shows all\n"),
        };
        section(
            list(
                &self.keys,
                "no keys",
                ["KEY", "TENANT", "STATE"],
                |k| {
                    let state = Cell(state_name(k.state), k.state.tone());
                    [(&k.id).into(), or_dash(k.tenant.as_ref()).into(), state]
                },
                style,
            ) + &rest,
        );
        section(list(
            &self.certificates,
            "no certificates",
            ["IDENTITY", "SERIAL", "GOOD UNTIL"],
            |c| [(&c.identity).into(), (&c.serial).into(), (&c.not_after).into()],
            style,
        ));
        section(list(
            &self.connections,
            "no connections",
            ["FROM", "TO", "CIPHER", "BYTES"],
            |c| [(&c.from).into(), (&c.to).into(), (&c.cipher).into(), bytes(c.bytes).into()],
            style,
        ));
        text
    }
}

impl Text for Vec<TenantInfo> {
    fn text(&self, style: Style) -> String {
        let row = |t: &TenantInfo| {
            let key = or_dash(t.key.as_ref()).into();
            [(&t.name).into(), (&t.id).into(), key, or_dash(t.erased.as_ref()).into()]
        };
        list(self, "no tenants", ["TENANT", "ID", "KEY", "ERASED"], row, style)
    }
}

impl Text for TenantInfo {
    fn text(&self, style: Style) -> String {
        vec![self.clone()].text(style)
    }
}

impl Listed<4> for UserInfo {
    const NOTHING: &'static str = "no users: `sealane key create --tenant TENANT --user USER`";
    const HEADINGS: [&'static str; 4] = ["TENANT", "USER", "KEYS", "ACCESS KEYS"];

    fn row(&self) -> [Cell; 4] {
        let (tenant, name) = ((&self.tenant).into(), (&self.name).into());
        [tenant, name, self.keys.into(), self.access_keys.into()]
    }
}

impl Text for Vec<ErasureInfo> {
    fn text(&self, style: Style) -> String {
        let headings = ["TENANT", "USER", "ERASED", "BY", "KEYS", "ACCESS KEYS", "STORE REWRITTEN"];
        let row = |e: &ErasureInfo| {
            [
                (&e.tenant).into(),
                or_dash(e.user.as_ref()).into(),
                (&e.at).into(),
                (&e.by).into(),
                e.keys_destroyed.into(),
                e.access_keys_revoked.into(),
                or_dash(e.store_rewritten.as_ref()).into(),
            ]
        };
        list(self, "nothing was erased", headings, row, style)
    }
}

impl Text for DualControlInfo {
    fn text(&self, _: Style) -> String {
        let Some(since) = &self.since else { return "dual control is off\n".to_owned() };
        let shares: Vec<_> = self.shares.iter().map(u8::to_string).collect();
        format!("dual control is on since {since}, by shares {}\n", shares.join(", "))
    }
}

impl Text for ErasureInfo {
    fn text(&self, style: Style) -> String {
        vec![self.clone()].text(style)
    }
}

impl Listed<6> for KeyInfo {
    const NOTHING: &'static str = "no keys";
    const HEADINGS: [&'static str; 6] = ["KEY", "TENANT", "USER", "USAGE", "STATE", "ROTATIONS"];

    fn row(&self) -> [Cell; 6] {
        let state = Cell(state_name(self.state), self.state.tone());
        let tenant = or_dash(self.tenant.as_ref()).into();
        let user = or_dash(self.user.as_ref()).into();
        [(&self.id).into(), tenant, user, (&self.usage).into(), state, self.rotations.into()]
    }
}

impl Text for KeyInfo {
    fn text(&self, style: Style) -> String {
        Rows::new(style).more(std::slice::from_ref(self))
    }
}

impl Text for Vec<VolumeInfo> {
    fn text(&self, style: Style) -> String {
        let headings = ["VOLUME", "TENANT", "STATE", "SIZE", "SEALED", "EPOCH", "KEY", "CHECKED"];
        let row = |v: &VolumeInfo| {
            [
                (&v.name).into(),
                (&v.tenant).into(),
                Cell(state_name(v.state), v.state.tone()),
                bytes(v.size_bytes).into(),
                bytes(v.bytes_sealed).into(),
                v.epoch.into(),
                (&v.key).into(),
                or_dash(v.last_check.as_ref()).into(),
            ]
        };
        list(self, "no volumes", headings, row, style)
    }
}

impl Text for Vec<CredentialInfo> {
    fn text(&self, style: Style) -> String {
        let headings = ["ACCESS KEY", "NAME", "TENANT", "CREATED", "REVOKED"];
        let row = |c: &CredentialInfo| {
            [
                (&c.access_key_id).into(),
                (&c.name).into(),
                or_dash(c.tenant.as_ref()).into(),
                (&c.created).into(),
                or_dash(c.revoked.as_ref()).into(),
            ]
        };
        list(self, "no access keys: `sealane kms credential create`", headings, row, style)
    }
}

impl Text for Vec<SvidInfo> {
    fn text(&self, style: Style) -> String {
        let headings = ["IDENTITY", "SERIAL", "SINCE", "GOOD UNTIL"];
        let row =
            |s: &SvidInfo| [&s.identity, &s.serial, &s.not_before, &s.not_after].map(Into::into);
        list(self, "no certificates: nothing runs", headings, row, style)
    }
}

impl Text for Explanation {
    fn text(&self, style: Style) -> String {
        let verdict = if self.allowed {
            paint("allowed", Tone::Good, style)
        } else {
            paint("denied", Tone::Bad, style)
        };
        let (from, to, reason) = (plain(&self.from), plain(&self.to), plain(&self.reason));
        format!("{verdict}  {from} -> {to}\n  {reason}\n")
    }
}

impl Text for Report {
    fn text(&self, style: Style) -> String {
        let mut text = format!(
            "{}  cell {}, trust domain {}, at {}\n\n",
            paint("report", Tone::Heading, style),
            plain(&self.cell),
            plain(&self.trust_domain),
            plain(&self.at)
        );
        if self.not_protected.is_empty() {
            text.push_str("nothing is less protected than promised\n");
        }
        for fact in &self.not_protected {
            text.push_str(&format!(
                "{} {}\n",
                paint("not protected:", Tone::Bad, style),
                plain(fact)
            ));
        }
        text.push('\n');
        text.push_str(&list(
            &self.connections,
            "no connections were seen",
            ["FROM", "TO", "VERSION", "CIPHER", "KEY EXCHANGE", "COUNT", "BYTES"],
            |c| {
                let Protection { tls_version, cipher, key_exchange } = &c.protection;
                [
                    (&c.from).into(),
                    (&c.to).into(),
                    tls_version.into(),
                    cipher.into(),
                    key_exchange.into(),
                    c.count.into(),
                    bytes(c.bytes).into(),
                ]
            },
            style,
        ));
        text.push('\n');
        text.push_str(&list(
            &self.volumes,
            "no volumes",
            ["VOLUME", "TENANT", "STATE", "KEY", "ALGORITHM", "SEALED", "CHECKED"],
            |v| {
                let check = v.last_check.as_ref().map(|check| match check.bad.len() {
                    0 => format!("{}, {} blocks whole", check.at, check.blocks),
                    bad => format!("{}, {bad} faults", check.at),
                });
                [
                    (&v.name).into(),
                    (&v.tenant).into(),
                    Cell(state_name(v.state), v.state.tone()),
                    (&v.key).into(),
                    (&v.algorithm).into(),
                    bytes(v.bytes_sealed).into(),
                    or_dash(check).into(),
                ]
            },
            style,
        ));
        text.push_str(&format!(
            "\nstore: {}, transaction {}, anchored in {}\n\n",
            plain(&self.store.algorithm),
            self.store.sequence,
            plain(&self.store.anchor)
        ));
        text.push_str(&list(
            &self.certificates,
            "no certificates",
            ["IDENTITY", "SERIAL", "GOOD UNTIL"],
            |c| [(&c.identity).into(), (&c.serial).into(), (&c.not_after).into()],
            style,
        ));
        text
    }
}

impl Text for CheckReport {
    fn text(&self, style: Style) -> String {
        let verdict = if self.ok {
            paint("whole", Tone::Good, style)
        } else {
            paint("damaged", Tone::Bad, style)
        };
        let (blocks, size) = (self.blocks, bytes(self.bytes));
        let name = plain(&format!("{}/{}", self.tenant, self.volume));
        let mut text = format!("{verdict}  {name}: {blocks} blocks opened, {size}\n");
        for fault in &self.faults {
            text.push_str(&format!("  {}\n", plain(fault)));
        }
        text
    }
}
