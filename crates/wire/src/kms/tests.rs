mod answers;
mod names;
mod requests;
mod rules;
mod samples;

use super::*;
use samples::SAMPLES;

/// Parses `body` as a request of the operation, which must fail with these words of AWS's.
#[track_caller]
fn check_validation(operation: &str, body: &str, expected: &str) {
    let fault = RequestFault::Validation(expected.to_owned());
    assert_eq!(parse_as(operation, body.as_bytes()), Err(fault), "{operation} {body}");
}

#[track_caller]
fn check_serialization(operation: &str, body: &[u8], expected: SerializationFault) {
    let fault = RequestFault::Serialization(expected);
    let shown = String::from_utf8_lossy(body);
    assert_eq!(parse_as(operation, body), Err(fault), "{operation} {shown}");
}

fn parse_as(operation: &str, body: &[u8]) -> Result<Operation, RequestFault> {
    let sample = SAMPLES.iter().find(|sample| sample.name == operation).unwrap();
    (sample.parse)(body)
}
