//! Names, sizes, durations and addresses, from the text of the file.

use std::{net::SocketAddr, path::Path, time::Duration};

use super::{
    DNS_NAME_BYTES_MAX, EgressName, KmsAudit, LABEL_BYTES_MAX, MEMORY_BYTES_MAX, MEMORY_BYTES_MIN,
    NAMES_RESERVED, RunAs, VOLUME_BLOCK_BYTES, VOLUME_BYTES_MAX, VOLUME_BYTES_MIN,
    section::Refusal,
};

/// A DNS label: part of host names, SPIFFE IDs and file names, so one rule for all three.
///
/// # Errors
/// [`Refusal`] if it is none.
pub fn parse_label(text: &str) -> Result<String, Refusal> {
    let help = "use a to z, 0 to 9 and `-`, beginning with a letter and not ending with `-`";
    let refuse = |message: String| Err(Refusal::new(message, help));
    match text.as_bytes() {
        [] => refuse("the name is empty".into()),
        bytes if bytes.len() > LABEL_BYTES_MAX => {
            refuse(format!("the name is longer than {LABEL_BYTES_MAX} bytes"))
        }
        [first, .., b'-'] | [first] if first.is_ascii_lowercase() && text.ends_with('-') => {
            refuse(format!("`{text}` ends with `-`"))
        }
        [first, ..] if !first.is_ascii_lowercase() => {
            refuse(format!("`{text}` does not begin with a letter from a to z"))
        }
        bytes
            if bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-') =>
        {
            Ok(text.to_owned())
        }
        _ => refuse(format!("`{text}` holds a character that a DNS label cannot")),
    }
}

/// A label that a tenant or service may bear.
pub(super) fn parse_own_name(text: &str) -> Result<String, Refusal> {
    if NAMES_RESERVED.contains(&text) {
        return Err(Refusal::new(
            format!("`{text}` is reserved"),
            "choose another name: Sealane's own identities and the local machine go by this one",
        ));
    }
    parse_label(text)
}

/// # Errors
/// [`Refusal`] unless it is a trust domain by the SPIFFE ID standard, section 2.1.
pub fn parse_trust_domain(text: &str) -> Result<String, Refusal> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    if !text.is_empty() && text.len() <= DNS_NAME_BYTES_MAX && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(
        format!("`{text}` is no trust domain"),
        format!("use a to z, 0 to 9, `-`, `.` and `_`, at most {DNS_NAME_BYTES_MAX} bytes"),
    ))
}

/// # Errors
/// [`Refusal`] unless it is twelve digits.
pub fn parse_account(text: &str) -> Result<String, Refusal> {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(
        format!("`{text}` is not an account number"),
        "an account is twelve digits in quotes, such as \"000000000000\"",
    ))
}

/// # Errors
/// [`Refusal`] unless it can stand in an ARN.
pub fn parse_region(text: &str) -> Result<String, Refusal> {
    parse_label(text).map_err(|_| {
        Refusal::new(
            format!("`{text}` is no region"),
            "use a to z, 0 to 9 and `-`, such as \"us-east-1\"",
        )
    })
}

/// A host name in lower case and a port.
///
/// # Errors
/// [`Refusal`] if either is missing or malformed.
pub fn parse_host_port(text: &str) -> Result<(String, u16), Refusal> {
    let help = "write a name, a colon and a port from 1 to 65535, such as \"catalog:8080\"";
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(Refusal::new(format!("`{text}` names no port"), help));
    };
    // `u16::from_str` would take "+80" as well.
    let port = Some(port)
        .filter(|port| port.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|port| port.parse().ok())
        .filter(|port| *port != 0);
    let Some(port) = port else {
        return Err(Refusal::new(format!("the port of `{text}` is not a number in range"), help));
    };
    parse_host(host).map(|host| (host, port))
}

pub(super) fn parse_kms_audit(text: &str) -> Result<KmsAudit, Refusal> {
    match text {
        "batched" => Ok(KmsAudit::Batched),
        "strict" => Ok(KmsAudit::Strict),
        _ => Err(Refusal::new(
            format!("`{text}` is no way to record the use of keys"),
            "write \"batched\" (within 100 ms of the answer) or \"strict\" (before it)",
        )),
    }
}

/// A DNS name in lower case, without a dot at its end.
pub(super) fn parse_host(text: &str) -> Result<String, Refusal> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let looks_like_address = text
        .rsplit('.')
        .next()
        .is_some_and(|last| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
        || text.contains(':');
    if looks_like_address {
        return Err(Refusal::new(
            format!("`{text}` is an address, not a name"),
            "name the host: certificates and policies speak of names",
        ));
    }
    if text.len() <= DNS_NAME_BYTES_MAX && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    let help = if text.bytes().any(|b| b.is_ascii_uppercase()) {
        "write it in lower case"
    } else if text.contains('*') {
        "name each host: there are no wildcards"
    } else {
        "use labels of a to z, 0 to 9 and `-` with dots between them"
    };
    Err(Refusal::new(format!("`{text}` is no host name"), help))
}

