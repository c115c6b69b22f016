//! What a log asks of a disk.

use std::io;

/// A folder of files that belong to one log. Names are plain: no separators, no leading dot.
///
/// Nothing that was [`Disk::append`]ed is there after a crash for certain until [`Disk::sync`] has returned; of what was
/// not flushed, any part may be there, in any state. The other calls that change something are durable, and all or
/// nothing, once they return.
pub trait Disk {
    /// Names of all files, in any order.
    fn list(&mut self) -> io::Result<Vec<String>>;

    /// All bytes of a file, refused with [`io::ErrorKind::FileTooLarge`] if there are more than `most`.
    fn read(&mut self, name: &str, most: u64) -> io::Result<Vec<u8>>;

    /// Makes a file with these bytes, or replaces it by them.
    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes at the end of a file.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Flushes all that was appended to a file.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Cuts a file to `length` bytes.
    fn cut(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Bytes that nobody can foresee who chooses what is logged.
    fn salt(&mut self) -> io::Result<[u8; 16]>;
}
