use super::*;

mod properties;

const SIGNATURE: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 \
    Credential=AKIATESTTESTTESTTEST/20150830/us-east-1/kms/aws4_request, \
    SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
    Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
const QUERY: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIATESTTESTTESTTEST%2F20150830%2Fus-east-1%2fkms%2Faws4_request\
    &X-Amz-Date=20150830T123600Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host%3Bx-amz-target\
    &X-Amz-Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";

/// A request that can be bent out of shape.
#[derive(Clone, Debug, PartialEq)]
struct Test {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body_sha256: [u8; 32],
}

impl Test {
    fn with_header() -> Self {
        Self {
            method: "POST".into(),
            path: "/".into(),
            query: String::new(),
            headers: [
                ("host", "kms.test"),
                ("content-type", "application/x-amz-json-1.1"),
                ("x-amz-target", "TrentService.Encrypt"),
                ("x-amz-date", "20150830T123600Z"),
                ("user-agent", "test"),
                ("authorization", AUTHORIZATION),
            ]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .into(),
            body_sha256: [7; 32],
        }
    }

    fn presigned() -> Self {
        let mut test = Self::with_header();
        test.query = QUERY.into();
        test.without("authorization").without("x-amz-date")
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    fn authorized(self, authorization: &str) -> Self {
        self.without("authorization").with("authorization", authorization)
    }

    fn edited(self, from: &str, to: &str) -> Self {
        let text = if self.query.is_empty() { AUTHORIZATION } else { QUERY };
        assert!(text.contains(from), "{from}");
        let text = text.replace(from, to);
        if self.query.is_empty() { self.authorized(&text) } else { Self { query: text, ..self } }
    }

    fn parse(&self) -> Result<SignedRequest<'_, impl Headers<'_>>, SigV4Error> {
        let headers = || self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let (method, path, query) = (&self.method, &self.path, &self.query);
        SignedRequest::parse(Request { method, path, query, headers })
    }

    fn canonical(&self) -> Result<Vec<u8>, SigV4Error> {
        let mut out = b"what was there before".to_vec();
        self.parse()?.write_canonical_request(&self.body_sha256, &mut out)?;
        Ok(out)
    }

    #[track_caller]
    fn refused(&self, aws_type: &str, message: &str) {
        let refused = self.canonical().unwrap_err();
        assert_eq!(refused.to_string(), message);
        assert_eq!(refused.aws_type(), aws_type, "{message}");
    }
}

const INCOMPLETE: &str = "IncompleteSignatureException";
const INVALID: &str = "InvalidSignatureException";
const MISSING: &str = "MissingAuthenticationTokenException";
const UNRECOGNIZED: &str = "UnrecognizedClientException";

#[test]
fn both_forms_say_the_same() {
    for (test, expires, signed) in [
        (Test::with_header(), None, &["content-type", "host", "x-amz-date", "x-amz-target"][..]),
        (Test::presigned(), Some(60), &["host", "x-amz-target"][..]),
    ] {
        let parsed = test.parse().unwrap();
        let expected = Credential {
            access_key_id: "AKIATESTTESTTESTTEST",
            date: "20150830",
            region: "us-east-1",
            service: "kms",
        };
        assert_eq!(parsed.credential(), expected);
        assert_eq!(parsed.signature(), SIGNATURE);
        assert_eq!(parsed.signed_at().as_str(), "20150830T123600Z");
        assert_eq!(parsed.expires_seconds(), expires);
        assert!(parsed.signed_headers().names().eq(signed.iter().copied()));
        assert_eq!(parsed.security_token(), None);
        test.canonical().unwrap();
    }
}

#[test]
fn parameters_come_in_any_order_and_spacing() {
    let (algorithm, pairs) = AUTHORIZATION.split_once(' ').unwrap();
    let pairs: Vec<&str> = pairs.split(", ").collect();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        for separator in [",", ", ", " ,  "] {
            let text = order.map(|at| pairs[at]).join(separator);
            let test = Test::with_header().authorized(&format!("{algorithm}  {text}"));
            assert_eq!(test.canonical(), Test::with_header().canonical());
        }
    }
}

#[test]
fn a_request_without_a_signature_misses_its_token() {
    let message = "Request is missing Authentication Token";
    Test::with_header().without("authorization").refused(MISSING, message);
    Test::with_header().authorized("Bearer abc").refused(MISSING, message);
    Test::with_header().authorized("").refused(MISSING, message);
    Test::presigned().edited("X-Amz-Algorithm", "X-Algorithm").refused(MISSING, message);
}

#[test]
fn two_signatures_are_one_too_many() {
    Test::presigned().with("authorization", AUTHORIZATION).refused(
        INVALID,
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
    );
}

