//! How an answer becomes the body of a response.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::blob::SecretBytes;
use super::context::EncryptionContext;
use super::timestamp::Timestamp;

/// Of every request and response.
pub const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// The output of one operation.
pub trait Response {
    /// Appends the body.
    fn write_body(&self, out: &mut Vec<u8>);

    /// No fewer than [`write_body`](Self::write_body) appends.
    fn body_len_max(&self) -> usize;

    /// The body, in one allocation, so that a secret is written once and wiped once.
    fn to_body(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.body_len_max()));
        self.write_body(&mut out);
        out
    }
}

/// Of operations that answer with nothing: the body is empty, and no empty object either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoOutput;

impl Response for NoOutput {
    fn write_body(&self, _out: &mut Vec<u8>) {}

    fn body_len_max(&self) -> usize {
        0
    }
}

/// What a member of a response may be.
pub(crate) trait Value {
    fn write(&self, out: &mut Vec<u8>);
    fn len_max(&self) -> usize;
    /// Left out altogether.
    fn is_absent(&self) -> bool {
        false
    }
}

/// Appends a member with its name, which comes as `,"Name":`.
pub(crate) fn write_member(out: &mut Vec<u8>, name: &'static str, value: &impl Value) {
    if value.is_absent() {
        return;
    }
    let first = out.last() == Some(&b'{');
    out.extend_from_slice(name.get(usize::from(first)..).unwrap_or_default().as_bytes());
    value.write(out);
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("a vector takes what it is given");
    }
}

/// No byte more than the text and its quotes, unless something in it must be escaped.
fn text_len_max(text: &str) -> usize {
    let escaped = if is_plain(text) { 1 } else { r"\u0000".len() };
    text.len() * escaped + 2
}

fn is_plain(text: &str) -> bool {
    // No early exit: the loop then takes many bytes at once.
    text.bytes().fold(true, |plain, byte| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\'))
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let written = STANDARD.encode_slice(bytes, room).expect("four characters for three bytes");
    assert_eq!(start + written, out.len(), "base64 is padded");
    out.push(b'"');
}

fn base64_len(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4 + 2
}

impl Value for Cow<'_, str> {
    fn write(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }

    fn len_max(&self) -> usize {
        text_len_max(self)
    }
}

impl Value for &str {
    fn write(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }

    fn len_max(&self) -> usize {
        text_len_max(self)
    }
}

impl Value for Cow<'_, [u8]> {
    fn write(&self, out: &mut Vec<u8>) {
        write_base64(self, out);
    }

    fn len_max(&self) -> usize {
        base64_len(self)
    }
}

impl Value for SecretBytes<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        write_base64(self.0, out);
    }

    fn len_max(&self) -> usize {
        base64_len(self.0)
    }
}

impl Value for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }

    fn len_max(&self) -> usize {
        5
    }
}

impl Value for i32 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_string().as_bytes());
    }

    fn len_max(&self) -> usize {
        "-2147483648".len()
    }
}

impl Value for Timestamp {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_decimal().as_bytes());
    }

    fn len_max(&self) -> usize {
        "-9223372036854775.808".len()
    }
}

impl<T: Value> Value for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn len_max(&self) -> usize {
        self.as_ref().map_or(0, Value::len_max)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Value> Value for &[T] {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, element) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            element.write(out);
        }
        out.push(b']');
    }

    fn len_max(&self) -> usize {
        2 + self.iter().map(|element| element.len_max() + 1).sum::<usize>()
    }
}

impl<T: Value> Value for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_slice().write(out);
    }

    fn len_max(&self) -> usize {
        self.as_slice().len_max()
    }
}

impl Value for EncryptionContext<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (name, value)) in self.pairs().iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            name.write(out);
            out.push(b':');
            value.write(out);
        }
        out.push(b'}');
    }

    fn len_max(&self) -> usize {
        let pair = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| name.len_max() + value.len_max();
        2 + self.pairs().iter().map(|one| pair(one) + 2).sum::<usize>()
    }
}

/// Makes a [`Value`] of a structure: for each member AWS's name and our field.
macro_rules! object {
    ($name:ident $(<$life:lifetime>)? { $( $json:literal $field:ident, )* }) => {
        impl $(<$life>)? $crate::kms::response::Value for $name $(<$life>)? {
            fn write(&self, out: &mut Vec<u8>) {
                out.push(b'{');
                $(
                    $crate::kms::response::write_member(
                        out,
                        concat!(",\"", $json, "\":"),
                        &self.$field,
                    );
                )*
                out.push(b'}');
            }

            fn len_max(&self) -> usize {
                2 $( + concat!(",\"", $json, "\":").len()
                    + $crate::kms::response::Value::len_max(&self.$field) )*
            }
        }
    };
}
pub(crate) use object;

/// Declares a structure that responses are made of: AWS's name of each member, ours, and its type.
macro_rules! output {
    (
        $(#[$doc:meta])*
        pub struct $name:ident $(<$life:lifetime>)? {
            $( $(#[$field_doc:meta])* $json:literal $field:ident: $kind:ty; )*
        }
    ) => {
        $(#[$doc])*
        pub struct $name $(<$life>)? {
            $( $(#[$field_doc])* pub $field: $kind, )*
        }

        // As for requests: an answer may hold a plaintext or a token.
        impl $(<$life>)? std::fmt::Debug for $name $(<$life>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }

        $crate::kms::response::object! { $name $(<$life>)? { $( $json $field, )* } }
    };
}
pub(crate) use output;

/// An [`output!`] that is the whole output of an operation.
macro_rules! response {
    (
        $(#[$doc:meta])*
        pub struct $name:ident $(<$life:lifetime>)? { $($members:tt)* }
    ) => {
        $crate::kms::response::output! {
            $(#[$doc])*
            pub struct $name $(<$life>)? { $($members)* }
        }

        impl $(<$life>)? $crate::kms::response::Response for $name $(<$life>)? {
            fn write_body(&self, out: &mut Vec<u8>) {
                $crate::kms::response::Value::write(self, out);
            }

            fn body_len_max(&self) -> usize {
                $crate::kms::response::Value::len_max(self)
            }
        }
    };
}
pub(crate) use response;
