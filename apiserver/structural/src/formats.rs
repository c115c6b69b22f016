//! `format`: what a string or number claims to be.
//!
//! The formats that Kubernetes supports in custom resources since 1.34, with the strictness, and the oddities, of its
//! checks; a format outside the list constrains nothing. Source: `apiextensions-apiserver/pkg/apiserver/validation/
//! formats.go`, `kube-openapi/pkg/validation/strfmt`.

mod codes;
mod names;
mod network;
mod times;

use crate::schema::JsonType;

macro_rules! formats {
    ($($variant:ident $name:literal)*) => {
        /// A supported format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Format { $($variant),* }

        impl Format {
            const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in schemas and messages.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

formats! {
    Int32 "int32" Int64 "int64" Float "float" Double "double"
    BsonObjectId "bsonobjectid" Uri "uri" Email "email" Hostname "hostname" Ipv4 "ipv4" Ipv6 "ipv6" Cidr "cidr"
    Mac "mac" Uuid "uuid" Uuid3 "uuid3" Uuid4 "uuid4" Uuid5 "uuid5" Isbn "isbn" Isbn10 "isbn10" Isbn13 "isbn13"
    CreditCard "creditcard" Ssn "ssn" HexColor "hexcolor" RgbColor "rgbcolor" Byte "byte" Password "password"
    Date "date" Duration "duration" DateTime "date-time" ShortName "k8s-short-name" LongName "k8s-long-name"
}

impl Format {
    /// The format of this name, if it is supported for the type. Names of formats of strings may have hyphens anywhere.
    pub fn supported(name: &str, kind: Option<JsonType>) -> Option<Self> {
        let plain = |name: &str| name.chars().filter(|&c| c != '-').collect::<String>();
        let found = *Self::ALL.iter().find(|format| plain(format.name()) == plain(name))?;
        let supported = match found {
            Self::Int32 | Self::Int64 => kind == Some(JsonType::Integer) && name == found.name(),
            Self::Float | Self::Double => kind == Some(JsonType::Number) && name == found.name(),
            _ => matches!(kind, None | Some(JsonType::String)),
        };
        supported.then_some(found)
    }

    /// Whether a string is of this format; formats of numbers allow any.
    pub fn matches(self, text: &str) -> bool {
        match self {
            Self::Int32 | Self::Int64 | Self::Float | Self::Double | Self::Password => true,
            Self::BsonObjectId => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
            Self::Uri => names::is_request_uri(text),
            Self::Email => names::is_email(text),
            Self::Hostname => names::is_hostname(text),
            Self::ShortName => names::is_short_name(text),
            Self::LongName => names::is_long_name(text),
            Self::Ipv4 => network::is_ipv4(text),
            Self::Ipv6 => network::is_ipv6(text),
            Self::Cidr => network::is_cidr(text),
            Self::Mac => network::is_mac(text),
            Self::Uuid => codes::is_uuid(text, None),
            Self::Uuid3 => codes::is_uuid(text, Some(b'3')),
            Self::Uuid4 => codes::is_uuid(text, Some(b'4')),
            Self::Uuid5 => codes::is_uuid(text, Some(b'5')),
            Self::Isbn => codes::is_isbn10(text) || codes::is_isbn13(text),
            Self::Isbn10 => codes::is_isbn10(text),
            Self::Isbn13 => codes::is_isbn13(text),
            Self::CreditCard => codes::is_credit_card(text),
            Self::Ssn => codes::is_ssn(text),
            Self::HexColor => codes::is_hex_color(text),
            Self::RgbColor => codes::is_rgb_color(text),
            // Upstream's check takes no empty text, but is not asked of Secrets, whose values may be empty (RFC 4648,
            // section 10: nothing encodes to nothing).
            Self::Byte => text.is_empty() || codes::is_base64(text),
            Self::Date => times::is_date(text),
            Self::DateTime => times::is_date_time(text),
            Self::Duration => times::is_duration(text),
        }
    }
}

#[cfg(test)]
mod tests;
