//! The report: evidence of what is protected, from what runs, signed.

use crypto::{PublicKey, Signer};
use keys::authorize::Principal;
use serde::{Deserialize, Serialize};

use super::{Control, failed};
use crate::cli::model::{CertificateStatus, VolumeState};
use crate::ipc::messages::{ConnectionFact, Refusal};
use crate::time_text;

/// The version of the report's content.
const VERSION: u32 = 1;

/// A report and its signature. What is signed is the text of `report` itself, byte for byte, so
/// that no canonical form of JSON has to be agreed upon.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedReport {
    /// A JSON document: [`Report`].
    pub report: String,
    /// The ARN of the KMS key that signed. Whoever verifies has the key from elsewhere.
    pub key: String,
    pub algorithm: String,
    /// Base64 of an ECDSA signature in DER.
    pub signature: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub version: u32,
    pub cell: String,
    pub trust_domain: String,
    pub at: String,
    /// What is not protected, or less than promised. First, because it is what counts.
    pub not_protected: Vec<String>,
    pub connections: Vec<ConnectionFact>,
    pub volumes: Vec<VolumeEvidence>,
    pub store: StoreEvidence,
    pub certificates: Vec<CertificateStatus>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VolumeEvidence {
    pub tenant: String,
    pub name: String,
    pub id: String,
    pub state: VolumeState,
    pub key: String,
    pub algorithm: String,
    pub bytes_sealed: u64,
    /// `None` if it was not checked while this cell ran.
    pub last_check: Option<CheckEvidence>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckEvidence {
    pub at: String,
    pub blocks: u64,
    pub bad: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreEvidence {
    pub algorithm: String,
    /// Transactions so far: the number that the anchor holds.
    pub sequence: u64,
    pub anchor: String,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum VerifyReportError {
    #[error("this is no report of a cell: {0}")]
    #[diagnostic(help("`sealane report --output json` writes one"))]
    NotAReport(#[from] serde_json::Error),
    #[error(
        "the signature is not of this report and this key: the report was changed, or another cell signed it"
    )]
    #[diagnostic(help("get the report again, and compare where the key came from"))]
    Forged,
}

/// Checks the signature of a report with a key that came from elsewhere, and gives its content.
///
/// # Errors
/// [`VerifyReportError`]; nothing of a report that does not verify is shown.
pub fn verify_report(document: &str, key: &PublicKey) -> Result<Report, VerifyReportError> {
    use base64::Engine as _;
    let signed: SignedReport = serde_json::from_str(document)?;
    let signature = base64::engine::general_purpose::STANDARD
        .decode(&signed.signature)
        .map_err(|_| VerifyReportError::Forged)?;
    key.verify(signed.report.as_bytes(), &signature).map_err(|_| VerifyReportError::Forged)?;
    Ok(serde_json::from_str(&signed.report)?)
}

impl Control {
    pub(super) fn report(&self) -> Result<SignedReport, Refusal> {
        use base64::Engine as _;
        let report = serde_json::to_string(&self.evidence()?).map_err(|error| failed(&error))?;
        let id = self.authority.report_key();
        let signer = self.kms.signer(Principal::Cell, id)?;
        let signature = signer.sign_recorded(report.as_bytes())?;
        Ok(SignedReport {
            report,
            key: self.kms.arn(id).to_string(),
            algorithm: "ECDSA_SHA_256".into(),
            signature: base64::engine::general_purpose::STANDARD.encode(signature),
        })
    }

    pub(super) fn report_key_pem(&self) -> Result<String, Refusal> {
        let signer = self.kms.signer(Principal::Cell, self.authority.report_key())?;
        Ok(super::admin::pem("PUBLIC KEY", &signer.public_key().0))
    }

    fn evidence(&self) -> Result<Report, Refusal> {
        let cell = self.kms.cell();
        let mut not_protected = self.warnings();
        for volume in &self.volume_statuses()? {
            if volume.state == VolumeState::Failed {
                let why = volume.reason.as_deref().unwrap_or("no reason known");
                not_protected.push(format!("volume {}/{}: {why}", volume.tenant, volume.name));
            }
        }
        Ok(Report {
            version: VERSION,
            cell: cell.name.clone().unwrap_or_default(),
            trust_domain: cell.trust_domain.clone().unwrap_or_default(),
            at: time_text::rfc3339(crate::kms::now().0),
            not_protected,
            connections: self.connections.values().flatten().cloned().collect(),
            volumes: self.volume_evidence()?,
            store: StoreEvidence {
                algorithm: ALGORITHM.into(),
                sequence: self.kms.store().sequence(),
                anchor: self.kms.store().anchor_path().display().to_string(),
            },
            certificates: self.certificate_statuses(),
        })
    }

    fn volume_evidence(&self) -> Result<Vec<VolumeEvidence>, Refusal> {
        let evidence = |info: crate::cli::model::VolumeInfo| {
            let fact = self.volumes.get(&(info.tenant.clone(), info.name.clone()));
            let check = fact.and_then(|fact| fact.last_check.as_ref());
            VolumeEvidence {
                last_check: check.map(|check| CheckEvidence {
                    at: time_text::rfc3339(check.at),
                    blocks: check.blocks,
                    bad: check.bad.clone(),
                }),
                tenant: info.tenant,
                name: info.name,
                id: info.id,
                state: info.state,
                key: info.key,
                algorithm: ALGORITHM.into(),
                bytes_sealed: info.bytes_sealed,
            }
        };
        Ok(self.volume_infos()?.into_iter().map(evidence).collect())
    }
}

#[cfg(not(feature = "plaintext-for-tests"))]
const ALGORITHM: &str = "AES-256-GCM, a derived key for each object";
#[cfg(feature = "plaintext-for-tests")]
const ALGORITHM: &str = "none: built with plaintext-for-tests";
