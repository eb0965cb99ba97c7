//! The one source of randomness: the operating system's.

/// The operating system's random number generator.
#[derive(Clone, Copy, Default)]
pub struct Rng;

impl Rng {
    /// `N` random bytes.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing that needs it may go on then.
    #[expect(
        clippy::disallowed_methods,
        clippy::expect_used,
        reason = "the one place where randomness enters the program; without it no step is safe"
    )]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut buffer = [0u8; N];
        getrandom::fill(&mut buffer).expect("the operating system gives random bytes");
        buffer
    }
}
