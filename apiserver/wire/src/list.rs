//! Pieces of a list around its items, so that a list streams without being held, and tokens that continue one.
//!
//! Metadata comes last: how many objects remain is known only once the items have gone by.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeError, Engine};
use hypermesh_api::{ListMeta, Status};
use hypermesh_schemas::KindDefinition;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What precedes the items of a list of whole objects; commas go between the items.
pub fn list_prefix(definition: &KindDefinition) -> Vec<u8> {
    let mut out = br#"{"apiVersion":"#.to_vec();
    write_json(&Value::from(api_version(&definition.group, &definition.version)), &mut out);
    out.extend_from_slice(br#","items":["#);
    out
}

/// What follows the items of a list of whole objects.
pub fn list_suffix(definition: &KindDefinition, meta: &ListMeta) -> Vec<u8> {
    let mut out = br#"],"kind":"#.to_vec();
    write_json(&Value::from(definition.names.list_kind.as_str()), &mut out);
    out.extend_from_slice(br#","metadata":"#);
    // `continue` is there even where it is empty, as in the lists of custom resources.
    let mut metadata = json!({"continue": meta.continue_, "resourceVersion": meta.resource_version});
    if let Some(count) = meta.remaining_item_count {
        metadata["remainingItemCount"] = count.into();
    }
    write_json(&metadata, &mut out);
    out.push(b'}');
    out
}

/// What precedes the items of a PartialObjectMetadataList.
pub const PARTIAL_PREFIX: &[u8] =
    br#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","items":["#;

/// What follows the items of a PartialObjectMetadataList, or the rows of a Table.
pub fn meta_suffix(meta: &ListMeta) -> Vec<u8> {
    let mut out = br#"],"metadata":"#.to_vec();
    write_json(meta, &mut out);
    out.push(b'}');
    out
}

/// `group/version`, or the version alone in the core group.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Appends `value` as JSON. What is written here has string keys and finite numbers, so it cannot fail.
pub(crate) fn write_json(value: &impl Serialize, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, value);
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// Where a list goes on. The token is opaque to clients, in the reference's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContinueToken {
    /// The revision at which the list began; `None` where it may go on at the newest one, inconsistently.
    pub revision: Option<u64>,
    /// The key, below the collection's prefix, from which it goes on.
    pub start: String,
    /// Which list it continues, where it says so: see [`list_id`].
    pub list: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    v: String,
    #[serde(default)]
    rv: i64,
    #[serde(default)]
    start: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    list: Option<u64>,
}

/// A number for what a list is of (collection, namespace, selectors), so that a token continues no other.
pub fn list_id(parts: &[&str]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    // 53 bits: what a client that looks inside reads as a double stays what it is.
    digest.iter().take(7).fold(0, |id, byte| id << 8 | u64::from(*byte)) >> 3
}

impl ContinueToken {
    /// The token as text.
    pub fn encode(&self) -> String {
        let encoded = Encoded {
            v: TOKEN_VERSION.into(),
            rv: self.revision.map_or(-1, |revision| i64::try_from(revision).unwrap_or(i64::MAX)),
            start: self.start.clone(),
            list: self.list,
        };
        let mut bytes = Vec::new();
        write_json(&encoded, &mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token. 400 where it is none, or its key would leave the collection.
    pub fn decode(token: &str) -> Result<Self, Box<Status>> {
        let bad = |why: String| Box::new(Self::invalid(&why));
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|why| bad(no_base64(&why)))?;
        let encoded: Encoded = serde_json::from_slice(&bytes)
            .map_err(|_| bad("it does not hold what a list of this server puts into it".into()))?;
        if encoded.v != TOKEN_VERSION {
            return Err(bad(format!("server does not recognize this encoded version {}", encoded.v)));
        }
        let revision = match encoded.rv {
            -1 => None,
            0 => return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".into())),
            rv => Some(u64::try_from(rv).map_err(|_| bad(format!("resource version {rv}")))?),
        };
        if encoded.start.is_empty() {
            return Err(bad("encoded start key empty (version meta.k8s.io/v1)".into()));
        }
        let path = encoded.start.strip_prefix('/').unwrap_or(&encoded.start);
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(bad(encoded.start));
        }
        Ok(Self { revision, start: encoded.start, list: encoded.list })
    }

    /// 400 for a token that cannot be continued from.
    pub fn invalid(why: &str) -> Status {
        Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
    }

    /// 400 unless the token is of the list that is asked for, or does not say.
    pub fn check_list(&self, list: u64) -> Result<(), Box<Status>> {
        if self.list.is_none_or(|own| own == list) {
            return Ok(());
        }
        let why = "it continues another list: path, labelSelector and fieldSelector must be those of the request that it \
                   came from";
        Err(Box::new(Self::invalid(why)))
    }

    /// 410 for a token whose revision is no longer kept. Its metadata holds a token with which the rest can be had,
    /// inconsistently.
    pub fn expired(&self) -> Status {
        let mut status = Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new \
             list without the continue parameter, or use the continue token in this response to retrieve the \
             remainder of the results. Continuing with the provided token results in an inconsistent list - objects \
             that were created, modified, or deleted between the time the first chunk was returned and now may show \
             up in the list.",
        );
        status.metadata.continue_ = Self { revision: None, ..self.clone() }.encode();
        status
    }
}

