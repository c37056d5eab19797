use std::time::Duration;

use crypto::{Signer, SigningKey, SystemEntropy};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};

use super::*;
use crate::ca::testing::{Cell, NOW, YEAR, uri};
use crate::ca::{SVID_LIFETIME, certify_issuing_key};

fn verify(
    chain: &[Certificate],
    bundle: &TrustBundle,
    now: UnixSeconds,
) -> Result<VerifiedPeer, VerifyError> {
    let chain: Vec<&[u8]> = chain.iter().map(Certificate::der).collect();
    verify_svid(&chain, bundle, now)
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

#[test]
fn a_leaf_must_be_exactly_an_svid() {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    use VerifyError::{NoUri, OtherName, TwoUris, WrongUsage};
    let cell = Cell::new("shop.example");
    let web = cell.id("web").to_string();
    let check = |what: &str, chain: Vec<Certificate>, expected: VerifyError| {
        assert_eq!(verify(&chain, &cell.bundle(), NOW), Err(expected), "{what}");
    };
    assert!(verify(&cell.forge(|_| {}), &cell.bundle(), NOW).is_ok(), "the forge itself");
    let names = |names: Vec<SanType>| cell.forge(|leaf| leaf.subject_alt_names = names);
    check("no names", names(vec![]), NoUri);
    check("DNS instead of URI", names(vec![dns("web.acme")]), NoUri);
    check("two URIs", names(vec![uri(&web), uri("spiffe://shop.example/ns/a/sa/b")]), TwoUris);
    check("one URI twice", names(vec![uri(&web), uri(&web)]), TwoUris);
    check("URI and DNS", names(vec![uri(&web), dns("web.acme")]), OtherName);
    let address = SanType::IpAddress([10, 0, 0, 1].into());
    check("URI and address", names(vec![address, uri(&web)]), OtherName);

    let usages = |usages| cell.forge(|leaf| leaf.extended_key_usages = usages);
    check("server only", usages(vec![ServerAuth]), WrongUsage);
    check("client only", usages(vec![ClientAuth]), WrongUsage);
    check("any purpose", usages(vec![ExtendedKeyUsagePurpose::CodeSigning]), WrongUsage);
    check("none said", usages(vec![]), WrongUsage);
    let signs = |usages| cell.forge(|leaf| leaf.key_usages = usages);
    check("no key usage", signs(vec![]), WrongUsage);
    check("key agreement", signs(vec![KeyUsagePurpose::KeyAgreement]), WrongUsage);
    let both = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    check("signs certificates too", signs(both), WrongUsage);
    let authority = cell.forge(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    check("an authority", authority, WrongUsage);
}

#[test]
fn a_uri_must_be_spelled_as_an_identity_of_this_cell() {
    use ParseIdentityError::{Path, Scheme, Segment, TrustDomain as Domain};
    let cell = Cell::new("shop.example");
    for (text, expected) in [
        ("SPIFFE://shop.example/ns/acme/sa/web", Scheme),
        ("https://shop.example/ns/acme/sa/web", Scheme),
        ("spiffe://SHOP.example/ns/acme/sa/web", Domain),
        ("spiffe://shop.example/ns/acme/sa/web/", Path),
        ("spiffe://shop.example/ns/acme/sa/../sa/web", Path),
        ("spiffe://shop.example/ns/acme%2Fsa/sa/web", Segment),
    ] {
        let chain = cell.forge(|leaf| leaf.subject_alt_names = vec![uri(text)]);
        let refused = Err(VerifyError::NotAnIdentity(expected));
        assert_eq!(verify(&chain, &cell.bundle(), NOW), refused, "{text}");
    }
    // Another spelling that parses is another identity, never this one.
    let text = "spiffe://shop.example/ns/acme/sa/WEB";
    let chain = cell.forge(|leaf| leaf.subject_alt_names = vec![uri(text)]);
    let peer = verify(&chain, &cell.bundle(), NOW).unwrap();
    let (id, expected) = (SpiffeId::parse(text).unwrap(), cell.id("web"));
    assert_eq!(peer.expect(&expected), Err(VerifyError::WrongPeer { id, expected }));
    // Signed by this cell's authority, and still of another cell.
    let id = SpiffeId::parse("spiffe://bank.example/ns/acme/sa/web").unwrap();
    let chain = cell.forge(|leaf| leaf.subject_alt_names = vec![uri(&id.to_string())]);
    let expected = cell.domain.clone();
    let refused = Err(VerifyError::WrongTrustDomain { id, expected });
    assert_eq!(verify(&chain, &cell.bundle(), NOW), refused);
}

#[test]
fn time_is_checked_to_the_second() {
    let cell = Cell::new("shop.example");
    let (issued, _) = cell.svid("web");
    let end = issued.not_after;
    assert!(verify(&issued.chain, &cell.bundle(), end).is_ok());
    let refused = verify(&issued.chain, &cell.bundle(), UnixSeconds(end.0 + 1));
    assert_eq!(refused, Err(VerifyError::Expired { at: end }));
    let begin = NOW.minus(crate::ca::BACKDATE);
    let refused = verify(&issued.chain, &cell.bundle(), UnixSeconds(begin.0 - 1));
    assert_eq!(refused, Err(VerifyError::NotYetValid { from: begin }));
    // A leaf that would still be valid, under an issuer that is not.
    let long = cell.forge(|leaf| {
        leaf.not_after = time::OffsetDateTime::from_unix_timestamp(4_000_000_000).unwrap();
    });
    let refused = verify(&long, &cell.bundle(), UnixSeconds(NOW.plus(YEAR).0 + 1));
    assert_eq!(refused, Err(VerifyError::Expired { at: NOW.plus(YEAR) }));
}

#[test]
fn only_a_root_of_the_bundle_counts() {
    let (cell, other) = (Cell::new("shop.example"), Cell::new("shop.example"));
    let (issued, _) = cell.svid("web");
    let refused = Err(VerifyError::UntrustedRoot);
    assert_eq!(verify(&issued.chain, &other.bundle(), NOW), refused);
    assert_eq!(verify(&issued.chain[..1], &cell.bundle(), NOW), refused, "no issuer sent");
    // The other root in the chain is an intermediate like any other, and trusted by nobody.
    let mut carried = other.svid("web").0.chain;
    carried.push(other.root.clone());
    assert_eq!(verify(&carried, &cell.bundle(), NOW), refused);
    // A leaf of one issuer beside the certificate of another.
    let mixed = [issued.chain[0].clone(), other.issuing.clone()];
    assert_eq!(verify(&mixed, &cell.bundle(), NOW), refused);
    // While a root is replaced, both count.
    let roots = [cell.root.clone(), other.root.clone()];
    let overlap = TrustBundle::new(cell.domain.clone(), &roots).unwrap();
    assert!(verify(&issued.chain, &overlap, NOW).is_ok());
    assert!(verify(&other.svid("web").0.chain, &overlap, NOW).is_ok());
}

#[test]
fn a_leaf_issues_nothing() {
    let cell = Cell::new("shop.example");
    let (issued, leaf_key) = cell.svid("web");
    let mut thief = Cell::new("shop.example");
    thief.issuing = issued.chain[0].clone();
    thief.issuing_key = leaf_key;
    let mut chain = thief.forge(|_| {});
    chain.push(cell.issuing.clone());
    assert_eq!(verify(&chain, &cell.bundle(), NOW), Err(VerifyError::UntrustedRoot));
}

#[test]
fn an_issuing_certificate_makes_no_further_one() {
    let mut cell = Cell::new("shop.example");
    let key = SigningKey::generate();
    let below = certify_issuing_key(
        &cell.issuing,
        &cell.issuing_key,
        &key.public_key(),
        NOW,
        YEAR,
        &mut SystemEntropy::new(),
    )
    .unwrap();
    let above = std::mem::replace(&mut cell.issuing, below);
    cell.issuing_key = key;
    let mut chain = cell.forge(|_| {});
    chain.push(above);
    assert_eq!(verify(&chain, &cell.bundle(), NOW), Err(VerifyError::UntrustedRoot));
}

#[test]
fn the_chain_has_a_length_limit() {
    let cell = Cell::new("shop.example");
    let (issued, _) = cell.svid("web");
    let mut chain = issued.chain;
    chain.push(cell.root.clone());
    assert_eq!(chain.len(), CHAIN_CERTIFICATES_MAX);
    assert!(verify(&chain, &cell.bundle(), NOW).is_ok());
    chain.push(cell.root.clone());
    let refused = Err(VerifyError::ChainTooLong(CHAIN_CERTIFICATES_MAX + 1));
    assert_eq!(verify(&chain, &cell.bundle(), NOW), refused);
    assert_eq!(verify(&[], &cell.bundle(), NOW), Err(VerifyError::ChainEmpty));
}

#[test]
fn any_damaged_byte_of_a_leaf_is_refused() {
    let cell = Cell::new("shop.example");
    let (issued, _) = cell.svid("web");
    let good = issued.chain[0].der().to_vec();
    for at in 0..good.len() {
        let mut leaf = good.clone();
        leaf[at] ^= 1;
        let chain = [leaf.as_slice(), issued.chain[1].der()];
        assert!(verify_svid(&chain, &cell.bundle(), NOW).is_err(), "byte {at}");
        assert!(verify_svid(&[&good[..at]], &cell.bundle(), NOW).is_err(), "cut at {at}");
    }
}

#[test]
fn a_bundle_holds_roots_only_and_not_too_many() {
    let cell = Cell::new("shop.example");
    let (issued, _) = cell.svid("web");
    let build = |roots: &[Certificate]| TrustBundle::new(cell.domain.clone(), roots).err();
    let none = Some(BundleError::NotARoot(1));
    assert_eq!(build(&[cell.root.clone(), issued.chain[0].clone()]), none);
    assert_eq!(build(&[]), Some(BundleError::RootCount(0)));
    assert_eq!(build(&vec![cell.root.clone(); ROOTS_MAX]), None);
    let above = ROOTS_MAX + 1;
    assert_eq!(build(&vec![cell.root.clone(); above]), Some(BundleError::RootCount(above)));
}

#[test]
fn a_renewed_svid_is_the_same_peer() {
    let cell = Cell::new("shop.example");
    let later = NOW.plus(SVID_LIFETIME / 2 + Duration::from_secs(1));
    let (first, second) = (cell.svid("web").0, cell.svid("web").0);
    let peers = [first, second].map(|svid| verify(&svid.chain, &cell.bundle(), later).unwrap());
    assert_eq!(peers[0].id(), peers[1].id());
    assert_ne!(peers[0].serial(), peers[1].serial());
}
