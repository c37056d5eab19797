"""What all suites here share: clients of the server under test, and what was asked of it.

The test beside this folder starts the server and says in the environment where it is."""

import base64
import json
import os
import re
import subprocess
import unittest

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = os.environ["KMS_ENDPOINT"]
REGION = "us-east-1"
ACCOUNT = "123456789012"
# AWS KMS itself has them, and this KMS says that it has not.
UNSUPPORTED = {
    "ConnectCustomKeyStore", "CreateCustomKeyStore", "DeleteCustomKeyStore",
    "DescribeCustomKeyStores", "DisconnectCustomKeyStore", "UpdateCustomKeyStore",
    "ReplicateKey", "UpdatePrimaryRegion",
}

# By operation, what was answered: "ok", or error codes.
ANSWERS = {}


def sealane(*arguments):
    """A command of the binary under test, on the server's DIR; its output, from JSON."""
    line = [os.environ["SEALANE"], *arguments, "--output", "json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{arguments}: {done.stderr}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def audit_lines(last):
    """The newest records of the audit trail."""
    line = [os.environ["SEALANE"], "audit", "tail", "-n", str(last), "--output", "json"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Credential:
    def __init__(self, made):
        self.id = made["access_key_id"]
        self.secret = made["secret_access_key"]
        self.token = made.get("session_token")


def credential(name, tenant=None):
    of_tenant = ["--tenant", tenant] if tenant else []
    return Credential(sealane("kms", "credential", "create", name, *of_tenant))


def session(name, *more):
    return Credential(sealane("kms", "credential", "session", name, *more))


def client(by, validates=True, endpoint=ENDPOINT, region=REGION, **more):
    """A boto3 client that signs as `by`. One that does not validate sends what the model forbids."""
    config = Config(
        parameter_validation=validates,
        retries={"total_max_attempts": 1},
        connect_timeout=10,
        read_timeout=60,
    )
    made = boto3.client(
        "kms", endpoint_url=endpoint, region_name=region, config=config,
        aws_access_key_id=by.id, aws_secret_access_key=by.secret, aws_session_token=by.token,
        **more,
    )
    made.meta.events.register("after-call.kms", _note)
    return made


def _note(model, parsed, **_):
    code = parsed.get("Error", {}).get("Code", "ok")
    ANSWERS.setdefault(model.name, set()).add(code)


def key_arn(key_id):
    return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}"


def alias_arn(alias):
    return f"arn:aws:kms:{REGION}:{ACCOUNT}:{alias}"


def user_arn(name):
    return f"arn:aws:iam::{ACCOUNT}:user/{name}"


ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def allow_all(principal=ROOT):
    return {
        "Effect": "Allow", "Principal": {"AWS": principal}, "Action": "kms:*", "Resource": "*",
    }


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def unpadded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Case(unittest.TestCase):
    """A suite with a credential of the account, `self.kms`, and the same unvalidated, `self.raw`."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.me = credential(f"{cls.__name__.lower()}-test")
        cls.kms = client(cls.me)
        cls.raw = client(cls.me, validates=False)
        cls._key = None

    @property
    def key(self):
        """A symmetric key that no test changes."""
        if type(self)._key is None:
            type(self)._key = self.create()
        return type(self)._key

    def create(self, by=None, **more):
        return (by or self.kms).create_key(**more)["KeyMetadata"]["KeyId"]

    def state(self, key):
        return self.kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]

    def refused(self, code, act, *, says=None, **arguments):
        """`act` is refused with `code`, and with `says` as the message, where that is a text, or
        with a message that it matches, where it is a pattern."""
        with self.assertRaises(ClientError) as caught:
            act(**arguments)
        error = caught.exception.response["Error"]
        self.assertEqual(error["Code"], code, error)
        if isinstance(says, re.Pattern):
            self.assertRegex(error["Message"], says)
        elif says is not None:
            self.assertEqual(error["Message"], says)
        # Whoever asks for help names the request.
        self.assertTrue(caught.exception.response["ResponseMetadata"]["RequestId"])
        return error

    def invalid(self, act, says=None, **arguments):
        self.refused("ValidationException", act, says=says, **arguments)

    def denied(self, act, **arguments):
        return self.refused("AccessDeniedException", act, **arguments)

    def dry(self, act, **arguments):
        """A dry run of what would have succeeded."""
        self.refused(
            "DryRunOperationException", act, DryRun=True, **arguments,
            says="The request would have succeeded, but the DryRun option is set.",
        )

    def pages(self, act, members, limit, **arguments):
        """Everything that a list has, page by page."""
        found, marker = [], {}
        while True:
            page = act(Limit=limit, **arguments, **marker)
            self.assertLessEqual(len(page[members]), limit)
            found += page[members]
            self.assertEqual(page["Truncated"], "NextMarker" in page)
            if not page["Truncated"]:
                return found
            self.assertEqual(len(page[members]), limit)
            marker = {"Marker": page["NextMarker"]}


def main():
    """Runs the calling suite, then says what it asked for."""
    program = unittest.main(exit=False, verbosity=1)
    if into := os.environ.get("KMS_ANSWERS"):
        with open(into, "w", encoding="utf-8") as file:
            json.dump({name: sorted(codes) for name, codes in ANSWERS.items()}, file)
    raise SystemExit(0 if program.result.wasSuccessful() else 1)
