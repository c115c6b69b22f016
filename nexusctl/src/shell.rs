//! Words as a POSIX shell takes them back.

/// Joins words into a line that a shell splits into the same words.
pub fn join(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// A word, in quotes where a shell would read it otherwise.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        let words = ["nexusctl", "-f", "a b.yaml", "it's", "", "x=$HOME"].map(str::to_owned);
        assert_eq!(join(&words), r"nexusctl -f 'a b.yaml' 'it'\''s' '' 'x=$HOME'");
    }
}
