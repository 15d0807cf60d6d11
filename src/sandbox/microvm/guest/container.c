#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "agent.h"

#define MAX_CONTAINERS 64
#define DRAIN_NS 1000000000u /* an exit is told this late at most when its last output finds no room */

enum state { CREATING, CREATED, STARTING, RUNNING, EXITED };
struct container {
	char id[MAX_NAME + 1];
	enum state state;
	pid_t pid;
	int pidfd, go, status, code;
	int in, terminal; /* with a terminal: where the child has it; input goes to out.fd then */
	bool reaped, oom, failed, removing, takes_input, input_once;
	uint32_t log_port, image, create_id, start_id, remove_id, log_id, next_port;
	uint64_t created, started, finished;
	size_t status_bytes;
	char status_text[512];
	struct stream out, err;
};
static struct container containers[MAX_CONTAINERS];
static uint32_t image_users[26];
static int pause_pidfd = -1;

static struct container *find(const char *id)
{
	for (size_t i = 0; i < MAX_CONTAINERS; i++)
		if (containers[i].id[0] != 0 && strcmp(containers[i].id, id) == 0) return &containers[i];
	return NULL;
}

static void close_fd(int *fd)
{
	if (*fd >= 0) close(*fd);
	*fd = -1;
}

#ifndef AGENT_TEST
static bool mount_image(uint32_t disk)
{
	char path[64], device[32];
	if (image_users[disk] > 0) return true;
	snprintf(path, sizeof path, RUN "/images/%u", disk);
	mkdir(path, 0755);
	if (!disk_path(disk, device) || !forget_blocks(device)) return false;
	return mount(device, path, "erofs", MS_RDONLY | MS_NODEV, NULL) == 0 || fail("failed", errno, "image disk %u", disk);
}

static void unmount_image(uint32_t disk)
{
	char path[64];
	snprintf(path, sizeof path, RUN "/images/%u", disk);
	umount2(path, MNT_DETACH);
}
#else
static bool mount_image(uint32_t disk) { return disk < 26; }
static void unmount_image(uint32_t disk) { (void)disk; }
#endif

static void release(struct container *c)
{
	char path[300];
	close_fd(&c->pidfd);
	close_fd(&c->go);
	close_fd(&c->status);
	close_fd(&c->in);
	close_fd(&c->out.fd);
	close_fd(&c->err.fd);
	if (image_users[c->image] > 0 && --image_users[c->image] == 0) unmount_image(c->image);
	snprintf(path, sizeof path, RUN "/containers/%s", c->id);
	remove_tree(AT_FDCWD, path);
	snprintf(path, sizeof path, RUN "/scratch/containers/%s", c->id);
	remove_tree(AT_FDCWD, path);
	memset(c, 0, sizeof *c);
}

pid_t spawn(const struct child *child, unsigned long flags, int pidns)
{
	static int own = -1;
	if (own < 0) own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (pidns >= 0 && setns(pidns, CLONE_NEWPID) != 0) return -1;
	pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) run_child(child);
	int error = errno;
	if (pidns >= 0) setns(own, CLONE_NEWPID);
	errno = error;
	return pid;
}

/* Process 1 of the containers that share a pid namespace: it takes orphans in and does nothing else. */
static bool start_pause(void)
{
	if (pause_pidfd >= 0) return true;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		sigset_t none;
		sigemptyset(&none);
		signal(SIGCHLD, SIG_IGN);
		sigprocmask(SIG_SETMASK, &none, NULL);
		close_range(3, ~0u, 0);
		for (;;) pause();
	}
	if (pid > 0) pause_pidfd = pidfd_of(pid);
	return pause_pidfd >= 0 || fail("failed", errno, "pod process namespace");
}

static bool attend(int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return watch(fd, EPOLLIN | EPOLLOUT);
}

static bool launch(struct container *c, struct child *child)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 }, status[2] = { -1, -1 }, go[2] = { -1, -1 };
	bool fine = pipe2(status, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0;
	if (spec.tty || !spec.stdin_wanted) in[0] = open("/dev/null", O_RDWR | O_CLOEXEC); /* or what keeps the number free */
	else fine = fine && pipe2(in, O_CLOEXEC) == 0;
	if (!spec.tty) fine = fine && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0;
	if (!fine) fail("limit", errno, "pipes");
	child->in = in[0];
	child->out = out[1];
	child->err = err[1];
	child->status = status[1];
	child->go = go[0];
	child->tty = child->pidfd = -1;
	child->terminal = c->terminal = spec.tty ? in[0] : -1;
	if (fine) {
		unsigned long flags = CLONE_NEWNS | (spec.pod_pidns ? 0 : CLONE_NEWPID);
		c->pid = spawn(child, flags, spec.pod_pidns ? pause_pidfd : -1);
		c->pidfd = c->pid > 0 ? pidfd_of(c->pid) : -1;
		fine = c->pid > 0 || fail("failed", errno, "clone");
	}
	c->go = go[1];
	c->status = status[0];
	c->in = in[1];
	c->out = (struct stream){ .fd = out[0], .ended = spec.tty };
	c->err = (struct stream){ .fd = err[0], .ended = spec.tty, .is_stderr = true };
	int ours[] = { c->status, c->out.fd, c->err.fd, c->in };
	for (size_t i = 0; fine && i < 4; i++) fine = ours[i] < 0 || attend(ours[i]);
	int theirs[] = { out[1], err[1], status[1], go[0], in[0] };
	for (size_t i = 0; i < 5; i++) close_fd(&theirs[i]);
	return fine;
}

