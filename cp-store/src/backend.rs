//! The one injectable backend under all files of a node.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// One node's directory. Names are plain file names, without separators.
///
/// Durability is explicit at every step: bytes by [`File::sync_data`], names by
/// [`Directory::sync`]. The simulator's disk forgets what was not synced.
pub trait Directory: Debug + Send + Sync + 'static {
    /// Opens an existing file for reading and writing; `NotFound` if there is none.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Creates a new file; `AlreadyExists` if there is one.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Renames a file over any that has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Whoever has it open can still read it.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names in the directory, sorted.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes creations, renames and removals durable.
    fn sync(&self) -> io::Result<()>;
    /// Takes the directory for one process until the guard is dropped;
    /// `WouldBlock` if another holds it.
    fn lock(&self) -> io::Result<Box<dyn Debug + Send + Sync>>;
}

/// A file. All methods may be called from any thread.
pub trait File: Debug + Send + Sync + 'static {
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the length is zero.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }
    /// Fills `out` from `offset`; `UnexpectedEof` if the file is shorter.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`, extending the file if need be.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Sets the length; new bytes are zero.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the bytes and the length durable (fdatasync).
    fn sync_data(&self) -> io::Result<()>;
}
