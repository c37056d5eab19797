//! Grants: made, listed, retired, revoked.

use std::borrow::Cow;
use std::sync::Arc;

use keys::access::AllowedBy;
use keys::grant::constraint::GrantConstraints;
use keys::grant::token::GrantToken;
use keys::grant::{GrantFault, GrantId, GrantOperation, GrantRecord, GrantedKey, NewGrant};
use keys::policy::decide::GrantVerdict;
use keys::policy::facts::{FactValue, Many};
use keys::policy::principal::Principal;
use keys::{EncryptionContext, KeyRecord, KeySpec, KeyUsage};
use wire::kms::{
    self, CreateGrantRequest, CreateGrantResponse, GrantListEntry, KmsFault, ListGrantsRequest,
    ListGrantsResponse, ListRetirableGrantsRequest, NoOutput, RetireGrantRequest,
    RevokeGrantRequest, messages,
};

use super::metadata::time;
use super::{Body, Fault, pages, write};
use crate::kms::KeyEntry;
use crate::kms::records::{GRANTS, RETIRABLE};
use crate::kms_api::call::{Call, Question};
use crate::kms_api::key_names::Names;
use crate::store::Reader as _;

pub(super) fn create(call: &mut Call, request: CreateGrantRequest<'_>) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.grant_tokens(&request.grant_tokens)?;
    if request.grantee_service_principal.is_some() || request.retiring_service_principal.is_some() {
        return Err(Fault::unsupported("Service principals are not supported by this KMS."));
    }
    let new = new_grant(&request)?;
    call.note_text("granteePrincipal", &new.grantee.to_string());
    let id = key.record.id;
    if request.dry_run {
        may_create(call, &key, &new)?;
        return Err(Fault::dry_run());
    }
    // Asked for again, it is the grant that there is.
    let retried = |entry: &KeyEntry| {
        entry.grants.iter().find(|grant| grant.is_retried_by(&new)).map(|grant| grant.id)
    };
    if let Some(grant) = retried(&key) {
        may_create(call, &key, &new)?;
        return answer(call, id, grant);
    }
    let grant = call.change(|call, change| {
        let key = change.key(id)?;
        may_create(call, &key, &new)?;
        if let Some(grant) = retried(&key) {
            return Ok(grant);
        }
        let sort = sort(&key.record)?;
        let (existing, now) = (key.grants.len(), call.now());
        // As the key's owner sees the caller: so it is seen when it retires the grant.
        let issuer = call.who.principals().seen_by(key.record.owner()).clone();
        let entropy = &mut call.entropy;
        let record = GrantRecord::issue(new.clone(), (id, sort), existing, &issuer, now, entropy)
            .map_err(|fault| of_grant(call, &key, fault))?;
        change.put_grant(id, &record)?;
        Ok(record.id)
    })?;
    answer(call, id, grant)
}

fn answer(call: &mut Call, key: crypto::Id, grant: GrantId) -> Result<Body, Fault> {
    let token = GrantToken { key, grant }.issue(call.kms.token_key(), &mut call.entropy);
    write(&CreateGrantResponse {
        grant_token: Cow::Owned(token),
        grant_id: Cow::Owned(grant.to_string()),
    })
}

