//! A small cell for tests: its keys, its certificates, and certificates that no cell would issue.

use crypto::{SigningKey, SystemEntropy};

use super::*;
use crate::verify::TrustBundle;

pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(crate) struct Cell {
    pub(crate) domain: TrustDomain,
    pub(crate) root_key: SigningKey,
    pub(crate) root: Certificate,
    pub(crate) issuing_key: SigningKey,
    pub(crate) issuing: Certificate,
}

impl Cell {
    pub(crate) fn new(domain: &str) -> Self {
        let (root_key, issuing_key) = (SigningKey::generate(), SigningKey::generate());
        let root = self_sign_root(&root_key, NOW, YEAR, &mut SystemEntropy::new()).unwrap();
        let issuing = certify_issuing_key(
            &root,
            &root_key,
            &issuing_key.public_key(),
            NOW,
            YEAR,
            &mut SystemEntropy::new(),
        )
        .unwrap();
        let domain = TrustDomain::parse(domain).unwrap();
        Self { domain, root_key, root, issuing_key, issuing }
    }

    pub(crate) fn bundle(&self) -> TrustBundle {
        TrustBundle::new(self.domain.clone(), std::slice::from_ref(&self.root)).unwrap()
    }

    pub(crate) fn authority(&self) -> Authority<'_> {
        Authority::new(self.domain.clone(), self.issuing.clone(), &self.issuing_key).unwrap()
    }

    pub(crate) fn id(&self, service: &str) -> SpiffeId {
        SpiffeId::new(&self.domain, "acme", service).unwrap()
    }

    /// An SVID of one hour for a service of tenant acme.
    pub(crate) fn svid(&self, service: &str) -> (Issued, SigningKey) {
        let key = SigningKey::generate();
        let issued = self
            .authority()
            .issue_svid(
                &self.id(service),
                &key.public_key(),
                NOW,
                SVID_LIFETIME,
                &mut SystemEntropy::new(),
            )
            .unwrap();
        (issued, key)
    }

    /// A leaf like an SVID's but for what `change` does to it, under the issuing certificate.
    pub(crate) fn forge(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<Certificate> {
        self.forge_for(&SigningKey::generate().public_key(), change)
    }

    pub(crate) fn forge_for(
        &self,
        key: &PublicKey,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Vec<Certificate> {
        let mut leaf =
            params("leaf", NOW, NOW.plus(SVID_LIFETIME), &mut SystemEntropy::new()).unwrap();
        leaf.subject_alt_names = vec![uri(&self.id("web").to_string())];
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut leaf);
        vec![sign(&leaf, key, &self.issuing, &self.issuing_key).unwrap(), self.issuing.clone()]
    }
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}
