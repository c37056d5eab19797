//! Who is refused, by whom, and that both sides say why.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::fixture::{AGENT, GLOBEX, LONELY, host_addresses, shared};

pub(crate) fn unnamed_callers() {
    let cell = shared();
    cell.prints(
        LONELY,
        "attempt('peer', lambda: exchange('peer', 9001, b'x'))\n\
         attempt('redis', lambda: exchange('redis', 6379, b'PING\\r\\n'))",
        "peer: ConnectionResetError\nredis: ConnectionResetError",
    );
    let caller = "spiffe://mesh.example/ns/acme/sa/lonely";
    for (target, rule) in [
        ("sa/peer port 9001", "`may_call` of lonely does not name peer:9001"),
        ("sa/redis port 6379", "`may_call` of lonely does not name redis:6379"),
    ] {
        cell.says(&["sealane proxy acme/lonely:", "WARN", caller, target, rule]);
    }
    cell.prints(
        AGENT,
        "attempt('hidden', lambda: exchange('hidden', 9001, b'x'))\n\
         attempt('a port', lambda: exchange('peer', 9999, b'x'))",
        "hidden: ConnectionResetError\na port: ConnectionResetError",
    );
    cell.says(&[
        "sa/agent",
        "sa/hidden port 9001",
        "`may_call` of agent does not name hidden:9001",
    ]);
    cell.says(&["sa/agent", "sa/peer port 9999", "its `port` says 9001, 9002"]);
}

pub(crate) fn strangers() {
    let cell = shared();
    for role in ["proxy acme/peer", "egress"] {
        let port = cell.listens(role);
        let mut plain = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        plain.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        plain.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer);
        // An alert of TLS at most.
        assert!(answer.len() <= 7, "{answer:?}");
        cell.says(&[&format!("sealane {role}:"), "a tunnel was refused", "TLS"]);

        for (extra, why) in [
            (&["-alpn", "h2"][..], "sealane/1"),
            (&["-alpn", "sealane/1"], ""),
            (&["-tls1_2", "-alpn", "sealane/1"], ""),
        ] {
            let client = Command::new("openssl")
                .args(["s_client", "-ign_eof", "-connect", &format!("127.0.0.1:{port}")])
                .args(extra)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = crate::support::text(&[client.stdout, client.stderr].concat());
            assert!(said.contains("alert") || said.contains("errno"), "{extra:?}: {said}");
            cell.says(&[&format!("sealane {role}:"), "a tunnel was refused", why]);
        }
    }
}

pub(crate) fn tenants() {
    let cell = shared();
    let set = "print(exchange('redis', 6379, b'SET whose acme\\r\\nQUIT\\r\\n'))";
    cell.prints(AGENT, set, r"b'+OK\r\n+OK\r\n'");
    cell.prints(
        GLOBEX,
        "print(exchange('redis', 6379, b'GET whose\\r\\nQUIT\\r\\n'))",
        r"b'$-1\r\n+OK\r\n'",
    );
    // acme has two services more: their names and addresses mean nothing to globex.
    let addresses = cell.run(
        AGENT,
        "print([socket.gethostbyname(name) for name in ['hidden', 'lonely', 'expired.example']])",
    );
    cell.prints(
        GLOBEX,
        &format!(
            "for name in ['hidden', 'lonely', 'acme', 'hidden.acme', 'redis.acme', 'acme/redis']:\n\
             \x20   attempt(name, lambda: socket.gethostbyname(name))\n\
             own = {{socket.gethostbyname(n) for n in \
             ['agent', 'peer', 'redis', 'payments.example', 'narrow.example', 'misnamed.example', \
             'stranger.example', 'expired.example']}}\n\
             foreign = [a for a in {addresses} + ['100.64.1.0', '100.64.2.1', '100.127.255.255'] \
             if a not in own]\n\
             print(len(foreign) > 3)\n\
             for address in foreign:\n\
             \x20   for port in [6379, 9001, 443]:\n\
             \x20       try: exchange(address, port, b'PING'); print('through', address, port)\n\
             \x20       except OSError: pass"
        ),
        "hidden: gaierror\nlonely: gaierror\nacme: gaierror\nhidden.acme: gaierror\n\
         redis.acme: gaierror\nacme/redis: gaierror\nTrue",
    );
    cell.says(&["ns/globex/sa/agent", "no name has the address"]);
}

/// From inside a service of a running cell to witnesses on the host, and to what the cell itself
/// listens on there.
pub(crate) fn ways_around() {
    let cell = shared();
    let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
    let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
    let tcp6 = TcpListener::bind("[::]:0").ok();
    let mut ports = vec![tcp.local_addr().unwrap().port(), cell.cell.port];
    ports.extend(["proxy acme/peer", "proxy globex/redis", "egress"].map(|r| cell.listens(r)));
    ports.extend(tcp6.as_ref().map(|witness| witness.local_addr().unwrap().port()));
    let mut hosts = host_addresses();
    hosts.extend(["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"].map(str::to_owned));
    let udp_port = udp.local_addr().unwrap().port();
    let code = format!(
        "hosts, ports = {hosts:?}, {ports:?}
def tcp(host, port):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    with socket.socket(family) as s:
        s.settimeout(3)
        s.connect((host, port))
def udp(host, port):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(0.3)
        s.connect((host, port))
        s.send(query('debian.org', 1))
        s.recv(512)
for way, targets in [
    (tcp, [(h, p) for h in hosts + ['8.8.8.8', '10.0.0.1', '169.254.169.254', '2001:4860:4860::8888'] for p in ports + [53]]),
    (udp, [(h, p) for h in hosts + ['8.8.8.8', '1.1.1.1', '224.0.0.251', '2001:4860:4860::8888'] for p in [{udp_port}, 53]]),
    (udp, [('peer', 9001), ('payments.example', 443)]),
]:
    for host, port in targets:
        try:
            way(host, port)
            print('through', way.__name__, host, port)
        except OSError:
            pass
for make in [(socket.AF_INET, socket.SOCK_RAW, 1), (17, socket.SOCK_RAW, 3), (40, socket.SOCK_STREAM, 0)]:
    try:
        socket.socket(*make)
        print('a socket of family', make[0])
    except OSError:
        pass
print('tried')
"
    );
    for host in [AGENT, GLOBEX] {
        cell.prints(host, &code, "tried");
    }
    tcp.set_nonblocking(true).unwrap();
    assert!(tcp.accept().is_err(), "nobody has connected to the host");
    if let Some(tcp6) = tcp6 {
        tcp6.set_nonblocking(true).unwrap();
        assert!(tcp6.accept().is_err(), "nobody has connected to the host by IPv6");
    }
    udp.set_nonblocking(true).unwrap();
    assert!(udp.recv(&mut [0; 1]).is_err(), "nobody has sent the host a datagram");
}
