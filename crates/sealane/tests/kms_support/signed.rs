//! Signature Version 4 as a client makes it, written anew here: what verifies it is what is tested.

use std::time::{SystemTime, UNIX_EPOCH};

use crypto::mac::{MacKey, sha256};
use wire::sigv4::Timestamp;

pub(crate) const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const REGION: &str = "us-east-1";

#[derive(Clone)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

/// A request, before it becomes bytes.
pub(crate) struct Draft<'d> {
    pub(crate) line: &'d str,
    /// Signed with the others, in lower case.
    pub(crate) extra: &'d [(&'d str, &'d str)],
    pub(crate) operation: &'d str,
    pub(crate) body: &'d [u8],
    /// How the body's length is told, and the line end after it.
    pub(crate) framing: Option<&'d str>,
}

impl<'d> Draft<'d> {
    pub(crate) fn of(operation: &'d str, body: &'d [u8]) -> Self {
        Self { line: "POST / HTTP/1.1", extra: &[], operation, body, framing: None }
    }

    /// Its head, to its end.
    pub(crate) fn head(&self, key: &AccessKey) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let at = Timestamp::of_unix_seconds(now).unwrap();
        let mut headers = vec![
            ("content-type", CONTENT_TYPE.to_owned()),
            ("host", "localhost".to_owned()),
            ("x-amz-date", at.as_str().to_owned()),
            ("x-amz-target", format!("TrentService.{}", self.operation)),
        ];
        headers.extend(self.extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
        headers.extend(key.token.iter().map(|token| ("x-amz-security-token", token.clone())));
        headers.sort();
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines = |between: &str, end: &str| {
            let line = |(name, value): &(&str, String)| format!("{name}:{between}{value}{end}");
            headers.iter().map(line).collect::<String>()
        };
        let hash = hex(&sha256(self.body));
        let canonical = format!("POST\n/\n\n{}\n{names}\n{hash}", lines("", "\n"));
        let scope = format!("{}/{REGION}/kms/aws4_request", at.day());
        let hash = hex(&sha256(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hash}", at.as_str());
        let first = format!("AWS4{}", key.secret);
        let mut signing = MacKey::new_for_foreign_protocol(first.as_bytes());
        for part in [at.day(), REGION, "kms", "aws4_request"] {
            signing = signing.chain_for_foreign_protocol(part.as_bytes());
        }
        let signature = hex(&signing.mac(to_sign.as_bytes()).0);
        let id = &key.id;
        let length = format!("content-length: {}\r\n", self.body.len());
        let framing = self.framing.unwrap_or(&length);
        format!(
            "{}\r\n{}{framing}authorization: AWS4-HMAC-SHA256 Credential={id}/{scope}, \
             SignedHeaders={names}, Signature={signature}\r\n\r\n",
            self.line,
            lines(" ", "\r\n"),
        )
        .into_bytes()
    }
}

/// The bytes of a signed call.
pub(crate) fn signed(key: &AccessKey, operation: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Draft::of(operation, body).head(key);
    bytes.extend(body);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    keys::hex::encode(bytes)
}
