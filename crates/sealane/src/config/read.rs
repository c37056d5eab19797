//! From the text of a cell file to a [`Cell`]: one function per section.

use std::{fs::File, io::Read as _, net::SocketAddr, ops::Range, path::Path, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    ACCOUNT_DEFAULT, CELL_FILE_BYTES_MAX, Cell, Egress, EgressName, EgressRoots, Ingress,
    Isolation, KmsAudit, KmsListen, REGION_DEFAULT, Route, SVID_TTL_DEFAULT, SVID_TTL_MAX,
    SVID_TTL_MIN, check,
    fault::{CellFileError, Faults},
    read_service::{DraftService, read_service},
    scalar,
    section::{Refusal, Section, did_you_mean, parse_text, twice},
};

pub(super) fn read_file(path: &Path) -> Result<String, CellFileError> {
    let unreadable = |reason: String, help: &str| CellFileError::Unreadable {
        path: path.display().to_string(),
        reason,
        help: help.to_owned(),
    };
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            unreadable("there is no such file".into(), "name an existing file, such as cell.toml")
        }
        _ => unreadable(error.to_string(), "make it readable by the user who starts the cell"),
    };
    // Opening a FIFO would wait for a writer; so look first.
    let kind = std::fs::metadata(path).map_err(io)?;
    if kind.is_dir() {
        return Err(unreadable("it is a folder".into(), "name the file in it, such as cell.toml"));
    }
    if !kind.is_file() {
        return Err(unreadable("it is not a file".into(), "name a plain file"));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(CELL_FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(io)?;
    if bytes.len() as u64 > CELL_FILE_BYTES_MAX {
        return Err(unreadable(
            format!("it is larger than {CELL_FILE_BYTES_MAX} bytes"),
            "a cell file is a few pages of TOML: is this the right file?",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|b| **b == b'\n').count() + 1;
        unreadable(format!("line {line} is not UTF-8"), "save the file as UTF-8")
    })
}

/// What was read, with the places that the checks across sections need.
pub(super) struct Draft<'t> {
    pub(super) isolation: Isolation,
    pub(super) tenants: Vec<Spanned<String>>,
    pub(super) services: Vec<DraftService<'t>>,
    pub(super) ingress: Option<DraftIngress>,
    pub(super) kms: Option<DraftKms>,
    pub(super) allow: Vec<Spanned<EgressName>>,
    /// Names of services that are declared but whose own name or shape is refused: calls to them
    /// are not reported a second time.
    pub(super) services_refused: Vec<String>,
    pub(super) tenants_refused: Vec<String>,
}

pub(super) struct DraftIngress {
    pub(super) listen: Option<Spanned<SocketAddr>>,
    pub(super) routes: Vec<DraftRoute>,
}

pub(super) struct DraftKms {
    /// Where the section begins.
    pub(super) at: Range<usize>,
    /// `None` if it is refused, so that callers are not blamed as well.
    pub(super) listen: Option<KmsListen>,
}

pub(super) struct DraftRoute {
    pub(super) host: Spanned<String>,
    pub(super) tenant: Spanned<String>,
    pub(super) to: Spanned<(String, u16)>,
}

