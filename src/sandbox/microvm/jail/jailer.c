/*
 * Starts QEMU with as little as it needs: a network namespace, a view of the file system and a process tree of its own,
 * a user id that nobody else has, no capability, no environment, and only the descriptors that it is given. Then it
 * waits for its end (see attend.c). It is run in the VM's directory; where it listens is there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include "jailer.h"

_Noreturn void die(const char *what, const char *name)
{
	fprintf(stderr, "gantry-jailer: %s %s: %s\n", what, name, strerror(errno));
	_exit(125);
}

static const char *value(char ***arg)
{
	if (*++*arg == NULL) {
		fprintf(stderr, "gantry-jailer: an option lacks its value\n");
		_exit(125);
	}
	return **arg;
}

static unsigned number(char ***arg)
{
	char *end;
	const char *text = value(arg);
	unsigned long n = strtoul(text, &end, 10);
	errno = EINVAL;
	if (*text == 0 || *end != 0 || n > 0x7fffffff) die("not a number:", text);
	return (unsigned)n;
}

static void add_entry(struct options *o, int kind, char ***arg)
{
	errno = E2BIG;
	if (o->view_count == sizeof o->view / sizeof *o->view) die("too many", "mounts");
	const char *source = value(arg);
	o->view[o->view_count++] = (struct entry){ .kind = kind, .source = source, .target = value(arg) };
}

static void parse(struct options *o, char **arg)
{
	for (arg++; *arg != NULL && strcmp(*arg, "--") != 0; arg++) {
		const char *name = *arg;
		if (strcmp(name, "--netns") == 0) o->netns = value(&arg);
		else if (strcmp(name, "--tap") == 0) o->tap = value(&arg);
		else if (strcmp(name, "--uid") == 0) o->uid = number(&arg);
		else if (strcmp(name, "--pass") == 0) o->passed = number(&arg);
		else if (strcmp(name, "--cgroup") == 0) o->cgroup = value(&arg);
		else if (strcmp(name, "--ro") == 0) add_entry(o, READ_ONLY, &arg);
		else if (strcmp(name, "--rw") == 0) add_entry(o, WRITABLE, &arg);
		else if (strcmp(name, "--dev") == 0) add_entry(o, DEVICE, &arg);
		else if (strcmp(name, "--node") == 0) add_entry(o, NODE, &arg);
		else if (strcmp(name, "--link") == 0) add_entry(o, LINK, &arg);
		else if (strcmp(name, "--tasks") == 0 && o->tasks_count < sizeof o->tasks / sizeof *o->tasks)
			o->tasks[o->tasks_count++] = value(&arg);
		else {
			errno = EINVAL;
			die("cannot understand", name);
		}
	}
	o->command = *arg == NULL ? arg : arg + 1;
	errno = EINVAL;
	if (o->command[0] == NULL || o->tap == NULL || o->uid == 0 || o->passed > AGENT_FD - 3) die("cannot understand", "what to do");
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) < 0) die("cannot write to", path);
	close(fd);
}

static int listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
	unlink(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 8) < 0) die("cannot listen at", name);
	return fd;
}

/* The tap is made when it is not there. */
static int open_tap(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) die("cannot open tap", name);
	return fd;
}

static void limit(int resource, rlim_t most)
{
	struct rlimit now;
	if (getrlimit(resource, &now) < 0) die("cannot read", "a limit");
	if (now.rlim_max != RLIM_INFINITY && now.rlim_max < most) most = now.rlim_max; /* raising takes a privilege */
	now.rlim_cur = now.rlim_max = most;
	if (setrlimit(resource, &now) < 0) die("cannot set", "a limit");
}

static void limits(void)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_MEMLOCK, 0);
	limit(RLIMIT_MSGQUEUE, 0);
	limit(RLIMIT_NOFILE, 256);
	limit(RLIMIT_NPROC, 256); /* threads of this uid: disks are read by up to 64 */
}

static void become(uid_t uid)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) die("cannot drop", "a capability");
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		die("cannot change to", "the VM's user id");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) die("cannot refuse", "new privileges");
	/* Without us nobody would see to it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) die("cannot ask for", "a signal");
}

/* What is left to do takes root's files, and QEMU's end when we end (the kernel sends that signal in our name). */
static void keep_two_capabilities(void)
{
	const __u32 kept = 1u << CAP_DAC_OVERRIDE | 1u << CAP_KILL;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .permitted = kept, .effective = kept } };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capset, &header, data) < 0) die("cannot drop", "capabilities");
}

