#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "agent.h"

/*
 * The order is what makes it safe: sources are opened while the agent's files can be seen; then the container's root
 * becomes /, and only then are targets made and resolved, so no link in an image or volume leads anywhere else.
 */

#define RACES 64 /* how often a lookup is tried again when somebody renames what it goes through */

static int tree_of(int directory, const char *path, unsigned flags)
{
	return open_tree(directory, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | flags);
}

/* Links may be followed inside the volume (..data), never out of it. */
static int open_in(int volume, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	int fd = -1;
	for (int i = 0; i < RACES; i++) {
		fd = (int)syscall(SYS_openat2, volume, path, &how, sizeof how);
		if (fd >= 0 || errno != EAGAIN) break;
	}
	return fd;
}

/* A volume, or its sub path, which is made with the mode of the volume's root where it is wanted. */
static int open_source(const struct mount_spec *m)
{
	struct stat top;
	int volume = volume_open(m->volume, O_PATH);
	if (volume >= 0 && m->root != NULL) { /* opened in a way that mounts what is mounted at first use */
		int root = openat(volume, m->root, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
		close(volume);
		volume = root;
	}
	if (volume < 0) die("volume %s", m->root != NULL ? m->root : m->volume);
	if (m->path[0] == 0) return tree_of(volume, "", AT_EMPTY_PATH);
	char part[PATH_BYTES];
	if (fstat(volume, &top) != 0) die("volume %s", m->volume);
	for (const char *slash = m->path; m->create && slash != NULL;) { /* as mkdir -p, each step below the volume */
		slash = strchr(slash, '/');
		snprintf(part, sizeof part, "%.*s", slash == NULL ? (int)strlen(m->path) : (int)(slash - m->path), m->path);
		char *last = strrchr(part, '/');
		if (last != NULL) *last = 0;
		int parent = open_in(volume, last == NULL ? "." : part);
		if (parent < 0 || (mkdirat(parent, last == NULL ? part : last + 1, top.st_mode & 07777) != 0 && errno != EEXIST && errno != EROFS))
			die("volume %s: %.200s", m->volume, m->path);
		close(parent);
		if (slash != NULL) slash++;
	}
	int fd = open_in(volume, m->path);
	if (fd < 0) die("volume %s: %.200s", m->volume, m->path);
	int tree = tree_of(fd, "", AT_EMPTY_PATH);
	close(fd);
	close(volume);
	return tree;
}

static void make_directories(const char *path)
{
	char part[PATH_BYTES];
	for (const char *slash = path; slash != NULL;) {
		slash = strchr(slash + 1, '/');
		snprintf(part, sizeof part, "%.*s", slash == NULL ? (int)strlen(path) : (int)(slash - path), path);
		if (mkdir(part, 0755) != 0 && errno != EEXIST) die("directory %.200s", part);
	}
}

static void make_target(const char *path, bool directory)
{
	struct stat now;
	if (stat(path, &now) == 0) return;
	if (directory) {
		make_directories(path);
		return;
	}
	char parent[PATH_BYTES];
	snprintf(parent, sizeof parent, "%s", path);
	char *slash = strrchr(parent, '/');
	if (slash != NULL && slash != parent) {
		*slash = 0;
		make_directories(parent);
	}
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC | O_NONBLOCK, 0644);
	if (fd < 0) die("mount point %.200s", path);
	close(fd);
}

static void attach(int tree, const char *target, uint64_t attributes, unsigned recursive)
{
	struct stat source;
	struct mount_attr attr = { .attr_set = attributes };
	if (tree < 0 || fstat(tree, &source) != 0) die("mount at %.200s", target);
	make_target(target, S_ISDIR(source.st_mode));
	if (attributes != 0 && mount_setattr(tree, "", AT_EMPTY_PATH | recursive, &attr, sizeof attr) != 0) die("mount at %.200s", target);
	if (move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) != 0) die("mount at %.200s", target);
	close(tree);
}

static void mount_fs(const char *type, const char *target, unsigned long flags, const char *options)
{
	make_target(target, true);
	if (mount(type, target, type, flags, options) != 0) die("%s at %s", type, target);
}

