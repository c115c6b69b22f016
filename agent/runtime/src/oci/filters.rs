//! Filters of system calls, compiled once for all containers that ask for the same.
//!
//! A process of its own compiles ([`hypermesh_shim::filter`]): what that takes of memory ends with it. What comes of it is
//! a file in memory that nobody can write to any more, of which every shim and container is handed a descriptor.

use super::spawn::Program;
use hypermesh_shim::filter::{self, FILTER};
use oci_spec::runtime::LinuxSeccomp;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::{Mutex, OnceCell};

/// How many are kept: the default one for each set of capabilities that is asked for, and a few that people wrote.
const MOST: usize = 16;

type Cell = Arc<OnceCell<Arc<OwnedFd>>>;

/// What was compiled, the latest used last.
#[derive(Default)]
pub(super) struct Filters(Mutex<Vec<(Vec<u8>, Cell)>>);

impl Filters {
    /// The program of a profile.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) async fn of(&self, profile: &LinuxSeccomp, program: &Program) -> Result<Arc<OwnedFd>, String> {
        let text = serde_json::to_vec(profile).map_err(|error| error.to_string())?;
        let cell = self.cell(&text).await;
        // Many who ask for the same at once wait for the one that compiles it; a failure is nobody else's.
        let compiled = cell.get_or_try_init(|| compile(&text, program)).await?;
        Ok(Arc::clone(compiled))
    }

    async fn cell(&self, text: &[u8]) -> Cell {
        let mut kept = self.0.lock().await;
        let known = kept.iter().position(|(known, _)| known == text).map(|place| kept.remove(place));
        let (text, cell) = known.unwrap_or_else(|| (text.to_owned(), Cell::default()));
        if kept.len() >= MOST {
            kept.remove(0);
        }
        kept.push((text, Arc::clone(&cell)));
        cell
    }
}

async fn compile(text: &[u8], program: &Program) -> Result<Arc<OwnedFd>, String> {
    let told = |error: std::io::Error| format!("the filter of system calls: {error}");
    let file = filter::room().map_err(told)?;
    program.run(FILTER, text, &file).await?;
    filter::seal(&file).map_err(told)?;
    Ok(Arc::new(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn as_many_are_kept_as_may_be_and_the_latest_used() {
        let filters = Filters::default();
        let first = filters.cell(&[0]).await;
        for number in 1..40 {
            filters.cell(&[number]).await;
            assert!(Arc::ptr_eq(&first, &filters.cell(&[0]).await), "it is used again and again");
        }
        let kept = filters.0.lock().await;
        assert_eq!(kept.len(), MOST);
        assert!(!kept.iter().any(|(text, _)| text == &[1]));
    }

    #[tokio::test]
    async fn what_does_not_compile_is_told_and_tried_again() {
        let program = Program::named("/bin/false".into(), Vec::new());
        let profile = LinuxSeccomp::default();
        let filters = Filters::default();
        for _ in 0..2 {
            assert!(filters.of(&profile, &program).await.unwrap_err().contains("exit status: 1"));
        }
        let program = Program::named("/bin/true".into(), Vec::new());
        assert!(filters.of(&profile, &program).await.unwrap_err().contains("0 bytes"));
    }
}
