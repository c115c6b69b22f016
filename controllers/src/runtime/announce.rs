//! Events: what controllers tell people of an object, without telling it twice.
//!
//! An Event's name is a hash of what it says of which object, so a process that starts anew finds what the one before
//! it has said. What repeats becomes a series whose count is written now and then: an Event is an ordered write, and an
//! object that fails in a loop must not become a block a second.

use super::failure::{Failure, chain};
use super::pace::Pace;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSeries, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;

/// How long a count is only kept in memory.
const COUNTS_EVERY: Duration = Duration::from_secs(300);
/// Above this many remembered Events, those that have been silent are forgotten.
const REMEMBERED: usize = 1_024;
/// Events of one object at once, and how many a second after that.
const BURST: u32 = 10;
const PER_SECOND: f64 = 1.0 / 60.0;
/// The longest message, in bytes.
const LONGEST: usize = 1_024;

/// How grave an Event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gravity {
    /// Something happened.
    Normal,
    /// Something is wrong.
    Warning,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How grave it is.
    pub gravity: Gravity,
    /// What was done or failed, in one CamelCase word.
    pub action: &'static str,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, in words.
    pub message: String,
    /// Whether repetitions are counted. What is wrong with an object is told once.
    pub counted: bool,
}

/// What has to be written. Pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    First,
    Count(i32),
}

#[derive(Clone, Copy, Debug)]
struct Told {
    count: i32,
    written: Duration,
    last: Duration,
}

/// What was told, and when. Pure: time is an argument.
#[derive(Debug, Default)]
struct Ledger {
    told: HashMap<u64, Told>,
}

impl Ledger {
    fn note(&mut self, event: u64, counted: bool, now: Duration) -> Option<Write> {
        if self.told.len() >= REMEMBERED {
            self.told.retain(|_, told| now.saturating_sub(told.last) < 2 * COUNTS_EVERY);
        }
        if self.told.len() >= REMEMBERED {
            // Storms of different Events: their names still keep them from being told twice.
            self.told.clear();
        }
        let Some(told) = self.told.get_mut(&event) else {
            self.told.insert(event, Told { count: 1, written: now, last: now });
            return Some(Write::First);
        };
        told.last = now;
        if !counted {
            return None;
        }
        told.count = told.count.saturating_add(1);
        if now.saturating_sub(told.written) < COUNTS_EVERY {
            return None;
        }
        told.written = now;
        Some(Write::Count(told.count))
    }

    fn counted(&mut self, event: u64, count: i32) {
        if let Some(told) = self.told.get_mut(&event) {
            told.count = told.count.max(count);
        }
    }
}

/// Tells people.
pub struct Announcer {
    client: kube::Client,
    controller: &'static str,
    instance: String,
    started: tokio::time::Instant,
    ledger: Mutex<Ledger>,
    pace: Mutex<Pace>,
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcer").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Announcer {
    /// Events of `controller`, as which `instance` reports.
    pub fn new(client: kube::Client, controller: &'static str, instance: String) -> Self {
        Self {
            client,
            controller,
            instance,
            started: tokio::time::Instant::now(),
            ledger: Mutex::default(),
            pace: Mutex::new(Pace::new(BURST, PER_SECOND)),
        }
    }

    /// Tells `note` of the object, unless it was told. An Event that cannot be written is lost: it drives nothing.
    pub async fn tell(&self, about: &ObjectReference, note: Note, at: Timestamp) {
        let event = hash(about, &note);
        let now = self.started.elapsed();
        let Some(write) = self.ledger.lock().note(event, note.counted, now) else { return };
        let key = super::key::Key {
            namespace: about.namespace.as_deref().map(Into::into),
            name: about.name.as_deref().unwrap_or_default().into(),
        };
        if self.pace.lock().admit(&key, now).is_err() {
            tracing::debug!(object = %key, reason = note.reason, "too many events of one object: this one is lost");
            return;
        }
        let counted = note.counted;
        let named = name(about, event);
        // Events of objects of the cluster lie in `default`, as everywhere.
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let result = match write {
            Write::First => self.first(&api, about, note, &named, at).await,
            Write::Count(count) => bump(&api, &named, count, at).await,
        };
        match result {
            Ok(false) => {}
            Ok(true) if counted => self.go_on(&api, event, &named, at).await,
            Ok(true) => {}
            Err(error) => tracing::debug!(object = %key, error = chain(&error), "an event was not written"),
        }
    }

