#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "jailer.h"

/* A guest may print without end: a file that has grown to FILE_BYTES starts again with its last KEPT_BYTES. */
#define FILE_BYTES 65536
#define KEPT_BYTES 16384
#define LINE_BYTES 65536 /* of QMP */

struct record {
	int from, to;
	size_t size, kept;
	char tail[KEPT_BYTES];
};

static struct record console, said;

static void keep(struct record *r, const char *data, size_t n)
{
	if (r->size + n > FILE_BYTES && ftruncate(r->to, 0) == 0) {
		if (write(r->to, r->tail, r->kept) < 0) r->kept = 0; /* a full disk: what comes next may fit */
		r->size = r->kept;
	}
	ssize_t written = write(r->to, data, n);
	if (written > 0) r->size += (size_t)written;
	size_t stays = r->kept + n > KEPT_BYTES ? KEPT_BYTES - n : r->kept;
	memmove(r->tail, r->tail + r->kept - stays, stays);
	memcpy(r->tail + stays, data, n);
	r->kept = stays + n;
}

/* False: there is nothing to be had now, or ever. */
static bool take(struct record *r)
{
	char data[4096];
	ssize_t n = r->from < 0 ? 0 : read(r->from, data, sizeof data);
	if (n > 0) {
		keep(r, data, (size_t)n);
		return true;
	}
	if (n == 0 && r->from >= 0) {
		close(r->from);
		r->from = -1;
	}
	return false;
}

static void record_in(struct record *r, int from, const char *name)
{
	r->from = from;
	r->to = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r->to < 0 || fcntl(from, F_SETFL, O_NONBLOCK) < 0) die("cannot write", name);
	off_t size = lseek(r->to, 0, SEEK_END);
	r->size = size > 0 ? (size_t)size : 0;
}

/* QMP, as much of it as it takes to pass on a descriptor: QEMU opens no file of the host's itself. */
static struct {
	int fd;
	bool greeted, busy, skip;
	size_t bytes;
	char line[LINE_BYTES];
} monitor;

/* Who wants a file passed on; -1: nobody. */
static int client = -1;
static char request[4500];
static size_t request_bytes;

static void answer(const char *text)
{
	if (client < 0) return;
	if (send(client, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) { /* it has gone: nobody is interested */ }
	close(client);
	client = -1;
	request_bytes = 0;
}

static void refuse(const char *what)
{
	char text[256];
	snprintf(text, sizeof text, "error %s: %s\n", what, strerror(errno));
	answer(text);
}

static bool command(const char *text, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec data = { .iov_base = (char *)(size_t)text, .iov_len = strlen(text) };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(header), &fd, sizeof fd);
	}
	return sendmsg(monitor.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)data.iov_len;
}

static bool starts(const char *line, const char *with) { return strncmp(line, with, strlen(with)) == 0; }

static void monitor_line(const char *line)
{
	if (starts(line, "{\"QMP\"")) {
		monitor.busy = command("{\"execute\":\"qmp_capabilities\"}\n", -1);
	} else if (starts(line, "{\"return\"") || starts(line, "{\"error\"")) {
		monitor.busy = false;
		if (!monitor.greeted) monitor.greeted = true;
		else if (starts(line, "{\"return\"")) answer("ok\n");
		else answer("error QEMU does not take it\n");
	} /* else an event */
}

static void monitor_read(void)
{
	ssize_t n = read(monitor.fd, monitor.line + monitor.bytes, sizeof monitor.line - monitor.bytes);
	if (n <= 0) {
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
		close(monitor.fd);
		monitor.fd = -1;
		errno = EPIPE;
		refuse("QEMU");
		return;
	}
	monitor.bytes += (size_t)n;
	char *start = monitor.line, *end;
	while ((end = memchr(start, '\n', monitor.bytes - (size_t)(start - monitor.line))) != NULL) {
		*end = 0;
		if (!monitor.skip) monitor_line(start);
		monitor.skip = false;
		start = end + 1;
	}
	monitor.bytes -= (size_t)(start - monitor.line);
	memmove(monitor.line, start, monitor.bytes);
	if (monitor.bytes == sizeof monitor.line) { /* nothing that we wait for is that long */
		monitor.bytes = 0;
		monitor.skip = true;
	}
}

/* "read SET PATH" or "append SET PATH" */
static void obey(void)
{
	char text[128];
	unsigned set;
	int path = 0;
	bool append = starts(request, "append ");
	errno = EINVAL;
	if (sscanf(request, append ? "append %u %n" : "read %u %n", &set, &path) != 1 || path == 0) return refuse("request");
	int fd = open(request + path, O_CLOEXEC | O_NOCTTY | (append ? O_WRONLY | O_APPEND | O_CREAT : O_RDONLY), 0640);
	if (fd < 0) return refuse("cannot open it");
	snprintf(text, sizeof text, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":%u}}\n", set);
	monitor.busy = command(text, fd);
	if (!monitor.busy) refuse("cannot reach QEMU");
	close(fd);
}

static void client_read(void)
{
	ssize_t n = read(client, request + request_bytes, sizeof request - 1 - request_bytes);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (n <= 0) {
		answer("");
		return;
	}
	request_bytes += (size_t)n;
	request[request_bytes] = 0;
	char *end = strchr(request, '\n');
	errno = E2BIG;
	if (end == NULL && request_bytes == sizeof request - 1) return refuse("request");
	if (end == NULL) return;
	*end = 0;
	obey();
}

static int ended(int process)
{
	char text[64];
	siginfo_t how = { 0 };
	while (take(&console) || take(&said)) {}
	/* It stays a zombie until what is to be said is said: whoever finds it gone finds that, too. */
	if (waitid(P_PIDFD, (id_t)process, &how, WEXITED | WNOWAIT) < 0) return 125;
	if (how.si_code == CLD_EXITED) return how.si_status;
	int n = snprintf(text, sizeof text, "QEMU was killed by signal %d (%s)\n", how.si_status, strsignal(how.si_status));
	keep(&said, text, (size_t)n);
	return 128 + how.si_status;
}

int attend(const struct ends *ends)
{
	record_in(&console, ends->console, "console.log");
	record_in(&said, ends->log, "qemu.log");
	monitor.fd = ends->monitor;
	for (;;) {
		bool free = monitor.greeted && !monitor.busy && monitor.fd >= 0;
		struct pollfd fds[] = {
			{ ends->process, POLLIN, 0 },
			{ console.from, POLLIN, 0 },
			{ said.from, POLLIN, 0 },
			{ monitor.fd, POLLIN, 0 },
			{ free && client < 0 ? ends->control : -1, POLLIN, 0 },
			{ free ? client : -1, POLLIN, 0 },
		};
		if (poll(fds, sizeof fds / sizeof *fds, -1) < 0) continue;
		if (fds[0].revents) return ended(ends->process);
		if (fds[1].revents) take(&console);
		if (fds[2].revents) take(&said);
		if (fds[3].revents) monitor_read();
		if (fds[4].revents) client = accept4(ends->control, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fds[5].revents && client >= 0) client_read();
	}
}