/// `None`, or a cell that must not be used, where `faults` has grown.
pub(super) fn read_cell(file: &Path, base: &Path, text: &str, faults: &mut Faults) -> Option<Cell> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What follows a syntax error is guesswork, so the meaning is not looked at.
        for error in errors {
            let at = error.span().unwrap_or(0..0);
            if error.message() == "duplicate key" {
                faults.add(
                    at,
                    "this is defined twice",
                    "defined before",
                    "each key and each table appears once: remove or rename one of them",
                );
            } else {
                let help = "correct the TOML here; https://toml.io shows the syntax";
                faults.add(at, "this is not TOML", error.message(), help);
            }
        }
        return None;
    }
    let root = Section::of(
        "the cell file".to_owned(),
        0..0,
        document.get_ref(),
        &["cell", "tenant", "service", "ingress", "egress", "kms"],
        faults,
    );

    let head = read_head(&root, faults);
    let (tenants, tenants_refused) = read_tenants(&root, faults);
    let (services, services_refused) = read_services(&root, base, faults);
    let ingress =
        root.get("ingress").and_then(|value| read_ingress(root.key_at("ingress"), value, faults));
    let kms = root.get("kms").map(|value| {
        let at = root.key_at("kms");
        DraftKms { listen: read_kms(at.clone(), value, faults), at }
    });
    let (allow, egress) = root
        .get("egress")
        .and_then(|value| read_egress(root.key_at("egress"), value, base, faults))
        .unwrap_or_default();

    let head = head?;
    let draft = Draft {
        isolation: head.isolation,
        tenants,
        services,
        ingress,
        kms,
        allow,
        services_refused,
        tenants_refused,
    };
    check::check(&draft, faults);
    if !faults.is_empty() {
        return None;
    }

    let targets: Vec<Vec<_>> = draft.services.iter().map(|s| draft.targets_of(s)).collect();
    let services = draft.services.into_iter().zip(targets);
    let services = services.map(|(service, targets)| Arc::new(service.finish(targets))).collect();
    let ingress = draft.ingress.and_then(DraftIngress::finish);
    Some(Cell {
        file: file.to_path_buf(),
        base: base.to_path_buf(),
        trust_domain: head.trust_domain,
        name: head.name,
        account: head.account,
        region: head.region,
        svid_ttl: head.svid_ttl,
        isolation: head.isolation,
        tenants: draft.tenants.into_iter().map(Spanned::into_inner).collect(),
        services,
        ingress,
        kms: draft.kms.and_then(|kms| kms.listen),
        egress,
    })
}

struct Head {
    name: String,
    trust_domain: String,
    account: String,
    region: String,
    svid_ttl: std::time::Duration,
    isolation: Isolation,
}

fn read_head(root: &Section<'_>, faults: &mut Faults) -> Option<Head> {
    let Some(value) = root.get("cell") else {
        faults.add(
            0..0,
            "the cell file has no [cell]",
            "[cell] is missing",
            "begin the file with:\n[cell]\nname = \"shop\"",
        );
        return None;
    };
    let known = ["name", "trust_domain", "account", "region", "svid_ttl", "isolation"];
    let section = Section::open("[cell]", root.key_at("cell"), value, &known, faults)?;
    section.require("name", "\"shop\"", faults);
    let name = section.text("name", faults, scalar::parse_own_name).map(Spanned::into_inner);
    let trust_domain = section.text("trust_domain", faults, scalar::parse_trust_domain);
    let account = section.text("account", faults, scalar::parse_account);
    let region = section.text("region", faults, scalar::parse_region);
    let svid_ttl = section
        .text("svid_ttl", faults, |text| scalar::parse_duration(text, SVID_TTL_MIN, SVID_TTL_MAX));
    let isolation = section.text("isolation", faults, |text| match text {
        "namespaces" => Ok(Isolation::Namespaces),
        "none" => Ok(Isolation::None),
        _ => Err(one_of(text, &["namespaces", "none"])),
    });
    let name = name.unwrap_or_default();
    Some(Head {
        trust_domain: trust_domain.map_or_else(|| format!("{name}.internal"), Spanned::into_inner),
        account: account.map_or_else(|| ACCOUNT_DEFAULT.to_owned(), Spanned::into_inner),
        region: region.map_or_else(|| REGION_DEFAULT.to_owned(), Spanned::into_inner),
        svid_ttl: svid_ttl.map_or(SVID_TTL_DEFAULT, Spanned::into_inner),
        isolation: isolation.map_or(Isolation::Namespaces, Spanned::into_inner),
        name,
    })
}

