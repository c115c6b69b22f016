//! Where a sparse file has data.

/// A run of data within a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in the file.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// Whether the pieces are in order, apart, within the file, and together as long as the data that is there. Pieces
/// without data, by which a map says how long the file is, are left out.
pub(super) fn check(pieces: Vec<Piece>, real: u64, data: u64) -> Result<Vec<Piece>, &'static str> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for piece in &pieces {
        let after = piece.offset.checked_add(piece.length);
        match after {
            Some(after) if piece.offset >= end && after <= real => end = after,
            _ => return Err("a sparse file's pieces overlap or lie beyond its end"),
        }
        sum = sum.saturating_add(piece.length);
    }
    if sum != data {
        return Err("a sparse file has more or less data than its map says");
    }
    Ok(pieces.into_iter().filter(|piece| piece.length > 0).collect())
}
