//! Moves full memtables into the blocks while commits go on. Without it a commit that meets two full ones does it itself, and
//! so it does where this falls behind: the next memtable is full, and the one before is not moved yet.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

use crate::table::Table;

/// A thread; its drop waits for the step that is being moved.
pub(crate) struct Mover {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    pub(crate) fn start(table: Arc<Table>) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new().name("mover".into()).spawn(move || run(&table, &woken))?;
        let mover = Self { wake: Some(wake), thread: Some(thread) };
        mover.wake();
        Ok(mover)
    }

    /// There may be something to move.
    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            // One that is still to be heard says as much.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        drop(self.wake.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that moves records into blocks panicked");
        }
    }
}

fn run(table: &Table, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        loop {
            match table.move_step() {
                Ok(true) if woken.try_recv() != Err(TryRecvError::Disconnected) => {}
                Ok(_) => break,
                // The next commit is told.
                Err(_) => return,
            }
        }
    }
}
