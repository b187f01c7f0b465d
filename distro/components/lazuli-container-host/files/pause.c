// The first process of every pod: it holds the pod's namespaces open, waits for processes that nobody else waits for,
// and ends when it is told to.
//
// It is linked with no library: three system calls of x86-64, by number (arch/x86/entry/syscalls/syscall_64.tbl).

enum { SYS_rt_sigprocmask = 14, SYS_exit = 60, SYS_wait4 = 61, SYS_rt_sigtimedwait = 128 };
enum { SIG_BLOCK = 0, SIGINT = 2, SIGTERM = 15, SIGCHLD = 17, WNOHANG = 1 };

static long call(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return result;
}

void _start(void)
{
	// Signals to the first process of a namespace are dropped unless it takes them; blocked, they wait for us.
	unsigned long signals = 1UL << (SIGINT - 1) | 1UL << (SIGTERM - 1) | 1UL << (SIGCHLD - 1);
	call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&signals, 0, sizeof(signals));
	for (;;) {
		long signal = call(SYS_rt_sigtimedwait, (long)&signals, 0, 0, sizeof(signals));
		if (signal == SIGINT || signal == SIGTERM)
			call(SYS_exit, 0, 0, 0, 0);
		while (call(SYS_wait4, -1, 0, WNOHANG, 0) > 0)
			;
	}
}
