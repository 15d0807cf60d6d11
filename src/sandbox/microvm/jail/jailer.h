#ifndef JAILER_H
#define JAILER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What QEMU finds open, beside 0 to 2 and what the daemon passes on from 3. The same numbers are in qemu/args.ts. */
enum { AGENT_FD = 20, QMP_FD = 21, MONITOR_FD = 22, CONSOLE_FD = 23, TAP_FD = 24 };

/* One mount, device or link in QEMU's view of the file system. */
struct entry {
	enum { READ_ONLY, WRITABLE, DEVICE, NODE, LINK } kind; /* NODE: a device of its own, which it may use alone */
	const char *source, *target;
};

struct options {
	const char *netns; /* NULL: a new one */
	const char *tap;
	const char *tasks[32]; /* of cgroup v1 */
	const char *cgroup;    /* a directory of cgroup v2 */
	struct entry view[64];
	size_t tasks_count, view_count;
	uid_t uid;
	unsigned passed;
	char **command;
};

/* Our own ends of what QEMU writes to and reads from. */
struct ends {
	int console, log, monitor, control, process;
};

/* Prints what failed with errno's words and ends the process. */
_Noreturn void die(const char *what, const char *name);

/* Makes QEMU's view in ./view and changes into it; nothing of the host's tree is left then. */
void enter_view(const struct entry *entries, size_t count, uid_t uid);

/* Keeps the files bounded and answers the daemon, until QEMU ends. Returns its exit code; 128+n for a signal. */
int attend(const struct ends *ends);

#endif
