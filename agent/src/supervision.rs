//! Work that is begun again when it panics: what one instance or one duty of the agent stumbles over ends neither the
//! others nor itself for good.
//!
//! A panic is a defect, and nothing here hides it: it is told each time, with growing pauses between.

use futures_util::FutureExt as _;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::Instant;

/// The first pause; it doubles.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(300);
/// Who ran so long begins with the first pause again.
const STEADY: Duration = Duration::from_secs(600);

/// A panic, and what is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fall {
    /// What it said.
    pub words: String,
    /// How often in a row.
    pub times: u32,
    /// When it is begun again.
    pub pause: Duration,
}

/// Does work to its end. When it panics, that is told, and after a pause it is begun anew.
pub async fn supervise<F>(mut begin: impl FnMut() -> F, mut told: impl FnMut(&Fall))
where
    F: Future<Output = ()>,
{
    let mut times = 0_u32;
    loop {
        let began = Instant::now();
        // What it shared with others it shared by locks that know no poison, and by channels.
        let Err(panic) = catching(async { begin().await }).await else { return };
        times = if began.elapsed() >= STEADY { 1 } else { times.saturating_add(1) };
        let pause = FIRST.saturating_mul(1 << times.saturating_sub(1).min(16)).min(LONGEST);
        told(&Fall { words: words(panic.as_ref()), times, pause });
        tokio::time::sleep(pause).await;
    }
}

/// Does work, and gives back its panic.
///
/// # Errors
/// What it panicked with.
pub(crate) async fn catching<T>(work: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    AssertUnwindSafe(work).catch_unwind().await
}

/// What a panic says, in one line.
fn words(panic: &(dyn Any + Send)) -> String {
    const MOST: usize = 300;
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn what_panics_is_begun_again_with_growing_pauses() {
        let (begun, mut falls) = (AtomicU32::new(0), Vec::new());
        let begin = || {
            let time = begun.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::task::yield_now().await;
                assert!(time >= 11, "the {time}.\ntime");
            }
        };
        let start = Instant::now();
        supervise(begin, |fall| falls.push(fall.clone())).await;
        assert_eq!(begun.load(Ordering::Relaxed), 12);
        assert_eq!((falls[0].words.as_str(), falls[0].times), ("the 0. time", 1));
        let pauses: Vec<u64> = falls.iter().map(|fall| fall.pause.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(start.elapsed().as_secs(), pauses.iter().sum::<u64>());
    }

    #[tokio::test(start_paused = true)]
    async fn who_ran_for_long_is_begun_again_soon() {
        let (mut begun, mut falls) = (0_u32, Vec::new());
        let begin = || {
            begun += 1;
            let long = begun == 3;
            let last = begun == 4;
            async move {
                tokio::time::sleep(if long { STEADY } else { Duration::ZERO }).await;
                assert!(last, "again");
            }
        };
        supervise(begin, |fall| falls.push((fall.times, fall.pause))).await;
        assert_eq!(falls, [(1, FIRST), (2, FIRST * 2), (1, FIRST)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_before_the_first_wait_counts_as_well() {
        let mut begun = 0_u32;
        let begin = || {
            begun += 1;
            assert!(begun > 1, "at once");
            std::future::ready(())
        };
        supervise(begin, |fall| assert_eq!(fall.words, "at once")).await;
    }
}
