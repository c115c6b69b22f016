//! Connections that create, change and delete objects of their own until the server is gone.

use crate::journal::{Journal, Ledger, State};
use crate::random::Random;
use anyhow::{Result, bail};
use hyper::Method;
use hypermesh_e2e::load::{Call, Connection, Objects, Target};
use serde_json::Value;
use tokio::task::JoinHandle;

/// The connections of one run.
pub struct Writers(Vec<JoinHandle<Result<Ledger>>>);

impl Writers {
    /// Opens one connection for each ledger of the journal, and lets them write.
    pub async fn start(
        target: &Target,
        objects: &Objects,
        journal: &Journal,
        random: &mut Random,
    ) -> Result<Self> {
        let mut tasks = Vec::with_capacity(journal.ledgers.len());
        for (number, ledger) in journal.ledgers.iter().enumerate() {
            let writer = Writer {
                objects: Objects { prefix: format!("w{number}"), ..objects.clone() },
                ledger: ledger.clone(),
                random: random.fork(),
            };
            tasks.push(tokio::spawn(writer.write(target.connect().await?)));
        }
        Ok(Self(tasks))
    }

    /// Waits until all have seen that the server is gone, and gives what they know.
    pub async fn stop(self) -> Result<Journal> {
        let mut ledgers = Vec::with_capacity(self.0.len());
        for task in self.0 {
            ledgers.push(task.await??);
        }
        Ok(Journal { ledgers })
    }
}

struct Writer {
    objects: Objects,
    ledger: Ledger,
    random: Random,
}

impl Writer {
    async fn write(mut self, mut connection: Connection) -> Result<Ledger> {
        loop {
            let (name, call, wanted) = self.choose();
            let what = format!("{} {}", call.method, call.path);
            self.ledger.pending = Some((name.clone(), wanted.clone()));
            let Ok((status, body)) = connection.call(call).await else { return Ok(self.ledger) };
            match status {
                200 | 201 => {}
                // A server whose disk is gone may say so; the write may still have reached it.
                500 | 503 | 504 | 507 => return Ok(self.ledger),
                _ => bail!("{what} answered {status}: {}", String::from_utf8_lossy(&body)),
            }
            let state = match wanted {
                State::Absent => State::Absent,
                _ => State::of(&serde_json::from_slice::<Value>(&body)?)?,
            };
            self.ledger.pending = None;
            self.ledger.known.insert(name, state);
            self.ledger.acknowledged += 1;
        }
    }

    /// The next write: half of them create, the rest change or delete what is there.
    fn choose(&mut self) -> (String, Call, State) {
        let sequence = self.random.next() >> 12;
        let living: Vec<&String> = self.ledger.known.iter().filter_map(is_there).collect();
        let picked = living.get(self.random.below(living.len() as u64) as usize).map(|name| (*name).clone());
        let call =
            |method, path, content_type, body: String| Call { method, path, content_type, body: body.into() };
        let path = |name: &str| format!("{}/{name}", self.objects.collection());
        match (self.random.below(8), picked) {
            (0..=1, Some(name)) => {
                let delete = call(Method::DELETE, path(&name), "", String::new());
                (name, delete, State::Absent)
            }
            (2..=4, Some(name)) => {
                let patch = format!(r#"{{"spec":{{"seq":{sequence}}}}}"#);
                let patch = call(Method::PATCH, path(&name), "application/merge-patch+json", patch);
                (name, patch, State::WithSequence(sequence))
            }
            _ => {
                let number = self.ledger.named as usize;
                self.ledger.named += 1;
                let object = self.objects.object(number, sequence);
                let create = Call::post(self.objects.collection(), object);
                (self.objects.name(number), create, State::WithSequence(sequence))
            }
        }
    }
}

fn is_there<'a>((name, state): (&'a String, &State)) -> Option<&'a String> {
    (*state != State::Absent).then_some(name)
}
