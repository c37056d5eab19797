//! How answers read, and that their JSON keeps its names.

use sealane::cli::{
    model::{
        CertificateStatus, CheckReport, ConnectionStatus, Explanation, KeyState, KeyStatus,
        ServiceState, ServiceStatus, Status, SvidInfo, TenantInfo, UserInfo, VolumeState,
        VolumeStatus,
    },
    render::{Rows, Style, Text as _, bytes},
};

fn status() -> Status {
    let service = |tenant: &str, state, pid, reason: Option<&str>| ServiceStatus {
        name: "web".into(),
        tenant: tenant.into(),
        identity: format!("spiffe://shop.example/ns/{tenant}/sa/web"),
        state,
        pid,
        restarts: 2,
        reason: reason.map(str::to_owned),
    };
    Status {
        ready: false,
        services: vec![
            service("acme", ServiceState::Ready, Some(4711), None),
            service("globex", ServiceState::BackingOff, None, Some("exited with 1")),
        ],
        volumes: vec![VolumeStatus {
            name: "redis".into(),
            tenant: "acme".into(),
            state: VolumeState::KeyDisabled,
            bytes_sealed: 3 << 20,
            reason: None,
        }],
        keys: vec![KeyStatus {
            id: "k1".into(),
            tenant: Some("acme".into()),
            state: KeyState::Disabled,
        }],
        keys_total: 1,
        certificates: vec![CertificateStatus {
            identity: "spiffe://shop.example/ns/acme/sa/web".into(),
            serial: "0a".into(),
            not_after: "2030-01-01T00:00:00Z".into(),
        }],
        connections: vec![ConnectionStatus {
            from: "acme/web".into(),
            to: "acme/catalog".into(),
            cipher: "TLS13_AES_256_GCM_SHA384".into(),
            bytes: 1536,
        }],
        warnings: vec!["the root key lies in a file".into()],
    }
}

#[test]
fn a_status_is_read_at_a_glance() {
    let expected = "\
not ready
warning: the root key lies in a file

SERVICE  TENANT  STATE        PID   RESTARTS  IDENTITY
web      acme    ready        4711  2         spiffe://shop.example/ns/acme/sa/web
web      globex  backing-off  -     2         spiffe://shop.example/ns/globex/sa/web
  globex/web: exited with 1

VOLUME  TENANT  STATE         SEALED
redis   acme    key-disabled  3.0 MiB

KEY  TENANT  STATE
k1   acme    disabled

IDENTITY                              SERIAL  GOOD UNTIL
spiffe://shop.example/ns/acme/sa/web  0a      2030-01-01T00:00:00Z

FROM      TO            CIPHER                    BYTES
acme/web  acme/catalog  TLS13_AES_256_GCM_SHA384  1.5 KiB
";
    assert_eq!(status().text(Style::Plain), expected);
}

#[test]
fn a_status_shows_the_first_keys_and_counts_the_rest() {
    let many = Status { keys_total: 1_000_001, ..status() };
    let text = many.text(Style::Plain);
    assert!(
        text.contains("k1   acme    disabled\n  and 1000000 more: `sealane key list`"),
        "{text}"
    );
}

#[test]
fn rows_that_come_later_stand_in_the_same_columns() {
    let user =
        |name: &str| UserInfo { tenant: "acme".into(), name: name.into(), keys: 1, access_keys: 0 };
    let mut rows = Rows::new(Style::Plain);
    let mut text = rows.more::<UserInfo>(&[]);
    text.push_str(&rows.more(&[user("alice")]));
    text.push_str(&rows.more(&[user("bob"), user("caroline")]));
    text.push_str(&rows.more(&[user("dan")]));
    text.push_str(&rows.end::<UserInfo>());
    let expected = "\
TENANT  USER   KEYS  ACCESS KEYS
acme    alice  1     0
acme    bob       1     0
acme    caroline  1     0
acme    dan       1     0
";
    assert_eq!(text, expected);
    assert!(Rows::new(Style::Plain).end::<UserInfo>().starts_with("no users"));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let coloured = status().text(Style::Colour);
    assert!(coloured.contains("\x1b[32mready\x1b[0m"));
    let mut plain = coloured;
    for code in ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"] {
        plain = plain.replace(code, "");
    }
    let trimmed: String = plain.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    assert_eq!(trimmed, status().text(Style::Plain));
}

#[test]
fn the_json_of_a_status_keeps_its_names() {
    let json = serde_json::to_value(status()).unwrap();
    let expected = serde_json::json!({
        "ready": false,
        "services": [
            {"name": "web", "tenant": "acme", "identity": "spiffe://shop.example/ns/acme/sa/web",
             "state": "ready", "pid": 4711, "restarts": 2},
            {"name": "web", "tenant": "globex",
             "identity": "spiffe://shop.example/ns/globex/sa/web",
             "state": "backing-off", "pid": null, "restarts": 2, "reason": "exited with 1"},
        ],
        "volumes": [{"name": "redis", "tenant": "acme", "state": "key-disabled",
                     "bytes_sealed": 3 << 20}],
        "keys": [{"id": "k1", "tenant": "acme", "state": "disabled"}],
        "keys_total": 1,
        "certificates": [{"identity": "spiffe://shop.example/ns/acme/sa/web", "serial": "0a",
                          "not_after": "2030-01-01T00:00:00Z"}],
        "connections": [{"from": "acme/web", "to": "acme/catalog",
                         "cipher": "TLS13_AES_256_GCM_SHA384", "bytes": 1536}],
        "warnings": ["the root key lies in a file"],
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status());
}

#[test]
fn empty_lists_say_so() {
    assert_eq!(Vec::<TenantInfo>::new().text(Style::Plain), "no tenants\n");
    assert_eq!(Vec::<SvidInfo>::new().text(Style::Plain), "no certificates: nothing runs\n");
}

#[test]
fn verdicts_come_first() {
    let explanation = Explanation {
        from: "acme/web".into(),
        to: "redis:6379".into(),
        allowed: false,
        reason: "`may_call` of [service.web] does not name redis:6379".into(),
        rule: None,
    };
    assert_eq!(
        explanation.text(Style::Plain),
        "denied  acme/web -> redis:6379\n  `may_call` of [service.web] does not name redis:6379\n"
    );
    let check = CheckReport {
        volume: "redis".into(),
        tenant: "acme".into(),
        ok: false,
        blocks: 7,
        bytes: 7 * 4096,
        faults: vec!["block 3 is forged".into()],
    };
    assert_eq!(
        check.text(Style::Plain),
        "damaged  acme/redis: 7 blocks opened, 28.0 KiB\n  block 3 is forged\n"
    );
}

#[test]
fn names_from_elsewhere_do_not_steer_the_terminal() {
    let (name, id) = ("a\x1b[2Jb\n".into(), "1".into());
    let tenants = vec![TenantInfo { name, id, key: None, erased: None }];
    assert!(!tenants.text(Style::Plain).contains('\x1b'));
    assert_eq!(tenants.text(Style::Plain).lines().count(), 2);
}

#[test]
fn bytes_are_written_in_their_unit() {
    for (count, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        ((1 << 20) - 1, "1023.9 KiB"),
        (1 << 20, "1.0 MiB"),
        (u64::MAX, "16383.9 PiB"),
    ] {
        assert_eq!(bytes(count), text);
    }
}
