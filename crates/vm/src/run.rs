//! The three ways to run a machine.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use lazuli_sandbox::{Access, Child, Command, Network, Output, Sandbox, Stdin};

use crate::accel::Accelerator;
use crate::command_line::{self, Console};
use crate::console::{Follower, Tail};
use crate::credentials::{self, Credentials};
use crate::{Error, Firmware, VmConfig, Writes, tpm};

/// How often the guest's output is looked at.
const POLL: Duration = Duration::from_millis(40);
/// How long a guest may take to power off after its command, when its writes are to be kept.
const POWER_OFF: Duration = Duration::from_secs(120);

/// One of the streams that come out of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The command's standard output.
    Stdout,
    /// The command's standard error.
    Stderr,
    /// The serial console: firmware, kernel, systemd.
    Console,
}

/// Runs the machine with its serial console on the caller's terminal until it powers off or the
/// person presses Ctrl-a x.
pub fn interactive(config: &VmConfig, accelerator: &Accelerator) -> Result<(), Error> {
    let sandbox = prepare(config, accelerator)?;
    let mut credentials = handed(config);
    credentials.console_login();
    let command = qemu(&sandbox, config, accelerator, Console::Terminal, &credentials)?;
    let _tpm = tpm::start(config)?;
    let _terminal = Terminal::save();
    let mut child = command.stdin(Stdin::Inherit).stdout(Output::Inherit).stderr(Output::Inherit).spawn()?;
    match config.timeout {
        None => child.wait().map(drop)?,
        Some(limit) => {
            if child.wait_timeout(limit)?.is_none() {
                child.kill();
                let console = lazuli_fs::read(config.work.join("console.log")).unwrap_or_default();
                return Err(timeout("the machine did not power off", limit, &console));
            }
        }
    }
    Ok(())
}

/// Boots the machine, runs `command` by `/bin/sh` in the guest when it has reached multi-user.target,
/// hands its output on as it comes, stops the machine and returns the command's exit status (128 + n
/// for death by signal n). With [`Writes::Persist`] the guest powers off in order.
pub fn exec(
    config: &VmConfig,
    accelerator: &Accelerator,
    command: &str,
    mut output: impl FnMut(Stream, &[u8]),
) -> Result<i32, Error> {
    let mut credentials = handed(config);
    credentials.exec(command, config.writes == Writes::Persist);
    let sandbox = prepare(config, accelerator)?;
    let _tpm = tpm::start(config)?;
    let mut machine = Machine::start(&sandbox, config, accelerator, &credentials)?;
    let mut received = Vec::new();
    let end = config.timeout.map(|limit| Instant::now() + limit);
    loop {
        let ended = machine.child.wait_timeout(POLL)?;
        received.extend(machine.status.fresh());
        machine.pass_on(&mut output);
        if let Some(status) = credentials::parse_status(&received) {
            if config.writes == Writes::Persist && machine.child.wait_timeout(POWER_OFF)?.is_none() {
                let console = machine.tail.into_lines();
                let what = "the guest did not power off".to_owned();
                return Err(Error::Timeout { what, seconds: POWER_OFF.as_secs(), console });
            }
            return Ok(status);
        }
        if let Some(status) = ended {
            return Err(machine.ended("the command had finished", status));
        }
        if let (Some(limit), Some(end)) = (config.timeout, end)
            && Instant::now() > end
        {
            machine.pass_on(&mut output);
            let console = machine.tail.into_lines();
            let what = "the command did not finish".to_owned();
            return Err(Error::Timeout { what, seconds: limit.as_secs(), console });
        }
    }
}

