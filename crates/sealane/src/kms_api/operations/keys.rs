//! Keys themselves: made, described, disabled, deleted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use keys::access::may_create_own;
use keys::audit_trail::Parameter;
use keys::dual_control::{Asked, DeletionRequest};
use keys::policy::facts::FactValue;
use keys::{EncryptionContext, KeySpec, KeyUsage, NewKey, Origin, UnixSeconds};
use wire::kms::{
    self, CancelKeyDeletionRequest, CancelKeyDeletionResponse, CreateKeyRequest, CreateKeyResponse,
    DescribeKeyRequest, DescribeKeyResponse, DisableKeyRequest, EnableKeyRequest,
    GetKeyLastUsageRequest, GetKeyLastUsageResponse, GetPublicKeyRequest, GetPublicKeyResponse,
    KeyLastUsageData, KeyLastUsageTrackingOperation, KeyListEntry, KmsFault, ListKeysRequest,
    ListKeysResponse, NoOutput, ScheduleKeyDeletionRequest, ScheduleKeyDeletionResponse, Timestamp,
    UpdateKeyDescriptionRequest, messages,
};

use super::metadata::{Algorithms, metadata, spec, state, time, usage};
use super::{Body, Fault, pages, tags, write};
use crate::kms::KeyEntry;
use crate::kms::records::KEYS_OF;
use crate::kms_api::call::{Call, Question};
use crate::store::Reader as _;

const DAY_SECONDS: u64 = 24 * 60 * 60;
const PENDING_DAYS_DEFAULT: i32 = 30;

pub(super) fn create(call: &mut Call, request: CreateKeyRequest<'_>) -> Result<Body, Fault> {
    let new = new_key(call, &request)?;
    call.note_name("keySpec", new.spec.name());
    call.note_name("keyUsage", new.usage.name());
    let bypass = request.bypass_policy_lockout_safety_check;
    let entry = call.change(|call, change| {
        let now = call.now();
        let permit = may_create_own(call.who.principals());
        let record = permit.create_key(new, change.ring(), now, &mut call.entropy);
        change.add_key(&record)?;
        let entry = change.entry_of(record)?;
        if let (Some(policy), false) = (&entry.policy, bypass) {
            super::policies::check_lockout(call, policy, &entry)?;
        }
        call.keys.push(Arc::clone(&entry.arn));
        Ok(entry)
    })?;
    let algorithms = Algorithms::of(&entry.record);
    write(&CreateKeyResponse { key_metadata: metadata(&call.kms, &entry, &algorithms) })
}

fn new_key(call: &Call, request: &CreateKeyRequest<'_>) -> Result<NewKey, Fault> {
    if request.multi_region {
        return Err(Fault::unsupported("Multi-Region keys are not supported by this KMS."));
    }
    if request.custom_key_store_id.is_some() || request.xks_key_id.is_some() {
        return Err(Fault::unsupported("Custom key stores are not supported by this KMS."));
    }
    let origin = match request.origin {
        None | Some(kms::Origin::AwsKms) => Origin::Kms,
        Some(kms::Origin::External) => Origin::External,
        Some(kms::Origin::AwsCloudhsm | kms::Origin::ExternalKeyStore) => {
            return Err(Fault::unsupported("Custom key stores are not supported by this KMS."));
        }
    };
    if request.key_spec.is_some() && request.customer_master_key_spec.is_some() {
        return Err(Fault::validation(messages::SPEC_TWICE));
    }
    let older = request.customer_master_key_spec.map(kms::CustomerMasterKeySpec::name);
    let name = request.key_spec.map(kms::KeySpec::name).or(older).unwrap_or("SYMMETRIC_DEFAULT");
    let unsupported =
        || Fault::unsupported(format!("KeySpec {name} is not supported by this KMS."));
    let spec = KeySpec::from_name(name).ok_or_else(unsupported)?;
    let usage = match request.key_usage {
        None if spec == KeySpec::SymmetricDefault => KeyUsage::EncryptDecrypt,
        None => return Err(Fault::validation(messages::USAGE_MISSING)),
        Some(usage) => {
            let fits = KeyUsage::from_name(usage.name()).filter(|u| spec.usages().contains(u));
            let unfit =
                || Fault::validation(messages::usage_of_spec(usage, super::metadata::spec(spec)));
            fits.ok_or_else(unfit)?
        }
    };
    let ml_kem = usage == KeyUsage::EncapsulateDecapsulate;
    if origin == Origin::External && ml_kem {
        let message = format!("KeySpec {name} cannot have imported key material in this KMS.");
        return Err(Fault::unsupported(message));
    }
    if let Some(policy) = &request.policy {
        super::policies::parse(policy)?;
    }
    let mut key_tags = BTreeMap::new();
    tags::add(&mut key_tags, &request.tags)?;
    Ok(NewKey {
        owner: call.owner(),
        user: None,
        spec,
        usage,
        origin,
        description: request.description.as_deref().unwrap_or_default().to_owned(),
        tags: key_tags,
        policy: request.policy.as_deref().map(str::to_owned),
    })
}

