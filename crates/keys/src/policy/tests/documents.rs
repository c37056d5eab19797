use super::super::error::PolicyError;
use super::super::{POLICY_BYTES_MAX, STATEMENTS_MAX};
use super::*;

const REST: &str = r#""Action":"kms:*","Resource":"*""#;

/// Refused, with a message that names place and change.
fn refuse(text: &str, message: &str) {
    let error = Policy::parse(text).expect_err(text).to_string();
    assert!(error.contains(message), "{text}\n{error}\ndoes not say {message:?}");
}

fn refuse_statement(statement: &str, message: &str) {
    refuse(&document(statement), message);
}

fn with_principal(principal: &str) -> String {
    format!(r#"{{"Effect":"Allow","Principal":{principal},{REST}}}"#)
}

fn with_condition(condition: &str) -> String {
    format!(r#"{{"Effect":"Deny","Principal":"*",{REST},"Condition":{condition}}}"#)
}

#[test]
fn the_default_key_policy_is_accepted_in_all_its_spellings() {
    for text in [
        r#"{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}"#,
        "{\n\t\"Version\": \"2008-10-17\",\r\n \"Statement\": {\"Effect\": \"Allow\", \"Principal\": {\"AWS\": [\"111122223333\"]}, \"Action\": [\"kms:*\"], \"Resource\": [\"*\"], \"Condition\": {}}}",
    ] {
        let policy = Policy::parse(text).unwrap();
        let verdict = encrypt(&policy, &user("ann"));
        assert_eq!(verdict, Verdict::Allow { statement: 0, direct: false });
        let named: Vec<_> = policy.principals().map(ToString::to_string).collect();
        assert_eq!(named, ["arn:aws:iam::111122223333:root"]);
    }
}

#[test]
fn malformed_documents_are_refused() {
    for (text, message) in [
        ("", "not the JSON"),
        ("[]", "the policy must be an object"),
        ("{}", "Statement is missing"),
        (r#"{"Statement":[]}"#, "Statement lists nothing"),
        (r#"{"Statement":"x"}"#, "an object or a list"),
        (r#"{"Statement":[1]}"#, "a statement must be an object"),
        (r#"{"Statement":{},"Statement":{}}"#, r#""Statement" is given twice"#),
        (r#"{"Statement":{},"statement":{}}"#, r#"unknown element "statement""#),
        (r#"{"Version":"2012-10-18","Statement":{}}"#, "write 2012-10-17"),
        (r#"{"Version":null,"Statement":{}}"#, "Version must be a string"),
        (r#"{"Id":{},"Statement":{}}"#, "Id must be a string"),
        (r#"{"Statement":{}} x"#, "not the JSON"),
        (r#"{"Statement":[[[[[[[[[[]]]]]]]]]]}"#, "nested deeper"),
        ("{\"Id\":\"\u{100}\"}", "up to U+00FF"),
        ("{\u{b}}", "contains '\\u{b}'"),
    ] {
        refuse(text, message);
    }
    let deep = format!("{}{}", "[".repeat(9000), "]".repeat(9000));
    refuse(&deep, "nested deeper");
}

#[test]
fn malformed_statements_are_refused() {
    for (statement, message) in [
        ("{}", "statement 1: Effect is missing"),
        (r#"{"Sid":"S","Effect":"allow"}"#, r#"statement 1 (Sid "S"): Effect "allow""#),
        (r#"{"Sid":1,"Effect":"Allow"}"#, "Principal is missing"),
        (r#"{"Sid":[],"Effect":"Allow"}"#, "Sid must be a string"),
        (r#"{"Effect":"Allow","Principal":"*","Resource":"*"}"#, "Action is missing"),
        (r#"{"Effect":"Deny","Principal":"*","Action":"*"}"#, "Resource is missing"),
        (r#"{"Effect":"Deny","Principal":"*","Action":[],"Resource":"*"}"#, "Action lists nothing"),
        (r#"{"Effect":"Deny","Principal":"*","Action":"*","Resource":[]}"#, "Resource lists"),
        (
            r#"{"Effect":"Deny","Principal":"*","Action":"*","NotAction":"*","Resource":"*"}"#,
            "exclude each other",
        ),
        (r#"{"Effect":"Deny","Principal":"*","Action":"Encrypt","Resource":"*"}"#, "service:Name"),
        (
            r#"{"Effect":"Deny","Principal":"*","Action":"kms:${x:y}","Resource":"*"}"#,
            "service:Name",
        ),
        (
            r#"{"Effect":"Deny","Principal":"*","Action":"*","Resource":"key/*"}"#,
            "neither * nor an ARN",
        ),
        (
            r#"{"Effect":"Deny","Principal":"*","Action":"*","Resource":"arn:aws:kms:::${x"}"#,
            "does not end",
        ),
        (
            r#"{"Effect":"Deny","Principal":"*","Action":"*","Resource":"arn:aws:kms:::${x}"}"#,
            "names no key",
        ),
        (
            r#"{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Conditions":{}}"#,
            r#"unknown element "Conditions""#,
        ),
        (
            r#"{"Effect":"Allow","NotPrincipal":{"AWS":"111122223333"},"Action":"*","Resource":"*"}"#,
            "admit strangers",
        ),
        (r#"{"Effect":"Deny","NotPrincipal":"*","Action":"*","Resource":"*"}"#, "denies nobody"),
        (r#"{"Effect":"Deny","NotPrincipal":{"AWS":"*"},"Principal":"*"}"#, "exclude each other"),
    ] {
        refuse_statement(statement, message);
    }
    let good = with_principal(r#""*""#);
    refuse_statement(&format!("{good},{{}}"), "statement 2: Effect");
}

#[test]
fn malformed_principals_are_refused() {
    for text in [
        "",
        "ann",
        "1111222233334",
        "arn:aws:iam::111122223333:*",
        "arn:aws:iam::111122223333:user/*",
        "arn:aws:iam::*:root",
        "arn:aws:iam::111122223333:user/an?",
        "arn:aws:iam::111122223333:user",
        "arn:aws:iam::111122223333:user/",
        "arn:aws:iam::111122223333:user//ann",
        "arn:aws:iam::111122223333:group/g",
        "arn:aws:iam::111122223333:root/x",
        "arn:aws:iam:us-east-1:111122223333:root",
        "arn:aws:sts::111122223333:assumed-role/web",
        "arn:aws:sts::111122223333:role/web",
        "arn:aws:s3:::bucket",
        "AIDACKCEVSQ6C2EXAMPLE",
        "spiffe://",
        "spiffe://shop.example",
        "spiffe://shop.example/",
        "spiffe://shop.example/a/*",
        "spiffe://Shop/a",
        "spiffe://shop/a//b",
        "spiffe://shop/../b",
        "spiffe://shop/a b",
    ] {
        let statement = with_principal(&format!(r#"{{"AWS":"{text}"}}"#));
        refuse_statement(&statement, "Policy contains a statement with one or more invalid");
    }
    refuse_statement(&with_principal(r#""111122223333""#), "Principal must be an object");
    refuse_statement(&with_principal("{}"), "Principal lists nothing");
    refuse_statement(&with_principal(r#"{"AWS":[]}"#), "AWS lists nothing");
    refuse_statement(&with_principal(r#"{"AWS":[["x"]]}"#), "a string or a list of strings");
    refuse_statement(&with_principal(r#"{"Aws":"*"}"#), r#"unknown element "Aws""#);
    refuse_statement(&with_principal(r#"{"Service":"*.amazonaws.com"}"#), "invalid principals");
}

#[test]
fn malformed_conditions_are_refused() {
    for (condition, message) in [
        ("[]", "Condition must be an object"),
        (r#"{"StringEqual":{"kms:ViaService":"x"}}"#, r#"operator "StringEqual""#),
        (r#"{"StringEquals":{}}"#, "StringEquals lists nothing"),
        (r#"{"StringEquals":"x"}"#, "StringEquals must be an object"),
        (r#"{"StringEquals":{"kms:ViaService":[]}}"#, "kms:ViaService lists nothing"),
        (r#"{"StringEquals":{"kms:ViaService":null}}"#, "a string or a list"),
        (r#"{"StringEquals":{"kms:ViaService":{"a":"b"}}}"#, "a string or a list"),
        (r#"{"StringEquals":{"kms:ViaService":"a","kms:ViaService":"b"}}"#, "given twice"),
        (r#"{"StringEquals":{"ViaService":"x"}}"#, "condition key"),
        (r#"{"StringEquals":{"kms:ViaServices":"x"}}"#, "has no condition key"),
        (r#"{"StringEquals":{"kms:EncryptionContext:":"x"}}"#, "condition key"),
        (r#"{"StringEquals":{"aws:ResourceTag/a":"x"}}"#, "not permitted in a key policy"),
        (r#"{"StringEquals":{"kms:ResourceAliases":"x"}}"#, "not permitted in a key policy"),
        (r#"{"NumericEquals":{"kms:ViaService":"1e3"}}"#, "a decimal number"),
        (r#"{"NumericEquals":{"kms:ViaService":"${aws:username}"}}"#, "a decimal number"),
        (r#"{"DateEquals":{"aws:CurrentTime":"yesterday"}}"#, "a date as"),
        (r#"{"Bool":{"aws:SecureTransport":"yes"}}"#, "true or false"),
        (r#"{"Null":{"aws:SecureTransport":"yes"}}"#, "true or false"),
        (r#"{"NullIfExists":{"aws:SecureTransport":"true"}}"#, "neither a set prefix"),
        (r#"{"ForAnyValue:Null":{"aws:SecureTransport":"true"}}"#, "neither a set prefix"),
        (r#"{"BinaryEquals":{"kms:ViaService":"%"}}"#, "base64"),
        (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/99"}}"#, "an IP address or network"),
        (r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*"}}"#, "an ARN of six parts"),
        (r#"{"StringLike":{"kms:ViaService":"${aws:username"}}"#, "does not end"),
        (r#"{"StringLike":{"kms:ViaService":"${aws:username, x}"}}"#, "names no key"),
    ] {
        refuse_statement(&with_condition(condition), message);
    }
    let long = format!(r#"{{"StringLike":{{"kms:ViaService":"{}*"}}}}"#, "a".repeat(2048));
    refuse_statement(&with_condition(&long), "a pattern is 2049 bytes long");
    // Keys of other services are accepted, as by AWS, and are never there.
    policy(&with_condition(r#"{"StringEquals":{"s3:prefix":"x","aws:NewKey":"y"}}"#));
    policy(&with_condition(r#"{"StringEquals":{"KMS:recipientattestation:PCR0":"x"}}"#));
}

#[test]
fn identity_policies_name_no_principal() {
    let check = |statements: &str, message: Option<&str>| {
        let result = Policy::parse_identity(&document(statements));
        let error = result.err().map(|error| error.to_string());
        match message {
            None => assert_eq!(error, None),
            Some(message) => assert!(error.unwrap().contains(message), "{statements}"),
        }
    };
    let allow = r#"{"Sid":"A","Effect":"Allow","Action":"kms:*","Resource":"*"}"#;
    check(allow, None);
    check(&with_principal(r#""*""#), Some("Principal has no place"));
    check(r#"{"Effect":"Allow","Action":"kms:*"}"#, Some("Resource is missing"));
    check(&format!("{allow},{allow}"), Some("another statement has this Sid"));
    check(
        r#"{"Effect":"Allow","Action":"kms:*","Resource":"*",
            "Condition":{"StringEquals":{"aws:ResourceTag/a":"x","kms:ResourceAliases":"y"}}}"#,
        None,
    );
}

#[test]
fn limits_hold_at_the_limit() {
    let text = document(&with_principal(r#""*""#));
    let padded = |len: usize| format!("{text}{}", " ".repeat(len - text.len()));
    assert!(Policy::parse(&padded(POLICY_BYTES_MAX)).is_ok());
    assert_eq!(
        Policy::parse(&padded(POLICY_BYTES_MAX + 1)),
        Err(PolicyError::TooLong(POLICY_BYTES_MAX + 1))
    );
    let empty = |count: usize| document(&vec!["{}"; count].join(","));
    refuse(&empty(STATEMENTS_MAX), "statement 1: Effect");
    refuse(&empty(STATEMENTS_MAX + 1), "there are 501 statements");
}
