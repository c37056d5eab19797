use std::sync::Arc;

use crypto::SigningKey;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;
use crate::ca::testing::{Cell, NOW};
use crate::certificate::{Certificate, UnixSeconds};
use crate::verify::VerifyError;

fn config_of(cell: &Cell, chain: &[Certificate], key: SigningKey) -> TunnelConfig {
    TunnelConfig::new(Svid::new(chain, Arc::new(key)).unwrap(), cell.bundle())
}

fn config(cell: &Cell, service: &str) -> TunnelConfig {
    let (issued, key) = cell.svid(service);
    config_of(cell, &issued.chain, key)
}

/// What a whole handshake in memory came to, at both ends.
struct Met {
    client: Result<Established, HandshakeError>,
    server: Result<Established, HandshakeError>,
    /// Bytes sent by each, for the tests that look at the wire.
    wire: Vec<u8>,
}

/// Runs a handshake in pieces of `step` bytes.
fn meet(client: Handshaking, server: Handshaking, step: usize) -> Met {
    let mut ends = [End::Going(client), End::Going(server)];
    let mut wire = Vec::new();
    for turn in 0.. {
        assert!(turn < 10, "a handshake of TLS 1.3 takes three flights");
        let sent = ends[turn % 2].take_outgoing();
        wire.extend_from_slice(&sent);
        if sent.is_empty() && turn > 3 {
            break;
        }
        for piece in sent.chunks(step) {
            ends[(turn + 1) % 2].read(piece);
        }
    }
    let [client, server] = ends.map(End::into_result);
    Met { client, server, wire }
}

enum End {
    Going(Handshaking),
    Done(Established),
    Failed(HandshakeError, Vec<u8>),
    Taken,
}

impl End {
    fn take_outgoing(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Going(handshaking) => handshaking.take_outgoing(&mut out),
            Self::Done(established) => established.take_outgoing(&mut out),
            Self::Failed(_, last_words) => out.append(last_words),
            Self::Taken => unreachable!(),
        }
        out
    }

    fn read(&mut self, piece: &[u8]) {
        *self = match std::mem::replace(self, Self::Taken) {
            Self::Going(handshaking) => match handshaking.read_incoming(piece) {
                Ok(Progress::Handshaking(handshaking)) => Self::Going(handshaking),
                Ok(Progress::Established(established)) => Self::Done(established),
                Err(failed) => Self::Failed(failed.reason, failed.last_words),
            },
            Self::Done(mut established) => {
                let mut plaintext = Vec::new();
                match established.unprotect(piece, &mut plaintext) {
                    Err(UnprotectError::RefusedByPeer(why)) => {
                        Self::Failed(HandshakeError::RefusedByPeer(why), Vec::new())
                    }
                    other => {
                        assert_eq!((other, plaintext.len()), (Ok(Incoming::Open), 0));
                        Self::Done(established)
                    }
                }
            }
            failed => failed,
        };
    }

    fn into_result(self) -> Result<Established, HandshakeError> {
        match self {
            Self::Going(handshaking) => Err(handshaking.transport_ended()),
            Self::Done(established) => Ok(established),
            Self::Failed(reason, _) => Err(reason),
            Self::Taken => unreachable!(),
        }
    }
}

/// Web calls catalog; the configurations and the times at both ends may be anything.
fn call(web: &TunnelConfig, catalog: &TunnelConfig, cell: &Cell, now: [UnixSeconds; 2]) -> Met {
    let client = Handshaking::as_client(web, &cell.id("catalog"), now[0]).unwrap();
    let server = Handshaking::as_server(catalog, now[1]).unwrap();
    meet(client, server, usize::MAX)
}

fn pair() -> (Established, Established) {
    let cell = Cell::new("shop.example");
    let met = call(&config(&cell, "web"), &config(&cell, "catalog"), &cell, [NOW; 2]);
    (met.client.unwrap(), met.server.unwrap())
}

