//! What policy conditions can ask about a request.

use keys::policy::facts::{FactValue, Facts, Many};

use super::call::{Call, Question, Who};
use crate::kms::KeyEntry;

/// Answered one by one as they are asked for: a request builds no map of them.
pub(super) struct RequestFacts<'r> {
    pub(super) call: &'r Call,
    /// `None` for operations on no key.
    pub(super) key: Option<&'r KeyEntry>,
    pub(super) question: &'r Question<'r>,
}

impl Facts for RequestFacts<'_> {
    fn get<'f>(&'f self, key: &'f str) -> FactValue<'f> {
        if let Some(value) = FactValue::of_context(key, self.question.context) {
            return value;
        }
        if let Some((_, value)) = self.question.facts.iter().find(|(name, _)| *name == key) {
            return *value;
        }
        if let Some(tag) = key.strip_prefix("aws:requesttag/") {
            let same = |(name, _): &&(&str, &str)| name.eq_ignore_ascii_case(tag);
            let found = self.question.request_tags.iter().find(same);
            return found.map_or(FactValue::Absent, |(_, value)| FactValue::One(value));
        }
        self.of_call(key).or_else(|| self.of_key(key)).unwrap_or(FactValue::Absent)
    }
}

impl RequestFacts<'_> {
    fn of_call<'f>(&'f self, key: &str) -> Option<FactValue<'f>> {
        let call = self.call;
        Some(match key {
            "aws:sourceip" => FactValue::Ip(call.source),
            "aws:securetransport" => FactValue::Bool(call.secure),
            "aws:currenttime" | "aws:epochtime" => FactValue::Time(call.now()),
            "aws:requestedregion" => FactValue::One(call.kms.region()),
            "aws:principalisawsservice" => FactValue::Bool(false),
            "aws:useragent" => match &call.user_agent {
                Some(agent) => FactValue::One(agent),
                None => FactValue::Absent,
            },
            "aws:userid" => match &call.who {
                Who::AccessKey(credential) => FactValue::One(&credential.user_id),
                Who::Workload(_) => FactValue::Absent,
            },
            "kms:requestalias" => match &call.alias {
                Some(alias) => FactValue::One(alias),
                None => FactValue::Absent,
            },
            _ => return None,
        })
    }

    fn of_key<'f>(&'f self, key: &str) -> Option<FactValue<'f>> {
        let record = &self.key?.record;
        if let Some(tag) = key.strip_prefix("aws:resourcetag/") {
            let found = record.tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(tag));
            return Some(found.map_or(FactValue::Absent, |(_, value)| FactValue::One(value)));
        }
        Some(match key {
            "kms:keyspec" | "kms:customermasterkeyspec" => FactValue::One(record.spec.name()),
            "kms:keyusage" | "kms:customermasterkeyusage" => FactValue::One(record.usage().name()),
            "kms:keyorigin" => FactValue::One(match record.origin {
                keys::Origin::Kms => "AWS_KMS",
                keys::Origin::External => "EXTERNAL",
            }),
            "kms:multiregion" => FactValue::Bool(false),
            "kms:resourcealiases" => FactValue::Many(Many::Strings(&record.aliases)),
            _ => return None,
        })
    }
}
