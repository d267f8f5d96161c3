//! Which conversations the events of a large body belong to, as far as it takes to hold others of them back.
//!
//! A conversation is known by eight bytes. Two that share them by chance only wait for each other.

/// Keys that are gathered before they are sorted for the first time: 128 KiB.
const SORTED_FIRST: usize = 16 * 1024;

/// The conversations of the events so far.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    keys: Vec<u64>,
    /// How many keys there may be before equal ones are looked for again.
    until: usize,
    /// An event says none, and belongs to that of its batch.
    inherits: bool,
}

impl Conversations {
    /// Takes note of an event.
    pub(super) fn add(&mut self, conversation: Option<&str>) {
        let Some(conversation) = conversation else {
            self.inherits = true;
            return;
        };
        let key = conversation_key(conversation);
        if self.keys.last() == Some(&key) {
            return;
        }
        self.keys.push(key);
        if self.keys.len() >= self.until.max(SORTED_FIRST) {
            self.sort();
            self.until = 2 * self.keys.len();
        }
    }

    /// All of them, in ascending order. Events that say none belong to `inherited`.
    pub(super) fn keys(mut self, inherited: Option<&str>) -> Box<[u64]> {
        self.keys.extend(inherited.filter(|_| self.inherits).map(conversation_key));
        self.sort();
        self.keys.into_boxed_slice()
    }

    fn sort(&mut self) {
        self.keys.sort_unstable();
        self.keys.dedup();
    }
}

/// Eight bytes by which a conversation is known.
pub fn conversation_key(conversation: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(conversation.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_conversation_is_there_once_however_many_events() {
        let mut found = Conversations::default();
        let names: Vec<String> = (0..50_000).map(|number| format!("c-{number}")).collect();
        for _ in 0..3 {
            names.iter().for_each(|name| found.add(Some(name)));
        }
        let mut expected: Vec<u64> = names.iter().map(|name| conversation_key(name)).collect();
        expected.sort_unstable();
        assert!(found.keys.capacity() <= 4 * names.len(), "equal ones are not gathered without end");
        assert_eq!(&*found.keys(Some("other")), expected);
        let mut without = Conversations::default();
        without.add(None);
        assert_eq!(&*without.keys(Some("c")), [conversation_key("c")]);
    }
}
