//! A file's bytes as shared pages, so that an image is cheap to copy.

use crate::rng::Rng;
use std::io;
use std::sync::Arc;

const PAGE_BYTES: usize = 4096;
type Page = [u8; PAGE_BYTES];

/// How many pages one table names.
const TABLE_PAGES: usize = 256;
type Table = [Option<Arc<Page>>; TABLE_PAGES];

/// The content of a file. A page that was never written is zero and takes no
/// room; tables and pages are shared until they are written, so a copy costs next
/// to nothing however long the file is.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    len: u64,
    tables: Vec<Option<Arc<Table>>>,
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
            match self.page(page).and_then(|p| p.get(within..within + take)) {
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
            let whole =
                self.slot_mut(page).map(|slot| Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; PAGE_BYTES]))));
            if let Some(target) = whole.and_then(|whole| whole.get_mut(within..within + take)) {
                target.copy_from_slice(now);
            }
            rest = later;
        }
        Ok(())
    }

    fn slot(&self, number: usize) -> Option<&Arc<Page>> {
        self.tables.get(number / TABLE_PAGES)?.as_ref()?.get(number % TABLE_PAGES)?.as_ref()
    }

    fn page(&self, number: usize) -> Option<&Page> {
        self.slot(number).map(|page| &**page)
    }

    fn slot_mut(&mut self, number: usize) -> Option<&mut Option<Arc<Page>>> {
        let table = self.tables.get_mut(number / TABLE_PAGES)?;
        let table = table.get_or_insert_with(|| Arc::new(std::array::from_fn(|_| None)));
        Arc::make_mut(table).get_mut(number % TABLE_PAGES)
    }

    /// Where this may first differ from `other`: pages that both share do not.
    pub(super) fn differs_from(&self, other: &Self) -> Option<u64> {
        let shared = |number: &usize| match (self.slot(*number), other.slot(*number)) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, None) => true,
            _ => false,
        };
        let table = |image: &Self, number| image.tables.get(number).and_then(Option::as_ref).map(Arc::as_ptr);
        let page = (0..self.tables.len().max(other.tables.len()))
            .filter(|number| table(self, *number) != table(other, *number))
            .find_map(|number| (number * TABLE_PAGES..(number + 1) * TABLE_PAGES).find(|page| !shared(page)))
            .and_then(|page| u64::try_from(page * PAGE_BYTES).ok());
        let end = (self.len != other.len).then_some(self.len.min(other.len));
        page.into_iter().chain(end).min()
    }

    /// The numbers of the pages that hold anything but zeros.
    fn filled(&self) -> Vec<usize> {
        let all = 0..self.tables.len() * TABLE_PAGES;
        all.filter(|number| self.page(*number).is_some_and(|page| *page != [0; PAGE_BYTES])).collect()
    }

    /// How many pages hold anything but zeros.
    pub(super) fn filled_pages(&self) -> u64 {
        self.filled().len().try_into().unwrap_or(u64::MAX)
    }

    /// Flips a bit in the filled page `ordinal`, in a byte that is not zero; answers its offset.
    pub(super) fn flip_a_bit(&mut self, ordinal: u64, rng: &mut Rng) -> usize {
        let ordinal = usize::try_from(ordinal).unwrap_or(usize::MAX);
        let Some(number) = self.filled().get(ordinal).copied() else { return 0 };
        let Some(Some(page)) = self.slot_mut(number) else { return 0 };
        let bytes: Vec<usize> = page.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
        let (at, bit) = (rng.pick(&bytes).copied().unwrap_or_default(), rng.below(8));
        if let Some(byte) = Arc::make_mut(page).get_mut(at) {
            *byte ^= 1 << bit;
        }
        number * PAGE_BYTES + at
    }

    pub(super) fn set_len(&mut self, len: u64) -> io::Result<()> {
        let whole = size(len)?;
        let (first_gone, within) = (whole.div_ceil(PAGE_BYTES), whole % PAGE_BYTES);
        if len < self.len {
            for page in first_gone..first_gone.next_multiple_of(TABLE_PAGES) {
                if self.page(page).is_some()
                    && let Some(slot) = self.slot_mut(page)
                {
                    *slot = None;
                }
            }
            if within > 0
                && let Some(Some(last)) = self.slot_mut(first_gone.saturating_sub(1))
                && let Some(tail) = Arc::make_mut(last).get_mut(within..)
            {
                tail.fill(0);
            }
        }
        self.tables.resize(first_gone.div_ceil(TABLE_PAGES), None);
        self.len = len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The image against a plain vector, through random writes, cuts and reads.
    #[test]
    fn agrees_with_a_vector() {
        let mut rng = Rng::new(11, "image");
        let (mut image, mut plain) = (Image::default(), Vec::<u8>::new());
        for round in 0..400_u32 {
            let offset = rng.below(3_000_000) as usize;
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
    fn a_difference_is_found_where_it_begins() {
        let mut image = Image::default();
        image.write_at(0, &[1; 20_000]).unwrap();
        let copy = image.clone();
        assert_eq!(image.differs_from(&copy), None);
        image.write_at(13_000, b"x").unwrap();
        assert_eq!(image.differs_from(&copy), Some(12_288));
        assert_eq!(copy.differs_from(&image), Some(12_288));
        let mut longer = copy.clone();
        longer.set_len(5_000_000).unwrap();
        assert_eq!(longer.differs_from(&copy), Some(20_000));
        longer.write_at(4_999_999, b"x").unwrap();
        assert_eq!(longer.differs_from(&copy), Some(20_000));
        assert_eq!(Image::default().differs_from(&copy), Some(0));
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
