//! `Accept` and `Content-Type`: what is agreed on was asked for. Two headers and the first bytes of a body.

use crate::input::texts;
use hypermesh_wire::{Accepted, BodyFormat, Encoding, Offer, PatchType, View};

/// Negotiates.
pub fn target(data: &[u8]) {
    let Some([accept, content_type, body]) = texts(data) else { return };
    for offer in [Offer::Objects, Offer::Watch, Offer::Discovery, Offer::Document] {
        let agreed = Accepted::negotiate(accept, offer);
        assert_eq!(agreed, Accepted::negotiate(accept, offer));
        match agreed {
            Err(status) => assert_eq!(status.code, 406),
            Ok(agreed) => {
                assert!(offer != Offer::Watch || agreed.encoding == Encoding::Json);
                let special = matches!(agreed.view, View::Table | View::Partial | View::AggregatedDiscovery);
                let asked = accept.to_ascii_lowercase().contains("as");
                assert!(!special || asked, "a form that was not asked for");
                let again = Accepted::negotiate(agreed.content_type(), offer).expect("its own answer");
                assert_eq!(again.encoding, agreed.encoding);
            }
        }
    }
    for protobuf in [false, true] {
        match BodyFormat::parse(content_type, protobuf) {
            Ok(format) => assert!(protobuf || format != BodyFormat::Protobuf),
            Err(status) => assert!([400, 415].contains(&status.code), "{}", status.code),
        }
    }
    for strategic in [false, true] {
        match PatchType::parse(content_type, strategic) {
            Ok(patch) => {
                assert!(strategic || patch != PatchType::StrategicMerge);
                patch.body_format(body.as_bytes());
            }
            Err(status) => assert!([400, 415].contains(&status.code), "{}", status.code),
        }
    }
}
