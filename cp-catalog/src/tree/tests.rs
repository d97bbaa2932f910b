use super::node::LEAF_MAX as LEN_MAX;

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const LEN_MIN: usize = LEN_MAX / 4;

/// Records are a key and a value; `SHIFT` bits of the key are not in its prefix.
#[derive(Debug, Clone)]
struct Shifted<const SHIFT: u32>;

impl<const SHIFT: u32> Order for Shifted<SHIFT> {
    type Item = (u16, u8);
    type Note = u8;
    type Key = u16;
    type Target<'a> = u16;

    fn prefix(target: u16) -> u64 {
        // The highest prefix is one that keys have, too.
        u64::MAX - u64::from(u16::MAX >> SHIFT) + u64::from(target >> SHIFT)
    }

    fn compare(one: u16, other: u16) -> Ordering {
        one.cmp(&other)
    }

    fn of(item: &(u16, u8)) -> u16 {
        item.0
    }

    fn key(target: u16) -> u16 {
        target
    }

    fn target(key: &u16) -> u16 {
        *key
    }
}

/// The lengths of the leaves; checks the invariants on the way.
fn leaves<O: Order>(tree: &Tree<O>) -> Vec<usize> {
    fn walk<O: Order>(node: &Node<O>, depth: usize, into: &mut Vec<(usize, usize)>) {
        assert!((1..=LEN_MAX).contains(&node.len()));
        let mut lowest = |leaf: &std::sync::Arc<Leaf<O>>, depth| {
            assert!((1..=LEN_MAX).contains(&leaf.len()));
            assert!((0..LEN_MAX).all(|at| leaf.at(at).is_some() == (at < leaf.len())));
            into.push((depth, leaf.len()));
        };
        match node {
            Node::Leaf(leaf) => lowest(leaf, depth),
            Node::Low(fan) => (0..fan.len()).for_each(|at| lowest(fan.child(at).unwrap(), depth + 1)),
            Node::High(fan) => (0..fan.len()).for_each(|at| walk(fan.child(at).unwrap(), depth + 1, into)),
        }
    }
    let mut found = Vec::new();
    tree.root.iter().for_each(|root| walk(root, 0, &mut found));
    assert!(found.iter().all(|(depth, _)| *depth == found[0].0), "leaves at different depths");
    found.into_iter().map(|(_, len)| len).collect()
}

fn noted(key: u16, value: u8) -> u8 {
    value.wrapping_mul(7) ^ (key as u8)
}

fn behaves<const SHIFT: u32>(steps: Vec<(u8, u16, u8)>) -> Result<(), TestCaseError> {
    let (mut tree, mut model) = (Tree::<Shifted<SHIFT>>::default(), BTreeMap::<u16, u8>::new());
    let mut captured = (tree.clone(), model.clone());
    for (step, (what, key, value)) in steps.into_iter().enumerate() {
        let item = |(key, value): (&u16, &u8)| (*key, *value);
        match what {
            0..6 => prop_assert_eq!(
                tree.insert((key, value), noted(key, value)),
                model.insert(key, value).map(|was| (key, was))
            ),
            6..9 => prop_assert_eq!(tree.remove(key), model.remove(&key).map(|was| (key, was))),
            // A run of neighbours goes, so that whole nodes do.
            9 => {
                for key in key..key.saturating_add(u16::from(value)) {
                    prop_assert_eq!(tree.remove(key), model.remove(&key).map(|was| (key, was)));
                }
            }
            _ => {
                if let Some(found) = tree.get_mut(key) {
                    found.1 = value;
                    tree.insert((key, value), noted(key, value));
                    model.insert(key, value);
                }
            }
        }
        prop_assert_eq!(tree.len(), model.len());
        prop_assert_eq!(tree.get(key).copied(), model.get(&key).map(|value| (key, *value)));
        let floor = model.range(..=key).next_back().map(|(key, value)| ((*key, *value), noted(*key, *value)));
        prop_assert_eq!(tree.floor(key).map(|found| (*found.item().unwrap(), found.note())), floor);
        prop_assert_eq!(tree.last().copied(), model.last_key_value().map(item));
        prop_assert_eq!(tree.below(key).copied(), model.range(..key).next_back().map(item));
        prop_assert_eq!(tree.iter_above(Some(key)).next().copied(), model.range(key + 1..).next().map(item));
        if step % 100 == 0 {
            leaves(&tree);
            let packed = Tree::<Shifted<SHIFT>>::from_sorted(model.iter().map(|(k, v)| ((*k, *v), noted(*k, *v))));
            let full = leaves(&packed).iter().rev().skip(1).all(|len| *len == LEN_MAX);
            prop_assert!(full && packed.len() == model.len() && packed.iter().eq(tree.iter()));
            prop_assert_eq!(
                packed.floor(key).and_then(|found| found.item()),
                tree.floor(key).and_then(|found| found.item())
            );
            if step % 300 == 0 {
                // It goes on as if it had grown.
                tree = packed;
            }
            prop_assert!(captured.0.iter().copied().eq(captured.1.iter().map(item)), "a capture must not change");
            prop_assert!(tree.iter_above(Some(key)).copied().eq(model.range(key + 1..).map(item)));
            captured = (tree.clone(), model.clone());
        }
    }
    leaves(&tree);
    prop_assert!(captured.0.iter().copied().eq(captured.1.iter().map(|(key, value)| (*key, *value))));
    prop_assert!(tree.iter().copied().eq(model.iter().map(|(key, value)| (*key, *value))));
    prop_assert!((0..4000).step_by(7).all(|key| tree.get(key).map(|item| item.1) == model.get(&key).copied()));
    Ok(())
}

