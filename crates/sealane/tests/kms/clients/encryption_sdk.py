"""The AWS Encryption SDK: one message under two KMS keys, opened by either."""

import logging
import os

import kit

# It logs each key that does not open, with all of its stack.
logging.disable(logging.CRITICAL)

# Before a client is made: the SDK's key providers make their own.
ME = kit.credential("encryption-sdk-test")
os.environ.update({
    "AWS_ENDPOINT_URL_KMS": kit.ENDPOINT, "AWS_DEFAULT_REGION": kit.REGION,
    "AWS_ACCESS_KEY_ID": ME.id, "AWS_SECRET_ACCESS_KEY": ME.secret,
})

import aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    CreateAwsKmsKeyringInput, CreateMultiKeyringInput,
)
from aws_encryption_sdk import CommitmentPolicy, StrictAwsKmsMasterKeyProvider

CONTEXT = {"tenant": "acme", "object": "invoice-17"}
PLAINTEXT = os.urandom(100_000)


class EncryptionSdk(kit.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sdk = aws_encryption_sdk.EncryptionSDKClient(
            commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)

    def keys(self):
        return [kit.key_arn(self.create()) for _ in range(2)]

    def opened_by_either(self, keys, seal, open_by):
        """`open_by` with one key opens as long as that key is not disabled."""
        blob = seal(keys)
        self.assertNotIn(PLAINTEXT[:32], blob)
        for key in keys:
            self.assertEqual(open_by([key], blob), PLAINTEXT)
        one, two = keys
        self.kms.disable_key(KeyId=one)
        self.assertEqual(open_by([two], blob), PLAINTEXT)
        self.assertEqual(open_by([one, two], blob), PLAINTEXT)
        for act in [lambda: open_by([one], blob), lambda: seal(keys),
                    lambda: open_by([two], blob, {**CONTEXT, "tenant": "globex"}),
                    lambda: open_by([two], blob[:-100] + b"x" + blob[-99:])]:
            with self.assertRaises(Exception):
                act()

    def test_master_key_providers(self):
        provider = lambda keys: StrictAwsKmsMasterKeyProvider(key_ids=keys)

        def seal(keys):
            blob, header = self.sdk.encrypt(
                source=PLAINTEXT, key_provider=provider(keys), encryption_context=CONTEXT)
            self.assertEqual(len(header.encrypted_data_keys), 2)
            return blob

        def open_by(keys, blob, context=CONTEXT):
            plaintext, header = self.sdk.decrypt(source=blob, key_provider=provider(keys))
            if not context.items() <= header.encryption_context.items():
                raise ValueError("another context")
            return plaintext

        self.opened_by_either(self.keys(), seal, open_by)

    def test_keyrings(self):
        providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
        client = kit.client(ME)

        def ring(keys):
            rings = [
                providers.create_aws_kms_keyring(
                    CreateAwsKmsKeyringInput(kms_key_id=key, kms_client=client))
                for key in keys
            ]
            return providers.create_multi_keyring(
                CreateMultiKeyringInput(generator=rings[0], child_keyrings=rings[1:]))

        def seal(keys):
            return self.sdk.encrypt(
                source=PLAINTEXT, keyring=ring(keys), encryption_context=CONTEXT)[0]

        def open_by(keys, blob, context=CONTEXT):
            return self.sdk.decrypt(source=blob, keyring=ring(keys), encryption_context=context)[0]

        self.opened_by_either(self.keys(), seal, open_by)


if __name__ == "__main__":
    kit.main()
