//! Grants: rights given by a token, to one principal.

use std::borrow::Cow;

use super::context::EncryptionContext;
use super::request::{request, shape};
use super::response::{NoOutput, object, output, response};
use super::rules;
use super::timestamp::Timestamp;
use super::values::GrantOperation;

request! {
    /// Asks for a grant.
    pub struct CreateGrantRequest<'a>: CreateGrant -> CreateGrantResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "GranteePrincipal" grantee_principal: optional Cow<'a, str>, rules::PRINCIPAL;
        "RetiringPrincipal" retiring_principal: optional Cow<'a, str>, rules::PRINCIPAL;
        "Operations" operations: required Vec<GrantOperation>, rules::NAMES;
        "Constraints" constraints: optional GrantConstraints<'a>;
        "GrantTokens" grant_tokens: defaulted Vec<Cow<'a, str>>, rules::GRANT_TOKENS;
        "Name" name: optional Cow<'a, str>, rules::GRANT_NAME;
        "DryRun" dry_run: defaulted bool;
        "GranteeServicePrincipal" grantee_service_principal: optional Cow<'a, str>,
            rules::SERVICE_PRINCIPAL;
        "RetiringServicePrincipal" retiring_service_principal: optional Cow<'a, str>,
            rules::SERVICE_PRINCIPAL;
    }
}

response! {
    /// The grant, and a token that makes it count at once.
    pub struct CreateGrantResponse<'a> {
        "GrantToken" grant_token: Cow<'a, str>;
        "GrantId" grant_id: Cow<'a, str>;
    }
}

shape! {
    /// What a grant is bound to. Asked for and answered with.
    pub struct GrantConstraints<'a> {
        "EncryptionContextSubset" encryption_context_subset: optional EncryptionContext<'a>;
        "EncryptionContextEquals" encryption_context_equals: optional EncryptionContext<'a>;
        "SourceArn" source_arn: optional Cow<'a, str>, rules::SOURCE_ARN;
    }
}

object! {
    GrantConstraints<'a> {
        "EncryptionContextSubset" encryption_context_subset,
        "EncryptionContextEquals" encryption_context_equals,
        "SourceArn" source_arn,
    }
}

request! {
    /// Asks for the grants of a key.
    pub struct ListGrantsRequest<'a>: ListGrants -> ListGrantsResponse<'r> {
        "Limit" limit: optional i32, rules::LIMIT;
        "Marker" marker: optional Cow<'a, str>, rules::MARKER;
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "GrantId" grant_id: optional Cow<'a, str>, rules::GRANT_ID;
        "GranteePrincipal" grantee_principal: optional Cow<'a, str>, rules::PRINCIPAL;
        "GranteeServicePrincipal" grantee_service_principal: optional Cow<'a, str>,
            rules::SERVICE_PRINCIPAL;
    }
}

response! {
    /// A page of them.
    pub struct ListGrantsResponse<'a> {
        "Grants" grants: Vec<GrantListEntry<'a>>;
        "NextMarker" next_marker: Option<Cow<'a, str>>;
        "Truncated" truncated: bool;
    }
}

output! {
    /// One of them.
    pub struct GrantListEntry<'a> {
        "KeyId" key_id: Cow<'a, str>;
        "GrantId" grant_id: Cow<'a, str>;
        "Name" name: Option<Cow<'a, str>>;
        "CreationDate" creation_date: Timestamp;
        "GranteePrincipal" grantee_principal: Option<Cow<'a, str>>;
        "RetiringPrincipal" retiring_principal: Option<Cow<'a, str>>;
        "IssuingAccount" issuing_account: Cow<'a, str>;
        "Operations" operations: &'a [GrantOperation];
        "Constraints" constraints: Option<GrantConstraints<'a>>;
        "GranteeServicePrincipal" grantee_service_principal: Option<Cow<'a, str>>;
        "RetiringServicePrincipal" retiring_service_principal: Option<Cow<'a, str>>;
    }
}

request! {
    /// Asks for the grants that a principal may retire.
    pub struct ListRetirableGrantsRequest<'a>: ListRetirableGrants -> ListGrantsResponse<'r> {
        "Limit" limit: optional i32, rules::LIMIT;
        "Marker" marker: optional Cow<'a, str>, rules::MARKER;
        "RetiringPrincipal" retiring_principal: optional Cow<'a, str>, rules::PRINCIPAL;
        "RetiringServicePrincipal" retiring_service_principal: optional Cow<'a, str>,
            rules::SERVICE_PRINCIPAL;
    }
}

request! {
    /// Asks that a grant end, as one it is for.
    pub struct RetireGrantRequest<'a>: RetireGrant -> NoOutput {
        "GrantToken" grant_token: optional Cow<'a, str>, rules::GRANT_TOKEN;
        "KeyId" key_id: optional Cow<'a, str>, rules::KEY_ID;
        "GrantId" grant_id: optional Cow<'a, str>, rules::GRANT_ID;
        "DryRun" dry_run: defaulted bool;
    }
}

request! {
    /// Asks that a grant end, as one who rules the key.
    pub struct RevokeGrantRequest<'a>: RevokeGrant -> NoOutput {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "GrantId" grant_id: required Cow<'a, str>, rules::GRANT_ID;
        "DryRun" dry_run: defaulted bool;
    }
}
