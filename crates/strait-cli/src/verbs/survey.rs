//! `strait survey`: every mechanism on this machine, checked and measured.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use strait_bench::{Options, Plain, Progress, Row, TABLE};

use crate::context::Context;
use crate::failure::Failure;

/// Status of arguments that cannot be followed, as of those that clap refuses.
const REFUSED: u8 = 2;

/// Check and measure each mechanism on this machine, between two real processes
///
/// Every message is verified at the other end. Takes at most three minutes.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 if every mechanism was verified, 1 if one failed, 2 if there is \
                  nothing to measure or a file cannot be written."
)]
pub(crate) struct Arguments {
    /// With both processes on one CPU only; takes at most 15 seconds, and is too short to judge by
    #[arg(long)]
    quick: bool,
    /// Only mechanisms whose name, such as nt.event, matches this regular expression
    #[arg(long, value_name = "REGEX")]
    only: Option<String>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as a page with charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let options = Options {
            quick: self.quick,
            only: self.only,
            json: self.json,
            html: self.html,
            ..Options::default()
        };
        let mut bar = Bar::default();
        let mut plain = Plain::default();
        let progress: &mut dyn Progress = if std::io::stderr().is_terminal() {
            &mut bar
        } else {
            &mut plain
        };
        let report = strait_bench::survey(TABLE, &options, progress);
        bar.finish();
        let report = report.map_err(|refusal| Failure {
            message: refusal.to_string(),
            status: REFUSED,
        })?;
        let table = match columns() {
            Some(columns) => report.table_within(columns),
            None => report.table(),
        };
        context.out.bytes(table.as_bytes())?;
        Ok(report.exit())
    }
}

/// How wide the reader's terminal is: COLUMNS, or what the terminal at standard output says.
/// `None`: there is no terminal, or it does not know.
fn columns() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|it| it.parse().ok());
    let terminal = || {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        Some(size.ws_col.into())
    };
    said.or_else(terminal).filter(|columns| *columns > 0)
}

/// A bar on a terminal.
#[derive(Debug, Default)]
struct Bar(Option<ProgressBar>);

impl Bar {
    fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bar {
    fn begin(&mut self, rows: usize, about: Duration) {
        let bar = ProgressBar::new(rows as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(format!("about {} s", about.as_secs_f64().ceil()));
        bar.enable_steady_tick(Duration::from_millis(500));
        self.0 = Some(bar);
    }

    fn row(&mut self, number: usize, title: &str) {
        if let Some(bar) = &self.0 {
            bar.set_position(number as u64);
            bar.set_message(title.to_owned());
        }
    }

    fn done(&mut self, row: &Row) {
        if let (Some(bar), Some(error)) = (&self.0, &row.error) {
            bar.println(format!("FAILED {}: {error}", row.title()));
        }
    }
}
