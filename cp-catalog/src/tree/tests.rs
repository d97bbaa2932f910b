use super::node::{FAN_MAX, LEAF_MAX as LEN_MAX};

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const LEN_MIN: usize = LEN_MAX / 4;

/// The highest key that is drawn.
const KEY_MAX: u32 = 39_999;

/// Records are a key and a value; `SHIFT` bits of the key are not in its prefix, and that of `TOP`
/// is the highest there is.
#[derive(Debug, Clone)]
struct Shifted<const SHIFT: u32, const TOP: u32 = KEY_MAX>;

impl<const SHIFT: u32, const TOP: u32> Order for Shifted<SHIFT, TOP> {
    type Item = (u32, u8);
    type Note = u8;
    type Key = u32;
    type Target<'a> = u32;

    fn prefix(target: u32) -> u64 {
        u64::MAX - u64::from((TOP >> SHIFT).saturating_sub(target >> SHIFT))
    }

    fn compare(one: u32, other: u32) -> Ordering {
        one.cmp(&other)
    }

    fn of(item: &(u32, u8)) -> u32 {
        item.0
    }

    fn key(target: u32) -> u32 {
        target
    }

    fn target(key: &u32) -> u32 {
        *key
    }
}

/// The lengths of the nodes at each depth, the root's first; checks the invariants on the way.
fn levels<O: Order>(tree: &Tree<O>) -> Vec<Vec<usize>> {
    fn walk<O: Order>(node: &Node<O>, depth: usize, into: &mut Vec<Vec<usize>>) {
        if into.len() <= depth {
            into.push(Vec::new());
        }
        into[depth].push(node.len());
        match node {
            Node::Leaf(leaf) => {
                assert!((1..=LEN_MAX).contains(&leaf.len()));
                assert!(leaf.is_sampled_as_it_is());
                let leaf = leaf.leaf();
                assert!((0..LEN_MAX).all(|at| leaf.at(at).is_some() == (at < leaf.len())));
            }
            Node::Low(fan) => {
                assert!((1..=FAN_MAX).contains(&fan.len()));
                (0..fan.len()).for_each(|at| walk(&Node::Leaf(fan.child(at).unwrap().clone()), depth + 1, into));
            }
            Node::High(fan) => {
                assert!((1..=FAN_MAX).contains(&fan.len()));
                (0..fan.len()).for_each(|at| walk(fan.child(at).unwrap(), depth + 1, into));
            }
        }
    }
    let mut levels = Vec::new();
    tree.root.iter().for_each(|root| walk(root, 0, &mut levels));
    for pair in levels.windows(2) {
        assert_eq!(pair[0].iter().sum::<usize>(), pair[1].len(), "leaves at different depths");
    }
    assert_eq!(levels.last().map_or(0, |leaves| leaves.iter().sum()), tree.len());
    levels
}

fn leaves<O: Order>(tree: &Tree<O>) -> Vec<usize> {
    levels(tree).pop().unwrap_or_default()
}

impl Note for u8 {
    fn bits(self) -> u32 {
        self.into()
    }

    fn of_bits(bits: u32) -> Self {
        bits as u8
    }
}

fn noted(key: u32, value: u8) -> u8 {
    value.wrapping_mul(7) ^ (key as u8)
}

fn packed<const SHIFT: u32, const TOP: u32>(model: &BTreeMap<u32, u8>) -> Tree<Shifted<SHIFT, TOP>> {
    Tree::from_sorted(model.iter().map(|(key, value)| ((*key, *value), noted(*key, *value))))
}

/// Whether each way to look for `key` finds what it finds in the model.
fn finds<const SHIFT: u32, const TOP: u32>(
    tree: &Tree<Shifted<SHIFT, TOP>>,
    model: &BTreeMap<u32, u8>,
    key: u32,
) -> bool {
    let item = |(key, value): (&u32, &u8)| (*key, *value);
    let floor = model.range(..=key).next_back().map(|(key, value)| ((*key, *value), noted(*key, *value)));
    tree.get(key).copied() == model.get(&key).map(|value| (key, *value))
        && tree.floor(key).map(|found| (*found.item().unwrap(), found.note())) == floor
        && tree.below(key).copied() == model.range(..key).next_back().map(item)
        && tree.iter_above(Some(key)).next().copied() == model.range(key + 1..).next().map(item)
}

