//! Operations that are known but not answered: of keys in several regions, and of key stores of
//! one's own.

use std::borrow::Cow;

use super::keys::KeyMetadata;
use super::request::{request, shape};
use super::response::{NoOutput, output, response};
use super::rules;
use super::tags::Tag;
use super::timestamp::Timestamp;
use super::values::{
    ConnectionErrorCode, ConnectionState, CustomKeyStoreType, XksProxyConnectivity,
};

request! {
    /// Asks for a sibling in another region.
    pub struct ReplicateKeyRequest<'a>: ReplicateKey -> ReplicateKeyResponse<'r> {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "ReplicaRegion" replica_region: required Cow<'a, str>, rules::REGION;
        "Policy" policy: optional Cow<'a, str>, rules::POLICY;
        "BypassPolicyLockoutSafetyCheck" bypass_policy_lockout_safety_check: defaulted bool;
        "Description" description: optional Cow<'a, str>, rules::DESCRIPTION;
        "Tags" tags: defaulted Vec<Tag<'a>>;
    }
}

response! {
    /// The sibling.
    pub struct ReplicateKeyResponse<'a> {
        "ReplicaKeyMetadata" replica_key_metadata: KeyMetadata<'a>;
        "ReplicaPolicy" replica_policy: Cow<'a, str>;
        "ReplicaTags" replica_tags: Vec<Tag<'a>>;
    }
}

request! {
    /// Asks that another sibling lead.
    pub struct UpdatePrimaryRegionRequest<'a>: UpdatePrimaryRegion -> NoOutput {
        "KeyId" key_id: required Cow<'a, str>, rules::KEY_ID;
        "PrimaryRegion" primary_region: required Cow<'a, str>, rules::REGION;
    }
}

request! {
    /// Asks for a key store.
    pub struct CreateCustomKeyStoreRequest<'a>:
        CreateCustomKeyStore -> CreateCustomKeyStoreResponse<'r>
    {
        "CustomKeyStoreName" custom_key_store_name: required Cow<'a, str>,
            rules::CUSTOM_KEY_STORE_NAME;
        "CloudHsmClusterId" cloud_hsm_cluster_id: optional Cow<'a, str>,
            rules::CLOUD_HSM_CLUSTER_ID;
        "TrustAnchorCertificate" trust_anchor_certificate: optional Cow<'a, str>,
            rules::TRUST_ANCHOR_CERTIFICATE;
        "KeyStorePassword" key_store_password: optional Cow<'a, str>, rules::KEY_STORE_PASSWORD;
        "CustomKeyStoreType" custom_key_store_type: optional CustomKeyStoreType;
        "XksProxyUriEndpoint" xks_proxy_uri_endpoint: optional Cow<'a, str>,
            rules::XKS_URI_ENDPOINT;
        "XksProxyUriPath" xks_proxy_uri_path: optional Cow<'a, str>, rules::XKS_URI_PATH;
        "XksProxyVpcEndpointServiceName" xks_proxy_vpc_endpoint_service_name: optional Cow<'a, str>,
            rules::XKS_VPC_SERVICE_NAME;
        "XksProxyVpcEndpointServiceOwner" xks_proxy_vpc_endpoint_service_owner:
            optional Cow<'a, str>,
            rules::ACCOUNT_ID;
        "XksProxyAuthenticationCredential" xks_proxy_authentication_credential:
            optional XksProxyAuthenticationCredential<'a>;
        "XksProxyConnectivity" xks_proxy_connectivity: optional XksProxyConnectivity;
    }
}

shape! {
    /// What the proxy of an external key store knows its caller by.
    pub struct XksProxyAuthenticationCredential<'a> {
        "AccessKeyId" access_key_id: required Cow<'a, str>, rules::XKS_ACCESS_KEY_ID;
        "RawSecretAccessKey" raw_secret_access_key: required Cow<'a, str>,
            rules::XKS_SECRET_ACCESS_KEY;
    }
}

response! {
    /// The key store.
    pub struct CreateCustomKeyStoreResponse<'a> {
        "CustomKeyStoreId" custom_key_store_id: Cow<'a, str>;
    }
}

request! {
    /// Asks for a connection to a key store.
    pub struct ConnectCustomKeyStoreRequest<'a>:
        ConnectCustomKeyStore -> ConnectCustomKeyStoreResponse
    {
        "CustomKeyStoreId" custom_key_store_id: required Cow<'a, str>, rules::CUSTOM_KEY_STORE_ID;
    }
}

response! {
    /// An empty object.
    pub struct ConnectCustomKeyStoreResponse {
    }
}

request! {
    /// Asks for its end.
    pub struct DisconnectCustomKeyStoreRequest<'a>:
        DisconnectCustomKeyStore -> DisconnectCustomKeyStoreResponse
    {
        "CustomKeyStoreId" custom_key_store_id: required Cow<'a, str>, rules::CUSTOM_KEY_STORE_ID;
    }
}

