//! One `[service.NAME]`.

use std::{collections::BTreeMap, ops::Range, path::Path, path::PathBuf, time::Duration};

use toml::{Spanned, de::DeValue};

use super::{
    BACKOFF_MAX, BACKOFF_MAX_DEFAULT, BACKOFF_MIN, BACKOFF_MIN_DEFAULT, Limits, Listen,
    MEMORY_BYTES_DEFAULT, OPEN_FILES_DEFAULT, OPEN_FILES_MAX, OPEN_FILES_MIN, PROCESSES_DEFAULT,
    PROCESSES_MAX, PROCESSES_MIN, READY_TIMEOUT_DEFAULT, READY_TIMEOUT_MAX, READY_TIMEOUT_MIN,
    Ready, Restart, RunAs, STOP_TIMEOUT_DEFAULT, STOP_TIMEOUT_MAX, STOP_TIMEOUT_MIN, Service,
    Target, Template, VolumeSpec,
    fault::Faults,
    read::one_of,
    scalar,
    section::{Refusal, Section, parse_integer, parse_text, twice, wrong_type},
};

const KNOWN: [&str; 14] = [
    "tenants",
    "run",
    "env",
    "cwd",
    "run_as",
    "port",
    "ports",
    "listen",
    "may_call",
    "volume",
    "limits",
    "ready",
    "restart",
    "stop_timeout",
];

pub(super) struct DraftService<'t> {
    pub(super) name: Spanned<String>,
    pub(super) section: Section<'t>,
    pub(super) tenants: Vec<Spanned<String>>,
    /// `None` if they are refused, so that callers of them are not blamed as well.
    pub(super) ports: Option<Vec<Spanned<u16>>>,
    pub(super) may_call: Vec<Spanned<(String, u16)>>,
    pub(super) volume: Option<DraftVolume>,
    pub(super) run: Vec<Template>,
    pub(super) env: BTreeMap<String, Template>,
    rest: Rest,
}

pub(super) struct DraftVolume {
    pub(super) name: Spanned<String>,
    size_bytes: u64,
    user: Option<String>,
    at: PathBuf,
}

/// What no check across sections asks about.
struct Rest {
    cwd: PathBuf,
    run_as: RunAs,
    listen: Listen,
    limits: Limits,
    ready: Ready,
    restart: Restart,
    stop_timeout: Duration,
}

pub(super) fn read_service<'t>(
    name: Spanned<String>,
    value: &'t Spanned<DeValue<'t>>,
    base: &Path,
    faults: &mut Faults,
) -> Option<DraftService<'t>> {
    let title = format!("[service.{}]", name.get_ref());
    let section = Section::open(title, name.span(), value, &KNOWN, faults)?;
    section.require("tenants", "[\"acme\"]", faults);
    section.require("run", "[\"program\", \"argument\"]", faults);

    let tenants = section.texts("tenants", faults, |text| Ok(text.to_owned())).unwrap_or_default();
    distinct(&tenants, "tenant", faults);
    if section.is_empty_list("tenants") {
        faults.add(
            section.key_at("tenants"),
            format!("{} has no tenants", section.title),
            "it would never run",
            "name at least one [tenant.NAME], or remove the service",
        );
    }
    let ports = read_ports(&section, faults);
    let volume = read_volume(&section, faults);
    let may_call = section.texts("may_call", faults, scalar::parse_host_port).unwrap_or_default();
    let (run, env) = read_templates(&section, ports.as_deref(), faults);
    let ready = read_ready(&section, ports.as_deref(), faults);
    let rest = Rest {
        cwd: read_cwd(&section, base, faults),
        run_as: read_run_as(&section, faults),
        listen: section
            .text("listen", faults, |text| match text {
                "any" => Ok(Listen::Any),
                "loopback" => Ok(Listen::Loopback),
                _ => Err(one_of(text, &["any", "loopback"])),
            })
            .map_or(Listen::Any, Spanned::into_inner),
        limits: read_limits(&section, faults),
        ready,
        restart: read_restart(&section, faults),
        stop_timeout: section
            .text("stop_timeout", faults, |text| {
                scalar::parse_duration(text, STOP_TIMEOUT_MIN, STOP_TIMEOUT_MAX)
            })
            .map_or(STOP_TIMEOUT_DEFAULT, Spanned::into_inner),
    };
    Some(DraftService { name, section, tenants, ports, may_call, volume, run, env, rest })
}

