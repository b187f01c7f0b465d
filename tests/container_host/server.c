// What the test runs in a container: answers every connection on port 8080 with one line, and says so on standard output.
// Linked with no library, so that its image is this one file.

enum { SYS_read, SYS_write, SYS_close = 3, SYS_socket = 41, SYS_accept = 43, SYS_bind = 49, SYS_listen, SYS_exit = 60 };

static long call(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static const char answer[] = "HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\ncontained\n";
static const char ready[] = "listening\n", served[] = "served\n";

void _start(void)
{
	struct {
		unsigned short family, port;
		unsigned int address;
		unsigned char rest[8];
	} any = { 2 /* AF_INET */, 0x901f /* 8080, big-endian */, 0, { 0 } };
	char request[512];
	long listener = call(SYS_socket, 2, 1 /* SOCK_STREAM */, 0);
	if (call(SYS_bind, listener, (long)&any, sizeof(any)) || call(SYS_listen, listener, 16, 0))
		call(SYS_exit, 1, 0, 0);
	call(SYS_write, 1, (long)ready, sizeof(ready) - 1);
	for (;;) {
		long peer = call(SYS_accept, listener, 0, 0);
		if (peer < 0)
			continue;
		call(SYS_read, peer, (long)request, sizeof(request));
		call(SYS_write, peer, (long)answer, sizeof(answer) - 1);
		call(SYS_close, peer, 0, 0);
		call(SYS_write, 1, (long)served, sizeof(served) - 1);
	}
}
