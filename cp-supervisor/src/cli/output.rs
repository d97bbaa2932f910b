//! What commands print: data on stdout as a table or as JSON, errors on stderr.

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use cp_supervisor::supervisor::Decision;
use serde::Serialize;
use std::io::Write;

/// The version of every JSON document printed; rises when a field changes meaning or goes.
const JSON_VERSION: u32 = 1;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs: one document, versioned, ids as strings
    Json,
}

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Puts the choice in force for this process.
    pub(crate) fn choose(self) {
        match self {
            Self::Auto => return,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// A judgement at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Warn,
    Bad,
}

impl Tone {
    pub(crate) fn paint(self, text: &str) -> String {
        let code = match self {
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
        };
        format!("\u{1b}[1;{code}m{text}\u{1b}[0m")
    }
}

/// Something that can be printed either way.
pub(crate) trait Report: Serialize {
    /// What the JSON document says it is.
    const KIND: &'static str;
    /// The lines for people.
    fn render(&self) -> String;
}

#[derive(Serialize)]
struct Document<'a, R> {
    version: u32,
    kind: &'static str,
    #[serde(flatten)]
    body: &'a R,
}

fn json<R: Serialize>(kind: &'static str, body: &R) -> anyhow::Result<String> {
    Ok(serde_json::to_string(&Document { version: JSON_VERSION, kind, body })?)
}

/// The text of `report` in `format`, newline included.
pub(crate) fn text<R: Report>(report: &R, format: Format) -> anyhow::Result<String> {
    let text = match format {
        Format::Table => report.render(),
        Format::Json => json(R::KIND, report)?,
    };
    Ok(text + "\n")
}

#[derive(Serialize)]
struct Done {
    effect: String,
    position: String,
}

/// Prints what `decision` did, as a document of `kind`.
pub(crate) fn print_done(kind: &'static str, decision: &Decision, format: Format) -> anyhow::Result<()> {
    let done = Done { effect: decision.verdict.to_string(), position: decision.position.to_string() };
    let text = match format {
        Format::Json => json(kind, &done)?,
        Format::Table => done.effect,
    };
    write(&(text + "\n"))
}

/// Prints `report` on stdout.
pub(crate) fn print<R: Report>(report: &R, format: Format) -> anyhow::Result<()> {
    write(&text(report, format)?)
}

/// Prints `text` on stdout; a reader that has gone is no error.
pub(crate) fn write(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

/// A table without lines, as wide as its content.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// `count` of what `one` is one of.
pub(crate) fn count(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// `text`, which says so if it may be older than what was acknowledged.
pub(crate) fn labelled(mut text: String, stale: bool, applied: &str) -> String {
    if stale {
        text.push_str(&format!("\n(stale: one node's view at index {applied})"));
    }
    text
}
