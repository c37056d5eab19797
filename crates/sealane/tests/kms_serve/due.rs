//! What happens to keys by itself, at times that the test says.

use keys::UnixSeconds;
use sealane::cell_dir::{self, CellDir, UnlockWith};
use sealane::kms::{Done, now};
use serde_json::{Value, json};

use super::kms_support::KmsServer;
use super::kms_support::signed::AccessKey;
use super::{asked, call, create, events, stop};

const DAY: u64 = 24 * 60 * 60;

/// Does what is due `days` after `from`, in a cell that nobody serves: no client could sign for a
/// server whose clock is wrong.
fn run_due(server: &KmsServer, from: UnixSeconds, days: u64) -> Vec<(String, Done)> {
    let cell = cell_dir::open(&CellDir::at(server.dir()), &UnlockWith::KeyFile(None)).unwrap();
    let (done, _) = cell.kms.run_due(UnixSeconds(from.0 + days * DAY)).unwrap();
    cell.kms.trail().close().unwrap();
    done.into_iter().map(|(key, what)| (key.to_string(), what)).collect()
}

fn next_rotation(server: &KmsServer, by: &AccessKey, key: &str) -> f64 {
    let status = call(server, by, "GetKeyRotationStatus", &json!({ "KeyId": key }));
    assert_eq!(status["KeyRotationEnabled"], true);
    status["NextRotationDate"].as_f64().unwrap()
}

fn current_material(server: &KmsServer, by: &AccessKey, key: &str) -> Value {
    let described = call(server, by, "DescribeKey", &json!({ "KeyId": key }));
    described["KeyMetadata"]["CurrentKeyMaterialId"].clone()
}

pub(crate) fn rotation_and_deletion() {
    let mut server = KmsServer::started();
    let me = server.access_key("me");
    let (rotates, ends) = (create(&server, &me), create(&server, &me));
    let began = now();
    let body = json!({ "KeyId": rotates, "RotationPeriodInDays": 90 });
    call(&server, &me, "EnableKeyRotation", &body);
    let encrypt = |server: &KmsServer, key: &str| {
        let made = call(server, &me, "Encrypt", &json!({ "KeyId": key, "Plaintext": "eA==" }));
        made["CiphertextBlob"].clone()
    };
    let (old, lost) = (encrypt(&server, &rotates), encrypt(&server, &ends));
    let material = current_material(&server, &me, &rotates);
    let next = next_rotation(&server, &me, &rotates);
    let body = json!({ "KeyId": ends, "PendingWindowInDays": 7 });
    call(&server, &me, "ScheduleKeyDeletion", &body);
    stop(&mut server);

    assert_eq!(run_due(&server, began, 6), []);
    assert_eq!(run_due(&server, began, 8), [(ends.clone(), Done::Deleted)]);
    assert_eq!(run_due(&server, began, 89), []);
    assert_eq!(run_due(&server, began, 91), [(rotates.clone(), Done::Rotated)]);
    assert_eq!(run_due(&server, began, 91), [], "once");

    server.start();
    let listed = call(&server, &me, "ListKeyRotations", &json!({ "KeyId": rotates }));
    let [rotation] = &listed["Rotations"].as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!(rotation["RotationType"], "AUTOMATIC", "{rotation}");
    #[expect(clippy::cast_precision_loss, reason = "of this century")]
    let at = (began.0 + 91 * DAY) as f64;
    assert_eq!(rotation["RotationDate"].as_f64(), Some(at));
    #[expect(clippy::cast_precision_loss, reason = "of this century")]
    let period = (90 * DAY) as f64;
    assert_eq!(next_rotation(&server, &me, &rotates), next + period, "from when it was due");
    let renewed = current_material(&server, &me, &rotates);
    assert_ne!(renewed, material);
    for (blob, by) in [(&old, &material), (&encrypt(&server, &rotates), &renewed)] {
        let opened = call(&server, &me, "Decrypt", &json!({ "CiphertextBlob": blob }));
        assert_eq!((&opened["Plaintext"], &opened["KeyMaterialId"]), (&json!("eA=="), by));
    }

    let of_key = json!({ "KeyId": ends });
    let gone = "NotFoundException";
    for (operation, body, error) in [
        ("DescribeKey", of_key.clone(), gone),
        ("CancelKeyDeletion", of_key, gone),
        ("Encrypt", json!({ "KeyId": ends, "Plaintext": "eA==" }), gone),
        ("Decrypt", json!({ "KeyId": ends, "CiphertextBlob": lost }), gone),
        // Which key it was nobody knows any more, so it is as good as another KMS's.
        ("Decrypt", json!({ "CiphertextBlob": lost }), "InvalidCiphertextException"),
    ] {
        let answer = asked(&server, &me, operation, &body);
        assert_eq!(answer.aws_error().as_deref(), Some(error), "{operation} {body}");
    }
    for (name, key) in [("RotateKey", &rotates), ("DeleteKey", &ends)] {
        let told = events(&server, name);
        let arn = told.last().unwrap()["resources"][0]["ARN"].as_str().unwrap().to_owned();
        assert!(arn.ends_with(key.as_str()), "{told:?}");
    }
}
