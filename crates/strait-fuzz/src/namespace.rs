//! A namespace whose files somebody else wrote: objects, and the commit table.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use strait::inspect::{self, Depth};
use strait::nt::Read;
use strait::wait::{self, Waitable};
use strait::{Namespace, Result};

use crate::patch::Patches;

/// The files, in the order in which changes name them; the last is the commit table.
const FILES: [&str; 8] = [
    "oauto", "omanual", "opair", "omutant", "ounits", "otimer", "obytes", TABLE,
];
const TABLE: &str = ".txn";
/// How much of the table changes can reach: its header, and the records of its first seats. The
/// rest is zero.
const TABLE_REACH: usize = 1 << 13;
/// Where a table has its id, and an object the id of its table and its own.
const TABLE_ID: usize = 16;
const OBJECT_TABLE: usize = 32;
const OBJECT_ID: usize = 40;

/// A directory, and what its files held when they were sound.
struct Stage {
    space: Namespace,
    sound: [Vec<u8>; FILES.len()],
    table_len: u64,
}

/// One for all threads: its directory is filled and emptied by each run.
static STAGE: LazyLock<Mutex<Stage>> =
    LazyLock::new(|| Mutex::new(Stage::new().expect("a namespace of this process")));

impl Stage {
    fn new() -> Result<Self> {
        let space = Namespace::temporary()?;
        drop(space.event("auto").permanent().create()?);
        let manual = space.event("manual").reset(strait::Reset::Manual);
        drop(manual.permanent().create()?);
        drop(space.event_pair("pair").permanent().create()?);
        drop(space.mutant("mutant").permanent().create()?);
        drop(space.semaphore("units", 1, 3).permanent().create()?);
        drop(space.timer("timer").permanent().create()?);
        drop(space.section("bytes", 100).permanent().create()?);
        let mut sound = FILES.map(|file| {
            let mut bytes = fs::read(space.path().join(file)).expect("a file made just now");
            bytes.truncate(TABLE_REACH);
            bytes
        });
        // What was drawn at random is the same in every run.
        for (number, bytes) in (0_u32..).zip(&mut sound) {
            let id = number << 8;
            bytes[OBJECT_TABLE..][..8].copy_from_slice(&ID.to_le_bytes());
            bytes[OBJECT_ID..][..4].copy_from_slice(&id.to_le_bytes());
        }
        let table = &mut sound[FILES.len() - 1];
        table[OBJECT_TABLE..][..12].fill(0);
        table[TABLE_ID..][..8].copy_from_slice(&ID.to_le_bytes());
        let table_len = fs::metadata(space.path().join(TABLE)).expect("as above");
        Ok(Self {
            space,
            sound,
            table_len: table_len.len(),
        })
    }

    /// Writes all files anew, with the changes.
    fn set(&self, changes: &[u8]) {
        let mut files = self.sound.clone();
        for patch in Patches::new(changes) {
            patch.apply(&mut files[usize::from(patch.file) % FILES.len()]);
        }
        for (name, bytes) in FILES.iter().zip(files) {
            let path = self.space.path().join(name);
            let mut options = File::options();
            let made = options.write(true).create_new(true).mode(0o600).open(&path);
            let mut file = made.expect("a name that was freed");
            file.write_all(&bytes).expect("room");
            if *name == TABLE && bytes.len() == TABLE_REACH {
                file.write_all_at(&[0], self.table_len - 1).expect("room");
            }
        }
    }

    /// Leaves the directory empty.
    fn clear(&self) {
        for file in fs::read_dir(self.space.path())
            .expect("a directory")
            .flatten()
        {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// The id of the table.
const ID: u64 = 0x5eed_0001;

/// What is done besides opening and using every object, by the first byte. Both look at every
/// seat, which takes time: most bytes ask for neither.
const COUNTED: [u8; 2] = [1, 3];
const COLLECTED: [u8; 2] = [2, 3];

/// A byte that says what is done, and changes to the files.
pub(crate) fn namespace(data: &[u8]) {
    let Some((how, changes)) = data.split_first() else {
        return;
    };
    let stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    stage.clear();
    stage.set(changes);
    let _ = visit(stage.space.path(), *how);
    stage.clear();
}

fn visit(place: &Path, how: u8) -> Result<()> {
    let space = Namespace::directory(place)?;
    let seen = inspect::look(std::slice::from_ref(&space), Depth::Objects)?;
    for object in &seen.objects {
        let shown = object.state.to_string();
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
    // As many entries as were laid there: each is an object or a stranger.
    assert_eq!(seen.objects.len() + seen.strangers.len(), FILES.len() - 1);
    if COUNTED.contains(&how)
        && let Some(seats) = inspect::seats(&space)
    {
        assert!(seats.living + seats.retired <= seats.total);
    }
    let _ = objects(&space);
    let _ = several(&space);
    if COLLECTED.contains(&how) {
        space.collect()?;
    }
    Ok(())
}

/// Opens each, looks at it, and changes it; none stands in the way of the next.
fn objects(space: &Namespace) -> Result<()> {
    let zero = Duration::ZERO;
    for name in ["auto", "manual"] {
        let _ = space.event(name).open().and_then(|event| {
            event.query()?;
            event.wait_for(zero)?;
            event.set()?;
            event.pulse()?;
            event.reset()
        });
    }
    let _ = space.event_pair("pair").open().and_then(|pair| {
        pair.query()?;
        pair.set_low_wait_high_for(zero)
    });
    let _ = space.mutant("mutant").open().and_then(|mutant| {
        mutant.query()?;
        let _ = mutant.release();
        mutant.try_acquire().map(drop)
    });
    let _ = space.semaphore("units", 0, 1).open().and_then(|units| {
        units.query()?;
        units.release(1)?;
        units.wait_for(zero)
    });
    let _ = space.timer("timer").open().and_then(|timer| {
        timer.query()?;
        timer.wait_for(zero)?;
        timer.set_periodic(Duration::from_hours(1), Duration::from_nanos(1))?;
        timer.query()?;
        timer.cancel()
    });
    let section = space.section("bytes", 1).open()?;
    section.map::<Read>()?.read(0, &mut [0; 8])
}

/// Waits for all of them at once.
fn several(space: &Namespace) -> Result<()> {
    let auto = space.event("auto").open()?;
    let pair = space.event_pair("pair").open()?;
    let mutant = space.mutant("mutant").open()?;
    let units = space.semaphore("units", 0, 1).open()?;
    let timer = space.timer("timer").open()?;
    let (low, high) = (pair.low(), pair.high());
    let members: [&dyn Waitable; 6] = [&auto, &low, &high, &mutant, &units, &timer];
    let _ = wait::any_for(&members, Duration::ZERO);
    let _ = wait::all_for(&members[3..5], Duration::ZERO);
    wait::all_for(&members, Duration::ZERO).map(drop)
}
