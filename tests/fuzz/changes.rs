//! Random mutations of an input: bytes are flipped, removed, duplicated and inserted from elsewhere.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// An input. Its debug output is text if it is valid text.
#[derive(Clone)]
pub(crate) struct Input(pub(crate) Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) => write!(f, "{text}"),
            Err(_) => write!(f, "{:02x?}", self.0),
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index, usize),
    Truncate(Index),
    Double(Index, usize),
    Insert(Index, Vec<u8>),
    /// Replaces the end by that of another input.
    Splice(Index, Index, Index),
}

/// One of `inputs` after one to four mutations, which may insert `words`.
pub(crate) fn changed(inputs: Vec<Vec<u8>>, words: &'static [&'static [u8]]) -> impl Strategy<Value = Input> {
    (any::<Index>(), vec(change(words), 1..5)).prop_map(move |(which, changes)| {
        let mut bytes = which.get(&inputs).clone();
        for change in changes {
            apply(&mut bytes, change, &inputs);
        }
        Input(bytes)
    })
}

fn change(words: &'static [&'static [u8]]) -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let special =
        select(vec![0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, b'"', b'{', b'}', b'[', b']', b'\\', b',']);
    prop_oneof![
        (at(), 0..8u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), special).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), 1..20usize).prop_map(|(at, length)| Change::Cut(at, length)),
        at().prop_map(Change::Truncate),
        (at(), 1..60usize).prop_map(|(at, length)| Change::Double(at, length)),
        (at(), select(words)).prop_map(|(at, word)| Change::Insert(at, word.to_vec())),
        (at(), at(), at()).prop_map(|(at, which, from)| Change::Splice(at, which, from)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: Change, inputs: &[Vec<u8>]) {
    let length = bytes.len();
    let place = |at: Index| at.index(length + 1);
    match change {
        Change::Flip(at, bit) if length > 0 => bytes[at.index(length)] ^= 1 << bit,
        Change::Set(at, byte) if length > 0 => bytes[at.index(length)] = byte,
        Change::Flip(..) | Change::Set(..) => {}
        Change::Cut(at, count) => drop(bytes.drain(place(at)..(place(at) + count).min(length))),
        Change::Truncate(at) => bytes.truncate(place(at)),
        Change::Double(at, count) => {
            let part = bytes[place(at)..(place(at) + count).min(length)].to_vec();
            bytes.splice(place(at)..place(at), part);
        }
        Change::Insert(at, word) => drop(bytes.splice(place(at)..place(at), word)),
        Change::Splice(at, which, from) => {
            let other = which.get(inputs);
            bytes.truncate(place(at));
            bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
        }
    }
}
