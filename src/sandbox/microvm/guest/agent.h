/* What the parts of the agent share. One process, one thread, one event loop; nothing blocks but short system calls. */
#ifndef GANTRY_AGENT_H
#define GANTRY_AGENT_H
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "protocol.h"

#ifndef RUN
#define RUN "/run/gantry" /* the tests have their own */
#endif
#define CGROUPS "/sys/fs/cgroup"
#define APPS CGROUPS "/apps"
#define PATH_BYTES 4096

/* fields.c: the payload of a control message. Every string in it ends within the message: the reader appends a NUL. */
struct fields { char *at, *end; };
bool next_field(struct fields *f, const char **key, const char **value);
/* Fails the request in hand; the first message wins. Always returns false. */
bool fail(const char *code, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool parse_u64(const char *text, int base, uint64_t max, uint64_t *out);
bool parse_u32(const char *text, int base, uint32_t max, uint32_t *out);
bool parse_bool(const char *text, bool *out);
/* In place: out may be the text itself. Returns the number of bytes or -1. */
ssize_t parse_hex(const char *text, uint8_t *out, size_t capacity);
bool valid_name(const char *name);
bool read_name(struct fields f, const char *key, const char **out); /* a field that must be there and be a name */

/* channel.c: frames in and out. */
void channel_init(int fd);
bool channel_pump(void);	/* reads, dispatches, writes; true: call again soon */
bool channel_flush(void);
bool channel_open(void);	/* a host has said HELLO */
size_t channel_room(void);	/* bytes of output that may be queued without harm */
void send_frame(uint16_t type, uint16_t flags, uint32_t id, const void *data, size_t bytes);
struct message { size_t bytes; char data[MAX_MESSAGE]; };
extern struct message out; /* the reply being put together */
void out_begin(void);
void out_field(const char *key, const char *format, ...) __attribute__((format(printf, 2, 3)));
void out_send(uint16_t type, uint32_t id);
void send_error(uint32_t id); /* what fail() noted */
void fail_reset(void);
void channel_reset(void);

/* dispatch.c */
void dispatch(struct frame frame, char *payload, size_t bytes);
void session_reset(void);

/* system.c, net.c: the machine. */
extern bool configured;
extern char scratch_disk[32]; /* mounted at RUN/scratch, once it is not empty */
void boot(void);
int open_port(const char *name); /* non-blocking; -1 and errno */
bool configure(struct fields f);
void net_prepare(void);
bool net_configure(const char *mac, uint32_t mtu, const char **addresses, size_t n_addresses, const char **routes,
		   size_t n_routes);
void power_off(void);
int write_text(const char *path, const char *text);	/* 0 or -1 and errno */
ssize_t read_text(const char *path, char *buffer, size_t capacity); /* ends it with NUL; -1 and errno */
uint64_t now_ns(void);
void remove_tree(int directory, const char *name);
bool disk_path(uint32_t disk, char path[32]);
bool forget_blocks(const char *device);

/* volume.c */
bool volume_create(struct fields f);
void disk_usage(uint32_t id);
int count_directory(const char *path, uint64_t limit); /* on the scratch disk; -1 and errno */
int volume_open(const char *name, int flags); /* its root directory; -1 and errno */
bool push_begin(uint32_t id, struct fields f);
bool push_file(uint32_t id, struct fields f);
bool push_data(uint32_t id, const void *data, size_t bytes);
bool push_commit(uint32_t id);
void push_reset(void);

/* spec.c: what is to run, parsed. All pointers lead into the message: only good until the next one. */
#define MAX_STRINGS 8192
#define MAX_MOUNTS 128
#define MAX_LIST 64
struct mount_spec { const char *target, *volume, *root, *path; bool create, ro; int fd; };
struct spec {
	const char *container, *cwd, *termination_path;
	const char *argv[MAX_STRINGS], *env[MAX_STRINGS];
	size_t n_argv, n_env;
	uint32_t uid, gid, image, log_port, columns, rows, credit;
	gid_t groups[MAX_LIST];
	size_t n_groups;
	uint64_t caps;
	bool no_new_privs, ro_rootfs, privileged, pod_pidns, tty, stdin_wanted, stdin_once;
	int oom_adj;
	struct sock_fprog seccomp;
	struct mount_spec mounts[MAX_MOUNTS];
	size_t n_mounts;
	const char *masked[MAX_LIST], *readonly[MAX_LIST], *tmpfs[MAX_LIST], *cgroup[MAX_LIST];
	size_t n_masked, n_readonly, n_tmpfs, n_cgroup;
	struct { int resource; uint64_t soft, hard; } rlimits[16];
	size_t n_rlimits;
};
extern struct spec spec;
bool parse_spec(struct fields f, bool exec);

/* child.c, rootfs.c, rights.c: between fork and execve. They report to `status` and never return. */
/* terminal: a number that the child puts the other end of a terminal of its own behind; -1: it has none, or one in `tty`. */
struct child { int in, out, err, status, go, tty, terminal, pidfd, cgroup; char directory[256]; };
_Noreturn void run_child(const struct child *child);
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2))); /* adds errno */
void build_root(const struct child *child);
void set_rights(void);

