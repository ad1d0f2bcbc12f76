//! Waking the worker when votes are committed, so that the first vote after a quiet time is folded at once.
//!
//! A session remembers which process the worker is. Its commit sets the latch of that process. A latch that is set already costs
//! nothing more, and the worker listens to it only when nothing came. So votes in a rush wake nobody.

#![allow(unsafe_code, reason = "processes and latches are the server's own structures")]

use pgrx::{pg_guard, pg_sys};
use std::cell::Cell;
use std::ffi::CStr;

/// A process: its place among the server's processes, and its id, by which a new one at that place is known.
#[derive(Clone, Copy)]
struct Target {
    place: usize,
    pid: i32,
}

thread_local! {
    static TARGET: Cell<Option<Target>> = const { Cell::new(None) };
    static HAS_VOTED: Cell<bool> = const { Cell::new(false) };
}

/// Lets the end of each transaction look whether it has votes. Once a process.
pub fn watch() {
    // SAFETY: the callback neither allocates nor raises an error: at that moment the server allows neither.
    unsafe { pg_sys::RegisterXactCallback(Some(at_end), std::ptr::null_mut()) };
}

/// Wakes the worker when the current transaction commits. One that is prepared does not: then the worker finds its votes by itself.
pub fn at_commit() {
    HAS_VOTED.set(true);
}

#[pg_guard]
unsafe extern "C-unwind" fn at_end(event: pg_sys::XactEvent::Type, _nothing: *mut std::ffi::c_void) {
    match event {
        // Its changes are visible by now.
        pg_sys::XactEvent::XACT_EVENT_COMMIT => {
            if HAS_VOTED.replace(false)
                && let Some(target) = TARGET.get()
            {
                set_latch(target);
            }
        }
        pg_sys::XactEvent::XACT_EVENT_ABORT | pg_sys::XactEvent::XACT_EVENT_PREPARE => HAS_VOTED.set(false),
        _ => {}
    }
}

/// The processes of the server, each at its place, which is its for as long as the server runs.
fn processes() -> (*mut pg_sys::PGPROC, usize) {
    // SAFETY: made before any session begins.
    let all = unsafe { &*pg_sys::ProcGlobal };
    (all.allProcs, all.allProcCount as usize)
}

fn pid_at(place: usize) -> i32 {
    // SAFETY: a place of the list; the number is read as the server reads it, without a lock.
    unsafe { (&raw const (*processes().0.add(place)).pid).read_volatile() }
}

fn set_latch(target: Target) {
    if pid_at(target.place) == target.pid {
        // SAFETY: the latch of a place is there as long as the server. One of a process that came since is set for nothing.
        unsafe { pg_sys::SetLatch(&raw mut (*processes().0.add(target.place)).procLatch) };
    }
}

/// Looks for the process of this type in this database, unless the one that was found before is still there.
pub fn look_for(kind: &str) {
    if TARGET.get().is_some_and(|target| pid_at(target.place) == target.pid) {
        return;
    }
    let (processes, count) = processes();
    let is_it = |place: &usize| {
        // SAFETY: a place of the list. A process that comes or goes meanwhile is taken for another one, and set for nothing.
        unsafe {
            let process = processes.add(*place);
            #[cfg(not(feature = "pg18"))]
            let is_background = (*process).isBackgroundWorker;
            #[cfg(feature = "pg18")]
            let is_background = !(*process).isRegularBackend;
            if (*process).pid == 0 || !is_background || (*process).databaseId != pg_sys::MyDatabaseId {
                return false;
            }
            let found = pg_sys::GetBackgroundWorkerTypeByPid((*process).pid);
            !found.is_null() && CStr::from_ptr(found).to_bytes() == kind.as_bytes()
        }
    };
    TARGET.set((0..count).find(is_it).map(|place| Target { place, pid: pid_at(place) }));
}