#[test]
fn what_is_missing_is_named_in_awss_words() {
    Test::with_header().without("x-amz-date").authorized("AWS4-HMAC-SHA256").refused(
        INCOMPLETE,
        "Authorization header requires 'Credential' parameter. \
         Authorization header requires 'Signature' parameter. \
         Authorization header requires 'SignedHeaders' parameter. \
         Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
    );
    Test::presigned().edited("X-Amz-Date=", "Date=").edited("X-Amz-Signature=", "S=").refused(
        INCOMPLETE,
        "AWS query-string parameters must include 'X-Amz-Signature'. \
         Re-examine the query-string parameters.",
    );
}

#[test]
fn nothing_is_said_twice() {
    for name in ["Host", "Authorization", "X-Amz-Date", "X-Amz-Content-Sha256"] {
        let value = "20150830T123600Z";
        let test = Test::with_header().with(&name.to_lowercase(), value);
        let test = test.with(&name.to_lowercase(), value);
        test.refused(INCOMPLETE, &format!("'{name}' appears more than once."));
    }
    let twice = AUTHORIZATION.replace("Signature=", "Credential=a/b/c/d/e, Signature=");
    Test::with_header()
        .authorized(&twice)
        .refused(INCOMPLETE, "'Credential' appears more than once.");
    Test::presigned()
        .edited("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=61")
        .refused(INCOMPLETE, "'X-Amz-Expires' appears more than once.");
    let token = "X-Amz-Expires=60&X-Amz-Security-Token=a";
    Test::presigned()
        .edited("X-Amz-Expires=60", token)
        .with("x-amz-security-token", "b")
        .refused(INCOMPLETE, "'X-Amz-Security-Token' appears more than once.");
}

#[test]
fn the_scope_is_judged_part_by_part() {
    for test in [Test::with_header(), Test::presigned()] {
        test.clone().edited("aws4_request", "aws5_request").refused(
            INVALID,
            "Credential should be scoped with a valid terminator: 'aws4_request', not \
             'aws5_request'. ",
        );
        test.clone().edited("kms", "kms/more").canonical().unwrap_err();
        let parsed = test.parse().unwrap();
        let region = parsed.require_scope("eu-west-1", "kms").unwrap_err();
        assert_eq!(region.to_string(), "Credential should be scoped to a valid region. ");
        let service = parsed.require_scope("us-east-1", "sts").unwrap_err();
        assert_eq!(service.to_string(), "Credential should be scoped to correct service: 'sts'. ");
        assert_eq!([region.aws_type(), service.aws_type()], [INVALID; 2]);
        parsed.require_scope("us-east-1", "kms").unwrap();
    }
    Test::with_header().edited("20150830", "20150831").refused(
        INVALID,
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
         HTTP: '20150831' != '20150830', from '20150830T123600Z'.",
    );
    Test::with_header().edited("/kms", "").refused(
        INCOMPLETE,
        "Credential must have exactly 5 slash-delimited elements, \
         e.g. keyid/date/region/service/term, got \
         'AKIATESTTESTTESTTEST/20150830/us-east-1/aws4_request'",
    );
}

#[test]
fn the_date_header_stands_in_for_x_amz_date() {
    let test = Test::with_header().without("x-amz-date").edited(";x-amz-date", "");
    for date in ["20150830T123600Z", "Sun, 30 Aug 2015 12:36:00 GMT"] {
        let test = test.clone().with("date", date);
        assert_eq!(test.parse().unwrap().signed_at().as_str(), "20150830T123600Z");
    }
    test.with("date", "yesterday").refused(
        INCOMPLETE,
        "Date must be in ISO-8601 'basic format'. Got 'yesterday'. \
         See http://en.wikipedia.org/wiki/ISO_8601",
    );
    // X-Amz-Date wins, and is in the one format.
    let both = Test::with_header().with("date", "Sun, 30 Aug 2015 12:00:00 GMT");
    assert_eq!(both.parse().unwrap().signed_at().as_str(), "20150830T123600Z");
    let wrong = Test::with_header().without("x-amz-date");
    let wrong = wrong.with("x-amz-date", "Sun, 30 Aug 2015 12:36:00 GMT");
    assert!(matches!(wrong.canonical(), Err(SigV4Error::DateMalformed(_))));
}

