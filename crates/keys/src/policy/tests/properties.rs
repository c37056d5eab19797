use proptest::prelude::*;

use super::super::budget::Budget;
use super::super::facts::{FactValue, Many, Scope};
use super::super::pattern::{Case, Pattern, Truth, Wildcards};
use super::super::{Dialect, PATTERN_BYTES_MAX};
use super::*;

/// The matcher of `*` and `?` as its definition reads, exponential time and all.
fn reference(pattern: &[char], value: &[char]) -> bool {
    match (pattern.split_first(), value.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some(('*', rest)), _) => {
            reference(rest, value)
                || value.split_first().is_some_and(|(_, value)| reference(pattern, value))
        }
        (Some(('?', rest)), Some((_, value))) => reference(rest, value),
        (Some((char, rest)), Some((other, value))) => char == other && reference(rest, value),
        (Some(_), None) => false,
    }
}

fn matches(pattern: &str, value: &str, case: Case) -> bool {
    let pattern = Pattern::parse(pattern, Wildcards::Match, Dialect::Plain).unwrap();
    let (caller, budget) = (user("ann"), Budget::full());
    let scope = Scope { caller: &caller, facts: &NoFacts, budget: &budget };
    pattern.matches(value, case, &scope) == Truth::Yes
}

/// An exponential matcher would not return within the age of the universe, and one of the cube of
/// the lengths not within a test's patience.
#[test]
fn no_pattern_makes_the_matcher_slow() {
    let value = "a".repeat(8192);
    for pattern in [
        format!("{}b", "*a".repeat(PATTERN_BYTES_MAX / 2 - 1)),
        format!("{}b", "*?".repeat(PATTERN_BYTES_MAX / 2 - 1)),
        format!("*{}b", "a".repeat(PATTERN_BYTES_MAX - 2)),
        format!("*{}b*", "a".repeat(PATTERN_BYTES_MAX - 3)),
        format!("*{}?b*", "a".repeat(PATTERN_BYTES_MAX - 4)),
        format!("*{}b", "?".repeat(PATTERN_BYTES_MAX - 2)),
    ] {
        assert!(!matches(&pattern, &value, Case::Matters));
        assert!(!matches(&pattern, &value, Case::Ignored));
    }
}

