//! Who is still on a node, who is on its way, and who has to wait for what. Pure.

use crate::output::escape_line;
use std::collections::BTreeMap;

/// An instance on the node that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resident {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The very object.
    pub(super) uid: String,
    /// A workload replaces it.
    pub(super) owned: bool,
    /// It is being deleted.
    pub(super) leaving: bool,
}

impl Resident {
    /// Namespace and name, as people read them.
    pub(super) fn place(&self) -> String {
        format!("{}/{}", escape_line(&self.namespace), escape_line(&self.name))
    }
}

/// How far an instance's eviction is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Way {
    asked: bool,
    refused: Option<String>,
}

/// Everybody on the node.
#[derive(Debug, Default)]
pub(super) struct Residents {
    /// By uid.
    here: BTreeMap<String, (Resident, Way)>,
    gone: usize,
}

impl Residents {
    /// Takes in who is there now; gives those who have gone since.
    pub(super) fn see(&mut self, now: Vec<Resident>) -> Vec<Resident> {
        let mut before = std::mem::take(&mut self.here);
        for resident in now {
            let (_, mut way) =
                before.remove(&resident.uid).unwrap_or_else(|| (resident.clone(), Way::default()));
            // Somebody else may have asked.
            way.asked |= resident.leaving;
            self.here.insert(resident.uid.clone(), (resident, way));
        }
        self.gone += before.len();
        before.into_values().map(|(resident, _)| resident).collect()
    }

    /// Those that nobody replaces.
    pub(super) fn unowned(&self) -> Vec<&Resident> {
        self.left().filter(|resident| !resident.owned && !resident.leaving).collect()
    }

    /// Those that are there.
    pub(super) fn left(&self) -> impl Iterator<Item = &Resident> {
        self.here.values().map(|(resident, _)| resident)
    }

    /// Those that are to be asked to go.
    pub(super) fn to_ask(&self) -> impl Iterator<Item = &Resident> {
        self.here.values().filter(|(_, way)| !way.asked).map(|(resident, _)| resident)
    }

    /// One is on its way.
    pub(super) fn goes(&mut self, uid: &str) {
        if let Some((_, way)) = self.here.get_mut(uid) {
            *way = Way { asked: true, refused: None };
        }
    }

    /// One has to wait. True if that is news.
    pub(super) fn refused(&mut self, uid: &str, why: &str) -> bool {
        let Some((_, way)) = self.here.get_mut(uid) else { return false };
        let first = way.refused.is_none();
        way.refused = Some(why.to_owned());
        first
    }

    /// How many have gone.
    pub(super) fn gone(&self) -> usize {
        self.gone
    }

    /// What is waited for, in few words.
    pub(super) fn waits(&self) -> String {
        let ending = self.here.values().filter(|(_, way)| way.asked).count();
        match self.here.len() - ending {
            0 => format!("{ending} instances are ending"),
            waiting => format!("{ending} instances are ending, {waiting} wait for replacements"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident(name: &str, leaving: bool) -> Resident {
        Resident {
            namespace: "n".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            owned: name != "lone",
            leaving,
        }
    }

    #[test]
    fn everybody_is_asked_until_they_go_and_nobody_twice() {
        let mut residents = Residents::default();
        residents.see(vec![resident("a", false), resident("b", false), resident("c", true)]);
        let asked =
            |residents: &Residents| residents.to_ask().map(|one| one.name.clone()).collect::<Vec<_>>();
        assert_eq!(asked(&residents), ["a", "b"]);
        residents.goes("uid-a");
        assert!(residents.refused("uid-b", "no instance to spare"));
        assert!(!residents.refused("uid-b", "still none"), "it was told");
        assert_eq!(residents.waits(), "2 instances are ending, 1 wait for replacements");
        let gone = residents.see(vec![resident("a", true), resident("b", false), resident("late", false)]);
        assert_eq!(gone, [resident("c", true)]);
        assert_eq!(asked(&residents), ["b", "late"], "one that was bound before the cordon is asked too");
        residents.goes("uid-b");
        residents.goes("uid-late");
        assert_eq!(residents.see(Vec::new()).len(), 3);
        assert_eq!((residents.left().count(), residents.gone()), (0, 4));
    }

    #[test]
    fn those_that_nobody_replaces_are_known() {
        let mut residents = Residents::default();
        residents.see(vec![resident("a", false), resident("lone", false)]);
        assert_eq!(residents.unowned(), [&resident("lone", false)]);
        residents.see(vec![resident("lone", true)]);
        assert!(residents.unowned().is_empty(), "whoever deleted it knew");
    }
}
