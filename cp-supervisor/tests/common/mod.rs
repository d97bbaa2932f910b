//! A cluster of real processes on loopback, with real certificates.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails the test")]

pub(crate) mod embedded;

use cp_net::issue::{self, IssueSettings};
use cp_net::tls::{Credentials, PeerName, UnixTime};
use cp_seam::{ClusterId, MemberId};
use cp_supervisor::client::Client;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_cp-supervisor");
pub(crate) const CLUSTER: ClusterId = ClusterId([7; 16]);
/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with an authority and one client's certificate.
pub(crate) struct Site {
    dir: TempDir,
    ports: Vec<u16>,
}

/// A member of the site: its ports and files.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) peer: String,
    pub(crate) client: String,
    pub(crate) http: String,
    pub(crate) data_dir: PathBuf,
}

/// A running process; killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Stops it in its tracks: its connections stay open, and nothing comes.
    pub(crate) fn pause(&self) {
        let asked = Command::new("kill").args(["-STOP", &self.0.id().to_string()]).status().unwrap();
        assert!(asked.success());
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Asks it to stop, and waits for its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let asked = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(asked.success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let killed = self.0.kill().and_then(|()| self.0.wait());
        assert!(killed.is_ok());
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self { dir: TempDir::new().unwrap(), ports: free_ports(12) };
        issue::init_ca(&site.certs(), CLUSTER, &issue_settings()).unwrap();
        site.issue(&PeerName::client("tester", CLUSTER).unwrap());
        site
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.dir.path().join("certs")
    }

    pub(crate) fn issue(&self, name: &PeerName) {
        issue::issue(&self.certs(), name, &issue_settings()).unwrap();
    }

    /// The member `n<number>`, with a certificate.
    pub(crate) fn place(&self, number: usize) -> Place {
        let name = format!("n{number}");
        if !self.certs().join(format!("{name}.pem")).exists() {
            self.issue(&PeerName::member(MemberId::new(&name).unwrap(), CLUSTER));
        }
        let port = |of: usize| format!("127.0.0.1:{}", self.ports[number * 3 + of - 3]);
        Place { data_dir: self.path().join(&name), peer: port(0), client: port(1), http: port(2), name }
    }

    pub(crate) fn credentials(&self, stem: &str) -> Credentials {
        let [ca, cert, key] = self.files(stem);
        Credentials::load(&ca, &cert, &key).unwrap()
    }

    pub(crate) fn files(&self, stem: &str) -> [PathBuf; 3] {
        ["ca.pem".to_owned(), format!("{stem}.pem"), format!("{stem}.key")].map(|file| self.certs().join(file))
    }

    /// A client that knows `places`.
    pub(crate) fn client(&self, places: &[&Place]) -> Client {
        let endpoints = places.iter().map(|place| place.client.clone()).collect();
        Client::new(endpoints, self.credentials("tester.client"), PATIENCE)
    }

    /// Runs a command as `stem`, against `at`.
    pub(crate) fn run_as(&self, stem: &str, at: &str, arguments: &[&str]) -> Output {
        let [ca, cert, key] = self.files(stem);
        Command::new(BINARY)
            .args(arguments)
            .env("CP_CA", ca)
            .env("CP_CERT", cert)
            .env("CP_KEY", key)
            .env("CP_ENDPOINTS", at)
            .env("CP_TIMEOUT_MS", "10000")
            .env("NO_COLOR", "1")
            .current_dir(self.path())
            .output()
            .unwrap()
    }

    /// Runs an operator's command; its stdout if it succeeds.
    pub(crate) fn run(&self, at: &Place, arguments: &[&str]) -> String {
        let output = self.run_as("tester.client", &at.client, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs an operator's command that must fail; its exit code and stderr.
    pub(crate) fn refused(&self, at: &Place, arguments: &[&str]) -> (i32, String) {
        code(&self.run_as("tester.client", &at.client, arguments))
    }

    /// As [`run`](Self::run), the JSON decoded.
    pub(crate) fn json(&self, at: &Place, arguments: &[&str]) -> serde_json::Value {
        let text = self.run(at, &[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn init(&self, place: &Place, engine: &str) -> Output {
        self.init_with(place, engine, &[])
    }

    pub(crate) fn init_with(&self, place: &Place, engine: &str, more: &[&str]) -> Output {
        self.run_as(
            &place.name,
            "",
            &[
                &["cluster", "init", "--data-dir", &text(&place.data_dir), "--engine", engine][..],
                &addresses(place).iter().map(String::as_str).collect::<Vec<_>>(),
                more,
            ]
            .concat(),
        )
    }

    pub(crate) fn join(&self, place: &Place, token: &str, via: &Place) -> Output {
        self.run_as(
            &place.name,
            "",
            &[
                &["join", "--data-dir", &text(&place.data_dir), "--token", token, "--via", &via.client][..],
                &addresses(place).iter().map(String::as_str).collect::<Vec<_>>(),
            ]
            .concat(),
        )
    }

    /// Starts a node and waits until it says that it serves.
    pub(crate) fn serve(&self, place: &Place, more: &[&str]) -> Process {
        let [ca, cert, key] = self.files(&place.name);
        let log =
            File::options().create(true).append(true).open(self.path().join(format!("{}.log", place.name))).unwrap();
        let mut child = Command::new(BINARY)
            .args(["serve", "--data-dir", &text(&place.data_dir), "--peer-listen", &place.peer])
            .args(["--client-listen", &place.client, "--http-listen", &place.http])
            .args(more)
            .env("CP_CA", ca)
            .env("CP_CERT", cert)
            .env("CP_KEY", key)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut said = [0; 1];
        let read = child.stdout.as_mut().unwrap().read(&mut said).unwrap();
        let log = || std::fs::read_to_string(self.path().join(format!("{}.log", place.name))).unwrap_or_default();
        assert_eq!(read, 1, "{} did not start:\n{}", place.name, log());
        Process(child)
    }

    /// A cluster of `count` members, all voting.
    pub(crate) fn cluster(&self, count: usize, engine: &str, more: &[&str]) -> (Vec<Place>, Vec<Process>) {
        self.cluster_with(&[], count, engine, more)
    }

    /// As [`cluster`](Self::cluster), founded with the arguments `founding`.
    pub(crate) fn cluster_with(
        &self,
        founding: &[&str],
        count: usize,
        engine: &str,
        more: &[&str],
    ) -> (Vec<Place>, Vec<Process>) {
        let first = self.place(1);
        assert!(self.init_with(&first, engine, founding).status.success());
        let mut places = vec![first];
        let mut nodes = vec![self.serve(&places[0], more)];
        for number in 2..=count {
            let place = self.place(number);
            let token = self.admit(&places[0], &place);
            let joined = self.join(&place, &token, &places[0]);
            assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
            nodes.push(self.serve(&place, more));
            places.push(place);
        }
        until("every member votes", || {
            let listed = self.json(&places[0], &["member", "list"]);
            listed["members"].as_array().unwrap().iter().filter(|m| m["voting"] == true).count() == count
        });
        (places, nodes)
    }

    /// Admits a member and returns its token.
    pub(crate) fn admit(&self, at: &Place, place: &Place) -> String {
        let added = self.json(at, &["member", "add", &place.name]);
        added["token"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn code(output: &Output) -> (i32, String) {
    assert!(!output.status.success(), "it succeeded: {}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty(), "data on stdout: {}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

fn addresses(place: &Place) -> [String; 6] {
    [
        "--peer-address".to_owned(),
        place.peer.clone(),
        "--client-address".to_owned(),
        place.client.clone(),
        "--http-address".to_owned(),
        place.http.clone(),
    ]
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub(crate) fn issue_settings() -> IssueSettings {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(jiff::Timestamp::now().as_second().unsigned_abs()));
    IssueSettings { now, days: 2, overwrite: false }
}

/// Ports that were free a moment ago, and that nobody is given by chance: below those of
/// outgoing connections, and no two sites of a test binary share one.
fn free_ports(count: usize) -> Vec<u16> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    let next = || FIRST + (start + TAKEN.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
    let free = std::iter::repeat_with(next).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.take(count).collect()
}

/// Waits until `done`, or fails saying `what` did not come about.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "it did not come about that {what}");
        // Other processes are waited for; there is nothing to synchronise with.
        #[allow(clippy::disallowed_methods, reason = "see above")]
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The status code and the page at `path`.
pub(crate) fn page(place: &Place, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(&place.http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
