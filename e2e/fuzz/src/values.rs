//! Words with a meaning of their own: quantities, durations, percentages, names, times.

use hypermesh_api::name;
use hypermesh_cel::{Binding, Budget, Program};
use hypermesh_pipeline::clock;
use hypermesh_schemas::value::{CountOrPercent, Duration, IntOrString, Percent, Quantity, Rounding};
use hypermesh_wire::age;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::fmt::Debug;
use std::sync::LazyLock;

static IS_QUANTITY: LazyLock<Program> =
    LazyLock::new(|| Program::compile("isQuantity(self)", &["self"]).expect("a rule"));

/// Reads a word as everything that it might be.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    quantity(text);
    if let Ok(duration) = Duration::parse(text) {
        assert_eq!(duration.as_str(), text);
        assert_eq!(duration.as_std().as_millis(), u128::from(duration.as_millis()));
        kept(&duration);
    }
    if let Ok(percent) = Percent::parse(text) {
        assert!(percent.value() <= 100);
        kept(&percent);
        for total in [0, 1, 7, u32::MAX] {
            let (down, up) = (CountOrPercent::Percent(percent), CountOrPercent::Percent(percent));
            let (down, up) = (down.of(total, Rounding::Down), up.of(total, Rounding::Up));
            assert!(down <= up && up <= total && up - down <= 1);
        }
    }
    if let Ok(value) = serde_json::from_str::<IntOrString>(text) {
        kept(&value);
    }
    if let Some(time) = clock::parse(text) {
        let written = clock::rfc3339(time);
        let again = clock::parse(&written).expect("a time that was written");
        assert_eq!(clock::rfc3339(again), written, "{text}");
        assert!(age::unix_seconds(&written).is_some());
    }
    if let Some(seconds) = age::unix_seconds(text) {
        for now in [0, seconds, i64::MAX, i64::MIN] {
            assert!(age::age(text, now).len() <= 16);
        }
    }
    names(text);
}

fn quantity(text: &str) {
    let Ok(quantity) = Quantity::parse(text) else { return };
    let (nanos, millis, units) = (quantity.nanos(), quantity.millis(), quantity.units());
    for (ceiling, size) in [(millis, 1_000_000), (units, 1_000_000_000)] {
        assert!(ceiling * size >= nanos && (ceiling - 1) * size < nanos, "{text}: {ceiling} of {size}");
    }
    kept(&quantity);
    let value = Value::from(text);
    let known = IS_QUANTITY.evaluate_bool(&[Binding::new("self", &value)], &mut Budget::new(10_000));
    assert_eq!(known, Ok(true), "{text} is a quantity to rules as well");
}

/// Written as JSON and read back.
fn kept<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_string(value).expect("a value is written");
    assert_eq!(serde_json::from_str::<T>(&json).ok().as_ref(), Some(value), "{json}");
}

/// Each stricter form is a weaker one too, and what is generated is of the form of its prefix.
fn names(text: &str) {
    let is = |check: fn(&str) -> Vec<String>| check(text).is_empty();
    assert!(!is(name::dns1123_label) || is(name::dns1123_subdomain));
    assert!(!is(name::dns1035_label) || is(name::dns1123_label));
    assert!(!is(name::dns1123_subdomain) || is(name::path_segment_name));
    assert!(!is(name::dns1123_label) || is(name::label_value));
    assert!(!is(name::label_value) || text.len() <= 63);
    assert!(!is(name::qualified_name) || text.len() <= 253 + 1 + 63);
    // The rule for prefixes is upstream's, and looks at neither of the last two characters where the last is a dash: the
    // name that comes of it is judged again.
    let masked = name::mask_trailing_dash(text);
    let unseen = text.trim_end_matches('-').chars().last();
    let sound = unseen.is_some_and(|last| last.is_ascii_lowercase() || last.is_ascii_digit());
    if sound && name::dns1123_label(&masked).is_empty() {
        let generated = name::generate_name(text, [7; 8]);
        assert_eq!(name::dns1123_label(&generated), Vec::<String>::new(), "{generated}");
    }
}
