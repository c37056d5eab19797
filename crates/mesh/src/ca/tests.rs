use crypto::{SigningKey, SystemEntropy};

use super::testing::{Cell, NOW, YEAR};
use super::*;
use crate::verify::verify_svid;

fn der(chain: &[Certificate]) -> Vec<&[u8]> {
    chain.iter().map(Certificate::der).collect()
}

#[test]
fn an_svid_proves_its_subject_until_it_expires() {
    let cell = Cell::new("shop.example");
    let (issued, _) = cell.svid("web");
    let peer = verify_svid(&der(&issued.chain), &cell.bundle(), NOW).unwrap();
    assert_eq!(peer.id(), &cell.id("web"));
    assert_eq!((peer.serial(), peer.not_after()), (&issued.serial, issued.not_after));
    assert_eq!(issued.not_after, NOW.plus(SVID_LIFETIME));
    assert_eq!(issued.renew_at, NOW.plus(SVID_LIFETIME / 2));
    assert_eq!(issued.serial.to_string().len(), 2 * SERIAL_BYTES);
    let (other, _) = cell.svid("web");
    assert_ne!(issued.serial, other.serial);
}

#[test]
fn a_fresh_svid_is_valid_for_a_clock_that_is_behind() {
    let cell = Cell::new("shop.example");
    let (issued, _) = cell.svid("web");
    let verify = |now| verify_svid(&der(&issued.chain), &cell.bundle(), now);
    assert!(verify(NOW.minus(BACKDATE)).is_ok());
    assert!(verify(UnixSeconds(NOW.minus(BACKDATE).0 - 1)).is_err());
    assert!(verify(issued.not_after).is_ok());
    assert!(verify(UnixSeconds(issued.not_after.0 + 1)).is_err());
}

#[test]
fn lifetimes_have_limits() {
    let cell = Cell::new("shop.example");
    let key = SigningKey::generate().public_key();
    let issue = |lifetime| {
        let entropy = &mut SystemEntropy::new();
        cell.authority().issue_svid(&cell.id("web"), &key, NOW, lifetime, entropy)
    };
    let second = Duration::from_secs(1);
    for good in [SVID_LIFETIME_MIN, SVID_LIFETIME_MAX] {
        assert_eq!(issue(good).unwrap().not_after, NOW.plus(good));
    }
    for bad in [SVID_LIFETIME_MIN - second, SVID_LIFETIME_MAX + second] {
        assert_eq!(issue(bad), Err(IssueError::Lifetime(bad)));
    }
}

#[test]
fn nothing_outlives_its_issuer() {
    let cell = Cell::new("shop.example");
    let key = SigningKey::generate().public_key();
    let issue = |now| {
        let entropy = &mut SystemEntropy::new();
        cell.authority().issue_svid(&cell.id("web"), &key, now, SVID_LIFETIME, entropy)
    };
    let end = NOW.plus(YEAR);
    assert_eq!(issue(UnixSeconds(end.0 - 1)).unwrap().not_after, end);
    assert_eq!(issue(end), Err(IssueError::IssuerExpired { at: end }));
    let second_issuing = certify_issuing_key(
        &cell.root,
        &cell.root_key,
        &key,
        NOW,
        2 * YEAR,
        &mut SystemEntropy::new(),
    );
    assert_eq!(second_issuing.unwrap().not_after(), Ok(end));
}

#[test]
fn a_subject_of_another_cell_is_refused() {
    let (cell, other) = (Cell::new("shop.example"), Cell::new("bank.example"));
    let key = SigningKey::generate().public_key();
    let entropy = &mut SystemEntropy::new();
    let refused = cell.authority().issue_svid(&other.id("web"), &key, NOW, SVID_LIFETIME, entropy);
    let (subject, domain) = (other.id("web"), cell.domain.clone());
    assert_eq!(refused, Err(IssueError::TrustDomain { subject, domain }));
}

#[test]
fn a_key_that_is_not_the_issuers_is_refused() {
    let cell = Cell::new("shop.example");
    let built = Authority::new(cell.domain.clone(), cell.issuing.clone(), &cell.root_key);
    assert_eq!(built.err(), Some(IssueError::SignerMismatch));
    let entropy = &mut SystemEntropy::new();
    for junk in [vec![], b"key".to_vec()] {
        let key = PublicKey(junk);
        let refused =
            cell.authority().issue_svid(&cell.id("web"), &key, NOW, SVID_LIFETIME, entropy);
        assert_eq!(refused, Err(IssueError::KeyUnsupported));
    }
}

#[test]
fn a_server_certificate_names_hosts_and_is_no_svid() {
    let cell = Cell::new("shop.example");
    let key = SigningKey::generate().public_key();
    let issue = |hosts: &[&str]| {
        let entropy = &mut SystemEntropy::new();
        cell.authority().issue_server_certificate(hosts, &key, NOW, SVID_LIFETIME, entropy)
    };
    let issued = issue(&["acme.shop.localhost", "globex.shop.localhost"]).unwrap();
    let leaf = certificate::parse(issued.chain[0].der()).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.len();
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert_eq!((names, usage.server_auth, usage.client_auth), (2, true, false));
    assert!(verify_svid(&der(&issued.chain), &cell.bundle(), NOW).is_err());
    assert_eq!(issue(&[]), Err(IssueError::HostCount(0)));
    let names: Vec<String> = (0..=HOSTS_MAX).map(|n| format!("h{n}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(issue(&names[..HOSTS_MAX]).is_ok());
    assert_eq!(issue(&names), Err(IssueError::HostCount(HOSTS_MAX + 1)));
    for bad in ["", "a b", "a..b", "ä.example", "10.0.0.1"] {
        assert_eq!(issue(&[bad]), Err(IssueError::HostInvalid(bad.to_owned())), "{bad}");
    }
}

#[test]
fn a_signer_that_refuses_is_an_error_not_a_certificate() {
    struct Disabled(PublicKey);
    impl Signer for Disabled {
        fn public_key(&self) -> PublicKey {
            self.0.clone()
        }
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, crypto::SignError> {
            Err(crypto::SignError::Failed)
        }
    }
    let cell = Cell::new("shop.example");
    let signer = Disabled(cell.issuing_key.public_key());
    let authority = Authority::new(cell.domain.clone(), cell.issuing.clone(), &signer).unwrap();
    let refused = authority.issue_svid(
        &cell.id("web"),
        &SigningKey::generate().public_key(),
        NOW,
        SVID_LIFETIME,
        &mut SystemEntropy::new(),
    );
    assert_eq!(refused, Err(IssueError::SignFailed));
}
