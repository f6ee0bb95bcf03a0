//! Records in commits on their way: the store does not know them yet.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use domain::Seq;

/// The latest record under each key that is not durable yet.
pub(super) struct Uncommitted<K, V> {
    known: HashMap<K, (Seq, V)>,
    /// With the audit entries that came with them: what is durable is durable up to an entry.
    order: VecDeque<(Seq, K)>,
}

impl<K, V> Default for Uncommitted<K, V> {
    fn default() -> Self {
        Self { known: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Hash + Eq + Clone, V> Uncommitted<K, V> {
    /// A record in the commit that the entry `seq` is in.
    pub(super) fn note(&mut self, seq: Seq, key: K, record: V) {
        self.order.push_back((seq, key.clone()));
        self.known.insert(key, (seq, record));
    }

    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.known.get(key).map(|(_, record)| record)
    }

    /// Everything up to this entry is durable.
    pub(super) fn committed(&mut self, seq: Seq) {
        while let Some((noted, key)) = self.order.pop_front_if(|(noted, _)| *noted <= seq) {
            if self.known.get(&key).is_some_and(|(latest, _)| *latest == noted) {
                self.known.remove(&key);
            }
        }
    }
}
