//! Errors as AWS answers them: rich inside, deliberately dull outside.

use std::borrow::Cow;

use keys::access::Denied;
use keys::asymmetric::PairError;
use keys::encrypt::{DecryptError, EncryptError};
use keys::{ContextError, ImportError, MaterialError, RotateError, WrongState};
use wire::kms::{KmsFault, RequestFault, messages};
use wire::sigv4::SigV4Error;

use super::metrics::Outcome;
use crate::kms::KmsError;

/// What is answered instead of a result.
#[derive(Debug)]
pub struct Fault {
    kind: Kind,
    message: Option<Cow<'static, str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Aws(KmsFault),
    /// What AWS's front end answers before the KMS sees the request.
    TooLarge,
    Slow,
}

impl Fault {
    pub(super) fn new(kind: KmsFault, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: Kind::Aws(kind), message: Some(message.into()) }
    }

    /// AWS says nothing but the type.
    pub(super) fn silent(kind: KmsFault) -> Self {
        Self { kind: Kind::Aws(kind), message: None }
    }

    pub(super) fn validation(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(KmsFault::Validation, message)
    }

    pub(super) fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(KmsFault::UnsupportedOperation, message)
    }

    pub(super) fn dry_run() -> Self {
        Self::new(KmsFault::DryRunOperation, messages::DRY_RUN)
    }

    pub(super) fn locked() -> Self {
        Self::new(
            KmsFault::ServiceUnavailable,
            "The cell is locked. Its operator unlocks it with `sealane seal unlock`.",
        )
    }

    /// Our own fault. The reason is logged, and not told.
    pub(super) fn internal(reason: &dyn std::fmt::Display) -> Self {
        tracing::error!(%reason, "a request to the KMS failed");
        Self::new(
            KmsFault::KmsInternal,
            "The request could not be completed; the server's log says why.",
        )
    }

    pub(super) fn svid_expired() -> Self {
        Self::new(KmsFault::ExpiredToken, "The SVID of this connection has expired.")
    }

    pub(super) fn body_too_long() -> Self {
        let message =
            Some("The request body is longer than the largest request of this API.".into());
        Self { kind: Kind::TooLarge, message }
    }

    pub(super) fn body_slow() -> Self {
        Self { kind: Kind::Slow, message: Some("The request body did not arrive in time.".into()) }
    }

    pub(super) fn busy() -> Self {
        Self::new(
            KmsFault::ServiceUnavailable,
            "As many long requests as may be are being read; try again.",
        )
    }

    pub(super) fn body_cut() -> Self {
        Self::new(KmsFault::Serialization, "The request body ended before it was whole.")
    }

    pub(super) fn is(&self, kind: KmsFault) -> bool {
        self.kind == Kind::Aws(kind)
    }

    pub(super) fn status(&self) -> u16 {
        match self.kind {
            Kind::Aws(kind) => kind.http_status(),
            Kind::TooLarge => 413,
            Kind::Slow => 408,
        }
    }

    pub(super) fn aws_type(&self) -> &'static str {
        match self.kind {
            Kind::Aws(kind) => kind.aws_type(),
            Kind::TooLarge => "RequestEntityTooLargeException",
            Kind::Slow => "RequestTimeoutException",
        }
    }

    pub(super) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    pub(super) fn body(&self) -> Vec<u8> {
        match self.kind {
            Kind::Aws(kind) => kind.body(self.message.as_deref()),
            Kind::TooLarge | Kind::Slow => {
                let (kind, message) = (self.aws_type(), self.message());
                serde_json::json!({ "__type": kind, "message": message }).to_string().into_bytes()
            }
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        let Kind::Aws(kind) = self.kind else { return Outcome::Invalid };
        match kind {
            KmsFault::AccessDenied | KmsFault::NotAuthorized => Outcome::Denied,
            KmsFault::ExpiredToken
            | KmsFault::IncompleteSignature
            | KmsFault::InvalidSignature
            | KmsFault::MissingAuthenticationToken
            | KmsFault::RequestExpired
            | KmsFault::UnrecognizedClient => Outcome::Unauthenticated,
            // As much of a success as a dry run can have.
            KmsFault::DryRunOperation => Outcome::Ok,
            kind if kind.http_status() >= 500 => Outcome::Failed,
            _ => Outcome::Invalid,
        }
    }

    /// The state that stands against a use of the key with this ARN.
    pub(super) fn of_state(arn: &str, state: WrongState) -> Self {
        match state {
            WrongState::Disabled { .. } => Self::new(KmsFault::Disabled, messages::disabled(arn)),
            WrongState::PendingImport { .. } => {
                Self::new(KmsFault::KmsInvalidState, messages::pending_import(arn))
            }
            WrongState::PendingDeletion { .. } => {
                Self::new(KmsFault::KmsInvalidState, messages::pending_deletion(arn))
            }
        }
    }

    pub(super) fn of_rotation(arn: &str, error: &RotateError) -> Self {
        match error {
            RotateError::TooManyMaterials(_) | RotateError::TooManyRotations(_) => {
                Self::new(KmsFault::LimitExceeded, messages::rotations_used_up(arn))
            }
            RotateError::NotSymmetric(_) => {
                Self::unsupported("The operation is only supported on symmetric encryption keys.")
            }
            RotateError::NothingImported(_) => {
                Self::new(KmsFault::KmsInvalidState, messages::nothing_to_rotate_to(arn))
            }
            RotateError::WrongState(state) => Self::of_state(arn, *state),
        }
    }

    pub(super) fn of_import(arn: &str, error: &ImportError) -> Self {
        match error {
            ImportError::NotExternal(_) => {
                Self::unsupported(messages::wrong_origin(arn, wire::kms::Origin::AwsKms))
            }
            ImportError::OtherMaterial(_) => Self::silent(KmsFault::IncorrectKeyMaterial),
            ImportError::UnknownMaterial { .. } => Self::new(
                KmsFault::IncorrectKeyMaterial,
                format!("{arn} has no such key material."),
            ),
            ImportError::RotationPending(_) => Self::new(
                KmsFault::KmsInvalidState,
                format!("{arn} already has key material pending rotation."),
            ),
            ImportError::NotSymmetric(_) => {
                Self::unsupported("The operation is only supported on symmetric encryption keys.")
            }
            ImportError::Rotate(error) => Self::of_rotation(arn, error),
            ImportError::NotMaterial(_) => Self::silent(KmsFault::IncorrectKeyMaterial),
            ImportError::WrongState(state) => Self::of_state(arn, *state),
            ImportError::Material(error) => Self::internal(error),
        }
    }
}