bool container_create(uint32_t id)
{
	struct child child = { .cgroup = -1 };
	struct container *c = NULL;
	if (!configured || scratch_disk[0] == 0) return fail("not-configured", 0, "no entropy or scratch disk yet");
	if (find(spec.container) != NULL) return fail("exists", 0, "container %s exists", spec.container);
	for (size_t i = 0; i < MAX_CONTAINERS && c == NULL; i++)
		if (containers[i].id[0] == 0) c = &containers[i];
	if (c == NULL) return fail("limit", 0, "more than %d containers", MAX_CONTAINERS);
	if (!log_port_open(spec.log_port) || (spec.pod_pidns && !start_pause()) || !mount_image(spec.image)) return false;
	*c = (struct container){ .state = CREATING, .pidfd = -1, .go = -1, .status = -1, .log_port = spec.log_port, .image = spec.image,
				 .create_id = id, .created = now_ns(), .takes_input = spec.stdin_wanted, .input_once = spec.stdin_once };
	c->in = c->out.fd = c->err.fd = -1;
	strcpy(c->id, spec.container);
	image_users[c->image]++;
	snprintf(child.directory, sizeof child.directory, RUN "/containers/%s", c->id);
	mkdir(child.directory, 0700);
	char path[300];
	snprintf(path, sizeof path, RUN "/scratch/containers/%s", c->id);
	if (mkdir(path, 0700) == 0) count_directory(path, 0);
	snprintf(path, sizeof path, "%s/termination", child.directory);
	int termination = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
	bool fine = termination >= 0 && fchmod(termination, 0666) == 0;
	if (!fine) fail("failed", errno, "container directory");
	fine = fine && cgroup_create(c->id);
	child.cgroup = fine ? cgroup_open(c->id) : -1;
	fine = fine && launch(c, &child);
	close_fd(&termination);
	close_fd(&child.cgroup);
	if (!fine && c->pid > 0) kill(c->pid, SIGKILL);
	if (!fine) {
		cgroup_remove(c->id);
		release(c);
	}
	return fine;
}

bool container_start(uint32_t id, const char *name)
{
	struct container *c = find(name);
	if (c == NULL) return fail("unknown", 0, "no container %s", name);
	if (c->state == RUNNING) {
		out_begin();
		out_send(OK, id);
		return true;
	}
	if (c->state != CREATED || c->reaped) return fail("state", 0, "container %s cannot be started any more", name);
	if (write(c->go, "G", 1) != 1) return fail("failed", errno, "start of %s", name);
	close_fd(&c->go);
	c->state = STARTING;
	c->start_id = id;
	c->started = now_ns();
	return true;
}

bool container_signal(const char *name, uint32_t number)
{
	struct container *c = find(name);
	if (c == NULL) return fail("unknown", 0, "no container %s", name);
	if (number == 0 || number > 64) return fail("invalid", 0, "there is no signal %u", number);
	return c->reaped || kill(c->pid, (int)number) == 0 || errno == ESRCH || fail("failed", errno, "signal");
}

bool container_kill(const char *name)
{
	struct container *c = find(name);
	if (c == NULL) return fail("unknown", 0, "no container %s", name);
	if (!c->reaped) kill(c->pid, SIGKILL); /* it may not be in its cgroup yet */
	cgroup_kill(c->id);
	return true;
}

bool container_remove(uint32_t id, const char *name)
{
	struct container *c = find(name);
	if (c == NULL) {
		out_begin();
		out_send(OK, id);
		return true;
	}
	container_kill(name);
	c->removing = true;
	c->remove_id = id;
	return true;
}

bool container_log(uint32_t id, const char *name, uint32_t port)
{
	struct container *c = find(name);
	if (c == NULL) return fail("unknown", 0, "no container %s", name);
	if (c->log_id != 0) return fail("state", 0, "the log of %s is being moved already", name);
	if (!log_port_open(port)) return false;
	c->log_id = id;
	c->next_port = port;
	return true;
}

