//! Finds forms in a text: at each place the longest.
//!
//! Nearly all of a text holds nothing, and is passed over by one look at every fourth place: are these bytes in the beginning
//! of a form? That is a bit in a table, many times as fast as an automaton. Only where the bit is set does the automaton walk,
//! from that very place, until no form goes on that way.
//!
//! A text can be made such that the automaton walks far at each place and finds nothing. So steps are counted, and when there
//! are many for the text's length, the rest is searched by the automaton alone, which never goes back.
//!
//! The automaton is a contiguous NFA whatever the number of forms: a DFA has more than half a KiB for each byte of them, and
//! walks too rarely here to be worth that.

use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, Input, MatchKind};

use super::TooMuch;
use super::common::SHORTEST;
use super::forms::{Form, MAX_BYTES};

/// Steps that are free, and those per byte of text. Ordinary text takes far less than one.
const FREE_STEPS: usize = 4096;
const STEPS_PER_BYTE: usize = 4;
/// The same for what the automaton searches alone. It goes back after each hit, because another one may begin inside.
const REST_STEPS_PER_BYTE: usize = 64;

/// A form in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) start: usize,
    pub(super) end: usize,
    /// What the form was given for.
    pub(super) owner: usize,
}

/// All forms, ready to be found.
pub(super) struct Finder {
    automaton: NFA,
    /// By the automaton's number of the form.
    owners: Vec<u32>,
    heads: Heads,
}

impl Finder {
    /// # Errors
    /// [`TooMuch`], when the automaton has no numbers left.
    pub(super) fn new(forms: &[Form]) -> Result<Self, TooMuch> {
        let automaton = NFA::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .prefilter(false)
            .build(forms.iter().map(|form| form.bytes.as_slice()))
            .map_err(|_| TooMuch { limit: MAX_BYTES })?;
        Ok(Self {
            automaton,
            owners: forms.iter().map(|form| form.owner).collect(),
            heads: Heads::new(forms),
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let heads = [&self.heads.whole, &self.heads.fives];
        let heads: usize = heads.map(|bits| bits.words.len() * 8).iter().sum();
        self.automaton.memory_usage() + self.owners.len() * 4 + heads
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// The longest hit at each place, from left to right; they may overlap. False when the text took too much, and not all were
    /// looked for.
    #[must_use]
    pub(super) fn find_all(&self, text: &[u8], mut each: impl FnMut(Hit)) -> bool {
        let mut left = FREE_STEPS.saturating_add(text.len().saturating_mul(STEPS_PER_BYTE));
        let mut at = 0;
        while let Some(start) = self.heads.find(text, at) {
            let (hit, steps) = self.walk(text, start);
            // From the next place on, and not from the hit's end: a value that reaches over that end is one, too.
            at = start + 1;
            if let Some(hit) = hit {
                each(hit);
            }
            left = left.saturating_sub(steps);
            if left == 0 {
                return self.find_rest(text, at, &mut each);
            }
        }
        true
    }

    /// The longest form that begins at `start`, and how many bytes were looked at.
    fn walk(&self, text: &[u8], start: usize) -> (Option<Hit>, usize) {
        let (mut longest, mut steps) = (None, 0);
        let Ok(mut state) = self.automaton.start_state(Anchored::Yes) else {
            return (longest, steps);
        };
        for byte in text.get(start..).unwrap_or_default() {
            state = self.automaton.next_state(Anchored::Yes, state, *byte);
            steps += 1;
            if !self.automaton.is_special(state) {
                continue;
            }
            if self.automaton.is_dead(state) {
                break;
            }
            // A state knows of forms that end here and began later, too; the one that began here is as long as the way.
            let ends = 0..self.automaton.match_len(state);
            let forms = ends.map(|index| self.automaton.match_pattern(state, index));
            for form in forms.filter(|form| self.automaton.pattern_len(*form) == steps) {
                let end = start + steps;
                longest = self.hit(start, end, form.as_usize()).or(longest);
            }
        }
        (longest, steps)
    }

    fn find_rest(&self, text: &[u8], from: usize, each: &mut impl FnMut(Hit)) -> bool {
        let mut left = FREE_STEPS.saturating_add(text.len().saturating_mul(REST_STEPS_PER_BYTE));
        let mut at = from;
        while let Ok(Some(found)) = self.automaton.try_find(&Input::new(text).range(at..)) {
            let form = found.pattern().as_usize();
            if let Some(hit) = self.hit(found.start(), found.end(), form) {
                each(hit);
            }
            left = left.saturating_sub(found.end() - at);
            if left == 0 {
                return false;
            }
            at = found.start() + 1;
        }
        true
    }

    fn hit(&self, start: usize, end: usize, form: usize) -> Option<Hit> {
        let owner = *self.owners.get(form)? as usize;
        Some(Hit { start, end, owner })
    }
}

/// The beginnings of all forms, as bits at their hashes. No form has fewer than eight bytes.
///
/// Those eight cover five whole bytes at a place which is a multiple of four, wherever they stand. So it is enough to look
/// at every fourth place whether the five bytes there are in a form's first eight; then at the four places around it.
struct Heads {
    /// The first eight bytes of each form.
    whole: Bits,
    /// The five bytes at the first four places of each form.
    fives: Bits,
}

const STEP: usize = 4;

impl Heads {
    fn new(forms: &[Form]) -> Self {
        let mut heads = Self {
            whole: Bits::new(forms.len()),
            fives: Bits::new(forms.len().saturating_mul(STEP)),
        };
        for head in forms.iter().filter_map(|form| form.bytes.first_chunk()) {
            let head = u64::from_le_bytes(*head);
            heads.whole.insert(head);
            for place in 0..STEP {
                heads.fives.insert(five(head >> (8 * place)));
            }
        }
        heads
    }

    /// The first place at or after `from` where a form may begin.
    fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            let (fours, _) = text.get(at..)?.as_chunks::<STEP>();
            let marked = fours.array_windows::<2>().position(|pair| {
                let eight = pair
                    .as_flattened()
                    .first_chunk()
                    .copied()
                    .unwrap_or_default();
                self.fives.has(five(u64::from_le_bytes(eight)))
            });
            // At the end, there are places without eight bytes after them.
            let passed = marked.unwrap_or(fours.len().saturating_sub(1));
            let place = at + passed * STEP;
            let first = place.saturating_sub(STEP - 1).max(from);
            let end = marked.map_or(text.len(), |_| place + SHORTEST);
            let found = self.find_whole(text, first, end);
            if found.is_some() || marked.is_none() {
                return found;
            }
            at = place + STEP;
        }
    }

    /// The first place at or after `from` whose eight bytes are a form's first, and end before `end`.
    fn find_whole(&self, text: &[u8], from: usize, end: usize) -> Option<usize> {
        let part = text.get(from..end.min(text.len()))?;
        let mut windows = part.array_windows::<SHORTEST>();
        let found = windows.position(|head| self.whole.has(u64::from_le_bytes(*head)))?;
        Some(from + found)
    }
}

/// The lowest five of eight bytes.
fn five(eight: u64) -> u64 {
    eight << 24
}

/// A Bloom filter with one hash.
struct Bits {
    words: Vec<u64>,
    /// Leaves as many bits of a hash as the table has numbers.
    shift: u32,
}

impl Bits {
    /// With 64 bits or more for each entry, so that one look in fifty or fewer is in vain.
    fn new(entries: usize) -> Self {
        let wanted = entries.saturating_mul(64).clamp(1 << 12, 1 << 27);
        let bits = wanted.next_power_of_two();
        Self {
            words: vec![0; bits / 64],
            shift: 64 - bits.ilog2(),
        }
    }

