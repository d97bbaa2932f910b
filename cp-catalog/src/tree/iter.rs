//! The records of a tree, in order.

use super::Order;
use super::node::{Branch, Leaf, Node};

#[derive(Debug)]
pub(crate) struct Iter<'a, O: Order> {
    /// The branches above the leaf, each with the child to go on at.
    above: Vec<(&'a Branch<O>, usize)>,
    leaf: Option<(&'a Leaf<O>, usize)>,
}

impl<'a, O: Order> Iter<'a, O> {
    /// What is above `target`; everything if there is none.
    pub(super) fn new(root: Option<&'a Node<O>>, target: Option<O::Target<'_>>) -> Self {
        let mut iter = Self { above: Vec::new(), leaf: None };
        iter.descend(root, target);
        iter
    }

    fn descend(&mut self, mut node: Option<&'a Node<O>>, target: Option<O::Target<'_>>) {
        while let Some(next) = node {
            match next {
                Node::Branch(branch) => {
                    let at = target.map_or(0, |target| branch.way(target));
                    self.above.push((branch, at + 1));
                    node = branch.child(at);
                }
                Node::Leaf(leaf) => {
                    let at = target.map_or(0, |target| leaf.rank(target).map_or_else(|at| at, |at| at + 1));
                    self.leaf = Some((leaf, at));
                    return;
                }
            }
        }
    }
}

impl<'a, O: Order> Iterator for Iter<'a, O> {
    type Item = &'a O::Item;

    fn next(&mut self) -> Option<&'a O::Item> {
        loop {
            if let Some((leaf, at)) = &mut self.leaf {
                if let Some(item) = leaf.at(*at) {
                    *at += 1;
                    return Some(item);
                }
                self.leaf = None;
            }
            let (branch, at) = self.above.last_mut()?;
            let child = branch.child(*at);
            *at += 1;
            if child.is_some() {
                self.descend(child, None);
            } else {
                self.above.pop();
            }
        }
    }
}
