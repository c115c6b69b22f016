//! Reading files of which no more than so much is read, whatever their size claims to be: a device has none.

use std::{fs, io, io::Read as _, path::Path};

/// The text of a file of at most `largest` bytes. What is no regular file, as the pipe of `<(…)`, is read as far.
pub fn text(path: &Path, largest: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::other(format!("it is larger than {largest} bytes, which are read at most")));
    }
    String::from_utf8(bytes).map_err(|error| io::Error::other(error.utf8_error()))
}

/// The text of a regular file of at most `largest` bytes. For files of this program's own: a pipe in the place of one would
/// be waited for.
pub fn text_of_file(path: &Path, largest: u64) -> io::Result<String> {
    if fs::metadata(path)?.is_file() {
        text(path, largest)
    } else {
        Err(io::Error::other("it is no regular file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_read_as_far_as_it_may_be() {
        let error = text(Path::new("/dev/zero"), 1000).unwrap_err().to_string();
        assert_eq!(error, "it is larger than 1000 bytes, which are read at most");
        let error = text_of_file(Path::new("/dev/zero"), 1000).unwrap_err().to_string();
        assert_eq!(error, "it is no regular file");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "four").unwrap();
        assert_eq!(
            (text(&path, 4).unwrap(), text_of_file(&path, 4).unwrap()),
            ("four".into(), "four".into())
        );
        assert!(text(&path, 3).is_err());
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(text_of_file(&pipe, 4).is_err());
        std::thread::scope(|scope| {
            scope.spawn(|| fs::write(&pipe, "pipe").unwrap());
            assert_eq!(text(&pipe, 4).unwrap(), "pipe");
        });
    }
}
