//! The values that AWS names, each set with all its names.
//!
//! Faults list a set in the order given here: AWS's own where its answers are on record, else the
//! published model's.

use std::borrow::Cow;

use super::faults::{Faults, Path, Shown};
use super::member::{Element, Member, Text};
use super::response::Value;

macro_rules! values {
    ($( $(#[$doc:meta])* pub enum $name:ident { $( $variant:ident = $text:literal, )* } )*) => { $(
        $(#[$doc])*
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Clone, Copy)]
        pub enum $name { $( $variant, )* }

        impl $name {
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }

            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $( $text => Some(Self::$variant), )*
                    _ => None,
                }
            }

            fn name_set() -> String {
                let names: Vec<&str> = Self::ALL.iter().map(|value| value.name()).collect();
                format!("satisfy enum value set: [{}]", names.join(", "))
            }
        }

        impl<'a> Member<'a> for $name {
            type Raw = Text<'a>;
            type Rule = ();

            fn check(
                Text(name): Text<'a>,
                _: &(),
                at: Option<&Path<'_>>,
                faults: &mut Faults,
            ) -> Option<Self> {
                let found = Self::from_name(&name);
                if let (None, Some(at)) = (found, at) {
                    faults.add(&Shown::Text(&name), at, format_args!("{}", Self::name_set()));
                }
                found
            }
        }

        impl<'a> Element<'a> for $name {
            type Rule = ();

            fn accept(name: Cow<'a, str>, _: &()) -> Option<Self> {
                Self::from_name(&name)
            }

            fn demands(_: &()) -> String {
                format!("Member must {}", Self::name_set())
            }

            fn hidden(_: &()) -> bool {
                false
            }
        }

        impl Value for $name {
            fn write(&self, out: &mut Vec<u8>) {
                self.name().write(out);
            }

            fn len_max(&self) -> usize {
                self.name().len() + 2
            }
        }
    )* };
}

