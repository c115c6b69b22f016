//! Shims of an agent, told by its folder on their command lines.

use std::path::Path;

/// Their processes.
pub fn of(agent: &Path) -> Vec<u32> {
    let folder = agent.display().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_shim(&std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default(), &folder))
        .collect()
}

/// Whether a command line (proc_pid_cmdline(5)) is of a shim with its folder below another.
fn is_shim(line: &[u8], folder: &str) -> bool {
    let mut words = line.split(|byte| *byte == 0);
    words.next() == Some(b"hypermesh-shim".as_slice())
        && words.any(|word| word.strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.starts_with(b"/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_is_told_by_its_folder() {
        assert!(is_shim(b"hypermesh-shim\0/a/agent/runtime/i\0", "/a/agent"));
        assert!(is_shim(b"hypermesh-shim\0shim\0/a/agent/runtime/i\0", "/a/agent"));
        for other in [b"hypermesh-shim\0/a/agents/i\0".as_slice(), b"grep\0/a/agent/i\0", b""] {
            assert!(!is_shim(other, "/a/agent"));
        }
    }
}
