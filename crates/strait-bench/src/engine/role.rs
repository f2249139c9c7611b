//! The two sides: this very program, started again with a hidden argument.
//!
//! A side gets its plan on its standard input, and the link to the other side as its standard
//! output; it reports on the former. It ends with its supervisor, whatever it is doing: a thread
//! waits for that, and removes what the row would leave behind.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{self, ExitCode};
use std::time::Duration;
use std::{env, fs, panic, thread};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use strait_sys::signal::{self, Change, Set};

use super::drive::Driver;
use super::load::involuntary_switches;
use super::protocol::{Measured, Plan, Said};
use super::{litter, rounds};
use crate::engine::link::{Link, Receipt};
use crate::nt::crowd;
use crate::{Entry, Failure, Outcome, Placement, Side, Site, raw, unix};

/// The argument that makes a program a side of a pair.
pub(crate) const FLAG: &str = "--strait-bench-peer";
/// How long a side on a CPU of its own looks for the next chunk before it sleeps.
const PATIENCE: Duration = Duration::from_millis(2);

/// Plays one side of a pair, or a helper of one, if this process was started as such; a program
/// that surveys calls it before anything else and ends with what it returns.
///
/// `table` is the one given to [`survey`](crate::survey).
#[must_use]
pub fn peer_main(table: &[&[Entry]]) -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let played = match arguments.next()?.to_str()? {
        FLAG => play(table),
        crowd::FLAG => crowd::hold(&arguments.collect::<Vec<_>>()),
        _ => return None,
    };
    Some(played.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}

fn play(table: &[&[Entry]]) -> Outcome<()> {
    let (mut control, mut link) = connections()?;
    // In every thread to come: the mechanisms that are signals must not kill their process.
    signal::change_mask(Change::Block, Set::new([raw::SIGNAL, unix::SIGNAL]))?;
    let mut lines = BufReader::new(control.try_clone()?);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let plan: Plan = serde_json::from_str(&line)?;
    end_with_supervisor(lines, plan.clone());
    report_panics(control.try_clone()?);
    match run(table, &plan, &mut link, &mut control) {
        Ok(Some(measured)) => say(&mut control, &Said::Measured(measured)),
        Ok(None) => Ok(()),
        Err(failure) => {
            say(&mut control, &Said::Failed(failure.clone()))?;
            Err(failure)
        }
    }
}

/// Takes the two sockets from standard input and output, so that nothing printed disturbs them.
fn connections() -> Outcome<(UnixStream, Link)> {
    let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let link = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    let null = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdin(null.as_fd())?;
    rustix::stdio::dup2_stdout(null.as_fd())?;
    Ok((UnixStream::from(control), Link::new(link)))
}

fn say(control: &mut UnixStream, said: &Said) -> Outcome<()> {
    let mut line = serde_json::to_string(said)?;
    line.push('\n');
    control.write_all(line.as_bytes())?;
    Ok(())
}

/// Ends this process when the supervisor is gone.
fn end_with_supervisor(mut lines: BufReader<UnixStream>, plan: Plan) {
    thread::spawn(move || {
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|len| len > 0) {}
        litter::sweep(plan.key, plan.candidates.len(), &plan.place);
        process::exit(1);
    });
}

/// Makes a panic, in any thread, the reason why the row failed.
fn report_panics(control: UnixStream) {
    let control = std::sync::Mutex::new(control);
    panic::set_hook(Box::new(move |info| {
        if let Ok(mut control) = control.lock() {
            let _ = say(
                &mut control,
                &Said::Failed(Failure::check(info.to_string().replace('\n', " "))),
            );
        }
    }));
}

fn run(
    table: &[&[Entry]],
    plan: &Plan,
    link: &mut Link,
    control: &mut UnixStream,
) -> Outcome<Option<Measured>> {
    if plan.placement == Some(Placement::One) {
        pin_all_threads(plan.cpus[0])?;
    }
    let drivers = open(table, plan, link)?;
    let cpu = match plan.side {
        Side::Near => plan.cpus[0],
        Side::Far => plan.cpus[1],
    };
    match plan.placement {
        Some(Placement::Same | Placement::One) => pin_all_threads(plan.cpus[0])?,
        Some(Placement::Split) => {
            pin_all_threads(cpu)?;
            link.set_patience(PATIENCE);
        }
        None => pin_all_threads(cpu)?,
        Some(Placement::Free) => {}
    }
    match plan.side {
        Side::Far => obey(plan, link, drivers).map(|()| None),
        Side::Near => {
            // Far has opened everything and is in its place.
            link.next_receipt()?;
            let alive = &mut || say(control, &Said::Alive);
            rounds::measure(plan, link, drivers, plan.pair, alive).map(Some)
        }
    }
}

fn open(table: &[&[Entry]], plan: &Plan, link: &Link) -> Outcome<Vec<Box<dyn Driver>>> {
    let peer = match plan.side {
        Side::Near => plan.pair[1],
        Side::Far => plan.pair[0],
    };
    let mut drivers = Vec::new();
    for (key, (slot, one)) in (plan.key..).zip(plan.candidates.iter().enumerate()) {
        let entry = find(table, &one.id)
            .ok_or_else(|| Failure::new(format!("no mechanism {} in this program", one.id)))?;
        let place = plan.place.join(slot.to_string());
        let mut site = Site {
            side: plan.side,
            job: one.job,
            key,
            place,
            peer,
            link,
        };
        let opened = (entry.open)(&mut site);
        drivers.push(opened.map_err(|failure| failure.at(&format!("open {}", one.id)))?);
    }
    Ok(drivers)
}

/// The mechanism with this id: of the table, or of the reference lines which every pair knows.
pub(crate) fn find<'a>(table: &[&'a [Entry]], id: &str) -> Option<&'a Entry> {
    let all = table.iter().flat_map(|family| family.iter());
    all.chain(raw::TABLE).find(|entry| entry.id == id)
}

/// Far's work: runs what near orders until near is gone.
fn obey(plan: &Plan, link: &Link, mut drivers: Vec<Box<dyn Driver>>) -> Outcome<()> {
    let split = plan.placement == Some(Placement::Split);
    link.receipt(Receipt::default())?;
    while let Some(order) = link.next_order()? {
        let driver = usize::try_from(order.slot)
            .ok()
            .and_then(|slot| drivers.get_mut(slot));
        let driver = driver.ok_or_else(|| Failure::check("an order for nothing that is open"))?;
        // On one CPU the two sides displace each other by design.
        let switches = || if split { involuntary_switches() } else { 0 };
        let before = switches();
        let mut receipt = driver.run(order.count, None)?;
        receipt.switches = switches() - before;
        link.receipt(receipt)?;
    }
    Ok(())
}

/// Keeps this process on `cpu`, threads that mechanisms have started included.
fn pin_all_threads(cpu: usize) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)?;
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return Ok(());
    };
    for task in tasks {
        let name = task?.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw);
        // A thread that has ended meanwhile needs no CPU.
        let _ = sched_setaffinity(id, &set);
    }
    Ok(())
}
