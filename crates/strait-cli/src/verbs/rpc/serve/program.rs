//! From a call to the command's input, and from its output to the reply.

use std::sync::Arc;

use serde_json::Value;
use strait::rpc::onc::xdr::{Reader, Writer};
use strait::rpc::onc::{Answer, Caller, Context, Program, Refusal};
use strait_idl::onc::{Procedure, Program as Defined, Specification, Version};
use tokio::sync::Semaphore;

use super::jobs::Jobs;
use crate::context;
use crate::failure::Failure;
use crate::verbs::rpc::json;

/// Calls that are answered or wait for it.
pub(super) const CALLS_MAX: usize = 1024;
/// Memory of their arguments, in KiB.
const ARGUMENTS_MAX: usize = 64 << 10;

/// What answers calls.
#[derive(Debug)]
pub(super) struct Answers {
    tree: Specification,
    /// A permit for each command that may run.
    turns: Arc<Semaphore>,
    /// A permit for each KiB of arguments.
    memory: Arc<Semaphore>,
    jobs: Arc<Jobs>,
}

impl Answers {
    pub(super) fn new(tree: Specification, turns: u16, jobs: Arc<Jobs>) -> Self {
        Self {
            tree,
            turns: Arc::new(Semaphore::new(turns.into())),
            memory: Arc::new(Semaphore::new(ARGUMENTS_MAX)),
            jobs,
        }
    }
}

/// A version of a program of the file.
#[derive(Debug)]
pub(super) struct Served {
    answers: Arc<Answers>,
    /// Its place in the tree.
    program: usize,
    version: usize,
    echo: bool,
}

/// Whether the arguments of a call can be its result.
pub(super) fn is_echo(tree: &Specification, procedure: &Procedure) -> bool {
    match procedure.arguments.as_slice() {
        [argument] => tree.resolve(&argument.of) == tree.resolve(&procedure.result),
        _ => false,
    }
}

impl Served {
    /// All that the file defines.
    pub(super) fn all(answers: &Arc<Answers>, echo: bool) -> Vec<Self> {
        let programs = answers.tree.programs.iter().enumerate();
        let each = programs.flat_map(|(program, defined)| {
            (0..defined.versions.len()).map(move |version| Self {
                answers: Arc::clone(answers),
                program,
                version,
                echo,
            })
        });
        each.collect()
    }

    fn defined(&self) -> (&Defined, &Version) {
        let program = &self.answers.tree.programs[self.program];
        (program, &program.versions[self.version])
    }

    fn procedure(&self, number: u32) -> Option<&Procedure> {
        let mut procedures = self.defined().1.procedures.iter();
        procedures.find(|each| each.number == number)
    }

    /// The arguments as the command reads them.
    fn decode(&self, procedure: &Procedure, arguments: &[u8]) -> Result<String, Refusal> {
        let mut from = Reader::new(arguments);
        let mut texts = Vec::new();
        for argument in &procedure.arguments {
            let text = json::text(&self.answers.tree, &argument.of, "argument", &mut from);
            texts.push(text.map_err(|_| Refusal::GarbageArguments)?);
        }
        from.finish().map_err(|_| Refusal::GarbageArguments)?;
        Ok(match texts.as_slice() {
            [] => "null".into(),
            [text] => text.clone(),
            several => format!("[{}]", several.join(",")),
        })
    }

    /// Runs the command. The reply with its result.
    fn answer(
        &self,
        context: &Context,
        arguments: &[u8],
        reply: Vec<u8>,
    ) -> Result<Vec<u8>, Refusal> {
        let procedure = self
            .procedure(context.procedure.number)
            .ok_or(Refusal::ProcedureUnavailable)?;
        let input = self.decode(procedure, arguments)?;
        self.ask(procedure, context, input, reply)
            .map_err(|failure| {
                note(&format!("{}: {}", procedure.name, failure.message));
                Refusal::SystemError
            })
    }

    fn ask(
        &self,
        procedure: &Procedure,
        context: &Context,
        mut input: String,
        mut reply: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        input.push('\n');
        let jobs = &self.answers.jobs;
        let output = jobs.run(&self.environment(procedure, context), input.as_bytes())?;
        let is_blank = output.iter().all(u8::is_ascii_whitespace);
        let value = match is_blank {
            // Nothing said is nothing.
            true => Value::Null,
            false => serde_json::from_slice(&output).map_err(|error| {
                Failure::new(format!("{} did not print JSON: {error}", jobs.shown()))
            })?,
        };
        let mut to = Writer::new(&mut reply);
        let written = json::bytes(
            &self.answers.tree,
            &procedure.result,
            "result",
            &value,
            &mut to,
        );
        written.map_err(|error| {
            Failure::new(format!(
                "{} printed what is no result: {error}",
                jobs.shown()
            ))
        })?;
        Ok(reply)
    }

    fn environment(&self, procedure: &Procedure, context: &Context) -> Vec<(&'static str, String)> {
        let (program, version) = self.defined();
        let mut all = vec![
            ("STRAIT_RPC_PROGRAM", program.name.clone()),
            ("STRAIT_RPC_PROGRAM_NUMBER", program.number.to_string()),
            ("STRAIT_RPC_VERSION", version.name.clone()),
            ("STRAIT_RPC_VERSION_NUMBER", version.number.to_string()),
            ("STRAIT_RPC_PROCEDURE", procedure.name.clone()),
            ("STRAIT_RPC_NUMBER", procedure.number.to_string()),
            ("STRAIT_RPC_CALLER", context.caller.to_string()),
        ];
        if let Caller::Local { pid, uid, gid } = context.caller {
            all.push(("STRAIT_CLIENT_PID", pid.to_string()));
            all.push(("STRAIT_CLIENT_UID", uid.to_string()));
            all.push(("STRAIT_CLIENT_GID", gid.to_string()));
        }
        if let Some(sys) = context.sys() {
            all.push(("STRAIT_RPC_SYS_UID", sys.uid.to_string()));
            all.push(("STRAIT_RPC_SYS_GID", sys.gid.to_string()));
        }
        all
    }
}

impl Program for Served {
    fn program(&self) -> u32 {
        self.defined().0.number
    }

    fn version(&self) -> u32 {
        self.defined().1.number
    }

    fn dispatch(
        self: Arc<Self>,
        context: Context,
        number: u32,
        args: &[u8],
        mut reply: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        let procedure = self
            .procedure(number)
            .ok_or(Refusal::ProcedureUnavailable)?;
        if self.echo {
            if !is_echo(&self.answers.tree, procedure) {
                return Err(Refusal::ProcedureUnavailable);
            }
            self.decode(procedure, args)?;
            reply.extend_from_slice(args);
            return Ok(Box::pin(std::future::ready(Ok(reply))));
        }
        let size = u32::try_from(args.len() / 1024 + 1).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.answers.memory).try_acquire_many_owned(size);
        let Ok(memory) = memory else {
            note(&format!("{}: too many calls wait already", procedure.name));
            return Err(Refusal::SystemError);
        };
        let args = args.to_vec();
        Ok(Box::pin(async move {
            let turns = Arc::clone(&self.answers.turns);
            let turn = turns.acquire_owned().await;
            let answered = tokio::task::spawn_blocking(move || {
                // Held until the command has ended, whatever becomes of the call.
                let _held = (memory, turn);
                self.answer(&context, &args, reply)
            });
            answered.await.unwrap_or(Err(Refusal::SystemError))
        }))
    }
}

/// Says something on standard error.
fn note(text: &str) {
    context::note("rpc serve", text);
}
