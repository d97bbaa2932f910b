//! A file's bytes as shared pages, so that an image is cheap to copy.

use std::io;
use std::sync::Arc;

const PAGE_BYTES: usize = 4096;
type Page = [u8; PAGE_BYTES];

/// The content of a file. A page that was never written is zero and takes no room.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    len: u64,
    pages: Vec<Option<Arc<Page>>>,
}

fn size(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
}

/// The pages that `len` bytes at `offset` touch: (page, from within it, how many).
fn spans(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let end = offset.saturating_add(len);
    let mut at = offset;
    std::iter::from_fn(move || {
        let within = at % PAGE_BYTES;
        let take = (PAGE_BYTES - within).min(end.saturating_sub(at));
        let span = (at / PAGE_BYTES, within, take);
        at = at.saturating_add(take);
        (take > 0).then_some(span)
    })
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let wanted = u64::try_from(out.len()).unwrap_or(u64::MAX);
        if offset.saturating_add(wanted) > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (page, within, take) in spans(size(offset)?, rest.len()) {
            let Some((now, later)) = std::mem::take(&mut rest).split_at_mut_checked(take) else { break };
            match self.pages.get(page).and_then(Option::as_deref).and_then(|p| p.get(within..within + take)) {
                Some(bytes) => now.copy_from_slice(bytes),
                None => now.fill(0),
            }
            rest = later;
        }
        Ok(())
    }

    pub(super) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if end > self.len {
            self.set_len(end)?;
        }
        let mut rest = bytes;
        for (page, within, take) in spans(size(offset)?, rest.len()) {
            let Some((now, later)) = rest.split_at_checked(take) else { break };
            if let Some(slot) = self.pages.get_mut(page) {
                let whole = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; PAGE_BYTES])));
                if let Some(target) = whole.get_mut(within..within + take) {
                    target.copy_from_slice(now);
                }
            }
            rest = later;
        }
        Ok(())
    }

    pub(super) fn set_len(&mut self, len: u64) -> io::Result<()> {
        let whole = size(len)?;
        self.pages.resize(whole.div_ceil(PAGE_BYTES), None);
        let within = whole % PAGE_BYTES;
        if len < self.len
            && within > 0
            && let Some(Some(last)) = self.pages.last_mut()
            && let Some(tail) = Arc::make_mut(last).get_mut(within..)
        {
            tail.fill(0);
        }
        self.len = len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// The image against a plain vector, through random writes, cuts and reads.
    #[test]
    fn agrees_with_a_vector() {
        let mut rng = Rng::new(11, "image");
        let (mut image, mut plain) = (Image::default(), Vec::<u8>::new());
        for round in 0..400_u32 {
            let offset = rng.below(20_000) as usize;
            if rng.per_mille(150) {
                image.set_len(offset as u64).unwrap();
                plain.resize(offset, 0);
            } else {
                let bytes = vec![round as u8; rng.below(9_000) as usize];
                let before = image.clone();
                image.write_at(offset as u64, &bytes).unwrap();
                if !bytes.is_empty() && plain.len() < offset + bytes.len() {
                    plain.resize(offset + bytes.len(), 0);
                }
                plain.resize(plain.len().max(offset + bytes.len()), 0);
                plain[offset..offset + bytes.len()].copy_from_slice(&bytes);
                drop(before);
            }
            let mut out = vec![0; plain.len()];
            image.read_at(0, &mut out).unwrap();
            assert!(out == plain, "round {round}");
            assert_eq!(image.len(), plain.len() as u64);
        }
        assert!(image.read_at(image.len(), &mut [0]).is_err());
    }

    #[test]
    fn copies_do_not_share_later_writes() {
        let mut image = Image::default();
        image.write_at(0, b"before").unwrap();
        let copy = image.clone();
        image.write_at(0, b"after!").unwrap();
        let mut out = [0; 6];
        copy.read_at(0, &mut out).unwrap();
        assert_eq!(&out, b"before");
    }
}
