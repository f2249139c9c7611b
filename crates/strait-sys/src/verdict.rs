//! For test programs: a test that has failed ends, or ends the program.
//!
//! A test that panics while a thread that it waits for serves on would hang, and nobody would read
//! why: what it printed is shown when it has ended. So where this module is linked in, a hook from
//! before `main` gives a failed test's thread [`GRACE`], and then says what it said and aborts. It
//! watches tests' own threads alone: a test that waits for another thread or process that has
//! panicked is not seen.

use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::time::Duration;
use std::{fs, io, panic, process, thread};

/// For what a test that has panicked still clears up.
const GRACE: Duration = Duration::from_secs(60);

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = install;

extern "C" fn install() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        before(info);
        watch(info);
    }));
}

/// If this is a test's own thread, which is named after it, has it watched.
fn watch(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let Some(name) = thread.name().filter(|name| name.contains("::")) else {
        return;
    };
    let Some(stat) = own_stat() else {
        return;
    };
    let said = format!("test {name} has not ended {GRACE:?} after it said: {info}");
    // If there is no thread to be had, nobody watches.
    let _ = thread::Builder::new().spawn(move || {
        // sleep: nothing tells of a thread's end without a word from it
        thread::sleep(GRACE);
        if stat.is_current() {
            // Not by a macro, whose words the harness keeps until the test has ended.
            let _ = writeln!(io::stderr(), "{said}");
            process::abort();
        }
    });
}

/// Of one thread: where it is shown, and when it began.
struct Stat {
    path: String,
    began: String,
}

impl Stat {
    /// Whether the thread of that id is still the one that it was.
    fn is_current(&self) -> bool {
        began(&self.path).is_some_and(|began| began == self.began)
    }
}

fn own_stat() -> Option<Stat> {
    let tid = rustix::thread::gettid().as_raw_pid();
    let path = format!("/proc/self/task/{tid}/stat");
    let began = began(&path)?;
    Some(Stat { path, began })
}

/// Field 22 of proc_pid_stat(5), counted behind the name, which may hold anything.
fn began(path: &str) -> Option<String> {
    let stat = fs::read_to_string(path).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}
