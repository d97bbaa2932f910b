use super::*;
use crate::bounds::Bound;
use crate::id::{CollectionName, GroupName, Version};
use proptest::prelude::*;

fn hashed(range: Range) -> HashedRange {
    HashedRange::new(&CollectionName::new("books").unwrap(), range)
}

fn range(id: u64, lower: &[u8], version: u64) -> HashedRange {
    let bounds = Bounds::new(Bound::at(lower).unwrap(), Bound::Max).unwrap();
    hashed(Range { version: Version(version), ..Range::plain(id, bounds) })
}

fn collection() -> Collection {
    let (name, group) = (CollectionName::new("books").unwrap(), GroupName::new("shelf").unwrap());
    let mut collection = Collection::new(CollectionSpec { name, group, mode: Mode::Ordered });
    let bounds = Bounds::new(Bound::Min, Bound::at(b"m").unwrap()).unwrap();
    collection.put(hashed(Range { bounds, ..(*range(1, b"", 1)).clone() }), 7);
    collection.put(range(2, b"m", 1), 7);
    collection
}

/// In whichever order neighbours come, each long key is kept once.
#[test]
fn neighbours_share_their_long_keys() {
    let keys = [0, 1, 2, 3].map(|n| Bound::at(&[n + 1; 40]).unwrap());
    let bytes = |bound: &Bound| match bound {
        Bound::Key(key) => key.as_bytes().as_ptr(),
        Bound::Min | Bound::Max => unreachable!(),
    };
    for order in [[1, 2, 3], [3, 2, 1], [1, 3, 2], [2, 1, 3]] {
        let mut there = collection();
        there.retire(RangeId(1), None);
        there.retire(RangeId(2), None);
        for at in order {
            let copy = |bound: &Bound| match bound {
                Bound::Key(key) => Bound::at(key.as_bytes()).unwrap(),
                Bound::Min | Bound::Max => unreachable!(),
            };
            let bounds = Bounds::new(copy(&keys[at - 1]), copy(&keys[at])).unwrap();
            let mut new = Range { bounds, ..(*range(at as u64 + 10, b"", 1)).clone() };
            there.share_keys(&mut new);
            there.put(hashed(new), 7);
        }
        let ranges: Vec<_> = there.by_key().collect();
        assert_eq!(ranges.len(), 3);
        for pair in ranges.windows(2) {
            assert_eq!(bytes(pair[0].bounds.upper()), bytes(pair[1].bounds.lower()), "made in order {order:?}");
        }
    }
}

#[test]
fn both_indexes_hold_the_same_records() {
    let holds = |collection: &Collection| collection.is_consistent(|_| Some(7));
    assert!(holds(&collection()));
    let broken = |edit: fn(&mut Collection)| {
        let mut collection = collection();
        edit(&mut collection);
        !holds(&collection)
    };
    assert!(broken(|c| drop(c.by_id.insert(range(3, b"x", 1), ()))), "one more by id");
    assert!(broken(|c| drop(c.by_id.insert(range(2, b"m", 2), ()))), "another record");
    assert!(broken(|c| drop(c.by_id.remove(RangeId(2)))), "one less by id");
    assert!(broken(|c| drop(c.by_lower.remove(Place::Min))), "one less by key");
    let moved = |c: &mut Collection| {
        drop(c.by_lower.remove(Place::Min));
        drop(c.by_lower.insert(range(1, b"c", 1), Route::new(7, false)));
    };
    assert!(broken(moved), "under another key");
    fn renoted(c: &mut Collection, route: Route) {
        let there = c.get(RangeId(2)).unwrap().clone();
        drop(c.by_lower.insert(there, route));
    }
    assert!(broken(|c| drop(c.put(range(2, b"m", 1), 8))), "another owner's number");
    assert!(broken(|c| renoted(c, Route::new(7, false))), "keys above it that are none's");
    let mut same = collection();
    renoted(&mut same, Route::new(7, true));
    assert!(holds(&same));
    assert!(!collection().is_consistent(|_| None), "an owner without a number");
}

/// By number: from where to where, and the owner.
type Model = std::collections::BTreeMap<u64, (u16, u16, u32)>;

