//! `lazuli image`: list, show, measure.

use crate::cli::ImageCommand;
use crate::ui::{say, size};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use lazuli_image::Format;
use lazuli_tree::{Kind, Tree};
use lazuli_vm::{Stream, VmConfig, accel};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What `lazuli image stats` measures.
#[derive(Debug, Serialize)]
struct Stats {
    image: String,
    packages: usize,
    files: usize,
    installed_bytes: u64,
    kernel_bytes: u64,
    qcow2_bytes: u64,
    largest: BTreeMap<String, u64>,
    accelerator: String,
    /// From the start of QEMU to `running`.
    boot_seconds: f64,
    /// As systemd counts it: firmware, loader, kernel, userspace.
    boot_guest: String,
    /// What kernel and processes hold, the page cache not counted.
    memory_used_mib: u64,
    /// What no process could get any more: the above and the kernel's reserve (`vm.min_free_kbytes`).
    memory_unavailable_mib: u64,
}

/// Runs it.
pub fn run(workspace: &Workspace, command: &ImageCommand) -> Result<()> {
    match command {
        ImageCommand::List => {
            let mut rows = Vec::new();
            for name in workspace.image_names()? {
                let description = workspace.image_spec(&name)?.spec.description;
                if workspace.global.json {
                    rows.push(serde_json::json!({"name": name, "description": description}));
                } else {
                    say!("{name:20} {description}");
                }
            }
            if workspace.global.json {
                say!("{}", serde_json::to_string_pretty(&rows)?);
            }
            Ok(())
        }
        ImageCommand::Show { name, files } => {
            let built = workspace.build_image(name, &[Format::Raw])?;
            if *files {
                show_files(workspace, &built.root.load(&workspace.store)?)?;
            } else if workspace.global.json {
                let names: Vec<String> = built.packages.iter().map(|p| p.nevra.to_string()).collect();
                say!("{}", serde_json::to_string_pretty(&names)?);
            } else {
                built.packages.iter().for_each(|package| say!("{}", package.nevra));
            }
            Ok(())
        }
        ImageCommand::Unsigned(args) => super::sign::unsigned(workspace, args),
        ImageCommand::Attach(args) => super::sign::attach(workspace, args),
        ImageCommand::Stats { name } => {
            let stats = stats(workspace, name)?;
            if workspace.global.json {
                say!("{}", serde_json::to_string_pretty(&stats)?);
            } else {
                print(&stats);
            }
            Ok(())
        }
    }
}

/// Every path of a root.
fn show_files(workspace: &Workspace, tree: &Tree) -> Result<()> {
    let mut rows = Vec::new();
    for (path, node) in tree.iter() {
        let (arrow, target) = match &node.kind {
            Kind::Symlink { target } => (" -> ", target.clone()),
            Kind::HardLink { to } => (" = ", to.to_string()),
            _ => ("", String::new()),
        };
        let size = node.size().unwrap_or(0);
        let mode = format!("{:04o}", node.mode);
        if workspace.global.json {
            rows.push(serde_json::json!({
                "path": path.to_string(), "kind": node.kind.word(), "mode": mode, "user": node.user,
                "group": node.group, "size": size, "target": Some(target).filter(|t| !t.is_empty()),
            }));
        } else {
            say!("{mode} {:10} {:10} {size:>10} {path}{arrow}{target}", node.user, node.group);
        }
    }
    if workspace.global.json {
        say!("{}", serde_json::to_string_pretty(&rows)?);
    }
    Ok(())
}

/// Used and unavailable memory in MiB, by nothing but a shell: not every image has more.
const MEMORY: &str = "while read -r key value _; do case $key in \
    MemTotal:) total=$value;; MemFree:) free=$value;; MemAvailable:) available=$value;; \
    Buffers: | Cached: | SReclaimable:) cache=$((${cache:-0} + value));; esac; done < /proc/meminfo; \
    echo $(((total - free - cache) / 1024)) $(((total - available) / 1024))";

