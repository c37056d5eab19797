use super::super::rules::{self, TextRule};

#[track_caller]
fn check(rule: &TextRule, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(rule.allows(text), "{text:?}");
        rule.each_broken(text, |constraint| panic!("{text:?} must {constraint}"));
    }
    for text in bad {
        assert!(!rule.allows(text), "{text:?}");
        let mut broken = 0;
        rule.each_broken(text, |_| broken += 1);
        assert!(broken > 0, "{text:?}");
    }
}

#[test]
fn patterns_hold_for_the_whole_text() {
    check(&rules::ALIAS_NAME, &["alias/a_B-1", ":"], &["", "alias/a b", "alias/\u{e9}", "a\n"]);
    check(&rules::PRINCIPAL, &["arn:aws:iam::1:user/a+b=c,d.e@f-g"], &["", "a*", "a\u{e9}"]);
    check(
        &rules::SERVICE_PRINCIPAL,
        &["logs.us-east-1.amazonaws.com", "a.b.c"],
        &["a.b", "a..b.c", ".a.b", "a.b.c.", "a.b.c_d"],
    );
    check(
        &rules::SOURCE_ARN,
        &["arn:aws:s3:us-east-1:111122223333:a:b", "arn:aws-cn:iam::111122223333:r"],
        &[
            "arn:aws:s3:us-east-1:111122223333:",
            "arn:AWS:s3:us-east-1:111122223333:a",
            "arn:aws::us-east-1:111122223333:a",
            "arn:aws:s3:us-east-1:11112222333:a",
            "arn:aws:s3:us-east-1:111122223333:a\nb",
        ],
    );
    let id = "0123456789abcdef".repeat(4);
    check(&rules::KEY_MATERIAL_ID, &[&id], &["", "0", &id.to_uppercase(), &id[1..]]);
    check(&rules::KEY_MATERIAL_DESCRIPTION, &["a b\tc:/_.-"], &["", "a+b", "\u{a0}"]);
    check(&rules::MARKER, &["a \u{ff}"], &["", "\u{100}", "\n"]);
    check(&rules::POLICY_NAME, &["default"], &["", "de-fault"]);
    check(&rules::POLICY, &["{\t\r\n\u{ff}}"], &["", "\u{0}", "\u{2019}"]);
    check(
        &rules::REGION,
        &["us-east-1", "us-gov-west-10"],
        &["us-1", "us-east", "us-east-", "a-b-c-d-1", "us-East-1", "us--1"],
    );
}

#[test]
fn patterns_of_key_stores_hold_too() {
    check(&rules::ACCOUNT_ID, &["111122223333"], &["11112222333", "11112222333x"]);
    check(
        &rules::CLOUD_HSM_CLUSTER_ID,
        &["cluster-abcdefghijk"],
        &["cluster-abcdefghij", "cluster-abcdefghij1", "custard-abcdefghijk"],
    );
    check(&rules::XKS_KEY_ID, &["a-b_c.d"], &["", "a/b"]);
    check(
        &rules::XKS_URI_ENDPOINT,
        &["https://a.b-c"],
        &["https://", "http://a.b.c", "https://a/b"],
    );
    check(
        &rules::XKS_URI_PATH,
        &["/kms/xks/v1", "/a/b_c-d/kms/xks/v12", "/kms/xks/v1/kms/xks/v1"],
        &["/kms/xks/v", "/kms/xks/v123", "a/kms/xks/v1", "//kms/xks/vx", "/a.b/kms/xks/v1"],
    );
    check(
        &rules::XKS_VPC_SERVICE_NAME,
        &[
            "com.amazonaws.vpce.us-east-1.vpce-svc-0a",
            "eu.amazonaws.vpce.eu-isoe-west-1.vpce-svc-0a",
        ],
        &["org.amazonaws.vpce.us-east-1.vpce-svc-0a", "com.amazonaws.vpce.us-east-1.vpce-svc-A"],
    );
}

#[test]
fn lengths_are_counted_as_java_does() {
    // One character beyond the basic plane is two of Java's.
    let astral = "\u{1f511}".repeat(64);
    check(&rules::TAG_KEY, &[&astral, &"\u{fc}".repeat(128)], &["", &"\u{1f511}".repeat(65)]);
    check(&rules::TAG_VALUE, &["", &"v".repeat(256)], &[&"v".repeat(257)]);
}
