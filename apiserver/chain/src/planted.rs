//! Faults that a test plants, to see that it is found where votes are not counted as they must be.
//!
//! Nothing is ever planted unless the crate is built with the feature `planted` and with debug assertions, which no
//! release has; then a fault is there in the thread that asks for it, while what it is asked for runs. Only tests of the
//! simulator turn the feature on. Whoever adds a fault adds one question to the code, where the right answer is `false`.

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Of a batch of signatures, what does not hold is taken; one by one it is refused.
    BlindBatch,
    /// In a certificate of votes, one that stands there twice counts twice.
    TwiceCounted,
    /// A block is decided by whoever has signed for it.
    SmallCertificate,
}

#[cfg(all(feature = "planted", debug_assertions))]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Runs `act` with a fault. Without debug assertions there is none.
#[cfg(feature = "planted")]
pub fn with<T>(fault: Fault, act: impl FnOnce() -> T) -> T {
    #[cfg(debug_assertions)]
    let before = PLANTED.replace(Some(fault));
    let value = act();
    #[cfg(debug_assertions)]
    PLANTED.set(before);
    #[cfg(not(debug_assertions))]
    let _ = fault;
    value
}

/// Whether a fault is planted here.
#[inline]
pub fn is(fault: Fault) -> bool {
    #[cfg(all(feature = "planted", debug_assertions))]
    return PLANTED.get() == Some(fault);
    #[cfg(not(all(feature = "planted", debug_assertions)))]
    {
        let _ = fault;
        false
    }
}