static void move(int from, int to)
{
	if (dup2(from, to) < 0) die("cannot pass on", "a descriptor"); /* without FD_CLOEXEC */
}

struct inside {
	int netns, console, log, monitor, agent, qmp;
};

_Noreturn static void run(const struct options *o, const struct inside *in)
{
	static char *const nothing[] = { NULL };
	move(in->log, 1);
	move(in->log, 2);
	if (in->netns >= 0 ? setns(in->netns, CLONE_NEWNET) < 0 : unshare(CLONE_NEWNET) < 0) die("cannot enter the network", "");
	int tap = open_tap(o->tap);
	enter_view(o->view, o->view_count, o->uid);
	move(in->agent, AGENT_FD);
	move(in->qmp, QMP_FD);
	move(in->monitor, MONITOR_FD);
	move(in->console, CONSOLE_FD);
	move(tap, TAP_FD);
	if (close_range(3 + o->passed, AGENT_FD - 1, 0) < 0 || close_range(TAP_FD + 1, ~0u, 0) < 0) die("cannot close", "descriptors");
	limits();
	become(o->uid);
	/* Huge pages are cleared whole, though most of a code cache stays empty: that costs each VM time and 3 MiB. */
	if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) < 0) die("cannot refuse", "huge pages");
	execve(o->command[0], o->command, nothing);
	die("cannot run", o->command[0]);
}

/* Above all the numbers that mean something. */
static int out_of_the_way(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, TAP_FD + 1);
	if (high < 0) die("cannot move", "a descriptor");
	close(fd);
	return high;
}

int main(int argc, char **argv)
{
	static struct options o;
	(void)argc;
	parse(&o, argv);
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	/* A lone thread that moves itself: the kernel need not wait for anybody, as it does with cgroup.procs. */
	for (size_t i = 0; i < o.tasks_count; i++) put(o.tasks[i], "0");

	int console[2], log[2], monitor[2];
	if (pipe2(console, O_CLOEXEC) < 0 || pipe2(log, O_CLOEXEC) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, monitor) < 0)
		die("cannot make", "pipes");
	struct inside in = {
		.netns = -1,
		.console = out_of_the_way(console[1]),
		.log = out_of_the_way(log[1]),
		.monitor = out_of_the_way(monitor[1]),
		.agent = out_of_the_way(listen_at("agent.sock")),
		.qmp = out_of_the_way(listen_at("qmp.sock")),
	};
	if (o.netns != NULL) {
		int netns = open(o.netns, O_RDONLY | O_CLOEXEC);
		if (netns < 0) die("cannot open", o.netns);
		in.netns = out_of_the_way(netns);
	}
	struct ends ends = { .console = console[0], .log = log[0], .monitor = monitor[0], .control = listen_at("jailer.sock") };

	int cgroup = o.cgroup == NULL ? -1 : open(o.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (o.cgroup != NULL && cgroup < 0) die("cannot open", o.cgroup);
	struct clone_args clone = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD | (cgroup < 0 ? 0 : CLONE_INTO_CGROUP),
		.pidfd = (__u64)(unsigned long)&ends.process,
		.exit_signal = SIGCHLD,
		.cgroup = cgroup < 0 ? 0 : (__u64)cgroup,
	};
	long pid = syscall(SYS_clone3, &clone, sizeof clone);
	if (pid < 0) die("cannot make", "a process");
	if (pid == 0) run(&o, &in);

	close(in.console);
	close(in.log);
	close(in.monitor);
	close(in.agent);
	close(in.qmp);
	if (in.netns >= 0) close(in.netns);
	close_range(3, 2 + o.passed, 0);
	char text[32];
	snprintf(text, sizeof text, "%ld\n", pid);
	put("qemu.pid", text);
	if (o.cgroup != NULL) {
		char procs[4096];
		snprintf(procs, sizeof procs, "%s/cgroup.procs", o.cgroup);
		put(procs, "0"); /* this one takes its time, so QEMU has gone ahead */
	}
	keep_two_capabilities();
	return attend(&ends);
}
