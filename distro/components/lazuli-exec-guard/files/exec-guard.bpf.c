// The exec guard: code is executed from the verified root, or by containers, and from nowhere else.
//
// Programs of the kernel's BPF security module. Each hook below can only forbid; what other modules forbid stays
// forbidden. The loader (crates/guard) sets the constants, pins the links in a BPF file system of its own, and ends.
//
// Rules
//   1. A file may be executed, or mapped executable, if it is on the root file system.
//   2. Any other file may be if the task is in a container: below one of the SLICES in the control group tree, and in
//      another mount namespace than the host's.
//   3. runc that containerd started may execute the copy of itself that it makes in memory, so that no container ever
//      holds its file open; and a process may map what it was started from.
//   4. Modules, firmware and policies are read by the kernel from the root file system only.
//   5. Nobody takes the guard off: what is pinned cannot be unlinked or renamed, and its file system not unmounted.
//
// The kernel's structures are declared with the members that are read. Their offsets are those of the running kernel:
// the loader relocates each access by the kernel's type information (BTF).

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define KERNEL __attribute__((preserve_access_index))

struct super_block {
	u32 s_dev;
} KERNEL;

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
} KERNEL;

struct file {
	struct inode *f_inode;
} KERNEL;

struct vfsmount {
	struct super_block *mnt_sb;
} KERNEL;

struct linux_binprm {
	struct file *file;
} KERNEL;

struct vm_area_struct {
	struct file *vm_file;
} KERNEL;

struct ns_common {
	u32 inum;
} KERNEL;

struct mnt_namespace {
	struct ns_common ns;
} KERNEL;

struct nsproxy {
	struct mnt_namespace *mnt_ns;
} KERNEL;

struct kernfs_node {
	const char *name;
} KERNEL;

struct cgroup {
	int level;
	struct kernfs_node *kn;
	// In the kernel without a length; relocation wants one that the access below fits into.
	struct cgroup *ancestors[3];
} KERNEL;

struct css_set {
	struct cgroup *dfl_cgrp;
} KERNEL;

struct mm_struct {
	struct file *exe_file;
} KERNEL;

struct task_struct {
	struct mm_struct *mm;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
} KERNEL;

// Helpers of the kernel, by number: include/uapi/linux/bpf.h.
static long (*const probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*const probe_read_kernel_str)(void *to, u32 size, const void *from) = (void *)115;
static struct task_struct *(*const get_current_task_btf)(void) = (void *)158;

#define EPERM 1
#define EACCES 13
#define ENOSYS 38
#define PROT_EXEC 4
#define PR_SET_MM 35
#define PR_SET_MM_EXE_FILE 13
#define PR_SET_MM_MAP 14

// Set by the loader. Device numbers are the kernel's: major << 20 | minor.
const volatile u32 ROOT_DEVICE = 0;
const volatile u32 PIN_DEVICE = 0;
const volatile u32 HOST_MOUNT_NAMESPACE = 0;
// The inode of runc on the root file system; 0 if it is not there.
const volatile u64 RUNC_INODE = 0;

// Names of control groups right below the root of the tree, and their lengths with the final zero. systemd makes them
// with these names, and only the superuser could make others.
static const char containers[] = "containers.slice";
static const char kubepods[] = "kubepods.slice";
// Where containerd is, and what it starts.
static const char system[] = "system.slice";
static const char containerd[] = "containerd.service";

static __attribute__((always_inline)) int same(const char *a, const char *b, u32 size)
{
	for (u32 i = 0; i < size; i++)
		if (a[i] != b[i])
			return 0;
	return 1;
}

// The name of a control group above the current task's, or its own; `at` is its place in the ancestors.
static __attribute__((always_inline)) int name_of(struct cgroup **at, char *name, u32 size)
{
	struct cgroup *group = 0;
	struct kernfs_node *node = 0;
	const char *text = 0;
	if (probe_read_kernel(&group, sizeof(group), at) || !group)
		return 0;
	if (probe_read_kernel(&node, sizeof(node), __builtin_preserve_access_index(&group->kn)) || !node)
		return 0;
	if (probe_read_kernel(&text, sizeof(text), __builtin_preserve_access_index(&node->name)) || !text)
		return 0;
	return probe_read_kernel_str(name, size, text) >= 0;
}

static __attribute__((always_inline)) int in_slice_of_containers(struct cgroup *group)
{
	char name[32] = {};
	if (group->level < 1 || !name_of(__builtin_preserve_access_index(&group->ancestors[1]), name, sizeof(name)))
		return 0;
	return same(name, containers, sizeof(containers)) || same(name, kubepods, sizeof(kubepods));
}

static __attribute__((always_inline)) int in_containerd(struct cgroup *group)
{
	char top[32] = {}, service[32] = {};
	if (group->level < 2)
		return 0;
	if (!name_of(__builtin_preserve_access_index(&group->ancestors[1]), top, sizeof(top)) ||
	    !name_of(__builtin_preserve_access_index(&group->ancestors[2]), service, sizeof(service)))
		return 0;
	return same(top, system, sizeof(system)) && same(service, containerd, sizeof(containerd));
}

static __attribute__((always_inline)) int in_container(void)
{
	struct task_struct *task = get_current_task_btf();
	struct nsproxy *namespaces = task->nsproxy;
	if (!namespaces || namespaces->mnt_ns->ns.inum == HOST_MOUNT_NAMESPACE)
		return 0;
	return in_slice_of_containers(task->cgroups->dfl_cgrp);
}

