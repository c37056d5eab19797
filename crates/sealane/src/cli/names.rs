//! Names as people type them: plain where that is enough, else `TENANT/NAME`.

use miette::Diagnostic;

#[derive(Debug, thiserror::Error, Diagnostic, PartialEq, Eq)]
pub enum NameError {
    #[error("several tenants have a {kind} `{wanted}`")]
    Ambiguous {
        kind: String,
        wanted: String,
        #[help]
        help: String,
    },
    #[error("there is no {kind} `{wanted}`")]
    Unknown {
        kind: String,
        wanted: String,
        #[help]
        help: String,
    },
}

/// The one of `items` that is meant by `wanted`. `name` tells an item's tenant and name, `kind`
/// what an item is, for the error.
///
/// # Errors
/// [`NameError`] if none or several are meant; it lists the candidates.
pub fn resolve<'i, T>(
    kind: &str,
    wanted: &str,
    items: &'i [T],
    name: impl Fn(&T) -> (&str, &str),
) -> Result<&'i T, NameError> {
    let meant = |item: &&T| {
        let (tenant, plain) = name(item);
        match wanted.split_once('/') {
            Some(qualified) => qualified == (tenant, plain),
            None => wanted == plain,
        }
    };
    let candidates: Vec<_> = items.iter().filter(meant).collect();
    let written = |items: &mut dyn Iterator<Item = &T>| {
        let names = items.map(&name).map(|(tenant, name)| format!("{tenant}/{name}"));
        let mut names: Vec<_> = names.collect();
        names.sort();
        names.join(", ")
    };
    match candidates.as_slice() {
        [one] => Ok(*one),
        [] => Err(NameError::Unknown {
            kind: kind.to_owned(),
            wanted: wanted.to_owned(),
            help: match written(&mut items.iter()) {
                none if none.is_empty() => format!("there is no {kind} at all"),
                names => format!("name one of: {names}"),
            },
        }),
        several => Err(NameError::Ambiguous {
            kind: kind.to_owned(),
            wanted: wanted.to_owned(),
            help: format!("name one of: {}", written(&mut several.iter().copied())),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEMS: [(&str, &str); 3] = [("globex", "redis"), ("acme", "redis"), ("acme", "web")];

    fn check(wanted: &str, expected: Result<(&str, &str), &str>) {
        match (resolve("volume", wanted, &ITEMS, |item| *item), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(*found, expected),
            (
                Err(NameError::Ambiguous { help, .. } | NameError::Unknown { help, .. }),
                Err(expected),
            ) => assert_eq!(help, expected),
            (got, _) => panic!("{wanted}: {got:?}"),
        }
    }

    #[test]
    fn a_plain_name_is_enough_where_it_is_unique() {
        check("web", Ok(("acme", "web")));
        check("acme/redis", Ok(("acme", "redis")));
        check("redis", Err("name one of: acme/redis, globex/redis"));
        let all = "name one of: acme/redis, acme/web, globex/redis";
        for unknown in ["globex/web", "postgres", "", "/", "acme/"] {
            check(unknown, Err(all));
        }
    }
}