/* cgroup.c */
void cgroup_prepare(void);
bool cgroup_create(const char *id);
int cgroup_open(const char *id);
void cgroup_kill(const char *id);
bool cgroup_remove(const char *id); /* false: not empty yet */
bool cgroup_populated(const char *id);
bool cgroup_oom(const char *id);
struct cgroup_stats {
	uint64_t cpu_ns, processes;
	/* bytes: all, without the cache that can go at once, what is no copy of a file, copies of files */
	uint64_t usage, working_set, rss, cache;
	uint64_t periods, throttled_periods, throttled_ns;
};
bool cgroup_stats(const char *id, struct cgroup_stats *stats);

/* log.c */
struct stream { int fd; bool is_stderr, ready, ended; size_t bytes; char data[16384]; };
bool log_port_open(uint32_t port);
bool log_step(struct stream *s, uint32_t port, bool final); /* true: more can be done now */
bool log_flush(void);					     /* true: some port took something */
bool log_empty(uint32_t port);

/* container.c */
struct container;
bool container_create(uint32_t id);
bool container_start(uint32_t id, const char *name);
bool container_signal(const char *name, uint32_t signal);
bool container_kill(const char *name);
bool container_remove(uint32_t id, const char *name);
bool container_log(uint32_t id, const char *name, uint32_t port);
void container_list(uint32_t id);
void container_stats(uint32_t id);
bool containers_pump(void);	/* true: call again soon */
int containers_timeout(void);	/* ms until something must be looked at again; -1: never */
void containers_reset(void);	/* forget who asked */
bool container_reaped(pid_t pid, int code);
bool container_enter(const char *name, int *pidfd, int *cgroup); /* a running one's; the caller closes both */
bool container_pid(const char *name, pid_t *pid);
bool container_runs(const char *name);
int container_stdin(const char *name, bool *terminal); /* where its input goes; -1: nowhere, or no more */
void container_stdin_left(const char *name);	       /* a client that could write there has gone */
void container_resize(const char *name, uint32_t columns, uint32_t rows);
void containers_kill_all(void);
int pidfd_of(pid_t pid);
pid_t spawn(const struct child *child, unsigned long flags, int pidns); /* pidns: a pidfd, or -1 */

/* exec.c */
bool exec_start(uint32_t id);
bool attach_start(uint32_t id, struct fields f);
bool dial_start(uint32_t id, uint16_t port, uint32_t credit);
bool exec_stdin(uint32_t id, const void *data, size_t bytes, bool eof);
bool exec_resize(uint32_t id, struct fields f);
bool exec_signal(uint32_t id, uint32_t signal);
bool exec_credit(uint32_t id, uint32_t bytes);
bool exec_reaped(pid_t pid, int code);
bool execs_pump(void);
void execs_reset(void);

/* main.c */
bool watch(int fd, uint32_t events); /* edge-triggered; wakes the loop, which pumps everything */
#endif