#[test]
fn both_ends_know_each_other_and_what_protects_them() {
    let cell = Cell::new("shop.example");
    let (web, catalog) = (config(&cell, "web"), config(&cell, "catalog"));
    let met = call(&web, &catalog, &cell, [NOW; 2]);
    let (client, server) = (met.client.unwrap(), met.server.unwrap());
    for (end, peer) in [(&client, catalog.svid()), (&server, web.svid())] {
        assert_eq!(
            end.facts(),
            &TunnelFacts {
                peer: peer.id().clone(),
                peer_serial: peer.serial().clone(),
                peer_not_after: peer.not_after(),
                tls_version: "TLSv1.3",
                cipher: super::provider::CIPHER_NAME,
                key_exchange: "X25519MLKEM768".to_owned(),
            }
        );
    }
    assert_eq!(client.peer(), &cell.id("catalog"));
    assert_eq!(server.peer(), &cell.id("web"));
    // Whom it is between does not show on the wire of a handshake.
    #[cfg(not(feature = "plaintext-for-tests"))]
    assert!(!met.wire.windows(9).any(|bytes| bytes == b"spiffe://"));
    assert!(met.wire.len() < HANDSHAKE_BYTES_MAX);
}

#[test]
fn a_handshake_arrives_in_pieces_of_any_size() {
    let cell = Cell::new("shop.example");
    let (web, catalog) = (config(&cell, "web"), config(&cell, "catalog"));
    for step in (1..64).chain([100, 1000, 4095, 4096, 4097]) {
        let client = Handshaking::as_client(&web, &cell.id("catalog"), NOW).unwrap();
        let server = Handshaking::as_server(&catalog, NOW).unwrap();
        let met = meet(client, server, step);
        assert!(met.client.is_ok() && met.server.is_ok(), "{step}");
    }
}

#[test]
fn bytes_pass_both_ways_at_every_split() {
    let (client, server) = pair();
    let mut ends = [client, server];
    let message: Vec<u8> = (0..300u16).map(|n| n.to_le_bytes()[0]).collect();
    let mut split = 0;
    loop {
        for turn in 0..2 {
            ends.swap(0, 1);
            let [from, to] = &mut ends;
            let (mut wire, mut got) = (Vec::new(), Vec::new());
            from.protect(&message, &mut wire).unwrap();
            if split > wire.len() {
                return;
            }
            for piece in [&wire[..split], &wire[split..]] {
                assert_eq!(to.unprotect(piece, &mut got), Ok(Incoming::Open));
            }
            assert_eq!(got, message, "{turn} {split}");
        }
        split += 1;
    }
}

