//! Policies are parsed once, strictly: what a policy says and this program does not understand is
//! an error, since a Deny that silently means nothing is the worst of all outcomes.

use std::collections::BTreeMap;

use super::condition::{Condition, ValueFault};
use super::error::{Fault, Place, PolicyError};
use super::facts::{self, Key};
use super::json::{self, Json};
use super::operator::{Comparison, Operator};
use super::pattern::{ArnPattern, Incomplete, Pattern, Wildcards};
use super::principal::{ParsePrincipalError, Principal, Principals};
use super::{Dialect, Effect, Named, POLICY_BYTES_MAX, Policy, STATEMENTS_MAX, Sense, Statement};

/// Where a policy is attached decides what it must say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AttachedTo {
    Key,
    Identity,
}

type Object = BTreeMap<String, Json>;

pub(super) fn policy(text: &str, attached: AttachedTo) -> Result<Policy, PolicyError> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(PolicyError::TooLong(text.len()));
    }
    let is_allowed = |char: &char| matches!(char, '\t' | '\n' | '\r' | ' '..='\u{ff}');
    if let Some(other) = text.chars().find(|char| !is_allowed(char)) {
        return Err(PolicyError::Character(other));
    }
    let json = json::read(text).map_err(|error| PolicyError::Json(error.to_string()))?;
    let at_document = |fault| PolicyError::Malformed { place: Place::Document, fault };
    let (dialect, statements) = document(json).map_err(at_document)?;
    let mut parsed: Vec<Statement> = Vec::with_capacity(statements.len());
    let mut sids = Vec::new();
    for (index, json) in statements.into_iter().enumerate() {
        let sid = sid_of(&json);
        let at_statement = |fault| PolicyError::Malformed {
            place: Place::Statement { index, sid: sid.clone() },
            fault,
        };
        parsed.push(statement(json, attached, dialect).map_err(at_statement)?);
        // Only IAM itself wants them unique; AWS KMS does not say.
        if attached == AttachedTo::Identity
            && let Some(sid) = sid.as_ref().filter(|sid| !sid.is_empty())
        {
            if sids.contains(sid) {
                return Err(at_statement(Fault::SidTwice));
            }
            sids.push(sid.clone());
        }
    }
    Ok(Policy { statements: parsed.into() })
}

fn document(json: Json) -> Result<(Dialect, Vec<Json>), Fault> {
    let mut elements = object(json, "the policy")?;
    let dialect = match elements.remove("Version") {
        // AWS's default, in which `${…}` is text.
        None => Dialect::Plain,
        Some(version) => match text(version, "Version")?.as_str() {
            "2012-10-17" => Dialect::Variables,
            "2008-10-17" => Dialect::Plain,
            other => return Err(Fault::Version(other.to_owned())),
        },
    };
    if let Some(id) = elements.remove("Id") {
        text(id, "Id")?;
    }
    let statements = match elements.remove("Statement").ok_or(Fault::Missing("Statement"))? {
        Json::List(list) => list,
        one @ Json::Object(_) => vec![one],
        _ => return Err(shape("Statement", "an object or a list of objects")),
    };
    no_more(elements)?;
    match statements.len() {
        0 => Err(Fault::Empty("Statement".to_owned())),
        1..=STATEMENTS_MAX => Ok((dialect, statements)),
        count => Err(Fault::TooManyStatements(count)),
    }
}

fn sid_of(json: &Json) -> Option<String> {
    let Json::Object(elements) = json else { return None };
    match elements.get("Sid") {
        Some(Json::Text(sid)) => Some(sid.clone()),
        _ => None,
    }
}

fn statement(json: Json, attached: AttachedTo, dialect: Dialect) -> Result<Statement, Fault> {
    let mut elements = object(json, "a statement")?;
    if let Some(sid) = elements.remove("Sid") {
        text(sid, "Sid")?;
    }
    let effect = elements.remove("Effect").ok_or(Fault::Missing("Effect"))?;
    let effect = match text(effect, "Effect")?.as_str() {
        "Allow" => Effect::Allow,
        "Deny" => Effect::Deny,
        other => return Err(Fault::Effect(other.to_owned())),
    };
    let principals = principals(&mut elements, attached, effect)?;
    // Both are demanded of key policies too: AWS KMS once took statements without them, which then
    // had no effect, and refuses them since August 2025.
    let actions = named(&mut elements, ["Action", "NotAction"], |action| {
        if !is_action(action) {
            return Err(Fault::Action(action.to_owned()));
        }
        // No action has a dollar in its name, so there are no variables to read.
        Pattern::parse(action, Wildcards::Match, Dialect::Plain)
    })?;
    let resources = named(&mut elements, ["Resource", "NotResource"], |resource| {
        let pattern = ArnPattern::parse(resource, Incomplete::Completed, dialect)?;
        pattern.ok_or_else(|| Fault::Resource(resource.to_owned()))
    })?;
    let conditions = match elements.remove("Condition") {
        None => Vec::new(),
        Some(json) => conditions(json, attached, dialect)?,
    };
    no_more(elements)?;
    Ok(Statement { effect, principals, actions, resources, conditions })
}

