//! Waits for an answer without counting the time in which this process stood still, when it could not listen. A machine
//! may be suspended or moved, a process stopped; the answer may be there when it goes on.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The wait consists of this many steps. A step in which the process stood still is waited again.
const STEPS: u32 = 16;
/// A step that ends this much too late was not waited for: the process stood still.
const LATE: Duration = Duration::from_millis(250);

/// The result of `answer`, unless this process has waited for `limit`.
pub async fn within<T>(limit: Duration, answer: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        answer = answer => Some(answer),
        () = patience(limit) => None,
    }
}

async fn patience(limit: Duration) {
    let step = (limit / STEPS).max(Duration::from_nanos(1));
    let mut left = limit;
    while !left.is_zero() {
        let (began, wait) = (Instant::now(), step.min(left));
        sleep(wait).await;
        if began.elapsed() < wait + LATE {
            left -= wait;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;
    use tokio::time::advance;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_given_up_in_time() {
        let began = Instant::now();
        assert_eq!(within(LIMIT, std::future::pending::<()>()).await, None);
        assert!((LIMIT..LIMIT + LATE).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_read_only_after_the_process_stood_still_is_not_too_late() {
        for stopped_at in [0, 1, 15, 29].map(Duration::from_secs) {
            let (answer, answered) = oneshot::channel();
            let waiting = tokio::spawn(within(LIMIT, answered));
            tokio::task::yield_now().await;
            sleep(stopped_at).await;
            // Nothing runs meanwhile: all timers fire late, and only then is the answer read.
            advance(10 * LIMIT).await;
            tokio::task::yield_now().await;
            sleep(Duration::from_millis(100)).await;
            answer.send(()).unwrap();
            assert_eq!(waiting.await.unwrap(), Some(Ok(())), "{stopped_at:?}");
        }
    }
}