fn new_grant(request: &CreateGrantRequest<'_>) -> Result<NewGrant, Fault> {
    let principal = |text: &str| {
        Principal::parse(text).map_err(|_| {
            Fault::new(KmsFault::InvalidArn, format!("ARN {text} is not a valid principal."))
        })
    };
    let Some(grantee) = &request.grantee_principal else {
        return Err(Fault::validation("GranteePrincipal is required."));
    };
    let operations = request.operations.iter().map(|operation| operation.name());
    let operations: Vec<_> = operations.filter_map(GrantOperation::from_name).collect();
    if operations == [GrantOperation::CreateGrant] {
        return Err(Fault::validation(messages::GRANT_OF_GRANTS));
    }
    let mut constraints = GrantConstraints::default();
    if let Some(asked) = &request.constraints {
        if asked.encryption_context_subset.is_some() && asked.encryption_context_equals.is_some() {
            return Err(Fault::validation(messages::CONSTRAINTS_BOTH));
        }
        let context = |context: &Option<kms::EncryptionContext<'_>>| match context {
            None => Ok(None),
            Some(context) => {
                let pairs = context.pairs().iter();
                let pairs = pairs.map(|(name, value)| (name.to_string(), value.to_string()));
                EncryptionContext::new(pairs.collect()).map(Some)
            }
        };
        constraints.encryption_context_subset = context(&asked.encryption_context_subset)?;
        constraints.encryption_context_equals = context(&asked.encryption_context_equals)?;
        constraints.source_arn = asked.source_arn.as_deref().map(str::to_owned);
    }
    Ok(NewGrant {
        grantee: principal(grantee)?,
        retiring: request.retiring_principal.as_deref().map(principal).transpose()?,
        operations,
        constraints,
        name: request.name.as_deref().map(str::to_owned),
    })
}

/// Whether the caller may make `new`: by the policy, or by a grant that permits at least as much.
fn may_create(call: &Call, key: &KeyEntry, new: &NewGrant) -> Result<(), Fault> {
    let (grantee, retiring) =
        (new.grantee.to_string(), new.retiring.as_ref().map(ToString::to_string));
    let operations: Vec<&str> = new.operations.iter().map(|one| one.name()).collect();
    let constraint = match &new.constraints {
        GrantConstraints { encryption_context_equals: Some(_), .. } => {
            FactValue::One("EncryptionContextEquals")
        }
        GrantConstraints { encryption_context_subset: Some(_), .. } => {
            FactValue::One("EncryptionContextSubset")
        }
        _ => FactValue::Absent,
    };
    let source_arn = new.constraints.source_arn.as_deref();
    let facts = [
        ("kms:granteeprincipal", FactValue::One(&grantee)),
        ("kms:retiringprincipal", retiring.as_deref().map_or(FactValue::Absent, FactValue::One)),
        ("kms:grantoperations", FactValue::Many(Many::Texts(&operations))),
        ("kms:grantconstrainttype", constraint),
        ("kms:grantconstraintsourcearn", source_arn.map_or(FactValue::Absent, FactValue::One)),
        ("kms:grantisforawsresource", FactValue::Bool(false)),
    ];
    let none = EncryptionContext::default();
    let question = Question::of("CreateGrant", &none).with(&facts);
    let allowed = call.allowed_by(key, &question)?;
    key.record.enabled().map_err(|state| Fault::of_state(&key.arn, state))?;
    new.check(sort(&key.record)?).map_err(|fault| of_grant(call, key, fault))?;
    if allowed != AllowedBy::Grant {
        return Ok(());
    }
    let leaves = call.grants_for(key, &question);
    if leaves.iter().any(|leave| leave.may_issue(new).is_ok()) {
        return Ok(());
    }
    Err(of_grant(call, key, GrantFault::ExceedsParent))
}

fn sort(record: &KeyRecord) -> Result<GrantedKey, Fault> {
    Ok(match (record.usage(), record.spec) {
        (KeyUsage::EncryptDecrypt, KeySpec::SymmetricDefault) => GrantedKey::SymmetricEncryption,
        (KeyUsage::EncryptDecrypt, _) => GrantedKey::AsymmetricEncryption,
        (KeyUsage::SignVerify, _) => GrantedKey::Signing,
        (KeyUsage::GenerateVerifyMac, _) => GrantedKey::Mac,
        (KeyUsage::KeyAgreement, _) => GrantedKey::KeyAgreement,
        (KeyUsage::EncapsulateDecapsulate, _) => GrantedKey::KeyEncapsulation,
    })
}

