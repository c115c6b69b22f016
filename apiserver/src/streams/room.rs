//! How many streams there may be: in all, and of one user.

use crate::budget::Caller;
use hypermesh_api::Status;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Streams in all.
const MOST: usize = 4096;
/// Streams of one user: a dashboard that shows every log of a large namespace stays below.
const MOST_OF_ONE: usize = 512;

/// Counts streams.
#[derive(Debug, Default)]
pub(crate) struct Room(Mutex<HashMap<Caller, usize>>);

/// One stream's place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    caller: Caller,
}

impl Room {
    /// A place for one stream more, or 429.
    pub fn enter(self: &Arc<Self>, caller: Caller) -> Result<Place, Box<Status>> {
        let mut counts = self.0.lock();
        let all: usize = counts.values().sum();
        let own = counts.get(&caller).copied().unwrap_or_default();
        if all >= MOST || own >= MOST_OF_ONE {
            let words = format!(
                "{own} streams of yours and {all} in all are open here, the limits are {MOST_OF_ONE} and {MOST}: close some"
            );
            return Err(Box::new(Status::failure(429, "TooManyRequests", words)));
        }
        *counts.entry(caller.clone()).or_default() += 1;
        Ok(Place { room: Arc::clone(self), caller })
    }
}

impl Room {
    /// How many streams are open.
    pub fn taken(&self) -> usize {
        self.0.lock().values().sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.room.0.lock();
        if let Some(count) = counts.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_share_and_what_is_closed_gives_room() {
        let room = Arc::new(Room::default());
        let one = || room.enter(Caller::Known("one".into()));
        let mut held: Vec<Place> = (0..MOST_OF_ONE).map(|_| one().unwrap()).collect();
        assert_eq!(one().unwrap_err().code, 429);
        let _other = room.enter(Caller::Known("other".into())).unwrap();
        held.pop();
        one().unwrap();
        drop(held);
        assert_eq!((room.taken(), room.0.lock().len()), (1, 1));
    }
}
