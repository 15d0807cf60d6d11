#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>
#include "agent.h"

#define MAX_EXECS 80
#define MAX_DIALED 32
#define MAX_ATTACHED 16 /* of them: probes and commands always find room */

/*
 * A command in a container, or a client of the container's app itself: then there is no process, and no output. Or a
 * connection to a port: then `out` is its socket, for both directions.
 */
struct session {
	uint32_t id; /* of the request; 0: free */
	char app[MAX_NAME + 1]; /* the container whose app it is; empty: a command */
	pid_t pid;
	int in, out, err, status, code; /* with a tty `in` is -1 and stdin goes to `out` */
	bool running, reaped, tty, eof, writes, dialed, shut;
	uint16_t port;
	int family;
	uint32_t credit;
	size_t status_bytes, in_start, in_bytes;
	char status_text[512];
	uint8_t input[EXEC_STDIN_WINDOW];
};
static struct session sessions[MAX_EXECS];

static struct session *find(uint32_t id)
{
	for (size_t i = 0; i < MAX_EXECS; i++)
		if (sessions[i].id == id) return &sessions[i];
	return NULL;
}

static void close_fd(int *fd)
{
	if (*fd >= 0) close(*fd);
	*fd = -1;
}

static void release(struct session *s)
{
	close_fd(&s->in);
	close_fd(&s->out);
	close_fd(&s->err);
	close_fd(&s->status);
	s->id = 0;
}

#ifndef AGENT_TEST
/* A terminal of the container's own devpts. Its root may hold anything by that name: only a real ptmx will do. */
static bool open_terminal(pid_t pid, int *master, int *slave)
{
	char path[64];
	struct stat node;
	struct open_how how = { .flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS };
	snprintf(path, sizeof path, "/proc/%d/root", pid);
	int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*master = root < 0 ? -1 : (int)syscall(SYS_openat2, root, "dev/pts/ptmx", &how, sizeof how);
	if (root >= 0) close(root);
	if (*master < 0 || fstat(*master, &node) != 0 || !S_ISCHR(node.st_mode) || node.st_rdev != makedev(5, 2) ||
	    ioctl(*master, TIOCSPTLCK, &(int){ 0 }) != 0) return fail("failed", errno, "terminal");
	*slave = ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return *slave >= 0 || fail("failed", errno, "terminal");
}
#else
static bool open_terminal(pid_t pid, int *master, int *slave) { (void)pid; (void)master; (void)slave; return fail("failed", ENOTTY, "terminal"); }
#endif

static void resize(const struct session *s, uint32_t columns, uint32_t rows)
{
	struct winsize size = { .ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows };
	if (columns == 0 || rows == 0) return;
	if (s->app[0] != 0) container_resize(s->app, columns, rows);
	else if (s->tty && s->out >= 0) ioctl(s->out, TIOCSWINSZ, &size);
}

static bool launch(struct session *s, struct child *child)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 }, status[2] = { -1, -1 };
	pid_t target;
	bool fine = pipe2(status, O_CLOEXEC) == 0 || fail("limit", errno, "pipes");
	if (fine && spec.tty) {
		fine = container_pid(spec.container, &target) && open_terminal(target, &out[0], &out[1]);
		child->tty = child->in = child->err = out[1];
	} else if (fine) {
		fine = pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0 && (!spec.stdin_wanted || pipe2(in, O_CLOEXEC) == 0);
		if (!fine) fail("limit", errno, "pipes");
		if (!spec.stdin_wanted) in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		child->in = in[0];
		child->err = err[1];
	}
	child->out = out[1];
	child->status = status[1];
	s->in = in[1];
	s->out = out[0];
	s->err = err[0];
	s->status = status[0];
	resize(s, spec.columns, spec.rows);
	if (fine) s->pid = spawn(child, 0, child->pidfd);
	if (fine && s->pid <= 0) fine = fail("failed", errno, "clone");
	int ours[] = { s->status, s->out, s->err, s->in };
	for (size_t i = 0; fine && i < 4; i++) {
		if (ours[i] < 0) continue;
		fcntl(ours[i], F_SETFL, O_NONBLOCK);
		fine = watch(ours[i], i == 3 ? EPOLLOUT : EPOLLIN | EPOLLOUT);
	}
	int theirs[] = { in[0], out[1], err[1], status[1] };
	for (size_t i = 0; i < 4; i++) close_fd(&theirs[i]);
	return fine;
}

bool exec_start(uint32_t id)
{
	struct child child = { .go = -1, .tty = -1, .terminal = -1, .pidfd = -1, .cgroup = -1 };
	struct session *s = find(0);
	if (find(id) != NULL) return fail("exists", 0, "an exec has this id");
	if (s == NULL) return fail("limit", 0, "more than %d execs at once", MAX_EXECS);
	bool fine = container_enter(spec.container, &child.pidfd, &child.cgroup);
	if (fine) {
		*s = (struct session){ .id = id, .in = -1, .out = -1, .err = -1, .status = -1, .tty = spec.tty, .credit = spec.credit };
		fine = launch(s, &child);
		if (!fine && s->pid > 0) kill(s->pid, SIGKILL);
		if (!fine) release(s);
	}
	close_fd(&child.pidfd);
	close_fd(&child.cgroup);
	return fine;
}

