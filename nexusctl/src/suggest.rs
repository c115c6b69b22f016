//! The nearest name to a mistyped one.

/// The candidate nearest to `typed`, if it is near enough to have been meant.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long input is no typing mistake, and distance is quadratic.
    if typed.len() > 128 {
        return None;
    }
    let lowered = typed.to_lowercase();
    // One mistake in a short name, one for every three letters in a longer one.
    let allowed = (typed.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 128 && *candidate != typed)
        .map(|candidate| (strsim::osa_distance(&lowered, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_only_what_may_have_been_meant() {
        let kinds = ["Workload", "Network", "Domain", "Asset", "Certificate"];
        assert_eq!(nearest("Workloda", kinds), Some("Workload"));
        assert_eq!(nearest("workload", kinds), Some("Workload"));
        assert_eq!(nearest("Certifcate", kinds), Some("Certificate"));
        assert_eq!(nearest("Deployment", kinds), None);
        assert_eq!(nearest("x", kinds), None);
        assert_eq!(nearest("imagee", ["image", "imagePullPolicy", "name"]), Some("image"));
        assert_eq!(nearest(&"a".repeat(100_000), kinds), None);
    }
}
