//! What only the whole file can tell: names that resolve, and things that must differ.

use std::{collections::BTreeMap, ops::Range};

use toml::Spanned;

use super::{
    INSTANCES_MAX, Isolation, Target,
    fault::Faults,
    instance::peer_variables,
    read::{Draft, DraftIngress, DraftKms},
    read_service::DraftService,
    section::{did_you_mean, twice},
};
use crate::plan::KMS;

pub(super) fn check(draft: &Draft<'_>, faults: &mut Faults) {
    for service in &draft.services {
        check_tenants(draft, service, faults);
        check_calls(draft, service, faults);
        check_variables(draft, service, faults);
    }
    check_volumes(draft, faults);
    check_egress_names(draft, faults);
    if let Some(kms) = &draft.kms {
        check_kms_name(draft, kms, faults);
    }
    if let Some(ingress) = &draft.ingress {
        check_ingress(draft, ingress, faults);
    }
    if draft.isolation == Isolation::None {
        check_without_namespaces(draft, faults);
    }
    check_count(draft, faults);
}

impl Draft<'_> {
    fn service(&self, name: &str) -> Option<&DraftService<'_>> {
        self.services.iter().find(|service| service.name.get_ref() == name)
    }

    fn allows(&self, host: &str, port: u16) -> bool {
        self.allow.iter().any(|name| name.get_ref().host == host && name.get_ref().port == port)
    }

    /// What the entries of `may_call` mean.
    pub(super) fn targets_of(&self, service: &DraftService<'_>) -> Vec<Target> {
        let target = |call: &Spanned<(String, u16)>| {
            let (host, port) = call.get_ref().clone();
            if self.allows(&host, port) {
                Target::Egress { host, port }
            } else if self.kms.is_some() && host == KMS {
                Target::Kms { port }
            } else {
                Target::Service { service: host, port }
            }
        };
        service.may_call.iter().map(target).collect()
    }
}

fn names(items: &[Spanned<String>]) -> Vec<&str> {
    items.iter().map(|item| item.get_ref().as_str()).collect()
}

fn tenant_exists(draft: &Draft<'_>, tenant: &Spanned<String>, faults: &mut Faults) -> bool {
    let name = tenant.get_ref();
    let known = names(&draft.tenants);
    if known.contains(&name.as_str()) || draft.tenants_refused.contains(name) {
        return true;
    }
    let help = did_you_mean(name, &known, &format!("add [tenant.{name}], or use one of"));
    faults.add(tenant.span(), format!("there is no tenant `{name}`"), "unknown tenant", help);
    false
}

fn check_tenants(draft: &Draft<'_>, service: &DraftService<'_>, faults: &mut Faults) {
    for tenant in &service.tenants {
        tenant_exists(draft, tenant, faults);
    }
}

fn check_calls(draft: &Draft<'_>, caller: &DraftService<'_>, faults: &mut Faults) {
    let own = caller.name.get_ref();
    for (i, call) in caller.may_call.iter().enumerate() {
        let (host, port) = call.get_ref();
        let earlier = caller.may_call[..i].iter().find(|other| other.get_ref() == call.get_ref());
        if let Some(first) = earlier {
            let message = format!("`may_call` of [service.{own}] names `{host}:{port}` twice");
            twice(faults, first.span(), call.span(), message, "remove one of them");
        } else if host == own {
            faults.add(
                call.span(),
                format!("[service.{own}] calls itself"),
                "its own name",
                "remove the entry: a service reaches itself on its own loopback address",
            );
        } else if let (KMS, Some(kms)) = (host.as_str(), &draft.kms) {
            check_kms_port(kms, call, faults);
        } else if !draft.allows(host, *port) && check_target(draft, call, Outside::Possible, faults)
        {
            check_shared_tenants(draft, caller, call, faults);
        }
    }
}

fn check_kms_port(kms: &DraftKms, call: &Spanned<(String, u16)>, faults: &mut Faults) {
    let Some(listens) = kms.listen.as_ref().map(|kms| kms.listen.port()) else { return };
    let port = call.get_ref().1;
    if port != listens {
        faults.add(
            call.span(),
            format!("[kms] does not listen on port {port}"),
            "not the KMS's port",
            format!("write \"{KMS}:{listens}\", the port in `listen` of [kms]"),
        );
    }
}

/// Whether a name that is no service might be one that the egress gateway leads to. A `may_call`
/// that names one narrows it to the services that do; a name that none names is open to all, so
/// that is no fault here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outside {
    Possible,
    Never,
}

