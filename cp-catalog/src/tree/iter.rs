//! The records of a tree, in order.

use super::Order;
use super::fan::Fan;
use super::leaf::Leaf;
use super::node::{LowFan, Node};

#[derive(Debug)]
pub(crate) struct Iter<'a, O: Order> {
    /// The high fans above, each with the child to go on at.
    high: Vec<(&'a Fan<O, Node<O>>, usize)>,
    low: Option<(&'a LowFan<O>, usize)>,
    leaf: Option<(&'a Leaf<O>, usize)>,
}

impl<'a, O: Order> Iter<'a, O> {
    /// What is above `target`; everything if there is none.
    pub(super) fn new(root: Option<&'a Node<O>>, target: Option<O::Target<'_>>) -> Self {
        let mut iter = Self { high: Vec::new(), low: None, leaf: None };
        if let Some(root) = root {
            iter.descend(root, target);
        }
        iter
    }

    fn descend(&mut self, mut node: &'a Node<O>, target: Option<O::Target<'_>>) {
        let leaf = loop {
            match node {
                Node::Leaf(leaf) => break Some(leaf),
                Node::Low(fan) => {
                    let at = target.map_or(0, |target| fan.way(target));
                    self.low = Some((fan, at + 1));
                    break fan.child(at);
                }
                Node::High(fan) => {
                    let at = target.map_or(0, |target| fan.way(target));
                    self.high.push((fan, at + 1));
                    let Some(child) = fan.child(at) else { break None };
                    node = child;
                }
            }
        };
        self.leaf = leaf.map(|leaf| {
            let at = target.map_or(0, |target| leaf.rank(target).map_or_else(|at| at, |at| at + 1));
            (leaf.leaf(), at)
        });
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
            if let Some((fan, at)) = &mut self.low {
                let child = fan.child(*at);
                *at += 1;
                self.leaf = child.map(|leaf| (leaf.leaf(), 0));
                if child.is_none() {
                    self.low = None;
                }
                continue;
            }
            let (fan, at) = self.high.last_mut()?;
            let child = fan.child(*at);
            *at += 1;
            match child {
                Some(child) => self.descend(child, None),
                None => drop(self.high.pop()),
            }
        }
    }
}
