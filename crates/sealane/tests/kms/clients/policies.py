"""Key policies in IAM's language: who may do what, under which conditions."""

import json

import kit


class Policies(kit.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bob = kit.client(kit.credential("bob-test"))
        cls.admin = kit.client(kit.credential("admin-test"))
        cls.me_arn = kit.user_arn("policies-test")
        cls.bob_arn, cls.admin_arn = kit.user_arn("bob-test"), kit.user_arn("admin-test")

    def key_with(self, *statements):
        """A key that `self.kms` administers, with these statements beside."""
        return self.create(Policy=kit.policy(kit.allow_all(self.me_arn), *statements))

    def allow(self, action, who=None, **more):
        return {"Effect": "Allow", "Principal": {"AWS": who or self.bob_arn},
                "Action": action, "Resource": "*", **more}

    def deny(self, action, who=None, **more):
        return {**self.allow(action, who, **more), "Effect": "Deny"}

    def test_the_default(self):
        key = self.create()
        got = self.kms.get_key_policy(KeyId=key, PolicyName="default")
        self.assertEqual(got["PolicyName"], "default")
        [statement] = json.loads(got["Policy"])["Statement"]
        self.assertEqual(statement["Principal"], {"AWS": kit.ROOT})
        self.assertEqual((statement["Effect"], statement["Action"]), ("Allow", "kms:*"))
        self.assertEqual(self.kms.get_key_policy(KeyId=key)["Policy"], got["Policy"])
        self.assertEqual(self.kms.list_key_policies(KeyId=key)["PolicyNames"], ["default"])
        self.bob.encrypt(KeyId=key, Plaintext=b"x")
        # What was read can be put back.
        self.kms.put_key_policy(KeyId=key, Policy=got["Policy"])
        self.bob.encrypt(KeyId=key, Plaintext=b"x")

    def test_names(self):
        for act, arguments in [(self.kms.get_key_policy, {})]:
            self.refused("NotFoundException", act, KeyId=self.key, PolicyName="other",
                         says="No such policy exists", **arguments)
        self.refused("UnsupportedOperationException", self.kms.put_key_policy, KeyId=self.key,
                     PolicyName="other", Policy=kit.policy(kit.allow_all()),
                     says="Only default policy is supported")

    def test_what_is_not_allowed_is_refused(self):
        key = self.key_with(self.allow(["kms:Encrypt", "kms:DescribeKey"]))
        blob = self.bob.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        self.bob.describe_key(KeyId=key)
        error = self.denied(self.bob.decrypt, CiphertextBlob=blob)
        self.assertEqual(
            error["Message"],
            f"User: {self.bob_arn} is not authorized to perform: kms:Decrypt on resource: "
            f"{kit.key_arn(key)} because no resource-based policy allows the kms:Decrypt action",
        )
        self.denied(self.bob.generate_data_key, KeyId=key, KeySpec="AES_256")
        self.dry(self.bob.encrypt, KeyId=key, Plaintext=b"x")
        self.denied(self.bob.decrypt, KeyId=key, CiphertextBlob=blob, DryRun=True)
        # Whoever may not is not told what state the key is in.
        self.kms.disable_key(KeyId=key)
        self.denied(self.bob.decrypt, CiphertextBlob=blob)
        self.refused("DisabledException", self.bob.encrypt, KeyId=key, Plaintext=b"x")

    def test_denials_win(self):
        key = self.key_with(self.allow("kms:*"), self.deny("kms:Decrypt*"))
        blob = self.bob.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        error = self.denied(self.bob.decrypt, CiphertextBlob=blob)
        self.assertEqual(
            error["Message"],
            f"User: {self.bob_arn} is not authorized to perform: kms:Decrypt on resource: "
            f"{kit.key_arn(key)} with an explicit deny in a resource-based policy",
        )
        self.assertEqual(self.kms.decrypt(CiphertextBlob=blob)["Plaintext"], b"x")
        # A grant does not get around it.
        self.kms.create_grant(KeyId=key, GranteePrincipal=self.bob_arn, Operations=["Decrypt"])
        self.denied(self.bob.decrypt, CiphertextBlob=blob)

    def test_wildcards_and_exceptions(self):
        key = self.key_with(
            self.allow(["kms:GenerateDataKey*", "kms:?ncrypt"]),
            {"Effect": "Allow", "Principal": "*", "NotAction": ["kms:*Key*", "kms:Decrypt"],
             "Resource": "*", "Condition": {"StringLike": {"aws:username": "admin-*"}}},
        )
        self.bob.generate_data_key(KeyId=key, KeySpec="AES_256")
        self.bob.generate_data_key_pair(KeyId=key, KeyPairSpec="ECC_NIST_P256")
        blob = self.bob.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        self.denied(self.bob.list_grants, KeyId=key)
        self.admin.list_grants(KeyId=key)
        self.admin.encrypt(KeyId=key, Plaintext=b"x")
        self.denied(self.admin.describe_key, KeyId=key)
        self.denied(self.admin.decrypt, CiphertextBlob=blob)
        self.denied(self.admin.put_key_policy, KeyId=key, Policy=kit.policy(kit.allow_all()))

    def test_conditions_on_contexts(self):
        key = self.key_with(
            self.allow(["kms:Encrypt", "kms:Decrypt"], Condition={
                "StringEquals": {"kms:EncryptionContext:tenant": ["acme", "globex"]},
                "StringLike": {"kms:EncryptionContext:path": "/srv/*"},
            }),
            self.allow("kms:GenerateDataKey", Condition={
                "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]},
                "Null": {"kms:EncryptionContextKeys": "false"},
            }),
        )
        good = {"tenant": "acme", "path": "/srv/data"}
        how = {"KeyId": key, "Plaintext": b"x"}
        blob = self.bob.encrypt(EncryptionContext=good, **how)["CiphertextBlob"]
        self.bob.decrypt(CiphertextBlob=blob, EncryptionContext=good)
        for bad in [{}, {"tenant": "acme"}, {**good, "tenant": "initech"}, {**good, "path": "/etc"}]:
            self.denied(self.bob.encrypt, EncryptionContext=bad, **how)
        how = {"KeyId": key, "KeySpec": "AES_256"}
        for good in [{"a": "1"}, {"a": "1", "b": "2"}]:
            self.bob.generate_data_key(EncryptionContext=good, **how)
        for bad in [{}, {"a": "1", "c": "2"}]:
            self.denied(self.bob.generate_data_key, EncryptionContext=bad, **how)

    def test_conditions_on_the_request(self):
        alias = "alias/by-this-name"
        key = self.key_with(
            self.allow("kms:Encrypt", Condition={"StringEquals": {"kms:RequestAlias": alias}}),
            self.allow("kms:Decrypt", Condition={"Bool": {"aws:SecureTransport": "true"}}),
            self.allow("kms:ScheduleKeyDeletion", Condition={
                "NumericGreaterThanEquals": {"kms:ScheduleKeyDeletionPendingWindowInDays": "20"}}),
            self.allow("kms:GenerateDataKey", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}),
            self.allow("kms:DescribeKey", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
            self.allow("kms:TagResource", Condition={
                "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]},
                "StringEquals": {"aws:RequestTag/team": "payments"}}),
            self.allow("kms:CreateGrant", Condition={
                "ForAllValues:StringEquals": {"kms:GrantOperations": ["Encrypt", "Decrypt"]},
                "StringEquals": {"kms:GrantConstraintType": "EncryptionContextEquals"}}),
            self.allow("kms:GetKeyPolicy", "*", Condition={
                "ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{kit.ACCOUNT}:user/b*-test"}}),
        )
        self.kms.create_alias(AliasName=alias, TargetKeyId=key)
        self.denied(self.bob.encrypt, KeyId=key, Plaintext=b"x")
        blob = self.bob.encrypt(KeyId=alias, Plaintext=b"x")["CiphertextBlob"]
        # This server speaks plaintext.
        self.denied(self.bob.decrypt, CiphertextBlob=blob)
        self.bob.generate_data_key(KeyId=key, KeySpec="AES_256")
        self.denied(self.bob.describe_key, KeyId=key)
        for tags in [[("team", "search")], [("team", "payments"), ("more", "x")]]:
            self.denied(self.bob.tag_resource, KeyId=key,
                        Tags=[{"TagKey": name, "TagValue": value} for name, value in tags])
        self.bob.tag_resource(KeyId=key, Tags=[{"TagKey": "team", "TagValue": "payments"}])
        self.denied(self.admin.get_key_policy, KeyId=key)
        self.bob.get_key_policy(KeyId=key)
        grant = {"KeyId": key, "GranteePrincipal": self.bob_arn}
        equals = {"Constraints": {"EncryptionContextEquals": {"a": "b"}}}
        self.denied(self.bob.create_grant, Operations=["Decrypt"], **grant)
        self.denied(self.bob.create_grant, Operations=["Decrypt", "DescribeKey"], **grant, **equals)
        self.bob.create_grant(Operations=["Decrypt"], **grant, **equals)
        self.denied(self.bob.schedule_key_deletion, KeyId=key, PendingWindowInDays=7)
        self.bob.schedule_key_deletion(KeyId=key, PendingWindowInDays=21)

    def test_a_condition_on_a_grants_source_is_heard(self):
        source = "arn:aws:rds:us-east-1:123456789012:db:orders"
        key = self.key_with(
            self.allow("kms:CreateGrant"),
            self.deny("kms:CreateGrant", Condition={
                "ArnLike": {"kms:GrantConstraintSourceArn": "arn:aws:rds:*:*:*"}}))
        grant = {"KeyId": key, "GranteePrincipal": self.bob_arn, "Operations": ["Decrypt"]}
        self.denied(self.bob.create_grant, Constraints={"SourceArn": source}, **grant)
        self.bob.create_grant(
            Constraints={"SourceArn": source.replace(":rds:", ":s3:")}, **grant)

    def test_conditions_on_algorithms(self):
        key = self.create(
            KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY",
            Policy=kit.policy(kit.allow_all(self.me_arn), self.allow("kms:Sign", Condition={
                "StringLike": {"kms:SigningAlgorithm": "RSASSA_PSS_*"},
                "StringEquals": {"kms:MessageType": "DIGEST", "kms:KeySpec": "RSA_2048"},
            })),
        )
        how = {"KeyId": key, "Message": b"x" * 32, "SigningAlgorithm": "RSASSA_PSS_SHA_256"}
        self.bob.sign(MessageType="DIGEST", **how)
        self.denied(self.bob.sign, **how)
        self.denied(self.bob.sign, **{**how, "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"},
                    MessageType="DIGEST")

    def test_conditions_on_whose_the_caller_is(self):
        tenants = {one["name"]: one["id"] for one in kit.sealane("tenant", "list")}
        acme, globex = (kit.client(kit.credential("by-condition-test", name))
                        for name in ["acme", "globex"])
        callers = {"account": self.bob, "acme": acme, "globex": globex}
        anybody = lambda action, operator, name, value: self.allow(
            action, "*", Condition={operator: {name: value}})
        account = "kms:CallerAccount"
        key = self.key_with(
            anybody("kms:Encrypt", "StringEquals", "sealane:tenant", tenants["acme"]),
            # Nobody's is absent, and an absent value is equal to none.
            anybody("kms:GenerateDataKey", "Null", "sealane:tenant", "true"),
            anybody("kms:GenerateDataKeyWithoutPlaintext", "Null", "sealane:tenant", "false"),
            anybody("kms:GenerateDataKeyPair", "StringNotEquals", "sealane:tenant",
                    tenants["acme"]),
            # The number is that of the key's owner alone; others are called by their ids.
            anybody("kms:DescribeKey", "StringEquals", account, kit.ACCOUNT),
            anybody("kms:GetKeyPolicy", "StringEquals", account, tenants["globex"]),
            anybody("kms:ListGrants", "StringEquals", "aws:PrincipalAccount", kit.ACCOUNT),
        )
        arn = kit.key_arn(key)
        data_key = {"KeyId": arn, "KeySpec": "AES_256"}
        pair = {"KeyId": arn, "KeyPairSpec": "ECC_NIST_P256"}
        for act, arguments, allowed in [
            ("encrypt", {"KeyId": arn, "Plaintext": b"x"}, {"acme"}),
            ("generate_data_key", data_key, {"account"}),
            ("generate_data_key_without_plaintext", data_key, {"acme", "globex"}),
            ("generate_data_key_pair", pair, {"account", "globex"}),
            ("describe_key", {"KeyId": arn}, {"account"}),
            ("get_key_policy", {"KeyId": arn}, {"globex"}),
            ("list_grants", {"KeyId": arn}, {"account"}),
        ]:
            for who, caller in callers.items():
                with self.subTest(act=act, who=who):
                    if who in allowed:
                        getattr(caller, act)(**arguments)
                    else:
                        self.denied(getattr(caller, act), **arguments)
        # On a tenant's key the number stands for the tenant, and the account is a stranger.
        own = acme.create_key(Policy=kit.policy(
            kit.allow_all(),
            anybody("kms:Encrypt", "StringEquals", account, kit.ACCOUNT),
            self.deny("kms:GenerateDataKey", "*", Condition={
                "StringEquals": {"sealane:tenant": tenants["acme"]}}),
        ))["KeyMetadata"]["KeyId"]
        acme.encrypt(KeyId=own, Plaintext=b"x")
        self.denied(acme.generate_data_key, KeyId=own, KeySpec="AES_256")
        for stranger in [self.bob, globex]:
            self.denied(stranger.encrypt, KeyId=kit.key_arn(own), Plaintext=b"x")

    def test_whoever_locks_the_key_away_is_stopped(self):
        only_bob = kit.policy(kit.allow_all(self.bob_arn))
        says = "The new key policy will not allow you to update the key policy in the future."
        key = self.create()
        self.refused("MalformedPolicyDocumentException", self.kms.put_key_policy, KeyId=key,
                     Policy=only_bob, says=says)
        self.refused("MalformedPolicyDocumentException", self.kms.create_key, Policy=only_bob,
                     says=says)
        self.kms.encrypt(KeyId=key, Plaintext=b"x")
        self.kms.put_key_policy(KeyId=key, Policy=only_bob, BypassPolicyLockoutSafetyCheck=True)
        self.denied(self.kms.encrypt, KeyId=key, Plaintext=b"x")
        self.denied(self.kms.put_key_policy, KeyId=key, Policy=kit.policy(kit.allow_all()))
        self.bob.encrypt(KeyId=key, Plaintext=b"x")
        self.bob.put_key_policy(KeyId=key, Policy=kit.policy(kit.allow_all()))
        self.kms.encrypt(KeyId=key, Plaintext=b"x")
        made = self.create(Policy=only_bob, BypassPolicyLockoutSafetyCheck=True)
        self.denied(self.kms.describe_key, KeyId=made)

    def test_policies_that_are_none(self):
        whole = kit.allow_all()
        changed = lambda **more: kit.policy({**whole, **more})
        without = lambda name: kit.policy({k: v for k, v in whole.items() if k != name})
        for text in [
            "{", "[]", "{}", '"x"', kit.policy(), without("Principal"), without("Effect"),
            without("Action"), without("Resource"), changed(Effect="allow"), changed(Effect="Permit"),
            changed(Action="s3"), changed(Principal={"AWS": "nobody"}),
            changed(Condition={"StringAlike": {"aws:username": "x"}}),
            changed(Condition={"StringEquals": {"kms:NoSuchKey": "x"}}),
            # Known, and only in policies of identities.
            changed(Condition={"StringEquals": {"aws:ResourceTag/stage": "test"}}),
            changed(More="x"), json.dumps({"Version": "2020-01-01", "Statement": [whole]}),
        ]:
            with self.subTest(policy=text):
                self.refused("MalformedPolicyDocumentException", self.kms.put_key_policy,
                             KeyId=self.key, Policy=text)
                self.refused("MalformedPolicyDocumentException", self.kms.create_key, Policy=text)
        self.invalid(self.raw.put_key_policy, KeyId=self.key, Policy="")
        self.invalid(self.raw.put_key_policy, KeyId=self.key, Policy=" " * 131073)
        self.bob.encrypt(KeyId=self.key, Plaintext=b"x")


if __name__ == "__main__":
    kit.main()
