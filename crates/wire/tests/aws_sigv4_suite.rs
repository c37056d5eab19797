//! AWS's own test suite (`third_party/aws-sigv4-test-suite`): each request as it was signed gives
//! the canonical request and the string to sign that AWS wrote down.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

use std::fs;
use std::path::{Path, PathBuf};

use wire::sigv4::{Form, Request, SigV4Error, SignedRequest};

struct Case {
    name: String,
    directory: PathBuf,
    form: Form,
}

impl Case {
    fn read(&self, part: &str) -> String {
        let form = if self.form == Form::Header { "header" } else { "query" };
        fs::read_to_string(self.directory.join(format!("{form}-{part}.txt"))).unwrap()
    }
}

fn cases() -> Vec<Case> {
    let suite =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../third_party/aws-sigv4-test-suite");
    let mut directories: Vec<PathBuf> =
        fs::read_dir(suite).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.retain(|path| path.is_dir());
    directories.sort();
    let case = |directory: &PathBuf, form| Case {
        name: directory.file_name().unwrap().to_string_lossy().into_owned(),
        directory: directory.clone(),
        form,
    };
    directories.iter().flat_map(|d| [case(d, Form::Header), case(d, Form::Presigned)]).collect()
}

/// A request file: a request line that is not always HTTP, headers that may go on in the next line.
struct Parsed {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
}

fn parse(text: &str) -> Parsed {
    let head = text.split_once("\n\n").map_or(text, |(head, _)| head);
    let mut lines = head.lines();
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let target = target.strip_suffix(" HTTP/1.1").unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        if line.starts_with(' ') {
            let (_, value) = headers.last_mut().unwrap();
            value.extend(b"\n");
            value.extend(line.as_bytes());
        } else {
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_ascii_lowercase(), value.as_bytes().to_vec()));
        }
    }
    Parsed { method: method.into(), path: path.into(), query: query.into(), headers }
}

fn last_line(text: &str) -> [u8; 32] {
    let hex = text.lines().last().unwrap();
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..64).step_by(2).map(byte).collect();
    bytes.try_into().unwrap()
}

/// What we make of a case: the canonical request and the string to sign.
fn ours(case: &Case) -> Result<(String, String), SigV4Error> {
    let parsed = parse(&case.read("signed-request"));
    let headers = || parsed.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    let (method, path, query) = (&parsed.method, &parsed.path, &parsed.query);
    let signed = SignedRequest::parse(Request { method, path, query, headers })?;
    assert_eq!(signed.form(), case.form);
    assert_eq!(signed.signature(), case.read("signature"));
    let credential = signed.credential();
    assert_eq!(credential.access_key_id, "AKIDEXAMPLE");
    signed.require_scope("us-east-1", "service")?;
    let mut buffer = Vec::new();
    signed.write_canonical_request(&last_line(&case.read("canonical-request")), &mut buffer)?;
    let canonical = String::from_utf8(buffer.clone()).unwrap();
    signed.write_string_to_sign(&last_line(&case.read("string-to-sign")), &mut buffer);
    Ok((canonical, String::from_utf8(buffer).unwrap()))
}

#[test]
fn aws_suite_every_case_is_canonicalised_as_aws_does() {
    let mut compared = 0;
    for case in cases() {
        // Paths that are not normalised are S3's alone.
        if case.name.ends_with("-unnormalized") || case.name == "post-sts-header-after" {
            continue;
        }
        let (canonical, string_to_sign) = ours(&case).unwrap();
        assert_eq!(canonical, case.read("canonical-request"), "{} {:?}", case.name, case.form);
        assert_eq!(string_to_sign, case.read("string-to-sign"), "{} {:?}", case.name, case.form);
        compared += 1;
    }
    assert_eq!(compared, 2 * 30);
}

/// A path that was signed as it stands is one path for us whichever way it is spelled.
#[test]
fn aws_suite_unnormalised_paths_are_normalised_all_the_same() {
    for case in cases().iter().filter(|case| case.name.ends_with("-unnormalized")) {
        let (canonical, _) = ours(case).unwrap();
        let normalised = Case {
            name: String::new(),
            directory: case.directory.with_file_name(case.name.replace("-unn", "-n")),
            form: case.form,
        };
        assert_eq!(canonical, normalised.read("canonical-request"), "{}", case.name);
    }
}

/// A few services take a token that is added after signing; AWS's documentation demands that
/// `x-amz-` headers be signed, and so do we.
#[test]
fn aws_suite_a_token_added_after_signing_is_refused() {
    let after = |form| {
        let mut cases = cases().into_iter();
        cases.find(|case| case.name == "post-sts-header-after" && case.form == form).unwrap()
    };
    let refused = ours(&after(Form::Header)).unwrap_err();
    assert!(matches!(refused, SigV4Error::HeaderNotSigned(_)), "{refused}");
    let presigned = after(Form::Presigned);
    assert_ne!(ours(&presigned).unwrap().0, presigned.read("canonical-request"));
}
