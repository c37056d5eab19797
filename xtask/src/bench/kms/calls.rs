//! What is asked of a KMS, and whether its answers are right.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Signing;
use super::figures::Random;
use super::request::{Client, Writer, unix_seconds};
use super::sigv4::Stamp;
use crate::Error;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    Encrypt,
    Decrypt,
    GenerateDataKey,
}

impl Operation {
    pub(super) const ALL: [Self; 3] = [Self::Encrypt, Self::Decrypt, Self::GenerateDataKey];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Encrypt => "Encrypt",
            Self::Decrypt => "Decrypt",
            Self::GenerateDataKey => "GenerateDataKey",
        }
    }
}

/// One call: its body with or without a key's id in the middle.
struct Call {
    head: String,
    key: usize,
    /// The id of a key stands between head and tail, and any key will do.
    names_key: bool,
    tail: String,
    /// What Decrypt answers, in base64.
    plaintext: Option<String>,
}

/// The calls of one operation, some for each connection, and what answers were like.
pub(super) struct Calls {
    operation: Operation,
    keys: Rc<[String]>,
    per_connection: Vec<Vec<Call>>,
    /// The length of an answer's body.
    pub(super) answer_bytes: usize,
}

/// How many calls there are to be made ready.
#[derive(Clone, Copy)]
pub(super) struct Amount {
    pub(super) connections: usize,
    pub(super) per_connection: usize,
    pub(super) plaintext_bytes: usize,
}

impl Calls {
    /// Calls of `operation` under keys drawn at random. What Decrypt is to open is encrypted now.
    pub(super) fn prepare(
        operation: Operation,
        keys: &Rc<[String]>,
        amount: Amount,
        client: &mut Client,
    ) -> Result<Self, Error> {
        let mut random = Random::new(operation as u64);
        let mut per_connection = Vec::new();
        for connection in 0..amount.connections {
            let mut calls = Vec::new();
            for number in 0..amount.per_connection {
                super::interrupts::check()?;
                let key = random.below(keys.len());
                let context =
                    format!("{{\"tenant\":\"t-{connection}\",\"purpose\":\"bench-{number}\"}}");
                let plaintext = random_bytes(amount.plaintext_bytes, &mut random);
                let plaintext = STANDARD.encode(plaintext);
                calls.push(Call::new(operation, keys, key, &context, plaintext, client)?);
            }
            per_connection.push(calls);
        }
        let mut prepared =
            Self { operation, keys: Rc::clone(keys), per_connection, answer_bytes: 0 };
        let call = &prepared.per_connection[0][0];
        let mut body = Vec::new();
        call.write_body(&prepared.keys[call.key], &mut body);
        let answer = client.call(operation.name(), std::str::from_utf8(&body)?)?;
        prepared.check(call, call.key, &answer)?;
        prepared.answer_bytes = answer.len();
        Ok(prepared)
    }

    fn check(&self, call: &Call, key: usize, answer: &[u8]) -> Result<(), Error> {
        let answer: Value = serde_json::from_slice(answer)?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
        let bytes = |name: &str| STANDARD.decode(text(name)).unwrap_or_default();
        let right = match (self.operation, &call.plaintext) {
            (Operation::Decrypt, Some(plaintext)) => text("Plaintext") == plaintext,
            (Operation::GenerateDataKey, _) => {
                bytes("Plaintext").len() == 32 && bytes("CiphertextBlob").len() > 32
            }
            _ => bytes("CiphertextBlob").len() > 32,
        };
        if right && text("KeyId").ends_with(&self.keys[key]) {
            return Ok(());
        }
        Err(format!("{} was answered wrongly: {answer}", self.operation.name()).into())
    }
}

