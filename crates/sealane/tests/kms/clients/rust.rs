//! The AWS SDK for Rust. KMS_ENDPOINT and AWS_* are set.

use aws_credential_types::Credentials;
use aws_sdk_kms::config::{BehaviorVersion, Region};
use aws_sdk_kms::operation::encrypt::EncryptError;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeySpec, KeyUsageType, SigningAlgorithmSpec};
use aws_sdk_kms::{Client, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let of = |name| std::env::var(name).expect("the test sets it");
    let credentials =
        Credentials::new(of("AWS_ACCESS_KEY_ID"), of("AWS_SECRET_ACCESS_KEY"), None, None, "test");
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(of("KMS_ENDPOINT"))
        .credentials_provider(credentials)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let kms = Client::from_conf(config);

    let key = kms.create_key().description("from Rust").send().await.expect("a key");
    let key = key.key_metadata.expect("is described").key_id;
    let sealed = kms.encrypt().key_id(&key).plaintext(Blob::new("secret"));
    let sealed = sealed.encryption_context("purpose", "rust").send().await.expect("a ciphertext");
    let blob = sealed.ciphertext_blob.expect("is answered");
    let opened = kms.decrypt().ciphertext_blob(blob.clone());
    let opened = opened.encryption_context("purpose", "rust").send().await.expect("a plaintext");
    assert_eq!(opened.plaintext.expect("is answered").as_ref(), b"secret");
    let other = kms.decrypt().ciphertext_blob(blob).send().await;
    let other = other.expect_err("another context").into_service_error();
    assert!(other.is_invalid_ciphertext_exception(), "{other:?}");

    let pair = kms.create_key().key_spec(KeySpec::Rsa2048).key_usage(KeyUsageType::SignVerify);
    let pair = pair.send().await.expect("a pair").key_metadata.expect("is described").key_id;
    let algorithm = SigningAlgorithmSpec::RsassaPssSha256;
    let signed = kms.sign().key_id(&pair).message(Blob::new("text"));
    let signed = signed.signing_algorithm(algorithm.clone()).send().await.expect("a signature");
    let verified = kms.verify().key_id(&pair).message(Blob::new("text"));
    let verified = verified.signing_algorithm(algorithm).signature(signed.signature.expect("one"));
    assert!(verified.send().await.expect("an answer").signature_valid);

    kms.disable_key().key_id(&key).send().await.expect("disabled");
    let refused = kms.encrypt().key_id(&key).plaintext(Blob::new("x")).send().await;
    match refused.expect_err("a disabled key").into_service_error() {
        EncryptError::DisabledException(error) => {
            assert!(error.message.expect("says why").ends_with("is disabled."));
        }
        other => panic!("{other:?}"),
    }
}
