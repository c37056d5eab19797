//! Tables of many cases, each through one helper.

mod budget;
mod conditions;
mod documents;
mod evaluation;
mod properties;

use super::caller::{Caller, CallerKind};
use super::facts::{FactValue, Facts, NoFacts};
use super::{Policy, Request, Verdict};

const ACCOUNT: &str = "111122223333";
const OTHER: &str = "444455556666";
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/01010101-0101-0101-0101-010101010101";

/// Facts as a list.
#[derive(Clone, Copy)]
struct Given<'g>(&'g [(&'g str, FactValue<'g>)]);

impl Facts for Given<'_> {
    fn get<'f>(&'f self, key: &'f str) -> FactValue<'f> {
        self.0.iter().find(|(name, _)| *name == key).map_or(FactValue::Absent, |(_, value)| *value)
    }
}

fn caller(arn: String, account: &str, kind: CallerKind) -> Caller {
    Caller { arn, account: account.to_owned(), kind, tenant: None }
}

fn user(name: &str) -> Caller {
    user_of(ACCOUNT, name)
}

fn user_of(account: &str, name: &str) -> Caller {
    let kind = CallerKind::User { name: name.to_owned() };
    caller(format!("arn:aws:iam::{account}:user/{name}"), account, kind)
}

fn root_of(account: &str) -> Caller {
    caller(format!("arn:aws:iam::{account}:root"), account, CallerKind::Root)
}

fn session(role: &str) -> Caller {
    let name = role.rsplit('/').next().unwrap();
    let kind = CallerKind::AssumedRole { role_arn: format!("arn:aws:iam::{ACCOUNT}:role/{role}") };
    caller(format!("arn:aws:sts::{ACCOUNT}:assumed-role/{name}/s1"), ACCOUNT, kind)
}

fn workload(path: &str) -> Caller {
    caller(format!("spiffe://shop.example/{path}"), ACCOUNT, CallerKind::Workload)
}

/// A key policy of these statements.
fn policy(statements: &str) -> Policy {
    Policy::parse(&document(statements)).unwrap()
}

fn document(statements: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)
}

fn evaluate(policy: &Policy, principal: &Caller, action: &str, facts: &dyn Facts) -> Verdict {
    policy.evaluate(&Request { principal, action, resource: KEY, facts })
}

fn encrypt(policy: &Policy, principal: &Caller) -> Verdict {
    evaluate(policy, principal, "kms:Encrypt", &NoFacts)
}
