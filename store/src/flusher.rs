//! Flushes full memtables into the blocks, and merges sorted runs, while commits go on. A commit that needs the next memtable
//! before the full one is flushed does the flush itself: always where there is no flusher, else only where it falls behind.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

use crate::table::Table;

/// A thread; its drop waits for the step that is under way.
pub(crate) struct Flusher {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub(crate) fn start(table: Arc<Table>) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new().name("flusher".into()).spawn(move || run(&table, &woken))?;
        let flusher = Self { wake: Some(wake), thread: Some(thread) };
        flusher.wake();
        Ok(flusher)
    }

    /// There may be something to flush.
    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            // One that is still to be heard says as much.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        drop(self.wake.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that flushes memtables panicked");
        }
    }
}

fn run(table: &Table, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        loop {
            match table.flush_step() {
                Ok(true) if woken.try_recv() != Err(TryRecvError::Disconnected) => {}
                Ok(_) => break,
                // The next commit is told.
                Err(_) => return,
            }
        }
    }
}
