"""Temporary credentials whose time is over, in KMS_SESSION."""

import json
import os

import kit


class Expired(kit.Case):
    def test_they_sign_nothing(self):
        over = kit.client(kit.Credential(json.loads(os.environ["KMS_SESSION"])))
        for _ in range(2):
            self.refused("ExpiredTokenException", over.list_keys,
                         says="The security token included in the request is expired")


if __name__ == "__main__":
    kit.main()
