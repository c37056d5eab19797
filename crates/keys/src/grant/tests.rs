use proptest::prelude::*;

use super::token::{GrantToken, InvalidToken, token_key};
use super::*;
use crate::RootKey;
use crate::policy::caller::CallerKind;
use crate::policy::facts::NoFacts;
use crate::test_kit::{Counting, id, key};

const ACCOUNT: &str = "111122223333";
const SOURCE: &str = "arn:aws:rds:us-east-1:111122223333:db:orders";
use GrantOperation::{
    CreateGrant, Decrypt, DescribeKey, Encrypt, GenerateDataKey, GetPublicKey, RetireGrant, Sign,
};

fn root_key(seed: u8) -> RootKey {
    RootKey::from_parts(id(seed), key(seed))
}

struct Source(FactValue<'static>);

impl Facts for Source {
    fn get<'f>(&'f self, key: &'f str) -> FactValue<'f> {
        if key == "aws:sourcearn" { self.0 } else { FactValue::Absent }
    }
}

fn principal(text: &str) -> Principal {
    Principal::parse(text).unwrap()
}

fn user(name: &str) -> Caller {
    Caller {
        arn: format!("arn:aws:iam::{ACCOUNT}:user/{name}"),
        account: ACCOUNT.to_owned(),
        kind: CallerKind::User { name: name.to_owned() },
        tenant: None,
    }
}

fn root(account: &str) -> Caller {
    let arn = format!("arn:aws:iam::{account}:root");
    Caller { arn, account: account.to_owned(), kind: CallerKind::Root, tenant: None }
}

fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    EncryptionContext::new(pairs.collect()).unwrap()
}

fn subset(pairs: &[(&str, &str)]) -> GrantConstraints {
    GrantConstraints { encryption_context_subset: Some(context(pairs)), ..Default::default() }
}

fn equals(pairs: &[(&str, &str)]) -> GrantConstraints {
    GrantConstraints { encryption_context_equals: Some(context(pairs)), ..Default::default() }
}

fn source(arn: &str) -> GrantConstraints {
    GrantConstraints { source_arn: Some(arn.to_owned()), ..Default::default() }
}

fn new(operations: &[GrantOperation], constraints: GrantConstraints) -> NewGrant {
    NewGrant {
        grantee: principal("arn:aws:iam::111122223333:user/ann"),
        retiring: None,
        operations: operations.to_vec(),
        constraints,
        name: None,
    }
}

fn issue_on(sort: GrantedKey, new: NewGrant) -> Result<GrantRecord, GrantFault> {
    let entropy = &mut Counting::default();
    GrantRecord::issue(new, (id(1), sort), 0, &user("issuer"), UnixSeconds(5), entropy)
}

fn issue(operations: &[GrantOperation], constraints: GrantConstraints) -> GrantRecord {
    issue_on(GrantedKey::SymmetricEncryption, new(operations, constraints)).unwrap()
}

#[test]
fn grants_cover_their_grantee_and_operations_only() {
    let grant = issue(&[Encrypt, DescribeKey], GrantConstraints::default());
    let none = &context(&[]);
    assert_eq!(grant.allows(&user("ann"), Encrypt, none, &NoFacts), GrantVerdict::Allows);
    assert_eq!(grant.allows(&user("ann"), Decrypt, none, &NoFacts), GrantVerdict::Silent);
    assert_eq!(grant.allows(&user("bob"), Encrypt, none, &NoFacts), GrantVerdict::Silent);
    let mut wide = new(&[Encrypt], GrantConstraints::default());
    wide.grantee = principal(ACCOUNT);
    let wide = issue_on(GrantedKey::SymmetricEncryption, wide).unwrap();
    assert_eq!(wide.allows(&user("ann"), Encrypt, none, &NoFacts), GrantVerdict::Delegates);
    assert_eq!(wide.allows(&root(ACCOUNT), Encrypt, none, &NoFacts), GrantVerdict::Allows);
}