/// Where text stops to be base64, in the words of Go.
fn no_base64(why: &DecodeError) -> String {
    match why {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol { offset: at, .. } => {
            format!("illegal base64 data at input byte {at}")
        }
        DecodeError::InvalidLength(length) => format!("illegal base64 data at input byte {length}"),
        DecodeError::InvalidPadding => "illegal base64 data: it has padding (=)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::asset;
    use proptest::prelude::*;

    #[test]
    fn golden_envelope() {
        let meta = ListMeta { resource_version: "6".into(), ..ListMeta::default() };
        let list = [list_prefix(&asset()), b"{}".to_vec(), list_suffix(&asset(), &meta)].concat();
        insta::assert_snapshot!(String::from_utf8(list).unwrap(), @r#"{"apiVersion":"hm.example.com/v1","items":[{}],"kind":"AssetList","metadata":{"continue":"","resourceVersion":"6"}}"#);
        let meta = ListMeta { remaining_item_count: Some(3), continue_: "t".into(), ..meta };
        let list = [PARTIAL_PREFIX.to_vec(), meta_suffix(&meta)].concat();
        insta::assert_snapshot!(String::from_utf8(list).unwrap(), @r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","items":[],"metadata":{"resourceVersion":"6","continue":"t","remainingItemCount":3}}"#);
    }

    #[test]
    fn golden_token() {
        let text = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6Niwic3RhcnQiOiIvYTFcdTAwMDAifQ";
        let token = ContinueToken { revision: Some(6), start: "/a1\0".into(), list: None };
        assert_eq!(ContinueToken::decode(text).unwrap(), token);
        assert_eq!(token.encode(), text);
    }

    #[test]
    fn an_expired_token_offers_the_rest() {
        let token = ContinueToken { revision: Some(6), start: "/a1\0".into(), list: Some(7) };
        let status = token.expired();
        assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
        let rest = ContinueToken::decode(&status.metadata.continue_).unwrap();
        assert_eq!(rest, ContinueToken { revision: None, ..token });
    }

    #[test]
    fn a_token_continues_the_list_that_it_came_from() {
        let own = list_id(&["/secrets", "default", "a=b", ""]);
        let token = ContinueToken { revision: Some(6), start: "/a1\0".into(), list: Some(own) };
        let token = ContinueToken::decode(&token.encode()).unwrap();
        assert!(token.check_list(own).is_ok());
        for other in [
            ["/configmaps", "default", "a=b", ""],
            ["/secrets", "", "a=b", ""],
            ["/secrets", "default", "", "a=b"],
        ] {
            let status = token.check_list(list_id(&other)).unwrap_err();
            assert_eq!(status.code, 400);
            assert!(
                status.message.starts_with("invalid continue token: continue key is not valid: "),
                "{status}"
            );
        }
        assert!(ContinueToken { list: None, ..token }.check_list(own).is_ok());
    }

    #[test]
    fn refusals_of_tokens_are_in_words() {
        let told = |text: &str| ContinueToken::decode(text).unwrap_err().message;
        let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let texts = [
            told("a%"),
            told("abcde"),
            told("YWI="),
            told(&encode("[1]")),
            told(&encode("{")),
            told(&encode(r#"{"v":"v2","rv":1,"start":"a"}"#)),
        ];
        insta::assert_snapshot!(texts.join("\n"), @r#"
invalid continue token: continue key is not valid: illegal base64 data at input byte 1
invalid continue token: continue key is not valid: illegal base64 data at input byte 5
invalid continue token: continue key is not valid: illegal base64 data: it has padding (=)
invalid continue token: continue key is not valid: it does not hold what a list of this server puts into it
invalid continue token: continue key is not valid: it does not hold what a list of this server puts into it
invalid continue token: continue key is not valid: server does not recognize this encoded version v2
"#);
    }

    #[test]
    fn hostile_tokens() {
        let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);
        for bad in [
            "%%%".to_owned(),
            String::new(),
            encode("{}"),
            encode(r#"{"v":"v2","rv":1,"start":"a"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":-2,"start":"a"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":""}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"/../secrets/x"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a//b"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a/./b"}"#),
        ] {
            assert_eq!(ContinueToken::decode(&bad).unwrap_err().code, 400, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn tokens_round_trip(revision in 1..i64::MAX as u64, start in "[a-z]{1,9}(/[a-z]{1,9})?\0?") {
            let token = ContinueToken { revision: Some(revision), start, list: Some(revision >> 20) };
            prop_assert_eq!(ContinueToken::decode(&token.encode()).unwrap(), token);
        }
    }
}