static void make_devices(void)
{
	static const struct { const char *path; unsigned major, minor; } nodes[] = {
		{ "/dev/null", 1, 3 }, { "/dev/zero", 1, 5 }, { "/dev/full", 1, 7 }, { "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
	};
	static const char *links[][2] = {
		{ "/proc/self/fd", "/dev/fd" }, { "/proc/self/fd/0", "/dev/stdin" }, { "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" }, { "pts/ptmx", "/dev/ptmx" },
	};
	mount_fs("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
		if (mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) != 0) die("%s", nodes[i].path);
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		if (symlink(links[i][0], links[i][1]) != 0) die("%s", links[i][1]);
	mount_fs("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
	mount_fs("mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static void mask(const char *path)
{
	struct stat now;
	if (stat(path, &now) != 0) return;
	if (S_ISDIR(now.st_mode) ? mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0k") : mount("/dev/null", path, NULL, MS_BIND, NULL))
		die("mask %s", path);
}

static void mount_overlay(const struct child *child, char *root, size_t bytes)
{
	char layer[300], path[320], options[1024];
	snprintf(layer, sizeof layer, RUN "/scratch/containers/%s", spec.container);
	mkdir(layer, 0700);
	snprintf(path, sizeof path, "%s/upper", layer);
	mkdir(path, 0755);
	snprintf(path, sizeof path, "%s/work", layer);
	mkdir(path, 0700);
	snprintf(root, bytes, "%s/root", child->directory);
	mkdir(root, 0755);
	snprintf(options, sizeof options, "lowerdir=" RUN "/images/%u,upperdir=%s/upper,workdir=%s/work", spec.image, layer, layer);
	if (mount("overlay", root, "overlay", 0, options) != 0) die("overlay");
}

void build_root(const struct child *child)
{
	char root[300];
	unsigned long access = spec.privileged ? 0 : MS_RDONLY;
	bool own_termination = spec.termination_path != NULL;
	if (mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) != 0) die("mount namespace");
	umask(0);
	for (size_t i = 0; i < spec.n_mounts; i++) spec.mounts[i].fd = open_source(&spec.mounts[i]);
	int shm = tree_of(AT_FDCWD, RUN "/shm", 0);
	snprintf(root, sizeof root, "%s/termination", child->directory);
	int termination = tree_of(AT_FDCWD, root, AT_SYMLINK_NOFOLLOW);
	if (shm < 0 || termination < 0) die("pod files");
	mount_overlay(child, root, sizeof root);
	if (chdir(root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) die("root");
	mount_fs("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	make_devices();
	mount_fs("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | access, NULL);
	mount_fs("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME | access, NULL);
	attach(shm, "/dev/shm", 0, 0);
	for (size_t i = 0; i < spec.n_tmpfs; i++) mount_fs("tmpfs", spec.tmpfs[i], MS_NOSUID | MS_NODEV, "mode=1777");
	umask(022);
	for (size_t i = 0; i < spec.n_mounts; i++) {
		const struct mount_spec *m = &spec.mounts[i];
		attach(m->fd, m->target, m->ro ? MOUNT_ATTR_RDONLY : 0, AT_RECURSIVE);
		if (own_termination && strcmp(m->target, spec.termination_path) == 0) own_termination = false;
	}
	if (own_termination) attach(termination, spec.termination_path, 0, 0);
	for (size_t i = 0; i < spec.n_readonly; i++) {
		int tree = tree_of(AT_FDCWD, spec.readonly[i], 0);
		if (tree < 0 && errno == ENOENT) continue;
		attach(tree, spec.readonly[i], MOUNT_ATTR_RDONLY, AT_RECURSIVE);
	}
	for (size_t i = 0; i < spec.n_masked; i++) mask(spec.masked[i]);
	struct stat now;
	if (stat(spec.cwd, &now) != 0) make_directories(spec.cwd);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	if (spec.ro_rootfs && mount_setattr(AT_FDCWD, "/", 0, &attr, sizeof attr) != 0) die("read-only root");
}