#[test]
fn context_constraints_ignore_the_case_of_names_only() {
    let check = |constraints: GrantConstraints, pairs: &[(&str, &str)], expected: bool| {
        let grant = issue(&[Decrypt, DescribeKey, RetireGrant], constraints);
        let ann = user("ann");
        let allowed = |operation| {
            grant.allows(&ann, operation, &context(pairs), &NoFacts) == GrantVerdict::Allows
        };
        assert_eq!(allowed(Decrypt), expected, "{:?} {pairs:?}", grant.constraints);
        assert!(allowed(DescribeKey) && allowed(RetireGrant), "these take no context");
    };
    let sales = [("Dept", "sales")];
    check(subset(&sales), &sales, true);
    check(subset(&sales), &[("dept", "sales"), ("x", "y")], true);
    check(subset(&sales), &[("Dept", "Sales")], false);
    check(subset(&sales), &[], false);
    // A second spelling does not smuggle another value in.
    check(subset(&sales), &[("Dept", "sales"), ("dept", "payroll")], false);
    check(subset(&[]), &[], true);
    check(equals(&sales), &[("dept", "sales")], true);
    check(equals(&sales), &[("Dept", "sales"), ("x", "y")], false);
    check(equals(&sales), &[("Dept", "sales"), ("dept", "sales")], false);
    check(equals(&sales), &[("Dept", "sales"), ("dept", "payroll")], false);
    check(equals(&[]), &[], true);
    check(equals(&[]), &sales, false);
}

#[test]
fn a_source_must_be_the_one_named() {
    let check = |operation, fact, expected: bool| {
        let grant = issue(&[Decrypt, DescribeKey, RetireGrant], source(SOURCE));
        let verdict = grant.allows(&user("ann"), operation, &context(&[]), &Source(fact));
        assert_eq!(verdict == GrantVerdict::Allows, expected, "{operation:?} {fact:?}");
    };
    check(Decrypt, FactValue::One(SOURCE), true);
    check(Decrypt, FactValue::One("arn:aws:rds:us-east-1:111122223333:db:other"), false);
    check(Decrypt, FactValue::Absent, false);
    check(Decrypt, FactValue::Unreadable, false);
    check(DescribeKey, FactValue::Absent, true);
    check(DescribeKey, FactValue::One("other"), false);
    check(RetireGrant, FactValue::One("other"), true);
}

#[test]
fn operations_must_suit_the_key() {
    use GrantedKey as Key;
    let count = |sort| GrantOperation::ALL.iter().filter(|one| one.is_for(sort)).count();
    // Three of them manage, and are for every key.
    assert_eq!(count(Key::SymmetricEncryption), 3 + 8);
    assert_eq!(count(Key::AsymmetricEncryption), 3 + 5);
    assert_eq!(count(Key::Signing), 3 + 3);
    assert_eq!(count(Key::Mac), 3 + 2);
    assert_eq!(count(Key::KeyAgreement), 3 + 2);
    assert_eq!(count(Key::KeyEncapsulation), 3 + 3);
    let check = |sort, operations: &[GrantOperation], constraints, expected| {
        assert_eq!(issue_on(sort, new(operations, constraints)).err(), expected);
    };
    let none = GrantConstraints::default;
    check(Key::SymmetricEncryption, &[], none(), Some(GrantFault::NoOperation));
    let sign = Some(GrantFault::OperationUnsupported(Sign));
    check(Key::SymmetricEncryption, &[Encrypt, Sign], none(), sign);
    let data_key = Some(GrantFault::OperationUnsupported(GenerateDataKey));
    check(Key::AsymmetricEncryption, &[GenerateDataKey], none(), data_key);
    check(Key::Signing, &[Sign, GetPublicKey], none(), None);
    let unsupported = Some(GrantFault::ContextUnsupported);
    check(Key::AsymmetricEncryption, &[Encrypt], subset(&[("a", "b")]), unsupported.clone());
    check(Key::Mac, &[DescribeKey], equals(&[("a", "b")]), unsupported);
    check(Key::Mac, &[DescribeKey], source(SOURCE), None);
    check(Key::Mac, &[DescribeKey], source("db:orders"), Some(GrantFault::SourceArn));
}

