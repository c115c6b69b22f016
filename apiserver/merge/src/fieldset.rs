//! Ordered sets of field paths, as `sigs.k8s.io/structured-merge-diff/fieldpath.Set`.
//!
//! A set is a tree: each node is one path element, says whether the path up to it is a member, and holds the paths
//! below it. Invariants: nodes are sorted and distinct, and no node is without effect (a non-member has children).

mod element;
mod fields_v1;

pub use element::Element;
pub use fields_v1::FieldsError;

use std::cmp::Ordering;
use std::fmt;

/// A set of field paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    nodes: Vec<Node>,
}

/// One element, whether its path is a member, and what lies below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) element: Element,
    pub(crate) member: bool,
    pub(crate) children: FieldSet,
}

/// A path from the root of an object, printed as `.spec.containers[name="a"].image`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<Element>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}

impl FieldSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// The set of these paths of field names.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::new();
        for path in paths {
            set.insert(&path.iter().map(|name| Element::field(name)).collect::<Vec<_>>());
        }
        set
    }

    /// No path is a member.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many paths are members.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|n| usize::from(n.member) + n.children.len()).sum()
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn nodes_mut(&mut self) -> &mut Vec<Node> {
        &mut self.nodes
    }

    /// Takes nodes in any order, duplicates included.
    pub(crate) fn from_nodes(mut nodes: Vec<Node>) -> Self {
        if !nodes.windows(2).all(|w| w[0].element < w[1].element) {
            nodes.sort_by(|l, r| l.element.cmp(&r.element));
            nodes.dedup_by(|later, kept| {
                let same = later.element == kept.element;
                if same {
                    kept.member |= later.member;
                    kept.children =
                        std::mem::take(&mut kept.children).union(std::mem::take(&mut later.children));
                }
                same
            });
        }
        Self { nodes }
    }

    /// Appends a node greater than all others; a node without effect is left out.
    pub(crate) fn push(&mut self, node: Node) {
        if node.member || !node.children.is_empty() {
            self.nodes.push(node);
        }
    }

    fn find(&self, element: &Element) -> Result<usize, usize> {
        self.nodes.binary_search_by(|n| n.element.cmp(element))
    }

    pub(crate) fn get(&self, element: &Element) -> Option<&Node> {
        self.find(element).ok().and_then(|at| self.nodes.get(at))
    }

    /// Adds a path. The empty path stands for the whole object, which nobody owns.
    pub fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        let at = self.find(first).unwrap_or_else(|at| {
            self.nodes.insert(at, Node { element: first.clone(), member: false, children: Self::new() });
            at
        });
        if let Some(node) = self.nodes.get_mut(at) {
            if rest.is_empty() {
                node.member = true;
            } else {
                node.children.insert(rest);
            }
        }
    }

    /// Whether the path is a member.
    pub fn contains(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.get(last).is_some_and(|n| n.member),
            [first, rest @ ..] => self.get(first).is_some_and(|n| n.children.contains(rest)),
        }
    }

    /// Whether every member is one of `other` too.
    pub(crate) fn is_subset(&self, other: &Self) -> bool {
        let mut theirs = other.nodes.iter().peekable();
        self.nodes.iter().all(|node| {
            while theirs.next_if(|t| t.element < node.element).is_some() {}
            theirs.next_if(|t| t.element == node.element).is_some_and(|their| {
                (their.member || !node.member) && node.children.is_subset(&their.children)
            })
        })
    }

    /// Members of either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if other.is_empty() {
            return self;
        }
        if self.is_empty() {
            return other;
        }
        let mut nodes = Vec::with_capacity(self.nodes.len().max(other.nodes.len()));
        let (mut left, mut right) = (self.nodes.into_iter().peekable(), other.nodes.into_iter().peekable());
        while let (Some(l), Some(r)) = (left.peek(), right.peek()) {
            match l.element.cmp(&r.element) {
                Ordering::Less => nodes.extend(left.next()),
                Ordering::Greater => nodes.extend(right.next()),
                Ordering::Equal => {
                    if let (Some(l), Some(r)) = (left.next(), right.next()) {
                        let children = l.children.union(r.children);
                        nodes.push(Node { element: l.element, member: l.member || r.member, children });
                    }
                }
            }
        }
        nodes.extend(left);
        nodes.extend(right);
        Self { nodes }
    }

    /// Members of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut out = Self::new();
        let mut theirs = other.nodes.iter().peekable();
        for node in &self.nodes {
            while theirs.next_if(|t| t.element < node.element).is_some() {}
            if let Some(their) = theirs.next_if(|t| t.element == node.element) {
                let member = node.member && their.member;
                let children = node.children.intersection(&their.children);
                if member || !children.is_empty() {
                    out.nodes.push(Node { element: node.element.clone(), member, children });
                }
            }
        }
        out
    }

    /// Members that are not members of `other`; what lies below a member of `other` stays.
    #[must_use]
    pub fn difference(mut self, other: &Self) -> Self {
        self.subtract(other, false);
        self
    }

    /// Members that are neither members of `other` nor below one.
    #[must_use]
    pub fn recursive_difference(mut self, other: &Self) -> Self {
        self.subtract(other, true);
        self
    }

    fn subtract(&mut self, other: &Self, recursive: bool) {
        if other.is_empty() {
            return;
        }
        let mut theirs = other.nodes.iter().peekable();
        self.nodes.retain_mut(|node| {
            while theirs.next_if(|t| t.element < node.element).is_some() {}
            let Some(their) = theirs.next_if(|t| t.element == node.element) else { return true };
            if their.member {
                if recursive {
                    return false;
                }
                node.member = false;
            }
            node.children.subtract(&their.children, recursive);
            node.member || !node.children.is_empty()
        });
    }

    /// Members with no member below them.
    #[must_use]
    pub fn leaves(mut self) -> Self {
        for node in &mut self.nodes {
            if !node.children.is_empty() {
                node.member = false;
                node.children = std::mem::take(&mut node.children).leaves();
            }
        }
        self
    }

    /// Every member, in upstream's order: the members of a level before anything below that level.
    pub fn paths(&self) -> Vec<Path> {
        let (mut out, mut prefix) = (Vec::with_capacity(self.len()), Vec::new());
        self.collect(&mut prefix, &mut out);
        out
    }

    fn collect(&self, prefix: &mut Vec<Element>, out: &mut Vec<Path>) {
        for node in self.nodes.iter().filter(|n| n.member) {
            let mut path = prefix.clone();
            path.push(node.element.clone());
            out.push(Path(path));
        }
        for node in self.nodes.iter().filter(|n| !n.children.is_empty()) {
            prefix.push(node.element.clone());
            node.children.collect(prefix, out);
            prefix.pop();
        }
    }
}

#[cfg(test)]
mod tests;
