//! The one place where YAML is read.
//!
//! `serde_saphyr` parses; a visitor builds [`Node`]s, so every value keeps its place. JSON is read by the same path:
//! it is YAML, and its errors then look alike.
//!
//! Limits hold for hostile text too: nesting, nodes, documents, alias expansion, and the bytes that expanding aliases
//! would copy. What lies past a limit is an error with a place, never memory.

use crate::manifest::node::{Content, Entry, Node, Span};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::{
    Error, Location, MessageFormatter as _, Spanned, UserMessageFormatter, budget::BudgetBreach,
};
use std::{
    cell::{Cell, RefCell},
    fmt,
};

/// The largest text that is read, in bytes.
pub const LARGEST_TEXT: usize = 64 << 20;
/// The deepest nesting that is read.
pub const DEEPEST: usize = 128;
/// Stack for reading, in bytes: enough for [`DEEPEST`] levels in a build without optimisation. Only what is used of it
/// costs memory.
const STACK: usize = 32 << 20;
/// The most bytes of text that one parse keeps in its nodes, aliases expanded.
const MOST_BYTES: usize = 96 << 20;
/// The most nodes that one parse keeps, aliases expanded.
const MOST_NODES: usize = 500_000;
/// The most events that aliases may expand to.
const MOST_REPLAYED: usize = 50_000;

/// Why a text could not be read, and where.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// Where, if there is a place.
    pub span: Option<Span>,
    /// Of a key that stands twice: where it stood first.
    pub first: Option<Span>,
    /// What to do about it.
    pub help: Option<&'static str>,
}

thread_local! {
    /// The keys before the one at which the running parse failed, in the mapping that held it: serde takes an error away
    /// from what is known where it arises.
    static BEFORE: RefCell<Vec<(String, Span)>> = const { RefCell::new(Vec::new()) };

    /// What the running parse may still keep: `(bytes, nodes)`. serde offers no way to hand state to a `Deserialize`
    /// implementation, so it stands here for the length of one call of [`parse`].
    static LEFT: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Reads all documents of a text; empty ones are left out.
pub fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    if text.len() > LARGEST_TEXT {
        let message = format!("the text has {} bytes; at most {LARGEST_TEXT} are read", text.len());
        return Err(SyntaxError { message, span: None, first: None, help: None });
    }
    // Reading recurses with nesting. How much stack the caller has left is unknown; what the deepest text needs is not.
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().name("yaml".into()).stack_size(STACK);
        let handle = reader.spawn_scoped(scope, || read(text));
        let result = handle
            .map_err(|e| format!("no thread to read it: {e}"))
            .and_then(|handle| handle.join().map_err(|_| "the YAML reader failed on this text".to_owned()));
        result.unwrap_or_else(|message| Err(SyntaxError { message, span: None, first: None, help: None }))
    })
}

fn read(text: &str) -> Result<Vec<Node>, SyntaxError> {
    LEFT.set((MOST_BYTES, MOST_NODES));
    BEFORE.take();
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            flow_nesting_limit: DEEPEST,
            max_nodes: MOST_NODES,
            max_events: 4 * MOST_NODES,
            max_documents: 10_000,
            max_total_scalar_bytes: LARGEST_TEXT,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MOST_REPLAYED,
            max_replay_stack_depth: 32,
        },
        // `defaultMode: 0644` is octal to every Kubernetes client.
        legacy_octal_numbers: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options::<Node>(text, options).map_err(|e| explain(text, &e))
}

fn span(location: Location) -> Span {
    let bytes = location.span();
    let start = usize::try_from(bytes.byte_offset().unwrap_or(0)).unwrap_or(0);
    let length = usize::try_from(bytes.byte_len().unwrap_or(0)).unwrap_or(0);
    Span {
        line: usize::try_from(location.line()).unwrap_or(0),
        column: usize::try_from(location.column()).unwrap_or(0),
        start,
        end: start.saturating_add(length),
    }
}

fn over(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => format!("nested deeper than {DEEPEST} levels"),
        BudgetBreach::ScalarBytes { .. } => {
            format!("the documents hold more than {LARGEST_TEXT} bytes of text")
        }
        BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
            format!("the documents hold more than {MOST_NODES} nodes")
        }
        BudgetBreach::Documents { .. } => "more documents than are read at once".to_owned(),
        BudgetBreach::AliasAnchorRatio { aliases, anchors } => {
            format!("{aliases} aliases of {anchors} anchors: this looks like an attack on memory")
        }
        other => format!("the documents go beyond a limit ({other:?})"),
    }
}