pub(super) fn describe(call: &mut Call, request: DescribeKeyRequest<'_>) -> Result<Body, Fault> {
    let key = call.key(&request.key_id)?;
    call.grant_tokens(&request.grant_tokens)?;
    call.require(&key, &Question::of("DescribeKey", &EncryptionContext::default()))?;
    let algorithms = Algorithms::of(&key.record);
    write(&DescribeKeyResponse { key_metadata: metadata(&call.kms, &key, &algorithms) })
}

pub(super) fn list(call: &mut Call, request: ListKeysRequest<'_>) -> Result<Body, Fault> {
    let limit = pages::limit(request.limit, 100, 1000);
    let start = pages::start(request.marker.as_deref())?;
    let store = call.kms.store();
    let table = store.table_of(&KEYS_OF, &crate::kms::owner_name(call.owner()));
    let page = store.snapshot()?.page(&table, start.as_ref(), limit)?;
    let arn =
        |id: &str| format!("arn:aws:kms:{}:{}:key/{id}", call.kms.region(), call.kms.account());
    let keys = page
        .records
        .iter()
        .map(|(id, _)| KeyListEntry { key_id: Cow::Borrowed(id), key_arn: Cow::Owned(arn(id)) });
    let next_marker = pages::marker(page.next.as_ref()).map(Cow::Owned);
    let truncated = next_marker.is_some();
    write(&ListKeysResponse { keys: keys.collect(), next_marker, truncated })
}

pub(super) fn enable(call: &mut Call, request: EnableKeyRequest<'_>) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let none = EncryptionContext::default();
        let permit = call.may_administer(&key, &Question::of("EnableKey", &none))?;
        let enabled = permit.enable().map_err(|state| Fault::of_state(&key.arn, state))?;
        Ok(change.put_key(&enabled)?)
    })?;
    write(&NoOutput)
}

pub(super) fn disable(call: &mut Call, request: DisableKeyRequest<'_>) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    let facts = [(UNUSED_DAYS, unused_days(call, &key)?)];
    call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let none = EncryptionContext::default();
        let question = Question::of("DisableKey", &none).with(&facts);
        let permit = call.may_administer(&key, &question)?;
        let disabled = permit.disable().map_err(|state| Fault::of_state(&key.arn, state))?;
        Ok(change.put_key(&disabled)?)
    })?;
    write(&NoOutput)
}

const UNUSED_DAYS: &str = "kms:trailingdayswithoutkeyusage";

/// Whole days since the key was used last, or since it was made if it never was.
fn unused_days(call: &Call, key: &KeyEntry) -> Result<FactValue<'static>, Fault> {
    let last = call.kms.last_use(key.record.id)?;
    let since = last.map_or(key.record.created, |last| UnixSeconds(last.at / 1000));
    let days = call.now().0.saturating_sub(since.0) / DAY_SECONDS;
    Ok(FactValue::Number(i64::try_from(days).unwrap_or(i64::MAX)))
}

pub(super) fn schedule_deletion(
    call: &mut Call,
    request: ScheduleKeyDeletionRequest<'_>,
) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    let days = request.pending_window_in_days.unwrap_or(PENDING_DAYS_DEFAULT);
    let window = u64::try_from(days).unwrap_or_default();
    // The model allows one day and more; the service takes no less than a week.
    if !(7..=30).contains(&days) {
        let message = format!("PendingWindowInDays must be between 7 and 30, not {days}.");
        return Err(Fault::validation(message));
    }
    call.note("pendingWindowInDays", Parameter::Number(window));
    let name = "kms:schedulekeydeletionpendingwindowindays";
    let facts =
        [(name, FactValue::Number(i64::from(days))), (UNUSED_DAYS, unused_days(call, &key)?)];
    let scheduled = call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let none = EncryptionContext::default();
        let question = Question::of("ScheduleKeyDeletion", &none).with(&facts);
        let permit = call.may_administer(&key, &question)?;
        let now = call.now();
        let erase_at = |days| UnixSeconds(now.0 + days * DAY_SECONDS);
        let of_state = |state| Fault::of_state(&key.arn, state);
        match change.ask_deletion(key.record.id, call.arn(), window)? {
            Asked::Alone(request) => {
                // One that cannot be scheduled waits for nobody.
                permit.doom(erase_at(window)).map_err(of_state)?;
                call.note("awaitsSecondPrincipal", Parameter::Flag(true));
                Ok(Scheduled::Awaits(request))
            }
            Asked::Agreed { first, days } => {
                let doomed = permit.doom(erase_at(days)).map_err(of_state)?;
                change.put_key(&doomed)?;
                if first != call.arn() {
                    call.note_text("firstPrincipal", &first);
                }
                Ok(Scheduled::At(erase_at(days), days, state(&doomed.state)))
            }
        }
    })?;
    let (erase_at, days, key_state) = match scheduled {
        Scheduled::At(erase_at, days, key_state) => (erase_at, days, key_state),
        Scheduled::Awaits(request) => return Err(awaits_second(&key.arn, &request)),
    };
    write(&ScheduleKeyDeletionResponse {
        key_id: Cow::Borrowed(&key.arn),
        deletion_date: Some(time(erase_at)),
        key_state,
        pending_window_in_days: i32::try_from(days).ok(),
    })
}

