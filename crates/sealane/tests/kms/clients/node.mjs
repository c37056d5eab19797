// The AWS SDK for JavaScript. KMS_ENDPOINT and AWS_* are set.
import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { createRequire } from "node:module";

const require = createRequire(process.env.KMS_MODULES + "/");
const {
  KMSClient, CreateKeyCommand, EncryptCommand, DecryptCommand, SignCommand, VerifyCommand,
  GetPublicKeyCommand, ListKeysCommand, paginateListKeys, DisabledException, DisableKeyCommand,
  InvalidCiphertextException, KMSInvalidSignatureException, NotFoundException,
} = require("@aws-sdk/client-kms");

const kms = new KMSClient({ endpoint: process.env.KMS_ENDPOINT, region: "us-east-1", maxAttempts: 1 });
const made = async (input) => (await kms.send(new CreateKeyCommand(input))).KeyMetadata;

const key = await made({ Description: "from JavaScript" });
assert.equal(key.KeyState, "Enabled");
assert.ok(Math.abs(key.CreationDate - Date.now()) < 60_000);
const Plaintext = Buffer.from("zażółć");
const EncryptionContext = { purpose: "javascript" };
const sealed = await kms.send(new EncryptCommand({ KeyId: key.KeyId, Plaintext, EncryptionContext }));
const CiphertextBlob = sealed.CiphertextBlob;
const opened = await kms.send(new DecryptCommand({ CiphertextBlob, EncryptionContext }));
assert.deepEqual(Buffer.from(opened.Plaintext), Plaintext);
await assert.rejects(kms.send(new DecryptCommand({ CiphertextBlob })), InvalidCiphertextException);

const pair = await made({ KeySpec: "ECC_NIST_P384", KeyUsage: "SIGN_VERIFY" });
const how = { KeyId: pair.KeyId, Message: Plaintext, SigningAlgorithm: "ECDSA_SHA_384" };
const { Signature } = await kms.send(new SignCommand(how));
assert.equal((await kms.send(new VerifyCommand({ ...how, Signature }))).SignatureValid, true);
const { PublicKey } = await kms.send(new GetPublicKeyCommand({ KeyId: pair.KeyId }));
const loaded = createPublicKey({ key: Buffer.from(PublicKey), format: "der", type: "spki" });
assert.ok(verify("sha384", Plaintext, loaded, Signature));
await assert.rejects(
  kms.send(new VerifyCommand({ ...how, Message: Buffer.from("else"), Signature })),
  KMSInvalidSignatureException,
);

await kms.send(new DisableKeyCommand({ KeyId: key.KeyId }));
await assert.rejects(
  kms.send(new EncryptCommand({ KeyId: key.KeyId, Plaintext })),
  (error) => error instanceof DisabledException && error.name === "DisabledException"
    && error.message === `${key.Arn} is disabled.` && error.$metadata.httpStatusCode === 400
    && Boolean(error.$metadata.requestId),
);
await assert.rejects(kms.send(new EncryptCommand({ KeyId: "alias/none", Plaintext })), NotFoundException);
const listed = [];
for await (const page of paginateListKeys({ client: kms, pageSize: 1 }, {})) {
  listed.push(...page.Keys.map((one) => one.KeyId));
}
assert.ok(listed.includes(key.KeyId) && listed.includes(pair.KeyId));
assert.equal((await kms.send(new ListKeysCommand({ Limit: 1 }))).Truncated, true);
