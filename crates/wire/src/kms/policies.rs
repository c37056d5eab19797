//! Key policies.

use std::borrow::Cow;

use super::request::request;
use super::response::{NoOutput, response};
use super::rules;

request! {
    /// Asks for the policy of a key.
    pub struct GetKeyPolicyRequest<'a>: GetKeyPolicy -> GetKeyPolicyResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "PolicyName" policy_name: optional Cow<'a, str>, rules::POLICY_NAME;
    }
}

response! {
    /// The policy, as it was put.
    pub struct GetKeyPolicyResponse<'a> {
        "Policy" policy: Cow<'a, str>;
        "PolicyName" policy_name: Cow<'a, str>;
    }
}

request! {
    /// Asks for another policy.
    pub struct PutKeyPolicyRequest<'a>: PutKeyPolicy -> NoOutput {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "PolicyName" policy_name: optional Cow<'a, str>, rules::POLICY_NAME;
        "Policy" policy: required Cow<'a, str>, rules::POLICY;
        "BypassPolicyLockoutSafetyCheck" bypass_policy_lockout_safety_check: defaulted bool;
    }
}

request! {
    /// Asks for the names of policies, of which there is one.
    pub struct ListKeyPoliciesRequest<'a>: ListKeyPolicies -> ListKeyPoliciesResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "Limit" limit: optional i32, rules::LIMIT;
        "Marker" marker: optional Cow<'a, str>, rules::MARKER;
    }
}

response! {
    /// The names.
    pub struct ListKeyPoliciesResponse<'a> {
        "PolicyNames" policy_names: Vec<Cow<'a, str>>;
        "NextMarker" next_marker: Option<Cow<'a, str>>;
        "Truncated" truncated: bool;
    }
}
