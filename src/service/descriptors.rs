//! Descriptors of files and sockets: how many this process may have, and how many of them connections may take. What they may
//! not take is kept for the store's files and for calls to WhatsApp, so that a crowd of clients stops neither.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More are of no use here.
const WANTED: u64 = 65_536;
/// Connections that are allowed where the configuration does not say, however many descriptors there are.
const CONNECTIONS_MAX: usize = 4096;
/// Of the connections so many are spare, if there are that many.
const SPARE_MAX: usize = 64;
/// With fewer than these a busy service may come to need more.
const FEW: usize = 1024;
/// What is kept back: this share, and not less or more than so many.
const RESERVED_SHARE: usize = 4;
const RESERVED_MIN: usize = 96;
const RESERVED_MAX: usize = 4096;
/// What is taken for granted where the system does not tell.
const UNKNOWN: usize = 1024;

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptors(usize);

impl Descriptors {
    /// Raises the limit of this process as far as it may: systems commonly begin with 1024, for programs of long ago.
    pub(crate) fn raise() -> Self {
        let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Self(UNKNOWN) };
        let wanted = hard.min(WANTED).max(soft);
        let now = match wanted > soft {
            true => setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map_or(soft, |()| wanted),
            false => soft,
        };
        Self(usize::try_from(now).unwrap_or(usize::MAX))
    }

    pub(crate) const fn limit(self) -> usize {
        self.0
    }

    /// How many connections may be open, and how many more for one quick request each, where `configured` are wanted; 0: as
    /// many as there can be.
    pub(crate) fn connections(self, configured: usize) -> (usize, usize) {
        let wanted = if configured == 0 { CONNECTIONS_MAX } else { configured };
        let spare = (self.available() / 4).clamp(1, SPARE_MAX);
        (wanted.min(self.available().saturating_sub(spare)).max(1), spare)
    }

    /// Whether as many connections as are configured are more than can be open.
    pub(crate) fn are_too_few_for(self, configured: usize) -> bool {
        self.connections(configured).0 < configured
    }

    pub(crate) const fn are_few(self) -> bool {
        self.0 < FEW
    }

    /// Says so if fewer connections are served than are configured.
    pub(crate) fn warn_of(self, configured: usize) {
        if self.are_too_few_for(configured) {
            let (served, _) = self.connections(configured);
            tracing::warn!(
                configured,
                served,
                descriptors = self.0,
                "http.max_connections is more than the limit on open files allows, of which files and calls to WhatsApp need \
                 their part: fewer are served. Raise the limit (LimitNOFILE, ulimit -Hn) or lower http.max_connections"
            );
        }
    }

    /// What connections may take.
    fn available(self) -> usize {
        self.0.saturating_sub((self.0 / RESERVED_SHARE).clamp(RESERVED_MIN, RESERVED_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_what_files_and_calls_can_spare() {
        for (descriptors, configured, connections) in [
            (1024, 0, (704, 64)),
            (1024, 100, (100, 64)),
            (1024, 1024, (704, 64)),
            (65_536, 0, (4096, 64)),
            (65_536, 20_000, (20_000, 64)),
            (65_536, 100_000, (61_376, 64)),
            (256, 0, (120, 40)),
            (100, 0, (3, 1)),
            (10, 0, (1, 1)),
        ] {
            let told = Descriptors(descriptors);
            assert_eq!(told.connections(configured), connections, "{descriptors}, {configured}");
            assert_eq!(told.are_too_few_for(configured), connections.0 < configured);
        }
    }
}
