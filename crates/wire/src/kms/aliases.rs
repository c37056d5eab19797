//! Names for keys.

use std::borrow::Cow;

use super::request::request;
use super::response::{NoOutput, output, response};
use super::rules;
use super::timestamp::Timestamp;

request! {
    /// Asks for a name for a key.
    pub struct CreateAliasRequest<'a>: CreateAlias -> NoOutput {
        "AliasName" alias_name: required Cow<'a, str>, rules::ALIAS_NAME;
        "TargetKeyId" target_key_id: required Cow<'a, str>, rules::KEY_ID;
    }
}

request! {
    /// Asks that a name lead to another key.
    pub struct UpdateAliasRequest<'a>: UpdateAlias -> NoOutput {
        "AliasName" alias_name: required Cow<'a, str>, rules::ALIAS_NAME;
        "TargetKeyId" target_key_id: required Cow<'a, str>, rules::KEY_ID;
    }
}

request! {
    /// Asks that a name be free again.
    pub struct DeleteAliasRequest<'a>: DeleteAlias -> NoOutput {
        "AliasName" alias_name: required Cow<'a, str>, rules::ALIAS_NAME;
    }
}

request! {
    /// Asks for the names of one key, or of all.
    pub struct ListAliasesRequest<'a>: ListAliases -> ListAliasesResponse<'r> {
        "KeyId" key_id: optional Cow<'a, str>, rules::KEY_ID;
        "Limit" limit: optional i32, rules::LIMIT;
        "Marker" marker: optional Cow<'a, str>, rules::MARKER;
    }
}

response! {
    /// A page of them.
    pub struct ListAliasesResponse<'a> {
        "Aliases" aliases: Vec<AliasListEntry<'a>>;
        "NextMarker" next_marker: Option<Cow<'a, str>>;
        "Truncated" truncated: bool;
    }
}

output! {
    /// One of them.
    pub struct AliasListEntry<'a> {
        "AliasName" alias_name: Cow<'a, str>;
        "AliasArn" alias_arn: Cow<'a, str>;
        "TargetKeyId" target_key_id: Option<Cow<'a, str>>;
        "CreationDate" creation_date: Option<Timestamp>;
        "LastUpdatedDate" last_updated_date: Option<Timestamp>;
    }
}
