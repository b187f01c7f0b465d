//! Loads the exec guard into the kernel at boot, and ends.
//!
//! The guard itself is `exec-guard.bpf.c` of the package `lazuli-exec-guard`: programs for the kernel's BPF security
//! module which forbid to execute, outside containers, what is not on the root file system. This loader tells them
//! which file system that is and which mount namespace is the host's, attaches them, and pins the attachments, so that
//! they stay when it ends.
//!
//! Order: the file system for the pins is mounted before the programs are loaded, because one of them must know its
//! device number; each attachment is in force before it is pinned; the last one attached is the one that protects the
//! pins, so that a failure half-way can be undone by another start. Until all are pinned the service counts as failed,
//! and no container starts.
//!
//! It must not know what a container is: that is the guard's.

mod btf;

use aya::programs::{Lsm, links::FdLink};
use aya::{Btf, EbpfLoader, Endianness};
use btf::Types;
use object::{Object as _, ObjectSection as _};
use rustix::fs::{major, minor};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The compiled programs.
const PROGRAMS: &str = "/usr/lib/lazuli/exec-guard.o";
/// The types of the running kernel.
const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";
/// Makes a copy of itself in memory and executes that, which the guard lets it do.
const RUNC: &str = "/usr/sbin/runc";
/// Where attachments are pinned: a BPF file system of its own, because the pins of others can be removed.
const PINS: &str = "/run/lazuli/exec-guard";

/// Name of each program and the hook that it is attached to, those that protect the pins last.
const HOOKS: [(&str, &str); 9] = [
    ("guard_execute", "bprm_check_security"),
    ("guard_map", "mmap_file"),
    ("guard_protect", "file_mprotect"),
    ("guard_prctl", "task_prctl"),
    ("guard_kernel_read", "kernel_read_file"),
    ("guard_kernel_load", "kernel_load_data"),
    ("guard_rename", "inode_rename"),
    ("guard_unlink", "inode_unlink"),
    ("guard_unmount", "sb_umount"),
];

/// Why the guard is not, or not wholly, in force.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    File(#[from] lazuli_fs::Error),
    #[error("{PINS}: mounting a BPF file system: {0}")]
    Mount(rustix::io::Errno),
    #[error("{path}: {source}")]
    Stat { path: PathBuf, source: rustix::io::Errno },
    #[error("{PROGRAMS}: {0}; has the kernel CONFIG_BPF_LSM and CONFIG_DEBUG_INFO_BTF?")]
    Load(#[from] aya::EbpfError),
    #[error("{PROGRAMS}: {0}")]
    Object(#[from] object::Error),
    #[error("{PROGRAMS}: there is no section .BTF in it; was it compiled with -g?")]
    NoTypes,
    #[error("the limit of open files: {0}")]
    Limit(rustix::io::Errno),
    #[error("{path}: {source}")]
    Layout { path: &'static str, source: btf::Error },
    #[error("{0}; has the kernel CONFIG_DEBUG_INFO_BTF?")]
    NoKernelTypes(lazuli_fs::Error),
    #[error("{KERNEL_TYPES}: {0}")]
    Types(#[from] aya::BtfError),
    #[error("{PROGRAMS}: it has no program {0}")]
    Missing(&'static str),
    #[error("{name}: {source}; is `bpf` in the kernel's list of security modules (CONFIG_LSM, lsm=)?")]
    Attach { name: &'static str, source: aya::programs::ProgramError },
    #[error("{PINS}/{name}: {source}")]
    Pin { name: &'static str, source: aya::pin::PinError },
}

fn main() -> ExitCode {
    match load() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Level 2, critical: it stands out in the journal and shows on the console.
            eprintln!("<2>exec guard: {error}");
            eprintln!(
                "<2>exec guard: not in force; programs from outside the root can be executed, containers do not start"
            );
            ExitCode::FAILURE
        }
    }
}

fn load() -> Result<(), Error> {
    if HOOKS.iter().all(|(name, _)| Path::new(PINS).join(name).exists()) {
        return Ok(());
    }
    lazuli_fs::create_dir_all(PINS)?;
    // Left over by a start that failed; it could be unmounted, so it does not protect itself yet.
    while unmount(PINS, UnmountFlags::empty()).is_ok() {}
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("lazuli-exec-guard", PINS, "bpf", flags, Some(c"mode=0700")).map_err(Error::Mount)?;

    let root = device("/usr")?;
    let pins = device(PINS)?;
    let namespace = inode("/proc/self/ns/mnt")? as u32;
    let runc = if Path::new(RUNC).exists() { inode(RUNC)? } else { 0 };
    let object = lazuli_fs::read(PROGRAMS)?;
    let types = kernel_types(&object)?;
    let mut programs = loader()?
        .btf(Some(&types))
        .override_global("ROOT_DEVICE", &root, true)
        .override_global("PIN_DEVICE", &pins, true)
        .override_global("HOST_MOUNT_NAMESPACE", &namespace, true)
        .override_global("RUNC_INODE", &runc, true)
        .load(&object)?;
    for (name, hook) in HOOKS {
        let attach = |source| Error::Attach { name, source };
        let program = programs.program_mut(name).ok_or(Error::Missing(name))?;
        let program: &mut Lsm = program.try_into().map_err(attach)?;
        program.load(hook, &types).map_err(attach)?;
        let id = program.attach().map_err(attach)?;
        let link: FdLink = program.take_link(id).map_err(attach)?.into();
        link.pin(Path::new(PINS).join(name)).map_err(|source| Error::Pin { name, source })?;
    }
    Ok(())
}

/// A loader without types. aya's reads and parses all of the kernel's when it is made, before it can be told that it gets others;
/// here it cannot open them. This process has no other thread that could miss a file meanwhile.
fn loader<'a>() -> Result<EbpfLoader<'a>, Error> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: limit.maximum }).map_err(Error::Limit)?;
    let loader = EbpfLoader::new();
    setrlimit(Resource::Nofile, limit).map_err(Error::Limit)?;
    Ok(loader)
}

/// Those of the kernel's types that the programs have to do with: structures by the names that the programs know them by,
/// and the functions of the hooks.
fn kernel_types(programs: &[u8]) -> Result<Btf, Error> {
    let layout = |path| move |source| Error::Layout { path, source };
    let kernel = lazuli_fs::read(KERNEL_TYPES).map_err(Error::NoKernelTypes)?;
    let object = object::File::parse(programs)?;
    let section = object.section_by_name(".BTF").ok_or(Error::NoTypes)?.data()?;
    let hooks = HOOKS.map(|(_, hook)| format!("bpf_lsm_{hook}"));
    let needed = Types::new(&kernel).map_err(layout(KERNEL_TYPES))?.reduced_to(
        &Types::new(section).map_err(layout(PROGRAMS))?.structures(),
        &hooks.iter().map(String::as_bytes).collect(),
    );
    Ok(Btf::parse(&needed.map_err(layout(KERNEL_TYPES))?, Endianness::default())?)
}

/// The number of the device that a path's file system is on, as the kernel holds it: major << 20 | minor.
fn device(path: &str) -> Result<u32, Error> {
    let stat = rustix::fs::stat(path).map_err(|source| Error::Stat { path: path.into(), source })?;
    Ok(major(stat.st_dev) << 20 | minor(stat.st_dev))
}

/// The number of a file's inode; that of a namespace is its identity.
fn inode(path: &str) -> Result<u64, Error> {
    let stat = rustix::fs::stat(path).map_err(|source| Error::Stat { path: path.into(), source })?;
    Ok(stat.st_ino)
}
