//! The example's story, with what it asserts.

#[path = "../../examples/range_store.rs"]
mod range_store;

#[test]
fn the_range_store_tells_its_story() {
    range_store::run().unwrap();
}
