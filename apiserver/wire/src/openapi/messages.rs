//! Messages of gnostic's `openapi.v3` (google/gnostic-models, openapiv3/OpenAPIv3.proto): those that the documents need, with
//! the fields that they have. A `oneof` stands here as the optional field that is set.

use crate::gnostic::{Any, NamedAny};
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Info {
    #[prost(string, tag = "1")]
    pub title: String,
    #[prost(string, tag = "6")]
    pub version: String,
}

/// Without `paths` (4) and `components` (5): those are encoded as they come.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Head {
    #[prost(string, tag = "1")]
    pub openapi: String,
    #[prost(message, optional, tag = "2")]
    pub info: Option<Info>,
}

/// Where `Paths` stands in a `Document`, and a path in it.
pub(super) const PATHS: u32 = 4;
pub(super) const PATHS_PATH: u32 = 1;
/// Where `Components` stands in a `Document`, its schemas in that, and a schema in those.
pub(super) const COMPONENTS: u32 = 5;
pub(super) const COMPONENTS_SCHEMAS: u32 = 1;
pub(super) const SCHEMAS_SCHEMA: u32 = 1;
/// Where the security schemes stand in `Components`.
pub(super) const COMPONENTS_SECURITY_SCHEMES: u32 = 7;

#[derive(Clone, PartialEq, Message)]
pub(super) struct SecurityScheme {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "2")]
    pub description: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub place: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SecuritySchemeOrReference {
    #[prost(message, optional, tag = "1")]
    pub security_scheme: Option<SecurityScheme>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedSecurityScheme {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<SecuritySchemeOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SecuritySchemes {
    #[prost(message, repeated, tag = "1")]
    pub additional_properties: Vec<NamedSecurityScheme>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedPathItem {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<PathItem>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PathItem {
    #[prost(message, optional, tag = "4")]
    pub get: Option<Operation>,
    #[prost(message, optional, tag = "5")]
    pub put: Option<Operation>,
    #[prost(message, optional, tag = "6")]
    pub post: Option<Operation>,
    #[prost(message, optional, tag = "7")]
    pub delete: Option<Operation>,
    #[prost(message, optional, tag = "8")]
    pub options: Option<Operation>,
    #[prost(message, optional, tag = "9")]
    pub head: Option<Operation>,
    #[prost(message, optional, tag = "10")]
    pub patch: Option<Operation>,
    #[prost(message, repeated, tag = "13")]
    pub parameters: Vec<ParameterOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Operation {
    #[prost(string, repeated, tag = "1")]
    pub tags: Vec<String>,
    #[prost(string, tag = "3")]
    pub description: String,
    #[prost(string, tag = "5")]
    pub operation_id: String,
    #[prost(message, repeated, tag = "6")]
    pub parameters: Vec<ParameterOrReference>,
    #[prost(message, optional, tag = "7")]
    pub request_body: Option<RequestBodyOrReference>,
    #[prost(message, optional, tag = "8")]
    pub responses: Option<Responses>,
    #[prost(message, repeated, tag = "13")]
    pub extensions: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ParameterOrReference {
    #[prost(message, optional, tag = "1")]
    pub parameter: Option<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Parameter {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub place: String,
    #[prost(string, tag = "3")]
    pub description: String,
    #[prost(bool, tag = "4")]
    pub required: bool,
    #[prost(message, optional, tag = "10")]
    pub schema: Option<SchemaOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RequestBodyOrReference {
    #[prost(message, optional, tag = "1")]
    pub request_body: Option<RequestBody>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RequestBody {
    #[prost(message, optional, tag = "2")]
    pub content: Option<MediaTypes>,
    #[prost(bool, tag = "3")]
    pub required: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MediaTypes {
    #[prost(message, repeated, tag = "1")]
    pub additional_properties: Vec<NamedMediaType>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedMediaType {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<MediaType>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MediaType {
    #[prost(message, optional, tag = "1")]
    pub schema: Option<SchemaOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Responses {
    #[prost(message, repeated, tag = "2")]
    pub responses: Vec<NamedResponse>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedResponse {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<ResponseOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResponseOrReference {
    #[prost(message, optional, tag = "1")]
    pub response: Option<Response>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Response {
    #[prost(string, tag = "1")]
    pub description: String,
    #[prost(message, optional, tag = "3")]
    pub content: Option<MediaTypes>,
}

/// One of the two is set: kube-openapi's reader panics where none is.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SchemaOrReference {
    #[prost(message, optional, tag = "1")]
    pub schema: Option<Schema>,
    #[prost(message, optional, tag = "2")]
    pub reference: Option<Reference>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Reference {
    #[prost(string, tag = "1")]
    pub target: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedSchemaOrReference {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<SchemaOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Properties {
    #[prost(message, repeated, tag = "1")]
    pub additional_properties: Vec<NamedSchemaOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ItemsItem {
    #[prost(message, repeated, tag = "1")]
    pub schemas: Vec<SchemaOrReference>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AdditionalPropertiesItem {
    #[prost(message, optional, boxed, tag = "1")]
    pub schema: Option<Box<SchemaOrReference>>,
    #[prost(bool, optional, tag = "2")]
    pub boolean: Option<bool>,
}

/// There is no room for others than scalars.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DefaultType {
    #[prost(double, optional, tag = "1")]
    pub number: Option<f64>,
    #[prost(bool, optional, tag = "2")]
    pub boolean: Option<bool>,
    #[prost(string, optional, tag = "3")]
    pub text: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Schema {
    #[prost(bool, tag = "1")]
    pub nullable: bool,
    #[prost(bool, tag = "3")]
    pub read_only: bool,
    #[prost(bool, tag = "4")]
    pub write_only: bool,
    #[prost(message, optional, tag = "7")]
    pub example: Option<Any>,
    #[prost(bool, tag = "8")]
    pub deprecated: bool,
    #[prost(string, tag = "9")]
    pub title: String,
    #[prost(double, tag = "10")]
    pub multiple_of: f64,
    #[prost(double, tag = "11")]
    pub maximum: f64,
    #[prost(bool, tag = "12")]
    pub exclusive_maximum: bool,
    #[prost(double, tag = "13")]
    pub minimum: f64,
    #[prost(bool, tag = "14")]
    pub exclusive_minimum: bool,
    #[prost(int64, tag = "15")]
    pub max_length: i64,
    #[prost(int64, tag = "16")]
    pub min_length: i64,
    #[prost(string, tag = "17")]
    pub pattern: String,
    #[prost(int64, tag = "18")]
    pub max_items: i64,
    #[prost(int64, tag = "19")]
    pub min_items: i64,
    #[prost(bool, tag = "20")]
    pub unique_items: bool,
    #[prost(int64, tag = "21")]
    pub max_properties: i64,
    #[prost(int64, tag = "22")]
    pub min_properties: i64,
    #[prost(string, repeated, tag = "23")]
    pub required: Vec<String>,
    #[prost(message, repeated, tag = "24")]
    pub allowed: Vec<Any>,
    #[prost(string, tag = "25")]
    pub kind: String,
    #[prost(message, repeated, tag = "26")]
    pub all_of: Vec<SchemaOrReference>,
    #[prost(message, repeated, tag = "27")]
    pub one_of: Vec<SchemaOrReference>,
    #[prost(message, repeated, tag = "28")]
    pub any_of: Vec<SchemaOrReference>,
    #[prost(message, optional, boxed, tag = "29")]
    pub not: Option<Box<Schema>>,
    #[prost(message, optional, tag = "30")]
    pub items: Option<ItemsItem>,
    #[prost(message, optional, tag = "31")]
    pub properties: Option<Properties>,
    #[prost(message, optional, tag = "32")]
    pub additional_properties: Option<AdditionalPropertiesItem>,
    #[prost(message, optional, tag = "33")]
    pub default: Option<DefaultType>,
    #[prost(string, tag = "34")]
    pub description: String,
    #[prost(string, tag = "35")]
    pub format: String,
    #[prost(message, repeated, tag = "36")]
    pub extensions: Vec<NamedAny>,
}
