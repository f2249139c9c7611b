//! Where names live: directories, owners, what lies in them.

use std::path::Path;

use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;
use strait::Namespace;
use strait::inspect::{self, Depth, Life};

use super::{Finding, Level};
use crate::failure::Failure;
use crate::value::{counted, quoted};

const GLOBAL: &str = "/dev/shm/strait";
const NAMES: &str = "names";
/// The share of seats in use, in percent, from which it is worth a warning.
const SEATS_WARN: usize = 90;

/// The user's own namespace and the machine's.
pub(super) fn all(findings: &mut Vec<Finding>) {
    let places = inspect::local_places();
    let there: Vec<_> = places.iter().filter(|place| is_there(place)).collect();
    if there.is_empty() {
        let text = "the user's own namespace is not there yet: it is made at first use";
        findings.push(Finding::new(NAMES, Level::Note, text));
    }
    for place in &there {
        local(place, findings);
    }
    let with_objects: Vec<_> = there.iter().filter(|place| objects(place) > 0).collect();
    if let [one, two, ..] = with_objects.as_slice() {
        let text = format!(
            "objects lie in {} and in {}: programs of the one do not meet those of the other",
            one.display(),
            two.display()
        );
        findings.push(
            Finding::new(NAMES, Level::Warning, text)
                .cure("end the programs that began before the login session made /run/user"),
        );
    }
    global(findings);
}

/// The directory of `--ns`.
pub(super) fn directory(path: &Path, findings: &mut Vec<Finding>) {
    match fs::stat(path) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            if let Err(error) = Namespace::directory(path) {
                let text = format!("{}: {}", path.display(), Failure::reason(&error));
                findings.push(
                    Finding::new(NAMES, Level::Problem, text)
                        .cure("name an empty directory, or one that is a namespace already"),
                );
                return;
            }
            findings.push(Finding::new(NAMES, Level::Fine, describe(path, &stat)));
            contents(path, findings);
        }
        Ok(_) => findings.push(Finding::new(
            NAMES,
            Level::Problem,
            format!("{} is not a directory", path.display()),
        )),
        Err(Errno::NOENT) => findings.push(
            Finding::new(
                NAMES,
                Level::Problem,
                format!("{} is not there", path.display()),
            )
            .cure(format!(
                "`mkdir -m 700 {}`",
                quoted(&path.to_string_lossy())
            )),
        ),
        Err(errno) => findings.push(Finding::new(
            NAMES,
            Level::Problem,
            format!("{}: {errno}", path.display()),
        )),
    }
}

fn is_there(path: &Path) -> bool {
    !matches!(
        fs::lstat(path),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS)
    )
}

fn objects(path: &Path) -> usize {
    let view = Namespace::directory(path).and_then(|space| inspect::look(&[space], Depth::Objects));
    view.map_or(0, |view| view.objects.len())
}

fn describe(path: &Path, stat: &Stat) -> String {
    format!(
        "{}, {:04o}, uid {}, {}, {}",
        path.display(),
        stat.st_mode & 0o7777,
        stat.st_uid,
        file_system(path),
        counted(objects(path), "object")
    )
}

fn local(path: &Path, findings: &mut Vec<Finding>) {
    let Ok(stat) = fs::lstat(path) else { return };
    let shown = path.display();
    let problem = |text: String| Finding::new(NAMES, Level::Problem, text);
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        let text = format!("{shown} is not a directory");
        findings
            .push(problem(text).cure(format!("have its owner, uid {}, remove it", stat.st_uid)));
        return;
    }
    if stat.st_uid != geteuid().as_raw() {
        let text = format!("{shown} belongs to uid {}", stat.st_uid);
        findings.push(problem(text).cure("have that user, or root, remove it"));
        return;
    }
    if stat.st_mode & 0o077 != 0 {
        let text = format!(
            "{shown} lets others in (mode {:04o})",
            stat.st_mode & 0o7777
        );
        findings.push(problem(text).cure(format!("`chmod 700 {shown}`")));
    }
    findings.push(Finding::new(NAMES, Level::Fine, describe(path, &stat)));
    contents(path, findings);
}

