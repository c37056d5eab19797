//! Key policies.

use std::borrow::Cow;

use keys::EncryptionContext;
use keys::policy::Policy;
use keys::policy::error::PolicyError;
use keys::policy::facts::FactValue;
use wire::kms::{
    GetKeyPolicyRequest, GetKeyPolicyResponse, KmsFault, ListKeyPoliciesRequest,
    ListKeyPoliciesResponse, NoOutput, PutKeyPolicyRequest, messages,
};

use super::keys::not_doomed;
use super::{Body, Fault, write};
use crate::kms::KeyEntry;
use crate::kms_api::call::{Call, Question};
use crate::kms_api::facts::RequestFacts;

const DEFAULT: &str = "default";

pub(super) fn get(call: &mut Call, request: GetKeyPolicyRequest<'_>) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.require(&key, &Question::of("GetKeyPolicy", &EncryptionContext::default()))?;
    if request.policy_name.as_deref().unwrap_or(DEFAULT) != DEFAULT {
        return Err(Fault::new(KmsFault::NotFound, messages::NO_SUCH_POLICY));
    }
    let policy = match &key.record.policy {
        Some(policy) => Cow::Borrowed(policy.as_str()),
        None => Cow::Owned(default_policy(call.kms.account())),
    };
    write(&GetKeyPolicyResponse { policy, policy_name: Cow::Borrowed(DEFAULT) })
}

pub(super) fn put(call: &mut Call, request: PutKeyPolicyRequest<'_>) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    if request.policy_name.as_deref().unwrap_or(DEFAULT) != DEFAULT {
        return Err(Fault::unsupported(messages::ONLY_DEFAULT_POLICY));
    }
    let bypass = request.bypass_policy_lockout_safety_check;
    call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let facts = [("kms:bypasspolicylockoutsafetycheck", FactValue::Bool(bypass))];
        let none = EncryptionContext::default();
        let question = Question::of("PutKeyPolicy", &none).with(&facts);
        let permit = call.may_administer(&key, &question)?;
        not_doomed(&key)?;
        let policy = parse(&request.policy)?;
        if !bypass {
            check_lockout(call, &policy, &key)?;
        }
        let text = request.policy.to_string();
        let changed = permit.describe(|said| *said.policy = Some(text));
        Ok(change.put_key(&changed)?)
    })?;
    write(&NoOutput)
}

pub(super) fn list(call: &mut Call, request: ListKeyPoliciesRequest<'_>) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.require(&key, &Question::of("ListKeyPolicies", &EncryptionContext::default()))?;
    write(&ListKeyPoliciesResponse {
        policy_names: vec![Cow::Borrowed(DEFAULT)],
        next_marker: None,
        truncated: false,
    })
}

pub(super) fn parse(text: &str) -> Result<Policy, Fault> {
    Policy::parse(text).map_err(|error| {
        let kind = match error {
            PolicyError::TooLong(_) => KmsFault::LimitExceeded,
            _ => KmsFault::MalformedPolicyDocument,
        };
        Fault::new(kind, error.to_string())
    })
}

/// A policy that nobody could replace is most often a mistake.
pub(super) fn check_lockout(call: &Call, policy: &Policy, key: &KeyEntry) -> Result<(), Fault> {
    let none = EncryptionContext::default();
    let question = Question::of("PutKeyPolicy", &none);
    let facts = RequestFacts { call, key: Some(key), question: &question };
    let caller = call.who.principals().seen_by(key.record.owner());
    policy
        .allows_put_key_policy(caller, &key.arn, &facts)
        .map_err(|error| Fault::new(KmsFault::MalformedPolicyDocument, error.to_string()))
}

/// What stands for no policy: the key is its owner's. In a tenant's key the account's root stands
/// for that tenant.
fn default_policy(account: &str) -> String {
    format!(
        "{{\n  \"Version\" : \"2012-10-17\",\n  \"Id\" : \"key-default-1\",\n  \"Statement\" : [ \
         {{\n    \"Sid\" : \"Enable IAM User Permissions\",\n    \"Effect\" : \"Allow\",\n    \
         \"Principal\" : {{\n      \"AWS\" : \"arn:aws:iam::{account}:root\"\n    }},\n    \
         \"Action\" : \"kms:*\",\n    \"Resource\" : \"*\"\n  }} ]\n}}"
    )
}
