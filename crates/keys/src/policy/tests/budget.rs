use std::cell::Cell;

use super::super::POLICY_BYTES_MAX;
use super::super::budget::{Budget, STEPS_MAX};
use super::*;

const CONTEXT_KEY: &str = "kms:encryptioncontext:name";
/// The longest that a context has.
const VALUE_BYTES: usize = 8192;

/// One fact under one key, and how often it was asked for.
struct Counted<'g> {
    value: &'g str,
    lookups: Cell<usize>,
}

impl Facts for Counted<'_> {
    fn get<'f>(&'f self, key: &'f str) -> FactValue<'f> {
        self.lookups.set(self.lookups.get() + 1);
        if key == CONTEXT_KEY { FactValue::One(self.value) } else { FactValue::Absent }
    }
}

/// A statement that holds where the value is like the pattern, which stands in it as often as a
/// policy has room for.
fn full_of(effect: &str, pattern: &str) -> String {
    let count = (POLICY_BYTES_MAX - 512) / (pattern.len() + 3);
    let patterns = vec![format!("\"{pattern}\""); count].join(",");
    format!(
        r#"{{"Effect":"{effect}","Principal":"*","Action":"kms:*","Resource":"*",
            "Condition":{{"StringLike":{{"kms:EncryptionContext:name":[{patterns}]}}}}}}"#
    )
}

/// What a policy says of a value, what that has cost, and how many facts were asked for.
fn evaluated(statements: &str, value: &str) -> (Verdict, usize, usize) {
    let document = document(statements);
    assert!(document.len() <= POLICY_BYTES_MAX);
    let (policy, budget) = (Policy::parse(&document).unwrap(), Budget::full());
    let facts = Counted { value, lookups: Cell::new(0) };
    let caller = user("ann");
    let request =
        Request { principal: &caller, action: "kms:Encrypt", resource: KEY, facts: &facts };
    let verdict = policy.evaluate_within(&budget, &request);
    (verdict, budget.spent(), facts.lookups.get())
}

const ALLOW: Verdict = Verdict::Allow { statement: 0, direct: true };
const DENY: Verdict = Verdict::ExplicitDeny { statement: 0 };

#[test]
fn the_longest_policy_on_the_longest_value_stays_within_its_budget() {
    let value = "a".repeat(VALUE_BYTES);
    for pattern in [
        format!("*{}b", "?".repeat(2000)),
        format!("*{}b", "?a".repeat(1000)),
        "*?b".to_owned(),
        "*?${kms:EncryptionContext:name}b".to_owned(),
        format!("*?{}b", "${kms:EncryptionContext:none, ''}".repeat(60)),
    ] {
        // No value is like any of them, and that is not found out.
        let (verdict, spent, lookups) = evaluated(&full_of("Allow", &pattern), &value);
        assert_eq!((verdict, spent), (Verdict::Silent, STEPS_MAX), "{pattern}");
        // Each costs 512 steps, but for the one of the condition's own key.
        assert!(lookups <= STEPS_MAX / 512 + 1, "{lookups} of {pattern}");
        let (verdict, spent, _) = evaluated(&full_of("Deny", &pattern), &value);
        assert_eq!((verdict, spent), (DENY, STEPS_MAX), "{pattern}");
    }
}

#[test]
fn a_star_costs_nothing_that_an_earlier_one_has_paid() {
    let value = "a".repeat(VALUE_BYTES);
    for stretch in ["*?", "*a", "*?a?"] {
        let pattern = format!("{}b", stretch.repeat(2000 / stretch.len()));
        let (verdict, spent, _) = evaluated(&full_of("Deny", &pattern), &value);
        assert_eq!(verdict, Verdict::Silent, "{pattern}");
        assert!(spent < STEPS_MAX, "{spent} of {pattern}");
    }
}

#[test]
fn what_was_decided_before_the_budget_was_spent_stays_decided() {
    let value = "a".repeat(VALUE_BYTES);
    let dear = format!("*{}b", "?".repeat(2000));
    let plain = r#"{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}"#;
    let with = |effect| evaluated(&format!("{plain},{}", full_of(effect, &dear)), &value).0;
    assert_eq!(with("Allow"), ALLOW);
    assert_eq!(with("Deny"), Verdict::ExplicitDeny { statement: 1 });
}

#[test]
fn an_honest_policy_takes_a_fifth_of_its_budget() {
    let value = format!("{}found", "ab".repeat(48));
    for (pattern, expected) in
        [("*missing*", Verdict::Silent), ("*found", ALLOW), ("*${aws:username}*", Verdict::Silent)]
    {
        let (verdict, spent, _) = evaluated(&full_of("Allow", pattern), &value);
        assert_eq!(verdict, expected, "{pattern}");
        assert!(spent * 5 <= STEPS_MAX, "{spent} of {pattern}");
    }
}
