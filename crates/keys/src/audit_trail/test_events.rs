//! Events and trails for tests.

use std::borrow::Cow;
use std::sync::Arc;

use super::{
    Access, AwsIdentity, AwsIdentityKind, Event, Identity, Origin, Parameter, TrailHead, UnixMillis,
};
use crate::test_kit::id;

/// A call as they come most.
pub(super) fn decrypt(number: u8) -> Event {
    let account: Arc<str> = "000000000000".into();
    Event {
        id: id(number),
        time: UnixMillis(1_800_000_000_000 + u64::from(number)),
        identity: Arc::new(Identity::Aws(AwsIdentity {
            kind: AwsIdentityKind::IamUser,
            principal_id: Some("test-principal".to_owned()),
            arn: "arn:aws:iam::000000000000:user/test".to_owned(),
            account: account.clone(),
            access_key: Some("AKIATESTTESTTESTTEST".to_owned()),
            user_name: Some("test".to_owned()),
        })),
        name: Cow::Borrowed("Decrypt"),
        origin: Origin::Call,
        access: Access::ReadOnly,
        region: "us-east-1".into(),
        account,
        source_ip: Some([127, 0, 0, 1].into()),
        user_agent: Some("aws-cli/2.0 \"test\"".to_owned()),
        request: Some(id(100)),
        keys: vec![
            "arn:aws:kms:us-east-1:000000000000:key/01010101-0101-0101-0101-010101010101".into(),
        ],
        parameters: vec![
            (
                Cow::Borrowed("encryptionContext"),
                Parameter::Map([("tenant".to_owned(), "acme".to_owned())].into()),
            ),
            (Cow::Borrowed("keyId"), Parameter::Text("alias/test".into())),
            (Cow::Borrowed("encryptionAlgorithm"), Parameter::Text("SYMMETRIC_DEFAULT".into())),
        ],
        failure: None,
    }
}

/// Lines without their newlines, and the head after them.
pub(super) fn trail(length: u8) -> (Vec<Vec<u8>>, TrailHead) {
    let mut head = TrailHead::start();
    let mut lines = Vec::new();
    for number in 0..length {
        let mut line = Vec::new();
        head.append(&decrypt(number), super::Phase::Call, &[], &mut line);
        line.pop();
        lines.push(line);
    }
    (lines, head)
}
