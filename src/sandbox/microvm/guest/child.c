#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent.h"

static int status = -1;

void die(const char *format, ...)
{
	char text[400];
	int error = errno, n = snprintf(text, sizeof text, "E%d ", error);
	va_list args;
	va_start(args, format);
	vsnprintf(text + n, sizeof text - (size_t)n, format, args);
	va_end(args);
	/* One write: the agent sees it whole. */
	if (write(status, text, strlen(text)) < 0) _exit(127);
	_exit(128);
}

static void clear_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	for (int s = 1; s < NSIG; s++) signal(s, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The first of the container's own devpts, which is also its console. The agent takes the other end over. */
static void open_terminal(struct child *child)
{
	int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || ioctl(master, TIOCSPTLCK, &(int){ 0 }) != 0) die("terminal");
	child->tty = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	int console = open("/dev/console", O_CREAT | O_WRONLY | O_NOCTTY | O_CLOEXEC, 0600);
	if (child->tty < 0 || console < 0 || close(console) != 0 || dup3(master, child->terminal, O_CLOEXEC) < 0) die("terminal");
	if (mount("/dev/pts/0", "/dev/console", NULL, MS_BIND, NULL) != 0) die("console");
	child->in = child->out = child->err = child->tty;
}

static void set_stdio(const struct child *child)
{
	if (setsid() < 0) die("session");
	if (child->tty >= 0) {
		/* The terminal belongs to the user, as after a login. */
		if (fchown(child->tty, spec.uid, (gid_t)-1) != 0 || ioctl(child->tty, TIOCSCTTY, 0) != 0) die("terminal");
	}
	if (dup2(child->in, 0) < 0 || dup2(child->out, 1) < 0 || dup2(child->err, 2) < 0) die("stdio");
}

/* What is open in the agent is not for it: while it waits for its start it would keep the ends of others' pipes. */
static void close_others(const struct child *child)
{
	const int ours[] = { child->status, child->go, child->terminal };
	for (int from = 3, next; from < INT_MAX; from = next + 1) {
		next = INT_MAX;
		for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
			if (ours[i] >= from && ours[i] < next) next = ours[i];
		if (next > from) close_range((unsigned)from, (unsigned)next - 1, 0);
		if (next == INT_MAX) return;
	}
}

void run_child(const struct child *child)
{
	status = child->status;
	clear_signals();
	/* Before its memory is counted: what cannot be killed would wait for some for ever. */
	char number[16];
	snprintf(number, sizeof number, "%d", spec.oom_adj);
	if (write_text("/proc/self/oom_score_adj", number) != 0) die("oom_score_adj");
	int procs = openat(child->cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (procs < 0 || write(procs, "0", 1) != 1) die("cgroup");
	if (child->pidfd >= 0) {
		if (setns(child->pidfd, CLONE_NEWNS | CLONE_NEWCGROUP) != 0) die("namespaces");
	} else {
		if (unshare(CLONE_NEWCGROUP) != 0) die("cgroup namespace");
		build_root(child);
	}
	umask(022);
	struct child own = *child;
	if (own.terminal >= 0) open_terminal(&own);
	set_stdio(&own);
	close_others(&own);
	if (chdir(spec.cwd) != 0) die("working directory %.200s", spec.cwd);
	set_rights();
	char go;
	if (child->go >= 0) {
		if (write(status, "R", 1) != 1) _exit(127);
		if (read(child->go, &go, 1) != 1) _exit(127);
	}
	environ = (char **)(uintptr_t)spec.env;
	execvp(spec.argv[0], (char **)(uintptr_t)spec.argv);
	die("cannot run \"%.200s\"", spec.argv[0]);
}