fn principals(
    elements: &mut Object,
    attached: AttachedTo,
    effect: Effect,
) -> Result<Principals, Fault> {
    let (json, name) = match (elements.remove("Principal"), elements.remove("NotPrincipal")) {
        (Some(_), Some(_)) => return Err(Fault::Both("Principal", "NotPrincipal")),
        (Some(json), None) => (json, "Principal"),
        (None, Some(json)) => (json, "NotPrincipal"),
        (None, None) if attached == AttachedTo::Identity => return Ok(Principals::Bearer),
        (None, None) => return Err(Fault::Missing("Principal")),
    };
    if attached == AttachedTo::Identity {
        return Err(Fault::PrincipalInIdentityPolicy(name));
    }
    if name == "NotPrincipal" && effect == Effect::Allow {
        return Err(Fault::NotPrincipalAllows);
    }
    let mut everyone = json == Json::Text("*".to_owned());
    let mut principals = Vec::new();
    if !everyone {
        let kinds = object(json, name)?;
        if kinds.is_empty() {
            return Err(Fault::Empty(name.to_owned()));
        }
        for (kind, json) in kinds {
            let values = texts(json, &kind)?;
            match kind.as_str() {
                "AWS" => {
                    everyone |= values.iter().any(|value| value == "*");
                    let named = values.iter().filter(|value| *value != "*");
                    for value in named {
                        principals.push(Principal::parse(value).map_err(
                            |ParsePrincipalError { reason }| Fault::Principal {
                                text: value.clone(),
                                reason,
                            },
                        )?);
                    }
                }
                // Nobody here authenticates as one, so such a principal covers no caller.
                "Service" | "Federated" => {
                    if let Some(value) = values.iter().find(|value| value.contains(['*', '?'])) {
                        let reason = "no wildcards; name it";
                        return Err(Fault::Principal { text: value.clone(), reason });
                    }
                }
                other => return Err(Fault::UnknownElement(other.to_owned())),
            }
        }
    }
    Ok(match (name, everyone) {
        ("Principal", true) => Principals::Everyone,
        ("Principal", false) => Principals::Named(principals),
        // Everyone but everyone is nobody: such a Deny means nothing, and says so here.
        (_, true) => {
            let reason = "NotPrincipal that spares everyone denies nobody";
            return Err(Fault::Principal { text: "*".to_owned(), reason });
        }
        (_, false) => Principals::Not(principals),
    })
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
fn named<T>(
    elements: &mut Object,
    [name, not_name]: [&'static str; 2],
    parse: impl Fn(&str) -> Result<T, Fault>,
) -> Result<Named<T>, Fault> {
    let (sense, json, name) = match (elements.remove(name), elements.remove(not_name)) {
        (Some(_), Some(_)) => return Err(Fault::Both(name, not_name)),
        (Some(json), None) => (Sense::Positive, json, name),
        (None, Some(json)) => (Sense::Negated, json, not_name),
        (None, None) => return Err(Fault::Missing(name)),
    };
    let patterns =
        texts(json, name)?.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
    Ok(Named { sense, patterns: patterns.into() })
}

fn is_action(text: &str) -> bool {
    let is_word = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_*?".contains(&byte))
    };
    text == "*"
        || text.split_once(':').is_some_and(|(service, name)| is_word(service) && is_word(name))
}

fn conditions(json: Json, attached: AttachedTo, dialect: Dialect) -> Result<Vec<Condition>, Fault> {
    let mut conditions = Vec::new();
    for (operator_name, json) in object(json, "Condition")? {
        let Some(operator) = Operator::parse(&operator_name) else {
            return Err(Fault::UnknownOperator(operator_name));
        };
        if operator.comparison == Comparison::Null && !operator.is_plain() {
            return Err(Fault::NullAlone(operator_name));
        }
        let keys = object(json, &operator_name)?;
        if keys.is_empty() {
            return Err(Fault::Empty(operator_name));
        }
        for (name, json) in keys {
            let key = condition_key(&name, attached)?;
            let values = texts(json, &name)?;
            let condition = Condition::new(operator, key, &values, dialect);
            conditions.push(condition.map_err(|fault| match fault {
                ValueFault::Other(fault) => fault,
                ValueFault::Expected { value, expected } => Fault::Value {
                    operator: operator_name.clone(),
                    key: name.clone(),
                    value: value.to_owned(),
                    expected,
                },
            })?);
        }
    }
    Ok(conditions)
}

fn condition_key(name: &str, attached: AttachedTo) -> Result<Key, Fault> {
    let key = facts::canonical(name).ok_or_else(|| Fault::ConditionKey(name.to_owned()))?;
    if !facts::is_known(&key) {
        return Err(Fault::UnknownConditionKey(name.to_owned()));
    }
    // One key's own policy has no use for what tells keys apart, and AWS KMS refuses it there.
    if attached == AttachedTo::Key
        && (key == "kms:resourcealiases" || key.starts_with("aws:resourcetag/"))
    {
        return Err(Fault::IdentityOnlyConditionKey(name.to_owned()));
    }
    Ok(Key::of_canonical(key))
}

fn object(json: Json, element: &str) -> Result<Object, Fault> {
    match json {
        Json::Object(object) => Ok(object),
        _ => Err(shape(element, "an object")),
    }
}

fn text(json: Json, element: &str) -> Result<String, Fault> {
    match json {
        Json::Text(text) => Ok(text),
        _ => Err(shape(element, "a string")),
    }
}

/// A string or a list of strings, which may not be empty.
fn texts(json: Json, element: &str) -> Result<Vec<String>, Fault> {
    let texts = match json {
        Json::Text(text) => vec![text],
        Json::List(list) => {
            let of_strings = "a string or a list of strings";
            let item = |json| text(json, element).map_err(|_| shape(element, of_strings));
            list.into_iter().map(item).collect::<Result<_, _>>()?
        }
        _ => return Err(shape(element, "a string or a list of strings")),
    };
    if texts.is_empty() { Err(Fault::Empty(element.to_owned())) } else { Ok(texts) }
}

fn no_more(elements: Object) -> Result<(), Fault> {
    match elements.into_keys().next() {
        None => Ok(()),
        Some(name) => Err(Fault::UnknownElement(name)),
    }
}

fn shape(element: &str, expected: &'static str) -> Fault {
    Fault::Shape { element: element.to_owned(), expected }
}
