//! The errors a request may be answered with.

use super::response::Value as _;

macro_rules! faults {
    ($( $(#[$doc:meta])* $name:ident = $text:literal $status:literal, )*) => {
        /// One of AWS's error types: those of its model, and those that every service of its has.
        #[derive(Debug, PartialEq, Eq, Hash, Clone, Copy)]
        pub enum KmsFault { $( $(#[$doc])* $name, )* }

        impl KmsFault {
            pub const ALL: &'static [Self] = &[$( Self::$name, )*];

            /// What the client's SDK finds its exception by.
            #[must_use]
            pub fn aws_type(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }

            /// 400 for nearly everything a caller can do wrong, missing rights included.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self { $( Self::$name => $status, )* }
            }
        }
    };
}

faults! {
    AlreadyExists = "AlreadyExistsException" 400,
    CloudHsmClusterInUse = "CloudHsmClusterInUseException" 400,
    CloudHsmClusterInvalidConfiguration = "CloudHsmClusterInvalidConfigurationException" 400,
    CloudHsmClusterNotActive = "CloudHsmClusterNotActiveException" 400,
    CloudHsmClusterNotFound = "CloudHsmClusterNotFoundException" 400,
    CloudHsmClusterNotRelated = "CloudHsmClusterNotRelatedException" 400,
    Conflict = "ConflictException" 400,
    CustomKeyStoreHasCmks = "CustomKeyStoreHasCMKsException" 400,
    CustomKeyStoreInvalidState = "CustomKeyStoreInvalidStateException" 400,
    CustomKeyStoreNameInUse = "CustomKeyStoreNameInUseException" 400,
    CustomKeyStoreNotFound = "CustomKeyStoreNotFoundException" 400,
    DependencyTimeout = "DependencyTimeoutException" 500,
    Disabled = "DisabledException" 400,
    DryRunOperation = "DryRunOperationException" 400,
    ExpiredImportToken = "ExpiredImportTokenException" 400,
    IncorrectKey = "IncorrectKeyException" 400,
    IncorrectKeyMaterial = "IncorrectKeyMaterialException" 400,
    IncorrectTrustAnchor = "IncorrectTrustAnchorException" 400,
    InvalidAliasName = "InvalidAliasNameException" 400,
    InvalidArn = "InvalidArnException" 400,
    InvalidCiphertext = "InvalidCiphertextException" 400,
    InvalidGrantId = "InvalidGrantIdException" 400,
    InvalidGrantToken = "InvalidGrantTokenException" 400,
    InvalidImportToken = "InvalidImportTokenException" 400,
    InvalidKeyUsage = "InvalidKeyUsageException" 400,
    InvalidMarker = "InvalidMarkerException" 400,
    KmsInternal = "KMSInternalException" 500,
    KmsInvalidMac = "KMSInvalidMacException" 400,
    KmsInvalidSignature = "KMSInvalidSignatureException" 400,
    KmsInvalidState = "KMSInvalidStateException" 400,
    KeyUnavailable = "KeyUnavailableException" 500,
    LimitExceeded = "LimitExceededException" 400,
    MalformedPolicyDocument = "MalformedPolicyDocumentException" 400,
    NotFound = "NotFoundException" 400,
    Tag = "TagException" 400,
    UnsupportedOperation = "UnsupportedOperationException" 400,
    XksKeyAlreadyInUse = "XksKeyAlreadyInUseException" 400,
    XksKeyInvalidConfiguration = "XksKeyInvalidConfigurationException" 400,
    XksKeyNotFound = "XksKeyNotFoundException" 400,
    XksProxyIncorrectAuthenticationCredential =
        "XksProxyIncorrectAuthenticationCredentialException" 400,
    XksProxyInvalidConfiguration = "XksProxyInvalidConfigurationException" 400,
    XksProxyInvalidResponse = "XksProxyInvalidResponseException" 400,
    XksProxyUriEndpointInUse = "XksProxyUriEndpointInUseException" 400,
    XksProxyUriInUse = "XksProxyUriInUseException" 400,
    XksProxyUriUnreachable = "XksProxyUriUnreachableException" 400,
    XksProxyVpcEndpointServiceInUse = "XksProxyVpcEndpointServiceInUseException" 400,
    XksProxyVpcEndpointServiceInvalidConfiguration =
        "XksProxyVpcEndpointServiceInvalidConfigurationException" 400,
    XksProxyVpcEndpointServiceNotFound = "XksProxyVpcEndpointServiceNotFoundException" 400,

    AccessDenied = "AccessDeniedException" 400,
    ExpiredToken = "ExpiredTokenException" 400,
    IncompleteSignature = "IncompleteSignatureException" 400,
    InternalFailure = "InternalFailure" 500,
    /// Of the request, by SigV4. A signature that Verify was asked about is `KmsInvalidSignature`.
    InvalidSignature = "InvalidSignatureException" 400,
    MissingAuthenticationToken = "MissingAuthenticationTokenException" 400,
    /// A name that is kept for AWS itself.
    NotAuthorized = "NotAuthorizedException" 400,
    RequestExpired = "RequestExpired" 400,
    Serialization = "SerializationException" 400,
    ServiceUnavailable = "ServiceUnavailableException" 503,
    Throttling = "ThrottlingException" 400,
    UnknownOperation = "UnknownOperationException" 400,
    UnrecognizedClient = "UnrecognizedClientException" 400,
    Validation = "ValidationException" 400,
}

impl KmsFault {
    /// Appends the body. Of a ciphertext, an HMAC or a signature that does not fit, AWS says
    /// nothing but the type, and neither is anything said here, whatever `message` is: why it does
    /// not fit is what an attacker would learn from.
    pub fn write_body(self, message: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"__type\":");
        self.aws_type().write(out);
        if let Some(message) = message.filter(|_| !self.is_silent()) {
            // AWS's own spelling. SDKs take either.
            let name: &[u8] =
                if self == Self::AccessDenied { b",\"Message\":" } else { b",\"message\":" };
            out.extend_from_slice(name);
            message.write(out);
        }
        out.push(b'}');
    }

    /// The body alone.
    #[must_use]
    pub fn body(self, message: Option<&str>) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_body(message, &mut out);
        out
    }

    fn is_silent(self) -> bool {
        matches!(self, Self::InvalidCiphertext | Self::KmsInvalidMac | Self::KmsInvalidSignature)
    }
}
