//! Request bodies, turned into JSON before they are ordered, so that every replica decodes the same bytes with the
//! same decoder.

use crate::media::BodyFormat;
use crate::{protobuf, yaml};
use bytes::Bytes;
use hypermesh_api::{Status, json};

/// The longest body taken, in bytes.
pub const MAX_BODY: usize = 3 * 1024 * 1024;

/// Turns a body into JSON. JSON itself passes uncopied, once it is known to be well-formed and not too deep; its
/// duplicate keys stay for the pipeline to judge, and so do those of YAML.
///
/// # Errors
///
/// 413 over [`MAX_BODY`], 400 for what is malformed, 415 for a kind that has no protobuf form here.
pub fn transcode(body: &Bytes, format: BodyFormat) -> Result<Bytes, Box<Status>> {
    if body.len() > MAX_BODY {
        return Err(Box::new(Status::too_large(MAX_BODY)));
    }
    match format {
        BodyFormat::Json => {
            json::check_json(body).map_err(|why| {
                Box::new(Status::bad_request(format!("the body of the request is not valid JSON: {why}")))
            })?;
            Ok(body.clone())
        }
        BodyFormat::Yaml => yaml::to_json(body).map(Bytes::from),
        BodyFormat::Protobuf => protobuf::to_json(body).map(Bytes::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_is_not_copied() {
        let body = Bytes::from_static(br#"{"a":1,"a":2}"#);
        assert_eq!(transcode(&body, BodyFormat::Json).unwrap().as_ptr(), body.as_ptr());
    }

    #[test]
    fn refusals() {
        let refused = |body: Vec<u8>, format| {
            let status = transcode(&Bytes::from(body), format).unwrap_err();
            format!("{} {}", status.code, status.message)
        };
        insta::assert_snapshot!(refused(vec![b' '; MAX_BODY + 1], BodyFormat::Json), @"413 Request entity too large: limit is 3145728");
        insta::assert_snapshot!(refused(b"{\"a\":tru}".to_vec(), BodyFormat::Json), @r#"400 the body of the request is not valid JSON: line 1, column 9: expected true, false or null, found '}'"#);
        insta::assert_snapshot!(refused(vec![b'['; 4096], BodyFormat::Json), @r#"400 the body of the request is not valid JSON: line 1, column 121: nested deeper than 120 levels"#);
        insta::assert_snapshot!(refused(b"\"\xff\"".to_vec(), BodyFormat::Json), @r#"400 the body of the request is not valid JSON: line 1, column 2: a string is not UTF-8"#);
    }

    const CORPUS: [&str; 4] = [
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {app: web, \"x\": 'y'}\ndata:\n  k: |\n    line\n    two\n",
        "base: &base\n  a: 1\nuse:\n  - *base\n  - <<: *base\n    b: [1, 2.5, ~, yes]\n",
        "{\"apiVersion\": \"v1\", \"items\": [{\"a\": \"\\u00e9\\n\"}, -1.5e3, true, null], \"n\": {}}",
        "--- # comment\n? key\n: !!str 12\n\"folded\": >-\n  some\n  text\n...\n",
    ];

    proptest! {
        #[test]
        fn what_a_mutated_body_becomes_is_json_that_the_pipeline_takes(
            seed in 0usize..CORPUS.len(), edits in proptest::collection::vec((0usize..200, any::<u8>()), 0..4), cut in 0usize..400,
        ) {
            let mut body = CORPUS[seed].as_bytes().to_vec();
            for (at, byte) in edits {
                let at = at % body.len();
                body[at] = byte;
            }
            body.truncate(cut.max(1));
            let body = Bytes::from(body);
            for format in [BodyFormat::Json, BodyFormat::Yaml, BodyFormat::Protobuf] {
                if let Ok(json) = transcode(&body, format) {
                    prop_assert!(hypermesh_api::decode_json(&json).is_ok(), "{}", String::from_utf8_lossy(&json));
                }
            }
        }
    }
}
