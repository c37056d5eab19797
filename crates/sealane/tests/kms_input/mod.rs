pub(crate) mod bodies;
pub(crate) mod crowds;
pub(crate) mod heads;
pub(crate) mod mutations;

use crate::kms_support::KmsServer;
use crate::kms_support::http::{Answer, Reply};
use crate::kms_support::signed::AccessKey;

/// A server and somebody who may call it.
pub(crate) struct Scene {
    pub(crate) server: KmsServer,
    pub(crate) key: AccessKey,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let server = KmsServer::started();
        let key = server.access_key("me");
        Self { server, key }
    }

    /// Sends `bytes` on a connection of their own and gives what comes of it.
    pub(crate) fn send(&self, bytes: &[u8]) -> Reply {
        let mut connection = self.server.connect();
        connection.send(bytes);
        connection.reply()
    }

    /// `bytes` must be answered with this status and type of error, in AWS's shape.
    #[track_caller]
    pub(crate) fn check(&self, what: &str, bytes: &[u8], status: u16, kind: &str) -> Answer {
        let Reply::Answer(answer) = self.send(bytes) else { panic!("{what}: closed") };
        let found = answer.aws_error();
        assert_eq!((answer.status, found.as_deref()), (status, Some(kind)), "{what}: {answer:?}");
        answer
    }

    /// `bytes` are no HTTP to be answered: refused without a body, or the connection is closed.
    #[track_caller]
    pub(crate) fn check_refused(&self, what: &str, bytes: &[u8]) {
        let mut connection = self.server.connect();
        connection.send(bytes);
        match connection.reply() {
            Reply::Closed => {}
            Reply::Answer(answer) => {
                assert!(answer.is_bare_refusal(), "{what}: {answer:?}");
                assert_eq!(connection.reply(), Reply::Closed, "{what}: goes on after {answer:?}");
            }
        }
    }

    pub(crate) fn end(mut self) {
        self.server.assert_well(&self.key);
    }
}
