//! One call of the API under way: who calls, what is known of the request, and what its event in
//! the audit trail will say.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use crypto::{Id, SystemEntropy};
use keys::access::{AllowedBy, Asked, Principals};
use keys::audit_trail::{Access, Event, Failure, Identity};
use keys::audit_trail::{Origin, Parameter, UnixMillis};
use keys::authorize::{MayAdminister, Permit};
use keys::grant::token::GrantToken;
use keys::grant::{GrantOperation, GrantRecord};
use keys::policy::facts::FactValue;
use keys::sigv4::VerifiedSignature;
use keys::{EncryptionContext, KeyUsage, Owner, UnixSeconds};
use wire::kms::{KmsFault, Operation};

use super::Fault;
use super::facts::RequestFacts;
use crate::audit_trail::Intent;
use crate::kms::{Change, Credential, KeyEntry, Kms};

/// When the event of a cryptographic call must be durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audit {
    /// Within 100 ms of the answer: a crash of the machine may lose the events of that time.
    Batched,
    /// Before the answer.
    Strict,
}

/// Who calls.
#[derive(Clone)]
pub(super) enum Who {
    AccessKey(Arc<Credential>),
    /// By the SVID that the TLS handshake showed.
    Workload(Arc<Principals>),
}

impl Who {
    /// Only a verified signature makes a caller of a credential.
    pub(super) fn signed(credential: Arc<Credential>, by: &VerifiedSignature) -> Self {
        assert_eq!(credential.access_key_id(), by.access_key_id(), "the key that verified");
        Self::AccessKey(credential)
    }

    fn identity(&self) -> Arc<Identity> {
        match self {
            Self::AccessKey(credential) => Arc::clone(&credential.identity),
            Self::Workload(principals) => Arc::new(Identity::Workload {
                spiffe_id: principals.at_home.arn.clone(),
                account: Some(principals.at_home.account.as_str().into()),
            }),
        }
    }

    pub(super) fn principals(&self) -> &Principals {
        match self {
            Self::AccessKey(credential) => &credential.principals,
            Self::Workload(principals) => principals,
        }
    }
}

pub(super) struct Call {
    pub(super) kms: Arc<Kms>,
    pub(super) who: Who,
    pub(super) operation: Operation,
    pub(super) request: Id,
    pub(super) event: Id,
    pub(super) millis: u64,
    pub(super) source: IpAddr,
    pub(super) secure: bool,
    pub(super) user_agent: Option<String>,
    pub(super) entropy: SystemEntropy,
    /// The alias by which the request names its key, for `kms:RequestAlias`.
    pub(super) alias: Option<String>,
    /// ARNs of the keys that it is about.
    pub(super) keys: Vec<Arc<str>>,
    /// Keys whose material is used, for their last use.
    pub(super) used: [Option<Arc<KeyEntry>>; 2],
    pub(super) parameters: Vec<(Cow<'static, str>, Parameter)>,
    /// Set once a change has an intent in the trail: its outcome must follow.
    pub(super) intent: Option<Intent>,
}

/// What is asked of a key, beside the key itself.
pub(super) struct Question<'q> {
    /// Without its `kms:`.
    pub(super) action: &'static str,
    pub(super) context: &'q EncryptionContext,
    /// What this operation alone knows, by condition key in lower case.
    pub(super) facts: &'q [(&'static str, FactValue<'q>)],
    pub(super) request_tags: &'q [(&'q str, &'q str)],
}

impl<'q> Question<'q> {
    pub(super) fn of(action: &'static str, context: &'q EncryptionContext) -> Self {
        Self { action, context, facts: &[], request_tags: &[] }
    }

    pub(super) fn with(self, facts: &'q [(&'static str, FactValue<'q>)]) -> Self {
        Self { facts, ..self }
    }
}

impl Call {
    pub(super) fn now(&self) -> UnixSeconds {
        UnixSeconds(self.millis / 1000)
    }

    pub(super) fn owner(&self) -> Owner {
        self.who.principals().owner
    }

    /// The caller's ARN, as errors name it.
    pub(super) fn arn(&self) -> &str {
        &self.who.principals().at_home.arn
    }

    pub(super) fn note(&mut self, name: &'static str, value: Parameter) {
        self.parameters.push((Cow::Borrowed(name), value));
    }

    pub(super) fn note_text(&mut self, name: &'static str, value: &str) {
        self.note(name, Parameter::Text(Cow::Owned(value.to_owned())));
    }

    /// As [`Call::note_text`], for a name from a fixed list.
    pub(super) fn note_name(&mut self, name: &'static str, value: &'static str) {
        self.note(name, Parameter::Text(Cow::Borrowed(value)));
    }

    /// What the caller binds to a ciphertext, checked and noted.
    pub(super) fn context(
        &mut self,
        name: &'static str,
        context: &wire::kms::EncryptionContext<'_>,
    ) -> Result<EncryptionContext, Fault> {
        if context.is_empty() {
            return Ok(EncryptionContext::default());
        }
        let pairs = context.pairs().iter();
        let pairs = pairs.map(|(name, value)| (name.to_string(), value.to_string()));
        let context = EncryptionContext::new(pairs.collect())?;
        self.note(name, Parameter::Map(context.pairs().clone()));
        Ok(context)
    }

