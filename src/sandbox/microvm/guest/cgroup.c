#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "agent.h"

#define FILE_OF(path, id, file) snprintf(path, sizeof path, APPS "/%s/%s", id, file)

/*
 * Which devices a container may open: those that every OCI runtime gives; nodes may be made for all, as there.
 * Without this CAP_MKNOD would reach the disks and the agent's ports.
 */
static int load_device_filter(void)
{
#define LOAD(to, field) { BPF_LDX | BPF_W | BPF_MEM, to, BPF_REG_1, field, 0 }
#define IF_NOT(reg, value, skip) { BPF_JMP | BPF_JNE | BPF_K, reg, 0, skip, value }
#define RETURN(value) { BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value }, { BPF_JMP | BPF_EXIT, 0, 0, 0, 0 }
#define MINOR(value) IF_NOT(BPF_REG_4, value, 2), RETURN(1)
	const struct bpf_insn program[] = {
		LOAD(BPF_REG_2, 0), LOAD(BPF_REG_3, 4), LOAD(BPF_REG_4, 8),
		{ BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_5, BPF_REG_2, 0, 0 },
		{ BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_5, 0, 0, 16 },
		IF_NOT(BPF_REG_5, BPF_DEVCG_ACC_MKNOD, 2), RETURN(1),
		{ BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff },
		IF_NOT(BPF_REG_2, BPF_DEVCG_DEV_CHAR, 27),
		IF_NOT(BPF_REG_3, 136, 2), RETURN(1),				/* pts */
		IF_NOT(BPF_REG_3, 1, 15),
		MINOR(3), MINOR(5), MINOR(7), MINOR(8), MINOR(9),		/* null zero full random urandom */
		IF_NOT(BPF_REG_3, 5, 3), IF_NOT(BPF_REG_4, 0, 2), RETURN(1),	/* tty */
		IF_NOT(BPF_REG_3, 5, 3), IF_NOT(BPF_REG_4, 2, 2), RETURN(1),	/* ptmx */
		RETURN(0),
	};
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insn_cnt = sizeof program / sizeof *program,
				.insns = (uint64_t)(uintptr_t)program, .license = (uint64_t)(uintptr_t)"GPL" };
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
}

/* One for all; its descriptor has FD_CLOEXEC, as every bpf(2) gives. */
static int device_filter = -1;

/* The kernel's proof that the filter ends takes a while: clones find it done. */
void cgroup_prepare(void) { device_filter = load_device_filter(); }

static int limit_devices(int cgroup)
{
	if (device_filter < 0 && (device_filter = load_device_filter()) < 0) return -1;
	union bpf_attr attach = { .target_fd = (uint32_t)cgroup, .attach_bpf_fd = (uint32_t)device_filter, .attach_type = BPF_CGROUP_DEVICE };
	return (int)syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach);
}

bool cgroup_create(const char *id)
{
	char path[300];
	FILE_OF(path, id, "");
	if (mkdir(path, 0755) != 0 && errno != EEXIST) return fail("failed", errno, "cgroup");
	for (size_t i = 0; i < spec.n_cgroup; i++) {
		const char *value = strchr(spec.cgroup[i], '=');
		char file[64];
		if (value == NULL || strchr(spec.cgroup[i], '/') != NULL) return fail("invalid", 0, "cgroup %.60s", spec.cgroup[i]);
		snprintf(file, sizeof file, "%.*s", (int)(value - spec.cgroup[i]), spec.cgroup[i]);
		FILE_OF(path, id, file);
		/* memory.swap.max is missing in kernels without swap: no harm, there is none to limit. */
		if (write_text(path, value + 1) != 0 && !(errno == ENOENT && strcmp(file, "memory.swap.max") == 0))
			return fail("failed", errno, "cgroup %.60s", spec.cgroup[i]);
	}
	FILE_OF(path, id, "memory.oom.group");
	write_text(path, "1"); /* half an app serves nobody */
	FILE_OF(path, id, "memory.min");
	write_text(path, "8M"); /* rather killed than without end reading the same pages of its program again */
	int fd = cgroup_open(id);
	bool fine = fd >= 0 && (spec.privileged || limit_devices(fd) == 0);
	if (!fine) fail("failed", errno, "cgroup devices");
	if (fd >= 0) close(fd);
	return fine;
}

int cgroup_open(const char *id)
{
	char path[300];
	FILE_OF(path, id, "");
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void cgroup_kill(const char *id)
{
	char path[300];
	FILE_OF(path, id, "cgroup.kill");
	write_text(path, "1");
}

bool cgroup_remove(const char *id)
{
	char path[300];
	FILE_OF(path, id, "");
	return rmdir(path) == 0 || errno == ENOENT;
}

/* The number behind `key` in a flat keyed file, or the file's only number when there is no key. */
static bool number(const char *id, const char *file, const char *key, uint64_t *value)
{
	char path[300], text[2048];
	FILE_OF(path, id, file);
	if (read_text(path, text, sizeof text) < 0) return false;
	char *at = text;
	if (key != NULL) {
		size_t n = strlen(key);
		while (at != NULL && (strncmp(at, key, n) != 0 || at[n] != ' ')) {
			at = strchr(at, '\n');
			if (at != NULL) at++;
		}
		if (at == NULL) return false;
		at += n + 1;
	}
	*value = strtoull(at, NULL, 10);
	return true;
}

bool cgroup_populated(const char *id)
{
	uint64_t value;
	return number(id, "cgroup.events", "populated", &value) && value != 0;
}

bool cgroup_oom(const char *id)
{
	uint64_t value;
	return number(id, "memory.events", "oom_kill", &value) && value != 0;
}

bool cgroup_stats(const char *id, struct cgroup_stats *stats)
{
	uint64_t us, inactive = 0;
	memset(stats, 0, sizeof *stats);
	if (!number(id, "cpu.stat", "usage_usec", &us) || !number(id, "memory.current", NULL, &stats->usage) ||
	    !number(id, "pids.current", NULL, &stats->processes)) return false;
	stats->cpu_ns = us * 1000;
	/* The working set, as cAdvisor counts it: cache that can go at once is not in use. */
	stats->working_set = stats->usage;
	if (number(id, "memory.stat", "inactive_file", &inactive) && inactive < stats->usage)
		stats->working_set -= inactive;
	/* What the kernel does not tell stays 0. */
	(void)number(id, "memory.stat", "anon", &stats->rss);
	(void)number(id, "memory.stat", "file", &stats->cache);
	(void)number(id, "cpu.stat", "nr_periods", &stats->periods);
	(void)number(id, "cpu.stat", "nr_throttled", &stats->throttled_periods);
	if (number(id, "cpu.stat", "throttled_usec", &us)) stats->throttled_ns = us * 1000;
	return true;
}