fn stats(workspace: &Workspace, name: &str) -> Result<Stats> {
    let built = workspace.build_image(name, &[Format::Raw, Format::Qcow2])?;
    let root = built.root.load(&workspace.store)?;
    let mut largest: Vec<(String, u64)> = Vec::new();
    for package in &built.packages {
        let tree = Tree::load(&workspace.store, &package.tree)?;
        // Only what is in the image: documentation and locales were left out.
        let bytes = tree.iter().filter(|(path, _)| root.contains(path)).filter_map(|(_, n)| n.size()).sum();
        largest.push((package.nevra.name.clone(), bytes));
    }
    largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let kernel = largest.iter().filter(|(n, _)| n.starts_with("kernel")).map(|(_, b)| b).sum();
    let qcow2 = built.disk.file(Format::Qcow2).context("no qcow2 was made")?;
    let raw = built.disk.file(Format::Raw).context("no raw disk was made")?;

    let tools = workspace.tool_root("vm")?;
    let work = workspace.store.tempdir()?;
    let mut config =
        VmConfig::new(&tools, &raw.path, lazuli_vm::Format::Raw, work.path(), workspace.store.root());
    config.firmware = workspace.firmware(&built, &tools)?;
    config.memory_mib = 1024;
    config.disk_size = Some(8 << 30);
    config.timeout = Some(Duration::from_secs(600));
    let accelerator = accel::choose(&config)?;
    let step = workspace.ui.spinner("boot and measure");
    let command = format!(
        "systemctl is-system-running --wait; date +%s.%N; sleep 20; {MEMORY}; systemd-analyze time | head -n 1"
    );
    let start = Instant::now();
    let (mut output, mut running) = (String::new(), None);
    lazuli_vm::exec(&config, &accelerator, &command, |stream, bytes| {
        if stream == Stream::Stdout {
            output.push_str(&String::from_utf8_lossy(bytes));
            if running.is_none() && output.contains("running\n") {
                running = Some(start.elapsed());
            }
        }
    })?;
    step.finish(&accelerator.why);
    let lines: Vec<&str> = output.lines().collect();
    anyhow::ensure!(lines.first() == Some(&"running"), "the system is not running: {output}");
    let memory: Vec<u64> =
        lines.get(2).unwrap_or(&"").split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [memory_used_mib, memory_unavailable_mib] = memory[..] else {
        anyhow::bail!("the guest did not say how much memory it uses: {output}");
    };
    Ok(Stats {
        image: name.to_owned(),
        packages: built.packages.len(),
        files: root.len(),
        installed_bytes: root.content_size(),
        kernel_bytes: kernel,
        qcow2_bytes: qcow2.len,
        largest: largest.into_iter().take(10).collect(),
        accelerator: accelerator.why,
        boot_seconds: running.map_or(0.0, |d| d.as_secs_f64()),
        boot_guest: lines.get(3).copied().unwrap_or_default().to_owned(),
        memory_used_mib,
        memory_unavailable_mib,
    })
}

fn print(stats: &Stats) {
    say!("image            {}", stats.image);
    say!("packages         {}", stats.packages);
    say!(
        "installed        {} in {} paths (kernel {})",
        size(stats.installed_bytes),
        stats.files,
        size(stats.kernel_bytes)
    );
    say!("qcow2            {}", size(stats.qcow2_bytes));
    say!("boot to running  {:.1} s with {}", stats.boot_seconds, stats.accelerator);
    say!("                 {}", stats.boot_guest);
    say!(
        "idle memory      {} MiB used; {} MiB with the kernel's reserve, of 1024",
        stats.memory_used_mib,
        stats.memory_unavailable_mib
    );
    let mut largest: Vec<_> = stats.largest.iter().collect();
    largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
    say!(
        "largest          {}",
        largest.iter().map(|(n, b)| format!("{n} {}", size(**b))).collect::<Vec<_>>().join(", ")
    );
}