#[test]
fn limits_hold_at_the_limit() {
    let check = |change: &dyn Fn(&mut NewGrant), expected| {
        let mut grant = new(&[Encrypt], GrantConstraints::default());
        change(&mut grant);
        assert_eq!(grant.check(GrantedKey::SymmetricEncryption).err(), expected);
    };
    let pairs = |count: usize| {
        let pairs = (0..count).map(|at| (at.to_string(), String::new())).collect();
        let subset = Some(EncryptionContext::new(pairs).unwrap());
        GrantConstraints { encryption_context_subset: subset, ..Default::default() }
    };
    check(&|grant| grant.constraints = pairs(8), None);
    check(&|grant| grant.constraints = pairs(9), Some(GrantFault::TooManyPairs(9)));
    check(&|grant| grant.constraints = equals(&[("a", &"é".repeat(383))]), None);
    let long = Some(GrantFault::ConstraintTooLong(385));
    check(&|grant| grant.constraints = equals(&[("a", &"é".repeat(384))]), long);
    check(&|grant| grant.name = Some("a".repeat(256)), None);
    check(&|grant| grant.name = Some("a".repeat(257)), Some(GrantFault::Name));
    check(&|grant| grant.name = Some(String::new()), Some(GrantFault::Name));
    check(&|grant| grant.name = Some("a b".to_owned()), Some(GrantFault::Name));
    let issue = |existing| {
        let new = new(&[Encrypt], GrantConstraints::default());
        let on = (id(1), GrantedKey::SymmetricEncryption);
        GrantRecord::issue(new, on, existing, &user("x"), UnixSeconds(1), &mut Counting::default())
    };
    assert!(issue(GRANTS_PER_KEY_MAX - 1).is_ok());
    assert_eq!(issue(GRANTS_PER_KEY_MAX), Err(GrantFault::TooMany));
}

#[test]
fn a_grant_passes_on_no_more_than_it_gives() {
    let check = |parent: &GrantRecord, child: NewGrant, expected: bool| {
        assert_eq!(parent.may_issue(&child).is_ok(), expected, "{parent:?} {child:?}");
    };
    let none = GrantConstraints::default;
    let parent = issue(&[Encrypt, Decrypt, CreateGrant], none());
    check(&parent, new(&[Encrypt], none()), true);
    check(&parent, new(&[Decrypt, CreateGrant], subset(&[("a", "b")])), true);
    check(&parent, new(&[Encrypt, GenerateDataKey], none()), false);
    check(&parent, new(&[RetireGrant], none()), false);
    check(&issue(&[Encrypt], none()), new(&[Encrypt], none()), false);
    let on = |constraints| issue(&[Encrypt, CreateGrant], constraints);
    let child = |constraints| new(&[Encrypt], constraints);
    let (a, ab) = (&[("a", "1")][..], &[("A", "1"), ("b", "2")][..]);
    check(&on(subset(a)), child(none()), false);
    check(&on(subset(a)), child(subset(a)), true);
    check(&on(subset(a)), child(subset(ab)), true);
    check(&on(subset(a)), child(equals(ab)), true);
    check(&on(subset(ab)), child(subset(a)), false);
    check(&on(subset(a)), child(equals(&[("a", "2")])), false);
    check(&on(equals(a)), child(equals(a)), true);
    check(&on(equals(a)), child(subset(a)), false);
    check(&on(equals(a)), child(equals(ab)), false);
    check(&on(source(SOURCE)), child(source(SOURCE)), true);
    check(&on(source(SOURCE)), child(none()), false);
}

#[test]
fn who_may_retire() {
    let grant = |operations: &[GrantOperation], retiring: Option<&str>| {
        let mut new = new(operations, GrantConstraints::default());
        new.retiring = retiring.map(principal);
        issue_on(GrantedKey::SymmetricEncryption, new).unwrap()
    };
    let check = |grant: &GrantRecord, caller: &Caller, expected| {
        assert_eq!(grant.may_retire(caller), expected, "{}", caller.arn);
    };
    let bob = "arn:aws:iam::111122223333:user/bob";
    check(&grant(&[Encrypt], Some(bob)), &user("bob"), GrantVerdict::Allows);
    check(&grant(&[Encrypt], None), &user("ann"), GrantVerdict::Delegates);
    check(&grant(&[Encrypt, RetireGrant], None), &user("ann"), GrantVerdict::Allows);
    check(&grant(&[Encrypt], None), &root(ACCOUNT), GrantVerdict::Allows);
    check(&grant(&[Encrypt], None), &root("444455556666"), GrantVerdict::Silent);
    check(&grant(&[Encrypt], Some("444455556666")), &root("444455556666"), GrantVerdict::Allows);
}

