//! Arguments and environment values that mention what only the launcher knows.

use std::{collections::BTreeMap, path::Path};

use super::section::Refusal;

/// A text with `{port}`, `{port:N}` and `{volume}` in it. All other braces stand for themselves:
/// shell, awk and JSON are full of them. `{{port}}` is a literal `{port}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Port(u16),
    Volume,
}

impl Template {
    /// `ports` are the service's, the main one first.
    pub(super) fn parse(text: &str, ports: &[u16], has_volume: bool) -> Result<Self, Refusal> {
        if text.contains('\0') {
            return Err(Refusal::new("it holds a NUL byte", "no program can be given one"));
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            literal.push_str(&rest[..start]);
            rest = &rest[start..];
            let escaped = ["{{port}}", "{{volume}}"].iter().find(|e| rest.starts_with(**e));
            if let Some(escaped) = escaped {
                literal.push_str(&escaped[1..escaped.len() - 1]);
                rest = &rest[escaped.len()..];
                continue;
            }
            let name = rest[1..].split_once('}').map_or("", |(name, _)| name);
            if let Some(piece) = placeholder(name, ports, has_volume)? {
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                pieces.push(piece);
                rest = &rest[name.len() + 2..];
            } else {
                literal.push('{');
                rest = &rest[1..];
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// `text` as it is.
    pub(super) fn literal(text: &str) -> Self {
        Self(vec![Piece::Text(text.to_owned())])
    }

    pub(super) fn mentions_port(&self, port: u16) -> bool {
        self.0.contains(&Piece::Port(port))
    }

    pub(super) fn mentions_volume(&self) -> bool {
        self.0.contains(&Piece::Volume)
    }

    pub(super) fn fill(&self, ports: &BTreeMap<u16, u16>, volume: Option<&Path>) -> String {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Port(port) => filled.push_str(&ports.get(port).unwrap_or(port).to_string()),
                Piece::Volume => {
                    filled.push_str(&volume.map(Path::to_string_lossy).unwrap_or_default());
                }
            }
        }
        filled
    }
}

fn placeholder(name: &str, ports: &[u16], has_volume: bool) -> Result<Option<Piece>, Refusal> {
    match name {
        "volume" if has_volume => Ok(Some(Piece::Volume)),
        "volume" => Err(Refusal::new(
            "`{volume}` is used, and the service has no volume",
            "add `volume = { name = …, size = …, at = … }`, or write `{{volume}}` for the letters",
        )),
        "port" => match ports.first() {
            Some(port) => Ok(Some(Piece::Port(*port))),
            None => Err(Refusal::new(
                "`{port}` is used, and the service has no port",
                "add `port = …`, or write `{{port}}` for the letters",
            )),
        },
        _ => {
            let Some(number) = name.strip_prefix("port:") else { return Ok(None) };
            match number.parse() {
                Ok(port) if ports.contains(&port) => Ok(Some(Piece::Port(port))),
                _ => Err(Refusal::new(
                    format!("`{{{name}}}` names a port that the service does not declare"),
                    "name one of its `ports`",
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_other_braces_left_alone() {
        let ports = BTreeMap::from([(8080, 40_001), (9090, 40_002)]);
        for (text, filled) in [
            ("", ""),
            ("--port={port}", "--port=40001"),
            ("{port}{port:9090}{volume}", "4000140002/vol"),
            ("{{port}} {{volume}}", "{port} {volume}"),
            ("{print $1} {\"a\": {port}}", "{print $1} {\"a\": 40001}"),
            ("{", "{"),
            ("{{", "{{"),
            ("ü{port}ü", "ü40001ü"),
        ] {
            let template = Template::parse(text, &[8080, 9090], true).unwrap();
            assert_eq!(template.fill(&ports, Some(Path::new("/vol"))), filled, "{text}");
        }
    }

    #[test]
    fn placeholders_for_what_is_not_there_are_refused() {
        for text in ["{port}", "{volume}", "{port:1}", "{port:x}", "a\0b"] {
            assert!(Template::parse(text, &[], false).is_err(), "{text}");
        }
    }
}