impl From<RequestFault> for Fault {
    fn from(fault: RequestFault) -> Self {
        match fault {
            RequestFault::Serialization(fault) => {
                Self::new(KmsFault::Serialization, format!("Could not read the request: {fault}."))
            }
            RequestFault::Validation(message) => Self::validation(message),
        }
    }
}

impl From<SigV4Error> for Fault {
    fn from(error: SigV4Error) -> Self {
        let kind = KmsFault::ALL.iter().find(|kind| kind.aws_type() == error.aws_type());
        Self::new(*kind.unwrap_or(&KmsFault::InvalidSignature), error.to_string())
    }
}

impl From<KmsError> for Fault {
    fn from(error: KmsError) -> Self {
        match error {
            KmsError::Context(error) => error.into(),
            KmsError::Encrypt(error) => error.into(),
            KmsError::Decrypt(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<crate::kms::SessionError> for Fault {
    fn from(error: crate::kms::SessionError) -> Self {
        match error {
            crate::kms::SessionError::Token(error) => error.into(),
            crate::kms::SessionError::Kms(error) => error.into(),
        }
    }
}

impl From<crate::store::StoreError> for Fault {
    fn from(error: crate::store::StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<ContextError> for Fault {
    fn from(error: ContextError) -> Self {
        Self::validation(format!("Encryption context: {error}."))
    }
}

impl From<EncryptError> for Fault {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::PlaintextLength(_) => Self::validation(error.to_string()),
            EncryptError::Material(error) => Self::internal(&error),
        }
    }
}

impl From<DecryptError> for Fault {
    fn from(error: DecryptError) -> Self {
        match error {
            DecryptError::OtherKey(_) => Self::new(KmsFault::IncorrectKey, messages::INCORRECT_KEY),
            DecryptError::Material(error) => Self::internal(&error),
            DecryptError::Length(_)
            | DecryptError::Version(_)
            | DecryptError::UnknownMaterial { .. }
            | DecryptError::Forged => Self::silent(KmsFault::InvalidCiphertext),
        }
    }
}

impl From<MaterialError> for Fault {
    fn from(error: MaterialError) -> Self {
        Self::internal(&error)
    }
}

impl From<PairError> for Fault {
    fn from(error: PairError) -> Self {
        match error {
            PairError::Verify(crypto::key_pair::VerifyError::Mismatch) => {
                Self::silent(KmsFault::KmsInvalidSignature)
            }
            PairError::Decrypt(_) => Self::silent(KmsFault::InvalidCiphertext),
            PairError::Agree(crypto::key_pair::AgreeError::PeerKey) => {
                Self::validation("The public key is not a key of the KMS key's kind.")
            }
            PairError::Decapsulate(crypto::key_pair::DecapsulateError::CiphertextLength {
                ..
            }) => Self::silent(KmsFault::InvalidCiphertext),
            error => Self::internal(&error),
        }
    }
}

impl Fault {
    /// What stands against a use, in AWS's words. `who` is the caller's ARN, `action` has no prefix.
    pub(super) fn of_denied(
        denied: Denied,
        who: &str,
        action: &str,
        operation: wire::kms::Operation,
        key: &crate::kms::KeyEntry,
        own: bool,
    ) -> Self {
        let arn = &*key.arn;
        let denial = match denied {
            Denied::State(state) => return Self::of_state(arn, state),
            Denied::OtherUsage { usage, .. } => {
                let usage = wire::kms::KeyUsage::from_name(usage.name())
                    .unwrap_or(wire::kms::KeyUsage::EncryptDecrypt);
                let message = messages::wrong_usage(arn, usage, operation);
                return Self::new(KmsFault::InvalidKeyUsage, message);
            }
            Denied::Hidden(_) => {
                return Self::new(KmsFault::NotFound, messages::key_not_found(arn));
            }
            // A stranger does not learn whether the key exists, nor what its policy says.
            Denied::Explicitly | Denied::NothingAllows if !own => messages::Denial::NotTold,
            Denied::Explicitly => messages::Denial::DeniedByResourcePolicy,
            Denied::NothingAllows => messages::Denial::NoResourcePolicyAllows,
        };
        let resource = messages::Resource::Arn(arn);
        Self::new(KmsFault::AccessDenied, messages::access_denied(who, action, resource, denial))
    }
}
