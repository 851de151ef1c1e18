//! Runs the real command and listens to it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

/// A test that hangs fails after this; nothing waits for it otherwise.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(60);
/// So slow that what [`Place::long_file`] makes takes longer than [`TOO_LONG`]: whatever the machine has to do
/// besides, the transfer is not over when something happens in its middle.
pub(crate) const SLOWLY: [&str; 2] = ["--limit-rate", "64K"];

/// A directory for one test, with the command in it.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file whose every part is different.
    pub(crate) fn file(&self, name: &str, length: usize) -> Vec<u8> {
        let mut content = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut content);
        fs::write(self.path(name), &content).unwrap();
        content
    }

    /// A file that takes longer than anybody waits for, fetched [`SLOWLY`].
    pub(crate) fn long_file(&self, name: &str) -> Vec<u8> {
        self.file(name, (6 << 20) + 1)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The command with these words, to be run in this directory and to know nothing of the user's own setup.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crust"));
        command.args(words);
        self.prepare(&mut command);
        command
    }

    pub(crate) fn prepare(&self, command: &mut Command) {
        command.current_dir(self.directory.path());
        for variable in ["CRUST_NETWORK", "CRUST_NETWORK_SECRET", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command.env("HOME", self.directory.path()).env("XDG_CONFIG_HOME", self.path("config"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    /// Starts the command.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        Running::of(&mut self.command(words))
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.start(words).end()
    }

    /// Starts to send a file from 127.0.0.1, and says the contact.
    pub(crate) fn send(&self, file: &str, more: &[&str]) -> (Running, String) {
        let words = [&["send", file, "--json", "--listen", "127.0.0.1"], more].concat();
        let mut sender = self.start(&words);
        let ready = sender.next_event();
        assert_eq!(ready["event"], "ready", "the first line: {ready}");
        let contact = ready["contact"].as_str().unwrap().to_owned();
        assert!(contact.starts_with("crust"));
        (sender, contact)
    }

    /// Starts to get what a contact's owner serves.
    pub(crate) fn get(&self, contact: &str, more: &[&str]) -> Running {
        self.start(&[&["get", contact, "--json", "--listen", "127.0.0.1"], more].concat())
    }

    /// Gets the file slowly and stops the getter by `stop` once a part of it is there.
    pub(crate) fn get_cut_off(&self, contact: &str, output: &str, stop: impl FnOnce(&mut Running)) -> Ended {
        let mut getter = self.get(contact, &[&["-o", output], &SLOWLY[..]].concat());
        getter.wait_for_data();
        stop(&mut getter);
        getter.end()
    }
}

/// A command that runs. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    lines: Option<Receiver<String>>,
    heard: Vec<String>,
    stderr: Option<JoinHandle<String>>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let (send, lines) = sync_channel(1024);
        // Ends with the pipe, or when nobody listens any more; then the pipe is closed.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).unwrap();
            String::from_utf8(text).unwrap()
        });
        Self { child, lines: Some(lines), heard: Vec::new(), stderr: Some(stderr) }
    }

    /// The next line on standard output.
    pub(crate) fn next_line(&mut self) -> String {
        match self.lines.as_ref().unwrap().recv_timeout(TOO_LONG) {
            Ok(line) => {
                self.heard.push(line.clone());
                line
            }
            Err(error) => self.give_up(&error.to_string()),
        }
    }

    fn give_up(&mut self, why: &str) -> ! {
        let _ = self.child.kill();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        panic!("{why}; heard {:#?} and {stderr}", self.heard)
    }

    /// The next line on standard output, as JSON.
    pub(crate) fn next_event(&mut self) -> Value {
        let line = self.next_line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"))
    }

    /// Waits for an event of this name.
    pub(crate) fn wait_for(&mut self, name: &str) -> Value {
        loop {
            let event = self.next_event();
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Waits until a part of the file has moved.
    pub(crate) fn wait_for_data(&mut self) {
        let progress = self.wait_for("progress");
        assert!(progress["bytes"].as_u64().unwrap() > 0);
        assert!(
            progress["bytes"].as_u64() < progress["total"].as_u64(),
            "too late to cut it off: {progress}"
        );
    }

    /// Listens to standard output no more.
    pub(crate) fn close_stdout(&mut self) {
        self.lines = None;
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&mut self) {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub(crate) fn end(mut self) -> Ended {
        if let Some(lines) = self.lines.take() {
            loop {
                match lines.recv_timeout(TOO_LONG) {
                    Ok(line) => self.heard.push(line),
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => self.give_up("it does not end"),
                }
            }
        }
        let stdout = std::mem::take(&mut self.heard);
        let stderr = self.stderr.take().unwrap().join().unwrap();
        let code = self.child.wait().unwrap().code();
        Ended { code, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Fails the test unless it went well.
    pub(crate) fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Fails the test unless it failed like this: the exit code, one line of its own for people, and the same
    /// for machines.
    pub(crate) fn badly(self, exit: i32, code: &str, says: &str) -> Self {
        assert_eq!(self.code, Some(exit), "{self:#?}");
        let lines: Vec<_> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "more than one line: {self:#?}");
        assert!(lines[0].starts_with("crust: ") && lines[0].contains(says), "{self:#?}");
        let last = self.event("error");
        assert_eq!(last["code"], code, "{self:#?}");
        assert_eq!(format!("crust: {}", last["message"].as_str().unwrap()), lines[0]);
        assert_eq!(self.stdout.len(), self.events().iter().position(|e| e["event"] == "error").unwrap() + 1);
        self
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.stdout.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The last event of this name.
    pub(crate) fn event(&self, name: &str) -> Value {
        let found = self.events().into_iter().rfind(|event| event["event"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {self:#?}"))
    }
}

/// Whether a file has this content, without printing megabytes if it hasn't.
#[track_caller]
pub(crate) fn assert_content(path: &Path, content: &[u8]) {
    let found = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(found == content, "{} has other content ({} bytes)", path.display(), found.len());
}