impl DraftService<'_> {
    /// Called once all checks have passed.
    pub(super) fn finish(self, may_call: Vec<Target>) -> Service {
        let ports = self.ports.unwrap_or_default();
        Service {
            name: self.name.into_inner(),
            tenants: self.tenants.into_iter().map(Spanned::into_inner).collect(),
            run: self.run,
            env: self.env,
            cwd: self.rest.cwd,
            run_as: self.rest.run_as,
            ports: ports.into_iter().map(Spanned::into_inner).collect(),
            listen: self.rest.listen,
            may_call,
            volume: self.volume.map(|volume| VolumeSpec {
                name: volume.name.into_inner(),
                size_bytes: volume.size_bytes,
                user: volume.user,
                at: volume.at,
            }),
            limits: self.rest.limits,
            ready: self.rest.ready,
            restart: self.rest.restart,
            stop_timeout: self.rest.stop_timeout,
        }
    }
}

fn distinct<T: PartialEq + std::fmt::Display>(
    items: &[Spanned<T>],
    what: &str,
    faults: &mut Faults,
) {
    for (i, item) in items.iter().enumerate() {
        if let Some(first) = items[..i].iter().find(|first| first.get_ref() == item.get_ref()) {
            let message = format!("the {what} `{}` is named twice", item.get_ref());
            twice(faults, first.span(), item.span(), message, "remove one of them");
        }
    }
}

fn read_ports(section: &Section<'_>, faults: &mut Faults) -> Option<Vec<Spanned<u16>>> {
    let (one, many) = (section.get("port"), section.get("ports"));
    if one.is_some() && many.is_some() {
        twice(
            faults,
            section.key_at("port"),
            section.key_at("ports"),
            format!("{} has both `port` and `ports`", section.title),
            "keep `ports` and put the main port first in it",
        );
        return None;
    }
    let mut read = |key: &str, value: &Spanned<DeValue<'_>>| {
        let port = parse_integer(&section.path(key), value, 1, u64::from(u16::MAX), faults)?;
        Some(Spanned::new(value.span(), u16::try_from(*port.get_ref()).ok()?))
    };
    let Some(value) = many else {
        return one.map_or_else(|| Some(Vec::new()), |value| Some(vec![read("port", value)?]));
    };
    let Some(items) = value.get_ref().as_array() else {
        wrong_type(&section.path("ports"), "a list of numbers", value, faults);
        return None;
    };
    // All are looked at before one that is refused ends it.
    let ports: Vec<_> = items.iter().map(|value| read("ports", value)).collect();
    let ports = ports.into_iter().collect::<Option<Vec<_>>>()?;
    distinct(&ports, "port", faults);
    Some(ports)
}

type Templates = (Vec<Template>, BTreeMap<String, Template>);