fn statement() -> impl Strategy<Value = String> {
    let principal = prop::sample::select(vec![
        r#""Principal":"*""#,
        r#""Principal":{"AWS":"111122223333"}"#,
        r#""Principal":{"AWS":"444455556666"}"#,
        r#""Principal":{"AWS":["arn:aws:iam::111122223333:user/ann"]}"#,
        r#""Principal":{"AWS":"arn:aws:iam::111122223333:role/web"}"#,
        r#""Principal":{"AWS":"spiffe://shop.example/a","Service":"s3.amazonaws.com"}"#,
    ]);
    let action = prop::sample::select(vec![
        r#""Action":"kms:*""#,
        r#""Action":["kms:Encrypt","kms:Decrypt"]"#,
        r#""NotAction":"kms:Encrypt""#,
        r#""Action":"kms:D*""#,
    ]);
    let resource = prop::sample::select(vec![
        r#""Resource":"*""#,
        r#""Resource":"arn:aws:kms:*:111122223333:key/*""#,
        r#""NotResource":"arn:aws:kms:*:*:key/0*""#,
        r#""Resource":"arn:aws:kms:*:*:key/${aws:userid}""#,
    ]);
    let operator = prop::sample::select(vec![
        "StringEquals",
        "StringNotEquals",
        "StringLike",
        "StringNotLikeIfExists",
        "NumericLessThan",
        "NumericNotEquals",
        "ForAllValues:StringEquals",
        "ForAnyValue:StringNotEquals",
        "DateLessThan",
    ]);
    let value = prop::sample::select(vec!["\"1\"", "[\"1\",\"2022\"]", "\"2024\""]);
    let condition = prop::option::of((operator, value).prop_map(|(operator, value)| {
        format!(r#","Condition":{{"{operator}":{{"kms:ViaService":{value}}}}}"#)
    }));
    let effect = prop::sample::select(vec!["Allow", "Deny"]);
    (effect, principal, action, resource, condition).prop_map(
        |(effect, principal, action, resource, condition)| {
            let condition = condition.unwrap_or_default();
            format!(r#"{{"Effect":"{effect}",{principal},{action},{resource}{condition}}}"#)
        },
    )
}

fn principal() -> impl Strategy<Value = Caller> {
    prop::sample::select(vec![
        user("ann"),
        user("bob"),
        user_of(OTHER, "ann"),
        root_of(ACCOUNT),
        session("web"),
        workload("a"),
    ])
}

fn fact() -> impl Strategy<Value = FactValue<'static>> {
    prop::sample::select(vec![
        FactValue::Absent,
        FactValue::One("1"),
        FactValue::One("x"),
        FactValue::One(""),
        FactValue::Number(1),
        FactValue::Many(Many::Texts(&["1", "x"])),
        FactValue::Many(Many::Texts(&[])),
        FactValue::Bytes(&[0xff]),
        FactValue::Unreadable,
    ])
}

fn request() -> impl Strategy<Value = (Caller, &'static str, FactValue<'static>)> {
    let action = prop::sample::select(vec!["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"]);
    (principal(), action, fact())
}

/// The verdict, without which statement it was.
fn verdict(
    statements: &[String],
    (caller, action, fact): &(Caller, &'static str, FactValue<'static>),
) -> Verdict {
    let facts = [("kms:viaservice", *fact)];
    match evaluate(&policy(&statements.join(",")), caller, action, &Given(&facts)) {
        Verdict::ExplicitDeny { .. } => Verdict::ExplicitDeny { statement: 0 },
        Verdict::Allow { direct, .. } => Verdict::Allow { statement: 0, direct },
        Verdict::Silent => Verdict::Silent,
    }
}

proptest! {
    #[test]
    fn the_matcher_is_the_reference(pattern in "[ab?*é]{0,9}", value in "[abé]{0,12}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let expected = reference(&chars(&pattern), &chars(&value));
        prop_assert_eq!(matches(&pattern, &value, Case::Matters), expected);
        prop_assert_eq!(matches(&pattern.to_ascii_uppercase(), &value, Case::Ignored), expected);
    }

    #[test]
    fn a_variable_matches_as_its_text_does(before in "[a*?]{0,4}", name in "[ab]{1,3}", after in "[b*?]{0,4}", value in "[ab]{0,8}") {
        let (caller, budget) = (user(&name), Budget::full());
        let scope = Scope { caller: &caller, facts: &NoFacts, budget: &budget };
        let text = format!("{before}${{aws:username}}{after}");
        let pattern = Pattern::parse(&text, Wildcards::Match, Dialect::Variables).unwrap();
        let expected = matches(&format!("{before}{name}{after}"), &value, Case::Matters);
        prop_assert_eq!(pattern.matches(&value, Case::Matters, &scope), Truth::of(expected));
    }

    #[test]
    fn a_deny_wins_whatever_is_added(
        statements in prop::collection::vec(statement(), 1..5),
        added in statement(),
        request in request(),
    ) {
        let denied = Verdict::ExplicitDeny { statement: 0 };
        if verdict(&statements, &request) == denied {
            let more = [&statements[..], &[added]].concat();
            prop_assert_eq!(verdict(&more, &request), denied);
        }
    }

    #[test]
    fn an_added_allow_refuses_nothing(
        statements in prop::collection::vec(statement(), 1..5),
        added in statement(),
        request in request(),
    ) {
        let before = verdict(&statements, &request);
        let added = added.replace("Deny", "Allow");
        let after = verdict(&[&statements[..], &[added]].concat(), &request);
        let is_allow = matches!(after, Verdict::Allow { .. });
        let is_deny = matches!(after, Verdict::ExplicitDeny { .. });
        match before {
            Verdict::Allow { direct: true, .. } => prop_assert_eq!(after, before),
            Verdict::Allow { .. } => prop_assert!(is_allow, "{:?}", after),
            Verdict::ExplicitDeny { .. } => prop_assert_eq!(after, before),
            Verdict::Silent => prop_assert!(!is_deny, "{:?}", after),
        }
    }

    #[test]
    fn the_order_of_statements_means_nothing(
        statements in prop::collection::vec(statement(), 1..6),
        shuffled in prop::collection::vec(any::<u8>(), 6),
        request in request(),
    ) {
        let mut order: Vec<_> = statements.iter().cloned().zip(shuffled).collect();
        order.sort_by_key(|(_, at)| *at);
        let other: Vec<_> = order.into_iter().map(|(statement, _)| statement).collect();
        prop_assert_eq!(verdict(&statements, &request), verdict(&other, &request));
    }

    #[test]
    fn parsing_any_text_does_not_panic(text in any::<String>()) {
        let _ = (Policy::parse(&text), Policy::parse_identity(&text));
    }

    #[test]
    fn parsing_any_bytes_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Policy::parse(&String::from_utf8_lossy(&bytes));
    }

    /// A policy with one character replaced is refused, or evaluates without panic.
    #[test]
    fn what_parses_evaluates(
        statements in prop::collection::vec(statement(), 1..4),
        at in any::<prop::sample::Index>(),
        put in "[\\x20-\\x7e]|[*?$\\{\\}\\[\\]:\",]|\\PC",
        request in request(),
    ) {
        let mut chars: Vec<String> =
            document(&statements.join(",")).chars().map(String::from).collect();
        let at = at.index(chars.len());
        chars[at] = put;
        if let Ok(policy) = Policy::parse(&chars.concat()) {
            let (caller, action, fact) = &request;
            let facts = [("kms:viaservice", *fact)];
            let _ = evaluate(&policy, caller, action, &Given(&facts));
        }
    }

    /// Arbitrary JSON in the places where a statement has values.
    #[test]
    fn arbitrary_values_do_not_panic(
        value in "\\PC{0,20}",
        element in prop::sample::select(vec!["Action", "Resource", "NotResource", "StringLike", "ArnLike", "StringEqualsIgnoreCase", "NumericEquals", "DateEquals", "IpAddress", "AWS"]),
        request in request(),
    ) {
        let value = serde_json::to_string(&value).unwrap();
        let pick = |name: &str, usual: &str| if element == name { value.clone() } else { usual.to_owned() };
        let resource = if element == "NotResource" { "NotResource" } else { "Resource" };
        let resource_value = if element.ends_with("Resource") { value.clone() } else { "\"*\"".to_owned() };
        let operator = match element {
            "Action" | "Resource" | "NotResource" | "AWS" => "StringEquals",
            operator => operator,
        };
        let condition_value = pick(operator, "\"1\"");
        let statement = format!(
            r#"{{"Effect":"Deny","Principal":{{"AWS":{}}},"Action":{},"{resource}":{resource_value},
                "Condition":{{"{operator}":{{"kms:ViaService":{condition_value}}}}}}}"#,
            pick("AWS", "\"*\""),
            pick("Action", "\"*\""),
        );
        if let Ok(policy) = Policy::parse(&document(&statement)) {
            let (caller, action, fact) = &request;
            let facts = [("kms:viaservice", *fact)];
            let _ = evaluate(&policy, caller, action, &Given(&facts));
        }
    }
}