static void answer(uint32_t *id, pid_t pid)
{
	if (*id == 0) return;
	out_begin();
	if (pid > 0) out_field("pid", "%d", pid);
	out_send(OK, *id);
	*id = 0;
}

static void put_container(const struct container *c)
{
	static const char *names[] = { "creating", "created", "created", "running", "exited" };
	char path[300], text[TERMINATION_MESSAGE_BYTES + 1];
	out_field("container", "%s", c->id);
	out_field("state", "%s", names[c->state]);
	out_field("created-ns", "%llu", (unsigned long long)c->created);
	out_field("oom", "%d", c->oom);
	out_field("log-port", "%u", c->log_port);
	if (c->started != 0) out_field("started-ns", "%llu", (unsigned long long)c->started);
	if (c->state != EXITED) {
		out_field("pid", "%d", c->pid);
		return;
	}
	out_field("finished-ns", "%llu", (unsigned long long)c->finished);
	out_field("exit-code", "%d", c->code);
	snprintf(path, sizeof path, RUN "/containers/%s/termination", c->id);
	if (read_text(path, text, sizeof text) > 0) out_field("message", "%s", text); /* up to a NUL, if it wrote one */
	else if (c->failed) out_field("message", "%s", c->status_text);
}

void container_list(uint32_t id)
{
	out_begin();
	for (size_t i = 0; i < MAX_CONTAINERS; i++)
		if (containers[i].id[0] != 0) put_container(&containers[i]);
	out_send(OK, id);
}

static void out_number(const char *key, uint64_t value)
{
	out_field(key, "%llu", (unsigned long long)value);
}

void container_stats(uint32_t id)
{
	struct cgroup_stats stats;
	out_begin();
	for (size_t i = 0; i < MAX_CONTAINERS; i++) {
		const struct container *c = &containers[i];
		if (c->id[0] == 0 || c->state != RUNNING || !cgroup_stats(c->id, &stats)) continue;
		out_field("container", "%s", c->id);
		out_number("cpu-ns", stats.cpu_ns);
		out_number("memory-bytes", stats.working_set);
		out_number("processes", stats.processes);
		out_number("usage-bytes", stats.usage);
		out_number("rss-bytes", stats.rss);
		out_number("cache-bytes", stats.cache);
		out_number("periods", stats.periods);
		out_number("throttled-periods", stats.throttled_periods);
		out_number("throttled-ns", stats.throttled_ns);
	}
	out_send(OK, id);
}

/* "E<errno> text" from the child: fails the request in hand. Keeps the text for LIST. */
static void child_failed(struct container *c, const char *fallback)
{
	unsigned error = 0;
	int skip = 0;
	const char *text = strchr(c->status_text, 'E');
	if (text == NULL || sscanf(text, "E%u %n", &error, &skip) < 1) text = fallback;
	fail_reset();
	fail("failed", (int)(error < 4096 ? error : 0), "%s", text + skip);
	c->failed = true;
	memmove(c->status_text, text + skip, strlen(text + skip) + 1);
}

static void status_closed(struct container *c)
{
	bool told = strchr(c->status_text, 'E') != NULL;
	close_fd(&c->status);
	if (c->state == STARTING && !told) {
		c->state = RUNNING;
		answer(&c->start_id, 0);
		return;
	}
	uint32_t *id = c->state == CREATING ? &c->create_id : &c->start_id;
	child_failed(c, "it died before its command ran");
	if (*id != 0) send_error(*id);
	else fail_reset();
	*id = 0;
	if (c->state == CREATING) c->removing = true; /* never came to be */
	else c->code = 128;
}

/* What an app writes to its terminal comes out of the end that the child has left for us. */
static void take_terminal(struct container *c)
{
	c->out.fd = (int)syscall(SYS_pidfd_getfd, c->pidfd, c->terminal, 0);
	c->out.ended = false;
	if (c->out.fd < 0 || !attend(c->out.fd)) kill(c->pid, SIGKILL); /* it never came to be */
}

static void read_status(struct container *c)
{
	for (;;) {
		if (c->status_bytes >= sizeof c->status_text - 1) c->status_bytes = 0;
		ssize_t n = read(c->status, c->status_text + c->status_bytes, sizeof c->status_text - 1 - c->status_bytes);
		if (n == 0) status_closed(c);
		if (n <= 0) return;
		c->status_bytes += (size_t)n;
		c->status_text[c->status_bytes] = 0;
		if (c->state == CREATING && c->status_text[0] == 'R') {
			if (c->terminal >= 0) take_terminal(c);
			c->state = CREATED;
			memmove(c->status_text, c->status_text + 1, c->status_bytes--);
			answer(&c->create_id, c->pid);
		}
	}
}