#[test]
fn large_messages_pass_and_nothing_stays_inside() {
    let (mut client, mut server) = pair();
    let message: Vec<u8> = (0..1_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    let (mut wire, mut got) = (Vec::new(), Vec::new());
    server.protect(&message, &mut wire).unwrap();
    assert!(!server.wants_write());
    for piece in wire.chunks(7000) {
        assert_eq!(client.unprotect(piece, &mut got), Ok(Incoming::Open));
    }
    assert_eq!(got, message);
}

#[test]
fn first_bytes_may_come_with_the_last_of_the_handshake() {
    let cell = Cell::new("shop.example");
    let (web, catalog) = (config(&cell, "web"), config(&cell, "catalog"));
    let mut client = Handshaking::as_client(&web, &cell.id("catalog"), NOW).unwrap();
    let server = Handshaking::as_server(&catalog, NOW).unwrap();
    let mut hello = Vec::new();
    client.take_outgoing(&mut hello);
    let Ok(Progress::Handshaking(mut server)) = server.read_incoming(&hello) else { panic!() };
    let mut flight = Vec::new();
    server.take_outgoing(&mut flight);
    let Ok(Progress::Established(mut client)) = client.read_incoming(&flight) else { panic!() };
    let mut flight = Vec::new();
    let message = vec![b'x'; 100_000];
    client.protect(&message, &mut flight).unwrap();
    let _ = client.finish(&mut flight);
    let Ok(Progress::Established(mut server)) = server.read_incoming(&flight) else { panic!() };
    let mut got = Vec::new();
    assert_eq!(server.unprotect(&[], &mut got), Ok(Incoming::Ended));
    assert!(got == message);
}

#[test]
fn an_end_is_told_from_a_cut() {
    let (mut client, mut server) = pair();
    let (mut wire, mut got) = (Vec::new(), Vec::new());
    client.protect(b"SET a 1", &mut wire).unwrap();
    assert_eq!(server.unprotect(&wire, &mut got), Ok(Incoming::Open));
    assert_eq!(server.transport_ended(), Err(Truncated));
    let mut end = Vec::new();
    let mut client = client.finish(&mut end);
    for cut in 0..end.len() {
        assert!(server.unprotect(&end[cut..=cut], &mut got).is_ok());
        assert_eq!(server.transport_ended().is_ok(), cut + 1 == end.len(), "{cut}");
    }
    // Half closed: the other direction goes on until it ends as well.
    let mut wire = Vec::new();
    server.protect(b"OK", &mut wire).unwrap();
    let mut reply = Vec::new();
    assert_eq!(client.unprotect(&wire, &mut reply), Ok(Incoming::Open));
    assert_eq!((reply.as_slice(), client.transport_ended()), (&b"OK"[..], Err(Truncated)));
    let mut end = Vec::new();
    let server = server.finish(&mut end);
    assert_eq!(client.unprotect(&end, &mut reply), Ok(Incoming::Ended));
    assert_eq!((client.transport_ended(), server.transport_ended()), (Ok(()), Ok(())));
    // What a sender smuggles in after its end is not read.
    assert_eq!(client.unprotect(b"anything", &mut reply), Ok(Incoming::Ended));
    assert_eq!(reply, b"OK");
}

#[cfg(not(feature = "plaintext-for-tests"))]
#[test]
fn a_changed_byte_is_never_handed_out() {
    let (mut client, server) = pair();
    let mut record = Vec::new();
    client.protect(b"PING", &mut record).unwrap();
    drop(server);
    for at in 0..record.len() {
        let (mut client, mut server) = pair();
        let (mut wire, mut got) = (Vec::new(), Vec::new());
        client.protect(b"PING", &mut wire).unwrap();
        wire[at] ^= 1;
        let refused = server.unprotect(&wire, &mut got);
        match at {
            // Type and version of a record are constants that rustls fills in itself for the
            // authenticated data: a change to them is without effect, or refused.
            0..=2 => assert!(refused.is_err() && got.is_empty() || got == b"PING", "byte {at}"),
            // A changed length may leave the record waiting for more, and nothing is handed out.
            3..=4 => assert!(got.is_empty(), "byte {at}"),
            _ => assert!(refused.is_err() && got.is_empty(), "byte {at}"),
        }
        if refused == Err(UnprotectError::Forged) {
            let mut alert = Vec::new();
            server.take_outgoing(&mut alert);
            let told = client.unprotect(&alert, &mut got);
            assert!(matches!(told, Err(UnprotectError::RefusedByPeer(_))), "{told:?}");
        }
    }
}

#[cfg(not(feature = "plaintext-for-tests"))]
#[test]
fn replayed_and_dropped_records_are_refused() {
    let records = |client: &mut Established| {
        [&b"one"[..], b"two"].map(|message| {
            let mut wire = Vec::new();
            client.protect(message, &mut wire).unwrap();
            wire
        })
    };
    for order in [[0, 0], [1, 0]] {
        let (mut client, mut server) = pair();
        let records = records(&mut client);
        let mut got = Vec::new();
        let outcome = order.map(|at| server.unprotect(&records[at], &mut got));
        assert!(outcome.contains(&Err(UnprotectError::Forged)), "{order:?}");
        assert_eq!(got.len(), if order[0] == 0 { 3 } else { 0 });
    }
}

#[cfg(not(feature = "plaintext-for-tests"))]
#[test]
fn plaintext_does_not_show_on_the_wire() {
    let (mut client, _) = pair();
    let mut wire = Vec::new();
    client.protect(b"a canary of thirty-two bytes....", &mut wire).unwrap();
    assert!(!wire.windows(6).any(|bytes| bytes == b"canary"));
}

#[cfg(feature = "plaintext-for-tests")]
#[test]
fn without_protection_plaintext_shows_and_the_report_says_so() {
    let (mut client, mut server) = pair();
    let mut wire = Vec::new();
    client.protect(b"a canary of thirty-two bytes....", &mut wire).unwrap();
    assert!(wire.windows(6).any(|bytes| bytes == b"canary"));
    let mut got = Vec::new();
    assert_eq!(server.unprotect(&wire, &mut got), Ok(Incoming::Open));
    assert_eq!(got, b"a canary of thirty-two bytes....");
    assert_eq!(client.facts().cipher, "NONE (plaintext-for-tests)");
}

#[test]
fn a_server_of_another_identity_is_refused_with_the_reason_at_both_ends() {
    let cell = Cell::new("shop.example");
    let met = call(&config(&cell, "web"), &config(&cell, "redis"), &cell, [NOW; 2]);
    let (id, expected) = (cell.id("redis"), cell.id("catalog"));
    let wrong = VerifyError::WrongPeer { id, expected };
    assert_eq!(met.client.unwrap_err(), HandshakeError::PeerNotVerified(wrong));
    let told = "it expected another identity than this proxy's".to_owned();
    assert_eq!(met.server.unwrap_err(), HandshakeError::RefusedByPeer(told));
}

#[test]
fn an_unverified_peer_is_refused_with_the_reason_at_both_ends() {
    let cell = Cell::new("shop.example");
    let other = Cell::new("shop.example");
    let (web, catalog) = (config(&cell, "web"), config(&cell, "catalog"));
    let stranger = config(&other, "web");
    stranger.replace_bundle(cell.bundle());
    let end = web.svid().not_after();
    let late = UnixSeconds(end.0 + 1);
    for (what, client, times, refused, told) in [
        (
            "another root",
            &stranger,
            [NOW; 2],
            VerifyError::UntrustedRoot,
            "it does not trust the root of this proxy's certificate",
        ),
        (
            "expired, by the server's clock",
            &web,
            [NOW, late],
            VerifyError::Expired { at: end },
            "it finds this proxy's certificate expired or not yet valid: compare the clocks",
        ),
    ] {
        let met = call(client, &catalog, &cell, times);
        assert_eq!(met.server.unwrap_err(), HandshakeError::PeerNotVerified(refused), "{what}");
        let told = HandshakeError::RefusedByPeer(told.to_owned());
        assert_eq!(met.client.unwrap_err(), told, "{what}");
    }
    let met = call(&web, &catalog, &cell, [late, NOW]);
    let expired = VerifyError::Expired { at: catalog.svid().not_after() };
    assert_eq!(met.client.unwrap_err(), HandshakeError::PeerNotVerified(expired));
}

#[test]
fn a_stolen_certificate_without_its_key_is_refused() {
    let cell = Cell::new("shop.example");
    let (issued, _) = cell.svid("web");
    let thief = Svid::new(&issued.chain, Arc::new(SigningKey::generate()));
    assert_eq!(thief.err(), Some(SvidError::KeyMismatch));

    // A thief does not check what we check.
    struct Lying(SigningKey, crypto::PublicKey);
    impl crypto::Signer for Lying {
        fn public_key(&self) -> crypto::PublicKey {
            self.1.clone()
        }
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, crypto::SignError> {
            self.0.sign(message)
        }
    }
    let (issued, key) = cell.svid("web");
    let lying = Lying(SigningKey::generate(), crypto::Signer::public_key(&key));
    let svid = Svid::new(&issued.chain, Arc::new(lying)).unwrap();
    let thief = TunnelConfig::new(svid, cell.bundle());
    let met = call(&thief, &config(&cell, "catalog"), &cell, [NOW; 2]);
    assert!(matches!(met.server, Err(HandshakeError::Misbehaved(_))), "{:?}", met.server);
}

#[test]
fn a_replaced_svid_and_bundle_hold_from_the_next_handshake() {
    let cell = Cell::new("shop.example");
    let (web, catalog) = (config(&cell, "web"), config(&cell, "catalog"));
    let first = call(&web, &catalog, &cell, [NOW; 2]).server.unwrap();
    let (renewed, key) = cell.svid("web");
    web.replace_svid(Svid::new(&renewed.chain, Arc::new(key)).unwrap());
    let second = call(&web, &catalog, &cell, [NOW; 2]).server.unwrap();
    assert_eq!(first.peer(), second.peer());
    assert_eq!(second.facts().peer_serial, renewed.serial);
    assert_ne!(first.facts().peer_serial, renewed.serial);
    catalog.replace_bundle(Cell::new("shop.example").bundle());
    let refused = call(&web, &catalog, &cell, [NOW; 2]).server.unwrap_err();
    assert_eq!(refused, HandshakeError::PeerNotVerified(VerifyError::UntrustedRoot));
}

#[test]
fn an_svid_needs_its_key_and_an_identity() {
    let cell = Cell::new("shop.example");
    let (issued, key) = cell.svid("web");
    let key = Arc::new(key);
    let long = vec![issued.chain[0].clone(); 4];
    assert_eq!(Svid::new(&[], key.clone()).err(), Some(SvidError::ChainLength(0)));
    assert_eq!(Svid::new(&long, key.clone()).err(), Some(SvidError::ChainLength(4)));
    let nameless = cell.forge_for(&crypto::Signer::public_key(&*key), |leaf| {
        leaf.subject_alt_names.clear();
    });
    let refused = SvidError::NoIdentity(VerifyError::NoUri);
    assert_eq!(Svid::new(&nameless, key).err(), Some(refused));
}

#[test]
fn bytes_that_are_no_tls_are_refused() {
    let cell = Cell::new("shop.example");
    for plaintext in [&b"GET / HTTP/1.1\r\nHost: catalog\r\n\r\n"[..], b"PING\r\n*1\r\n", &[0; 64]]
    {
        let server = Handshaking::as_server(&config(&cell, "catalog"), NOW).unwrap();
        let failed = server.read_incoming(plaintext).unwrap_err();
        assert_eq!(failed.reason, HandshakeError::NotTls, "{plaintext:?}");
    }
    let mut server = Handshaking::as_server(&config(&cell, "catalog"), NOW).unwrap();
    for byte in b"GET / HTTP" {
        server = match server.read_incoming(&[*byte]) {
            Ok(Progress::Handshaking(going)) => going,
            Ok(Progress::Established(_)) => panic!(),
            Err(failed) => {
                assert_eq!(failed.reason, HandshakeError::NotTls);
                break;
            }
        };
    }
    let client = Handshaking::as_client(&config(&cell, "web"), &cell.id("catalog"), NOW).unwrap();
    let failed = client.read_incoming(b"-ERR unknown command\r\n").unwrap_err();
    assert_eq!(failed.reason, HandshakeError::NotTls);
}

#[test]
fn a_peer_that_never_proves_itself_gets_no_memory() {
    let cell = Cell::new("shop.example");
    // Handshake records of a ClientHello that claims to be huge and never ends.
    let mut flood = vec![22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
    flood.resize(5 + 0x4000, 0);
    let continued = [&[22, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
    let mut server = Handshaking::as_server(&config(&cell, "catalog"), NOW).unwrap();
    let mut sent = 0;
    for piece in [&flood, &continued, &continued, &continued] {
        sent += piece.len();
        match server.read_incoming(piece) {
            Ok(Progress::Handshaking(going)) => {
                assert!(sent <= HANDSHAKE_BYTES_MAX, "{sent}");
                server = going;
            }
            Ok(Progress::Established(_)) => panic!(),
            Err(failed) => {
                assert_eq!(failed.reason, HandshakeError::TooLong);
                assert!(sent > HANDSHAKE_BYTES_MAX);
                return;
            }
        }
    }
    panic!("not refused after {sent} bytes");
}

/// A client of rustls's own making, as other software would connect.
fn foreign_client(
    cell: &Cell,
    provider: CryptoProvider,
    versions: &[&'static rustls::SupportedProtocolVersion],
    change: impl FnOnce(&mut ClientConfig),
) -> Vec<u8> {
    let mut roots = RootCertStore::empty();
    roots.add(cell.root.der().into()).unwrap();
    let (issued, key) = cell.svid("web");
    let chain = issued.chain.iter().map(|c| c.der().to_vec().into()).collect();
    let key = PrivateKeyDer::Pkcs8(key.release_pkcs8().unwrap().to_vec().into());
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![ALPN.to_vec()];
    change(&mut config);
    let name = ServerName::try_from("catalog.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

fn with_suite(suite: rustls::SupportedCipherSuite) -> CryptoProvider {
    CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() }
}

#[test]
fn a_peer_that_speaks_less_is_refused() {
    use rustls::version::{TLS12, TLS13};
    let cell = Cell::new("shop.example");
    let catalog = config(&cell, "catalog");
    let refuse = |hello: &[u8]| {
        let server = Handshaking::as_server(&catalog, NOW).unwrap();
        let failed = server.read_incoming(hello).unwrap_err();
        assert!(!failed.last_words.is_empty(), "the peer is told");
        failed.reason
    };
    let all = aws_lc_rs::default_provider;
    // The same foreign client, with nothing missing, gets on.
    let server = Handshaking::as_server(&catalog, NOW).unwrap();
    let good = server.read_incoming(&foreign_client(&cell, all(), &[&TLS13], |_| {}));
    assert!(matches!(good, Ok(Progress::Handshaking(_))));

    let tls12 = refuse(&foreign_client(&cell, all(), &[&TLS12], |_| {}));
    assert!(
        matches!(&tls12, HandshakeError::Incompatible(why) if why.contains("Tls12")),
        "{tls12}"
    );
    for suite in [
        aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ] {
        let refused = refuse(&foreign_client(&cell, with_suite(suite), &[&TLS13], |_| {}));
        assert!(matches!(refused, HandshakeError::Incompatible(_)), "{refused}");
    }
    let p384 = CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::SECP384R1], ..all() };
    let refused = refuse(&foreign_client(&cell, p384, &[&TLS13], |_| {}));
    assert!(matches!(refused, HandshakeError::Incompatible(_)), "{refused}");
    for protocols in
        [vec![], vec![b"h2".to_vec()], vec![b"sealane/2".to_vec(), b"Sealane/1".to_vec()]]
    {
        let hello = foreign_client(&cell, all(), &[&TLS13], |c| c.alpn_protocols = protocols);
        assert_eq!(refuse(&hello), HandshakeError::NotOurProtocol);
    }
}

#[test]
fn an_older_peer_without_the_hybrid_exchange_still_meets() {
    let cell = Cell::new("shop.example");
    for (group, name) in
        [(aws_lc_rs::kx_group::X25519, "X25519"), (aws_lc_rs::kx_group::SECP256R1, "secp256r1")]
    {
        let provider = CryptoProvider { kx_groups: vec![group], ..(*provider::provider()).clone() };
        let (issued, key) = cell.svid("web");
        let chain = issued.chain.iter().map(|c| c.der().to_vec().into()).collect();
        let key = PrivateKeyDer::Pkcs8(key.release_pkcs8().unwrap().to_vec().into());
        let mut roots = RootCertStore::empty();
        roots.add(cell.root.der().into()).unwrap();
        let mut foreign = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting))
            .with_client_auth_cert(chain, key)
            .unwrap();
        foreign.alpn_protocols = vec![ALPN.to_vec()];
        let server_name = ServerName::try_from("catalog.example").unwrap();
        let mut client = ClientConnection::new(Arc::new(foreign), server_name).unwrap();
        let mut server = Handshaking::as_server(&config(&cell, "catalog"), NOW).unwrap();
        let established = loop {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            server = match server.read_incoming(&wire).unwrap() {
                Progress::Handshaking(going) => going,
                Progress::Established(established) => break established,
            };
            let mut wire = Vec::new();
            server.take_outgoing(&mut wire);
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                client.read_tls(&mut wire).unwrap();
                client.process_new_packets().unwrap();
            }
        };
        assert_eq!(established.facts().key_exchange, name);
        assert_eq!(established.peer(), &cell.id("web"));
    }
}

/// Verifies nothing: stands in for a peer that is careless, never for ours.
#[derive(Debug)]
struct Trusting;

impl rustls::client::danger::ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        unreachable!()
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![provider::SIGNATURE_SCHEME]
    }
}
