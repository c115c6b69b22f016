//! Randomness for spreading things in time and for telling processes apart; nothing secret comes from here.

/// A number in 0..1. Where the system gives none, the middle.
pub fn fraction() -> f64 {
    let mut bytes = [0_u8; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

/// Who this process is among others: the machine's name and eight hexadecimal digits of its own.
pub fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        .take(200)
        .collect();
    let mut bytes = [0_u8; 8];
    if getrandom::fill(&mut bytes).is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        bytes = now.as_nanos().to_le_bytes().first_chunk::<8>().copied().unwrap_or_default();
    }
    format!("{}_{:016x}", if host.is_empty() { "host" } else { &host }, u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn fractions_lie_below_one_and_identities_differ() {
        assert!((0..100).all(|_| (0.0..1.0).contains(&super::fraction())));
        assert_ne!(super::identity(), super::identity());
    }
}
