//! What a good cell file means.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside `#[test]`")]

use std::{path::Path, time::Duration};

use sealane::config::{
    Cell, EgressRoots, InstanceId, Isolation, Placement, Ready, RunAs, Target, VolumeSpec,
};

fn shop() -> Cell {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cells/shop.toml");
    Cell::load(&path).unwrap()
}

fn cell(text: &str) -> Cell {
    Cell::parse(Path::new("cell.toml"), Path::new("/"), text)
        .map_err(|error| format!("{:?}", miette::Report::new(error)))
        .unwrap()
}

fn order(cell: &Cell) -> Vec<String> {
    cell.instances().iter().map(|instance| instance.id.to_string()).collect()
}

#[test]
fn the_shop_is_read_as_written() {
    let cell = shop();
    assert_eq!(cell.name, "shop");
    assert_eq!(cell.trust_domain, "shop.example");
    assert_eq!(cell.svid_ttl, Duration::from_secs(3600));
    assert_eq!(cell.isolation, Isolation::Namespaces);
    assert_eq!(cell.tenants, ["acme", "globex"]);
    assert!(cell.base.is_absolute() && cell.base.ends_with("tests/cells"));
    let redis = cell.service("redis").unwrap();
    assert_eq!(redis.ports, [6379]);
    assert_eq!(redis.run_as, RunAs::Auto);
    assert_eq!(redis.cwd, cell.base);
    assert_eq!(redis.ready, Ready::Tcp { port: 6379, timeout: Duration::from_secs(30) });
    let volume =
        VolumeSpec { name: "redis".into(), size_bytes: 1 << 30, user: None, at: "/data".into() };
    assert_eq!(redis.volume, Some(volume));
    let ingress = cell.ingress.as_ref().unwrap();
    assert_eq!(ingress.listen.port(), 8443);
    assert_eq!(ingress.routes[1].tenant, "globex");
    assert_eq!(cell.egress.allow[0].to_string(), "payments.example:443");
    assert_eq!(cell.egress.roots, EgressRoots::System);
}

#[test]
fn the_examples_of_the_documentation_are_good() {
    let text = include_str!("../../../docs/cell-file.md");
    let mut count = 0;
    for block in text.split("```toml\n").skip(1) {
        let example = block.split("```").next().unwrap();
        if example.starts_with("[cell]") {
            self::cell(example);
            count += 1;
        }
    }
    assert!(count >= 3, "the examples are missing");
}

#[test]
fn an_egress_name_is_reached_only_by_who_names_it() {
    let cell = shop();
    let calls = cell.services.iter().flat_map(|service| &service.may_call);
    assert!(calls.into_iter().all(|target| matches!(target, Target::Service { .. })));
    let text = "cell.name = 'c'\ntenant.a = {}\negress.allow = ['pay.example:443']\n\
        service.web = { tenants = ['a'], run = ['x'], may_call = ['pay.example:443'] }";
    let egress = Target::Egress { host: "pay.example".into(), port: 443 };
    assert_eq!(self::cell(text).services[0].may_call, [egress]);
}

#[test]
fn callees_start_before_their_callers() {
    assert_eq!(
        order(&shop()),
        ["acme/redis", "globex/redis", "acme/catalog", "globex/catalog", "acme/web", "globex/web"]
    );
}

#[test]
fn a_cycle_is_cut_where_the_file_begins() {
    let text = "cell.name = 'c'\ntenant.t = {}\n\
        service.a = { tenants = ['t'], run = ['x'], port = 1, may_call = ['b:1'] }\n\
        service.b = { tenants = ['t'], run = ['x'], port = 1, may_call = ['c:1'] }\n\
        service.c = { tenants = ['t'], run = ['x'], port = 1, may_call = ['a:1'] }";
    assert_eq!(order(&cell(text)), ["t/c", "t/b", "t/a"]);
}

#[test]
fn defaults_are_filled_in() {
    let cell = cell("cell.name = 'c'\ntenant.t = {}\nservice.s = { tenants = ['t'], run = ['x'] }");
    assert_eq!(cell.trust_domain, "c.internal");
    assert_eq!(cell.account, "000000000000");
    assert_eq!(cell.region, "us-east-1");
    assert_eq!(cell.ingress, None);
    assert!(cell.egress.allow.is_empty());
    let service = cell.service("s").unwrap();
    assert_eq!(service.ready, Ready::Running);
    assert_eq!(service.limits.memory_bytes, 512 << 20);
    assert_eq!(service.limits.processes, 512);
    assert_eq!(service.limits.open_files, 4096);
    assert_eq!(service.restart.backoff_min, Duration::from_millis(200));
    assert_eq!(service.stop_timeout, Duration::from_secs(10));
    let id = InstanceId { tenant: "t".into(), service: "s".into() };
    assert_eq!(cell.identity(&id), "spiffe://c.internal/ns/t/sa/s");
}

#[test]
fn a_command_says_where_things_are() {
    let text = "cell.name = 'c'\ncell.isolation = 'none'\ntenant.t = {}\n\
        service.db = { tenants = ['t'], run = ['x', '{port}'], ports = [1, 2] }\n\
        service.my-web = { tenants = ['t'], run = ['x', '--listen={port}', '{volume}/log'], \
        port = 8080, env.DB_ADDR = 'mine', may_call = ['db:1', 'db:2'], \
        volume = { name = 'v', size = '16MiB', at = '/data', user = 'alice' } }";
    let text = text.replace("'x', '{port}'", "'x', '{port}', '{port:2}'");
    let cell = cell(&text);
    let web = cell.instances().into_iter().find(|i| i.id.service == "my-web").unwrap();

    assert_eq!(web.service.volume.as_ref().unwrap().user.as_deref(), Some("alice"));
    let inside = web.command(&Placement::default());
    assert_eq!(inside.run, ["x", "--listen=8080", "/data/log"]);
    assert_eq!(inside.env["DB_URL"], "http://db:1");
    assert_eq!(inside.env["DB_2_ADDR"], "db:2");
    assert_eq!(inside.env["DB_ADDR"], "mine", "the file stands above what is derived");

    let db = Target::Service { service: "db".into(), port: 2 };
    let outside = web.command(&Placement {
        ports: [(8080, 40_000)].into(),
        volume: Some("/dir/run/v".into()),
        peers: [(db, "127.0.0.1:40001".parse().unwrap())].into(),
    });
    assert_eq!(outside.run, ["x", "--listen=40000", "/dir/run/v/log"]);
    assert_eq!(outside.env["DB_2_URL"], "http://127.0.0.1:40001");
}

#[test]
fn without_isolation_one_instance_may_keep_its_port() {
    let text = "cell.name = 'c'\ncell.isolation = 'none'\ntenant.t = {}\n\
        service.a = { tenants = ['t'], run = ['x'], port = 8080 }\n\
        service.b = { tenants = ['t'], run = ['x'], port = 8081 }";
    assert_eq!(order(&cell(text)), ["t/a", "t/b"]);
}