bool attach_start(uint32_t id, struct fields f)
{
	struct session *s = find(0);
	const char *key, *value, *name;
	bool writes = false;
	size_t attached = 0;
	if (!read_name(f, "container", &name)) return false;
	while (next_field(&f, &key, &value))
		if (strcmp(key, "stdin") == 0 && !parse_bool(value, &writes)) return false;
	for (size_t i = 0; i < MAX_EXECS; i++) attached += sessions[i].id != 0 && sessions[i].app[0] != 0;
	if (find(id) != NULL) return fail("exists", 0, "a session has this id");
	if (s == NULL || attached == MAX_ATTACHED) return fail("limit", 0, "more than %d clients at once", MAX_ATTACHED);
	if (!container_runs(name)) return false;
	*s = (struct session){ .id = id, .in = -1, .out = -1, .err = -1, .status = -1, .running = true, .writes = writes };
	strcpy(s->app, name);
	return true;
}

/* Begins to connect; how that ends shows when the socket can be written to. */
static bool dial(struct session *s, int family)
{
	struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(s->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	close_fd(&s->out);
	s->family = family;
	s->out = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->out < 0 || !watch(s->out, EPOLLIN | EPOLLOUT)) return false;
	int done = family == AF_INET ? connect(s->out, (struct sockaddr *)&to4, sizeof to4) : connect(s->out, (struct sockaddr *)&to6, sizeof to6);
	return done == 0 || errno == EINPROGRESS;
}

bool dial_start(uint32_t id, uint16_t port, uint32_t credit)
{
	struct session *s = find(0);
	size_t dialed = 0;
	for (size_t i = 0; i < MAX_EXECS; i++) dialed += sessions[i].id != 0 && sessions[i].dialed;
	if (port == 0) return fail("invalid", 0, "there is no port 0");
	if (find(id) != NULL) return fail("exists", 0, "a session has this id");
	if (s == NULL || dialed == MAX_DIALED) return fail("limit", 0, "more than %d connections at once", MAX_DIALED);
	*s = (struct session){ .id = id, .in = -1, .out = -1, .err = -1, .status = -1, .dialed = true, .port = port, .credit = credit };
	if (dial(s, AF_INET) || dial(s, AF_INET6)) return true;
	fail("failed", errno, "cannot connect");
	release(s);
	return false;
}