    fn place(&self, entry: u64) -> (usize, u32) {
        // The highest bits of a product depend on all bytes.
        let hash = entry.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        ((hash / 64) as usize, (hash % 64) as u32)
    }

    fn insert(&mut self, entry: u64) {
        let (word, bit) = self.place(entry);
        if let Some(word) = self.words.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    fn has(&self, entry: u64) -> bool {
        let (word, bit) = self.place(entry);
        self.words
            .get(word)
            .is_some_and(|word| word >> bit & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn finder(forms: &[&str]) -> Finder {
        let forms: Vec<Form> = (0..)
            .zip(forms)
            .map(|(owner, form)| Form {
                bytes: Zeroizing::new(form.as_bytes().to_vec()),
                owner,
            })
            .collect();
        Finder::new(&forms).unwrap()
    }

    fn all(finder: &Finder, text: &str) -> Vec<(usize, usize, usize)> {
        let mut all = Vec::new();
        let whole = finder.find_all(text.as_bytes(), |hit| {
            all.push((hit.start, hit.end, hit.owner))
        });
        assert!(whole);
        all
    }

    #[test]
    fn the_longest_at_each_place_and_those_that_overlap_it() {
        let finder = finder(&["abcdefgh", "abcdefghijklmn", "ghijklmnopqrst", "xabcdefgh"]);
        assert_eq!(
            all(&finder, "abcdefghijklmnopqrst"),
            [(0, 14, 1), (6, 20, 2)]
        );
        assert_eq!(
            all(&finder, "abcdefghijklm_abcdefgh"),
            [(0, 8, 0), (14, 22, 0)]
        );
        assert_eq!(
            all(&finder, "_ghijklmnopqrst_xabcdefghijklmn"),
            [(1, 15, 2), (16, 25, 3), (17, 31, 1)]
        );
        assert_eq!(all(&finder, "abcdefg"), []);
        assert_eq!(all(&finder, ""), []);
    }

    #[test]
    fn both_ways_of_searching_find_the_same() {
        let finder = finder(&["aaaaaaaaab", "aaaaaaaa", "aaaabaaaabaaaab", "baaaabaaaaba"]);
        let mut text = String::new();
        let mut seed = 0x1234_5678_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push(if seed >> 60 < 2 { 'b' } else { 'a' });
        }
        let mut plain = Vec::new();
        assert!(finder.find_rest(text.as_bytes(), 0, &mut |hit: Hit| plain.push(hit)));
        let mut fast = Vec::new();
        assert!(finder.find_all(text.as_bytes(), |hit| fast.push(hit)));
        assert!(plain.len() > 1000);
        assert_eq!(plain, fast);
    }

    #[test]
    fn a_text_that_nearly_matches_everywhere_takes_linear_time() {
        // Without the count of steps: 30,000 million.
        let form = "a".repeat(30_000) + "b";
        let finder = finder(&[&form]);
        let text = "a".repeat(1_000_000) + "b";
        let begun = std::time::Instant::now();
        assert_eq!(all(&finder, &text), [(970_000, 1_000_001, 0)]);
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}
