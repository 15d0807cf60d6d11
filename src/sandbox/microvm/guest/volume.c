#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <linux/quota.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "agent.h"

#define FILES_BYTES (64u << 20) /* of one volume of pushed files, unless the host says otherwise */

struct volume_request {
	const char *name, *type, *fs, *tag;
	uint64_t size;
	uint32_t mode, uid, gid, disk;
	bool ro, has_mode, has_disk;
};

#ifndef AGENT_TEST
/* A project of its own: the file system counts all that is below, and ends it at a limit; 0: there is none. */
int count_directory(const char *path, uint64_t bytes)
{
	static uint32_t last_project;
	struct fsxattr attributes;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = -1;
	if (fd >= 0 && ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0) {
		attributes.fsx_projid = ++last_project;
		attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
		struct if_dqblk quota = { .dqb_bhardlimit = (bytes + QIF_DQBLKSIZE - 1) / QIF_DQBLKSIZE, .dqb_valid = QIF_BLIMITS };
		result = ioctl(fd, FS_IOC_FSSETXATTR, &attributes);
		if (result == 0 && bytes > 0) result = (int)syscall(SYS_quotactl, QCMD(Q_SETQUOTA, PRJQUOTA), scratch_disk, last_project, &quota);
	}
	int error = errno;
	if (fd >= 0) close(fd);
	errno = error;
	return result;
}

static bool mount_volume(const struct volume_request *v, const char *path)
{
	char options[64], disk[32];
	unsigned long flags = MS_NOSUID | MS_NODEV | (v->ro ? MS_RDONLY : 0);
	if (strcmp(v->type, "tmpfs") == 0 || strcmp(v->type, "files") == 0) {
		uint64_t size = v->size == 0 && v->type[0] == 'f' ? FILES_BYTES : v->size;
		int n = snprintf(options, sizeof options, "mode=0755"); /* without a size, half of the memory */
		if (size > 0) snprintf(options + n, sizeof options - (size_t)n, ",size=%llu", (unsigned long long)size);
		return mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0 || fail("failed", errno, "volume %s", v->name);
	}
	if (strcmp(v->type, "scratch") == 0) {
		char source[300];
		snprintf(source, sizeof source, RUN "/scratch/volumes/%s", v->name);
		if ((mkdir(source, 0755) != 0 && errno != EEXIST) || (count_directory(source, v->size) != 0 && v->size > 0))
			return fail("failed", errno, "volume %s", v->name);
		return mount(source, path, NULL, MS_BIND, NULL) == 0 || fail("failed", errno, "volume %s", v->name);
	}
	if (strcmp(v->type, "virtiofs") == 0 && v->tag != NULL)
		return mount(v->tag, path, "virtiofs", flags & ~(unsigned long)MS_NOSUID, NULL) == 0 || fail("failed", errno, "volume %s", v->name);
	if (strcmp(v->type, "disk") == 0 && v->has_disk && v->fs != NULL && (strcmp(v->fs, "ext4") == 0 || strcmp(v->fs, "erofs") == 0)) {
		if (!disk_path(v->disk, disk) || !forget_blocks(disk)) return false; /* it had no image at the boot */
		if (v->fs[1] == 'r') flags |= MS_NOEXEC; /* an image as a volume */
		return mount(disk, path, v->fs, flags, NULL) == 0 || fail("failed", errno, "volume %s on %s", v->name, disk);
	}
	return fail("invalid", 0, "volume %s: no type %.20s, or something is missing for it", v->name, v->type);
}
#else
int count_directory(const char *path, uint64_t bytes) { return path == NULL && bytes > 0; }
static bool mount_volume(const struct volume_request *v, const char *path) { return (v->type != NULL && path != NULL) || fail("invalid", 0, "type"); }
#endif

static bool is_mounted(const char *path)
{
	struct stat inside, outside;
	return stat(path, &inside) == 0 && stat(RUN "/volumes", &outside) == 0 && inside.st_dev != outside.st_dev;
}

