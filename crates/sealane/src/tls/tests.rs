use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crypto::{Signer, SigningKey, SystemEntropy};
use mesh::ca::{Authority, Issued, SVID_LIFETIME, certify_issuing_key, self_sign_root};
use mesh::tunnel::{Svid, TunnelConfig};
use mesh::verify::{TrustBundle, verify_svid};
use mesh::{Certificate, SpiffeId, TrustDomain, UnixSeconds};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::egress::{Roots, RootsError, egress_config, server_name};
use super::ingress::{HostCertificateError, HostCertificates, ingress_config};
use super::kms::of_signer;
use super::to_kms::to_kms_config;
use super::*;
use crate::plan::KMS;

const DAY: Duration = Duration::from_secs(86_400);

struct Ca {
    root: Certificate,
    issuing: Certificate,
    key: SigningKey,
}

impl Ca {
    fn new() -> Self {
        let (root_key, key) = (SigningKey::generate(), SigningKey::generate());
        let entropy = &mut SystemEntropy::new();
        let root = self_sign_root(&root_key, now(), DAY, entropy).unwrap();
        let issuing =
            certify_issuing_key(&root, &root_key, &key.public_key(), now(), DAY, entropy).unwrap();
        Self { root, issuing, key }
    }

    fn issue(&self, hosts: &[&str]) -> (Issued, Arc<SigningKey>) {
        let domain = TrustDomain::parse("shop.example").unwrap();
        let authority = Authority::new(domain, self.issuing.clone(), &self.key).unwrap();
        let key = SigningKey::generate();
        let (public, entropy) = (key.public_key(), &mut SystemEntropy::new());
        let issued = authority
            .issue_server_certificate(hosts, &public, now(), SVID_LIFETIME, entropy)
            .unwrap();
        (issued, Arc::new(key))
    }

    fn bundle(&self) -> TrustBundle {
        let domain = TrustDomain::parse("shop.example").unwrap();
        TrustBundle::new(domain, std::slice::from_ref(&self.root)).unwrap()
    }

    fn svid(&self) -> (Issued, Arc<SigningKey>) {
        let domain = TrustDomain::parse("shop.example").unwrap();
        let id = SpiffeId::new(&domain, "acme", "web").unwrap();
        let authority = Authority::new(domain, self.issuing.clone(), &self.key).unwrap();
        let (key, entropy) = (SigningKey::generate(), &mut SystemEntropy::new());
        let issued =
            authority.issue_svid(&id, &key.public_key(), now(), SVID_LIFETIME, entropy).unwrap();
        (issued, Arc::new(key))
    }

    /// A proxy with an SVID of this authority, which trusts `roots`.
    fn proxy(&self, roots: &Self) -> Arc<ClientConfig> {
        let (issued, key) = self.svid();
        let svid = Svid::new(&issued.chain, key).unwrap();
        to_kms_config(&TunnelConfig::new(svid, roots.bundle()))
    }

    /// A KMS that shows `certificate`, and takes SVIDs of this authority.
    fn kms(&self, certificate: (Issued, Arc<SigningKey>)) -> Arc<ServerConfig> {
        let (issued, key) = certificate;
        of_signer(&issued.chain, key, &Arc::new(self.bundle())).unwrap()
    }

    fn ingress(&self, hosts: &[&str]) -> Arc<ServerConfig> {
        let certificates = Arc::new(HostCertificates::new());
        let (issued, key) = self.issue(hosts);
        certificates.replace(hosts, &issued.chain, key).unwrap();
        ingress_config(certificates)
    }

    fn egress(&self) -> Arc<ClientConfig> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roots.pem");
        std::fs::write(&path, pem::encode(std::slice::from_ref(&self.root))).unwrap();
        egress_config(&Roots::Files(vec![path])).unwrap()
    }
}

fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
}

/// A whole handshake in memory: what the client found, and what the server did.
fn meet(
    client: Arc<ClientConfig>,
    host: &str,
    server: Arc<ServerConfig>,
) -> Result<(Connection, Connection), rustls::Error> {
    let name = server_name(host).unwrap();
    let mut client = Connection::from(ClientConnection::new(client, name).unwrap());
    let mut server = Connection::from(ServerConnection::new(server).unwrap());
    while client.is_handshaking() || server.is_handshaking() {
        carry(&mut client, &mut server)?;
        carry(&mut server, &mut client)?;
    }
    Ok((client, server))
}

fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), rustls::Error> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut wire = wire.as_slice();
    while !wire.is_empty() {
        to.read_tls(&mut wire).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn a_client_outside_reaches_each_host_of_the_ingress() {
    let ca = Ca::new();
    let hosts = ["acme.shop.localhost", "globex.shop.localhost"];
    for host in ["acme.shop.localhost", "globex.shop.localhost", "ACME.shop.localhost"] {
        let (client, server) = meet(ca.egress(), host, ca.ingress(&hosts)).unwrap();
        let facts = TlsFacts::of(&server).unwrap();
        assert_eq!(Some(&facts), TlsFacts::of(&client).as_ref());
        assert_eq!(facts.tls_version, "TLSv1.3");
        assert_eq!(facts.cipher, "TLS_AES_256_GCM_SHA384");
        assert_eq!(facts.key_exchange, "X25519MLKEM768");
    }
}

fn client_with(
    ca: &Ca,
    versions: &[&'static rustls::SupportedProtocolVersion],
    change: impl FnOnce(&mut ClientConfig),
) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.root.der().into()).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    change(&mut config);
    Arc::new(config)
}

#[test]
fn tls_1_2_is_spoken_and_only_http_1_1_inside() {
    let ca = Ca::new();
    let host = "acme.shop.localhost";
    let old = client_with(&ca, &[&rustls::version::TLS12], |_| {});
    let (_, server) = meet(old, host, ca.ingress(&[host])).unwrap();
    assert_eq!(TlsFacts::of(&server).unwrap().tls_version, "TLSv1.2");

    let all = rustls::ALL_VERSIONS;
    let both = client_with(&ca, all, |config| {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    });
    let (client, _) = meet(both, host, ca.ingress(&[host])).unwrap();
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
    let h2 = client_with(&ca, all, |config| config.alpn_protocols = vec![b"h2".to_vec()]);
    assert_eq!(
        meet(h2, host, ca.ingress(&[host])).err(),
        Some(rustls::Error::NoApplicationProtocol)
    );
}

#[test]
fn a_client_that_names_no_host_of_ours_is_refused() {
    let ca = Ca::new();
    let host = "acme.shop.localhost";
    for other in ["globex.shop.localhost", "shop.localhost", "x.acme.shop.localhost", "127.0.0.1"] {
        assert!(meet(ca.egress(), other, ca.ingress(&[host])).is_err(), "{other}");
    }
    let silent = client_with(&ca, rustls::ALL_VERSIONS, |config| config.enable_sni = false);
    assert!(meet(silent, host, ca.ingress(&[host])).is_err(), "no SNI");
}

#[test]
fn plaintext_to_the_ingress_is_refused() {
    let ca = Ca::new();
    let mut server = ServerConnection::new(ca.ingress(&["acme.shop.localhost"])).unwrap();
    server.read_tls(&mut &b"GET / HTTP/1.1\r\nHost: acme.shop.localhost\r\n\r\n"[..]).unwrap();
    let refused = server.process_new_packets();
    assert!(matches!(refused, Err(rustls::Error::InvalidMessage(_))), "{refused:?}");
}

#[test]
fn a_replaced_certificate_holds_from_the_next_handshake() {
    let ca = Ca::new();
    let host = "acme.shop.localhost";
    let certificates = Arc::new(HostCertificates::new());
    let config = ingress_config(Arc::clone(&certificates));
    for _ in 0..2 {
        let (issued, key) = ca.issue(&[host]);
        certificates.replace(&[host], &issued.chain, key).unwrap();
        let (client, _) = meet(ca.egress(), host, Arc::clone(&config)).unwrap();
        let shown = client.peer_certificates().unwrap()[0].as_ref();
        assert_eq!(shown, issued.chain[0].der());
    }
    certificates.remove(host);
    assert!(meet(ca.egress(), host, config).is_err());
    let (issued, _) = ca.issue(&[host]);
    let other = Arc::new(SigningKey::generate());
    let refused = certificates.replace(&[host], &issued.chain, other);
    assert_eq!(refused, Err(HostCertificateError::KeyMismatch { hosts: host.to_owned() }));
}

