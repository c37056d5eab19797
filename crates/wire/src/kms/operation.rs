//! The operations of AWS KMS, and which of them are answered.

/// What the header `X-Amz-Target` begins with.
pub const TARGET_PREFIX: &str = "TrentService.";

/// Whether an operation is answered.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Support {
    Supported,
    /// Known, parsed and refused with `UnsupportedOperationException`.
    Unsupported,
}

/// What an operation is about.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Family {
    Keys,
    Aliases,
    Cipher,
    DataKeys,
    Signing,
    Macs,
    Agreement,
    Grants,
    Policies,
    Rotation,
    Import,
    Tags,
    Random,
    MultiRegion,
    CustomKeyStores,
}

impl Family {
    /// In the order in which they are shown.
    pub const ALL: &'static [Self] = &[
        Self::Keys,
        Self::Aliases,
        Self::Cipher,
        Self::DataKeys,
        Self::Random,
        Self::Signing,
        Self::Macs,
        Self::Agreement,
        Self::Grants,
        Self::Policies,
        Self::Rotation,
        Self::Import,
        Self::Tags,
        Self::MultiRegion,
        Self::CustomKeyStores,
    ];

    /// What docs call it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Keys => "Keys",
            Self::Aliases => "Aliases",
            Self::Cipher => "Encryption",
            Self::DataKeys => "Data keys",
            Self::Signing => "Signatures",
            Self::Macs => "MACs",
            Self::Agreement => "Shared secrets",
            Self::Grants => "Grants",
            Self::Policies => "Key policies",
            Self::Rotation => "Rotation",
            Self::Import => "Imported key material",
            Self::Tags => "Tags",
            Self::Random => "Random bytes",
            Self::MultiRegion => "Multi-Region keys",
            Self::CustomKeyStores => "Custom key stores",
        }
    }
}

/// One line of the table.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Entry {
    pub operation: Operation,
    pub name: &'static str,
    pub family: Family,
    pub support: Support,
}

macro_rules! operations {
    ($( $name:ident $family:ident $support:ident, )*) => {
        #[derive(Debug, PartialEq, Eq, Hash, Clone, Copy)]
        pub enum Operation { $( $name, )* }

        /// By name, which is also the order of [`Operation`].
        const TABLE: &[Entry] = &[$( Entry {
            operation: Operation::$name,
            name: stringify!($name),
            family: Family::$family,
            support: Support::$support,
        }, )*];
    };
}

operations! {
    CancelKeyDeletion Keys Supported,
    ConnectCustomKeyStore CustomKeyStores Unsupported,
    CreateAlias Aliases Supported,
    CreateCustomKeyStore CustomKeyStores Unsupported,
    CreateGrant Grants Supported,
    CreateKey Keys Supported,
    Decapsulate Agreement Supported,
    Decrypt Cipher Supported,
    DeleteAlias Aliases Supported,
    DeleteCustomKeyStore CustomKeyStores Unsupported,
    DeleteImportedKeyMaterial Import Supported,
    DeriveSharedSecret Agreement Supported,
    DescribeCustomKeyStores CustomKeyStores Unsupported,
    DescribeKey Keys Supported,
    DisableKey Keys Supported,
    DisableKeyRotation Rotation Supported,
    DisconnectCustomKeyStore CustomKeyStores Unsupported,
    EnableKey Keys Supported,
    EnableKeyRotation Rotation Supported,
    Encapsulate Agreement Supported,
    Encrypt Cipher Supported,
    GenerateDataKey DataKeys Supported,
    GenerateDataKeyPair DataKeys Supported,
    GenerateDataKeyPairWithoutPlaintext DataKeys Supported,
    GenerateDataKeyWithoutPlaintext DataKeys Supported,
    GenerateMac Macs Supported,
    GenerateRandom Random Supported,
    GetKeyLastUsage Keys Supported,
    GetKeyPolicy Policies Supported,
    GetKeyRotationStatus Rotation Supported,
    GetParametersForImport Import Supported,
    GetPublicKey Keys Supported,
    ImportKeyMaterial Import Supported,
    ListAliases Aliases Supported,
    ListGrants Grants Supported,
    ListKeyPolicies Policies Supported,
    ListKeyRotations Rotation Supported,
    ListKeys Keys Supported,
    ListResourceTags Tags Supported,
    ListRetirableGrants Grants Supported,
    PutKeyPolicy Policies Supported,
    ReEncrypt Cipher Supported,
    ReplicateKey MultiRegion Unsupported,
    RetireGrant Grants Supported,
    RevokeGrant Grants Supported,
    RotateKeyOnDemand Rotation Supported,
    ScheduleKeyDeletion Keys Supported,
    Sign Signing Supported,
    TagResource Tags Supported,
    UntagResource Tags Supported,
    UpdateAlias Aliases Supported,
    UpdateCustomKeyStore CustomKeyStores Unsupported,
    UpdateKeyDescription Keys Supported,
    UpdatePrimaryRegion MultiRegion Unsupported,
    Verify Signing Supported,
    VerifyMac Macs Supported,
}

impl Operation {
    /// The whole API. What the docs say of it is generated from here.
    pub const ALL: &'static [Entry] = TABLE;

    /// What the header `X-Amz-Target` asks for. `None` is AWS's `UnknownOperationException`.
    #[must_use]
    pub fn from_target(target: &str) -> Option<Self> {
        let name = target.strip_prefix(TARGET_PREFIX)?;
        let found = TABLE.binary_search_by(|entry| entry.name.cmp(name)).ok()?;
        TABLE.get(found).map(|entry| entry.operation)
    }

    #[must_use]
    pub fn entry(self) -> &'static Entry {
        &TABLE[self as usize]
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    #[must_use]
    pub fn support(self) -> Support {
        self.entry().support
    }
}