bool volume_create(struct fields f)
{
	struct volume_request v = { .type = "" };
	const char *key, *value;
	char path[300];
	if (!read_name(f, "name", &v.name)) return false;
	while (next_field(&f, &key, &value)) {
		bool fine = true;
		if (strcmp(key, "name") == 0) continue;
		else if (strcmp(key, "type") == 0) v.type = value;
		else if (strcmp(key, "fs") == 0) v.fs = value;
		else if (strcmp(key, "tag") == 0) v.tag = value;
		else if (strcmp(key, "size-bytes") == 0) fine = parse_u64(value, 10, INT64_MAX, &v.size);
		else if (strcmp(key, "mode") == 0) fine = v.has_mode = parse_u32(value, 8, 07777, &v.mode);
		else if (strcmp(key, "uid") == 0) fine = parse_u32(value, 10, INT32_MAX, &v.uid);
		else if (strcmp(key, "gid") == 0) fine = parse_u32(value, 10, INT32_MAX, &v.gid);
		else if (strcmp(key, "disk") == 0) fine = v.has_disk = parse_u32(value, 10, 25, &v.disk);
		else if (strcmp(key, "ro") == 0) fine = parse_bool(value, &v.ro);
		else fine = fail("invalid", 0, "volume knows no %.40s", key);
		if (!fine) return false;
	}
	snprintf(path, sizeof path, RUN "/volumes/%s", v.name);
	if (mkdir(path, 0755) != 0 && errno != EEXIST) return fail("failed", errno, "volume %s", v.name);
	if (is_mounted(path)) return true;
	if (!mount_volume(&v, path)) return false;
	/* What is on a disk or shared from the host keeps its owner unless told otherwise. */
	if ((v.uid != 0 || v.gid != 0) && !v.ro && chown(path, v.uid, v.gid) != 0) return fail("failed", errno, "volume %s", v.name);
	if (v.has_mode && !v.ro && chmod(path, (mode_t)v.mode) != 0) return fail("failed", errno, "volume %s", v.name);
	return true;
}

/* What was counted in each directory below one. */
static void report_usage(const char *path, const char *key)
{
	DIR *directory = opendir(path);
	struct fsxattr attributes;
	struct if_dqblk quota;
	for (struct dirent *e; directory != NULL && (e = readdir(directory)) != NULL;) {
		int fd = e->d_name[0] == '.' ? -1 : openat(dirfd(directory), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0) continue;
		if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0 && attributes.fsx_projid != 0 &&
		    syscall(SYS_quotactl, QCMD(Q_GETQUOTA, PRJQUOTA), scratch_disk, attributes.fsx_projid, &quota) == 0) {
			out_field(key, "%s", e->d_name);
			out_field("bytes", "%llu", (unsigned long long)quota.dqb_curspace);
			out_field("inodes", "%llu", (unsigned long long)quota.dqb_curinodes);
		}
		close(fd);
	}
	if (directory != NULL) closedir(directory);
}

void disk_usage(uint32_t id)
{
	out_begin();
	report_usage(RUN "/scratch/volumes", "volume");
	report_usage(RUN "/scratch/containers", "container");
	out_send(OK, id);
}

int volume_open(const char *name, int flags)
{
	char path[300];
	snprintf(path, sizeof path, RUN "/volumes/%s", name);
	return open(path, O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW | flags);
}

/* One push at a time: the host sends them one after the other. */
static struct { uint32_t id; int volume, stage, file; bool atomic; char name[64], path[PATH_BYTES]; } push = { .volume = -1, .stage = -1, .file = -1 };

static void close_fd(int *fd)
{
	if (*fd >= 0) close(*fd);
	*fd = -1;
}

static bool finish_file(void)
{
	if (push.file < 0) return true;
	close_fd(&push.file);
	char temporary[PATH_BYTES + 8];
	if (push.atomic) return true;
	snprintf(temporary, sizeof temporary, "%s..new", push.path);
	return renameat(push.volume, temporary, push.volume, push.path) == 0 || fail("failed", errno, "push of %.100s", push.path);
}

void push_reset(void)
{
	close_fd(&push.file);
	if (push.stage >= 0 && push.atomic) remove_tree(push.volume, push.name);
	close_fd(&push.stage);
	close_fd(&push.volume);
	push.id = 0;
}

bool push_begin(uint32_t id, struct fields f)
{
	const char *volume, *key, *value;
	if (!read_name(f, "volume", &volume)) return false;
	push_reset();
	push.atomic = false;
	while (next_field(&f, &key, &value))
		if (strcmp(key, "atomic") == 0 && !parse_bool(value, &push.atomic)) return false;
	push.volume = volume_open(volume, O_RDONLY);
	if (push.volume < 0) return fail("unknown", errno, "volume %s", volume);
	snprintf(push.name, sizeof push.name, "..%llu", (unsigned long long)now_ns());
	if (push.atomic && mkdirat(push.volume, push.name, 0755) != 0) return fail("failed", errno, "push to %s", volume);
	push.stage = openat(push.volume, push.atomic ? push.name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (push.stage < 0) return fail("failed", errno, "push to %s", volume);
	push.id = id;
	return true;
}

/* openat2 that neither leaves the directory nor follows a link. */
static int open_below(int directory, const char *path, int flags, uint32_t mode)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .mode = mode, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

static bool make_parents(int directory, const char *path)
{
	char part[PATH_BYTES];
	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		char *last = strrchr(part, '/');
		const char *name = last == NULL ? part : last + 1;
		if (last != NULL) *last = 0;
		int parent = last == NULL ? dup(directory) : open_below(directory, part, O_RDONLY | O_DIRECTORY, 0);
		int result = parent < 0 ? -1 : mkdirat(parent, name, 0755), error = errno;
		if (parent >= 0) close(parent);
		if (result != 0 && error != EEXIST) return fail("failed", error, "push of %.100s", path);
	}
	return true;
}