/// Whether `to` is a service that declares that port. What is refused elsewhere passes.
fn check_target(
    draft: &Draft<'_>,
    to: &Spanned<(String, u16)>,
    outside: Outside,
    faults: &mut Faults,
) -> bool {
    let (host, port) = to.get_ref();
    if draft.services_refused.contains(host) {
        return false;
    }
    let Some(target) = draft.service(host) else {
        let mut known: Vec<_> = draft.services.iter().map(|s| s.name.get_ref().as_str()).collect();
        if outside == Outside::Never {
            let help = did_you_mean(host, &known, "the services are");
            faults.add(to.span(), format!("there is no service `{host}`"), "unknown service", help);
            return false;
        }
        known.extend(draft.allow.iter().map(|name| name.get_ref().host.as_str()));
        let allowed = draft.allow.iter().find(|name| name.get_ref().host == *host);
        let help = match allowed {
            Some(name) => format!("[egress] allows `{}`: is that the port?", name.get_ref()),
            None if host == KMS => format!(
                "add [kms] with listen = \"127.0.0.1:{port}\": services reach the cell's own KMS by \
                 this name"
            ),
            None if host.contains('.') => {
                format!("add \"{host}:{port}\" to `allow` of [egress], or correct the name")
            }
            None => did_you_mean(host, &known, "the names are"),
        };
        let message = format!("nothing in this cell is called `{host}:{port}`");
        faults.add(to.span(), message, "neither a service nor allowed by [egress]", help);
        return false;
    };
    let Some(ports) = &target.ports else { return false };
    if ports.iter().any(|declared| declared.get_ref() == port) {
        return true;
    }
    let declared: Vec<_> = ports.iter().map(|port| port.get_ref().to_string()).collect();
    let help = match declared.as_slice() {
        [] => format!("add `port = {port}` to [service.{host}]"),
        _ => format!("[service.{host}] declares {}", declared.join(", ")),
    };
    let message = format!("[service.{host}] has no port {port}");
    faults.add(to.span(), message, "not a declared port", help);
    false
}

/// A caller talks to the peer of its own tenant, so there must be one for each.
fn check_shared_tenants(
    draft: &Draft<'_>,
    caller: &DraftService<'_>,
    call: &Spanned<(String, u16)>,
    faults: &mut Faults,
) {
    let host = &call.get_ref().0;
    let Some(target) = draft.service(host) else { return };
    let theirs = names(&target.tenants);
    let lacking: Vec<_> =
        names(&caller.tenants).into_iter().filter(|tenant| !theirs.contains(tenant)).collect();
    // A `tenants` that is absent or refused has been reported by itself.
    if !theirs.is_empty() && !lacking.is_empty() {
        let lacking = lacking.join("`, `");
        faults.add(
            call.span(),
            format!("[service.{host}] has no instance for `{lacking}`"),
            format!("called on behalf of `{lacking}` too"),
            format!("add it to `tenants` of [service.{host}], or remove it from the caller's"),
        );
    }
}

/// Two targets must not be told to the service by one environment variable.
fn check_variables(draft: &Draft<'_>, service: &DraftService<'_>, faults: &mut Faults) {
    let targets = draft.targets_of(service);
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for (i, variable) in peer_variables(&targets).into_iter().enumerate() {
        let Some(earlier) = first.insert(variable.clone(), i) else { continue };
        if targets[earlier] != targets[i] {
            twice(
                faults,
                service.may_call[earlier].span(),
                service.may_call[i].span(),
                format!(
                    "`{}` and `{}` would both be {variable}_ADDR",
                    targets[earlier], targets[i]
                ),
                "rename one of the services: `-` and `.` are both written `_` there",
            );
        }
    }
}

fn check_volumes(draft: &Draft<'_>, faults: &mut Faults) {
    let mut first: BTreeMap<(&str, &str), Range<usize>> = BTreeMap::new();
    for service in &draft.services {
        let Some(volume) = &service.volume else { continue };
        for tenant in names(&service.tenants) {
            let name = volume.name.get_ref().as_str();
            let at = volume.name.span();
            match first.get(&(tenant, name)) {
                // Once per pair of services, not once per tenant of theirs.
                Some(earlier) if *earlier != at => {
                    let message = format!("the tenant `{tenant}` has two volumes `{name}`");
                    let help = "a volume belongs to one service: give each a name of its own";
                    twice(faults, earlier.clone(), at, message, help);
                    break;
                }
                Some(_) => {}
                None => {
                    first.insert((tenant, name), at);
                }
            }
        }
    }
}

fn check_egress_names(draft: &Draft<'_>, faults: &mut Faults) {
    for name in &draft.allow {
        if let Some(service) = draft.service(&name.get_ref().host) {
            twice(
                faults,
                service.name.span(),
                name.span(),
                format!("`{}` is a service and an egress name", name.get_ref().host),
                "rename the service, or write the third party's full name",
            );
        }
    }
}

