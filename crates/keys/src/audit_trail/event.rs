//! What happened, as far as it is known when it is recorded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crypto::Id;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct UnixMillis(pub u64);

/// One call, or one deed of the cell itself. Never holds plaintext, key bytes or tokens: of a grant
/// token its number is recorded, of a message its length at most.
#[derive(Clone, Debug)]
pub struct Event {
    /// Random, as it names the event wherever exports of several cells meet.
    pub id: Id,
    pub time: UnixMillis,
    /// Shared: one caller makes many events.
    pub identity: Arc<Identity>,
    /// AWS's name of the operation, or ours where AWS has none.
    pub name: Cow<'static, str>,
    pub origin: Origin,
    pub access: Access,
    pub region: Arc<str>,
    /// The account whose trail this is.
    pub account: Arc<str>,
    pub source_ip: Option<IpAddr>,
    pub user_agent: Option<String>,
    pub request: Option<Id>,
    /// ARNs of the keys that the call is about: `ReEncrypt` has two.
    pub keys: Vec<Arc<str>>,
    /// In the order in which they are to be written.
    pub parameters: Vec<(Cow<'static, str>, Parameter)>,
    /// None where the call was allowed and done.
    pub failure: Option<Failure>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    Call,
    /// The cell acted by itself: a rotation fell due, imported material expired.
    Cell,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    ReadOnly,
    Write,
}

/// The error as the caller was told it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub code: Cow<'static, str>,
    pub message: String,
}

/// A value among the request's parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parameter {
    Text(Cow<'static, str>),
    Number(u64),
    Flag(bool),
    List(Vec<String>),
    Map(BTreeMap<String, String>),
}

/// Who asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Identity {
    /// Signed with an access key of this cell.
    Aws(AwsIdentity),
    /// Showed an SVID.
    Workload { spiffe_id: String, account: Option<Arc<str>> },
    /// The process that serves a volume.
    Volume { volume: Id, tenant: Id },
    /// The control plane itself.
    Cell,
    /// The operator at the cell's own command line.
    Administrator,
    /// Nobody was established; the key id is what the caller claimed.
    Unknown { access_key: Option<String> },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AwsIdentity {
    pub kind: AwsIdentityKind,
    pub principal_id: Option<String>,
    pub arn: String,
    pub account: Arc<str>,
    pub access_key: Option<String>,
    pub user_name: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AwsIdentityKind {
    Root,
    IamUser,
    AssumedRole,
    FederatedUser,
    /// A principal of another account.
    AwsAccount,
}

impl AwsIdentityKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Root => "Root",
            Self::IamUser => "IAMUser",
            Self::AssumedRole => "AssumedRole",
            Self::FederatedUser => "FederatedUser",
            Self::AwsAccount => "AWSAccount",
        }
    }
}

impl Event {
    /// A deed of the cell itself, with nothing in it yet but its name.
    #[must_use]
    pub fn of_cell(
        id: Id,
        time: UnixMillis,
        name: &'static str,
        region: Arc<str>,
        account: Arc<str>,
    ) -> Self {
        Self {
            id,
            time,
            identity: Arc::new(Identity::Cell),
            name: Cow::Borrowed(name),
            origin: Origin::Cell,
            access: Access::Write,
            region,
            account,
            source_ip: None,
            user_agent: None,
            request: None,
            keys: Vec::new(),
            parameters: Vec::new(),
            failure: None,
        }
    }
}