fn steps() -> impl Strategy<Value = Vec<(u8, u16, u8)>> {
    prop::collection::vec((0u8..12, 0u16..4000, any::<u8>()), 0..6000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn behaves_as_a_btree_map(steps in steps()) {
        behaves::<0>(steps)?;
    }

    #[test]
    fn behaves_as_a_btree_map_when_many_prefixes_are_equal(steps in steps()) {
        behaves::<5>(steps)?;
    }

    #[test]
    fn behaves_as_a_btree_map_when_all_prefixes_are_equal(steps in steps()) {
        behaves::<15>(steps)?;
    }
}

fn of(keys: impl Iterator<Item = u16>) -> Tree<Shifted<0>> {
    let mut tree = Tree::default();
    keys.for_each(|key| assert_eq!(tree.insert((key, 0), 0), None));
    tree
}

#[test]
fn a_leaf_is_cut_in_half_unless_the_tree_grows_at_its_end() {
    let full = LEN_MAX as u16;
    assert_eq!(leaves(&of(0..3 * full + 1)), [LEN_MAX, LEN_MAX, LEN_MAX, 1]);
    assert_eq!(leaves(&of((0..full).rev())), [LEN_MAX]);
    assert_eq!(leaves(&of((0..=full).rev())), [LEN_MAX / 2 + 1, LEN_MAX / 2]);
}

#[test]
fn short_nodes_join_and_an_emptied_tree_has_none() {
    let mut tree = of(0..5000);
    (0..5000).filter(|key| key % 16 != 0).for_each(|key| assert_eq!(tree.remove(key), Some((key, 0))));
    let lens = leaves(&tree);
    assert!(lens.iter().all(|len| *len >= LEN_MIN), "{lens:?}");
    assert_eq!(lens.iter().sum::<usize>(), tree.len());
    (0..5000).step_by(16).for_each(|key| assert_eq!(tree.remove(key), Some((key, 0))));
    assert!(tree.root.is_none() && tree.len() == 0);
}

/// After the key that its branch keeps for it is gone, a leaf takes lower ones and is joined with others.
#[test]
fn what_a_node_began_with_may_go_and_lower_keys_come() {
    let mut tree = of((0..4000).map(|key| key * 2));
    let mut model: std::collections::BTreeSet<u16> = (0..4000).map(|key| key * 2).collect();
    for round in 0..4000u16 {
        let key = (u32::from(round) * 1237 % 8000) as u16;
        assert_eq!(tree.remove(key).is_some(), model.remove(&key));
        if round % 3 == 0 {
            assert_eq!(tree.insert((key | 1, 0), 0).is_none(), model.insert(key | 1));
        }
    }
    leaves(&tree);
    assert!(tree.iter().map(|item| item.0).eq(model.iter().copied()));
    assert!((0..8000).all(|key| tree.floor(key).and_then(|found| found.item()).map(|item| item.0)
        == model.range(..=key).next_back().copied()));
    assert!((0..8000).all(|key| tree.get(key).is_some() == model.contains(&key)));
}
