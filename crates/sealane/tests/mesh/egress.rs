//! What lies outside of the cell, and how names lead there.

use crate::fixture::{AGENT, LONELY, shared};

pub(crate) fn reaches() {
    let cell = shared();
    for (host, name) in [(AGENT, "payments"), (AGENT, "narrow"), (LONELY, "payments")] {
        let code = format!("print(get('{name}.example').decode())");
        let page = cell.run(host, &code);
        assert!(page.starts_with("HTTP/1.0 200 ok") && page.contains("TLSv1.3"), "{page}");
    }
}

pub(crate) fn refuses() {
    let cell = shared();
    for (name, why) in [
        ("misnamed", "not valid for name"),
        ("stranger", "UnknownIssuer"),
        ("expired", "certificate expired"),
    ] {
        let code = format!("attempt('get', lambda: get('{name}.example'))");
        cell.prints(AGENT, &code, "get: ConnectionResetError");
        let target = format!("{name}.example:443");
        // The gateway that saw it, and the proxy of the service that asked.
        cell.says(&["sealane egress:", "ns/acme/sa/agent", &target, why]);
        cell.says(&["sealane proxy acme/agent:", &target, why]);
    }
}

/// A listed name is open to every service until some `may_call` names it.
pub(crate) fn policy() {
    let cell = shared();
    cell.prints(
        LONELY,
        "attempt('narrow', lambda: get('narrow.example'))\n\
         attempt('open', lambda: get('payments.example'))\n\
         attempt('another port', lambda: get('payments.example', 80))\n\
         attempt('unlisted', lambda: get('other.example'))",
        "narrow: ConnectionResetError\nopen: ok\nanother port: ConnectionResetError\n\
         unlisted: gaierror",
    );
    let rule = "`may_call` of lonely does not name narrow.example:443";
    cell.says(&["ns/acme/sa/lonely", "narrow.example:443 outside", rule]);
    cell.says(&["ns/acme/sa/lonely", "`egress.allow` does not list payments.example:80"]);
}

pub(crate) fn names() {
    let cell = shared();
    // Code and number of answers: 0 is NOERROR, 3 is NXDOMAIN.
    for (name, kind, expected) in [
        ("peer", 1, "0 1"),
        ("PeEr", 1, "0 1"),
        ("hidden", 1, "0 1"),
        ("payments.example", 1, "0 1"),
        ("peer", 28, "0 0"),
        ("payments.example", 28, "0 0"),
        ("peer", 15, "0 0"),
        ("peer", 65, "0 0"),
        ("nobody", 1, "3 0"),
        ("nobody", 28, "3 0"),
        ("peer.acme", 1, "3 0"),
        ("peer.globex", 1, "3 0"),
        ("example", 1, "3 0"),
        ("debian.org", 1, "3 0"),
    ] {
        for ask in ["ask_udp(name, kind)", "ask_tcp(name, kind)", "ask_tcp(name, kind, 7)"] {
            let code = format!("name, kind = '{name}', {kind}\nprint({ask})");
            cell.prints(AGENT, &code, expected);
        }
    }
    cell.prints(
        AGENT,
        "for name in ['peer', 'peer.', 'PEER', 'peer.local', 'localhost']:\n\
         \x20   attempt(name, lambda: socket.getaddrinfo(name, 9001))\n\
         family = {kind for kind, *_ in socket.getaddrinfo('peer', 9001)}\n\
         print(family == {socket.AF_INET})",
        "peer: ok\npeer.: ok\nPEER: ok\npeer.local: gaierror\nlocalhost: ok\nTrue",
    );
}