fn of_grant(call: &Call, key: &KeyEntry, fault: GrantFault) -> Fault {
    match fault {
        GrantFault::TooMany => Fault::new(KmsFault::LimitExceeded, fault.to_string()),
        GrantFault::ExceedsParent => {
            let (resource, denial) =
                (messages::Resource::Arn(&key.arn), messages::Denial::NoResourcePolicyAllows);
            let message = messages::access_denied(call.arn(), "CreateGrant", resource, denial);
            Fault::new(KmsFault::AccessDenied, message)
        }
        fault => Fault::validation(fault.to_string()),
    }
}

pub(super) fn list(call: &mut Call, request: ListGrantsRequest<'_>) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.require(&key, &Question::of("ListGrants", &EncryptionContext::default()))?;
    let limit = pages::limit(request.limit, 50, 100);
    let matches = |grant: &&GrantRecord| {
        let grantee = request.grantee_principal.as_deref();
        request.grant_id.as_deref().is_none_or(|id| grant.id.to_string() == id)
            && grantee.is_none_or(|grantee| grant.grantee.to_string() == grantee)
    };
    if let Some(id) = &request.grant_id {
        id.parse::<GrantId>().map_err(|_| Fault::silent(KmsFault::InvalidGrantId))?;
    }
    let mut all: Vec<&GrantRecord> = key.grants.iter().filter(matches).collect();
    all.sort_unstable_by_key(|grant| grant.id.to_string());
    let name = |grant: &&GrantRecord| grant.id.to_string();
    let (page, next) = pages::of_slice(&all, name, request.marker.as_deref(), limit)?;
    let grants: Vec<_> = page.iter().map(|grant| (*grant, &*key.arn)).collect();
    write_grants(&grants, next)
}

pub(super) fn list_retirable(
    call: &mut Call,
    request: ListRetirableGrantsRequest<'_>,
) -> Result<Body, Fault> {
    let Some(principal) = &request.retiring_principal else {
        return Err(Fault::validation("RetiringPrincipal is required."));
    };
    let limit = pages::limit(request.limit, 50, 100);
    let store = Arc::clone(call.kms.store());
    let snapshot = store.snapshot()?;
    let table = store.table_of(&RETIRABLE, principal);
    let page = snapshot.page(&table, pages::start(request.marker.as_deref())?.as_ref(), limit)?;
    let mut found = Vec::new();
    for (id, place) in &page.records {
        let of_key = store.table_of(&GRANTS, &place.value.key.to_string());
        let entry = call.kms.entry(place.value.key)?;
        // An owner sees the grants on its own keys, and a caller those that it may itself retire.
        let own = entry.record.owner() == call.owner() || **principal == *call.arn();
        if let (true, Some(grant)) = (own, snapshot.get(&of_key, id)?) {
            found.push((grant.value, entry));
        }
    }
    let grants: Vec<_> = found.iter().map(|(grant, entry)| (grant, &*entry.arn)).collect();
    write_grants(&grants, pages::marker(page.next.as_ref()))
}

fn write_grants(grants: &[(&GrantRecord, &str)], next: Option<String>) -> Result<Body, Fault> {
    let operations: Vec<Vec<kms::GrantOperation>> = grants
        .iter()
        .map(|(grant, _)| {
            let names = grant.operations.iter().map(|operation| operation.name());
            names.filter_map(kms::GrantOperation::from_name).collect()
        })
        .collect();
    let entries = grants.iter().zip(&operations).map(|((grant, arn), operations)| GrantListEntry {
        key_id: Cow::Borrowed(*arn),
        grant_id: Cow::Owned(grant.id.to_string()),
        // An absent name is shown as an empty one, as AWS does.
        name: Some(Cow::Borrowed(grant.name.as_deref().unwrap_or_default())),
        creation_date: time(grant.created),
        grantee_principal: Some(Cow::Owned(grant.grantee.to_string())),
        retiring_principal: grant.retiring.as_ref().map(|one| Cow::Owned(one.to_string())),
        issuing_account: Cow::Owned(format!("arn:aws:iam::{}:root", grant.issuing_account)),
        operations,
        constraints: constraints(grant),
        grantee_service_principal: None,
        retiring_service_principal: None,
    });
    let truncated = next.is_some();
    let next_marker = next.map(Cow::Owned);
    write(&ListGrantsResponse { grants: entries.collect(), next_marker, truncated })
}

