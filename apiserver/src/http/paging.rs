//! How many objects to read at once from where they come as a list: many small ones or few large ones.

/// Objects of the first page: not too much even if each is as large as objects get.
const FIRST: usize = 16;
/// Objects of a page at most.
const MOST: usize = 512;
/// Bytes that a page should have at most.
const BYTES: usize = 2 << 20;

/// The size of the next page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paging(usize);

impl Default for Paging {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Paging {
    /// How many objects to ask for.
    pub fn size(self) -> usize {
        self.0
    }

    /// A page of this size had so many bytes.
    pub fn saw(&mut self, bytes: usize) {
        let fitting = self.0.saturating_mul(BYTES) / bytes.max(1);
        self.0 = fitting.clamp(1, (self.0 * 2).min(MOST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_small_objects_grow_and_those_of_large_ones_shrink() {
        let mut paging = Paging::default();
        let mut sizes = Vec::new();
        for bytes_each in [100, 100, 100, 100, 100, 100, 3 << 20, 3 << 20, 100] {
            sizes.push(paging.size());
            paging.saw(paging.size() * bytes_each);
        }
        assert_eq!(sizes, [16, 32, 64, 128, 256, 512, 512, 1, 1]);
        assert_eq!(paging.size(), 2);
        paging.saw(0);
        assert_eq!(paging.size(), 4);
    }
}
