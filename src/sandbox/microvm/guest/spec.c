#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "agent.h"

struct spec spec;
static struct sock_filter filter[BPF_MAXINSNS];

static bool text(const char **list, size_t *n, size_t max, const char *value)
{
	if (*n >= max) return fail("limit", 0, "more than %zu of one kind", max);
	list[(*n)++] = value;
	return true;
}

static bool parse_seccomp(const char *value)
{
	ssize_t n = parse_hex(value, (uint8_t *)filter, sizeof filter);
	if (n <= 0 || (size_t)n % sizeof *filter != 0) return fail("invalid", 0, "seccomp is not a program");
	spec.seccomp = (struct sock_fprog){ .len = (unsigned short)((size_t)n / sizeof *filter), .filter = filter };
	return true;
}

static bool parse_rlimit(const char *value)
{
	static const struct { const char *name; int resource; } names[] = {
		{ "as", RLIMIT_AS }, { "core", RLIMIT_CORE }, { "cpu", RLIMIT_CPU }, { "data", RLIMIT_DATA }, { "fsize", RLIMIT_FSIZE },
		{ "locks", RLIMIT_LOCKS }, { "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE },
		{ "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC }, { "rss", RLIMIT_RSS }, { "rtprio", RLIMIT_RTPRIO },
		{ "rttime", RLIMIT_RTTIME }, { "sigpending", RLIMIT_SIGPENDING }, { "stack", RLIMIT_STACK },
	};
	char copy[96], *soft, *hard;
	size_t i = 0, n = spec.n_rlimits;
	if (strlen(value) >= sizeof copy || n >= 16) return fail("invalid", 0, "rlimit %.60s", value);
	strcpy(copy, value);
	soft = strchr(copy, ':');
	hard = soft == NULL ? NULL : strchr(soft + 1, ':');
	if (hard == NULL) return fail("invalid", 0, "rlimit %.60s", value);
	*soft++ = 0;
	*hard++ = 0;
	while (i < 16 && strcmp(names[i].name, copy) != 0) i++;
	if (i == 16) return fail("invalid", 0, "rlimit %.60s", value);
	spec.rlimits[n].resource = names[i].resource;
	spec.rlimits[n].soft = spec.rlimits[n].hard = RLIM_INFINITY;
	if (strcmp(soft, "unlimited") != 0 && !parse_u64(soft, 10, INT64_MAX, &spec.rlimits[n].soft)) return false;
	if (strcmp(hard, "unlimited") != 0 && !parse_u64(hard, 10, INT64_MAX, &spec.rlimits[n].hard)) return false;
	spec.n_rlimits++;
	return true;
}

static bool parse_mount(const char *key, const char *value)
{
	if (strcmp(key, "mount") == 0) {
		if (spec.n_mounts >= MAX_MOUNTS) return fail("limit", 0, "more than %d mounts", MAX_MOUNTS);
		spec.mounts[spec.n_mounts++] = (struct mount_spec){ .target = value, .path = "", .fd = -1 };
		return value[0] == '/' || fail("invalid", 0, "mount at %.100s", value);
	}
	if (spec.n_mounts == 0) return fail("invalid", 0, "%s without mount", key);
	struct mount_spec *m = &spec.mounts[spec.n_mounts - 1];
	if (strcmp(key, "mount.volume") == 0) {
		m->volume = value;
		return valid_name(value) || fail("invalid", 0, "not a volume: %.80s", value);
	}
	if (strcmp(key, "mount.root") == 0) {
		m->root = value;
		return valid_name(value) || fail("invalid", 0, "not a name: %.80s", value);
	}
	if (strcmp(key, "mount.path") == 0) {
		m->path = value;
		return true;
	}
	if (strcmp(key, "mount.create") == 0) return parse_bool(value, &m->create);
	if (strcmp(key, "mount.ro") == 0) return parse_bool(value, &m->ro);
	return fail("invalid", 0, "mount knows no %.40s", key);
}

static bool parse_adjustment(const char *value)
{
	char *end;
	long n = strtol(value, &end, 10);
	if (*end != 0 || value[0] == 0 || n < -1000 || n > 1000) return fail("invalid", 0, "oom-score-adj %.20s", value);
	spec.oom_adj = (int)n;
	return true;
}

/* What containers and execs have in common. */
static bool parse_process(const char *key, const char *value, bool *known)
{
	uint32_t gid;
	*known = true;
	if (strcmp(key, "argv") == 0) return text(spec.argv, &spec.n_argv, MAX_STRINGS - 1, value);
	if (strcmp(key, "env") == 0) return text(spec.env, &spec.n_env, MAX_STRINGS - 1, value);
	if (strcmp(key, "cwd") == 0) return text(&spec.cwd, &(size_t){ 0 }, 1, value);
	if (strcmp(key, "uid") == 0) return parse_u32(value, 10, INT32_MAX, &spec.uid);
	if (strcmp(key, "gid") == 0) return parse_u32(value, 10, INT32_MAX, &spec.gid);
	if (strcmp(key, "caps") == 0) return parse_u64(value, 16, UINT64_MAX, &spec.caps);
	if (strcmp(key, "no-new-privs") == 0) return parse_bool(value, &spec.no_new_privs);
	if (strcmp(key, "seccomp") == 0) return parse_seccomp(value);
	if (strcmp(key, "tty") == 0) return parse_bool(value, &spec.tty);
	if (strcmp(key, "stdin") == 0) return parse_bool(value, &spec.stdin_wanted);
	if (strcmp(key, "group") == 0) {
		if (spec.n_groups >= MAX_LIST) return fail("limit", 0, "more than %d groups", MAX_LIST);
		if (!parse_u32(value, 10, INT32_MAX, &gid)) return false;
		spec.groups[spec.n_groups++] = gid;
		return true;
	}
	*known = false;
	return true;
}

static bool parse_exec(const char *key, const char *value)
{
	if (strcmp(key, "columns") == 0) return parse_u32(value, 10, 65535, &spec.columns);
	if (strcmp(key, "rows") == 0) return parse_u32(value, 10, 65535, &spec.rows);
	if (strcmp(key, "credit") == 0) return parse_u32(value, 10, MAX_MESSAGE, &spec.credit);
	return fail("invalid", 0, "exec knows no %.40s", key);
}

static bool parse_create(const char *key, const char *value)
{
	if (strcmp(key, "image") == 0) return parse_u32(value, 10, 25, &spec.image);
	if (strcmp(key, "log-port") == 0) return parse_u32(value, 10, 63, &spec.log_port);
	if (strcmp(key, "privileged") == 0) return parse_bool(value, &spec.privileged);
	if (strcmp(key, "ro-rootfs") == 0) return parse_bool(value, &spec.ro_rootfs);
	if (strcmp(key, "stdin-once") == 0) return parse_bool(value, &spec.stdin_once);
	if (strcmp(key, "pidns") == 0) {
		spec.pod_pidns = strcmp(value, "pod") == 0;
		return spec.pod_pidns || strcmp(value, "own") == 0 || fail("invalid", 0, "pidns %.20s", value);
	}
	if (strcmp(key, "termination-path") == 0) return text(&spec.termination_path, &(size_t){ 0 }, 1, value);
	if (strcmp(key, "rlimit") == 0) return parse_rlimit(value);
	if (strcmp(key, "oom-score-adj") == 0) return parse_adjustment(value);
	if (strcmp(key, "cgroup") == 0) return text(spec.cgroup, &spec.n_cgroup, MAX_LIST, value);
	if (strcmp(key, "masked") == 0) return text(spec.masked, &spec.n_masked, MAX_LIST, value);
	if (strcmp(key, "readonly") == 0) return text(spec.readonly, &spec.n_readonly, MAX_LIST, value);
	if (strcmp(key, "tmpfs") == 0) return text(spec.tmpfs, &spec.n_tmpfs, MAX_LIST, value);
	if (strncmp(key, "mount", 5) == 0) return parse_mount(key, value);
	return fail("invalid", 0, "create knows no %.40s", key);
}

bool parse_spec(struct fields f, bool exec)
{
	const char *key, *value;
	bool known;
	memset(&spec, 0, offsetof(struct spec, argv));
	memset(&spec.n_argv, 0, sizeof spec - offsetof(struct spec, n_argv));
	spec.cwd = "/";
	if (!read_name(f, "container", &spec.container)) return false;
	while (next_field(&f, &key, &value)) {
		if (strcmp(key, "container") == 0) continue;
		if (!parse_process(key, value, &known)) return false;
		if (!known && !(exec ? parse_exec(key, value) : parse_create(key, value))) return false;
	}
	for (size_t i = 0; i < spec.n_mounts; i++)
		if (spec.mounts[i].volume == NULL) return fail("invalid", 0, "mount at %.100s without volume", spec.mounts[i].target);
	if (spec.n_argv == 0) return fail("invalid", 0, "argv is missing");
	if (spec.cwd[0] != '/') return fail("invalid", 0, "cwd is not absolute: %.100s", spec.cwd);
	spec.argv[spec.n_argv] = spec.env[spec.n_env] = NULL;
	return true;
}