impl Call {
    fn new(
        operation: Operation,
        keys: &[String],
        key: usize,
        context: &str,
        plaintext: String,
        client: &mut Client,
    ) -> Result<Self, Error> {
        let head = "{\"KeyId\":\"".to_owned();
        let encrypt = format!("\",\"Plaintext\":\"{plaintext}\",\"EncryptionContext\":{context}}}");
        Ok(match operation {
            Operation::Encrypt => {
                Self { head, key, names_key: true, tail: encrypt, plaintext: None }
            }
            Operation::GenerateDataKey => {
                let tail = format!("\",\"KeySpec\":\"AES_256\",\"EncryptionContext\":{context}}}");
                Self { head, key, names_key: true, tail, plaintext: None }
            }
            Operation::Decrypt => {
                let answer = client.ask("Encrypt", &format!("{head}{}{encrypt}", keys[key]))?;
                let blob = answer.get("CiphertextBlob").and_then(Value::as_str);
                let blob = blob.ok_or("Encrypt was answered without a ciphertext")?;
                let head =
                    format!("{{\"CiphertextBlob\":\"{blob}\",\"EncryptionContext\":{context}}}");
                let (tail, plaintext) = (String::new(), Some(plaintext));
                Self { head, key, names_key: false, tail, plaintext }
            }
        })
    }

    fn write_body(&self, key: &str, body: &mut Vec<u8>) {
        body.extend_from_slice(self.head.as_bytes());
        if self.names_key {
            body.extend_from_slice(key.as_bytes());
        }
        body.extend_from_slice(self.tail.as_bytes());
    }
}

fn random_bytes(len: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The calls of one operation as requests to one server.
pub(super) struct Requests {
    calls: Rc<Calls>,
    writer: Writer,
    signing: Signing,
    /// Whether answers are a KMS's, or bytes of that length.
    real: bool,
    under_way: Vec<UnderWay>,
    /// Requests that are good for their second.
    signed: Vec<Vec<Signed>>,
    random: Random,
    stamp: (u64, Stamp),
    body: Vec<u8>,
    request: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct UnderWay {
    call: usize,
    key: usize,
}

#[derive(Clone, Default)]
struct Signed {
    second: u64,
    request: Vec<u8>,
}

impl Requests {
    pub(super) fn new(calls: Rc<Calls>, writer: Writer, signing: Signing, real: bool) -> Self {
        let of_each = |calls: &Vec<Call>| match signing {
            Signing::Second => vec![Signed::default(); calls.len()],
            Signing::Each => Vec::new(),
        };
        let signed = calls.per_connection.iter().map(of_each).collect();
        Self {
            under_way: vec![UnderWay::default(); calls.per_connection.len()],
            signed,
            calls,
            writer,
            signing,
            real,
            random: Random::new(7),
            stamp: (0, Stamp::at(0)),
            body: Vec::new(),
            request: Vec::new(),
        }
    }

    /// The next request of a connection.
    pub(super) fn next(&mut self, connection: usize) -> Result<&[u8], Error> {
        let calls = &self.calls.per_connection[connection];
        let under_way = &mut self.under_way[connection];
        under_way.call = (under_way.call + 1) % calls.len();
        let call = &calls[under_way.call];
        let second = unix_seconds();
        if self.stamp.0 != second {
            self.stamp = (second, Stamp::at(second));
        }
        under_way.key = call.key;
        let request = match self.signing {
            Signing::Second => {
                let signed = &mut self.signed[connection][under_way.call];
                if signed.second == second {
                    return Ok(&signed.request);
                }
                signed.second = second;
                &mut signed.request
            }
            Signing::Each => {
                if call.names_key {
                    under_way.key = self.random.below(self.calls.keys.len());
                }
                &mut self.request
            }
        };
        self.body.clear();
        call.write_body(&self.calls.keys[under_way.key], &mut self.body);
        request.clear();
        let operation = self.calls.operation.name();
        self.writer.write(request, &self.stamp.1, operation, &self.body)?;
        Ok(request)
    }

    /// Whether `answer` is one to the connection's last request.
    pub(super) fn check(&self, connection: usize, answer: &[u8]) -> Result<(), Error> {
        let under_way = self.under_way[connection];
        if self.real {
            let call = &self.calls.per_connection[connection][under_way.call];
            return self.calls.check(call, under_way.key, answer);
        }
        if answer.len() == self.calls.answer_bytes {
            return Ok(());
        }
        Err(format!("an answer of {} bytes", answer.len()).into())
    }
}