    /// Writes it for the first time; true when it was there already.
    async fn first(
        &self,
        api: &Api<Event>,
        about: &ObjectReference,
        note: Note,
        name: &str,
        at: Timestamp,
    ) -> Result<bool, Failure> {
        let event = self.event(about, note, name, at);
        let action = format!("write the event {name}");
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => Ok(false),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(true),
            Err(error) => Err(Failure::of(action)(error)),
        }
    }

    /// Goes on with a series that an earlier process began.
    async fn go_on(&self, api: &Api<Event>, event: u64, name: &str, at: Timestamp) {
        let Ok(Some(found)) = api.get_opt(name).await else { return };
        let series = found.series.and_then(|series| series.count);
        let count = series.or(found.count).unwrap_or(1).saturating_add(1);
        self.ledger.lock().counted(event, count);
        if let Err(error) = bump(api, name, count, at).await {
            tracing::debug!(event = name, error = chain(&error), "an event was not counted");
        }
    }

    fn event(&self, about: &ObjectReference, note: Note, name: &str, at: Timestamp) -> Event {
        let mut message = note.message;
        if message.len() > LONGEST {
            let end = (0..=LONGEST - 3).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(end);
            message.push('…');
        }
        let gravity = match note.gravity {
            Gravity::Normal => "Normal",
            Gravity::Warning => "Warning",
        };
        Event {
            action: Some(note.action.to_owned()),
            count: Some(1),
            event_time: Some(MicroTime(at)),
            first_timestamp: Some(Time(at)),
            last_timestamp: Some(Time(at)),
            involved_object: about.clone(),
            message: Some(message),
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(about.namespace.clone().unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            reason: Some(note.reason),
            reporting_component: Some(self.controller.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            source: Some(EventSource { component: Some(self.controller.to_owned()), host: None }),
            type_: Some(gravity.to_owned()),
            ..Event::default()
        }
    }
}

async fn bump(api: &Api<Event>, name: &str, count: i32, at: Timestamp) -> Result<bool, Failure> {
    let series = EventSeries { count: Some(count), last_observed_time: Some(MicroTime(at)) };
    let patch = Patch::Merge(json!({"series": series, "count": count, "lastTimestamp": Time(at)}));
    match api.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(false),
        // It has expired meanwhile; the next one of its kind begins anew once it is forgotten here.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(Failure::of(format!("count the event {name}"))(error)),
    }
}

/// The same in every process and every build: names are made of it (FNV-1a).
fn hash(about: &ObjectReference, note: &Note) -> u64 {
    let gravity = if note.gravity == Gravity::Normal { "Normal" } else { "Warning" };
    let parts = [about.uid.as_deref().unwrap_or_default(), gravity, note.action, &note.reason, &note.message];
    parts.iter().flat_map(|part| part.bytes().chain([0])).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn name(about: &ObjectReference, hash: u64) -> String {
    let object = about.name.as_deref().unwrap_or_default();
    // Names of objects are ASCII and at most 253 characters; the hash has to fit behind.
    let end = object.len().min(230);
    let object = object.get(..end).unwrap_or_default().trim_end_matches(['.', '-']);
    format!("{object}.{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_repeats_is_counted_and_written_now_and_then() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.note(1, true, s(0)), Some(Write::First));
        assert!((1..300).all(|at| ledger.note(1, true, s(at)).is_none()));
        assert_eq!(ledger.note(1, true, s(300)), Some(Write::Count(301)));
        assert_eq!(ledger.note(1, true, s(301)), None);
        assert_eq!(ledger.note(2, true, s(301)), Some(Write::First));
    }

    #[test]
    fn what_is_wrong_is_told_once() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.note(1, false, s(0)), Some(Write::First));
        assert!((0..10).all(|hour| ledger.note(1, false, s(hour * 3_600)).is_none()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut ledger = Ledger::default();
        for event in 0..10 * REMEMBERED as u64 {
            ledger.note(event, true, s(event));
        }
        assert!(ledger.told.len() <= REMEMBERED);
    }

    #[test]
    fn names_tell_what_was_said_of_whom_and_fit() {
        let note = Note {
            gravity: Gravity::Warning,
            action: "Reconcile",
            reason: "Wrong".to_owned(),
            message: "it is wrong".to_owned(),
            counted: false,
        };
        let about = ObjectReference {
            name: Some("a".repeat(253)),
            uid: Some("u".to_owned()),
            ..ObjectReference::default()
        };
        let first = name(&about, hash(&about, &note));
        assert!(first.len() <= 253);
        assert_eq!(first, name(&about, hash(&about, &note.clone())));
        let other = Note { message: "it is very wrong".to_owned(), ..note };
        assert_ne!(first, name(&about, hash(&about, &other)));
    }
}