static void dial_step(struct session *s)
{
	struct pollfd ready = { .fd = s->out, .events = POLLOUT };
	int error = 0;
	socklen_t bytes = sizeof error;
	if (poll(&ready, 1, 0) != 1) return;
	if (getsockopt(s->out, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0) error = errno;
	if (error == 0) {
		s->running = true;
		out_begin();
		out_send(OK, s->id);
	} else if (s->family != AF_INET || !dial(s, AF_INET6)) {
		fail_reset();
		fail("failed", error, "cannot connect");
		send_error(s->id);
		release(s);
		fail_reset();
	}
}

static bool write_input(struct session *s)
{
	bool terminal;
	int fd = s->app[0] != 0 ? container_stdin(s->app, &terminal) : s->tty || s->dialed ? s->out : s->in;
	size_t taken = 0;
	while (s->in_bytes > 0) {
		ssize_t n = fd < 0 || s->shut ? (ssize_t)s->in_bytes : write(fd, s->input + s->in_start, s->in_bytes);
		if (n < 0 && errno == EAGAIN) break;
		if (n <= 0) n = (ssize_t)s->in_bytes; /* nobody reads it any more */
		s->in_start += (size_t)n;
		s->in_bytes -= (size_t)n;
		taken += (size_t)n;
	}
	if (s->in_bytes == 0) s->in_start = 0;
	if (s->in_bytes == 0 && s->eof) {
		close_fd(&s->in);
		if (s->writes) container_stdin_left(s->app);
		if (s->dialed && !s->shut && s->out >= 0) shutdown(s->out, SHUT_WR);
		s->shut = s->dialed;
	}
	if (taken > 0) {
		out_begin();
		out_field("bytes", "%zu", taken);
		out_send(EXEC_STDIN_CREDIT, s->id);
	}
	return taken > 0;
}

static void end_session(struct session *s)
{
	out_begin();
	out_field("exit-code", "%d", s->code);
	out_send(EXEC_EXIT, s->id);
	release(s);
}

/* What it has sent before is for the app, as far as there is room for it. */
static void let_go(struct session *s)
{
	write_input(s);
	if (s->writes) container_stdin_left(s->app);
	end_session(s);
}

bool exec_stdin(uint32_t id, const void *data, size_t bytes, bool eof)
{
	struct session *s = find(id);
	if (id == 0 || s == NULL || s->eof) return true; /* it has ended meanwhile */
	if (s->app[0] != 0 && !s->writes) return fail("invalid", 0, "input of a client that only listens");
	memmove(s->input, s->input + s->in_start, s->in_bytes);
	s->in_start = 0;
	if (bytes > sizeof s->input - s->in_bytes) return fail("limit", 0, "more stdin than was allowed");
	memcpy(s->input + s->in_bytes, data, bytes);
	s->in_bytes += bytes;
	s->eof = eof;
	if (eof && s->tty && s->in_bytes < sizeof s->input) s->input[s->in_bytes++] = 4; /* ^D: a terminal knows no other end */
	return true;
}

bool exec_resize(uint32_t id, struct fields f)
{
	struct session *s = find(id);
	const char *key, *value;
	uint32_t columns = 0, rows = 0;
	while (next_field(&f, &key, &value)) {
		if (strcmp(key, "columns") == 0 && !parse_u32(value, 10, 65535, &columns)) return false;
		if (strcmp(key, "rows") == 0 && !parse_u32(value, 10, 65535, &rows)) return false;
	}
	if (id != 0 && s != NULL) resize(s, columns, rows);
	return true;
}

bool exec_signal(uint32_t id, uint32_t number)
{
	struct session *s = find(id);
	if (number == 0 || number > 64) return fail("invalid", 0, "there is no signal %u", number);
	if (id != 0 && s != NULL && s->app[0] != 0) let_go(s);
	else if (id != 0 && s != NULL && s->dialed) end_session(s);
	else if (id != 0 && s != NULL && !s->reaped) kill(number == SIGKILL ? -s->pid : s->pid, (int)number);
	return true;
}

bool exec_credit(uint32_t id, uint32_t bytes)
{
	struct session *s = find(id);
	if (id != 0 && s != NULL) s->credit = bytes > MAX_MESSAGE - s->credit ? MAX_MESSAGE : s->credit + bytes;
	return true;
}

bool exec_reaped(pid_t pid, int code)
{
	for (size_t i = 0; i < MAX_EXECS; i++) {
		if (sessions[i].id == 0 || sessions[i].app[0] != 0 || sessions[i].dialed || sessions[i].pid != pid || sessions[i].reaped) continue;
		sessions[i].reaped = true;
		sessions[i].code = code;
		return true;
	}
	return false;
}

/* True: more may come at once. */
static bool forward(struct session *s, int *fd, uint16_t flags)
{
	static uint8_t buffer[32768];
	size_t room = channel_room();
	if (*fd < 0) return false;
	if (room > s->credit) room = s->credit;
	if (room > sizeof buffer) room = sizeof buffer;
	if (room == 0) return false;
	ssize_t n = read(*fd, buffer, room);
	if (n > 0) {
		s->credit -= (uint32_t)n;
		send_frame(EXEC_OUTPUT, flags, s->id, buffer, (size_t)n);
		return true;
	}
	if (n < 0 && errno == EAGAIN && !s->reaped) return false;
	close_fd(fd); /* ended; or the command has, and what it left behind does not count */
	return false;
}

static void read_status(struct session *s)
{
	ssize_t n;
	while ((n = read(s->status, s->status_text + s->status_bytes, sizeof s->status_text - 1 - s->status_bytes)) > 0) {
		s->status_bytes += (size_t)n;
		if (s->status_bytes == sizeof s->status_text - 1) s->status_bytes = 0;
	}
	if (n < 0) return;
	close_fd(&s->status);
	s->status_text[s->status_bytes] = 0;
	unsigned error = 0;
	int skip = 0;
	if (sscanf(s->status_text, "E%u %n", &error, &skip) < 1) {
		s->running = true;
		out_begin();
		out_send(OK, s->id);
		return;
	}
	fail_reset();
	fail("failed", (int)(error < 4096 ? error : 0), "%s", s->status_text + skip);
	send_error(s->id);
	release(s);
}

static bool pump(struct session *s)
{
	bool again = false;
	if (s->status >= 0) read_status(s);
	if (s->dialed && !s->running) dial_step(s);
	if (s->id == 0 || !s->running) return false;
	again |= write_input(s);
	if (s->app[0] != 0) {
		if (!container_runs(s->app)) end_session(s);
		fail_reset();
		return again;
	}
	again |= forward(s, &s->out, 0);
	again |= forward(s, &s->err, FLAG_STDERR);
	if ((s->reaped || s->dialed) && s->out < 0 && s->err < 0) {
		end_session(s);
		return false;
	}
	return again;
}

bool execs_pump(void)
{
	bool again = false;
	for (size_t i = 0; i < MAX_EXECS; i++)
		if (sessions[i].id != 0) again |= pump(&sessions[i]);
	return again;
}

void execs_reset(void)
{
	for (size_t i = 0; i < MAX_EXECS; i++) {
		struct session *s = &sessions[i];
		if (s->id == 0) continue;
		if (s->app[0] != 0) {
			let_go(s);
			continue;
		}
		if (!s->reaped && !s->dialed) kill(-s->pid, SIGKILL);
		release(s);
	}
}
