//! Tags on keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use keys::EncryptionContext;
use keys::policy::facts::{FactValue, Many};
use wire::kms::{
    KmsFault, ListResourceTagsRequest, ListResourceTagsResponse, NoOutput, Tag, TagResourceRequest,
    UntagResourceRequest, messages,
};

use super::keys::not_doomed;
use super::{Body, Fault, pages, write};
use crate::kms_api::call::{Call, Question};

/// As AWS has it.
const TAGS_MAX: usize = 50;

pub(super) fn tag(call: &mut Call, request: TagResourceRequest<'_>) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let names: Vec<&str> = request.tags.iter().map(|tag| &*tag.tag_key).collect();
        let facts = [("aws:tagkeys", FactValue::Many(Many::Texts(&names)))];
        let pairs: Vec<_> =
            request.tags.iter().map(|tag| (&*tag.tag_key, &*tag.tag_value)).collect();
        let none = EncryptionContext::default();
        let question = Question::of("TagResource", &none).with(&facts);
        let question = Question { request_tags: &pairs, ..question };
        let permit = call.may_administer(&key, &question)?;
        not_doomed(&key)?;
        let mut tags = key.record.tags.clone();
        add(&mut tags, &request.tags)?;
        let changed = permit.describe(|said| *said.tags = tags);
        Ok(change.put_key(&changed)?)
    })?;
    write(&NoOutput)
}

pub(super) fn untag(call: &mut Call, request: UntagResourceRequest<'_>) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.change(|call, change| {
        let key = change.key(key.record.id)?;
        let names: Vec<&str> = request.tag_keys.iter().map(|name| &**name).collect();
        let facts = [("aws:tagkeys", FactValue::Many(Many::Texts(&names)))];
        let none = EncryptionContext::default();
        let question = Question::of("UntagResource", &none).with(&facts);
        let permit = call.may_administer(&key, &question)?;
        not_doomed(&key)?;
        let changed = permit.describe(|said| said.tags.retain(|name, _| !names.contains(&&**name)));
        Ok(change.put_key(&changed)?)
    })?;
    write(&NoOutput)
}

pub(super) fn list(call: &mut Call, request: ListResourceTagsRequest<'_>) -> Result<Body, Fault> {
    let key = call.key_by_id(&request.key_id)?;
    call.require(&key, &Question::of("ListResourceTags", &EncryptionContext::default()))?;
    let all: Vec<(&String, &String)> = key.record.tags.iter().collect();
    let limit = pages::limit(request.limit, 50, 50);
    let name = |(name, _): &(&String, &String)| (*name).clone();
    let (page, next) = pages::of_slice(&all, name, request.marker.as_deref(), limit)?;
    let tags = page.iter().map(|(name, value)| Tag {
        tag_key: Cow::Borrowed(name.as_str()),
        tag_value: Cow::Borrowed(value.as_str()),
    });
    let truncated = next.is_some();
    let next_marker = next.map(Cow::Owned);
    write(&ListResourceTagsResponse { tags: tags.collect(), next_marker, truncated })
}

/// Puts `new` tags to what there is.
pub(super) fn add(tags: &mut BTreeMap<String, String>, new: &[Tag<'_>]) -> Result<(), Fault> {
    let mut seen = std::collections::BTreeSet::new();
    for tag in new {
        if !seen.insert(&*tag.tag_key) {
            return Err(Fault::new(KmsFault::Tag, messages::TAG_TWICE));
        }
        let reserved = tag.tag_key.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("aws:"));
        if reserved {
            return Err(Fault::new(KmsFault::Tag, messages::TAG_RESERVED));
        }
        tags.insert(tag.tag_key.to_string(), tag.tag_value.to_string());
    }
    if tags.len() > TAGS_MAX {
        return Err(Fault::new(KmsFault::Tag, messages::TAGS_TOO_MANY));
    }
    Ok(())
}