fn constraints(grant: &GrantRecord) -> Option<kms::GrantConstraints<'_>> {
    let context = |context: &'_ Option<EncryptionContext>| {
        let pairs = context.as_ref()?.pairs().iter();
        let owned = |(name, value): (&String, &String)| {
            (Cow::Owned(name.clone()), Cow::Owned(value.clone()))
        };
        kms::EncryptionContext::from_pairs(pairs.map(owned).collect())
    };
    let GrantConstraints { encryption_context_subset, encryption_context_equals, source_arn } =
        &grant.constraints;
    if grant.constraints == GrantConstraints::default() {
        return None;
    }
    Some(kms::GrantConstraints {
        encryption_context_subset: context(encryption_context_subset),
        encryption_context_equals: context(encryption_context_equals),
        source_arn: source_arn.as_deref().map(Cow::Borrowed),
    })
}

pub(super) fn retire(call: &mut Call, request: RetireGrantRequest<'_>) -> Result<Body, Fault> {
    let (key, id) = match (&request.grant_token, &request.key_id, &request.grant_id) {
        (Some(token), None, None) => {
            let parsed = GrantToken::parse(token, call.kms.token_key());
            let parsed = parsed.map_err(|_| Fault::silent(KmsFault::InvalidGrantToken))?;
            (call.find(&parsed.key.to_string(), Names::KeysOnly)?, parsed.grant.to_string())
        }
        (None, Some(key), Some(id)) if key.starts_with("arn:") => {
            (call.find(key, Names::KeysOnly)?, id.to_string())
        }
        (None, Some(_), Some(_)) => {
            return Err(Fault::new(KmsFault::InvalidArn, "KeyId must be a key ARN here."));
        }
        _ => {
            let message = "Give either a GrantToken, or both a KeyId (an ARN) and a GrantId.";
            return Err(Fault::validation(message));
        }
    };
    call.keys.push(Arc::clone(&key.arn));
    call.note_text("grantId", &id);
    let may_retire = |call: &Call, entry: &KeyEntry| {
        let grant = find(entry, &id)?;
        let caller = call.who.principals().seen_by(entry.record.owner());
        // A policy may allow it too, to whoever it names.
        let none = EncryptionContext::default();
        let by_grant = grant.may_retire(caller) > GrantVerdict::Silent;
        let by_policy = || call.require(entry, &Question::of("RetireGrant", &none));
        if by_grant { Ok(grant.clone()) } else { by_policy().map(|()| grant.clone()) }
    };
    if request.dry_run {
        may_retire(call, &key)?;
        return Err(Fault::dry_run());
    }
    call.change(|call, change| {
        let entry = change.key(key.record.id)?;
        let grant = may_retire(call, &entry)?;
        Ok(change.remove_grant(key.record.id, &id, &grant)?)
    })?;
    write(&NoOutput)
}

pub(super) fn revoke(call: &mut Call, request: RevokeGrantRequest<'_>) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    let id = request.grant_id.to_string();
    call.note_text("grantId", &id);
    let none = EncryptionContext::default();
    let question = Question::of("RevokeGrant", &none);
    if request.dry_run {
        call.require(&key, &question)?;
        find(&key, &id)?;
        return Err(Fault::dry_run());
    }
    call.change(|call, change| {
        let entry = change.key(key.record.id)?;
        call.require(&entry, &question)?;
        let grant = find(&entry, &id)?.clone();
        Ok(change.remove_grant(key.record.id, &id, &grant)?)
    })?;
    write(&NoOutput)
}

fn find<'k>(key: &'k KeyEntry, id: &str) -> Result<&'k GrantRecord, Fault> {
    let wanted: GrantId = id.parse().map_err(|_| Fault::silent(KmsFault::InvalidGrantId))?;
    let found = key.grants.iter().find(|grant| grant.id == wanted);
    found.ok_or_else(|| Fault::new(KmsFault::NotFound, messages::grant_not_found(id)))
}
