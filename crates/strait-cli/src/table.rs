//! The table of all verbs: parsing, help, completions and man pages come from it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::context::Context;
use crate::failure::Failure;
use crate::objects::{event, event_pair, mutant, pipe, port, section, semaphore, timer};
use crate::unix::{fifo, mqueue, msg, sem, shm, signal, socket};
use crate::verbs::{completions, doctor, gc, ls, man, rpc, run, survey, wait};

/// How a verb ends that neither waits nor runs a command.
pub(crate) const EXIT: &str = "0 if it did what was asked, 1 if not, 2 for wrong arguments.";
/// How the others end.
pub(crate) const EXIT_OF_WAITS: &str = "Verbs that wait or run a command end with 124 when time \
    ran out and 125 on an error; `strait wait` also with 125 for wrong arguments.";

/// How processes talk, from the shell: NT objects, FIFOs, System V IPC, sockets, signals.
#[derive(Debug, Parser)]
#[command(
    name = "strait",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = format!(
        "Names: `Local\\NAME`, or just NAME, is the user's own, `Global\\NAME` the machine's.\n\
         Exit status: {EXIT} {EXIT_OF_WAITS}\n\
         A command that is run while something is held gets the signals that are sent to strait, \
         which ends after it.\n\
         `strait man VERB` shows a page for each verb."
    )
)]
pub(crate) struct Cli {
    /// Use the names of this directory, which is empty or a namespace, instead of the user's own
    #[arg(long, global = true, value_name = "DIR", display_order = 900)]
    pub(crate) ns: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Events: a flag that processes wait for
    #[command(subcommand)]
    Event(event::Verb),
    /// Event pairs: a low and a high event, for two processes that take turns
    #[command(subcommand, name = "eventpair")]
    EventPair(event_pair::Verb),
    /// Mutants: locks, each of which one process at a time can own
    #[command(subcommand)]
    Mutant(mutant::Verb),
    /// Semaphores: a count of units to take and give back
    #[command(subcommand)]
    Semaphore(semaphore::Verb),
    /// Sections: shared memory with a name
    #[command(subcommand)]
    Section(section::Verb),
    /// Timers: ready at a time, once or again and again
    #[command(subcommand)]
    Timer(timer::Verb),
    /// Named pipes: bytes or messages both ways, by name
    #[command(subcommand)]
    Pipe(pipe::Verb),
    /// LPC ports: requests that a server answers
    #[command(subcommand)]
    Port(port::Verb),
    /// Signals: numbers that the kernel delivers
    #[command(subcommand)]
    Signal(signal::Verb),
    /// FIFOs: pipes with a name in the file system
    #[command(subcommand)]
    Fifo(fifo::Verb),
    /// System V message queues: messages with a type
    #[command(subcommand)]
    Msg(msg::Verb),
    /// POSIX message queues: messages with a priority
    #[command(subcommand)]
    Mqueue(mqueue::Verb),
    /// Sockets: streams, packets and datagrams, here and far away
    #[command(subcommand)]
    Socket(socket::Verb),
    /// System V semaphores: sets of counters that change together
    #[command(subcommand)]
    Sem(sem::Verb),
    /// System V shared memory: segments found by a key
    #[command(subcommand)]
    Shm(shm::Verb),
    /// Remote procedure calls (ONC RPC), and the registry of programs
    #[command(subcommand)]
    Rpc(rpc::Verb),
    Wait(wait::Arguments),
    Run(run::Arguments),
    Ls(ls::Arguments),
    Doctor(doctor::Arguments),
    Gc(gc::Arguments),
    Survey(survey::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

impl Verb {
    /// Does it.
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Event(verb) => verb.run(context),
            Self::EventPair(verb) => verb.run(context),
            Self::Mutant(verb) => verb.run(context),
            Self::Semaphore(verb) => verb.run(context),
            Self::Section(verb) => verb.run(context),
            Self::Timer(verb) => verb.run(context),
            Self::Pipe(verb) => verb.run(context),
            Self::Port(verb) => verb.run(context),
            Self::Signal(verb) => verb.run(context),
            Self::Fifo(verb) => verb.run(context),
            Self::Msg(verb) => verb.run(context),
            Self::Mqueue(verb) => verb.run(context),
            Self::Socket(verb) => verb.run(context),
            Self::Sem(verb) => verb.run(context),
            Self::Shm(verb) => verb.run(context),
            Self::Rpc(verb) => verb.run(context),
            Self::Wait(arguments) => arguments.run(context).map_err(Failure::into_error),
            Self::Run(arguments) => arguments.run(context).map_err(Failure::into_error),
            Self::Ls(arguments) => arguments.run(context),
            Self::Doctor(arguments) => arguments.run(context),
            Self::Gc(arguments) => arguments.run(context),
            Self::Survey(arguments) => arguments.run(context),
            Self::Completions(arguments) => arguments.run(context),
            Self::Man(arguments) => arguments.run(context),
        }
    }
}
