//! A directory in memory that forgets nothing and syncs for free: what a store costs beside its disk.

use cp_store::{Directory, File, Pace, WriterWork};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<String, Arc<Bytes>>>);

#[derive(Debug, Default)]
struct Bytes(Mutex<Vec<u8>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics under it")
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl Directory for Memory {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = lock(&self.0).get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(file)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = Arc::new(Bytes::default());
        match lock(&self.0).insert(name.to_owned(), Arc::clone(&file)) {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => Ok(file),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut names = lock(&self.0);
        let file = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.0).remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.0).keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn fmt::Debug + Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl File for Bytes {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (bytes, at) = (lock(&self.0), offset as usize);
        out.copy_from_slice(bytes.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, written: &[u8]) -> io::Result<()> {
        let (mut bytes, at) = (lock(&self.0), offset as usize);
        if bytes.len() < at + written.len() {
            bytes.resize(at + written.len(), 0);
        }
        bytes.get_mut(at..at + written.len()).expect("long enough").copy_from_slice(written);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        lock(&self.0).resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk that takes no time.
#[derive(Debug)]
pub(crate) struct NoTime;

impl Pace for NoTime {
    fn wait(&self, _work: WriterWork) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }
}
