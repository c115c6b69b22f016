//! What a walk found wrong: bounded, without repetition, and able to take back.

use hypermesh_api::{FieldError, FieldErrorKind, printed};

/// Most errors that one validation tells.
pub const MOST_ERRORS: usize = 64;

/// Longest excerpt of a value within a message, in bytes.
const LONGEST_EXCERPT: usize = 1024;

/// Errors in the order in which they were found.
#[derive(Default)]
pub(crate) struct Findings {
    errors: Vec<FieldError>,
    /// Failures, told or not.
    failures: usize,
    /// Failures past [`MOST_ERRORS`].
    untold: usize,
    /// Only whether something fails is of interest.
    probing: bool,
}

/// A moment to return to.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    errors: usize,
    failures: usize,
    untold: usize,
}

impl Findings {
    /// A collector that counts and words nothing.
    pub fn probe() -> Self {
        Self { probing: true, ..Self::default() }
    }

    /// Whether a walk may stop, having failed.
    pub fn is_decided(&self) -> bool {
        self.probing && self.failures > 0
    }

    pub fn is_probing(&self) -> bool {
        self.probing
    }

    /// Whether another error would go untold.
    pub fn is_full(&self) -> bool {
        self.errors.len() >= MOST_ERRORS
    }

    /// Notes a failure; the error is built only if it will be told. Upstream tells the same words once.
    pub fn add(&mut self, error: impl FnOnce() -> FieldError) {
        self.failures += 1;
        if self.probing {
            return;
        }
        if self.is_full() {
            self.untold += 1;
            return;
        }
        let error = error();
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// Notes an error that is told whatever else is.
    pub fn add_last(&mut self, error: FieldError) {
        self.failures += 1;
        self.errors.push(error);
    }

    pub fn mark(&self) -> Mark {
        Mark { errors: self.errors.len(), failures: self.failures, untold: self.untold }
    }

    pub fn has_failed_since(&self, mark: Mark) -> bool {
        self.failures > mark.failures
    }

    /// Takes back everything since a mark.
    pub fn rewind(&mut self, mark: Mark) {
        self.errors.truncate(mark.errors);
        self.failures = mark.failures;
        self.untold = mark.untold;
    }

    /// Takes over what another collector found.
    pub fn absorb(&mut self, other: Self) {
        for error in other.errors {
            self.add(|| error);
        }
        self.failures += other.untold;
        self.untold += other.untold;
    }

    pub fn is_empty(&self) -> bool {
        self.failures == 0
    }

    /// Paths of values whose shape is not what rules expect: none that sees one of them may run. The root's path, which
    /// is empty, stands for more than are known.
    pub fn unsound(&self) -> Vec<String> {
        let blocks = |error: &&FieldError| {
            matches!(
                error.kind,
                FieldErrorKind::NotSupported
                    | FieldErrorKind::Required
                    | FieldErrorKind::TooLong
                    | FieldErrorKind::TooMany
                    | FieldErrorKind::TypeInvalid
            )
        };
        if self.untold > 0 {
            return vec![String::new()];
        }
        self.errors.iter().filter(blocks).map(|error| error.field.clone()).collect()
    }

    /// The errors, with a last word if some are missing.
    pub fn into_errors(mut self) -> Vec<FieldError> {
        if self.untold > 0 {
            let detail = format!("too many errors: only the first {MOST_ERRORS} are listed");
            self.errors.push(FieldError::new(FieldErrorKind::Invalid, "", None, detail));
        }
        self.errors
    }
}

/// A string of the value within a message, quoted and cut where it is long.
pub(crate) fn excerpt(text: &str) -> String {
    if text.len() <= LONGEST_EXCERPT {
        return printed::quoted(text);
    }
    let mut quoted = printed::quoted(&text[..text.floor_char_boundary(LONGEST_EXCERPT)]);
    quoted.push('…');
    quoted
}
