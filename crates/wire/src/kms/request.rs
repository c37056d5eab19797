//! How a request's body becomes a request.

use super::faults::Faults;
use super::member::Member;
use super::operation::Operation;
use super::response::Response;

/// The longest body that is read. The largest legal one carries an attestation document: 256 KiB,
/// which is 342 KiB of base64; ten grant tokens of 8 KiB and an encryption context fit beside it.
pub const BODY_BYTES_MAX: usize = 512 * 1024;

/// The input of one operation.
pub trait Request<'a>: Sized {
    const OPERATION: Operation;
    /// What the operation answers with.
    type Answer<'r>: Response;

    /// # Errors
    /// [`RequestFault`], with all that is wrong with the members at once.
    fn parse(body: &'a [u8]) -> Result<Self, RequestFault>;
}

/// Why a body is not a request.
#[derive(Debug, PartialEq, Eq, Clone, thiserror::Error)]
pub enum RequestFault {
    /// Not of the request's form. `SerializationException`.
    #[error("the body is not a request: {0}")]
    Serialization(#[from] SerializationFault),
    /// Of the right form, with values that are not allowed. `ValidationException`, with this
    /// message. It repeats the caller's values, so it is for the caller and for no log.
    #[error("{0}")]
    Validation(String),
}

/// Says nothing of what stood there, which may have been a secret.
#[derive(Debug, PartialEq, Eq, Clone, Copy, thiserror::Error)]
pub enum SerializationFault {
    #[error("it is longer than {BODY_BYTES_MAX} bytes")]
    TooLong,
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it is not JSON")]
    NotJson,
    #[error("a member appears twice, or has a value of another type or base64 that is none")]
    Member,
}

/// Reads what `T` declares. An empty body counts as an empty object.
pub(crate) fn parse<'a, T: Member<'a, Rule = ()>>(body: &'a [u8]) -> Result<T, RequestFault> {
    if body.len() > BODY_BYTES_MAX {
        return Err(SerializationFault::TooLong.into());
    }
    let text = std::str::from_utf8(body).map_err(|_| SerializationFault::NotUtf8)?;
    let text = if text.is_empty() { "{}" } else { text };
    let raw: T::Raw = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => SerializationFault::Member,
        _ => SerializationFault::NotJson,
    })?;
    let mut faults = Faults::default();
    match T::check(raw, &(), None, &mut faults) {
        Some(request) if faults.is_empty() => Ok(request),
        _ => Err(faults.into_request_fault()),
    }
}

/// Declares structures that requests are made of, with how to read and check them: for each member
/// AWS's name, ours, whether it must be there, its type and, where its type has any, its limits.
///
/// `required T` must be there, `optional T` becomes an `Option<T>`, `defaulted T` is empty, zero or
/// false where it is absent. Explicit nulls are absent, as they are to AWS.
macro_rules! shape {
    (
        $(#[$doc:meta])*
        pub struct $name:ident $(<$life:lifetime>)? {
            $(
                $(#[$field_doc:meta])*
                $json:literal $field:ident: $need:ident $kind:ty $(, $rule:expr)?;
            )*
        }
        $(and $together:path)?
    ) => {
        $(#[$doc])*
        pub struct $name $(<$life>)? {
            $( $(#[$field_doc])* pub $field: $crate::kms::request::shape!(@type $need $kind), )*
        }

        // What a request holds is the caller's, and much of it secret.
        impl $(<$life>)? std::fmt::Debug for $name $(<$life>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }

        const _: () = {
            use $crate::kms::faults::{Faults, Path};
            use $crate::kms::member::{Member, Text, read_once};

            /// The members as they were sent, before any is judged.
            pub(crate) struct Raw<'a> {
                $( $field: Option<<$kind as Member<'a>>::Raw>, )*
            }

            // By hand: the derived form also takes an array, with the members by their order.
            impl<'a> serde::Deserialize<'a> for Raw<'a> {
                fn deserialize<D: serde::Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
                    from.deserialize_map(Members)
                }
            }

            struct Members;

            impl<'a> serde::de::Visitor<'a> for Members {
                type Value = Raw<'a>;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: serde::de::MapAccess<'a>>(
                    self,
                    mut map: A,
                ) -> Result<Raw<'a>, A::Error> {
                    $( let mut $field = None; )*
                    while let Some(name) = map.next_key::<Text<'a>>()? {
                        match &*name.0 {
                            $( $json => read_once(&mut map, &mut $field)?, )*
                            _ => {
                                map.next_value::<serde::de::IgnoredAny>()?;
                            }
                        }
                    }
                    Ok(Raw { $( $field: $field.flatten(), )* })
                }
            }

            impl<'a> Member<'a> for $name $(<$life>)? {
                type Raw = Raw<'a>;
                type Rule = ();

                fn check(
                    raw: Raw<'a>,
                    _rule: &(),
                    at: Option<&Path<'_>>,
                    faults: &mut Faults,
                ) -> Option<Self> {
                    $(
                        let $field = $crate::kms::request::shape!(@check $need)(
                            raw.$field,
                            &$crate::kms::request::shape!(@rule $($rule)?),
                            Path::member(at, $json),
                            faults,
                        );
                    )*
                    let whole = Self {
                        $( $field: $crate::kms::request::shape!(@take $need $field), )*
                    };
                    $( $together(&whole, faults); )?
                    Some(whole)
                }
            }
        };
    };
    (@type required $kind:ty) => { $kind };
    (@type optional $kind:ty) => { Option<$kind> };
    (@type defaulted $kind:ty) => { $kind };
    (@check required) => { $crate::kms::member::check_required };
    (@check optional) => { $crate::kms::member::check_optional };
    (@check defaulted) => { $crate::kms::member::check_optional };
    (@take required $field:ident) => { $field? };
    (@take optional $field:ident) => { $field };
    (@take defaulted $field:ident) => { $field.unwrap_or_default() };
    (@rule) => { () };
    (@rule $rule:expr) => { $rule };
}
pub(crate) use shape;

/// A [`shape!`] that is the whole input of an operation.
macro_rules! request {
    (
        $(#[$doc:meta])*
        pub struct $name:ident<'a>: $operation:ident -> $answer:ty { $($members:tt)* }
        $(and $together:path)?
    ) => {
        $crate::kms::request::shape! {
            $(#[$doc])*
            pub struct $name<'a> { $($members)* }
            $(and $together)?
        }

        impl<'a> $crate::kms::request::Request<'a> for $name<'a> {
            const OPERATION: $crate::kms::operation::Operation =
                $crate::kms::operation::Operation::$operation;
            type Answer<'r> = $answer;

            fn parse(body: &'a [u8]) -> Result<Self, $crate::kms::request::RequestFault> {
                $crate::kms::request::parse(body)
            }
        }
    };
}
pub(crate) use request;