static __attribute__((always_inline)) int on_root(struct file *file)
{
	return file->f_inode->i_sb->s_dev == ROOT_DEVICE;
}

// What the current process was started from.
static __attribute__((always_inline)) struct inode *executable(void)
{
	struct mm_struct *memory = get_current_task_btf()->mm;
	if (!memory || !memory->exe_file)
		return 0;
	return memory->exe_file->f_inode;
}

// runc on behalf of containerd: below its service, or below the slice that it has put the container's first process into
// already. Anybody can start runc, and have it execute a hook; but not there.
static __attribute__((always_inline)) int is_runc(void)
{
	struct inode *inode = executable();
	if (!inode || !RUNC_INODE || inode->i_ino != RUNC_INODE || inode->i_sb->s_dev != ROOT_DEVICE)
		return 0;
	struct cgroup *group = get_current_task_btf()->cgroups->dfl_cgrp;
	return in_containerd(group) || in_slice_of_containers(group);
}

static __attribute__((always_inline)) int may_map(u64 inode, u32 device)
{
	return device == ROOT_DEVICE || inode == (u64)executable() || in_container() ? 0 : -EACCES;
}

// The last argument of each hook is what the programs before this one said.

SEC("lsm/bprm_check_security")
int guard_execute(u64 *ctx)
{
	struct linux_binprm *program = (void *)ctx[0];
	int before = (int)ctx[1];
	if (before)
		return before;
	return on_root(program->file) || in_container() || is_runc() ? 0 : -EACCES;
}

// Libraries, and what a dynamic loader is told to run. Memory without a file is not judged: just-in-time compilers
// live on it.
//
// The verifier of Linux 6.12 takes the file of this hook for one that is always there and would drop the test for it.
// So the argument is fetched as a plain number, and what it points to through the helper that can fail.
SEC("lsm/mmap_file")
int guard_map(u64 *ctx)
{
	u64 protection = ctx[2];
	int before = (int)ctx[4];
	if (before || !(protection & PROT_EXEC))
		return before;
	struct file *file = 0;
	if (probe_read_kernel(&file, sizeof(file), ctx))
		return -EACCES;
	if (!file)
		return 0;
	struct inode *inode = 0;
	struct super_block *super = 0;
	u32 device = 0;
	if (probe_read_kernel(&inode, sizeof(inode), __builtin_preserve_access_index(&file->f_inode)) ||
	    probe_read_kernel(&super, sizeof(super), __builtin_preserve_access_index(&inode->i_sb)) ||
	    probe_read_kernel(&device, sizeof(device), __builtin_preserve_access_index(&super->s_dev)))
		return -EACCES;
	return may_map((u64)inode, device);
}

// A mapping that becomes executable later.
SEC("lsm/file_mprotect")
int guard_protect(u64 *ctx)
{
	struct vm_area_struct *area = (void *)ctx[0];
	u64 protection = ctx[2];
	int before = (int)ctx[3];
	if (before || !(protection & PROT_EXEC))
		return before;
	struct file *file = area->vm_file;
	if (!file)
		return 0;
	struct inode *inode = file->f_inode;
	return may_map((u64)inode, inode->i_sb->s_dev);
}

// Rule 3 believes what a process says that it was started from, so outside containers nobody says it anew.
// "No such call" is how this hook leaves the rest to the kernel.
SEC("lsm/task_prctl")
int guard_prctl(u64 *ctx)
{
	int option = (int)ctx[0];
	u64 what = ctx[1];
	if (option == PR_SET_MM && (what == PR_SET_MM_EXE_FILE || what == PR_SET_MM_MAP) && !in_container())
		return -EPERM;
	return -ENOSYS;
}

// Rule 4: a file that the kernel reads for itself: module, firmware, policy.
SEC("lsm/kernel_read_file")
int guard_kernel_read(u64 *ctx)
{
	struct file *file = (void *)ctx[0];
	int before = (int)ctx[3];
	if (before)
		return before;
	return file && on_root(file) ? 0 : -EACCES;
}

// Rule 4: the same, but from memory, where it comes from nowhere.
SEC("lsm/kernel_load_data")
int guard_kernel_load(u64 *ctx)
{
	int before = (int)ctx[2];
	return before ? before : -EACCES;
}

// Rule 5.

SEC("lsm/inode_unlink")
int guard_unlink(u64 *ctx)
{
	struct inode *directory = (void *)ctx[0];
	int before = (int)ctx[2];
	if (before)
		return before;
	return directory->i_sb->s_dev == PIN_DEVICE ? -EPERM : 0;
}

SEC("lsm/inode_rename")
int guard_rename(u64 *ctx)
{
	struct inode *from = (void *)ctx[0];
	int before = (int)ctx[4];
	if (before)
		return before;
	return from->i_sb->s_dev == PIN_DEVICE ? -EPERM : 0;
}

SEC("lsm/sb_umount")
int guard_unmount(u64 *ctx)
{
	struct vfsmount *mount = (void *)ctx[0];
	int before = (int)ctx[2];
	if (before)
		return before;
	return mount->mnt_sb->s_dev == PIN_DEVICE ? -EPERM : 0;
}

// Some of the helpers are for programs under the GPL only.
SEC("license")
const char _license[] = "Dual MIT/GPL";
