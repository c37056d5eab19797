//! Every fault of a cell file, as its reader sees it: `diagnostics/NAME.toml` and what it says in
//! `diagnostics/NAME.txt`. `UPDATE=1 cargo test -p sealane --test diagnostics` writes the latter
//! anew; read the difference before you commit it.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside `#[test]`")]

use std::{fs, path::Path};

use miette::{GraphicalReportHandler, GraphicalTheme};
use sealane::config::{CELL_FILE_BYTES_MAX, Cell, CellFileError, INSTANCES_MAX};

fn render(error: &CellFileError) -> String {
    let mut text = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut text, error)
        .unwrap();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn every_fault_is_shown_where_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let update = std::env::var_os("UPDATE").is_some();
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    names.sort();
    assert!(names.len() > 20, "the cases are missing");
    let mut wrong = Vec::new();
    for path in names {
        let name = path.file_name().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        // A fixed base, and so fixed messages, wherever the checkout is.
        let error = Cell::parse(Path::new(name), Path::new("/nowhere"), &text).unwrap_err();
        let said = render(&error);
        let expected = path.with_extension("txt");
        if update {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).ok().as_deref() != Some(said.as_str()) {
            wrong.push(said);
        }
    }
    assert!(wrong.is_empty(), "these read differently now:\n{}", wrong.join("\n"));
}

fn unreadable(path: &Path) -> String {
    let said = render(&Cell::load(path).unwrap_err());
    said.replace(&path.display().to_string(), "PATH")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn what_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    assert!(unreadable(&path).contains("there is no such file"));
    assert!(unreadable(folder.path()).contains("it is a folder"));
    assert!(unreadable(Path::new("/dev/null")).contains("it is not a file"));
    fs::write(&path, b"[cell]\nname = \"\xff\"").unwrap();
    assert!(unreadable(&path).contains("line 2 is not UTF-8"));
}

#[test]
fn a_file_at_the_limit_is_read_and_one_byte_more_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let mut text = b"[cell]\nname = \"c\"\n#".to_vec();
    text.resize(usize::try_from(CELL_FILE_BYTES_MAX).unwrap(), b'.');
    fs::write(&path, &text).unwrap();
    assert_eq!(Cell::load(&path).unwrap().name, "c");
    text.push(b'.');
    fs::write(&path, &text).unwrap();
    assert!(unreadable(&path).contains("it is larger than"));
}

#[test]
fn instances_at_the_limit_are_taken_and_one_more_is_not() {
    let text = |count| {
        let tenants: Vec<_> = (0..count).map(|i| format!("t{i}")).collect();
        let sections: String = tenants.iter().map(|t| format!("[tenant.{t}]\n")).collect();
        format!("[cell]\nname='c'\n{sections}[service.s]\nrun=['x']\ntenants={tenants:?}\n")
    };
    let parse = |count| Cell::parse(Path::new("f"), Path::new("/"), &text(count));
    assert_eq!(parse(INSTANCES_MAX).unwrap().instances().len(), INSTANCES_MAX);
    assert!(render(&parse(INSTANCES_MAX + 1).unwrap_err()).contains("more than 512 instances"));
}

#[test]
fn no_input_panics_the_reader() {
    // Every prefix of a real file, and every byte of it replaced by a brace.
    let text = include_str!("cells/shop.toml");
    for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
        let mut braces = text.to_owned();
        braces.replace_range(at..=at, "{");
        for text in [&text[..at], &braces] {
            if let Err(error) = Cell::parse(Path::new("f"), Path::new("/"), text) {
                assert!(!render(&error).is_empty());
            }
        }
    }
    let deep = "x = ".to_owned() + &"[".repeat(100_000);
    assert!(Cell::parse(Path::new("f"), Path::new("/"), &deep).is_err());
}