/// Placeholders are looked up right here; where the ports are refused they count as text.
fn read_templates(
    section: &Section<'_>,
    ports: Option<&[Spanned<u16>]>,
    faults: &mut Faults,
) -> Templates {
    let known = ports.map(|ports| ports.iter().map(|p| *p.get_ref()).collect::<Vec<_>>());
    // A volume that is there but refused is no reason to complain about `{volume}`.
    let has_volume = section.get("volume").is_some();
    let template = |text: &str| match &known {
        Some(ports) => Template::parse(text, ports, has_volume),
        None => Ok(Template::literal(text)),
    };
    let run = section.texts("run", faults, template).unwrap_or_default();
    let program = section.get("run").and_then(|value| value.get_ref().as_array());
    let program = program
        .map(|list| list.iter().next().map(|value| (value.get_ref().as_str(), value.span())));
    let nothing = match program {
        Some(None) => Some(section.key_at("run")),
        Some(Some((Some(""), at))) => Some(at),
        _ => None,
    };
    if let Some(at) = nothing {
        faults.add(
            at,
            format!("`run` of {} names no program", section.title),
            "nothing to run",
            "write the program and its arguments: run = [\"program\", \"argument\"]",
        );
    }
    let mut env = BTreeMap::new();
    let table = section.get("env").and_then(|v| Section::table(&section.path("env"), v, faults));
    for (key, at, value) in table.map(Section::entries).unwrap_or_default() {
        if !is_variable_name(key) {
            faults.add(
                at,
                format!("`{key}` of `env` of {} is no name of a variable", section.title),
                "not a variable's name",
                "use letters, digits and `_`, and do not begin with a digit",
            );
        }
        let path = format!("`{key}` of `env` of {}", section.title);
        if let Some(value) = parse_text(&path, value, faults, template) {
            env.insert(key.to_owned(), value.into_inner());
        }
    }
    (run.into_iter().map(Spanned::into_inner).collect(), env)
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn read_volume(section: &Section<'_>, faults: &mut Faults) -> Option<DraftVolume> {
    let title = section.path("volume");
    let value = section.get("volume")?;
    let known = ["name", "size", "at", "user"];
    let volume = Section::open(title, section.key_at("volume"), value, &known, faults)?;
    volume.require("name", "\"data\"", faults);
    volume.require("size", "\"1GiB\"", faults);
    volume.require("at", "\"/data\"", faults);
    let name = volume.text("name", faults, scalar::parse_label);
    let size = volume.text("size", faults, scalar::parse_volume_size);
    let at = volume.text("at", faults, scalar::parse_mount_point);
    let user = volume.text("user", faults, scalar::parse_user).map(Spanned::into_inner);
    let (size_bytes, at) = (size?.into_inner(), at?.into_inner());
    Some(DraftVolume { name: name?, size_bytes, user, at })
}

fn read_cwd(section: &Section<'_>, base: &Path, faults: &mut Faults) -> PathBuf {
    let folder = |text: &str| {
        let path = base.join(text);
        if path.is_dir() {
            return Ok(path);
        }
        Err(Refusal::new(
            format!("there is no folder `{}`", path.display()),
            "create it; a relative path starts at the folder of the cell file",
        ))
    };
    section.text("cwd", faults, folder).map_or_else(|| base.to_path_buf(), Spanned::into_inner)
}

fn read_run_as(section: &Section<'_>, faults: &mut Faults) -> RunAs {
    let Some(value) = section.get("run_as") else { return RunAs::Auto };
    // A number needs no quotes here: `run_as = 1000`.
    let run_as = if let Some(number) = value.get_ref().as_integer() {
        let number = u32::from_str_radix(number.as_str(), number.radix()).ok();
        let text = number.map_or_else(String::new, |number| number.to_string());
        match scalar::parse_run_as(&text) {
            Ok(run_as) => Some(run_as),
            Err(refusal) => {
                let path = section.path("run_as");
                let message = if number.is_some() { refusal.message } else { "no user id".into() };
                let summary = format!("{path} is refused: {message}");
                faults.add(value.span(), summary, message, refusal.help);
                None
            }
        }
    } else {
        section.text("run_as", faults, scalar::parse_run_as).map(Spanned::into_inner)
    };
    run_as.unwrap_or(RunAs::Auto)
}

fn read_limits(section: &Section<'_>, faults: &mut Faults) -> Limits {
    let mut limits = Limits {
        memory_bytes: MEMORY_BYTES_DEFAULT,
        processes: PROCESSES_DEFAULT,
        open_files: OPEN_FILES_DEFAULT,
    };
    let Some(table) = inner(section, "limits", &["memory", "processes", "open_files"], faults)
    else {
        return limits;
    };
    if let Some(memory) = table.text("memory", faults, scalar::parse_memory_size) {
        limits.memory_bytes = memory.into_inner();
    }
    if let Some(n) = table.integer("processes", PROCESSES_MIN, PROCESSES_MAX, faults) {
        limits.processes = n.into_inner();
    }
    if let Some(n) = table.integer("open_files", OPEN_FILES_MIN, OPEN_FILES_MAX, faults) {
        limits.open_files = n.into_inner();
    }
    limits
}

fn read_ready(section: &Section<'_>, ports: Option<&[Spanned<u16>]>, faults: &mut Faults) -> Ready {
    let main = ports.and_then(|ports| ports.first()).map(|port| *port.get_ref());
    let default =
        main.map_or(Ready::Running, |port| Ready::Tcp { port, timeout: READY_TIMEOUT_DEFAULT });
    let Some(table) = inner(section, "ready", &["tcp", "timeout"], faults) else { return default };
    let timeout = table.text("timeout", faults, |text| {
        scalar::parse_duration(text, READY_TIMEOUT_MIN, READY_TIMEOUT_MAX)
    });
    let timeout = timeout.map_or(READY_TIMEOUT_DEFAULT, Spanned::into_inner);
    let asked = table.integer("tcp", 1, u64::from(u16::MAX), faults);
    if let (Some(asked), Some(ports)) = (&asked, ports)
        && !ports.iter().any(|port| u64::from(*port.get_ref()) == *asked.get_ref())
    {
        faults.add(
            asked.span(),
            format!("`ready` of {} asks a port that it does not declare", section.title),
            "not among its ports",
            "name its `port` or one of its `ports`, or leave `tcp` out to ask the main one",
        );
    }
    let asked = asked.and_then(|asked| u16::try_from(*asked.get_ref()).ok());
    match asked.or(main) {
        Some(port) => Ready::Tcp { port, timeout },
        None => {
            if ports.is_some() && table.get("tcp").is_none() {
                faults.add(
                    section.key_at("ready"),
                    format!("`ready` of {} has no port to ask", section.title),
                    "the service declares no port",
                    "add `port = …`, or remove `ready`: it then is ready as soon as it runs",
                );
            }
            Ready::Running
        }
    }
}

fn read_restart(section: &Section<'_>, faults: &mut Faults) -> Restart {
    let mut restart =
        Restart { backoff_min: BACKOFF_MIN_DEFAULT, backoff_max: BACKOFF_MAX_DEFAULT };
    let Some(table) = inner(section, "restart", &["backoff_min", "backoff_max"], faults) else {
        return restart;
    };
    let parse = |text: &str| scalar::parse_duration(text, BACKOFF_MIN, BACKOFF_MAX);
    let min = table.text("backoff_min", faults, parse);
    let max = table.text("backoff_max", faults, parse);
    let at: Option<Range<usize>> = min.as_ref().or(max.as_ref()).map(Spanned::span);
    restart.backoff_min = min.map_or(restart.backoff_min, Spanned::into_inner);
    restart.backoff_max = max.map_or(restart.backoff_max, Spanned::into_inner);
    if let Some(at) = at.filter(|_| restart.backoff_min > restart.backoff_max) {
        faults.add(
            at,
            format!("`restart` of {} begins above its end", section.title),
            "`backoff_min` is greater than `backoff_max`",
            "the defaults are backoff_min = \"200ms\" and backoff_max = \"10s\"",
        );
    }
    restart
}

/// An inline table of the service.
fn inner<'t>(
    section: &Section<'t>,
    key: &str,
    known: &[&str],
    faults: &mut Faults,
) -> Option<Section<'t>> {
    let value = section.get(key)?;
    if value.get_ref().as_table().is_none() {
        wrong_type(&section.path(key), "a table in braces", value, faults);
        return None;
    }
    Section::open(section.path(key), section.key_at(key), value, known, faults)
}
