use std::net::IpAddr;

use super::super::facts::{FactValue, Many};
use super::*;
use crate::{EncryptionContext, UnixSeconds};
use FactValue::{Absent, Bool, Bytes, Ip, Number, One, Time, Unreadable};

const KEY_NAME: &str = "kms:ViaService";

/// Whether a statement with this condition applies, as Allow and as Deny.
fn met(operator: &str, key: &str, values: &str, facts: &dyn Facts) -> (bool, bool) {
    let applies = |effect: &str| {
        let statement = format!(
            r#"{{"Effect":"{effect}","Principal":"*","Action":"*","Resource":"*",
                "Condition":{{"{operator}":{{"{key}":{values}}}}}}}"#
        );
        encrypt_given(&policy(&statement), facts) != Verdict::Silent
    };
    (applies("Allow"), applies("Deny"))
}

fn encrypt_given(policy: &Policy, facts: &dyn Facts) -> Verdict {
    evaluate(policy, &user("ann"), "kms:Encrypt", facts)
}

/// Met in either effect, in neither, or undecided: met in a Deny only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expected {
    Met,
    Unmet,
    AgainstCaller,
}
use Expected::{AgainstCaller, Met, Unmet};

fn check(operator: &str, values: &str, fact: FactValue<'_>, expected: Expected) {
    let facts = [("kms:viaservice", fact)];
    let expected = match expected {
        Met => (true, true),
        Unmet => (false, false),
        AgainstCaller => (false, true),
    };
    let got = met(operator, KEY_NAME, values, &Given(&facts));
    assert_eq!(got, expected, "(Allow, Deny) of {operator} {values} on {fact:?}");
}

