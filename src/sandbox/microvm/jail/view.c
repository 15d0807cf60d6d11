#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "jailer.h"

#define VIEW "view"

static void make_parents(char *path)
{
	for (char *p = strchr(path + sizeof VIEW, '/'); p != NULL; p = strchr(p + 1, '/')) {
		*p = 0;
		if (mkdir(path, 0755) < 0 && errno != EEXIST) die("cannot make", path);
		*p = '/';
	}
}

static void attributes(const char *path, unsigned flags, __u64 set, __u64 clear)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear };
	if (syscall(SYS_mount_setattr, AT_FDCWD, path, flags, &attr, sizeof attr) < 0) die("cannot restrict", path);
}

static void add(const struct entry *entry, char *path, uid_t uid)
{
	make_parents(path);
	if (entry->kind == LINK) {
		if (symlink(entry->source, path) < 0) die("cannot link", path);
		return;
	}
	struct stat st;
	if (stat(entry->source, &st) < 0) die("cannot find", entry->source);
	if (entry->kind == NODE) {
		/* Whoever the host's belongs to: root alone, often. */
		if (mknod(path, S_IFCHR | 0600, st.st_rdev) < 0 || chown(path, uid, uid) < 0) die("cannot make", path);
		return;
	}
	if (S_ISDIR(st.st_mode)) {
		if (mkdir(path, 0755) < 0 && errno != EEXIST) die("cannot make", path);
	} else {
		int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
		if (fd < 0) die("cannot make", path);
		close(fd);
	}
	if (mount(entry->source, path, NULL, MS_BIND, NULL) < 0) die("cannot mount", entry->source);
}

void enter_view(const struct entry *entries, size_t count, uid_t uid)
{
	static char path[PATH_MAX];
	umask(022); /* QEMU's user must find its way */
	if (mkdir(VIEW, 0700) < 0 && errno != EEXIST) die("cannot make", VIEW);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) die("cannot part from the host's mounts", "");
	if (mount("view", VIEW, "tmpfs", 0, "mode=0755,size=64k,nr_inodes=128") < 0) die("cannot mount", VIEW);
	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof path, VIEW "%s", entries[i].target);
		add(&entries[i], path, uid);
	}
	attributes(VIEW, AT_RECURSIVE, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0);
	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof path, VIEW "%s", entries[i].target);
		if (entries[i].kind == WRITABLE) attributes(path, 0, 0, MOUNT_ATTR_RDONLY);
		if (entries[i].kind == DEVICE) attributes(path, 0, 0, MOUNT_ATTR_NODEV);
		if (entries[i].kind == NODE) attributes(VIEW, 0, 0, MOUNT_ATTR_NODEV);
	}
	if (chdir(VIEW) < 0 || syscall(SYS_pivot_root, ".", ".") < 0) die("cannot change into", VIEW);
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) die("cannot leave the host's tree", "");
	umask(077);
}
