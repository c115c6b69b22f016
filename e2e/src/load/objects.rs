//! The objects under load: Widgets of a kind that is registered from `widget-crd.yaml`, about 1 KB each.

use super::client::{Call, Connection};
use super::run::Work;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// Size of an object as sent, in bytes.
const SIZE: usize = 1024;

/// The objects of one namespace.
#[derive(Clone, Debug)]
pub struct Objects {
    /// The namespace.
    pub namespace: String,
    /// First part of their names.
    pub prefix: String,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// POST of a new one.
    Create,
    /// GET.
    Get,
    /// PUT of a changed one, with the version last seen.
    Put,
    /// Merge PATCH of one field.
    MergePatch,
    /// Server-side apply of the whole object with one field changed.
    Apply,
    /// DELETE.
    Delete,
}

impl Objects {
    /// The path of the collection.
    pub fn collection(&self) -> String {
        format!("/apis/bench.example.com/v1/namespaces/{}/widgets", self.namespace)
    }

    /// The name of the object of a number.
    pub fn name(&self, number: usize) -> String {
        format!("{}-{number:07}", self.prefix)
    }

    /// The path of the object of a number.
    pub fn path(&self, number: usize) -> String {
        format!("{}/{}", self.collection(), self.name(number))
    }

    /// The object of a number, with a value that tells one write from another.
    pub fn object(&self, number: usize, sequence: u64) -> Bytes {
        let value = |payload: &str| {
            json!({
                "apiVersion": "bench.example.com/v1", "kind": "Widget",
                "metadata": {"name": self.name(number), "labels": {"app": "load"}},
                "spec": {"replicas": 3, "seq": sequence, "payload": payload},
            })
            .to_string()
        };
        let bare = value("").len();
        Bytes::from(value(&filler(SIZE.saturating_sub(bare))))
    }

    /// Makes the namespace.
    pub async fn make_namespace(&self, connection: &mut Connection) -> Result<()> {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
        connection.expect(Call::post("/api/v1/namespaces", namespace.to_string())).await?;
        Ok(())
    }
}

/// Text that compresses badly and is the same on every run.
fn filler(length: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[(state >> 33) as usize % LETTERS.len()])
    };
    (0..length).map(|_| letter()).collect()
}

/// What one connection does to objects.
pub struct ObjectWork {
    objects: Objects,
    verb: Verb,
    /// How many exist, from number 0 on; creates begin at `first`.
    count: usize,
    first: usize,
    /// For [`Verb::Put`]: the objects that are this connection's own, as last seen.
    owned: Vec<(String, Value)>,
    turn: usize,
}

/// Objects that a connection updates in turn.
const OWNED: usize = 8;

impl ObjectWork {
    /// Work on `count` objects that exist; new ones are numbered from `first`.
    ///
    /// For [`Verb::Put`] the connection of number `of.0` among `of.1` reads the objects that it will change.
    pub async fn new(
        objects: &Objects,
        verb: Verb,
        count: usize,
        first: usize,
        of: (usize, usize),
        connection: &mut Connection,
    ) -> Result<Self> {
        let mut owned = Vec::new();
        if verb == Verb::Put {
            for number in (of.0..count).step_by(of.1).take(OWNED) {
                let path = objects.path(number);
                let body = connection.expect(Call::get(&path)).await?;
                owned.push((path, serde_json::from_slice(&body)?));
            }
        }
        Ok(Self { objects: objects.clone(), verb, count: count.max(1), first, owned, turn: 0 })
    }

    /// Walks the objects so that neighbours in time are no neighbours in the store.
    fn pick(&self, number: usize) -> String {
        self.objects.path(number.wrapping_mul(7919) % self.count)
    }
}

impl Work for ObjectWork {
    fn next(&mut self, number: usize) -> Result<Call> {
        let call = |method, path, content_type, body| Call { method, path, content_type, body };
        Ok(match self.verb {
            Verb::Create => {
                let number = self.first + number;
                Call::post(self.objects.collection(), self.objects.object(number, number as u64))
            }
            Verb::Get => Call::get(self.pick(number)),
            Verb::Delete => call(Method::DELETE, self.objects.path(self.first + number), "", Bytes::new()),
            Verb::MergePatch => {
                let body = format!(r#"{{"spec":{{"seq":{}}}}}"#, sequence());
                call(Method::PATCH, self.pick(number), "application/merge-patch+json", body.into())
            }
            Verb::Apply => {
                let picked = number.wrapping_mul(7919) % self.count;
                let path = format!("{}?fieldManager=load&force=true", self.objects.path(picked));
                let body = self.objects.object(picked, sequence());
                call(Method::PATCH, path, "application/apply-patch+yaml", body)
            }
            Verb::Put => {
                self.turn = (self.turn + 1) % self.owned.len().max(1);
                let (path, object) =
                    self.owned.get_mut(self.turn).context("there are fewer objects than connections")?;
                object["spec"]["seq"] = json!(sequence());
                let body = serde_json::to_vec(object)?;
                call(Method::PUT, path.clone(), "application/json", body.into())
            }
        })
    }

    fn answered(&mut self, body: &Bytes) -> Result<()> {
        if self.verb == Verb::Put
            && let Some((_, object)) = self.owned.get_mut(self.turn)
        {
            *object = serde_json::from_slice(body)?;
        }
        Ok(())
    }
}

/// A number that no write of this process has had.
fn sequence() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1_000_000_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
