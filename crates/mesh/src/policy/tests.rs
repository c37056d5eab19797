use super::*;

fn callee(text: &str) -> Callee {
    let (name, port) = text.split_once(':').unwrap();
    Callee { name: name.to_owned(), port: port.parse().unwrap() }
}

fn service(tenant: &str, name: &str, port: u16, may_call: &[&str]) -> Service {
    Service {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        ports: vec![port],
        may_call: may_call.iter().map(|text| callee(text)).collect(),
    }
}

fn route(host: &str, tenant: &str, to: &str) -> Route {
    Route { host: host.to_owned(), tenant: tenant.to_owned(), to: callee(to) }
}

fn build(
    services: Vec<Service>,
    routes: Vec<Route>,
    outside: &[&str],
) -> Result<Policy, PolicyError> {
    let outside = outside.iter().map(|text| callee(text)).collect();
    let of_cell = vec![callee("kms:7600")];
    Policy::new(TrustDomain::parse("shop.example").unwrap(), services, routes, outside, of_cell)
}

fn shop() -> Policy {
    let mut services = Vec::new();
    for tenant in ["acme", "globex"] {
        services.push(service(tenant, "web", 8080, &["catalog:8080"]));
        services.push(service(tenant, "catalog", 8080, &["redis:6379", "mail.example:587"]));
        services.push(service(tenant, "redis", 6379, &["kms:7600"]));
    }
    services.push(service("acme", "batch", 9000, &[]));
    let routes = vec![route("acme.shop.localhost", "acme", "web:8080")];
    build(services, routes, &["payments.example:443", "mail.example:587"]).unwrap()
}

/// The last line of the explanation.
fn check(from: &str, to: &str, expected: &str) {
    let explanation = shop().explain(from, to).unwrap().to_string();
    assert_eq!(explanation.lines().last().unwrap(), expected, "{from} to {to}");
}

#[test]
fn what_a_rule_names_is_allowed() {
    for (from, to, rule) in [
        ("acme/web", "catalog:8080", "`may_call` of web names catalog:8080"),
        ("acme/web", "acme/catalog:8080", "`may_call` of web names catalog:8080"),
        ("globex/catalog", "redis:6379", "`may_call` of catalog names redis:6379"),
        ("acme/catalog", "mail.example:587", "`may_call` of catalog names mail.example:587"),
        ("ingress", "acme/web:8080", "`ingress.route` of acme.shop.localhost leads there"),
        ("acme/redis", "kms:7600", "`may_call` of redis names kms:7600"),
        (
            "spiffe://shop.example/ns/acme/sa/batch",
            "payments.example:443",
            "`egress.allow` lists payments.example:443, and no `may_call` narrows it",
        ),
    ] {
        check(from, to, &format!("allowed: {rule}"));
    }
}

#[test]
fn all_else_is_denied_with_what_would_allow_it() {
    for (from, to, denial) in [
        ("acme/web", "redis:6379", "`may_call` of web does not name redis:6379"),
        ("acme/web", "kms:7600", "`may_call` of web does not name kms:7600"),
        ("acme/redis", "kms:7601", "the cell's own kms does not listen on port 7601"),
        ("acme/redis", "catalog:8080", "`may_call` of redis does not name catalog:8080"),
        ("acme/web", "web:8080", "`may_call` of web does not name web:8080"),
        ("acme/web", "catalog:8081", "catalog does not listen on port 8081; its `port` says 8080"),
        (
            "acme/web",
            "globex/catalog:8080",
            "acme and globex are different tenants, and no rule crosses tenants",
        ),
        (
            "acme/web",
            "globex/nothing:1",
            "acme and globex are different tenants, and no rule crosses tenants",
        ),
        (
            "acme/web",
            "sealane/egress:443",
            "acme and sealane are different tenants, and no rule crosses tenants",
        ),
        (
            "acme/web",
            "acme/nothing:1",
            "spiffe://shop.example/ns/acme/sa/nothing is no service of this cell",
        ),
        ("acme/web", "evil.example:443", "`egress.allow` does not list evil.example:443"),
        ("acme/web", "payments.example:80", "`egress.allow` does not list payments.example:80"),
        ("acme/web", "mail.example:587", "`may_call` of web does not name mail.example:587"),
        ("ingress", "globex/web:8080", "no `ingress.route` leads to globex/web:8080"),
        ("ingress", "acme/redis:6379", "no `ingress.route` leads to acme/redis:6379"),
        ("egress", "acme/web:8080", "the egress calls nothing inside the cell"),
    ] {
        check(from, to, &format!("denied: {denial}"));
    }
    let unknown = "denied: spiffe://shop.example/ns/acme/sa/ghost is no service of this cell";
    check("acme/ghost", "catalog:8080", unknown);
    check("acme/ghost", "payments.example:443", unknown);
}

#[test]
fn an_identity_differs_by_a_single_byte() {
    let policy = shop();
    let target = policy.explain("acme/web", "catalog:8080").unwrap().target;
    for source in [
        "spiffe://shop.example/ns/acme/sa/Web",
        "spiffe://shop.example/ns/ACME/sa/web",
        "spiffe://shop.example/ns/acme/sa/web-",
        "spiffe://shop-example/ns/acme/sa/web",
        "spiffe://other.example/ns/acme/sa/web",
    ] {
        let source = SpiffeId::parse(source).unwrap();
        let denied = Decision::Denied(Denial::SourceUnknown(source.clone()));
        assert_eq!(policy.decide(&source, &target), denied);
    }
}

