//! What the dice decide before a play and at every call.

use std::time::Duration;

use actors::Settings;
use domain::message::OnUnknown;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::provider::Say;
use crate::support::{SECOND, settings};

/// Settings under which much happens.
pub(super) fn settings_by(dice: &mut StdRng) -> Settings {
    let mut pick = |from: &[u64]| *from.choose(dice).unwrap();
    let mut settings = settings();
    let delays: &[u64] = if pick(&[0, 1]) == 0 { &[0, 1, 5, 30] } else { &[0, 0, 2, 60, 60, 600, 600] };
    settings.policy.retry.delays = delays.iter().map(|delay| SECOND * u32::try_from(*delay).unwrap()).collect();
    settings.policy.retry.jitter = 0.1;
    settings.policy.stale_after = Duration::from_secs(pick(&[20, 90, 600]));
    settings.policy.on_unknown = if pick(&[0, 1, 2]) == 0 { OnUnknown::Hold } else { OnUnknown::Resend };
    settings.passivate_after = Duration::from_secs(pick(&[1, 30, 300]));
    settings.messages_per_second = u32::try_from(pick(&[1, 10, 80])).unwrap();
    settings.max_concurrent = usize::try_from(pick(&[1, 3, 64])).unwrap();
    settings.pair_limit.interval = Duration::from_secs(pick(&[0, 6]));
    settings.pair_limit.burst = u32::try_from(pick(&[2, 45])).unwrap();
    settings.limits.max_resident = usize::try_from(pick(&[2, 5, 1000])).unwrap();
    settings.limits.passivate_org_after = Duration::from_secs(pick(&[3, 60, 600]));
    settings
}

/// Meta as it is on a bad day.
pub(super) fn bad_day(seed: u64) -> Box<dyn FnMut() -> (Say, Duration) + Send> {
    let mut dice = StdRng::seed_from_u64(!seed);
    Box::new(move || {
        let say = match dice.random_range(0..100) {
            0..60 => Say::Accept,
            60..68 => Say::Taken,
            68..74 => Say::Unknown,
            74..79 => Say::NotSent,
            79..80 => Say::Never,
            80..88 => Say::Refuse(131_000),
            88..91 => Say::Refuse(131_026),
            91..94 => Say::Refuse(131_056),
            94..97 => Say::Refuse(130_429),
            97..98 => Say::Refuse(80_007),
            _ => Say::Refuse(190),
        };
        (say, after(&mut dice, 15 * SECOND))
    })
}

/// Mostly soon, sometimes as late as `most`.
pub(super) fn after(dice: &mut StdRng, most: Duration) -> Duration {
    Duration::from_millis(u64::try_from(most.mul_f64(dice.random::<f64>().powi(4)).as_millis()).unwrap())
}
