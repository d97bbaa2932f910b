//! All collections: found by a hash of their names, listed in the order of the names.

use crate::collection::Collection;
use crate::cow::CowMap;
use crate::id::CollectionName;
use crate::order::ByName;
use crate::tree::Tree;
use std::sync::Arc;

/// Every collection. None is ever taken away.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collections {
    by_hash: Tree<ByName<Arc<Collection>>>,
    /// The same ones: what depends on an order goes by this.
    names: CowMap<CollectionName, ()>,
}

impl Collections {
    pub(crate) fn get(&self, name: &CollectionName) -> Option<&Arc<Collection>> {
        self.named(name.as_str())
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Collection>> {
        self.by_hash.get(name.into())
    }

    pub(crate) fn get_mut(&mut self, name: &CollectionName) -> Option<&mut Arc<Collection>> {
        self.by_hash.entry_mut(name.as_str().into()).map(|(collection, ())| collection)
    }

    pub(crate) fn insert(&mut self, collection: Arc<Collection>) {
        let name = collection.spec.name.clone();
        if self.by_hash.insert(collection, ()).is_none() {
            self.names.insert(name, ());
        }
    }

    /// In ascending order of names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&CollectionName, &Arc<Collection>)> {
        self.iter_above(None)
    }

    /// Those above `name`, in ascending order of names; all of them if there is none.
    pub(crate) fn iter_above<'a>(
        &'a self,
        name: Option<&CollectionName>,
    ) -> impl Iterator<Item = (&'a CollectionName, &'a Arc<Collection>)> + use<'a> {
        self.names.iter_above(name).filter_map(|(name, ())| Some((name, self.get(name)?)))
    }

    /// Whether both hold the same ones.
    pub(crate) fn is_consistent(&self) -> bool {
        self.by_hash.len() == self.names.len() && self.iter().count() == self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Mode;
    use crate::id::GroupName;
    use crate::range::CollectionSpec;

    #[test]
    fn collections_are_found_by_name_and_listed_in_its_order() {
        let names: Vec<_> = (0..500).map(|n| CollectionName::new(&format!("books-{n:03}")).unwrap()).collect();
        let made = |at: usize| {
            let (name, group) = (names[at].clone(), GroupName::new("shelf").unwrap());
            Arc::new(Collection::new(CollectionSpec { name, group, mode: Mode::Ordered }))
        };
        let mut collections = Collections::default();
        (0..500).map(|n| n * 217 % 500).for_each(|at| collections.insert(made(at)));
        collections.insert(made(7));
        assert!(collections.is_consistent());
        assert!(collections.iter().map(|(name, _)| name).eq(&names));
        assert!(collections.iter_above(Some(&names[99])).map(|(_, found)| &found.spec.name).eq(&names[100..]));
        assert!(names.iter().all(|name| collections.get(name).is_some_and(|found| found.spec.name == *name)));
        assert!(collections.get(&CollectionName::new("books").unwrap()).is_none());
    }
}