#[test]
fn strings() {
    for (operator, values, fact, expected) in [
        ("StringEquals", r#""a""#, One("a"), Met),
        ("stringequals", r#""a""#, One("a"), Met),
        ("StringEquals", r#"["b","a"]"#, One("a"), Met),
        ("StringEquals", r#""a""#, One("A"), Unmet),
        ("StringEquals", r#""a""#, One("ab"), Unmet),
        ("StringEquals", r#""a""#, One(""), Unmet),
        ("StringEquals", r#""""#, One(""), Met),
        ("StringEquals", r#""a*""#, One("ab"), Unmet),
        ("StringEquals", r#""a*""#, One("a*"), Met),
        ("StringEquals", "7", Number(7), Met),
        ("StringEquals", "-7", Number(-7), Met),
        ("StringEquals", "true", Bool(true), Met),
        ("StringEquals", r#""10.0.0.1""#, Ip("::ffff:10.0.0.1".parse().unwrap()), Met),
        ("StringEquals", r#""a""#, Absent, Unmet),
        ("StringNotEquals", r#""a""#, One("a"), Unmet),
        ("StringNotEquals", r#""a""#, One("b"), Met),
        ("StringNotEquals", r#"["a","b"]"#, One("b"), Unmet),
        ("StringNotEquals", r#""a""#, Absent, Met),
        ("StringEqualsIgnoreCase", r#""aÉ""#, One("Aé"), Met),
        ("StringEqualsIgnoreCase", r#""a""#, One("b"), Unmet),
        ("StringEqualsIgnoreCase", r#""a""#, One("ab"), Unmet),
        ("StringNotEqualsIgnoreCase", r#""a""#, One("A"), Unmet),
        ("StringNotEqualsIgnoreCase", r#""a""#, One("b"), Met),
        ("StringLike", r#""a*""#, One("abc"), Met),
        ("StringLike", r#""a?c""#, One("aéc"), Met),
        ("StringLike", r#""a?c""#, One("ac"), Unmet),
        ("StringLike", r#""*.s3.?s-*-1.*""#, One("x.s3.us-east-1.aws"), Met),
        ("StringLike", r#""A*""#, One("abc"), Unmet),
        ("StringLike", r#""*""#, One(""), Met),
        ("StringLike", r#""*""#, Absent, Unmet),
        ("StringLike", r#""${*}""#, One("*"), Met),
        ("StringLike", r#""${*}""#, One("x"), Unmet),
        ("StringLike", r#""${?}${$}{""#, One("?${"), Met),
        ("StringNotLike", r#"["a*","b*"]"#, One("c"), Met),
        ("StringNotLike", r#"["a*","b*"]"#, One("bc"), Unmet),
        ("StringNotLike", r#""*""#, Absent, Met),
    ] {
        check(operator, values, fact, expected);
    }
}

#[test]
fn numbers_dates_and_booleans() {
    let noon = Time(UnixSeconds(1_372_593_600));
    for (operator, values, fact, expected) in [
        ("NumericEquals", r#""7.0""#, One("7"), Met),
        ("NumericEquals", "7", Number(7), Met),
        ("NumericEquals", "7", Number(8), Unmet),
        ("NumericEquals", r#"[6,"7"]"#, Number(7), Met),
        ("NumericNotEquals", "7", Number(7), Unmet),
        ("NumericNotEquals", "7", Number(8), Met),
        ("NumericNotEquals", "7", Absent, Met),
        ("NumericLessThan", "7", Number(6), Met),
        ("NumericLessThan", "7", Number(7), Unmet),
        ("NumericLessThan", "7", Absent, Unmet),
        ("NumericLessThanEquals", "7", Number(7), Met),
        ("NumericGreaterThan", "7", Number(7), Unmet),
        ("NumericGreaterThan", "-7.5", One("-7.25"), Met),
        ("NumericGreaterThanEquals", "7", Number(7), Met),
        ("DateEquals", r#""2013-06-30T12:00:00Z""#, noon, Met),
        ("DateEquals", "1372593600", noon, Met),
        ("DateEquals", r#""2013-06-30T14:00+02:00""#, One("2013-06-30T12:00Z"), Met),
        ("DateNotEquals", r#""2013-06-30""#, noon, Met),
        ("DateNotEquals", r#""2013-06-30""#, Absent, Met),
        ("DateLessThan", r#""2013-06-30T12:00:01Z""#, noon, Met),
        ("DateLessThan", r#""2013-06-30T12:00:00Z""#, noon, Unmet),
        ("DateLessThanEquals", r#""2013-06-30T12:00:00Z""#, noon, Met),
        ("DateGreaterThan", r#""2013-06-30""#, noon, Met),
        ("DateGreaterThan", r#""2014""#, noon, Unmet),
        ("DateGreaterThanEquals", r#""2013-06-30T12:00:00Z""#, noon, Met),
        ("Bool", "true", Bool(true), Met),
        ("Bool", r#""True""#, One("TRUE"), Met),
        ("Bool", r#""false""#, Bool(true), Unmet),
        ("Bool", r#""false""#, Absent, Unmet),
        ("BoolIfExists", r#""true""#, Absent, Met),
        ("BoolIfExists", r#""true""#, Bool(false), Unmet),
    ] {
        check(operator, values, fact, expected);
    }
}

#[test]
fn addresses_arns_and_bytes() {
    let ip = |text: &str| Ip(text.parse::<IpAddr>().unwrap());
    let role = "arn:aws:iam::111122223333:role/app/web";
    for (operator, values, fact, expected) in [
        ("IpAddress", r#""10.0.0.0/8""#, One("10.1.2.3"), Met),
        ("IpAddress", r#""10.0.0.0/8""#, ip("::ffff:10.1.2.3"), Met),
        ("IpAddress", r#"["192.0.2.1","2001:db8::/32"]"#, ip("2001:db8::5"), Met),
        ("IpAddress", r#""10.0.0.0/8""#, ip("11.1.2.3"), Unmet),
        ("IpAddress", r#""10.0.0.0/8""#, Absent, Unmet),
        ("NotIpAddress", r#""10.0.0.0/8""#, ip("::ffff:10.1.2.3"), Unmet),
        ("NotIpAddress", r#""10.0.0.0/8""#, One("11.1.2.3"), Met),
        ("NotIpAddress", r#""10.0.0.0/8""#, Absent, Met),
        ("ArnLike", r#""arn:aws:iam::*:role/app/*""#, One(role), Met),
        ("ArnEquals", r#""arn:aws:iam::*:role/app/*""#, One(role), Met),
        ("ArnLike", r#""arn:aws:iam::111122223333:role/app""#, One(role), Unmet),
        // A wildcard stays in its part.
        ("ArnLike", r#""arn:*:role/app/web:*:*:*""#, One(role), Unmet),
        ("ArnLike", r#""arn:aws:iam:*:*:role/app/web""#, One(role), Met),
        ("ArnLike", r#""*""#, One(role), Met),
        ("ArnLike", r#""arn:aws:sns:*:*:a:b""#, One("arn:aws:sns:r:1:a:b"), Met),
        ("ArnLike", r#""arn:aws:iam::*:role/*""#, One("no ARN"), Unmet),
        ("ArnLike", r#""spiffe://shop.example/ns/*""#, One("spiffe://shop.example/ns/x"), Met),
        ("ArnLike", r#""spiffe://shop.example/ns/*""#, One(role), Unmet),
        ("ArnNotLike", r#""arn:aws:iam::*:role/app/*""#, One(role), Unmet),
        ("ArnNotEquals", r#""arn:aws:iam::*:role/b""#, One(role), Met),
        ("ArnNotEquals", r#""arn:aws:iam::*:role/b""#, Absent, Met),
        ("BinaryEquals", r#""QmluYXJ5""#, Bytes(b"Binary"), Met),
        ("BinaryEquals", r#""QmluYXJ5""#, One("Binary"), Met),
        ("BinaryEquals", r#""QmluYXJ5""#, Bytes(b"binary"), Unmet),
        ("Null", "true", Absent, Met),
        ("Null", "true", One(""), Unmet),
        ("Null", "false", One("x"), Met),
        ("Null", "false", Absent, Unmet),
        ("Null", "true", FactValue::Many(Many::Texts(&[])), Met),
        ("Null", "false", Unreadable, Met),
        ("Null", "true", Unreadable, Unmet),
    ] {
        check(operator, values, fact, expected);
    }
}

#[test]
fn if_exists_passes_what_is_absent_and_nothing_else() {
    for operator in ["StringEquals", "StringNotEquals", "StringLike", "StringEqualsIgnoreCase"] {
        check(&format!("{operator}IfExists"), r#""a""#, Absent, Met);
    }
    check("StringEqualsIfExists", r#""a""#, One("b"), Unmet);
    check("StringNotEqualsIfExists", r#""a""#, One("a"), Unmet);
    check("NumericLessThanIfExists", "5", Absent, Met);
    check("NumericLessThanIfExists", "5", Number(5), Unmet);
    check("ArnLikeIfExists", r#""arn:a:b:c:d:e""#, Absent, Met);
    check("IpAddressIfExists", r#""10.0.0.0/8""#, One("11.0.0.0"), Unmet);
    check("DateGreaterThanIfExists", r#""2024""#, Absent, Met);
}

#[test]
fn set_operators() {
    let many = |texts| FactValue::Many(Many::Texts(texts));
    const AB: &str = r#"["a","b"]"#;
    for (operator, fact, expected) in [
        ("ForAllValues:StringEquals", many(&["a", "b"]), Met),
        ("ForAllValues:StringEquals", many(&["a", "c"]), Unmet),
        ("ForAllValues:StringEquals", many(&[]), Met),
        ("ForAllValues:StringEquals", Absent, Met),
        ("ForAllValues:StringEquals", One("a"), Met),
        ("ForAllValues:StringEquals", One("c"), Unmet),
        ("ForAllValues:StringNotEquals", many(&["c", "d"]), Met),
        ("ForAllValues:StringNotEquals", many(&["c", "a"]), Unmet),
        ("ForAllValues:StringNotEquals", Absent, Met),
        ("ForAllValues:StringEqualsIfExists", Absent, Met),
        ("ForAnyValue:StringEquals", many(&["c", "b"]), Met),
        ("ForAnyValue:StringEquals", many(&["c"]), Unmet),
        ("ForAnyValue:StringEquals", many(&[]), Unmet),
        ("ForAnyValue:StringEquals", Absent, Unmet),
        ("ForAnyValue:StringNotEquals", many(&["a", "c"]), Met),
        ("ForAnyValue:StringNotEquals", many(&["a", "b"]), Unmet),
        ("ForAnyValue:StringNotEquals", Absent, Unmet),
        ("ForAnyValue:StringEqualsIfExists", Absent, AgainstCaller),
        ("foranyvalue:stringlike", many(&["c", "b"]), Met),
    ] {
        check(operator, AB, fact, expected);
    }
}

/// A plain operator on several values: any of them for a Deny, all of them for an Allow.
#[test]
fn several_values_where_one_is_expected_go_against_the_caller() {
    let mixed = FactValue::Many(Many::Texts(&["a", "evil"]));
    let mine = FactValue::Many(Many::Texts(&["a", "a"]));
    check("StringEquals", r#""a""#, mixed, AgainstCaller);
    check("StringNotEquals", r#""a""#, mixed, AgainstCaller);
    check("StringEquals", r#""a""#, mine, Met);
    check("StringNotEquals", r#""a""#, mine, Unmet);
    check("StringEquals", r#""a""#, FactValue::Many(Many::Texts(&[])), Unmet);
    check("StringNotEquals", r#""a""#, FactValue::Many(Many::Texts(&[])), Met);
    check("ForAllValues:NumericLessThan", "5", FactValue::Many(Many::Texts(&["x"])), AgainstCaller);
    check("ForAnyValue:NumericLessThan", "5", FactValue::Many(Many::Texts(&["x", "4"])), Met);
    check("ForAllValues:NumericLessThan", "5", FactValue::Many(Many::Texts(&["x", "6"])), Unmet);
}

/// Every operator, plain and negated: no unreadable value makes a Deny miss or an Allow apply.
#[test]
fn what_cannot_be_read_goes_against_the_caller() {
    let all = [
        ("StringEquals", r#""a""#),
        ("StringNotEquals", r#""a""#),
        ("StringEqualsIgnoreCase", r#""a""#),
        ("StringNotEqualsIgnoreCase", r#""a""#),
        ("StringLike", r#""*""#),
        ("StringNotLike", r#""*""#),
        ("ArnLike", r#""arn:aws:iam::*:role/*""#),
        ("ArnNotLike", r#""*""#),
        ("NumericEquals", "1"),
        ("NumericNotEquals", "1"),
        ("NumericLessThan", "1"),
        ("DateEquals", r#""2024""#),
        ("DateNotEquals", r#""2024""#),
        ("DateGreaterThan", r#""2024""#),
        ("Bool", "true"),
        ("Bool", "false"),
        ("BinaryEquals", r#""QQ==""#),
        ("IpAddress", r#""0.0.0.0/0""#),
        ("NotIpAddress", r#""0.0.0.0/0""#),
    ];
    for (operator, values) in all {
        for prefix in ["", "ForAnyValue:", "ForAllValues:"] {
            for suffix in ["", "IfExists"] {
                check(&format!("{prefix}{operator}{suffix}"), values, Unreadable, AgainstCaller);
            }
        }
    }
    // Readable, but of another type.
    let compared_as_text = ["String", "Arn", "Binary"];
    for (operator, values) in all {
        if compared_as_text.iter().all(|kind| !operator.starts_with(kind)) {
            check(operator, values, One("\u{fffd} 1"), AgainstCaller);
            check(operator, values, One(""), AgainstCaller);
        }
        if !operator.starts_with("Binary") {
            check(operator, values, Bytes(b"\xff"), AgainstCaller);
        }
    }
}

#[test]
fn variables_take_the_request_s_values_as_literal_text() {
    let facts = Given(&[
        ("kms:viaservice", One("team-ann")),
        ("aws:principaltag/Team", One("*")),
        ("aws:sourceip", Ip(IpAddr::from([10, 0, 0, 1]))),
        ("aws:tagkeys", FactValue::Many(Many::Texts(&["a"]))),
    ]);
    let check = |operator: &str, key: &str, value: &str, expected: (bool, bool)| {
        let value = format!("\"{value}\"");
        assert_eq!(met(operator, key, &value, &facts), expected, "{operator} {value}");
    };
    let (yes, no, against) = ((true, true), (false, false), (false, true));
    check("StringEquals", KEY_NAME, "team-${aws:username}", yes);
    check("StringEquals", KEY_NAME, "TEAM-${AWS:UserName}", no);
    check("StringEqualsIgnoreCase", KEY_NAME, "TEAM-${AWS:UserName}", yes);
    check("StringEqualsIgnoreCase", KEY_NAME, "TEAM-${AWS:UserName}x", no);
    check("StringLike", KEY_NAME, "*-${aws:username}", yes);
    check("StringLike", KEY_NAME, "t*m-${aws:username}*", yes);
    check("StringEquals", "aws:PrincipalArn", "arn:aws:iam::${aws:PrincipalAccount}:user/ann", yes);
    check(
        "ArnLike",
        "aws:PrincipalArn",
        "arn:aws:iam::${aws:PrincipalAccount}:*/${aws:username}",
        yes,
    );
    check("StringEquals", "aws:SourceIp", "${aws:SourceIp}", yes);
    // A value that looks like a wildcard is none.
    check("StringLike", KEY_NAME, "${aws:PrincipalTag/Team}", no);
    check("StringLike", KEY_NAME, "team-${aws:PrincipalTag/None, 'ann'}", yes);
    check("StringLike", KEY_NAME, "team-${aws:PrincipalTag/None,'*'}", no);
    // Without a value, or with several, nothing is known.
    for operator in ["StringEquals", "StringNotEquals", "StringLike", "StringNotEqualsIgnoreCase"] {
        check(operator, KEY_NAME, "team-${aws:PrincipalTag/None}", against);
        check(operator, KEY_NAME, "team-${aws:TagKeys}", against);
    }
    check("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::*:user/${aws:userid}", against);
    check("StringNotEquals", "kms:RequestAlias", "${aws:PrincipalTag/None}", against);
    check("StringNotEqualsIfExists", "kms:RequestAlias", "${aws:PrincipalTag/None}", yes);
    check("StringEquals", "kms:RequestAlias", "${aws:PrincipalTag/None}", no);
}

#[test]
fn in_the_old_version_variables_are_text() {
    let text = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*",
        "Condition":{"StringEquals":{"kms:ViaService":"${aws:username}"}}}}"#;
    let old = Policy::parse(text).unwrap();
    let literal = [("kms:viaservice", One("${aws:username}"))];
    assert_ne!(encrypt_given(&old, &Given(&literal)), Verdict::Silent);
    let name = [("kms:viaservice", One("ann"))];
    assert_eq!(encrypt_given(&old, &Given(&name)), Verdict::Silent);
}

/// Facts of an encryption context alone.
struct Context(EncryptionContext);

impl Facts for Context {
    fn get<'f>(&'f self, key: &'f str) -> FactValue<'f> {
        FactValue::of_context(key, &self.0).unwrap_or(Absent)
    }
}

#[test]
fn names_in_contexts_are_found_in_either_case_and_values_are_not() {
    let context = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Context(EncryptionContext::new(pairs.collect()).unwrap())
    };
    let check = |pairs: &[(&str, &str)], operator: &str, expected: (bool, bool)| {
        let got = met(operator, "kms:EncryptionContext:Dept", r#""sales""#, &context(pairs));
        assert_eq!(got, expected, "{operator} {pairs:?}");
    };
    check(&[("Dept", "sales")], "StringEquals", (true, true));
    check(&[("dept", "sales")], "StringEquals", (true, true));
    check(&[("dept", "Sales")], "StringEquals", (false, false));
    check(&[("dept", "Sales")], "StringEqualsIgnoreCase", (true, true));
    check(&[("x", "sales")], "StringEquals", (false, false));
    check(&[], "StringNotEquals", (true, true));
    // A second spelling hides nothing.
    check(&[("Dept", "sales"), ("dept", "pay")], "StringEquals", (false, true));
    check(&[("Dept", "sales"), ("dept", "pay")], "StringNotEquals", (false, true));
    check(&[("Dept", "sales"), ("dept", "sales")], "StringEquals", (true, true));

    let keys = |operator: &str, pairs: &[(&str, &str)]| {
        met(operator, "kms:EncryptionContextKeys", r#"["a","b"]"#, &context(pairs))
    };
    assert_eq!(keys("ForAllValues:StringEquals", &[("a", "1")]), (true, true));
    assert_eq!(keys("ForAllValues:StringEquals", &[("A", "1")]), (false, false));
    assert_eq!(keys("ForAnyValue:StringEquals", &[("A", "1"), ("b", "")]), (true, true));
    assert_eq!(keys("ForAnyValue:StringEquals", &[]), (false, false));
    assert_eq!(met("Null", "kms:EncryptionContextKeys", "true", &context(&[])), (true, true));
}

/// All conditions of a statement must be met, over operators and keys alike.
#[test]
fn conditions_are_joined_by_and() {
    let allow = policy(
        r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{
            "StringEquals":{"kms:ViaService":"s3","kms:CallerAccount":"111122223333"},
            "Bool":{"aws:SecureTransport":"true"}}}"#,
    );
    let check = |facts: &[(&str, FactValue<'_>)], expected: bool| {
        assert_eq!(encrypt_given(&allow, &Given(facts)) != Verdict::Silent, expected, "{facts:?}");
    };
    check(&[("kms:viaservice", One("s3")), ("aws:securetransport", Bool(true))], true);
    check(&[("kms:viaservice", One("s3")), ("aws:securetransport", Bool(false))], false);
    check(&[("aws:securetransport", Bool(true))], false);
    check(&[], false);
}