fn explain(text: &str, error: &Error) -> SyntaxError {
    let mut error = error.without_snippet();
    while let Error::AliasError { error: inner, .. } = error {
        error = inner;
    }
    let span = error.location().filter(|l| *l != Location::UNKNOWN).map(span);
    let (mut help, mut first) = (None, None);
    if let Error::DuplicateMappingKey { key: Some(key), .. } = error {
        first = BEFORE.take().into_iter().find(|(name, _)| name == key).map(|(_, span)| span);
    }
    let message = match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("duplicate key `{key}`"),
        Error::DuplicateMappingKey { key: None, .. } => "duplicate key".to_owned(),
        Error::UnknownAnchor { .. } => "this alias names no anchor of the document".to_owned(),
        Error::NullIntoString { .. } => "a key may not be null".to_owned(),
        Error::Budget { breach, .. } => over(breach),
        Error::AliasReplayLimitExceeded { .. } | Error::AliasReplayStackDepthExceeded { .. } => {
            format!("aliases expand to more than {MOST_REPLAYED} nodes")
        }
        Error::NonFiniteFloat { value, .. } => format!("`{value}` has no form in JSON"),
        Error::UnsupportedTag { tag, .. } => format!("the tag `{tag}` means nothing in a manifest"),
        other => match UserMessageFormatter.format_message(other).into_owned() {
            // The scanner's words for nesting in flow style.
            words if words == "recursion limit exceeded" => format!("nested deeper than {DEEPEST} levels"),
            words => words,
        },
    };
    if let Some(span) = span {
        let line = text.lines().nth(span.line.saturating_sub(1)).unwrap_or("");
        let indentation = &line[..line.len() - line.trim_start().len()];
        if indentation.contains('\t') {
            help = Some("YAML is indented with spaces, never with tabs");
        }
    }
    SyntaxError { message, span, first, help }
}

/// The value of a node, before its place is known.
struct Raw(Content);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Raw>::deserialize(deserializer)?;
        Ok(Self { span: span(spanned.referenced), content: spanned.value.0 })
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor).map(Self)
    }
}

/// Takes a node, and as many bytes of text, from what is left.
fn take<E: serde::de::Error>(bytes: usize) -> Result<(), E> {
    let (bytes_left, nodes_left) = LEFT.get();
    match (bytes_left.checked_sub(bytes), nodes_left.checked_sub(1)) {
        (Some(bytes_left), Some(nodes_left)) => {
            LEFT.set((bytes_left, nodes_left));
            Ok(())
        }
        (None, _) => Err(E::custom(format!("the documents expand to more than {MOST_BYTES} bytes"))),
        (_, None) => Err(E::custom(format!("the documents expand to more than {MOST_NODES} nodes"))),
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can hold")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Content, E> {
        take(0)?;
        Ok(Content::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Content, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Content, E> {
        take(0)?;
        Ok(Content::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Content, E> {
        take(0)?;
        Ok(Content::Number(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Content, E> {
        take(0)?;
        Ok(Content::Number(value.into()))
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Content, E> {
        Err(E::custom(format!("the number {value} does not fit in 64 bits")))
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Content, E> {
        Err(E::custom(format!("the number {value} does not fit in 64 bits")))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Content, E> {
        take(0)?;
        Number::from_f64(value)
            .map(Content::Number)
            .ok_or_else(|| E::custom(format!("`{value}` has no form in JSON")))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Content, E> {
        take(value.len())?;
        Ok(Content::String(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Content, E> {
        take(value.len())?;
        Ok(Content::String(value))
    }

    fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> Result<Content, E> {
        use base64::Engine as _;
        self.visit_string(base64::engine::general_purpose::STANDARD.encode(value))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        take(0)?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        take(0)?;
        let mut entries: Vec<Entry> = Vec::new();
        // A key is text, as written: `on: x` has the key `on`, whatever YAML 1.1 makes of that word.
        loop {
            let key = match access.next_key::<Spanned<String>>() {
                Ok(key) => key,
                Err(error) => {
                    BEFORE.set(entries.into_iter().map(|entry| (entry.key, entry.key_span)).collect());
                    return Err(error);
                }
            };
            let Some(Spanned { value: key, referenced, .. }) = key else { break };
            let key_span = span(referenced);
            take(key.len())?;
            entries.push(Entry { key, key_span, value: access.next_value()? });
        }
        Ok(Content::Map(entries))
    }
}
