//! What is wrong with a YAML document, in words that name neither the decoder, nor its options, nor types of Rust.

use super::{MAX_ANCHORS, MAX_NODES, MAX_REPLAYED, MAX_YAML_DEPTH};
use crate::body::MAX_BODY;
use serde_saphyr::Error;
use serde_saphyr::budget::BudgetBreach;

/// The reason alone, in one line, without its place.
pub(super) fn of(error: &Error) -> String {
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => of(error),
        Error::Budget { breach, .. } => bound(breach),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => {
            format!("its aliases stand for more than {MAX_REPLAYED} values; write out what they stand for")
        }
        Error::MultipleDocuments { .. } => {
            "it holds several documents (---) where one is expected; send them one by one".to_owned()
        }
        Error::UnknownAnchor { .. } => {
            "an alias (*name) stands before its anchor (&name), or has none".to_owned()
        }
        Error::NonFiniteFloat { value, .. } => format!("the number {value} has no form in JSON"),
        Error::Eof { .. } => "the document ends too early, or is empty".to_owned(),
        Error::InvalidUtf8Input => "it is not UTF-8".to_owned(),
        Error::NullIntoString { .. }
        | Error::Unexpected { .. }
        | Error::TaggedScalarCannotDeserializeIntoString { .. }
        | Error::SerdeInvalidType { .. } => {
            "the name of a field must be text, and not a list, a map or null".to_owned()
        }
        Error::UnexpectedSequenceEnd { .. }
        | Error::UnexpectedMappingEnd { .. }
        | Error::ContainerEndMismatch { .. } => "a list or a map ends that did not begin".to_owned(),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias stands within its own anchor".to_owned()
        }
        Error::InvalidBinaryBase64 { .. } | Error::BinaryNotUtf8 { .. } => {
            "what is tagged !!binary must be base64 of text".to_owned()
        }
        other => {
            let text = other.to_string();
            let line = text.lines().next().unwrap_or_default();
            // The place is told beside it.
            match line.rsplit_once(" at line ").map_or(line, |(reason, _)| reason) {
                "recursion limit exceeded" => too_deep(),
                "YAML merge value must be mapping or sequence of mappings" => {
                    "what is merged (<<) must be a map, or a list of maps".to_owned()
                }
                reason => reason.to_owned(),
            }
        }
    }
}

fn too_deep() -> String {
    format!("nested deeper than {MAX_YAML_DEPTH} levels")
}

/// Which bound a document exceeds.
fn bound(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => too_deep(),
        BudgetBreach::Events { .. } | BudgetBreach::Nodes { .. } => {
            format!("it has more than {MAX_NODES} values")
        }
        BudgetBreach::Aliases { .. } => format!("it has more than {MAX_ANCHORS} aliases"),
        BudgetBreach::Anchors { .. } => format!("it has more than {MAX_ANCHORS} anchors"),
        BudgetBreach::MergeKeys { .. } => format!("it has more than {MAX_ANCHORS} merge keys (<<)"),
        BudgetBreach::Documents { .. } => "it holds several documents (---) where one is expected".to_owned(),
        BudgetBreach::ScalarBytes { .. } | BudgetBreach::InputBytes { .. } => {
            format!("it has more than {MAX_BODY} bytes")
        }
        BudgetBreach::AliasAnchorRatio { .. } => "it has far more aliases than anchors".to_owned(),
        BudgetBreach::SequenceUnbalanced => "a list or a map does not end".to_owned(),
        _ => "it is larger than a document may be".to_owned(),
    }
}
