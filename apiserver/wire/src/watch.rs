//! Frames of a watch: `{"type":…,"object":…}` and a newline, around encoded objects that many watchers share.

use crate::list::{api_version, write_json};
use bytes::Bytes;
use hypermesh_api::Status;
use hypermesh_schemas::KindDefinition;
use serde_json::json;

/// What happened to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// It came into the selection.
    Added,
    /// It changed within the selection.
    Modified,
    /// It left the selection.
    Deleted,
    /// Nothing: it carries a resource version alone.
    Bookmark,
    /// The watch ends with this Status.
    Error,
}

impl EventType {
    /// `ADDED`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
            Self::Error => "ERROR",
        }
    }

    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Added => br#"{"type":"ADDED","object":"#,
            Self::Modified => br#"{"type":"MODIFIED","object":"#,
            Self::Deleted => br#"{"type":"DELETED","object":"#,
            Self::Bookmark => br#"{"type":"BOOKMARK","object":"#,
            Self::Error => br#"{"type":"ERROR","object":"#,
        }
    }
}

/// A frame in three parts, of which only the middle is not static: the object is shared, not copied.
pub fn frame_parts(event: EventType, object: Bytes) -> [Bytes; 3] {
    [Bytes::from_static(event.prefix()), object, Bytes::from_static(b"}\n")]
}

/// Appends a frame to a buffer that carries several.
pub fn write_frame(event: EventType, object: &[u8], out: &mut Vec<u8>) {
    let prefix = event.prefix();
    out.reserve(prefix.len() + object.len() + 2);
    out.extend_from_slice(prefix);
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
}

/// The object of a bookmark at `revision`. `initial_events_end` marks the end of a streamed list.
pub fn bookmark(definition: &KindDefinition, revision: u64, initial_events_end: bool) -> Bytes {
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if initial_events_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let object = json!({
        "apiVersion": api_version(&definition.group, &definition.version),
        "kind": definition.names.kind,
        "metadata": metadata,
    });
    let mut out = Vec::new();
    write_json(&object, &mut out);
    out.into()
}

/// The object of an error.
pub fn error(status: &Status) -> Bytes {
    let mut out = Vec::new();
    write_json(status, &mut out);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::asset;

    fn shown(event: EventType, object: Bytes) -> String {
        let mut out = Vec::new();
        write_frame(event, &object, &mut out);
        assert_eq!(frame_parts(event, object).concat(), out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn golden_frames() {
        insta::assert_snapshot!(shown(EventType::Bookmark, bookmark(&asset(), 6, true)), @r#"{"type":"BOOKMARK","object":{"apiVersion":"hm.example.com/v1","kind":"Asset","metadata":{"annotations":{"k8s.io/initial-events-end":"true"},"resourceVersion":"6"}}}"#);
        let expired = Status::expired("too old resource version: 1 (4)");
        insta::assert_snapshot!(shown(EventType::Error, error(&expired)), @r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (4)","reason":"Expired","code":410}}"#);
        insta::assert_snapshot!(shown(EventType::Added, Bytes::from_static(b"{}")), @r#"{"type":"ADDED","object":{}}"#);
    }

    #[test]
    fn the_object_is_not_copied() {
        let object = Bytes::from(vec![b'x'; 64]);
        let [_, shared, _] = frame_parts(EventType::Modified, object.clone());
        assert_eq!(shared.as_ptr(), object.as_ptr());
    }
}