#[test]
fn a_third_party_is_verified_by_root_and_name() {
    let (ca, other) = (Ca::new(), Ca::new());
    let host = "payments.example";
    // The ingress's configuration stands in for a third party's server.
    assert!(meet(ca.egress(), host, ca.ingress(&[host])).is_ok());
    let stranger = meet(ca.egress(), host, other.ingress(&[host])).err();
    assert!(matches!(stranger, Some(rustls::Error::InvalidCertificate(_))), "{stranger:?}");
    // A server of the right root that shows another name's certificate.
    let certificates = Arc::new(HostCertificates::new());
    let (issued, key) = ca.issue(&["evil.example"]);
    certificates.replace(&[host], &issued.chain, key).unwrap();
    let wrong = meet(ca.egress(), host, ingress_config(certificates)).err();
    assert!(matches!(wrong, Some(rustls::Error::InvalidCertificate(_))), "{wrong:?}");
    for bad in ["", "a b", "payments.example:443"] {
        assert!(server_name(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_proxy_and_the_kms_prove_themselves_to_each_other() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (client, server) = meet(ca.proxy(&ca), KMS, ca.kms(ca.issue(&["localhost", KMS]))).unwrap();
    assert_eq!(TlsFacts::of(&client), TlsFacts::of(&server));
    assert_eq!(TlsFacts::of(&client).unwrap().tls_version, "TLSv1.3");
    let shown: Vec<&[u8]> = server.peer_certificates().unwrap().iter().map(|c| &**c).collect();
    let workload = verify_svid(&shown, &ca.bundle(), now()).unwrap();
    assert_eq!(workload.id().as_str(), "spiffe://shop.example/ns/acme/sa/web");

    let refused = |client: Arc<ClientConfig>, server: Arc<ServerConfig>| {
        let refused = meet(client, KMS, server).err();
        assert!(matches!(refused, Some(rustls::Error::InvalidCertificate(_))), "{refused:?}");
    };
    // The right name under another root, another name under the right one, and a workload.
    refused(ca.proxy(&ca), ca.kms(other.issue(&[KMS])));
    refused(ca.proxy(&ca), ca.kms(ca.issue(&["localhost"])));
    refused(ca.proxy(&ca), ca.kms(ca.svid()));
    // An SVID of another cell, whose proxy believes this one.
    refused(other.proxy(&ca), ca.kms(ca.issue(&[KMS])));
}

#[test]
fn roots_that_are_none_are_refused_by_file() {
    let ca = Ca::new();
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, content: &[u8], expected: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let refused = egress_config(&Roots::Files(vec![path])).unwrap_err().to_string();
        assert!(refused.contains(name) && refused.ends_with(expected), "{refused}");
    };
    let good = pem::encode(std::slice::from_ref(&ca.root));
    check("empty.pem", b"", "there is no certificate between BEGIN and END lines");
    check("der.pem", ca.root.der(), "there is no certificate between BEGIN and END lines");
    let cut = &good.as_bytes()[..good.len() - 30];
    check("cut.pem", cut, "certificate 1 is not PEM");
    let junk = format!("{good}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let expected = "certificate 2 is PEM around something else than a certificate";
    check("junk.pem", junk.as_bytes(), expected);
    let missing = egress_config(&Roots::Files(vec![dir.path().join("missing.pem")]));
    assert!(matches!(missing, Err(RootsError::Unreadable { .. })));
    assert!(matches!(egress_config(&Roots::Files(vec![])), Err(RootsError::None)));
}

#[test]
fn pem_round_trips_and_is_what_others_read() {
    let ca = Ca::new();
    let certificates = [ca.root.clone(), ca.issuing.clone()];
    let text = pem::encode(&certificates);
    assert_eq!(pem::decode(text.as_bytes()).unwrap(), certificates);
    assert!(text.lines().all(|line| line.len() <= 64));
}