/// Boots the machine, waits for its SSH server, and runs the SSH client as root with a key made for
/// this run: with `command`, or interactively. Returns the client's exit status. `console` gets what
/// the serial console says until the server answers.
pub fn ssh(
    config: &VmConfig,
    accelerator: &Accelerator,
    command: Option<&str>,
    mut console: impl FnMut(&[u8]),
) -> Result<i32, Error> {
    let port = free_port()?;
    let mut config = config.clone();
    config.forward.push((port, 22));
    let sandbox = prepare(&config, accelerator)?;
    let user = make_key(&sandbox, &config, "user-key")?;
    let host = make_key(&sandbox, &config, "host-key")?;
    lazuli_fs::write(config.work.join("known_hosts"), format!("[127.0.0.1]:{port} {host}"))?;
    let private = lazuli_fs::read_to_string(config.work.join("host-key"))?;
    let mut credentials = handed(&config);
    credentials.ssh(&user, &private, &host);
    let _tpm = tpm::start(&config)?;
    let mut machine = Machine::start(&sandbox, &config, accelerator, &credentials)?;
    let start = Instant::now();
    while !ssh_answers(port) {
        let ended = machine.child.wait_timeout(Duration::from_millis(200))?;
        machine.pass_on(&mut |stream, bytes: &[u8]| {
            if stream == Stream::Console {
                console(bytes);
            }
        });
        if let Some(status) = ended {
            return Err(machine.ended("its SSH server answered", status));
        }
        if let Some(limit) = config.timeout.filter(|limit| start.elapsed() > *limit) {
            let console = machine.tail.into_lines();
            let what = "the SSH server did not answer".to_owned();
            return Err(Error::Timeout { what, seconds: limit.as_secs(), console });
        }
    }
    let client = sandbox
        .command("ssh")
        .args(["-F", "none", "-i", "/work/user-key", "-p", &port.to_string()])
        .args(["-o", "UserKnownHostsFile=/work/known_hosts", "-o", "StrictHostKeyChecking=yes"])
        .args(["-o", "HostKeyAlgorithms=ssh-ed25519", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"])
        .arg("root@127.0.0.1")
        .args(command);
    let _terminal = Terminal::save();
    let status = client.spawn_interactive()?;
    if config.writes == Writes::Persist {
        // What the guest has not written yet would be lost otherwise.
        let off = sandbox
            .command("ssh")
            .args(["-F", "none", "-i", "/work/user-key", "-p", &port.to_string()])
            .args(["-o", "UserKnownHostsFile=/work/known_hosts", "-o", "LogLevel=QUIET"])
            .args(["root@127.0.0.1", "systemctl --no-block poweroff"]);
        let _ = off.capture(|_| ())?;
        if machine.child.wait_timeout(POWER_OFF)?.is_none() {
            let console = machine.tail.into_lines();
            let what = "the guest did not power off".to_owned();
            return Err(Error::Timeout { what, seconds: POWER_OFF.as_secs(), console });
        }
    }
    Ok(shell_status(status))
}

/// What every guest of this configuration is handed.
fn handed(config: &VmConfig) -> Credentials {
    let mut credentials = Credentials::default();
    for file in &config.files {
        credentials.file(file);
    }
    for (name, value) in &config.credentials {
        credentials.add(name, value.clone());
    }
    credentials
}

/// An exit status as a shell shows it.
fn shell_status(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// The sandbox QEMU runs in, with this run's files in place.
fn prepare(config: &VmConfig, accelerator: &Accelerator) -> Result<Sandbox, Error> {
    if config.disk_size.is_some() && config.writes == Writes::Persist {
        let text = "the disk's size can only be changed for a run that discards its writes";
        return Err(Error::Config(text.to_owned()));
    }
    let access = match config.writes {
        Writes::Discard => Access::ReadOnly,
        Writes::Persist => Access::ReadWrite,
    };
    let mut sandbox = Sandbox::new(&config.tools)
        .bind(&config.work, command_line::WORK, Access::ReadWrite)
        .bind(&config.image, command_line::IMAGE, access)
        .network(Network::Host)
        .env("TMPDIR", command_line::WORK);
    // QEMU answers the guest's name queries with the host's name servers.
    for file in ["/etc/resolv.conf", "/etc/hosts"] {
        if let Ok(path) = std::path::Path::new(file).canonicalize() {
            sandbox = sandbox.bind(path, file, Access::ReadOnly);
        }
    }
    if let Some(direct) = &config.direct_kernel {
        sandbox = sandbox.bind(&direct.kernel, command_line::KERNEL, Access::ReadOnly);
        if let Some(initrd) = &direct.initrd {
            sandbox = sandbox.bind(initrd, command_line::INITRD, Access::ReadOnly);
        }
    }
    if accelerator.kvm {
        sandbox = sandbox.device("/dev/kvm");
    }
    let variables = config.work.join("vars.fd");
    match &config.firmware {
        Firmware::Plain => lazuli_fs::write(&variables, firmware_variables(&config.tools)?)?,
        Firmware::SecureBoot { variables: content } => lazuli_fs::write(&variables, content)?,
    }
    if config.writes == Writes::Discard {
        let mut create = sandbox
            .command("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", config.format.driver(), "-b", command_line::IMAGE])
            .arg("/work/disk.qcow2");
        if let Some(size) = config.disk_size {
            create = create.arg(size.max(virtual_size(&sandbox, config)?).to_string());
        }
        create.run(|_| ())?;
    }
    Ok(sandbox)
}

/// The flash chip with the firmware's variables as it leaves the factory: no keys, no boot entries.
pub fn firmware_variables(tools: &std::path::Path) -> Result<Vec<u8>, Error> {
    Ok(lazuli_fs::read(tools.join(command_line::FIRMWARE_VARIABLES))?)
}

/// The size of the image as the guest sees it, in bytes.
fn virtual_size(sandbox: &Sandbox, config: &VmConfig) -> Result<u64, Error> {
    #[derive(serde::Deserialize)]
    struct Info {
        #[serde(rename = "virtual-size")]
        virtual_size: u64,
    }
    let info = sandbox
        .command("qemu-img")
        .args(["info", "--output=json", "-f", config.format.driver(), command_line::IMAGE])
        .run(|_| ())?;
    let info: Info = serde_json::from_slice(&info)
        .map_err(|e| Error::Config(format!("qemu-img's answer about the image is not understood: {e}")))?;
    Ok(info.virtual_size)
}

fn qemu(
    sandbox: &Sandbox,
    config: &VmConfig,
    accelerator: &Accelerator,
    console: Console,
    credentials: &Credentials,
) -> Result<Command, Error> {
    let arguments = command_line::arguments(config, accelerator, console, credentials)?;
    Ok(sandbox.command("qemu-system-x86_64").args(arguments))
}

/// A running QEMU whose streams go to files.
struct Machine {
    child: Child,
    stdout: Follower,
    stderr: Follower,
    status: Follower,
    console: Follower,
    tail: Tail,
    own_stderr: Follower,
}

impl Machine {
    fn start(
        sandbox: &Sandbox,
        config: &VmConfig,
        accelerator: &Accelerator,
        credentials: &Credentials,
    ) -> Result<Self, Error> {
        let follow = |name: &str| Follower::create(&config.work.join(name));
        let [stdout, stderr, status, console] =
            [follow("stdout")?, follow("stderr")?, follow("status")?, follow("console.log")?];
        let errors = config.work.join("qemu-stderr");
        let own_stderr = Follower::create(&errors)?;
        let child = qemu(sandbox, config, accelerator, Console::Log, credentials)?
            .stdout(Output::Null)
            .stderr(Output::File(lazuli_fs::create(&errors)?))
            .spawn()?;
        Ok(Self { child, stdout, stderr, status, console, tail: Tail::default(), own_stderr })
    }

    fn pass_on(&mut self, output: &mut impl FnMut(Stream, &[u8])) {
        for (stream, follower) in [
            (Stream::Console, &mut self.console),
            (Stream::Stdout, &mut self.stdout),
            (Stream::Stderr, &mut self.stderr),
        ] {
            let bytes = follower.fresh();
            if !bytes.is_empty() {
                if stream == Stream::Console {
                    self.tail.push(&bytes);
                }
                output(stream, &bytes);
            }
        }
    }

    /// The error that QEMU ended too early.
    fn ended(mut self, what: &str, status: ExitStatus) -> Error {
        let mut stderr = Tail::default();
        stderr.push(&self.own_stderr.fresh());
        if !status.success() {
            stderr.push(format!("\n({status})").as_bytes());
        }
        Error::Ended { what: what.to_owned(), stderr: stderr.into_lines(), console: self.tail.into_lines() }
    }
}

fn timeout(what: &str, limit: Duration, console: &[u8]) -> Error {
    let mut tail = Tail::default();
    tail.push(console);
    Error::Timeout { what: what.to_owned(), seconds: limit.as_secs(), console: tail.into_lines() }
}

/// Makes an ed25519 key pair in the work directory; returns the public half, one line.
fn make_key(sandbox: &Sandbox, config: &VmConfig, name: &str) -> Result<String, Error> {
    for old in [name.to_owned(), format!("{name}.pub")] {
        let _ = lazuli_fs::remove_file(config.work.join(old));
    }
    sandbox
        .command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "lazuli-run", "-f", &format!("/work/{name}")])
        .run(|_| ())?;
    Ok(lazuli_fs::read_to_string(config.work.join(format!("{name}.pub")))?)
}

/// A TCP port of 127.0.0.1 that nobody listens on at the moment.
fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|e| Error::Config(format!("no TCP port of 127.0.0.1 can be had: {e}")))
}

/// Whether an SSH server greets us. QEMU itself accepts the connection at any time, so only the
/// greeting counts.
fn ssh_answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(3))).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && &greeting == b"SSH-"
}

/// Puts the terminal back as it was, however a program that changed it ended.
struct Terminal(Option<rustix::termios::Termios>);

impl Terminal {
    fn save() -> Self {
        Self(rustix::termios::tcgetattr(rustix::stdio::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(saved) = &self.0 {
            let now = rustix::termios::OptionalActions::Now;
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), now, saved);
        }
    }
}