/// Services and the certificate call the KMS by this name, so it must mean nothing else.
fn check_kms_name(draft: &Draft<'_>, kms: &DraftKms, faults: &mut Faults) {
    let mut clash = |at: Range<usize>, what: &str| {
        let message = format!("`{KMS}` is {what} and the cell's own KMS");
        let (first, again) =
            if at.start < kms.at.start { (at, kms.at.clone()) } else { (kms.at.clone(), at) };
        let help = "use another name: with [kms] this one is the KMS's";
        twice(faults, first, again, message, help);
    };
    if let Some(service) = draft.service(KMS) {
        clash(service.name.span(), "a service");
    }
    if let Some(name) = draft.allow.iter().find(|name| name.get_ref().host == KMS) {
        clash(name.span(), "an egress name");
    }
    let mut routes = draft.ingress.iter().flat_map(|ingress| &ingress.routes);
    if let Some(route) = routes.find(|route| route.host.get_ref() == KMS) {
        clash(route.host.span(), "a host of the ingress");
    }
}

fn check_ingress(draft: &Draft<'_>, ingress: &DraftIngress, faults: &mut Faults) {
    let mut hosts: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    for route in &ingress.routes {
        let host = route.host.get_ref().as_str();
        if let Some(first) = hosts.get(host) {
            let message = format!("two routes are for the host `{host}`");
            let help = "a host leads to one tenant's service: remove or rename one of them";
            twice(faults, first.clone(), route.host.span(), message, help);
        } else {
            hosts.insert(host, route.host.span());
        }
        let tenant_known = tenant_exists(draft, &route.tenant, faults);
        let (service, _) = route.to.get_ref();
        if !check_target(draft, &route.to, Outside::Never, faults) || !tenant_known {
            continue;
        }
        let tenants = draft.service(service).map(|s| names(&s.tenants)).unwrap_or_default();
        let tenant = route.tenant.get_ref();
        if !tenants.is_empty() && !tenants.contains(&tenant.as_str()) {
            faults.add(
                route.to.span(),
                format!("[service.{service}] has no instance for `{tenant}`"),
                "no such instance",
                format!("add \"{tenant}\" to `tenants` of [service.{service}]"),
            );
        }
    }
}

/// On the host all instances share one set of ports and one file system.
fn check_without_namespaces(draft: &Draft<'_>, faults: &mut Faults) {
    let listen = draft.ingress.as_ref().and_then(|ingress| ingress.listen.as_ref());
    let mut taken: BTreeMap<u16, (Range<usize>, &str)> = BTreeMap::new();
    if let Some(listen) = listen {
        taken.insert(listen.get_ref().port(), (listen.span(), "the ingress"));
    }
    let help = "choose another port, or let the launcher choose: mention it as `{port}` \
                (`{port:N}` if there are several) in `run` or `env`";
    for service in &draft.services {
        let name = service.name.get_ref().as_str();
        let mut templates = service.run.iter().chain(service.env.values());
        for port in service.ports.iter().flatten() {
            let number = *port.get_ref();
            if templates.clone().any(|template| template.mentions_port(number)) {
                continue;
            }
            if service.tenants.len() > 1 {
                faults.add(
                    port.span(),
                    format!("without isolation the instances of [service.{name}] share a port"),
                    format!("{} instances, one port", service.tenants.len()),
                    help,
                );
            } else if let Some((first, who)) = taken.get(&number) {
                let message = format!("without isolation {who} and {name} share port {number}");
                twice(faults, first.clone(), port.span(), message, help);
            } else {
                taken.insert(number, (port.span(), name));
            }
        }
        if draft.kms.is_some()
            && let Some(call) = service.may_call.iter().find(|call| call.get_ref().0 == KMS)
        {
            faults.add(
                call.span(),
                format!(
                    "without isolation whoever is on this machine could call the KMS as {name}"
                ),
                "the way to it would be open to all",
                "remove the entry, and give the service an access key and the address in `listen` \
                 of [kms]; or run the cell with isolation = \"namespaces\"",
            );
        }
        if let Some(volume) = &service.volume
            && !templates.any(|template| template.mentions_volume())
        {
            faults.add(
                volume.name.span(),
                format!("without isolation [service.{name}] does not see its volume at `at`"),
                "mounted in DIR instead",
                "mention `{volume}` in `run` or `env`: it becomes the folder; \
                 else the data would rest in the clear",
            );
        }
    }
}

fn check_count(draft: &Draft<'_>, faults: &mut Faults) {
    let mut count = 0;
    for service in &draft.services {
        count += service.tenants.len();
        if count > INSTANCES_MAX {
            faults.add(
                service.section.key_at("tenants"),
                format!("the cell would run more than {INSTANCES_MAX} instances"),
                "beyond the limit here",
                "divide the tenants among several cells",
            );
            return;
        }
    }
}