#[test]
fn a_named_grant_is_recognized_when_asked_for_again() {
    let mut again = new(&[Encrypt, Decrypt], GrantConstraints::default());
    let unnamed = issue_on(GrantedKey::SymmetricEncryption, again.clone()).unwrap();
    assert!(!unnamed.is_retried_by(&again));
    again.name = Some("web".to_owned());
    let named = issue_on(GrantedKey::SymmetricEncryption, again.clone()).unwrap();
    again.operations.reverse();
    assert!(named.is_retried_by(&again));
    again.operations.pop();
    assert!(!named.is_retried_by(&again));
}

#[test]
fn records_survive_json_and_unknown_fields_do_not() {
    let mut new = new(&[Encrypt, Encrypt, CreateGrant], subset(&[("a", "b")]));
    new.retiring = Some(principal("spiffe://shop.example/ns/acme/sa/web"));
    let record = issue_on(GrantedKey::SymmetricEncryption, new).unwrap();
    assert_eq!(record.operations, [Encrypt, CreateGrant]);
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<GrantRecord>(&json).unwrap(), record);
    for (from, to) in [
        ("{\"id\"", "{\"colour\":1,\"id\""),
        ("\"Encrypt\"", "\"Encrypted\""),
        ("user/ann", "user/*"),
        ("EncryptionContextSubset", "EncryptionContextSuperset"),
    ] {
        assert!(serde_json::from_str::<GrantRecord>(&json.replacen(from, to, 1)).is_err(), "{to}");
    }
    let text = record.id.to_string();
    assert_eq!(text.len(), 64);
    assert_eq!(text.parse(), Ok(record.id));
    assert_eq!(text.to_uppercase().replace('0', "A").parse::<GrantId>(), Err(ParseGrantIdError));
    assert_eq!(text[1..].parse::<GrantId>(), Err(ParseGrantIdError));
}

#[test]
fn any_changed_token_is_refused() {
    let entropy = &mut Counting::default();
    let token = GrantToken { key: id(3), grant: GrantId::from_bytes([4; 32]) };
    let mac = token_key(&root_key(1), id(9));
    let text = token.issue(&mac, entropy);
    assert_ne!(token.issue(&mac, entropy), text, "each token is unlike every other");
    assert_eq!(GrantToken::parse(&text, &mac), Ok(token));
    assert_eq!(GrantToken::parse(&text, &token_key(&root_key(2), id(9))), Err(InvalidToken));
    for at in 0..text.len() {
        let mut forged = text.clone();
        let other = if &text[at..=at] == "A" { "B" } else { "A" };
        forged.replace_range(at..=at, other);
        assert_eq!(GrantToken::parse(&forged, &mac), Err(InvalidToken), "character {at}");
        assert_eq!(GrantToken::parse(&text[..at], &mac), Err(InvalidToken), "cut to {at}");
    }
}

fn some_context() -> impl Strategy<Value = EncryptionContext> {
    let pairs = prop::collection::btree_map("[aAbB]", "[12]", 0..4);
    pairs.prop_map(|pairs| EncryptionContext::new(pairs).unwrap())
}

fn some_constraints() -> impl Strategy<Value = GrantConstraints> {
    let optional = || prop::option::of(some_context());
    (optional(), optional()).prop_map(|(subset, equals)| GrantConstraints {
        encryption_context_subset: subset,
        encryption_context_equals: equals,
        source_arn: None,
    })
}

proptest! {
    #[test]
    fn stricter_constraints_admit_no_more(
        parent in some_constraints(),
        child in some_constraints(),
        context in some_context(),
    ) {
        if child.are_as_strict_as(&parent) && child.admit(&context) {
            prop_assert!(parent.admit(&context));
        }
        prop_assert!(parent.are_as_strict_as(&parent));
    }

    #[test]
    fn parsing_any_token_or_principal_does_not_panic(text in any::<String>()) {
        let _ = GrantToken::parse(&text, &token_key(&root_key(1), id(9)));
        let _ = (Principal::parse(&text), text.parse::<GrantId>());
        let _ = Principal::parse(&format!("arn:aws:iam::111122223333:{text}"));
    }
}