    fn ask<T>(
        &self,
        key: &KeyEntry,
        question: &Question<'_>,
        judge: impl FnOnce(&Asked<'_>) -> Result<T, keys::access::Denied>,
    ) -> Result<T, Fault> {
        let facts = RequestFacts { call: self, key: Some(key), question };
        let action = full_action(question.action);
        let operation = GrantOperation::from_name(question.action);
        let asked = Asked {
            principals: self.who.principals(),
            action: &action,
            operation,
            context: question.context,
            facts: &facts,
            now: self.now(),
        };
        judge(&asked).map_err(|denied| {
            let own = key.record.owner() == self.owner();
            Fault::of_denied(denied, self.arn(), question.action, self.operation, key, own)
        })
    }

    /// Permission to use a key.
    pub(super) fn permit<'k, Act>(
        &self,
        key: &'k KeyEntry,
        usage: KeyUsage,
        question: &Question<'_>,
    ) -> Result<Permit<'k, Act>, Fault> {
        self.ask(key, question, |asked| key.access().permit(asked, usage))
    }

    /// Permission to change a key.
    pub(super) fn may_administer<'k>(
        &self,
        key: &'k KeyEntry,
        question: &Question<'_>,
    ) -> Result<MayAdminister<'k>, Fault> {
        self.ask(key, question, |asked| key.access().may_administer(asked))
    }

    /// Whether the caller may do something to a key, whatever its state.
    pub(super) fn require(&self, key: &KeyEntry, question: &Question<'_>) -> Result<(), Fault> {
        self.allowed_by(key, question).map(drop)
    }

    /// What gives the caller leave.
    pub(super) fn allowed_by(
        &self,
        key: &KeyEntry,
        question: &Question<'_>,
    ) -> Result<AllowedBy, Fault> {
        self.ask(key, question, |asked| key.access().allows(asked))
    }

    /// The grants that give the caller leave, whatever the policy says.
    pub(super) fn grants_for<'k>(
        &self,
        key: &'k KeyEntry,
        question: &Question<'_>,
    ) -> Vec<&'k GrantRecord> {
        let grants = self.ask(key, question, |asked| Ok(key.access().grants_for(asked).collect()));
        grants.unwrap_or_default()
    }

    /// Checks that grant tokens are ours. A grant counts as soon as it is made, so they change
    /// nothing else.
    pub(super) fn grant_tokens(&self, tokens: &[Cow<'_, str>]) -> Result<(), Fault> {
        for token in tokens {
            GrantToken::parse(token, self.kms.token_key())
                .map_err(|_| Fault::silent(KmsFault::InvalidGrantToken))?;
        }
        Ok(())
    }

    /// Changes records. The intent is durable before the change, which carries its place in the
    /// trail; the outcome follows once the whole call has ended.
    pub(super) fn change<T>(
        &mut self,
        act: impl FnOnce(&mut Self, &mut Change<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let kms = Arc::clone(&self.kms);
        kms.mend_trail();
        let mut change = kms.begin()?;
        let done = act(self, &mut change)?;
        let intent = kms.trail().intent(self.describe(None)).map_err(|e| Fault::internal(&e))?;
        let head = intent.head();
        self.intent = Some(intent);
        kms.put_trail_head(&mut change, head)?;
        change.commit()?;
        Ok(done)
    }

    /// The event of this call.
    pub(super) fn describe(&self, fault: Option<&Fault>) -> Event {
        let kms = &self.kms;
        let failure = fault.map(|fault| Failure {
            code: Cow::Borrowed(fault.aws_type()),
            message: fault.message().to_owned(),
        });
        Event {
            id: self.event,
            time: UnixMillis(self.millis),
            identity: self.who.identity(),
            name: Cow::Borrowed(self.operation.name()),
            origin: Origin::Call,
            access: access(self.operation),
            region: Arc::clone(kms.region()),
            account: Arc::clone(kms.account()),
            source_ip: Some(self.source),
            user_agent: self.user_agent.clone(),
            request: Some(self.request),
            keys: self.keys.clone(),
            parameters: self.parameters.clone(),
            failure,
        }
    }
}

/// `kms:` in front of it; the usual ones without an allocation.
fn full_action(action: &'static str) -> Cow<'static, str> {
    Cow::Borrowed(match action {
        "Encrypt" => "kms:Encrypt",
        "Decrypt" => "kms:Decrypt",
        "GenerateDataKey" => "kms:GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext" => "kms:GenerateDataKeyWithoutPlaintext",
        "ReEncryptFrom" => "kms:ReEncryptFrom",
        "ReEncryptTo" => "kms:ReEncryptTo",
        "Sign" => "kms:Sign",
        "GenerateMac" => "kms:GenerateMac",
        "VerifyMac" => "kms:VerifyMac",
        other => return Cow::Owned(format!("kms:{other}")),
    })
}

/// Whether an operation changes something, for the record.
pub(super) fn access(operation: Operation) -> Access {
    if is_read_only(operation) { Access::ReadOnly } else { Access::Write }
}

/// As AWS's own trail marks them.
fn is_read_only(operation: Operation) -> bool {
    use Operation::*;
    matches!(
        operation,
        Decrypt
            | DescribeCustomKeyStores
            | DescribeKey
            | DeriveSharedSecret
            | Encapsulate
            | Decapsulate
            | Encrypt
            | GenerateDataKey
            | GenerateDataKeyPair
            | GenerateDataKeyPairWithoutPlaintext
            | GenerateDataKeyWithoutPlaintext
            | GenerateMac
            | GenerateRandom
            | GetKeyLastUsage
            | GetKeyPolicy
            | GetKeyRotationStatus
            | GetParametersForImport
            | GetPublicKey
            | ListAliases
            | ListGrants
            | ListKeyPolicies
            | ListKeyRotations
            | ListKeys
            | ListResourceTags
            | ListRetirableGrants
            | ReEncrypt
            | Sign
            | Verify
            | VerifyMac
    )
}