/// What is done to a tree: most inserts, then removals; rarely a run of neighbours goes, so that whole nodes do.
#[derive(Debug, Clone, Copy)]
enum Step {
    Insert(u32, u8),
    Remove(u32),
    RemoveRun(u32, u32),
    Edit(u32, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..=KEY_MAX;
    prop_oneof![
        600 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::Insert(key, value)),
        300 => key.clone().prop_map(Step::Remove),
        100 => (key.clone(), 0u32..16).prop_map(|(key, len)| Step::RemoveRun(key, len)),
        1 => (key.clone(), 0u32..9000).prop_map(|(key, len)| Step::RemoveRun(key, len)),
        200 => (key, any::<u8>()).prop_map(|(key, value)| Step::Edit(key, value)),
    ]
}

/// Every fourth key, or none, and what is done then.
fn course() -> impl Strategy<Value = (bool, Vec<Step>)> {
    (any::<bool>(), prop::collection::vec(step(), 0..6000))
}

fn fourths() -> BTreeMap<u32, u8> {
    (0..=KEY_MAX).step_by(4).map(|key| (key, key as u8)).collect()
}

fn behaves<const SHIFT: u32>((filled, steps): (bool, Vec<Step>)) -> Result<(), TestCaseError> {
    let mut model = if filled { fourths() } else { BTreeMap::new() };
    let mut tree = packed::<SHIFT, KEY_MAX>(&model);
    prop_assert_eq!(matches!(tree.root, Some(Node::High(_))), filled, "10,000 take fans above fans");
    let mut captured = (tree.clone(), model.clone());
    let item = |(key, value): (&u32, &u8)| (*key, *value);
    for (at, step) in steps.into_iter().enumerate() {
        let key = match step {
            Step::Insert(key, value) => {
                let was = model.insert(key, value).map(|was| (key, was));
                prop_assert_eq!(tree.insert((key, value), noted(key, value)), was);
                key
            }
            Step::Remove(key) => {
                prop_assert_eq!(tree.remove(key), model.remove(&key).map(|was| (key, was)));
                key
            }
            Step::RemoveRun(key, len) => {
                for key in key..(key + len).min(KEY_MAX) {
                    prop_assert_eq!(tree.remove(key), model.remove(&key).map(|was| (key, was)));
                }
                key
            }
            Step::Edit(key, value) => {
                if let Some((found, note)) = tree.entry_mut(key) {
                    (found.1, *note) = (value, noted(key, value));
                    model.insert(key, value);
                }
                key
            }
        };
        prop_assert_eq!(tree.len(), model.len());
        prop_assert!(finds(&tree, &model, key), "{}", key);
        prop_assert_eq!(tree.last().copied(), model.last_key_value().map(item));
        if at % 500 == 0 {
            levels(&tree);
            let packed = packed::<SHIFT, KEY_MAX>(&model);
            let full = leaves(&packed).iter().rev().skip(1).all(|len| *len == LEN_MAX);
            prop_assert!(full && packed.len() == model.len() && packed.iter().eq(tree.iter()));
            prop_assert!(finds(&packed, &model, key), "{}", key);
            if at % 1500 == 0 {
                // It goes on as if it had grown.
                tree = packed;
            }
            prop_assert!(captured.0.iter().copied().eq(captured.1.iter().map(item)), "a capture must not change");
            levels(&captured.0);
            prop_assert!((0..=KEY_MAX).step_by(97).all(|key| finds(&captured.0, &captured.1, key)), "its notes");
            prop_assert!(tree.iter_above(Some(key)).copied().eq(model.range(key + 1..).map(item)));
            captured = (tree.clone(), model.clone());
        }
    }
    levels(&tree);
    prop_assert!(captured.0.iter().copied().eq(captured.1.iter().map(item)));
    prop_assert!(tree.iter().copied().eq(model.iter().map(item)));
    prop_assert!((0..=KEY_MAX).step_by(7).all(|key| tree.get(key).map(|item| item.1) == model.get(&key).copied()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn behaves_as_a_btree_map(course in course()) {
        behaves::<0>(course)?;
    }

    #[test]
    fn behaves_as_a_btree_map_when_many_prefixes_are_equal(course in course()) {
        behaves::<5>(course)?;
    }

    #[test]
    fn behaves_as_a_btree_map_when_all_prefixes_are_equal(course in course()) {
        behaves::<16>(course)?;
    }
}

/// A full fan under another is cut, and what is left of it is joined with the next one.
fn cuts_and_joins_fans<const SHIFT: u32>() {
    let mut model = fourths();
    let mut tree = packed::<SHIFT, KEY_MAX>(&model);
    assert_eq!(levels(&tree)[1], [32, 32, 15]);
    let whole = |tree: &Tree<Shifted<SHIFT>>, model: &BTreeMap<u32, u8>| {
        assert!((0..=KEY_MAX).all(|key| finds(tree, model, key)));
        assert!((0..=KEY_MAX).step_by(997).all(|key| {
            tree.iter_above(Some(key)).map(|item| item.0).eq(model.range(key + 1..).map(|(key, _)| *key))
        }));
    };
    whole(&tree, &model);
    model.insert(5, 0);
    tree.insert((5, 0), noted(5, 0));
    assert_eq!(levels(&tree)[1], [17, 16, 32, 15]);
    whole(&tree, &model);
    for key in 0..=KEY_MAX {
        assert_eq!(tree.remove(key).is_some(), model.remove(&key).is_some());
        if key % 50 == 0 && levels(&tree)[1].len() < 4 {
            break;
        }
    }
    assert_eq!(levels(&tree)[1].len(), 3);
    assert!((20..24).contains(&levels(&tree)[1][0]), "{:?}", levels(&tree));
    whole(&tree, &model);
    // The first child of the second fan loses what it began with: what is below is in the fan before.
    let second = levels(&tree)[2][..levels(&tree)[1][0]].iter().sum::<usize>();
    let gone: Vec<_> = model.keys().copied().skip(second).take(LEN_MAX + 2).collect();
    for key in gone {
        assert_eq!(tree.remove(key).is_some(), model.remove(&key).is_some());
    }
    whole(&tree, &model);
}

#[test]
fn fans_are_cut_and_joined() {
    cuts_and_joins_fans::<0>();
}

#[test]
fn fans_are_cut_and_joined_when_many_prefixes_are_equal() {
    cuts_and_joins_fans::<5>();
}

#[test]
fn fans_are_cut_and_joined_when_all_prefixes_are_equal() {
    cuts_and_joins_fans::<16>();
}

/// As the three levels of fans that a million records take.
#[test]
fn fans_above_fans_above_fans_are_cut_and_joined() {
    let mut model: BTreeMap<u32, u8> = (0..140_000).map(|n| (n * 2, n as u8)).collect();
    let mut tree = packed::<0, 280_000>(&model);
    assert_eq!(levels(&tree)[..2], [vec![2], vec![32, 3]]);
    let whole = |tree: &Tree<Shifted<0, 280_000>>, model: &BTreeMap<u32, u8>| {
        assert!(tree.iter().map(|item| item.0).eq(model.keys().copied()));
        assert!((0..280_000).step_by(61).all(|key| finds(tree, model, key)));
    };
    model.insert(1, 9);
    tree.insert((1, 9), noted(1, 9));
    assert_eq!(levels(&tree)[..2], [vec![3], vec![17, 16, 3]]);
    whole(&tree, &model);
    let gone: Vec<u32> = model.range(..90_000).map(|(key, _)| *key).collect();
    for key in gone {
        assert_eq!(tree.remove(key).is_some(), model.remove(&key).is_some());
    }
    assert_eq!(levels(&tree)[1].len(), 2, "{:?}", &levels(&tree)[..2]);
    whole(&tree, &model);
}

fn of(keys: impl Iterator<Item = u32>) -> Tree<Shifted<0>> {
    let mut tree = Tree::default();
    keys.for_each(|key| assert_eq!(tree.insert((key, 0), 0), None));
    tree
}

#[test]
fn a_leaf_is_cut_in_half_unless_the_tree_grows_at_its_end() {
    let full = LEN_MAX as u32;
    assert_eq!(leaves(&of(0..3 * full + 1)), [LEN_MAX, LEN_MAX, LEN_MAX, 1]);
    assert_eq!(leaves(&of((0..full).rev())), [LEN_MAX]);
    assert_eq!(leaves(&of((0..=full).rev())), [LEN_MAX / 2 + 1, LEN_MAX / 2]);
}

#[test]
fn a_fan_is_cut_in_half_unless_the_tree_grows_at_its_end() {
    let fan = (LEN_MAX * FAN_MAX) as u32;
    assert_eq!(levels(&of(0..3 * fan + 1))[1], [FAN_MAX, FAN_MAX, FAN_MAX, 1]);
    // The last child of a full fan is cut, and is not the last of the tree.
    let below = of((0..2 * fan).map(|key| key * 4).chain(fan * 4 - 3..fan * 4));
    assert_eq!(levels(&below)[1], [FAN_MAX / 2, FAN_MAX / 2 + 1, FAN_MAX]);
}

/// The last of the records is cut off again and again: each goes behind full leaves, and below the last one.
#[test]
fn keys_that_fall_behind_a_full_leaf_do_not_make_a_leaf_each() {
    let full = LEN_MAX as u32;
    let tree = of((0..full).chain((full..full + 10_000).rev()));
    let lens = leaves(&tree);
    assert!(lens.iter().rev().skip(1).all(|len| *len >= LEN_MIN), "{lens:?}");
    // In the middle of a tree, too.
    let packed = (0..40 * full).map(|key| ((key * 1000, 0), 0));
    let mut tree = Tree::<Shifted<0>>::from_sorted(packed);
    (1..1000).rev().for_each(|above| assert_eq!(tree.insert(((10 * full - 1) * 1000 + above, 0), 0), None));
    let lens = leaves(&tree);
    assert!(lens.iter().all(|len| *len >= LEN_MIN), "{lens:?}");
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
    let mut model: std::collections::BTreeSet<u32> = (0..4000).map(|key| key * 2).collect();
    for round in 0..4000 {
        let key = round * 1237 % 8000;
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

/// Most fall into one step of the sample, so that the search goes on from group to group.
fn finds_what_lies_close_together<const SHIFT: u32>() {
    let close = (0..100).chain((0..28).map(|n| 1 << 20 | n)).chain((0..4).map(|n| (u32::MAX >> 1) - n));
    let mut model: BTreeMap<u32, u8> = close.map(|key| (key * 2, key as u8)).collect();
    let mut tree = packed::<SHIFT, { u32::MAX }>(&model);
    let asked: Vec<u32> =
        (0..210).chain((0..70).map(|n| (1 << 21) - 5 + n)).chain((0..8).map(|n| u32::MAX - n)).collect();
    let whole = |tree: &Tree<Shifted<SHIFT, { u32::MAX }>>, model: &BTreeMap<u32, u8>| {
        levels(tree);
        asked.iter().all(|key| *key == u32::MAX || finds(tree, model, *key))
    };
    assert!(whole(&tree, &model));
    for (at, key) in asked.iter().enumerate() {
        let value = model.remove(key);
        assert_eq!(tree.remove(*key), value.map(|value| (*key, value)));
        assert!(whole(&tree, &model), "without {key}");
        if at % 3 == 0 {
            tree.insert((*key, 1), noted(*key, 1));
            model.insert(*key, 1);
            assert!(whole(&tree, &model), "with {key}");
        }
    }
}

#[test]
fn records_close_together_beside_ones_far_away_are_found() {
    finds_what_lies_close_together::<0>();
    finds_what_lies_close_together::<3>();
}