pub(super) fn parse_egress_name(text: &str) -> Result<EgressName, Refusal> {
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(Refusal::new(
            format!("`{text}` is a URL"),
            format!("leave out `{scheme}://` and any path: write \"host:port\""),
        ));
    }
    let (host, port) = parse_host_port(text).map_err(|refusal| Refusal {
        help: refusal.help.replace("catalog:8080", "payments.example:443"),
        ..refusal
    })?;
    Ok(EgressName { host, port })
}

pub(super) fn parse_socket_address(text: &str) -> Result<SocketAddr, Refusal> {
    let refuse = |message: String| {
        Err(Refusal::new(
            message,
            "write an IP address and a port, such as \"0.0.0.0:8443\" or \"[::]:8443\"",
        ))
    };
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => refuse(format!("`{text}` names no port")),
        Ok(address) => Ok(address),
        Err(_) => refuse(format!("`{text}` is no IP address and port")),
    }
}

pub(super) fn parse_duration(
    text: &str,
    min: Duration,
    max: Duration,
) -> Result<Duration, Refusal> {
    let help = format!("write a whole number and ms, s, m or h: {} to {}", show(min), show(max));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err(Refusal::new(format!("`{text}` is no duration"), help)),
    };
    let Some(ms) = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms)) else {
        return Err(Refusal::new(format!("`{text}` is no duration"), help));
    };
    match Duration::from_millis(ms) {
        duration if duration < min => Err(Refusal::new(format!("`{text}` is too short"), help)),
        duration if duration > max => Err(Refusal::new(format!("`{text}` is too long"), help)),
        duration => Ok(duration),
    }
}

/// A duration in the largest unit that divides it, as the file would write it.
fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

const UNITS: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

fn parse_size(text: &str, min: u64, max: u64) -> Result<u64, Refusal> {
    let limits = format!("{} to {}", show_size(min), show_size(max));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let Some((_, unit_bytes)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        // "1GB" is the common slip: name the unit that was surely meant.
        let meant = unit.chars().next().map(|c| c.to_ascii_uppercase());
        let meant = UNITS[1..].iter().find(|(name, _)| name.chars().next() == meant);
        let help = match meant {
            Some((name, _)) if !number.is_empty() => {
                format!("write `{number}{name}`: units are B, KiB, MiB, GiB and TiB ({limits})")
            }
            _ => format!("write a whole number and B, KiB, MiB, GiB or TiB: {limits}"),
        };
        return Err(Refusal::new(format!("`{text}` is no size"), help));
    };
    let help = format!("write a size from {limits}");
    let Ok(number) = number.parse::<u64>() else {
        return Err(Refusal::new(format!("`{text}` is no size"), help));
    };
    match number.checked_mul(*unit_bytes) {
        Some(bytes) if bytes < min => Err(Refusal::new(format!("`{text}` is too small"), help)),
        Some(bytes) if bytes <= max => Ok(bytes),
        _ => Err(Refusal::new(format!("`{text}` is too large"), help)),
    }
}

