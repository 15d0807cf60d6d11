/*
 * The agent as a plain process for the sanitizers and the fuzzer: everything that parses and keeps state is the real
 * code; what would touch the machine is here, harmless. Compiled with -DAGENT_TEST, without child.c, rootfs.c,
 * rights.c and cgroup.c. Mounts and interfaces are its own.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent.h"

void test_prepare(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) != 0) abort();
	if (mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) != 0 || mount("tmpfs", "/run", "tmpfs", 0, "size=64m") != 0) abort();
	/* An interface for net.c, and a sysfs that shows it. */
	if (system("ip link add eth0 type veth peer name eth1") != 0 || mount("sysfs", "/sys", "sysfs", 0, NULL) != 0) abort();
	static const char *directories[] = { RUN, RUN "/images", RUN "/volumes", RUN "/containers", RUN "/scratch", RUN "/shm" };
	for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) mkdir(directories[i], 0755);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	fcntl(3, F_SETFL, O_NONBLOCK);
}

/* Port 0 takes everything, port 1 nothing, others do not exist. */
int open_port(const char *name)
{
	static int full[2];
	if (name[11] == '0' && name[12] == 0) return fcntl(4, F_DUPFD_CLOEXEC, 5);
	if (name[11] != '1' || name[12] != 0 || pipe2(full, O_NONBLOCK | O_CLOEXEC) != 0) return -1;
	static char rubbish[65536];
	while (write(full[1], rubbish, sizeof rubbish) > 0) {}
	return full[1];
}

/* uid: its exit code; gid: how many lines it writes; a cwd of /fail: it does not start; argv "w…": it goes on, "c…": it copies its input. */
void run_child(const struct child *child)
{
	char go;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (spec.cwd[1] == 'f') {
		(void)!write(child->status, "E2 cannot run", 13);
		_exit(128);
	}
	int terminal = child->terminal < 0 ? -1 : posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (terminal >= 0 && dup3(terminal, child->terminal, O_CLOEXEC) < 0) _exit(127);
	if (child->go >= 0 && (write(child->status, "R", 1) != 1 || read(child->go, &go, 1) != 1)) _exit(127);
	close(child->status);
	for (uint32_t i = 0; i < spec.gid % 4096; i++) (void)!write(i & 1 ? child->err : child->out, "a line of output\n", 17);
	char input[4096];
	if (dup2(child->in, 0) < 0 || dup2(child->out, 1) < 0 || close_range(3, ~0u, 0) != 0) _exit(127);
	for (ssize_t n; spec.argv[0][0] == 'c' && (n = read(0, input, sizeof input)) > 0;) (void)!write(1, input, (size_t)n);
	while (spec.argv[0][0] == 'w') pause();
	_exit((int)(spec.uid & 255));
}

bool cgroup_create(const char *id) { return id[0] != 0; }
int cgroup_open(const char *id) { (void)id; return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }
void cgroup_kill(const char *id) { (void)id; }
bool cgroup_remove(const char *id) { (void)id; return true; }
bool cgroup_populated(const char *id) { (void)id; return false; }
bool cgroup_oom(const char *id) { return id[0] == 'o'; }
bool cgroup_stats(const char *id, struct cgroup_stats *stats)
{
	(void)id;
	*stats = (struct cgroup_stats){ .cpu_ns = 1, .processes = 1, .usage = 1, .working_set = 1 };
	return true;
}