/// A text that is none of a few words.
pub(super) fn one_of(text: &str, words: &[&str]) -> Refusal {
    Refusal::new(
        format!("`{text}` is none of its values"),
        did_you_mean(text, words, "write one of"),
    )
}

fn read_tenants(root: &Section<'_>, faults: &mut Faults) -> (Vec<Spanned<String>>, Vec<String>) {
    let (mut tenants, mut refused) = (Vec::new(), Vec::new());
    let Some(table) = root.get("tenant").and_then(|v| Section::table("[tenant]", v, faults)) else {
        return (tenants, refused);
    };
    for (name, at, value) in Section::entries(table) {
        let title = format!("[tenant.{name}]");
        let shape = Section::open(&title, at.clone(), value, &[], faults);
        match own_name(&title, name, &at, faults) {
            Some(name) if shape.is_some() => tenants.push(Spanned::new(at, name)),
            _ => refused.push(name.to_owned()),
        }
    }
    (tenants, refused)
}

fn read_services<'t>(
    root: &Section<'t>,
    base: &Path,
    faults: &mut Faults,
) -> (Vec<DraftService<'t>>, Vec<String>) {
    let (mut services, mut refused) = (Vec::new(), Vec::new());
    let Some(table) = root.get("service").and_then(|v| Section::table("[service]", v, faults))
    else {
        return (services, refused);
    };
    for (name, at, value) in Section::entries(table) {
        let own = own_name(&format!("[service.{name}]"), name, &at, faults);
        match read_service(Spanned::new(at, name.to_owned()), value, base, faults) {
            Some(service) if own.is_some() => services.push(service),
            _ => refused.push(name.to_owned()),
        }
    }
    (services, refused)
}

fn own_name(title: &str, name: &str, at: &Range<usize>, faults: &mut Faults) -> Option<String> {
    scalar::parse_own_name(name)
        .map_err(|refusal| {
            let message = format!("the name of {title} is refused: {}", refusal.message);
            faults.add(at.clone(), message, refusal.message, refusal.help);
        })
        .ok()
}

fn read_ingress<'t>(
    at: Range<usize>,
    value: &'t Spanned<DeValue<'t>>,
    faults: &mut Faults,
) -> Option<DraftIngress> {
    let section = Section::open("[ingress]", at, value, &["listen", "route"], faults)?;
    section.require("listen", "\"0.0.0.0:8443\"", faults);
    section.require("route", "[{ host = \"…\", tenant = \"…\", to = \"NAME:PORT\" }]", faults);
    let listen = section.text("listen", faults, scalar::parse_socket_address);
    let mut routes = Vec::new();
    for item in section.list("route", "a list of tables", faults).unwrap_or_default() {
        let known = ["host", "tenant", "to"];
        let Some(route) = Section::open("a route", item.span(), item, &known, faults) else {
            continue;
        };
        route.require("host", "\"acme.shop.localhost\"", faults);
        route.require("tenant", "\"acme\"", faults);
        route.require("to", "\"web:8080\"", faults);
        let host = route.text("host", faults, scalar::parse_host);
        let tenant = route.text("tenant", faults, scalar::parse_own_name);
        let to = route.text("to", faults, scalar::parse_host_port);
        if let (Some(host), Some(tenant), Some(to)) = (host, tenant, to) {
            routes.push(DraftRoute { host, tenant, to });
        }
    }
    Some(DraftIngress { listen, routes })
}

fn read_kms<'t>(
    at: Range<usize>,
    value: &'t Spanned<DeValue<'t>>,
    faults: &mut Faults,
) -> Option<KmsListen> {
    let section = Section::open("[kms]", at, value, &["listen", "hosts", "audit"], faults)?;
    section.require("listen", "\"127.0.0.1:7600\"", faults);
    let listen = section.text("listen", faults, scalar::parse_socket_address);
    let hosts = section.texts("hosts", faults, scalar::parse_host).unwrap_or_default();
    let mut hosts: Vec<String> = hosts.into_iter().map(Spanned::into_inner).collect();
    if hosts.is_empty() {
        hosts.push("localhost".to_owned());
    }
    let audit = section.text("audit", faults, scalar::parse_kms_audit);
    let audit = audit.map_or(KmsAudit::Batched, Spanned::into_inner);
    Some(KmsListen { listen: listen?.into_inner(), hosts, audit })
}