enum Scheduled {
    At(UnixSeconds, u64, kms::KeyState),
    Awaits(DeletionRequest),
}

/// Ours: AWS knows no dual control of this.
fn awaits_second(arn: &str, request: &DeletionRequest) -> Fault {
    let hours = DeletionRequest::SECONDS_MAX / 3600;
    Fault::new(
        KmsFault::AccessDenied,
        format!(
            "This cell is under dual control: {} has asked for the deletion of key {arn}, and it \
             is scheduled once another principal asks for it within {hours} hours.",
            request.by
        ),
    )
}

pub(super) fn cancel_deletion(
    call: &mut Call,
    request: CancelKeyDeletionRequest<'_>,
) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let none = EncryptionContext::default();
        let permit = call.may_administer(&key, &Question::of("CancelKeyDeletion", &none))?;
        if change.withdraw_deletion(key.record.id)? {
            return Ok(());
        }
        let pardoned = permit.pardon(call.now()).ok_or_else(|| {
            Fault::new(KmsFault::KmsInvalidState, messages::not_pending_deletion(&key.arn))
        })?;
        Ok(change.put_key(&pardoned)?)
    })?;
    write(&CancelKeyDeletionResponse { key_id: Cow::Borrowed(&key.arn) })
}

pub(super) fn update_description(
    call: &mut Call,
    request: UpdateKeyDescriptionRequest<'_>,
) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let none = EncryptionContext::default();
        let permit = call.may_administer(&key, &Question::of("UpdateKeyDescription", &none))?;
        not_doomed(&key)?;
        let changed = permit.describe(|said| *said.description = request.description.to_string());
        Ok(change.put_key(&changed)?)
    })?;
    write(&NoOutput)
}

/// What is said of a key can be changed until its end is set.
pub(super) fn not_doomed(key: &crate::kms::KeyEntry) -> Result<(), Fault> {
    match key.record.state {
        keys::KeyState::PendingDeletion(_) => {
            Err(Fault::new(KmsFault::KmsInvalidState, messages::pending_deletion(&key.arn)))
        }
        _ => Ok(()),
    }
}

pub(super) fn public_key(call: &mut Call, request: GetPublicKeyRequest<'_>) -> Result<Body, Fault> {
    let key = call.key(&request.key_id)?;
    call.grant_tokens(&request.grant_tokens)?;
    call.require(&key, &Question::of("GetPublicKey", &EncryptionContext::default()))?;
    let enabled = key.record.enabled().map_err(|state| Fault::of_state(&key.arn, state))?;
    let Some(public) = &enabled.materials().newest().public_key else {
        let symmetric = usage(key.record.usage());
        let message = messages::wrong_usage(&key.arn, symmetric, call.operation);
        return Err(match key.record.spec {
            KeySpec::SymmetricDefault => {
                Fault::unsupported("GetPublicKey is only supported on asymmetric KMS keys.")
            }
            _ => Fault::new(KmsFault::UnsupportedOperation, message),
        });
    };
    let algorithms = Algorithms::of(&key.record);
    write(&GetPublicKeyResponse {
        key_id: Cow::Borrowed(&key.arn),
        public_key: Cow::Borrowed(&public.0),
        customer_master_key_spec: kms::CustomerMasterKeySpec::from_name(key.record.spec.name()),
        key_spec: spec(key.record.spec),
        key_usage: usage(key.record.usage()),
        encryption_algorithms: algorithms.encryption.as_deref(),
        signing_algorithms: algorithms.signing.as_deref(),
        key_agreement_algorithms: algorithms.agreement.as_deref(),
        encapsulation_algorithms: algorithms.encapsulation.as_deref(),
    })
}

pub(super) fn last_usage(
    call: &mut Call,
    request: GetKeyLastUsageRequest<'_>,
) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.require(&key, &Question::of("GetKeyLastUsage", &EncryptionContext::default()))?;
    let last = call.kms.last_use(key.record.id)?;
    let data = last.as_ref().and_then(|last| {
        Some(KeyLastUsageData {
            operation: KeyLastUsageTrackingOperation::from_name(&last.operation)?,
            timestamp: Timestamp { unix_millis: i64::try_from(last.at).ok()? },
            cloud_trail_event_id: Some(Cow::Owned(last.event.to_string())),
            kms_request_id: Some(Cow::Owned(last.request.to_string())),
        })
    });
    write(&GetKeyLastUsageResponse {
        key_id: Cow::Borrowed(&key.arn),
        key_last_usage: data,
        tracking_start_date: time(key.record.created),
        key_creation_date: time(key.record.created),
    })
}
