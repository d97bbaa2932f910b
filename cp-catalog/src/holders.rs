//! Who has a role in ranges: each name under a number, and how many ranges it has a role in.
//!
//! Derived from the records. Numbers are no part of the state: members may give a name another one.

mod index;

use crate::catalog::Holdings;
use cp_seam::MemberId;
use index::Index;
use std::sync::Arc;

/// Names by number; none under a number that is free.
type Names = Vec<Option<MemberId>>;

/// Names by number and numbers by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holders {
    numbers: Arc<Index>,
    names: Arc<Names>,
    /// By number.
    held: Arc<Vec<Holdings>>,
    free: Arc<Vec<u32>>,
}

impl Holders {
    /// The number of `name`, if it has one.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.entry(name).map(|(_, number)| number)
    }

    pub(crate) fn entry(&self, name: &str) -> Option<(&MemberId, u32)> {
        self.numbers.find(name, &self.names)
    }

    /// The number of `id`, which it has from now on.
    pub(crate) fn number(&mut self, id: &MemberId) -> u32 {
        if let Some(number) = self.find(id.as_str()) {
            return number;
        }
        let reused = Some(&mut self.free).filter(|free| !free.is_empty()).and_then(|free| Arc::make_mut(free).pop());
        let number = reused.unwrap_or(self.names.len() as u32);
        let (names, held) = (Arc::make_mut(&mut self.names), Arc::make_mut(&mut self.held));
        match names.get_mut(number as usize) {
            Some(free) => *free = Some(id.clone()),
            None => {
                names.push(Some(id.clone()));
                held.push(Holdings::default());
            }
        }
        Arc::make_mut(&mut self.numbers).insert(number, &self.names);
        number
    }

    pub(crate) fn name(&self, number: u32) -> Option<&MemberId> {
        self.names.get(number as usize)?.as_ref()
    }

    pub(crate) fn get(&self, id: &MemberId) -> Holdings {
        self.find(id.as_str()).and_then(|number| self.held.get(number as usize).copied()).unwrap_or_default()
    }

    pub(crate) fn edit(&mut self, id: &MemberId, edit: impl FnOnce(&mut Holdings)) {
        let number = self.number(id);
        self.edit_by(number, edit);
    }

    pub(crate) fn edit_by(&mut self, number: u32, edit: impl FnOnce(&mut Holdings)) {
        if let Some(held) = Arc::make_mut(&mut self.held).get_mut(number as usize) {
            edit(held);
        }
    }

    /// Takes the number of `id` back, if it has no role anywhere.
    pub(crate) fn forget(&mut self, id: &MemberId) {
        let Some(number) = self.find(id.as_str()) else { return };
        if self.get(id) == Holdings::default()
            && let Some(name) = Arc::make_mut(&mut self.names).get_mut(number as usize)
        {
            *name = None;
            self.numbers = Arc::new(Index::of(&self.names));
            Arc::make_mut(&mut self.free).push(number);
        }
    }

    /// Whether every name has one number, and every number is a name's or free.
    pub(crate) fn is_consistent(&self) -> bool {
        let numbered = |(number, name): (u32, &Option<MemberId>)| match name {
            Some(name) => self.find(name.as_str()) == Some(number),
            None => self.free.iter().filter(|free| **free == number).count() == 1,
        };
        (0..).zip(self.names.iter()).all(numbered)
            && self.numbers.len() + self.free.len() == self.names.len()
            && self.held.len() == self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn id(number: u8) -> MemberId {
        MemberId::new(&format!("data-{number}")).unwrap()
    }

    proptest! {
        #[test]
        fn numbers_are_taken_once_and_used_again(steps in prop::collection::vec((0u8..6, 0u8..60), 0..400)) {
            let (mut holders, mut model) = (Holders::default(), BTreeMap::<u8, u64>::new());
            for (what, name) in steps {
                match what {
                    0 => {
                        let number = holders.number(&id(name));
                        prop_assert_eq!(holders.name(number), Some(&id(name)));
                        model.entry(name).or_default();
                    }
                    1 => {
                        holders.edit(&id(name), |held| held.owned += 1);
                        *model.entry(name).or_default() += 1;
                    }
                    2 => {
                        holders.edit(&id(name), |held| held.owned = 0);
                        model.insert(name, 0);
                    }
                    _ => {
                        holders.forget(&id(name));
                        if model.get(&name) == Some(&0) {
                            model.remove(&name);
                        }
                    }
                }
                prop_assert!(holders.is_consistent());
                prop_assert_eq!(holders.get(&id(name)).owned, model.get(&name).copied().unwrap_or_default());
                prop_assert_eq!(holders.find(id(name).as_str()).is_some(), model.contains_key(&name));
            }
            prop_assert!(holders.names.len() <= 60);
        }
    }

    #[test]
    fn a_number_that_two_have_is_found_out() {
        let mut holders = Holders::default();
        let (a, b) = (holders.number(&id(1)), holders.number(&id(2)));
        assert!(a != b && holders.is_consistent());
        let broken = |edit: fn(&mut Holders)| {
            let mut holders = holders.clone();
            edit(&mut holders);
            !holders.is_consistent()
        };
        assert!(broken(|h| Arc::make_mut(&mut h.names).swap(0, 1)), "another's number");
        assert!(broken(|h| h.numbers = Arc::default()), "none");
        // The first finds the table full, and it is made anew.
        let twice = |h: &mut Holders| [0, 0].iter().for_each(|n| Arc::make_mut(&mut h.numbers).insert(*n, &h.names));
        assert!(broken(twice), "in twice");
        assert!(broken(|h| Arc::make_mut(&mut h.free).push(0)), "a number in use is free");
        assert!(broken(|h| Arc::make_mut(&mut h.names)[0] = None), "a number that is lost");
    }
}