/// Ranges come, go, and change either end, in an order in which they never overlap; at first there
/// are `filled` of them, of one step each.
fn notes_what_becomes_of_ranges(
    ends: u16,
    filled: u16,
    steps: Vec<(u8, u16, u16)>,
    long: bool,
) -> Result<(), TestCaseError> {
    let (name, group) = (CollectionName::new("books").unwrap(), GroupName::new("shelf").unwrap());
    let mut there = Collection::new(CollectionSpec { name, group, mode: Mode::Ordered });
    let key = |n: u16| if long { format!("a long beginning of keys {n:03}") } else { format!("{n:03}") };
    let bound = |n: u16| match n {
        0 => Bound::Min,
        n if n >= ends => Bound::Max,
        n => Bound::at(key(n).as_bytes()).unwrap(),
    };
    let of = |id: u64, lower: u16, upper: u16| {
        let bounds = Bounds::new(bound(lower), bound(upper)).unwrap();
        hashed(Range { bounds, ..(*range(id, b"", 1)).clone() })
    };
    let mut model = Model::new();
    for n in 0..filled {
        let (id, owner) = (10_000 + u64::from(n), u32::from(n) + 900);
        there.put(of(id, n, n + 1), owner);
        model.insert(id, (n, n + 1, owner));
    }
    let is_as = |there: &Collection, model: &Model| {
        let noted = there.is_consistent(|range| model.get(&range.id.0).map(|range| range.2));
        let mut asked = (0..ends).flat_map(|n| [key(n), format!("{}x", key(n))].map(|key| (n, key)));
        noted
            && asked.all(|(n, key)| {
                let covers = model.values().find(|(lower, upper, _)| *lower <= n && n < *upper);
                let located = there.locate(key.as_bytes()).and_then(|range| model.get(&range.id.0));
                there.owner_of(key.as_bytes()) == covers.map(|range| range.2) && located == covers
            })
    };
    let each = usize::from(ends / 24);
    let mut captured = (there.clone(), model.clone());
    for (step, (what, from, len)) in (1..).zip(steps) {
        let free = |model: &Model, own: u64, from: u16, to: u16| {
            model.iter().all(|(id, (lower, upper, _))| *id == own || to <= *lower || *upper <= from)
        };
        let one = model.keys().copied().nth(usize::from(from) % model.len().max(1));
        let put = match (what, one) {
            (0, Some(id)) => {
                there.retire(RangeId(id), None);
                model.remove(&id);
                None
            }
            (1, Some(id)) => Some((id, (from, (from + len).min(ends)))),
            (2, Some(id)) => Some((id, (model[&id].0, model[&id].1))),
            // Its upper end moves, over whatever gap there is.
            (3, Some(id)) => Some((id, (model[&id].0, (model[&id].0 + len).min(ends)))),
            _ => Some((step, (from, (from + len).min(ends)))),
        };
        let put = put.filter(|(id, (lower, upper))| lower < upper && free(&model, *id, *lower, *upper));
        if let Some((id, (lower, upper))) = put {
            there.put(of(id, lower, upper), step as u32);
            model.insert(id, (lower, upper, step as u32));
        }
        if (step as usize).is_multiple_of(each) {
            prop_assert!(is_as(&there, &model));
            prop_assert!(is_as(&captured.0, &captured.1), "a capture must not change");
        }
        if step % 40 == 0 {
            captured = (there.clone(), model.clone());
        }
    }
    prop_assert!(is_as(&there, &model) && is_as(&captured.0, &captured.1));
    Ok(())
}

proptest! {
    #[test]
    fn whether_ranges_are_joined_is_noted_as_they_change(
        steps in prop::collection::vec((0u8..5, 0u16..24, 1u16..5), 0..120),
        long in any::<bool>(),
    ) {
        notes_what_becomes_of_ranges(24, 0, steps, long)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// So many that neighbours are in different nodes.
    #[test]
    fn whether_ranges_in_other_nodes_are_joined_is_noted_as_they_change(
        steps in prop::collection::vec((0u8..5, 0u16..600, 1u16..4), 0..400),
        long in any::<bool>(),
    ) {
        notes_what_becomes_of_ranges(600, 600, steps, long)?;
    }
}

/// Keys that begin like an end are compared whole, others are not.
#[test]
fn what_covers_a_key_is_found_by_its_first_bytes_or_the_whole_key() {
    let mut there = collection();
    there.retire(RangeId(1), None);
    there.retire(RangeId(2), None);
    let of = |id, lower: &[u8], upper: &[u8]| {
        let bounds = Bounds::new(Bound::at(lower).unwrap(), Bound::at(upper).unwrap()).unwrap();
        hashed(Range { bounds, ..(*range(id, b"", 1)).clone() })
    };
    there.put(of(3, b"bbbbbbbb-3", b"bbbbbbbb-6"), 30);
    there.put(of(4, b"bbbbbbbb-7", b"dddddddd-4"), 40);
    there.put(of(5, b"e", b"f"), 50);
    for (key, owner) in [
        (&b"a"[..], None),
        (b"bbbbbbbb", None),
        (b"bbbbbbbb-2", None),
        (b"bbbbbbbb-3", Some((3, 30))),
        (b"bbbbbbbb-5", Some((3, 30))),
        (b"bbbbbbbb-6", None),
        (b"bbbbbbbb-7", Some((4, 40))),
        (b"cc", Some((4, 40))),
        (b"dddddddd-3", Some((4, 40))),
        (b"dddddddd-4", None),
        (b"dddddddda", None),
        (b"e", Some((5, 50))),
        (b"e\xff", Some((5, 50))),
        (b"f", None),
    ] {
        let found = there.locate(key).map(|range| range.id.0).zip(there.owner_of(key));
        assert_eq!(there.locate(key).is_some(), there.owner_of(key).is_some());
        assert_eq!(found, owner, "{}", key.escape_ascii());
    }
}
