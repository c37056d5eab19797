//! The DNS answers a service gets inside its namespace (RFC 1035): the names that it may call, each
//! with an address of its own, and NXDOMAIN to everything else.
//!
//! Only the question is read, and by hand: a stub resolver's query is a header and one uncompressed
//! name, and a general parser would refuse record types that it does not know, where the right
//! answer is "this name exists and has no such record".

use std::net::Ipv4Addr;

/// How long a resolver may keep an answer. Short, so that a changed cell file takes hold at once.
pub const TTL_SECONDS: u32 = 5;

/// A query longer than this is dropped: a question, and room for a few options.
pub const QUERY_BYTES_MAX: usize = 1024;

/// A reply never exceeds the 512 bytes that UDP carries without EDNS (RFC 1035, section 4.2.1), so
/// nothing is ever truncated.
pub const REPLY_BYTES_MAX: usize = HEADER_BYTES + NAME_BYTES_MAX + 4 + ADDRESS_RECORD_BYTES;

const HEADER_BYTES: usize = 12;
const NAME_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: usize = 63;
const ADDRESS_RECORD_BYTES: usize = 16;

const TYPE_A: u16 = 1;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;

const FLAG_RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const FLAG_AUTHORITATIVE: u16 = 0x0400;
const FLAG_RECURSION_DESIRED: u16 = 0x0100;
const FLAG_RECURSION_AVAILABLE: u16 = 0x0080;

/// RFC 1035, section 4.1.1.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
#[repr(u16)]
enum Code {
    NoError = 0,
    FormatError = 1,
    NameError = 3,
    NotImplemented = 4,
    Refused = 5,
}

/// The names of one namespace.
pub struct Names<'a> {
    /// Gives the address of a name in lower case, without a trailing dot.
    pub lookup: &'a dyn Fn(&str) -> Option<Ipv4Addr>,
    /// The search domain that resolvers append to short names, lower case; `None` if there is none.
    pub search_domain: Option<&'a str>,
}

struct Question<'a> {
    /// Name, type and class as they arrived, to be echoed byte for byte.
    bytes: &'a [u8],
    /// `None` if a label holds what no name of ours does.
    name: Option<String>,
    kind: u16,
    class: u16,
}

