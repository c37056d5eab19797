# The AWS CLI, as docs/kms.md begins: SEALANE, SEALANE_DIR and KMS_ENDPOINT are set, `aws` is on PATH.
set -euo pipefail

fail() { echo "cli.sh: $*" >&2; exit 1; }

source <("$SEALANE" kms credential create cli-test --output env)
[ -n "$AWS_ACCESS_KEY_ID" ] && [ -n "$AWS_SECRET_ACCESS_KEY" ] || fail "no credentials"
export AWS_DEFAULT_REGION=us-east-1 AWS_ENDPOINT_URL_KMS=$KMS_ENDPOINT AWS_PAGER=
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null

cd "$(mktemp -d -p "$KMS_FOLDER")"
key=$(aws kms create-key --description "made by hand" --query KeyMetadata.KeyId --output text)
aws kms create-alias --alias-name alias/cli --target-key-id "$key"
printf 'from the shell' > plain
aws kms encrypt --key-id alias/cli --plaintext fileb://plain --encryption-context purpose=cli \
    --query CiphertextBlob --output text | base64 -d > sealed
grep -q shell sealed && fail "the plaintext is in the ciphertext"
opened=$(aws kms decrypt --ciphertext-blob fileb://sealed --encryption-context purpose=cli \
    --query Plaintext --output text | base64 -d)
[ "$opened" = 'from the shell' ] || fail "decrypted to $opened"
said=$(aws kms decrypt --ciphertext-blob fileb://sealed 2>&1) && fail "another context decrypts"
[[ $said == *InvalidCiphertextException* ]] || fail "said: $said"
aws kms list-keys --query 'Keys[].KeyId' --output text | grep -q "$key" || fail "the key is not listed"

signing=$(aws kms create-key --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY \
    --query KeyMetadata.KeyId --output text)
aws kms sign --key-id "$signing" --message fileb://plain --message-type RAW \
    --signing-algorithm ECDSA_SHA_256 --query Signature --output text | base64 -d > signature
aws kms get-public-key --key-id "$signing" --query PublicKey --output text | base64 -d > public.der
openssl dgst -sha256 -verify <(openssl pkey -pubin -inform DER -in public.der) \
    -signature signature plain >&2 || fail "openssl does not verify it"
aws kms verify --key-id "$signing" --message fileb://plain --message-type RAW \
    --signing-algorithm ECDSA_SHA_256 --signature fileb://signature \
    --query SignatureValid --output text | grep -q True || fail "it does not verify its own"
aws kms disable-key --key-id "$key"
said=$(aws kms encrypt --key-id "$key" --plaintext fileb://plain 2>&1) && fail "a disabled key encrypts"
[[ $said == *DisabledException* ]] || fail "said: $said"

# Temporary credentials in their place, and a tenant's after them.
source <("$SEALANE" kms credential session cli-test --for 15m --output env)
aws kms describe-key --key-id "$signing" --query KeyMetadata.KeyState --output text | grep -q Enabled
source <("$SEALANE" kms credential create cli-test --tenant acme --output env)
[ -z "${AWS_SESSION_TOKEN:-}" ] || fail "the token of before is still there"
said=$(aws kms describe-key --key-id "$signing" 2>&1) && fail "a tenant sees the account's key"
[[ $said == *AccessDeniedException* ]] || fail "said: $said"
