//! What a task prints: one line a step, with its time; a spinner on a terminal, plain lines when piped.

use anstream::println;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::Instant;

const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const OFF: &str = "\x1b[0m";

/// The steps of a run, and when it began.
#[derive(Debug)]
pub struct Steps {
    began: Instant,
    terminal: bool,
}

/// A step under way. It prints its line when it is done; dropped before, it prints that it failed.
#[derive(Debug)]
pub struct Step<'a> {
    steps: &'a Steps,
    title: String,
    began: Instant,
    bar: ProgressBar,
    told: bool,
}

impl Steps {
    /// Starts the clock.
    pub fn begin() -> Self {
        Self { began: Instant::now(), terminal: std::io::stdout().is_terminal() && std::io::stderr().is_terminal() }
    }

    /// Starts the clock anew: what came before is not part of the demonstration.
    pub fn restart(&mut self) {
        self.began = Instant::now();
    }

    /// How long it has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A line that stands out.
    pub fn headline(&self, text: &str) {
        println!("{BOLD}{text}{OFF}");
    }

    /// A line below a step.
    pub fn note(&self, text: &str) {
        println!("{DIM}         {text}{OFF}");
    }

    /// Begins a step.
    pub fn step(&self, title: &str) -> Step<'_> {
        let bar = ProgressBar::with_draw_target(
            None,
            if self.terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan}        {msg}") {
            bar.set_style(style);
        }
        bar.set_message(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(80));
        Step { steps: self, title: title.to_owned(), began: Instant::now(), bar, told: false }
    }

    /// How it ended.
    pub fn verdict(&self, passed: bool, text: &str) {
        let (colour, word) = if passed { (GREEN, "PASS") } else { (RED, "FAIL") };
        println!("\n{BOLD}{colour}{word}{OFF}  {text}");
    }
}

impl Step<'_> {
    /// Says how it is going; seen on a terminal only.
    pub fn progress(&self, detail: &str) {
        self.bar.set_message(format!("{}  {detail}", self.title));
    }

    /// Ends the step well.
    pub fn done(mut self, detail: &str) {
        self.tell(GREEN, "ok", detail);
    }

    /// Ends the step with something that deserves a second look.
    pub fn remarkable(mut self, detail: &str) {
        self.tell(YELLOW, "ok", detail);
    }

    /// How long it has taken.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn tell(&mut self, colour: &str, word: &str, detail: &str) {
        self.told = true;
        self.bar.finish_and_clear();
        let at = self.steps.elapsed().as_secs_f64();
        println!("{DIM}{at:6.2}s{OFF}  {colour}{word:<4}{OFF} {}  {DIM}{detail}{OFF}", self.title);
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(RED, "FAIL", "");
        }
    }
}
