//! What is typed and shown on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::support::{TestCell, text};
use super::{QUICK, cell_of};

const SOON: Duration = Duration::from_secs(30);

/// A terminal and the command that runs on it.
pub(super) struct Terminal {
    keys: File,
    screen: Arc<Mutex<String>>,
    command: Child,
}

impl Terminal {
    fn run(mut command: Command, rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = text(ptsname(&master, Vec::new()).unwrap().as_bytes());
        let open =
            || -> OwnedFd { File::options().read(true).write(true).open(&name).unwrap().into() };
        let command = command.stdin(open()).stdout(open()).stderr(open()).spawn().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let keys = File::from(master);
        let (mut reading, shown) = (keys.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = reading.read(&mut piece) {
                shown.lock().unwrap().push_str(&text(&piece[..length]));
            }
        });
        Self { keys, screen, command }
    }

    pub(super) fn shown(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    pub(super) fn wait_for(&mut self, what: &str) {
        let deadline = Instant::now() + SOON;
        while !self.shown().contains(what) {
            let ended = self.command.try_wait().unwrap();
            assert!(Instant::now() < deadline, "no {what:?} ({ended:?}): {}", self.shown());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(super) fn type_keys(&mut self, keys: &str) {
        // What is typed before the terminal is silent would be thrown away, as it should be.
        std::thread::sleep(Duration::from_millis(100));
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    pub(super) fn ends(&mut self) -> bool {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(ended) = self.command.try_wait().unwrap() {
                return ended.success();
            }
            assert!(Instant::now() < deadline, "it goes on: {}", self.shown());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

pub(super) fn on_terminal(cell: &TestCell, arguments: &[&str]) -> Terminal {
    Terminal::run(cell.sealane(arguments), 24, 80)
}

pub(crate) fn prompt() {
    let cell = cell_of(QUICK);
    let init = ["init", "--seal", "passphrase"];
    let check = |arguments: &[&str], answers: &[(&str, &str)], good: bool, end: &str| {
        let mut terminal = on_terminal(&cell, arguments);
        for (question, answer) in answers {
            terminal.wait_for(question);
            terminal.type_keys(answer);
        }
        assert_eq!(terminal.ends(), good, "{arguments:?}: {}", terminal.shown());
        terminal.wait_for(end);
        assert!(!terminal.shown().contains("horse"), "what is typed is not shown");
    };
    let (first, second) = ("New passphrase of the root key: ", "The same again: ");
    check(&init, &[(first, "a horse\r"), (second, "another horse\r")], false, "passphrases differ");
    check(&init, &[(first, "a hor\x03")], false, "no passphrase was given");
    check(&init, &[(first, "\r")], false, "empty");
    assert!(!cell.dir().exists(), "nothing was made without a passphrase");
    check(&init, &[(first, "a horsx\x7fe\r"), (second, "a horse\r")], true, "made a cell");
    let open = "Passphrase of the root key: ";
    check(&["tenant", "list"], &[(open, "a horse\r")], true, "no tenants");
    check(&["tenant", "list"], &[(open, "a mare\r")], false, "the passphrase is wrong");
    let mut up = on_terminal(&cell, &["up", "cell.toml"]);
    up.wait_for(open);
    up.type_keys("a horse\r");
    up.wait_for("spiffe://quick.example");
    cell.ok(&["down"]);
    assert!(up.ends());
}

pub(crate) fn live_view() {
    for (rows, columns) in [(24, 80), (8, 30), (60, 250)] {
        let cell = cell_of(QUICK);
        let mut up = Terminal::run(cell.sealane(&["up", "cell.toml"]), rows, columns);
        up.wait_for("ready");
        let pid = rustix::process::Pid::from_child(&up.command);
        let deadline = Instant::now() + SOON;
        while cell.status().is_none_or(|status| status["ready"] != true) {
            assert!(Instant::now() < deadline, "{}", up.shown());
            std::thread::sleep(Duration::from_millis(50));
        }
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert!(up.ends(), "{}", up.shown());
        // Each drawing begins where the last began, and fits: or the next would be out of place.
        let shown = up.shown();
        let drawings: Vec<_> = shown.split("\x1b[J").skip(1).collect();
        assert!(drawings.len() > 1, "{shown:?}");
        for drawing in &drawings[..drawings.len() - 1] {
            let (drawing, up) = drawing.rsplit_once("\x1b[").unwrap_or((drawing, ""));
            let lines: Vec<_> = drawing.lines().collect();
            assert!(lines.len() < usize::from(rows), "{rows}x{columns}: {drawing}");
            let widest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(widest <= usize::from(columns), "{rows}x{columns}: {drawing}");
            assert_eq!(up.trim_end_matches("A\r"), lines.len().to_string(), "{drawing:?}");
        }
        // NO_COLOR is set for every command of a test cell.
        assert!(!shown.contains("\x1b[3"), "no colour: {shown:?}");
    }
    let cell = cell_of(QUICK);
    cell.ok(&["init"]);
    let colour = |no_colour: &str, term: &str| {
        let mut status = cell.sealane(&["status"]);
        status.env("NO_COLOR", no_colour).env("TERM", term).stderr(Stdio::null());
        let mut terminal = Terminal::run(status, 24, 80);
        assert!(terminal.ends());
        terminal.wait_for("no connections");
        terminal.shown().contains("\x1b[")
    };
    assert!(colour("", "xterm"));
    assert!(!colour("1", "xterm") && !colour("", "dumb"));
}

pub(crate) fn erasure() {
    let cell = cell_of(QUICK);
    cell.ok(&["init"]);
    cell.ok(&["tenant", "create", "acme"]);
    for (typed, good, end) in
        [("acne\r", false, "was not erased"), ("acme\r", true, "administrator")]
    {
        let mut terminal = on_terminal(&cell, &["tenant", "erase", "acme"]);
        terminal.wait_for("Type acme to erase it: ");
        terminal.type_keys(typed);
        assert_eq!(terminal.ends(), good, "{}", terminal.shown());
        terminal.wait_for(end);
    }
    assert!(cell.json(&["tenant", "list"])[0]["erased"].is_string());
}
