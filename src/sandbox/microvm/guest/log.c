#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include "agent.h"

#define LOG_PORTS 64
#define PREFIX_BYTES 64 /* "2026-01-31T12:00:00.123456789Z stdout F " has 40 */

/* What is on its way to a port; when it is full, the apps that write there wait. */
static struct { int fd; bool open; size_t start, end; char data[65536]; } ports[LOG_PORTS];

bool log_port_open(uint32_t port)
{
	char name[32];
	if (port >= LOG_PORTS) return fail("invalid", 0, "there is no log port %u", port);
	if (ports[port].open) return true;
	snprintf(name, sizeof name, "gantry.log.%u", port);
	int fd = open_port(name);
	if (fd < 0) return fail("failed", errno, "log port %u", port);
	ports[port].fd = fd;
	return ports[port].open = watch(fd, EPOLLOUT);
}

bool log_empty(uint32_t port) { return ports[port].end == ports[port].start; }

bool log_flush(void)
{
	bool progress = false;
	for (size_t i = 0; i < LOG_PORTS; i++) {
		while (ports[i].start < ports[i].end) {
			ssize_t n = write(ports[i].fd, ports[i].data + ports[i].start, ports[i].end - ports[i].start);
			if (n <= 0) break;
			ports[i].start += (size_t)n;
			progress = true;
		}
		if (ports[i].start == ports[i].end) ports[i].start = ports[i].end = 0;
	}
	return progress;
}

/* False: no room. */
static bool emit(uint32_t port, const char *text, size_t bytes, bool is_stderr, bool partial)
{
	size_t need = PREFIX_BYTES + bytes + 1;
	if (ports[port].end + need > sizeof ports[port].data) {
		memmove(ports[port].data, ports[port].data + ports[port].start, ports[port].end - ports[port].start);
		ports[port].end -= ports[port].start;
		ports[port].start = 0;
		if (ports[port].end + need > sizeof ports[port].data) return false;
	}
	uint64_t now = now_ns();
	time_t seconds = (time_t)(now / 1000000000u);
	struct tm t;
	gmtime_r(&seconds, &t);
	char *p = ports[port].data + ports[port].end;
	size_t n = strftime(p, PREFIX_BYTES, "%Y-%m-%dT%H:%M:%S", &t);
	n += (size_t)snprintf(p + n, PREFIX_BYTES - n, ".%09uZ %s %c ", (unsigned)(now % 1000000000u), is_stderr ? "stderr" : "stdout",
			      partial ? 'P' : 'F');
	memcpy(p + n, text, bytes);
	p[n + bytes] = '\n';
	ports[port].end += n + bytes + 1;
	return true;
}

/* Whole lines go out; a piece without end when the buffer is full, the app pauses (P) or nothing more will come (F). */
static bool emit_lines(struct stream *s, uint32_t port, bool pause)
{
	size_t at = 0;
	bool room = true;
	while (room && at < s->bytes) {
		char *newline = memchr(s->data + at, '\n', s->bytes - at);
		size_t n = newline == NULL ? s->bytes - at : (size_t)(newline - (s->data + at));
		bool full = at == 0 && s->bytes == sizeof s->data;
		if (newline == NULL && !full && !pause && !s->ended) break;
		room = emit(port, s->data + at, n, s->is_stderr, newline == NULL && !s->ended);
		if (room) at += n + (newline == NULL ? 0 : 1);
	}
	s->bytes -= at;
	memmove(s->data, s->data + at, s->bytes);
	return room;
}

bool log_step(struct stream *s, uint32_t port, bool final)
{
	for (int i = 0; i < 8; i++) {
		if (!emit_lines(s, port, false)) return false;
		if (s->fd < 0) return false;
		ssize_t n = read(s->fd, s->data + s->bytes, sizeof s->data - s->bytes);
		if (n > 0) {
			s->bytes += (size_t)n;
			continue;
		}
		if (n < 0 && !final) {
			if (errno == EINTR) return true;
			emit_lines(s, port, true); /* a prompt is there to be seen */
			return false;
		}
		close(s->fd);
		s->fd = -1;
		s->ended = true;
	}
	return true;
}