static bool safe_path(const char *path)
{
	size_t n = strlen(path);
	if (n == 0 || n > 1024 || path[0] == '/' || path[n - 1] == '/' || strstr(path, "//") != NULL) return false;
	for (const char *p = path; p != NULL; p = strchr(p, '/')) {
		if (*p == '/') p++;
		size_t part = strcspn(p, "/");
		if (part > 200 || (part == 1 && p[0] == '.') || (part >= 2 && p[0] == '.' && p[1] == '.')) return false;
	}
	return true;
}

bool push_file(uint32_t id, struct fields f)
{
	const char *key, *value, *path = "";
	uint32_t mode = 0644, uid = 0, gid = 0;
	if (push.id != id || push.stage < 0) return fail("state", 0, "no push has this id");
	while (next_field(&f, &key, &value)) {
		bool fine = true;
		if (strcmp(key, "path") == 0) path = value;
		else if (strcmp(key, "mode") == 0) fine = parse_u32(value, 8, 07777, &mode);
		else if (strcmp(key, "uid") == 0) fine = parse_u32(value, 10, INT32_MAX, &uid);
		else if (strcmp(key, "gid") == 0) fine = parse_u32(value, 10, INT32_MAX, &gid);
		else fine = fail("invalid", 0, "file knows no %.40s", key);
		if (!fine) return false;
	}
	if (!safe_path(path)) return fail("invalid", 0, "not a path below a volume: %.100s", path);
	if (!finish_file() || !make_parents(push.stage, path)) return false;
	snprintf(push.path, sizeof push.path, "%s%s", path, push.atomic ? "" : "..new");
	push.file = open_below(push.stage, push.path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0600);
	snprintf(push.path, sizeof push.path, "%s", path);
	if (push.file < 0) return fail("failed", errno, "push of %.100s", path);
	if (fchown(push.file, uid, gid) != 0 || fchmod(push.file, (mode_t)mode) != 0) return fail("failed", errno, "push of %.100s", path);
	return true;
}

bool push_data(uint32_t id, const void *data, size_t bytes)
{
	if (push.id != id || push.file < 0) return fail("state", 0, "no file is being pushed with this id");
	ssize_t n = write(push.file, data, bytes);
	return n == (ssize_t)bytes || fail("failed", n < 0 ? errno : ENOSPC, "push of %.100s", push.path);
}

/* Links for what is new, then the switch, then away with what is gone: the order of the kubelet's atomic writer. */
static bool swap_data(void)
{
	char target[300], old[300];
	ssize_t n = readlinkat(push.volume, "..data", old, sizeof old - 1);
	old[n > 0 ? n : 0] = 0;
	DIR *entries = fdopendir(dup(push.stage));
	if (entries == NULL) return fail("failed", errno, "push");
	for (struct dirent *e; (e = readdir(entries)) != NULL;) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
		snprintf(target, sizeof target, "..data/%s", e->d_name);
		if (symlinkat(target, push.volume, e->d_name) != 0 && errno != EEXIST) {
			closedir(entries);
			return fail("failed", errno, "push of %.100s", e->d_name);
		}
	}
	closedir(entries);
	unlinkat(push.volume, "..data_new", 0);
	if (symlinkat(push.name, push.volume, "..data_new") != 0 || renameat(push.volume, "..data_new", push.volume, "..data") != 0)
		return fail("failed", errno, "push");
	entries = fdopendir(openat(push.volume, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	for (struct dirent *e; entries != NULL && (e = readdir(entries)) != NULL;)
		if (e->d_name[0] != '.' || e->d_name[1] != '.')
			if (e->d_type == DT_LNK && faccessat(push.stage, e->d_name, F_OK, AT_SYMLINK_NOFOLLOW) != 0) unlinkat(push.volume, e->d_name, 0);
	if (entries != NULL) closedir(entries);
	if (old[0] == '.' && old[1] == '.' && strchr(old, '/') == NULL && strcmp(old, push.name) != 0) remove_tree(push.volume, old);
	return true;
}

bool push_commit(uint32_t id)
{
	if (push.id != id || push.stage < 0) return fail("state", 0, "no push has this id");
	if (!finish_file() || (push.atomic && !swap_data())) {
		push_reset();
		return false;
	}
	push.atomic = false; /* what was the stage is in use now */
	push_reset();
	return true;
}