fn global(findings: &mut Vec<Finding>) {
    let path = Path::new(GLOBAL);
    match Namespace::global() {
        Ok(_) => {
            if let Ok(stat) = fs::stat(path) {
                findings.push(Finding::new(NAMES, Level::Fine, describe(path, &stat)));
            }
            contents(path, findings);
        }
        Err(_) if !is_there(path) => findings.push(
            Finding::new(
                NAMES,
                Level::Note,
                format!(r"{GLOBAL} is not there: `Global\` names cannot be used"),
            )
            .cure("`sudo strait doctor --fix` makes it"),
        ),
        Err(error) => findings.push(
            Finding::new(NAMES, Level::Problem, format!("{GLOBAL}: {}", error.why()))
                .cure("`sudo strait doctor --fix` gives it to root, mode 1777"),
        ),
    }
}

/// Leftovers, strangers and seats.
fn contents(path: &Path, findings: &mut Vec<Finding>) {
    let Ok(space) = Namespace::directory(path) else {
        return;
    };
    let Ok(view) = inspect::look(std::slice::from_ref(&space), Depth::Objects) else {
        return;
    };
    let left = |seen: &&inspect::Seen| seen.life == Life::Leftover;
    let unserved = view.services.iter();
    let unserved = unserved.filter(|service| service.life == Life::Leftover);
    let leftovers = view.objects.iter().filter(left).count() + unserved.count();
    if leftovers > 0 {
        let leftovers = counted(leftovers, "leftover");
        let text = format!("{leftovers} of killed processes in {space}");
        findings.push(Finding::new(NAMES, Level::Note, text).cure("`strait gc` removes them"));
    }
    let foreign = |why: &str| why.starts_with("not an object");
    let strangers = view.strangers.iter().filter(|found| foreign(&found.why));
    if let Some(first) = strangers.clone().next() {
        let text = format!(
            "{} in {space} of another kind, such as {}: {}",
            counted(strangers.count(), "file"),
            first.path.display().to_string().escape_debug(),
            first.why
        );
        let cure =
            "whoever put them there may want them: give the namespace a directory of its own";
        findings.push(Finding::new(NAMES, Level::Warning, text).cure(cure));
    }
    let Some(seats) = inspect::seats(&space) else {
        return;
    };
    let text = format!(
        "{} of {} in {space} taken, {} retired",
        seats.living, seats.total, seats.retired
    );
    let full = (seats.living + seats.retired) * 100 >= seats.total * SEATS_WARN;
    let found = Finding::new(
        "seats",
        if full { Level::Warning } else { Level::Fine },
        text,
    );
    findings.push(if full {
        found.cure("threads that wait each take one: end some")
    } else {
        found
    });
}

/// Gives the machine's namespace to root, where somebody else made it.
pub(super) fn mend_global() -> Finding {
    let topic = "fix";
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let mended = fs::open(GLOBAL, flags, Mode::empty()).and_then(|directory| {
        let root = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
        // First the owner: the old one could change the mode back.
        fs::fchown(&directory, Some(root.0), Some(root.1))?;
        fs::fchmod(&directory, Mode::from_raw_mode(0o1777))
    });
    match mended {
        Ok(()) => Finding::new(
            topic,
            Level::Fine,
            format!("{GLOBAL} is root's now, mode 1777"),
        ),
        Err(Errno::NOTDIR | Errno::LOOP) => Finding::new(
            topic,
            Level::Problem,
            format!("{GLOBAL} is not a directory"),
        )
        .cure(format!("`sudo rm {GLOBAL}`, then again")),
        Err(errno) => Finding::new(topic, Level::Problem, format!("{GLOBAL}: {errno}"))
            .cure("run it as root: `sudo strait doctor --fix`"),
    }
}

fn file_system(path: &Path) -> String {
    // The magic numbers of linux/magic.h.
    match fs::statfs(path).map(|stat| stat.f_type) {
        Ok(0x0102_1994) => "tmpfs".into(),
        Ok(0xEF53) => "ext4".into(),
        Ok(0x9123_683E) => "btrfs".into(),
        Ok(0x5846_5342) => "xfs".into(),
        Ok(0x794C_7630) => "overlayfs".into(),
        Ok(0x6969) => "nfs".into(),
        Ok(0x6573_5546) => "fuse".into(),
        Ok(other) => format!("file system {other:#x}"),
        Err(errno) => format!("file system unknown ({errno})"),
    }
}