fn show_size(bytes: u64) -> String {
    let unit = UNITS.iter().rev().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

pub(super) fn parse_volume_size(text: &str) -> Result<u64, Refusal> {
    let bytes = parse_size(text, VOLUME_BYTES_MIN, VOLUME_BYTES_MAX)?;
    if bytes.is_multiple_of(VOLUME_BLOCK_BYTES) {
        return Ok(bytes);
    }
    let nearest = bytes.next_multiple_of(VOLUME_BLOCK_BYTES);
    Err(Refusal::new(
        format!("`{text}` is not a multiple of {VOLUME_BLOCK_BYTES} bytes"),
        format!("a volume is made of whole blocks: write `{nearest}B`, or use KiB, MiB or GiB"),
    ))
}

pub(super) fn parse_memory_size(text: &str) -> Result<u64, Refusal> {
    parse_size(text, MEMORY_BYTES_MIN, MEMORY_BYTES_MAX)
}

/// Mounting over these would break the service or undo its isolation; nothing may be mounted
/// below those of the second list either, because the kernel owns what is in them.
const MOUNT_POINTS_REFUSED: [&str; 11] =
    ["/", "/bin", "/boot", "/etc", "/home", "/lib", "/lib64", "/root", "/sbin", "/usr", "/var"];
const MOUNT_TREES_REFUSED: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

pub(super) fn parse_mount_point(text: &str) -> Result<std::path::PathBuf, Refusal> {
    let plain = text.strip_prefix('/').is_some_and(|rest| {
        rest.is_empty()
            || rest.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
    });
    if !plain || text.contains('\0') {
        return Err(Refusal::new(
            format!("`{text}` is no absolute path"),
            "write a path from the root without `.`, `..` and `//`, such as \"/data\"",
        ));
    }
    let path = Path::new(text);
    let taken = MOUNT_POINTS_REFUSED.iter().any(|refused| path == Path::new(refused))
        || MOUNT_TREES_REFUSED.iter().any(|refused| path.starts_with(refused));
    if taken {
        return Err(Refusal::new(
            format!("`{text}` belongs to the system"),
            "choose a folder of its own, such as \"/data\" or \"/var/lib/NAME\"",
        ));
    }
    Ok(path.to_path_buf())
}

pub(super) fn parse_user(text: &str) -> Result<String, Refusal> {
    if crate::kms::is_user_name(text) {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(
        format!("`{text}` is no name of a user"),
        "use 1 to 64 letters, digits and +=,.@_-, as in access keys",
    ))
}

pub(super) fn parse_run_as(text: &str) -> Result<RunAs, Refusal> {
    let user = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if text == "auto" {
        return Ok(RunAs::Auto);
    }
    if text == "root" || text == "0" {
        return Err(Refusal::new(
            "a service does not run as root",
            "leave `run_as` out: each instance then gets a user of its own",
        ));
    }
    if let Ok(uid) = text.parse::<u32>() {
        return Ok(RunAs::Uid(uid));
    }
    // 32 bytes: the longest name that Debian's useradd makes.
    if !text.is_empty() && text.len() <= 32 && text.bytes().all(user) && !text.starts_with('-') {
        return Ok(RunAs::User(text.to_owned()));
    }
    Err(Refusal::new(
        format!("`{text}` is no user name"),
        "write \"auto\", a user name, or a number",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_dns() {
        let longest = "a".repeat(LABEL_BYTES_MAX);
        for good in ["a", "web", "web-2", "a1", longest.as_str()] {
            assert_eq!(parse_label(good).as_deref(), Ok(good));
        }
        let too_long = "a".repeat(LABEL_BYTES_MAX + 1);
        for bad in ["", "-", "Web", "1a", "a-", "-a", "a_b", "a.b", "ü", "a/b", &too_long] {
            assert!(parse_label(bad).is_err(), "{bad}");
        }
        for reserved in NAMES_RESERVED {
            assert!(parse_own_name(reserved).is_err());
        }
    }

    #[test]
    fn hosts_and_ports() {
        for (text, want) in [
            ("catalog:8080", Some(("catalog", 8080))),
            ("payments.example:443", Some(("payments.example", 443))),
            ("1st.example:1", Some(("1st.example", 1))),
            ("catalog", None),
            ("catalog:", None),
            ("catalog:0", None),
            ("catalog:+80", None),
            ("catalog:65536", None),
            (":80", None),
            ("Catalog:80", None),
            ("a..b:80", None),
            ("a.:80", None),
            ("*.example:443", None),
            ("127.0.0.1:80", None),
            ("[::1]:80", None),
            ("a b:80", None),
        ] {
            let got = parse_host_port(text).ok();
            assert_eq!(got, want.map(|(host, port)| (host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn sizes_at_their_limits() {
        for (text, want) in [
            ("16MiB", Some(16 << 20)),
            ("1GiB", Some(1 << 30)),
            ("64GiB", Some(64 << 30)),
            ("16781312B", Some(16_781_312)),
            ("16777215B", None),
            ("65GiB", None),
            ("16781313B", None),
            ("1GB", None),
            ("1gib", None),
            ("1 GiB", None),
            ("1.5GiB", None),
            ("GiB", None),
            ("", None),
            ("99999999999999999999B", None),
            ("18446744073709551615TiB", None),
        ] {
            assert_eq!(parse_volume_size(text).ok(), want, "{text}");
        }
        assert_eq!(
            parse_volume_size("1GB").unwrap_err().help.split(':').next(),
            Some("write `1GiB`")
        );
    }

    #[test]
    fn durations_at_their_limits() {
        let (min, max) = (Duration::from_secs(10), Duration::from_secs(3600));
        for (text, want_ms) in [
            ("10s", Some(10_000)),
            ("10000ms", Some(10_000)),
            ("60m", Some(3_600_000)),
            ("1h", Some(3_600_000)),
            ("9999ms", None),
            ("61m", None),
            ("30", None),
            ("s", None),
            ("1h30m", None),
            ("-5s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            let want = want_ms.map(Duration::from_millis);
            assert_eq!(parse_duration(text, min, max).ok(), want, "{text}");
        }
    }

    #[test]
    fn mount_points_keep_off_the_system() {
        for good in ["/data", "/var/lib/redis", "/srv", "/home/app", "/development"] {
            assert!(parse_mount_point(good).is_ok(), "{good}");
        }
        for bad in
            ["/", "data", "", "/proc", "/proc/x", "/dev/shm", "/etc", "/a/../etc", "/a//b", "/a/"]
        {
            assert!(parse_mount_point(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn users() {
        assert_eq!(parse_run_as("auto"), Ok(RunAs::Auto));
        assert_eq!(parse_run_as("redis"), Ok(RunAs::User("redis".into())));
        assert_eq!(parse_run_as("1000"), Ok(RunAs::Uid(1000)));
        for bad in ["", "root", "0", "a b", "-x", "a:b"] {
            assert!(parse_run_as(bad).is_err(), "{bad}");
        }
    }
}