response! {
    /// An empty object.
    pub struct DisconnectCustomKeyStoreResponse {
    }
}

request! {
    /// Asks that a key store go.
    pub struct DeleteCustomKeyStoreRequest<'a>:
        DeleteCustomKeyStore -> DeleteCustomKeyStoreResponse
    {
        "CustomKeyStoreId" custom_key_store_id: required Cow<'a, str>, rules::CUSTOM_KEY_STORE_ID;
    }
}

response! {
    /// An empty object.
    pub struct DeleteCustomKeyStoreResponse {
    }
}

request! {
    /// Asks for changes to a key store.
    pub struct UpdateCustomKeyStoreRequest<'a>:
        UpdateCustomKeyStore -> UpdateCustomKeyStoreResponse
    {
        "CustomKeyStoreId" custom_key_store_id: required Cow<'a, str>, rules::CUSTOM_KEY_STORE_ID;
        "NewCustomKeyStoreName" new_custom_key_store_name: optional Cow<'a, str>,
            rules::CUSTOM_KEY_STORE_NAME;
        "KeyStorePassword" key_store_password: optional Cow<'a, str>, rules::KEY_STORE_PASSWORD;
        "CloudHsmClusterId" cloud_hsm_cluster_id: optional Cow<'a, str>,
            rules::CLOUD_HSM_CLUSTER_ID;
        "XksProxyUriEndpoint" xks_proxy_uri_endpoint: optional Cow<'a, str>,
            rules::XKS_URI_ENDPOINT;
        "XksProxyUriPath" xks_proxy_uri_path: optional Cow<'a, str>, rules::XKS_URI_PATH;
        "XksProxyVpcEndpointServiceName" xks_proxy_vpc_endpoint_service_name: optional Cow<'a, str>,
            rules::XKS_VPC_SERVICE_NAME;
        "XksProxyVpcEndpointServiceOwner" xks_proxy_vpc_endpoint_service_owner:
            optional Cow<'a, str>,
            rules::ACCOUNT_ID;
        "XksProxyAuthenticationCredential" xks_proxy_authentication_credential:
            optional XksProxyAuthenticationCredential<'a>;
        "XksProxyConnectivity" xks_proxy_connectivity: optional XksProxyConnectivity;
    }
}

response! {
    /// An empty object.
    pub struct UpdateCustomKeyStoreResponse {
    }
}

request! {
    /// Asks for the key stores.
    pub struct DescribeCustomKeyStoresRequest<'a>:
        DescribeCustomKeyStores -> DescribeCustomKeyStoresResponse<'r>
    {
        "CustomKeyStoreId" custom_key_store_id: optional Cow<'a, str>, rules::CUSTOM_KEY_STORE_ID;
        "CustomKeyStoreName" custom_key_store_name: optional Cow<'a, str>,
            rules::CUSTOM_KEY_STORE_NAME;
        "Limit" limit: optional i32, rules::LIMIT;
        "Marker" marker: optional Cow<'a, str>, rules::MARKER;
    }
}

response! {
    /// A page of them.
    pub struct DescribeCustomKeyStoresResponse<'a> {
        "CustomKeyStores" custom_key_stores: Vec<CustomKeyStoresListEntry<'a>>;
        "NextMarker" next_marker: Option<Cow<'a, str>>;
        "Truncated" truncated: bool;
    }
}

output! {
    /// One of them.
    pub struct CustomKeyStoresListEntry<'a> {
        "CustomKeyStoreId" custom_key_store_id: Cow<'a, str>;
        "CustomKeyStoreName" custom_key_store_name: Cow<'a, str>;
        "CloudHsmClusterId" cloud_hsm_cluster_id: Option<Cow<'a, str>>;
        "TrustAnchorCertificate" trust_anchor_certificate: Option<Cow<'a, str>>;
        "ConnectionState" connection_state: Option<ConnectionState>;
        "ConnectionErrorCode" connection_error_code: Option<ConnectionErrorCode>;
        "CreationDate" creation_date: Option<Timestamp>;
        "CustomKeyStoreType" custom_key_store_type: Option<CustomKeyStoreType>;
        "XksProxyConfiguration" xks_proxy_configuration: Option<XksProxyConfiguration<'a>>;
    }
}

output! {
    /// How its proxy is reached.
    pub struct XksProxyConfiguration<'a> {
        "Connectivity" connectivity: Option<XksProxyConnectivity>;
        "AccessKeyId" access_key_id: Option<Cow<'a, str>>;
        "UriEndpoint" uri_endpoint: Option<Cow<'a, str>>;
        "UriPath" uri_path: Option<Cow<'a, str>>;
        "VpcEndpointServiceName" vpc_endpoint_service_name: Option<Cow<'a, str>>;
        "VpcEndpointServiceOwner" vpc_endpoint_service_owner: Option<Cow<'a, str>>;
    }
}