values! {
    /// How key material is wrapped for its import.
    pub enum AlgorithmSpec {
        RsaesPkcs1V1_5 = "RSAES_PKCS1_V1_5",
        RsaesOaepSha1 = "RSAES_OAEP_SHA_1",
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
        RsaAesKeyWrapSha1 = "RSA_AES_KEY_WRAP_SHA_1",
        RsaAesKeyWrapSha256 = "RSA_AES_KEY_WRAP_SHA_256",
        Sm2pke = "SM2PKE",
    }

    /// Why a custom key store is not connected.
    pub enum ConnectionErrorCode {
        InvalidCredentials = "INVALID_CREDENTIALS",
        ClusterNotFound = "CLUSTER_NOT_FOUND",
        NetworkErrors = "NETWORK_ERRORS",
        InternalError = "INTERNAL_ERROR",
        InsufficientCloudhsmHsms = "INSUFFICIENT_CLOUDHSM_HSMS",
        UserLockedOut = "USER_LOCKED_OUT",
        UserNotFound = "USER_NOT_FOUND",
        UserLoggedIn = "USER_LOGGED_IN",
        SubnetNotFound = "SUBNET_NOT_FOUND",
        InsufficientFreeAddressesInSubnet = "INSUFFICIENT_FREE_ADDRESSES_IN_SUBNET",
        XksProxyAccessDenied = "XKS_PROXY_ACCESS_DENIED",
        XksProxyNotReachable = "XKS_PROXY_NOT_REACHABLE",
        XksVpcEndpointServiceNotFound = "XKS_VPC_ENDPOINT_SERVICE_NOT_FOUND",
        XksProxyInvalidResponse = "XKS_PROXY_INVALID_RESPONSE",
        XksProxyInvalidConfiguration = "XKS_PROXY_INVALID_CONFIGURATION",
        XksVpcEndpointServiceInvalidConfiguration =
            "XKS_VPC_ENDPOINT_SERVICE_INVALID_CONFIGURATION",
        XksProxyTimedOut = "XKS_PROXY_TIMED_OUT",
        XksProxyInvalidTlsConfiguration = "XKS_PROXY_INVALID_TLS_CONFIGURATION",
    }

    /// Whether a custom key store is connected.
    pub enum ConnectionState {
        Connected = "CONNECTED",
        Connecting = "CONNECTING",
        Failed = "FAILED",
        Disconnected = "DISCONNECTED",
        Disconnecting = "DISCONNECTING",
    }

    /// What a custom key store is made of.
    pub enum CustomKeyStoreType {
        AwsCloudhsm = "AWS_CLOUDHSM",
        ExternalKeyStore = "EXTERNAL_KEY_STORE",
    }

    /// The older name of [`KeySpec`], with the older of its values.
    pub enum CustomerMasterKeySpec {
        Rsa2048 = "RSA_2048",
        Rsa3072 = "RSA_3072",
        Rsa4096 = "RSA_4096",
        EccNistP256 = "ECC_NIST_P256",
        EccNistP384 = "ECC_NIST_P384",
        EccNistP521 = "ECC_NIST_P521",
        EccSecgP256k1 = "ECC_SECG_P256K1",
        SymmetricDefault = "SYMMETRIC_DEFAULT",
        Hmac224 = "HMAC_224",
        Hmac256 = "HMAC_256",
        Hmac384 = "HMAC_384",
        Hmac512 = "HMAC_512",
        Sm2 = "SM2",
    }

    /// What kind of key pair to make.
    pub enum DataKeyPairSpec {
        Rsa2048 = "RSA_2048",
        Rsa3072 = "RSA_3072",
        Rsa4096 = "RSA_4096",
        EccNistP256 = "ECC_NIST_P256",
        EccNistP384 = "ECC_NIST_P384",
        EccNistP521 = "ECC_NIST_P521",
        EccSecgP256k1 = "ECC_SECG_P256K1",
        Sm2 = "SM2",
        EccNistEdwards25519 = "ECC_NIST_EDWARDS25519",
        MlKem512 = "ML_KEM_512",
        MlKem768 = "ML_KEM_768",
        MlKem1024 = "ML_KEM_1024",
    }

    /// How long a data key is.
    pub enum DataKeySpec {
        Aes256 = "AES_256",
        Aes128 = "AES_128",
    }

    /// What a dry run leaves out.
    pub enum DryRunModifier {
        IgnoreCiphertext = "IGNORE_CIPHERTEXT",
    }

    /// How a shared secret is encapsulated.
    pub enum EncapsulationAlgorithmSpec {
        MlKem = "ML_KEM",
    }

    /// How a message is encrypted.
    pub enum EncryptionAlgorithmSpec {
        RsaesOaepSha1 = "RSAES_OAEP_SHA_1",
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
        Sm2pke = "SM2PKE",
        SymmetricDefault = "SYMMETRIC_DEFAULT",
    }

    /// Whether imported key material expires.
    pub enum ExpirationModel {
        KeyMaterialExpires = "KEY_MATERIAL_EXPIRES",
        KeyMaterialDoesNotExpire = "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }

    /// What a grant allows.
    pub enum GrantOperation {
        Decrypt = "Decrypt",
        Encrypt = "Encrypt",
        GenerateDataKey = "GenerateDataKey",
        GenerateDataKeyWithoutPlaintext = "GenerateDataKeyWithoutPlaintext",
        ReEncryptFrom = "ReEncryptFrom",
        ReEncryptTo = "ReEncryptTo",
        Sign = "Sign",
        Verify = "Verify",
        GetPublicKey = "GetPublicKey",
        CreateGrant = "CreateGrant",
        RetireGrant = "RetireGrant",
        DescribeKey = "DescribeKey",
        GenerateDataKeyPair = "GenerateDataKeyPair",
        GenerateDataKeyPairWithoutPlaintext = "GenerateDataKeyPairWithoutPlaintext",
        GenerateMac = "GenerateMac",
        VerifyMac = "VerifyMac",
        DeriveSharedSecret = "DeriveSharedSecret",
        Encapsulate = "Encapsulate",
        Decapsulate = "Decapsulate",
    }

    /// Whether the material of a rotation is there.
    pub enum ImportState {
        Imported = "IMPORTED",
        PendingImport = "PENDING_IMPORT",
    }

    /// Whether material is imported for the first time.
    pub enum ImportType {
        NewKeyMaterial = "NEW_KEY_MATERIAL",
        ExistingKeyMaterial = "EXISTING_KEY_MATERIAL",
    }

    /// Which of a key's material to list.
    pub enum IncludeKeyMaterial {
        AllKeyMaterial = "ALL_KEY_MATERIAL",
        RotationsOnly = "ROTATIONS_ONLY",
    }

    /// How a shared secret is agreed on.
    pub enum KeyAgreementAlgorithmSpec {
        Ecdh = "ECDH",
    }

    /// How a plaintext is encrypted for an enclave.
    pub enum KeyEncryptionMechanism {
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
    }

    /// The operations that count as a use of a key.
    pub enum KeyLastUsageTrackingOperation {
        Decrypt = "Decrypt",
        DeriveSharedSecret = "DeriveSharedSecret",
        Encrypt = "Encrypt",
        GenerateDataKey = "GenerateDataKey",
        GenerateDataKeyPair = "GenerateDataKeyPair",
        GenerateDataKeyPairWithoutPlaintext = "GenerateDataKeyPairWithoutPlaintext",
        GenerateDataKeyWithoutPlaintext = "GenerateDataKeyWithoutPlaintext",
        GenerateMac = "GenerateMac",
        ReEncrypt = "ReEncrypt",
        Sign = "Sign",
        Verify = "Verify",
        VerifyMac = "VerifyMac",
        Encapsulate = "Encapsulate",
        Decapsulate = "Decapsulate",
    }

    /// Who manages a key.
    pub enum KeyManager {
        Aws = "AWS",
        Customer = "CUSTOMER",
    }

    /// What key material is used for now.
    pub enum KeyMaterialState {
        NonCurrent = "NON_CURRENT",
        Current = "CURRENT",
        PendingRotation = "PENDING_ROTATION",
        PendingMultiRegionImportAndRotation = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION",
    }

    /// What a KMS key is made of.
    pub enum KeySpec {
        Rsa2048 = "RSA_2048",
        Rsa3072 = "RSA_3072",
        Rsa4096 = "RSA_4096",
        EccNistP256 = "ECC_NIST_P256",
        EccNistP384 = "ECC_NIST_P384",
        EccNistP521 = "ECC_NIST_P521",
        EccSecgP256k1 = "ECC_SECG_P256K1",
        EccNistEdwards25519 = "ECC_NIST_EDWARDS25519",
        SymmetricDefault = "SYMMETRIC_DEFAULT",
        Hmac224 = "HMAC_224",
        Hmac256 = "HMAC_256",
        Hmac384 = "HMAC_384",
        Hmac512 = "HMAC_512",
        Sm2 = "SM2",
        MlDsa44 = "ML_DSA_44",
        MlDsa65 = "ML_DSA_65",
        MlDsa87 = "ML_DSA_87",
        MlKem512 = "ML_KEM_512",
        MlKem768 = "ML_KEM_768",
        MlKem1024 = "ML_KEM_1024",
    }

    /// What may be done with a key at present.
    pub enum KeyState {
        Creating = "Creating",
        Enabled = "Enabled",
        Disabled = "Disabled",
        PendingDeletion = "PendingDeletion",
        PendingImport = "PendingImport",
        PendingReplicaDeletion = "PendingReplicaDeletion",
        Unavailable = "Unavailable",
        Updating = "Updating",
    }

    /// What a key is for, from its making on.
    pub enum KeyUsage {
        SignVerify = "SIGN_VERIFY",
        EncryptDecrypt = "ENCRYPT_DECRYPT",
        GenerateVerifyMac = "GENERATE_VERIFY_MAC",
        KeyAgreement = "KEY_AGREEMENT",
        EncapsulateDecapsulate = "ENCAPSULATE_DECAPSULATE",
    }

    /// How a message is authenticated.
    pub enum MacAlgorithmSpec {
        HmacSha384 = "HMAC_SHA_384",
        HmacSha256 = "HMAC_SHA_256",
        HmacSha224 = "HMAC_SHA_224",
        HmacSha512 = "HMAC_SHA_512",
    }

    /// What a message to be signed is: itself, or a digest of it.
    pub enum MessageType {
        Raw = "RAW",
        Digest = "DIGEST",
        ExternalMu = "EXTERNAL_MU",
    }

    /// What a multi-region key is to its siblings.
    pub enum MultiRegionKeyType {
        Primary = "PRIMARY",
        Replica = "REPLICA",
    }

    /// Where key material comes from.
    pub enum Origin {
        AwsKms = "AWS_KMS",
        External = "EXTERNAL",
        AwsCloudhsm = "AWS_CLOUDHSM",
        ExternalKeyStore = "EXTERNAL_KEY_STORE",
    }

    /// Whose keys to list.
    pub enum ResourceOwner {
        Own = "SELF",
        OtherAccountsViaRam = "OTHER_ACCOUNTS_VIA_RAM",
    }

    /// What set off a rotation.
    pub enum RotationType {
        Automatic = "AUTOMATIC",
        OnDemand = "ON_DEMAND",
    }

    /// How a message is signed.
    pub enum SigningAlgorithmSpec {
        RsassaPssSha256 = "RSASSA_PSS_SHA_256",
        RsassaPssSha384 = "RSASSA_PSS_SHA_384",
        RsassaPssSha512 = "RSASSA_PSS_SHA_512",
        RsassaPkcs1V1_5Sha256 = "RSASSA_PKCS1_V1_5_SHA_256",
        RsassaPkcs1V1_5Sha384 = "RSASSA_PKCS1_V1_5_SHA_384",
        RsassaPkcs1V1_5Sha512 = "RSASSA_PKCS1_V1_5_SHA_512",
        EcdsaSha256 = "ECDSA_SHA_256",
        EcdsaSha384 = "ECDSA_SHA_384",
        EcdsaSha512 = "ECDSA_SHA_512",
        Ed25519Sha512 = "ED25519_SHA_512",
        Ed25519PhSha512 = "ED25519_PH_SHA_512",
        Sm2dsa = "SM2DSA",
        MlDsaShake256 = "ML_DSA_SHAKE_256",
    }

    /// The key that wraps material for its import.
    pub enum WrappingKeySpec {
        Rsa2048 = "RSA_2048",
        Rsa3072 = "RSA_3072",
        Rsa4096 = "RSA_4096",
        Sm2 = "SM2",
    }

    /// How the proxy of an external key store is reached.
    pub enum XksProxyConnectivity {
        PublicEndpoint = "PUBLIC_ENDPOINT",
        VpcEndpointService = "VPC_ENDPOINT_SERVICE",
    }
}