bool container_reaped(pid_t pid, int code)
{
	for (size_t i = 0; i < MAX_CONTAINERS; i++) {
		struct container *c = &containers[i];
		if (c->id[0] == 0 || c->pid != pid || c->reaped) continue;
		c->reaped = true;
		c->finished = now_ns();
		c->code = code;
		cgroup_kill(c->id);
		return true;
	}
	return false;
}

static void finish(struct container *c)
{
	c->state = EXITED;
	c->oom = cgroup_oom(c->id);
	close_fd(&c->pidfd);
	close_fd(&c->go);
	close_fd(&c->in);
	if (c->removing && c->created != 0 && c->started == 0) return; /* nobody ever saw it run */
	if (c->oom) {
		out_begin();
		out_field("container", "%s", c->id);
		out_send(EVENT_OOM, 0);
	}
	out_begin();
	put_container(c);
	out_send(EVENT_EXIT, 0);
}

static bool pump(struct container *c)
{
	bool again = false;
	if (c->status >= 0) read_status(c);
	/* Lines of before LOG go to the old port; once it is empty they have all been taken. */
	if (c->log_id == 0) {
		bool open = c->out.fd >= 0 || c->err.fd >= 0;
		bool final = open && c->reaped && !cgroup_populated(c->id); /* whoever holds the pipe now is none of ours */
		again |= log_step(&c->out, c->log_port, final);
		again |= log_step(&c->err, c->log_port, final);
	} else if (log_empty(c->log_port)) {
		c->log_port = c->next_port;
		answer(&c->log_id, 0);
		again = true;
	}
	if (c->reaped && c->status < 0 && c->state != EXITED) {
		bool drained = c->out.ended && c->err.ended && c->out.bytes + c->err.bytes == 0 && log_empty(c->log_port);
		if (drained || now_ns() - c->finished > DRAIN_NS) finish(c);
	}
	if (c->removing && c->state == EXITED && c->status < 0 && cgroup_remove(c->id)) {
		answer(&c->remove_id, 0);
		release(c);
	}
	return again;
}

bool containers_pump(void)
{
	bool again = false;
	for (size_t i = 0; i < MAX_CONTAINERS; i++)
		if (containers[i].id[0] != 0) again |= pump(&containers[i]);
	return again;
}

int containers_timeout(void)
{
	for (size_t i = 0; i < MAX_CONTAINERS; i++) {
		const struct container *c = &containers[i];
		if (c->id[0] != 0 && (c->removing || (c->reaped && c->state != EXITED))) return 2;
	}
	return -1;
}

void containers_reset(void)
{
	for (size_t i = 0; i < MAX_CONTAINERS; i++)
		containers[i].create_id = containers[i].start_id = containers[i].remove_id = 0;
}

bool container_enter(const char *name, int *pidfd, int *cgroup)
{
	if (!container_runs(name)) return false;
	*pidfd = dup(find(name)->pidfd);
	*cgroup = cgroup_open(name);
	return (*pidfd >= 0 && *cgroup >= 0) || fail("failed", errno, "container %s", name);
}

bool container_pid(const char *name, pid_t *pid)
{
	struct container *c = find(name);
	if (c == NULL) return fail("unknown", 0, "no container %s", name);
	*pid = c->pid;
	return true;
}

bool container_runs(const char *name)
{
	struct container *c = find(name);
	if (c == NULL) return fail("unknown", 0, "no container %s", name);
	return (c->state == RUNNING && !c->reaped) || fail("state", 0, "container %s is not running", name);
}

int container_stdin(const char *name, bool *terminal)
{
	const struct container *c = find(name);
	*terminal = c != NULL && c->terminal >= 0;
	if (c == NULL || !c->takes_input) return -1;
	return *terminal ? c->out.fd : c->in;
}

void container_stdin_left(const char *name)
{
	bool terminal;
	struct container *c = find(name);
	if (c == NULL || !c->input_once || !c->takes_input) return;
	int fd = container_stdin(name, &terminal);
	if (terminal && fd >= 0 && write(fd, "\004", 1) < 0) { /* ^D; it is full: there is no reader who could take it */ }
	close_fd(&c->in);
	c->takes_input = false;
}

void container_resize(const char *name, uint32_t columns, uint32_t rows)
{
	struct container *c = find(name);
	struct winsize size = { .ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows };
	if (c != NULL && c->terminal >= 0 && c->out.fd >= 0) ioctl(c->out.fd, TIOCSWINSZ, &size);
}

void containers_kill_all(void)
{
	for (size_t i = 0; i < MAX_CONTAINERS; i++)
		if (containers[i].id[0] != 0) cgroup_kill(containers[i].id);
}