#[test]
fn what_must_be_signed_is() {
    Test::with_header().edited("host;", "").refused(
        INVALID,
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
    );
    for name in ["x-amz-target", "x-amz-date"] {
        let test = Test::with_header().edited(&format!(";{name}"), "");
        let message = format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.");
        test.refused(INVALID, &message);
    }
    // Should a caller ever pass names as they came, nothing slips through.
    Test::with_header()
        .with("X-Amz-Meta", "1")
        .refused(INVALID, "'X-Amz-Meta' must be a 'SignedHeader' in the AWS Authorization.");
    Test::with_header().with("x-amzn-trace-id", "1").canonical().unwrap();
    Test::with_header().without("x-amz-target").refused(
        INVALID,
        "'x-amz-target' is a 'SignedHeader' in the AWS Authorization but is not in the request.",
    );
    for list in ["host;content-type", "Content-Type;host", "host;host", "host;", "host; x", ""] {
        let test = Test::with_header().edited("content-type;host;x-amz-date;x-amz-target", list);
        assert_eq!(test.canonical(), Err(SigV4Error::SignedHeadersMalformed), "{list}");
    }
}

#[test]
fn the_body_is_always_signed() {
    let stating = |hash: &str| {
        let names = ";x-amz-content-sha256;x-amz-date;";
        Test::with_header().edited(";x-amz-date;", names).with("x-amz-content-sha256", hash)
    };
    stating(&"07".repeat(32)).canonical().unwrap();
    let wrong = "The provided 'x-amz-content-sha256' header does not match what was computed.";
    stating(&"08".repeat(32)).refused(INVALID, wrong);
    stating("").refused(INVALID, wrong);
    assert_eq!(stating("UNSIGNED-PAYLOAD").canonical(), Err(SigV4Error::PayloadUnsigned));
    let streaming = stating("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    assert_eq!(streaming.canonical(), Err(SigV4Error::PayloadStreaming));
    let presigned = Test::presigned()
        .edited("X-Amz-Date=", "X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&X-Amz-Date=");
    assert_eq!(presigned.canonical(), Err(SigV4Error::PayloadUnsigned));
}

#[test]
fn security_tokens_come_in_either_form() {
    let names = ";x-amz-date;x-amz-security-token;";
    let test = Test::with_header().edited(";x-amz-date;", names);
    let test = test.with("x-amz-security-token", "test+/=");
    assert_eq!(test.parse().unwrap().security_token(), Some("test+/="));
    let with = |token: &str| {
        let to = format!("X-Amz-Expires=60&X-Amz-Security-Token={token}");
        Test::presigned().edited("X-Amz-Expires=60", &to)
    };
    assert_eq!(with("test%2B%2f%3D").parse().unwrap().security_token(), Some("test+/="));
    assert_eq!(with("test").parse().unwrap().security_token(), Some("test"));
    let message = "The security token included in the request is invalid.";
    for token in ["", "a%20b", "%ff", "%00", "é"] {
        with(token).refused(UNRECOGNIZED, message);
    }
    assert_eq!(with("%2").canonical(), Err(SigV4Error::QueryMalformed));
    let long = "%41".repeat(SECURITY_TOKEN_BYTES_MAX);
    with(&long).canonical().unwrap();
    assert!(matches!(with(&format!("{long}A")).canonical(), Err(SigV4Error::TooLong { .. })));
}

#[test]
fn presigned_validity_has_bounds() {
    for (text, good) in [
        ("1", true),
        ("604800", true),
        ("604801", false),
        ("0", false),
        ("-1", false),
        ("+1", false),
        ("", false),
        ("0000001", false),
        ("60.0", false),
    ] {
        let test = Test::presigned().edited("Expires=60", &format!("Expires={text}"));
        assert_eq!(test.canonical().is_ok(), good, "{text}");
    }
}

#[test]
fn every_limit_has_its_name() {
    let check = |test: Test, expected: &str| {
        test.refused(INCOMPLETE, expected);
    };
    let path = "/".repeat(PATH_BYTES_MAX + 1);
    check(Test { path, ..Test::with_header() }, "The request path is longer than 2048 bytes.");
    let query = "a".repeat(QUERY_BYTES_MAX + 1);
    check(Test { query, ..Test::with_header() }, "The query string is longer than 16384 bytes.");
    let query = "a&".repeat(QUERY_PARAMETERS_MAX + 1);
    let many = "There are more than 64 query-string parameters.";
    check(Test { query, ..Test::with_header() }, many);
    let method = "M".repeat(METHOD_BYTES_MAX + 1);
    check(Test { method, ..Test::with_header() }, "The request method is longer than 16 bytes.");
    let long = format!("{AUTHORIZATION}{}", ",".repeat(AUTHORIZATION_BYTES_MAX));
    check(
        Test::with_header().authorized(&long),
        "The Authorization header is longer than 4096 bytes.",
    );
    let names: Vec<String> = (0..=SIGNED_HEADERS_MAX).map(|at| format!("a{at:02}")).collect();
    check(
        Test::with_header().edited("content-type", &names.join(";")),
        "There are more than 32 signed headers.",
    );
    check(
        Test::with_header().edited("us-east-1", &"a".repeat(SCOPE_NAME_BYTES_MAX + 1)),
        "The region in Credential is longer than 64 bytes.",
    );
    let long = "a".repeat(CANONICAL_HEADERS_BYTES_MAX);
    check(
        Test::with_header().without("x-amz-target").with("x-amz-target", &long),
        "The list of signed headers is longer than 65536 bytes.",
    );
}

#[test]
fn request_lines_are_well_formed() {
    for method in ["", "post", "POST\n", "PO ST"] {
        let test = Test { method: method.into(), ..Test::with_header() };
        assert_eq!(test.canonical(), Err(SigV4Error::MethodMalformed), "{method:?}");
    }
    let test = Test { path: "*".into(), ..Test::with_header() };
    assert_eq!(test.canonical(), Err(SigV4Error::PathMalformed));
    for query in ["a=%", "a=%4", "%zz"] {
        let test = Test { query: query.into(), ..Test::with_header() };
        assert_eq!(test.canonical(), Err(SigV4Error::QueryMalformed), "{query}");
    }
}

#[test]
fn paths_are_normalised_and_escaped_once_more() {
    for (path, expected) in [
        ("", "/"),
        ("/", "/"),
        ("/a/b/..", "/a"),
        ("/a/b/../", "/a/"),
        ("/a/./b/.", "/a/b"),
        ("/../../a", "/a"),
        ("/..", "/"),
        ("/a/../..//", "/"),
        ("//a///b//", "/a/b/"),
        ("/a%2Fb/%2e%2e", "/a%252Fb/%252e%252e"),
        ("/a b:c", "/a%20b%3Ac"),
        ("/...", "/..."),
    ] {
        let mut out = b"before/".to_vec();
        canonical::write_path(path, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("before/{expected}"), "{path}");
    }
}

#[test]
fn queries_are_sorted_by_name_then_value() {
    for (query, expected) in [
        ("b=1&a=2&a=1&a", "a=&a=1&a=2&b=1"),
        ("a-=1&a=2", "a=2&a-=1"),
        ("a=b=c&&", "a=b%3Dc"),
        ("A=%7e%2f+%20", "A=~%2F%20%20"),
        ("=x", "=x"),
        ("X-Amz-Signature=1", "X-Amz-Signature=1"),
    ] {
        let mut out = b"before\n".to_vec();
        canonical::write_query(query, Form::Header, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("before\n{expected}"), "{query}");
    }
}

#[test]
fn a_value_cannot_write_the_next_line() {
    let test = Test::with_header().without("content-type");
    let test = test.with("content-type", "  a\r\nhost:evil\n\n \tb  ");
    let text = String::from_utf8(test.canonical().unwrap()).unwrap();
    assert!(text.contains("\ncontent-type:a host:evil b\nhost:kms.test\n"), "{text}");
}

#[test]
fn what_does_not_verify_is_answered_as_aws_does() {
    let at = |text: &str| Timestamp::parse_iso8601(text.as_bytes()).unwrap();
    let (signed_at, now) = (at("20180707T233021Z"), at("20180710T071714Z"));
    let expired = SigV4Error::Expired { signed_at, now, window_seconds: 300 };
    assert_eq!(
        expired.to_string(),
        "Signature expired: 20180707T233021Z is now earlier than 20180710T071214Z \
         (20180710T071714Z - 5 min.)"
    );
    let (signed_at, now) = (at("20181017T093750Z"), at("20181017T093139Z"));
    let early = SigV4Error::NotYetCurrent { signed_at, now, window_seconds: 300 };
    assert_eq!(
        early.to_string(),
        "Signature not yet current: 20181017T093750Z is still later than 20181017T093639Z \
         (20181017T093139Z + 5 min.)"
    );
    for (error, aws_type) in [
        (expired, INVALID),
        (early, INVALID),
        (SigV4Error::SignatureMismatch, INVALID),
        (SigV4Error::AccessKeyUnknown, UNRECOGNIZED),
        (SigV4Error::SecurityTokenExpired, "ExpiredTokenException"),
    ] {
        assert_eq!(error.aws_type(), aws_type);
    }
    for signature in ["", "5fa0", &"5F".repeat(32), &"g".repeat(64)] {
        let test = Test::with_header().edited(SIGNATURE, signature);
        assert_eq!(test.canonical(), Err(SigV4Error::SignatureMismatch), "{signature}");
    }
}

#[test]
fn no_error_repeats_a_foreign_token() {
    let test = Test::with_header().authorized("AWS4-HMAC-SHA256 Bearer=test-secret-token");
    assert!(!test.canonical().unwrap_err().to_string().contains("secret"));
}
