//! Aliases: names for keys, apart for each owner.

use std::borrow::Cow;
use std::sync::Arc;

use keys::EncryptionContext;
use wire::kms::{
    AliasListEntry, CreateAliasRequest, DeleteAliasRequest, KmsFault, ListAliasesRequest,
    ListAliasesResponse, NoOutput, UpdateAliasRequest, messages,
};

use super::metadata::time;
use super::{Body, Fault, keys::not_doomed, pages, write};
use crate::kms::records::{ALIASES, AliasRecord};
use crate::kms::{Change, KeyEntry};
use crate::kms_api::call::{Call, Question};
use crate::kms_api::key_names::Names;
use crate::store::Reader as _;

/// As AWS has it.
const ALIASES_PER_KEY_MAX: usize = 50;
const RESERVED: &str = "alias/aws/";

pub(super) fn create(call: &mut Call, request: CreateAliasRequest<'_>) -> Result<Body, Fault> {
    let name = checked(&request.alias_name)?;
    call.note_text("aliasName", name);
    let target = target(call, &request.target_key_id)?;
    call.change(|call, change| {
        if change.alias(call.owner(), name)?.is_some() {
            let message = messages::alias_exists(&call.alias_arn(name));
            return Err(Fault::new(KmsFault::AlreadyExists, message));
        }
        let now = call.now();
        let record = AliasRecord { key: target, created: now, updated: now };
        name_key(call, change, "CreateAlias", name, &record)
    })?;
    write(&NoOutput)
}

pub(super) fn update(call: &mut Call, request: UpdateAliasRequest<'_>) -> Result<Body, Fault> {
    let name = checked(&request.alias_name)?;
    call.note_text("aliasName", name);
    let target = target(call, &request.target_key_id)?;
    call.change(|call, change| {
        let before = existing(call, change, name)?;
        let (old, new) = (change.key(before.key)?, change.key(target)?);
        // An alias that led to a key of another kind would break whoever goes on using it.
        if old.record.spec != new.record.spec || old.record.usage() != new.record.usage() {
            let message = "The alias and the target key must have the same key type and key usage.";
            return Err(Fault::validation(message));
        }
        unname_key(call, change, "UpdateAlias", name, &old)?;
        let record = AliasRecord { key: target, created: before.created, updated: call.now() };
        name_key(call, change, "UpdateAlias", name, &record)
    })?;
    write(&NoOutput)
}

pub(super) fn delete(call: &mut Call, request: DeleteAliasRequest<'_>) -> Result<Body, Fault> {
    let name = checked(&request.alias_name)?;
    call.note_text("aliasName", name);
    call.change(|call, change| {
        let record = existing(call, change, name)?;
        let key = change.key(record.key)?;
        call.keys.push(Arc::clone(&key.arn));
        unname_key(call, change, "DeleteAlias", name, &key)?;
        Ok(change.remove_alias(call.owner(), name)?)
    })?;
    write(&NoOutput)
}

pub(super) fn list(call: &mut Call, request: ListAliasesRequest<'_>) -> Result<Body, Fault> {
    let limit = pages::limit(request.limit, 50, 100);
    let marker = request.marker.as_deref();
    let store = std::sync::Arc::clone(call.kms.store());
    let table = store.table_of(&ALIASES, &crate::kms::owner_name(call.owner()));
    let snapshot = store.snapshot()?;
    let (found, next_marker) = match &request.key_id {
        Some(key_id) => {
            let key = call.find(key_id, Names::KeysOnly)?;
            own(call, &key)?;
            let all = &key.record.aliases;
            let (names, next) = pages::of_slice(all, String::clone, marker, limit)?;
            let mut found = Vec::new();
            for name in names {
                let record = snapshot.get(&table, name)?;
                found.extend(record.map(|record| (name.clone(), record.value)));
            }
            (found, next)
        }
        None => {
            let page = snapshot.page(&table, pages::start(marker)?.as_ref(), limit)?;
            let next = pages::marker(page.next.as_ref());
            (page.records.into_iter().map(|(name, record)| (name, record.value)).collect(), next)
        }
    };
    let aliases = found.iter().map(|(name, record)| AliasListEntry {
        alias_name: Cow::Borrowed(name),
        alias_arn: Cow::Owned(call.alias_arn(name)),
        target_key_id: Some(Cow::Owned(record.key.to_string())),
        creation_date: Some(time(record.created)),
        last_updated_date: Some(time(record.updated)),
    });
    let truncated = next_marker.is_some();
    let next_marker = next_marker.map(Cow::Owned);
    write(&ListAliasesResponse { aliases: aliases.collect(), next_marker, truncated })
}

/// The name of an alias that a caller may have.
fn checked(name: &str) -> Result<&str, Fault> {
    let Some(rest) = name.strip_prefix("alias/") else {
        return Err(Fault::validation(messages::ALIAS_PREFIX));
    };
    if rest.is_empty() || name.contains(':') {
        return Err(Fault::validation(messages::alias_characters(name)));
    }
    if name.starts_with(RESERVED) {
        return Err(Fault::silent(KmsFault::NotAuthorized));
    }
    Ok(name)
}

fn target(call: &mut Call, key_id: &str) -> Result<crypto::Id, Fault> {
    if key_id.starts_with("alias/") {
        return Err(Fault::validation(messages::ALIAS_OF_ALIAS));
    }
    let key = call.find(key_id, Names::KeysOnly)?;
    call.note_text("targetKeyId", key_id);
    call.keys.push(Arc::clone(&key.arn));
    own(call, &key)?;
    Ok(key.record.id)
}

/// Aliases are their owner's, so they lead to its keys only.
fn own(call: &Call, key: &KeyEntry) -> Result<(), Fault> {
    if key.record.owner() == call.owner() {
        return Ok(());
    }
    let (resource, denial) = (messages::Resource::Arn(&key.arn), messages::Denial::NotTold);
    let message = messages::access_denied(call.arn(), call.operation.name(), resource, denial);
    Err(Fault::new(KmsFault::AccessDenied, message))
}

fn existing(call: &Call, change: &Change<'_>, name: &str) -> Result<AliasRecord, Fault> {
    let missing =
        || Fault::new(KmsFault::NotFound, messages::alias_not_found(&call.alias_arn(name)));
    change.alias(call.owner(), name)?.ok_or_else(missing)
}

fn name_key(
    call: &Call,
    change: &mut Change<'_>,
    action: &'static str,
    name: &str,
    record: &AliasRecord,
) -> Result<(), Fault> {
    let key = change.key(record.key)?;
    let permit = call.may_administer(&key, &Question::of(action, &EncryptionContext::default()))?;
    not_doomed(&key)?;
    if key.record.aliases.len() >= ALIASES_PER_KEY_MAX {
        let message = format!("A key has at most {ALIASES_PER_KEY_MAX} aliases.");
        return Err(Fault::new(KmsFault::LimitExceeded, message));
    }
    let changed = permit.describe(|said| {
        said.aliases.push(name.to_owned());
        said.aliases.sort_unstable();
    });
    change.put_key(&changed)?;
    Ok(change.put_alias(call.owner(), name, record)?)
}

fn unname_key(
    call: &Call,
    change: &mut Change<'_>,
    action: &'static str,
    name: &str,
    key: &KeyEntry,
) -> Result<(), Fault> {
    let permit = call.may_administer(key, &Question::of(action, &EncryptionContext::default()))?;
    let changed = permit.describe(|said| said.aliases.retain(|alias| alias != name));
    Ok(change.put_key(&changed)?)
}
