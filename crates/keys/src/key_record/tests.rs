use super::*;
use crate::test_kit::{Counting, ring};

fn new(spec: KeySpec) -> KeyRecord {
    let new = NewKey::of(Owner::Cell, spec, "");
    KeyRecord::generate(new, &ring(1), UnixSeconds(1), &mut Counting::default())
}

#[test]
fn rotation_adds_and_keeps_up_to_the_limit() {
    let mut record = new(KeySpec::SymmetricDefault);
    let first = record.newest_material().unwrap().id;
    for count in 2..=Materials::MAX {
        record = record
            .rotate(RotationKind::Automatic, &ring(1), UnixSeconds(2), &mut Counting::default())
            .unwrap();
        assert_eq!(record.materials().len(), count);
    }
    assert!(record.materials().iter().any(|material| material.id == first));
    let id = record.id;
    assert_eq!(
        record.rotate(RotationKind::Automatic, &ring(1), UnixSeconds(2), &mut Counting::default()),
        Err(RotateError::TooManyMaterials(id))
    );
}

#[test]
fn states_decide_what_can_be_done() {
    let record = new(KeySpec::SymmetricDefault).disable().unwrap();
    let wrong = WrongState::Disabled { key: record.id };
    assert_eq!(record.enabled().unwrap_err(), wrong);
    assert_eq!(
        record.clone().rotate(
            RotationKind::Automatic,
            &ring(1),
            UnixSeconds(2),
            &mut Counting::default()
        ),
        Err(RotateError::WrongState(wrong))
    );
    assert_eq!(record.clone().disable().unwrap(), record);
    assert!(record.enable().unwrap().enabled().is_ok());
    let asymmetric = new(KeySpec::ECC_NIST_P256);
    let id = asymmetric.id;
    assert_eq!(
        asymmetric.rotate(
            RotationKind::Automatic,
            &ring(1),
            UnixSeconds(2),
            &mut Counting::default()
        ),
        Err(RotateError::NotSymmetric(id))
    );
}

#[test]
fn records_survive_json_and_unknown_fields_do_not() {
    let record = new(KeySpec::ECC_NIST_P256);
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<KeyRecord>(&json).unwrap(), record);
    let odd = json.replacen('{', "{\"colour\":1,", 1);
    assert!(serde_json::from_str::<KeyRecord>(&odd).is_err());
}
