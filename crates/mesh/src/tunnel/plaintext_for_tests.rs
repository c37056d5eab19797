//! The canary hunt's counterpart: handshakes as always, and then records that protect nothing, so
//! that the hunt through captured packets must find its canaries.

use std::sync::LazyLock;

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError,
};
use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite,
    Tls13CipherSuite,
};

#[cfg(not(debug_assertions))]
compile_error!(
    "`plaintext-for-tests` switches the tunnels' protection off; it exists for tests only and \
     never in a release"
);

const TAG_LEN: usize = 16;

/// AES-256-GCM in name, and in the length of everything.
pub(super) fn suite() -> SupportedCipherSuite {
    static SUITE: LazyLock<Tls13CipherSuite> = LazyLock::new(|| {
        let SupportedCipherSuite::Tls13(real) =
            rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384
        else {
            unreachable!("the suite is of TLS 1.3 by name")
        };
        Tls13CipherSuite {
            common: rustls::crypto::CipherSuiteCommon {
                suite: real.common.suite,
                hash_provider: real.common.hash_provider,
                confidentiality_limit: real.common.confidentiality_limit,
            },
            hkdf_provider: real.hkdf_provider,
            aead_alg: &Identity,
            quic: None,
        }
    });
    SupportedCipherSuite::Tls13(&SUITE)
}

struct Identity;

impl Tls13AeadAlgorithm for Identity {
    fn encrypter(&self, _key: AeadKey, _iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Self)
    }

    fn decrypter(&self, _key: AeadKey, _iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Self)
    }

    fn key_len(&self) -> usize {
        32
    }

    fn extract_keys(
        &self,
        _key: AeadKey,
        _iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

impl MessageEncrypter for Identity {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        _sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let mut payload =
            PrefixedPayload::with_capacity(self.encrypted_payload_len(message.payload.len()));
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        payload.extend_from_slice(&[0; TAG_LEN]);
        let (kind, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_2);
        Ok(OutboundOpaqueMessage::new(kind, version, payload))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + 1 + TAG_LEN
    }
}

impl MessageDecrypter for Identity {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        _sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let Some(plain_len) = message.payload.len().checked_sub(TAG_LEN) else {
            return Err(Error::DecryptError);
        };
        if message.payload[plain_len..] != [0; TAG_LEN] {
            return Err(Error::DecryptError);
        }
        message.payload.truncate(plain_len);
        message.into_tls13_unpadded_message()
    }
}