impl DraftIngress {
    fn finish(self) -> Option<Ingress> {
        let routes = self.routes.into_iter().map(|route| {
            let (service, port) = route.to.into_inner();
            Route {
                host: route.host.into_inner(),
                tenant: route.tenant.into_inner(),
                service,
                port,
            }
        });
        Some(Ingress { listen: self.listen?.into_inner(), routes: routes.collect() })
    }
}

fn read_egress<'t>(
    at: Range<usize>,
    value: &'t Spanned<DeValue<'t>>,
    base: &Path,
    faults: &mut Faults,
) -> Option<(Vec<Spanned<EgressName>>, Egress)> {
    let section = Section::open("[egress]", at, value, &["allow", "roots", "resolve"], faults)?;
    section.require("allow", "[\"payments.example:443\"]", faults);
    let allow = section.texts("allow", faults, scalar::parse_egress_name).unwrap_or_default();
    for (i, name) in allow.iter().enumerate() {
        if let Some(first) = allow[..i].iter().find(|first| first.get_ref() == name.get_ref()) {
            let message = format!("`{}` is allowed twice", name.get_ref());
            twice(faults, first.span(), name.span(), message, "remove one of them");
        }
    }
    let roots = read_roots(&section, base, faults);
    let mut resolve = std::collections::BTreeMap::new();
    if let Some(table) =
        section.get("resolve").and_then(|value| Section::table("`resolve`", value, faults))
    {
        for (key, key_at, value) in Section::entries(table) {
            let address = parse_text(
                &format!("`{key}` of `resolve`"),
                value,
                faults,
                scalar::parse_socket_address,
            );
            let name = allow.iter().find(|name| name.get_ref().to_string() == key);
            let Some(name) = name else {
                let known: Vec<_> = allow.iter().map(|name| name.get_ref().to_string()).collect();
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                faults.add(
                    key_at,
                    format!("`resolve` names `{key}`, which is not allowed"),
                    "not in `allow`",
                    did_you_mean(key, &known, "add it to `allow`, where there are"),
                );
                continue;
            };
            resolve.extend(address.map(|a| (name.get_ref().clone(), a.into_inner())));
        }
    }
    let names = allow.iter().map(|name| name.get_ref().clone()).collect();
    Some((allow, Egress { allow: names, roots, resolve }))
}

fn read_roots(section: &Section<'_>, base: &Path, faults: &mut Faults) -> EgressRoots {
    if section.get("roots").is_some_and(|value| value.get_ref().is_str()) {
        section.text("roots", faults, |text| match text {
            "system" => Ok(()),
            _ => Err(Refusal::new(
                format!("`{text}` is neither \"system\" nor a list of files"),
                format!("write roots = [\"{text}\"], or roots = \"system\""),
            )),
        });
        return EgressRoots::System;
    }
    let files = section.texts("roots", faults, |text| {
        let path = base.join(text);
        if path.is_file() {
            return Ok(path);
        }
        Err(Refusal::new(
            format!("there is no file `{}`", path.display()),
            "name a PEM file; a relative path starts at the folder of the cell file",
        ))
    });
    match files {
        Some(files) if files.is_empty() && section.is_empty_list("roots") => {
            faults.add(
                section.key_at("roots"),
                "`roots` of [egress] is empty",
                "nobody vouches for the third parties",
                "name a PEM file, or write roots = \"system\"",
            );
            EgressRoots::System
        }
        Some(files) => EgressRoots::Files(files.into_iter().map(Spanned::into_inner).collect()),
        None => EgressRoots::System,
    }
}
