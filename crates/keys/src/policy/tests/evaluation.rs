use super::super::decide::{
    AllowedBy, Decision, Evidence, GrantVerdict, KeyOwner, RefusedFor, decide, evaluate_identity,
};
use super::*;

const DIRECT: Verdict = Verdict::Allow { statement: 0, direct: true };
const DELEGATED: Verdict = Verdict::Allow { statement: 0, direct: false };
const DENY: Verdict = Verdict::ExplicitDeny { statement: 0 };
const SILENT: Verdict = Verdict::Silent;

fn allow(principal: &str) -> Policy {
    policy(&format!(
        r#"{{"Effect":"Allow","Principal":{principal},"Action":"kms:*","Resource":"*"}}"#
    ))
}

#[test]
fn principals_cover_whom_they_name() {
    let check = |principal: &str, caller: &Caller, expected: Verdict| {
        let got = encrypt(&allow(principal), caller);
        assert_eq!(got, expected, "{principal} {}", caller.arn);
    };
    let web = "arn:aws:iam::111122223333:role/app/web";
    for everyone in [r#""*""#, r#"{"AWS":"*"}"#, r#"{"AWS":["444455556666","*"]}"#] {
        check(everyone, &user("ann"), DIRECT);
        check(everyone, &workload("ns/acme/sa/web"), DIRECT);
        check(everyone, &root_of(OTHER), DIRECT);
    }
    for account in [ACCOUNT.to_owned(), format!("arn:aws:iam::{ACCOUNT}:root")] {
        let account = format!(r#"{{"AWS":"{account}"}}"#);
        check(&account, &user("ann"), DELEGATED);
        check(&account, &session("app/web"), DELEGATED);
        check(&account, &workload("ns/acme/sa/web"), DELEGATED);
        check(&account, &root_of(ACCOUNT), DIRECT);
        check(&account, &user_of(OTHER, "ann"), SILENT);
        check(&account, &root_of(OTHER), SILENT);
    }
    let ann =
        r#"{"AWS":["arn:aws:iam::111122223333:user/bob","arn:aws:iam::111122223333:user/ann"]}"#;
    check(ann, &user("ann"), DIRECT);
    check(ann, &user("Ann"), SILENT);
    check(ann, &user("dept/ann"), SILENT);
    check(ann, &user_of(OTHER, "ann"), SILENT);
    check(ann, &root_of(ACCOUNT), SILENT);
    check(&format!(r#"{{"AWS":"{web}"}}"#), &session("app/web"), DIRECT);
    check(&format!(r#"{{"AWS":"{web}"}}"#), &session("web"), SILENT);
    let one_session = r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/web/s1"}"#;
    check(one_session, &session("app/web"), DIRECT);
    check(&one_session.replace("s1", "s2"), &session("app/web"), SILENT);
    let id = r#"{"AWS":"spiffe://shop.example/ns/acme/sa/web"}"#;
    check(id, &workload("ns/acme/sa/web"), DIRECT);
    check(id, &workload("ns/acme/sa/web2"), SILENT);
    // Whatever its ARN reads, a user is no workload and a workload no user.
    let mut liar = user("ann");
    liar.arn = "spiffe://shop.example/ns/acme/sa/web".to_owned();
    check(id, &liar, SILENT);
    let mut liar = workload("x");
    liar.arn = "arn:aws:iam::111122223333:user/ann".to_owned();
    check(ann, &liar, SILENT);
    check(r#"{"Service":"s3.amazonaws.com"}"#, &user("ann"), SILENT);
    check(r#"{"Federated":"cognito-identity.amazonaws.com"}"#, &user("ann"), SILENT);
}

#[test]
fn the_most_direct_allow_counts_and_a_deny_of_the_account_reaches_all_its_principals() {
    let both = |first: &str, second: &str| {
        let statement = |principal: &str| {
            format!(
                r#"{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"*","Resource":"*"}}"#
            )
        };
        policy(&format!("{},{}", statement(first), statement(second)))
    };
    let ann = "arn:aws:iam::111122223333:user/ann";
    let direct = |statement| Verdict::Allow { statement, direct: true };
    assert_eq!(encrypt(&both(ACCOUNT, ann), &user("ann")), direct(1));
    assert_eq!(encrypt(&both(ann, ACCOUNT), &user("ann")), direct(0));
    assert_eq!(encrypt(&both(ACCOUNT, ACCOUNT), &user("ann")), DELEGATED);
    let denied = policy(&format!(
        r#"{{"Effect":"Deny","Principal":{{"AWS":"{ACCOUNT}"}},"Action":"kms:En*","Resource":"*"}},
        {{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#
    ));
    assert_eq!(encrypt(&denied, &user("ann")), DENY);
    assert_eq!(encrypt(&denied, &session("app/web")), DENY);
    assert_eq!(encrypt(&denied, &user_of(OTHER, "ann")), direct(1));
    assert_eq!(evaluate(&denied, &user("ann"), "kms:Decrypt", &NoFacts), direct(1));
}

/// AWS spares only whose whole chain is listed.
#[test]
fn not_principal_spares_whole_chains() {
    let denies = |spared: &[&str], caller: &Caller| {
        let spared = serde_json::to_string(spared).unwrap();
        let policy = policy(&format!(
            r#"{{"Effect":"Deny","NotPrincipal":{{"AWS":{spared}}},"Action":"*","Resource":"*"}}"#
        ));
        encrypt(&policy, caller) == DENY
    };
    let ann = "arn:aws:iam::111122223333:user/ann";
    assert!(!denies(&[ann, ACCOUNT], &user("ann")));
    assert!(denies(&[ann], &user("ann")));
    assert!(denies(&[ann, ACCOUNT], &user("bob")));
    assert!(denies(&[ann, OTHER], &user("ann")));
    let role = "arn:aws:iam::111122223333:role/web";
    let one = "arn:aws:sts::111122223333:assumed-role/web/s1";
    assert!(!denies(&[role, one, ACCOUNT], &session("web")));
    assert!(denies(&[role, ACCOUNT], &session("web")));
    assert!(!denies(&[ACCOUNT], &root_of(ACCOUNT)));
    assert!(!denies(&["spiffe://shop.example/a"], &workload("a")));
    assert!(denies(&["spiffe://shop.example/a", ACCOUNT], &workload("b")));
}

#[test]
fn actions_and_resources() {
    let check = |elements: &str, action: &str, resource: &str, expected: bool| {
        let policy = policy(&format!(r#"{{"Effect":"Allow","Principal":"*",{elements}}}"#));
        let principal = &user("ann");
        let request = Request { principal, action, resource, facts: &NoFacts };
        assert_eq!(policy.evaluate(&request) != SILENT, expected, "{elements} {action} {resource}");
    };
    for (action, asked, expected) in [
        ("kms:Encrypt", "kms:Encrypt", true),
        ("KMS:encrypt", "kms:Encrypt", true),
        ("kms:Encrypt", "kms:ReEncryptTo", false),
        ("kms:*", "kms:Encrypt", true),
        ("*", "kms:Encrypt", true),
        ("kms:GenerateDataKey*", "kms:GenerateDataKeyPair", true),
        ("kms:*datakey", "kms:GenerateDataKey", true),
        ("kms:*DATA*wit?out*", "kms:GenerateDataKeyWithoutPlaintext", true),
        ("kms:?ncrypt", "kms:Encrypt", true),
        ("kms:?Encrypt", "kms:Encrypt", false),
        ("s3:*", "kms:Encrypt", false),
    ] {
        check(&format!(r#""Action":"{action}","Resource":"*""#), asked, KEY, expected);
        check(&format!(r#""NotAction":["{action}"],"Resource":"*""#), asked, KEY, !expected);
    }
    for (resource, expected) in [
        ("*", true),
        (KEY, true),
        ("arn:aws:kms:*:111122223333:key/*", true),
        ("arn:aws:kms:us-east-?:*:key/01*", true),
        ("arn:aws:kms:${aws:RequestedRegion, 'us-east-1'}:${aws:PrincipalAccount}:key/*", true),
        ("arn:aws:kms", true),
        ("arn:aws:s3", false),
        ("arn:aws:kms:*:444455556666:key/*", false),
        // A wildcard does not cross a colon.
        ("arn:aws:kms:*:key/01010101-0101-0101-0101-010101010101", false),
        ("arn:aws:kms:us-east-1:111122223333:alias/*", false),
    ] {
        check(&format!(r#""Action":"*","Resource":["{resource}"]"#), "kms:Encrypt", KEY, expected);
        let not = format!(r#""Action":"*","NotResource":"{resource}""#);
        check(&not, "kms:Encrypt", KEY, !expected);
    }
    check(r#""Action":"*","Resource":"*""#, "kms:ListKeys", "*", true);
    check(r#""Action":"*","Resource":"arn:aws:kms:*:*:key/*""#, "kms:ListKeys", "*", false);
}

#[test]
fn a_resource_with_a_variable_without_value_goes_against_the_caller() {
    for (effect, element, applies) in [
        ("Allow", "Resource", false),
        ("Allow", "NotResource", false),
        ("Deny", "Resource", true),
        ("Deny", "NotResource", true),
    ] {
        let policy = policy(&format!(
            r#"{{"Effect":"{effect}","Principal":"*","Action":"*",
                "{element}":"arn:aws:kms:us-east-1:111122223333:key/${{aws:userid}}"}}"#
        ));
        assert_eq!(encrypt(&policy, &user("ann")) != SILENT, applies, "{effect} {element}");
    }
}

#[test]
fn the_table_of_decisions() {
    use GrantVerdict::{Allows, Delegates, Silent};
    use KeyOwner::{AnotherAccount, CallersAccount};
    let by_key = Decision::Allowed(AllowedBy::KeyPolicy { statement: 0 });
    let by_identity = Decision::Allowed(AllowedBy::Identity { statement: 0 });
    let by_grant = Decision::Allowed(AllowedBy::Grant);
    let refused = Decision::Refused;
    let key_silent = refused(RefusedFor::KeyPolicySilent);
    let identity_silent = refused(RefusedFor::IdentitySilent);
    for (key_policy, identity, grant, owner, expected) in [
        (Some(DIRECT), SILENT, Silent, CallersAccount, by_key),
        (Some(DIRECT), DIRECT, Silent, CallersAccount, by_key),
        (Some(DELEGATED), SILENT, Silent, CallersAccount, identity_silent),
        (Some(DELEGATED), DIRECT, Silent, CallersAccount, by_identity),
        (Some(SILENT), DIRECT, Silent, CallersAccount, key_silent),
        (Some(SILENT), SILENT, Silent, CallersAccount, key_silent),
        (Some(SILENT), SILENT, Allows, CallersAccount, by_grant),
        (Some(SILENT), SILENT, Delegates, CallersAccount, key_silent),
        (Some(SILENT), DIRECT, Delegates, CallersAccount, by_grant),
        (Some(DIRECT), SILENT, Silent, AnotherAccount, identity_silent),
        (Some(DIRECT), DIRECT, Silent, AnotherAccount, by_identity),
        (Some(DELEGATED), DIRECT, Silent, AnotherAccount, by_identity),
        (Some(SILENT), DIRECT, Silent, AnotherAccount, key_silent),
        (Some(SILENT), SILENT, Allows, AnotherAccount, by_grant),
        (None, DIRECT, Silent, CallersAccount, by_identity),
        (None, SILENT, Silent, CallersAccount, identity_silent),
        (None, DIRECT, Silent, AnotherAccount, key_silent),
    ] {
        let evidence = Evidence { key_policy, identity, grant, owner };
        assert_eq!(decide(evidence), expected, "{evidence:?}");
        let denied = decide(Evidence { key_policy: Some(DENY), ..evidence });
        assert_eq!(denied, refused(RefusedFor::DeniedByKeyPolicy { statement: 0 }));
        let denied = decide(Evidence { identity: DENY, ..evidence });
        assert_eq!(denied, refused(RefusedFor::DeniedByIdentity { statement: 0 }));
    }
}

#[test]
fn identity_policies_count_together_and_root_needs_none() {
    let identity = |effect: &str, action: &str| {
        Policy::parse_identity(&document(&format!(
            r#"{{"Effect":"{effect}","Action":"{action}","Resource":"*"}}"#
        )))
        .unwrap()
    };
    let (allow, deny) = (identity("Allow", "kms:*"), identity("Deny", "kms:Encrypt"));
    let all = |policies: &[&Policy], principal: &Caller| {
        let request = Request { principal, action: "kms:Encrypt", resource: KEY, facts: &NoFacts };
        evaluate_identity(policies.iter().copied(), &request)
    };
    let ann = &user("ann");
    assert_eq!(all(&[], ann), SILENT);
    assert_eq!(all(&[&allow], ann), DIRECT);
    assert_eq!(all(&[&allow, &deny], ann), Verdict::ExplicitDeny { statement: 1 });
    assert_eq!(all(&[&deny, &allow], ann), DENY);
    assert_eq!(all(&[], &root_of(ACCOUNT)), DIRECT);
    assert_eq!(all(&[&deny], &root_of(ACCOUNT)), DENY);
}

#[test]
fn the_lockout_check_wants_a_later_put_key_policy() {
    let check = |policy: &Policy, caller: &Caller, expected: bool| {
        let result = policy.allows_put_key_policy(caller, KEY, &NoFacts);
        assert_eq!(result.is_ok(), expected, "{}", caller.arn);
    };
    let root = allow(&format!(r#"{{"AWS":"{ACCOUNT}"}}"#));
    check(&root, &user("ann"), true);
    check(&root, &user_of(OTHER, "ann"), false);
    let users = policy(
        r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/ann"},
            "Action":"kms:Put*","Resource":"*"},
        {"Effect":"Allow","Principal":"*","Action":"kms:Encrypt","Resource":"*"}"#,
    );
    check(&users, &user("ann"), true);
    check(&users, &user("bob"), false);
    let error = users.allows_put_key_policy(&user("bob"), KEY, &NoFacts).unwrap_err();
    assert_eq!(
        error.to_string(),
        "The new key policy will not allow you to update the key policy in the future."
    );
}