#[test]
fn the_ingress_does_not_reach_outside() {
    let policy = shop();
    let ingress = policy.explain("ingress", "acme/web:8080").unwrap().source;
    let outside = Target::Outside { host: "payments.example".to_owned(), port: 443 };
    assert_eq!(policy.decide(&ingress, &outside), Decision::Denied(Denial::IngressCallsInside));
}

#[test]
fn what_the_cell_serves_is_for_whom_names_it() {
    let policy = shop();
    let of_cell = |port| Target::Cell { name: "kms".to_owned(), port };
    for (source, expected) in [
        ("acme/sa/web", "`may_call` of web does not name kms:7600"),
        ("sealane/sa/ingress", "no gateway calls what the cell serves to its services"),
        ("sealane/sa/egress", "no gateway calls what the cell serves to its services"),
        ("acme/sa/nobody", "spiffe://shop.example/ns/acme/sa/nobody is no service of this cell"),
    ] {
        let source = SpiffeId::parse(&format!("spiffe://shop.example/ns/{source}")).unwrap();
        match policy.decide(&source, &of_cell(7600)) {
            Decision::Denied(denial) => assert_eq!(denial.to_string(), expected),
            Decision::Allowed(permit) => panic!("{permit:?}"),
        }
    }
    let redis = SpiffeId::parse("spiffe://shop.example/ns/acme/sa/redis").unwrap();
    assert_eq!(policy.resolve(&redis, "kms", 1), of_cell(1), "not a name outside");
    assert!(matches!(policy.decide(&redis, &of_cell(7600)), Decision::Allowed(_)));
}

#[test]
fn a_permit_says_what_it_permits() {
    let Explanation { source, target, decision: Decision::Allowed(permit) } =
        shop().explain("acme/web", "catalog:8080").unwrap()
    else {
        panic!("allowed")
    };
    assert_eq!((permit.source(), permit.target()), (&source, &target));
}

#[test]
fn questions_that_cannot_be_understood_say_what_to_ask() {
    let policy = shop();
    for (from, to, expected) in [
        (
            "web",
            "catalog:8080",
            "`web` is run for several tenants: say one of acme/web, globex/web",
        ),
        ("nobody", "catalog:8080", "no service is called `nobody`"),
        ("acme/web", "catalog", "`catalog` is not NAME:PORT"),
        ("acme/web", "catalog:0", "`catalog:0` is not NAME:PORT"),
        (
            "ingress",
            "web:8080",
            "`web` is run for several tenants: say one of acme/web, globex/web",
        ),
        (
            "http://web",
            "catalog:1",
            "`http://web` is not an identity: it does not begin with `spiffe://`",
        ),
    ] {
        assert_eq!(policy.explain(from, to).unwrap_err().to_string(), expected);
    }
    assert!(policy.explain("batch", "payments.example:443").is_ok(), "unique");
}

#[test]
fn a_rule_that_leads_nowhere_is_refused() {
    let cases = [
        (
            build(vec![service("acme", "web", 1, &["catalgo:8080"])], vec![], &[]),
            "`may_call` of web names catalgo:8080, which is neither a service of acme with that \
             port nor listed in `egress.allow` nor the cell's own",
        ),
        (
            build(vec![service("acme", "web", 1, &["web:2"])], vec![], &["web:2"]),
            "`may_call` of web names web:2, which is neither a service of acme with that port nor \
             listed in `egress.allow` nor the cell's own",
        ),
        (
            build(vec![service("acme", "web", 1, &[])], vec![route("h", "globex", "web:1")], &[]),
            "the route for h leads to globex/web:1, which is no service with that port",
        ),
        (
            build(vec![service("sealane", "ingress", 1, &[])], vec![], &[]),
            "the tenant name `sealane` is reserved for the cell's gateways",
        ),
        (
            build(vec![service("a", "b", 1, &[]), service("a", "b", 2, &[])], vec![], &[]),
            "a/b is declared twice",
        ),
        (
            build(vec![service("a", "..", 1, &[])], vec![], &[]),
            "`a/..` cannot be part of an identity: `TENANT` or `SERVICE` is empty, `.`, `..`, or \
             has other than letters, digits, `.`, `-`, `_`",
        ),
    ];
    for (built, expected) in cases {
        assert_eq!(built.unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_size_limit_is_exact() {
    let names = |count: usize| -> Vec<String> { (1..=count).map(|n| format!("h{n}:1")).collect() };
    let at = names(ENTRIES_MAX);
    assert!(build(vec![], vec![], &at.iter().map(String::as_str).collect::<Vec<_>>()).is_ok());
    let above = names(ENTRIES_MAX + 1);
    let above = build(vec![], vec![], &above.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(above, Err(PolicyError::TooManyEntries));
}

#[test]
fn callees_are_what_a_service_may_dial() {
    let policy = shop();
    let web = policy.explain("acme/web", "catalog:8080").unwrap().source;
    let names: Vec<_> = policy.callees(&web).iter().map(Callee::to_string).collect();
    assert_eq!(names, ["catalog:8080", "payments.example:443"]);
}
