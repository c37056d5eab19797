use proptest::prelude::*;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QTYPE, Question as Asked, RCODE, TYPE};

use super::*;

const CATALOG: Ipv4Addr = Ipv4Addr::new(127, 16, 0, 2);

fn lookup(name: &str) -> Option<Ipv4Addr> {
    match name {
        "catalog" => Some(CATALOG),
        "payments.example" => Some(Ipv4Addr::new(127, 16, 0, 3)),
        _ => None,
    }
}

fn names() -> Names<'static> {
    Names { lookup: &lookup, search_domain: Some("acme.shop.example") }
}

fn query(name: &str, kind: QTYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(0x1234);
    packet.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::AUTHENTIC_DATA);
    packet.questions.push(Asked::new(Name::new(name).unwrap(), kind, CLASS::IN.into(), false));
    packet.build_bytes_vec().unwrap()
}

/// Code and addresses of the reply, as another implementation of DNS reads it.
fn ask(query: &[u8]) -> Option<(RCODE, Vec<Ipv4Addr>)> {
    let reply = answer_datagram(query, &names())?;
    let packet = Packet::parse(&reply).unwrap();
    assert_eq!(packet.id(), u16::from_be_bytes([query[0], query[1]]));
    assert!(packet.has_flags(PacketFlag::RESPONSE));
    let addresses = packet
        .answers
        .iter()
        .map(|record| {
            assert_eq!((record.ttl, record.class), (TTL_SECONDS, CLASS::IN));
            assert_eq!(record.name, packet.questions[0].qname);
            match &record.rdata {
                RData::A(address) => Ipv4Addr::from(address.address),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    Some((packet.rcode(), addresses))
}

#[test]
fn a_known_name_has_an_address_and_nothing_else() {
    for name in [
        "catalog",
        "catalog.",
        "CataLog",
        "catalog.acme.shop.example",
        "CATALOG.Acme.Shop.Example.",
    ] {
        assert_eq!(
            ask(&query(name, TYPE::A.into())),
            Some((RCODE::NoError, vec![CATALOG])),
            "{name}"
        );
        assert_eq!(ask(&query(name, QTYPE::ANY)), Some((RCODE::NoError, vec![CATALOG])), "{name}");
        for kind in [TYPE::AAAA, TYPE::TXT, TYPE::SRV, TYPE::HTTPS] {
            let empty = Some((RCODE::NoError, vec![]));
            assert_eq!(ask(&query(name, kind.into())), empty, "{name} {kind:?}");
        }
    }
}

#[test]
fn a_record_type_nobody_knows_is_no_error_for_a_known_name() {
    let mut bytes = query("catalog", TYPE::A.into());
    let at = bytes.len() - 4;
    bytes[at..at + 2].copy_from_slice(&0xff00u16.to_be_bytes());
    let reply = answer_datagram(&bytes, &names()).unwrap();
    assert_eq!((reply[3] & 0x0f, &reply[4..8]), (0, &[0, 1, 0, 0][..]));
    assert_eq!(reply[HEADER_BYTES..], bytes[HEADER_BYTES..]);
}

#[test]
fn an_unknown_name_is_nxdomain() {
    for name in [
        "redis",
        "catalog.globex.shop.example",
        "catalog.example",
        "xcatalog",
        "catalogacme.shop.example",
        "acme.shop.example",
        "example",
        ".",
    ] {
        for kind in [TYPE::A, TYPE::AAAA] {
            let missing = Some((RCODE::NameError, vec![]));
            assert_eq!(ask(&query(name, kind.into())), missing, "{name}");
        }
    }
}

#[test]
fn a_dot_inside_a_label_spells_no_other_name() {
    let mut bytes = query("payments-example", TYPE::A.into());
    bytes[HEADER_BYTES + 1 + "payments".len()] = b'.';
    assert_eq!(answer_datagram(&bytes, &names()).unwrap()[3] & 0x0f, Code::NameError as u8);
}

#[test]
fn the_question_is_echoed_byte_for_byte() {
    // Resolvers that mix case against spoofing compare it (draft-vixie-dnsext-dns0x20).
    let bytes = query("cAtALog", TYPE::A.into());
    let reply = answer_datagram(&bytes, &names()).unwrap();
    assert_eq!(reply[HEADER_BYTES..bytes.len()], bytes[HEADER_BYTES..]);
}

#[test]
fn what_is_no_plain_question_is_refused_or_dropped() {
    let good = query("catalog", TYPE::A.into());
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let mut chaos = good.clone();
    let last = chaos.len() - 1;
    chaos[last] = 3;
    let mut update = Packet::new_query(7);
    *update.opcode_mut() = OPCODE::Update;
    for (what, bytes, code) in [
        ("class CH", chaos, Code::Refused),
        ("update", update.build_bytes_vec().unwrap(), Code::NotImplemented),
        ("no question", with(5, 0), Code::FormatError),
        ("two questions", with(5, 2), Code::FormatError),
        ("an answer", with(7, 1), Code::FormatError),
        ("name cut", good[..15].to_vec(), Code::FormatError),
        ("type cut", good[..good.len() - 3].to_vec(), Code::FormatError),
        ("pointer", with(HEADER_BYTES, 0xc0), Code::FormatError),
        ("label too long", with(HEADER_BYTES, 64), Code::FormatError),
    ] {
        let reply = answer_datagram(&bytes, &names()).unwrap();
        assert_eq!(u16::from(reply[3] & 0x0f), code as u16, "{what}");
        assert_eq!(reply[7], 0, "{what}");
    }
    assert_eq!(ask(&good[..11]), None, "no whole header");
    assert_eq!(ask(&with(2, 0x80)), None, "a reply");
}

#[test]
fn limits_hold_at_their_edges() {
    let mut padded = query("catalog", TYPE::A.into());
    padded.resize(QUERY_BYTES_MAX, 0);
    assert!(ask(&padded).is_some());
    padded.push(0);
    assert_eq!(ask(&padded), None);

    // 255 bytes on the wire: three labels of 63, one of 61, four lengths and the root.
    let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    let longest = answer_datagram(
        &query(&name, TYPE::A.into()),
        &Names { lookup: &|_| Some(CATALOG), search_domain: None },
    );
    assert_eq!(longest.unwrap().len(), REPLY_BYTES_MAX);
    const { assert!(REPLY_BYTES_MAX <= 512) };
    let mut above = query(&name, TYPE::A.into());
    above[HEADER_BYTES + 3 * 64] = 62;
    above.insert(HEADER_BYTES + 3 * 64 + 1, b'd');
    assert_eq!(answer_datagram(&above, &names()).unwrap()[3] & 0x0f, Code::FormatError as u8);
}

#[test]
fn a_stream_carries_one_query_after_another() {
    let message = query("catalog", TYPE::A.into());
    let mut bytes = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(&message);
    for cut in 0..bytes.len() {
        assert_eq!(answer_stream(&bytes[..cut], &names()), StreamAnswer::NeedMore);
    }
    let consumed = bytes.len();
    bytes.extend_from_slice(&bytes.clone());
    let StreamAnswer::Reply { reply, consumed: taken } = answer_stream(&bytes, &names()) else {
        panic!("a whole query is answered")
    };
    assert_eq!(taken, consumed);
    assert_eq!(Some(&reply[2..]), answer_datagram(&message, &names()).as_deref());
    assert_eq!(usize::from(reply[1]), reply.len() - 2);
    assert_eq!(answer_stream(&[0xff, 0xff], &names()), StreamAnswer::Close);
    assert_eq!(answer_stream(&[0, 1, 0], &names()), StreamAnswer::Close);
}

proptest! {
    #[test]
    fn any_bytes_are_answered_without_a_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..120),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut damaged = query("catalog.acme.shop.example", TYPE::A.into());
        let at = at.index(damaged.len());
        damaged[at] = byte;
        for bytes in [&noise, &damaged] {
            if let Some(reply) = answer_datagram(bytes, &names()) {
                prop_assert!(reply.len() <= REPLY_BYTES_MAX);
                prop_assert_eq!(&reply[..2], &bytes[..2]);
            }
            let _ = answer_stream(bytes, &names());
        }
    }

    #[test]
    fn every_name_gets_an_answer_that_others_can_read(name in "[a-zA-Z0-9_-]{1,63}(\\.[a-z]{1,30}){0,4}") {
        prop_assert!(ask(&query(&name, TYPE::A.into())).is_some());
    }
}