/// The reply to a query in a datagram. `None` where no reply is due: too short to have an id, too
/// long, or itself a reply (answering those would let two servers answer each other for ever).
#[must_use]
pub fn answer_datagram(query: &[u8], names: &Names<'_>) -> Option<Vec<u8>> {
    if query.len() > QUERY_BYTES_MAX {
        return None;
    }
    let &[id_high, id_low, flags_high, flags_low, ref counts @ ..] =
        query.first_chunk::<HEADER_BYTES>()?;
    let flags = u16::from_be_bytes([flags_high, flags_low]);
    if flags & FLAG_RESPONSE != 0 {
        return None;
    }
    let reply = |code: Code, question: &[u8], address: Option<Ipv4Addr>| {
        let flags = FLAG_RESPONSE
            | FLAG_AUTHORITATIVE
            | FLAG_RECURSION_AVAILABLE
            | (flags & (OPCODE | FLAG_RECURSION_DESIRED))
            | code as u16;
        let mut bytes = vec![id_high, id_low];
        bytes.extend_from_slice(&flags.to_be_bytes());
        let questions = u8::from(!question.is_empty());
        bytes.extend_from_slice(&[0, questions, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
        bytes.extend_from_slice(question);
        if let Some(address) = address {
            put_address(&mut bytes, address);
        }
        assert!(bytes.len() <= REPLY_BYTES_MAX, "a reply is one question and one address");
        Some(bytes)
    };
    if flags & OPCODE != 0 {
        return reply(Code::NotImplemented, &[], None);
    }
    // One question, no answers, no authority; additional records (EDNS options) are ignored.
    if counts[..6] != [0, 1, 0, 0, 0, 0] {
        return reply(Code::FormatError, &[], None);
    }
    let Some(question) = read_question(&query[HEADER_BYTES..]) else {
        return reply(Code::FormatError, &[], None);
    };
    if question.class != CLASS_IN {
        return reply(Code::Refused, question.bytes, None);
    }
    match question.name.and_then(|name| names.find(&name)) {
        None => reply(Code::NameError, question.bytes, None),
        Some(address) => {
            let asked = matches!(question.kind, TYPE_A | TYPE_ANY);
            reply(Code::NoError, question.bytes, asked.then_some(address))
        }
    }
}

/// What a TCP connection's bytes so far come to (RFC 1035, section 4.2.2: each message follows its
/// length in two bytes).
#[derive(Debug, PartialEq, Eq)]
pub enum StreamAnswer {
    NeedMore,
    /// Write `reply` and drop `consumed` bytes of the input.
    Reply {
        reply: Vec<u8>,
        consumed: usize,
    },
    /// Close the connection: what was sent is no query.
    Close,
}

/// The reply to the first query in `bytes`, which are all that has arrived and is not yet answered.
#[must_use]
pub fn answer_stream(bytes: &[u8], names: &Names<'_>) -> StreamAnswer {
    let Some((&length, rest)) = bytes.split_first_chunk::<2>() else {
        return StreamAnswer::NeedMore;
    };
    let length = usize::from(u16::from_be_bytes(length));
    if length > QUERY_BYTES_MAX {
        return StreamAnswer::Close;
    }
    let Some(query) = rest.get(..length) else {
        return StreamAnswer::NeedMore;
    };
    let Some(message) = answer_datagram(query, names) else {
        return StreamAnswer::Close;
    };
    let mut reply =
        u16::try_from(message.len()).expect("a reply is below 512 bytes").to_be_bytes().to_vec();
    reply.extend_from_slice(&message);
    StreamAnswer::Reply { reply, consumed: 2 + length }
}

impl Names<'_> {
    /// The name as it stands, else without the search domain that a resolver appended.
    fn find(&self, name: &str) -> Option<Ipv4Addr> {
        (self.lookup)(name).or_else(|| {
            let short = name.strip_suffix(self.search_domain?)?.strip_suffix('.')?;
            (self.lookup)(short)
        })
    }
}

fn read_question(bytes: &[u8]) -> Option<Question<'_>> {
    let mut name = Some(String::new());
    let mut at = 0;
    loop {
        let len = usize::from(*bytes.get(at)?);
        at += 1;
        if len == 0 {
            break;
        }
        // Longer ones are compression pointers, and the first name has nothing to point to.
        if len > LABEL_BYTES_MAX || at + len >= NAME_BYTES_MAX {
            return None;
        }
        let label = bytes.get(at..at + len)?;
        at += len;
        // A dot or a control character inside a label would spell another name once joined.
        let plain = label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        name = name.filter(|_| plain).map(|mut name| {
            if !name.is_empty() {
                name.push('.');
            }
            name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            name
        });
    }
    let &[kind_high, kind_low, class_high, class_low] = bytes[at..].first_chunk::<4>()?;
    Some(Question {
        bytes: &bytes[..at + 4],
        name,
        kind: u16::from_be_bytes([kind_high, kind_low]),
        class: u16::from_be_bytes([class_high, class_low]),
    })
}

fn put_address(bytes: &mut Vec<u8>, address: Ipv4Addr) {
    // The name is a pointer to the question's, which always begins right after the header.
    bytes.extend_from_slice(&[0xc0, 0x0c]);
    bytes.extend_from_slice(&TYPE_A.to_be_bytes());
    bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
    bytes.extend_from_slice(&TTL_SECONDS.to_be_bytes());
    bytes.extend_from_slice(&[0, 4]);
    bytes.extend_from_slice(&address.octets());
}

#[cfg(test)]
mod tests;
