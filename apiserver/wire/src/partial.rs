//! PartialObjectMetadata: an object's metadata alone, cut out of its encoded form.

use crate::raw;

/// Writes the PartialObjectMetadata of an encoded object.
pub fn write_partial(object: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#);
    out.extend_from_slice(raw::member(object, "metadata").unwrap_or(b"{}"));
    out.push(b'}');
}

/// The PartialObjectMetadata of an encoded object.
pub fn partial(object: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_partial(object, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_metadata_alone() {
        let object =
            br#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"data":{"metadata":"x"}}"#;
        insta::assert_snapshot!(String::from_utf8(partial(object)).unwrap(), @r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a"}}"#);
        insta::assert_snapshot!(String::from_utf8(partial(b"nonsense")).unwrap(), @r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{}}"#);
    }
}
