//! Tags on keys.

use std::borrow::Cow;

use super::faults::{Faults, Path};
use super::member::Member;
use super::request::{request, shape};
use super::response::{NoOutput, object, response};
use super::rules;

request! {
    /// Asks for tags on a key.
    pub struct TagResourceRequest<'a>: TagResource -> NoOutput {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "Tags" tags: required Vec<Tag<'a>>;
    }
}

request! {
    /// Asks that tags go.
    pub struct UntagResourceRequest<'a>: UntagResource -> NoOutput {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "TagKeys" tag_keys: required Vec<Cow<'a, str>>, rules::TAG_KEYS;
    }
}

request! {
    /// Asks for the tags of a key.
    pub struct ListResourceTagsRequest<'a>: ListResourceTags -> ListResourceTagsResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "Limit" limit: optional i32, rules::LIMIT;
        "Marker" marker: optional Cow<'a, str>, rules::MARKER;
    }
}

response! {
    /// A page of them.
    pub struct ListResourceTagsResponse<'a> {
        "Tags" tags: Vec<Tag<'a>>;
        "NextMarker" next_marker: Option<Cow<'a, str>>;
        "Truncated" truncated: bool;
    }
}

shape! {
    /// One of them. Asked for and answered with.
    pub struct Tag<'a> {
        "TagKey" tag_key: required Cow<'a, str>, rules::TAG_KEY;
        "TagValue" tag_value: required Cow<'a, str>, rules::TAG_VALUE;
    }
}

object! {
    Tag<'a> {
        "TagKey" tag_key,
        "TagValue" tag_value,
    }
}

/// Unlike a list of names, its faults are named one by one.
impl<'a> Member<'a> for Vec<Tag<'a>> {
    type Raw = Vec<<Tag<'a> as Member<'a>>::Raw>;
    type Rule = ();

    fn check(
        raw: Self::Raw,
        rule: &(),
        at: Option<&Path<'_>>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let at = at?;
        let mut tags = Vec::with_capacity(raw.len());
        for (index, tag) in raw.into_iter().enumerate() {
            // To the last: the caller learns of all that is wrong.
            tags.extend(Tag::check(tag, rule, Some(&Path::element(at, index)), faults));
        }
        Some(tags)
    }
}
