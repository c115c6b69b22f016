//! What evaluation may spend, and the table of what things cost.
//!
//! A unit is cel-go's unit: about the work of one field access. The table follows cel-go's
//! `interpreter/runtimecost.go` and Kubernetes' `pkg/cel/library/cost.go`, so that a rule written
//! for Kubernetes spends here about what it spends there. Sizes are bytes where upstream counts code
//! points: equal for ASCII, a little dearer otherwise, and known without a scan.
//!
//! | step | units |
//! |---|---|
//! | literal, `&&`, `\|\|`, `?:` | 0 |
//! | variable, field, index, operator, function call | 1 |
//! | list, map literal | 10, 30, plus 1 an element |
//! | one turn of a comprehension | 1 |
//! | an element added to a list or map | 1 |
//! | string or bytes of n bytes read or written | ⌈n / 10⌉ |
//! | equality | 1 a pair of nodes visited, strings by the shorter |
//! | `contains`, `indexOf`, `split`, `replace` | haystack ⌈n / 10⌉ × needle ⌈m / 10⌉ where both matter |
//! | regular expression of m bytes over n bytes | ⌈(n + 1) / 10⌉ × ⌈m / 4⌉ |
//! | compiling a regular expression that is not a literal | 1000 + 10 a byte, once an evaluation |
//! | sorting n elements | n × (⌈log₂ n⌉ + 1) comparisons |
//!
//! A regular expression's length counts repetitions out: `a{50}` is fifty bytes long. `findAll` adds for
//! each match a thousandth of the text that is left, since a search may read past what it returns.
//!
//! Departures from upstream, all dearer: a turn of a comprehension is never free (upstream's
//! `[...].all(x, true)` is), nor is `has`, and compiling a computed regular expression costs what it
//! costs. Cheaper: `map` and `filter` do not build a list at every turn.

use crate::error::EvalError;
use crate::value::{MAX_ITEMS, MAX_TEXT_BYTES};

/// Units one evaluation may spend. Source: `PerCallLimit` in `k8s.io/apiserver/pkg/apis/cel`.
pub const PER_CALL_LIMIT: u64 = 1_000_000;

/// Units all rules over one object may spend together. Source: `RuntimeCELCostBudget` in
/// `k8s.io/apiserver/pkg/apis/cel`.
pub const TOTAL_LIMIT: u64 = 10_000_000;

/// What the evaluations of one request may still spend.
///
/// One budget is passed through all rules of an object; each evaluation is also held to
/// [`PER_CALL_LIMIT`] of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    remaining: u64,
    spent: u64,
}

impl Budget {
    /// A budget of `units`.
    pub fn new(units: u64) -> Self {
        Self { remaining: units, spent: 0 }
    }

    /// Units left.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Units spent so far.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Whether nothing is left: no further rule can run.
    pub fn is_exhausted(&self) -> bool {
        self.remaining == 0
    }

    fn take(&mut self, units: u64) -> bool {
        let taken = units.min(self.remaining);
        self.remaining -= taken;
        self.spent = self.spent.saturating_add(taken);
        taken == units
    }
}

impl Default for Budget {
    /// The overall limit of one object, [`TOTAL_LIMIT`].
    fn default() -> Self {
        Self::new(TOTAL_LIMIT)
    }
}

/// A budget held to the limit of one evaluation.
pub(crate) struct Meter<'b> {
    budget: &'b mut Budget,
    call_left: u64,
}

impl<'b> Meter<'b> {
    pub(crate) fn new(budget: &'b mut Budget) -> Self {
        Self { budget, call_left: PER_CALL_LIMIT }
    }

    /// Spends `units`, or all there is and an error.
    pub(crate) fn charge(&mut self, units: u64) -> Result<(), EvalError> {
        let allowed = units.min(self.call_left);
        self.call_left -= allowed;
        let paid = self.budget.take(allowed);
        if paid && allowed == units { Ok(()) } else { Err(EvalError::BudgetExceeded) }
    }

    /// Spends what reading `bytes` of text costs.
    pub(crate) fn scan(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.charge(scan_cost(bytes))
    }

    /// Spends what searching `haystack` bytes for `needle` bytes costs.
    pub(crate) fn search(&mut self, haystack: usize, needle: usize) -> Result<(), EvalError> {
        self.charge(scan_cost(haystack.saturating_add(1)).saturating_mul(scan_cost(needle).max(1)))
    }

    /// Spends what running a regular expression of `pattern` bytes over `text` bytes costs.
    pub(crate) fn regex(&mut self, text: usize, pattern: usize) -> Result<(), EvalError> {
        let pattern = u64::try_from(pattern.div_ceil(4)).unwrap_or(u64::MAX).max(1);
        self.charge(scan_cost(text.saturating_add(1)).saturating_mul(pattern))
    }

    /// Spends what writing `bytes` of text costs; refuses what no value may hold. To be called before
    /// the memory is taken.
    pub(crate) fn write(&mut self, bytes: usize) -> Result<(), EvalError> {
        if bytes > MAX_TEXT_BYTES {
            return Err(EvalError::TooLarge { limit: MAX_TEXT_BYTES, unit: "bytes" });
        }
        self.scan(bytes)
    }

    /// Spends what putting `count` elements in a collection that will hold `total` costs; refuses what
    /// no value may hold. To be called before the memory is taken.
    pub(crate) fn grow(&mut self, count: usize, total: usize) -> Result<(), EvalError> {
        if total > MAX_ITEMS {
            return Err(EvalError::TooLarge { limit: MAX_ITEMS, unit: "elements" });
        }
        self.charge(u64::try_from(count).unwrap_or(u64::MAX))
    }
}

fn scan_cost(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(10)).unwrap_or(u64::MAX)
}
