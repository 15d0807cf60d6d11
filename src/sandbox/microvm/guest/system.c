#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include "agent.h"

#define RESERVED_BYTES (12u << 20)

bool configured;
char scratch_disk[32];

uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) return -1;
	ssize_t n = write(fd, text, strlen(text));
	int error = errno;
	close(fd);
	errno = error;
	return n < 0 ? -1 : 0;
}

ssize_t read_text(const char *path, char *buffer, size_t capacity)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) return -1;
	ssize_t n = read(fd, buffer, capacity - 1);
	close(fd);
	if (n >= 0) buffer[n] = 0;
	return n;
}

void remove_tree(int directory, const char *name)
{
	if (unlinkat(directory, name, 0) == 0 || errno == ENOENT) return;
	int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (entries == NULL) return;
	for (struct dirent *e; (e = readdir(entries)) != NULL;)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) remove_tree(fd, e->d_name);
	closedir(entries);
	unlinkat(directory, name, AT_REMOVEDIR);
}

bool disk_path(uint32_t disk, char path[32])
{
	if (disk > 25) return fail("invalid", 0, "there is no disk %u", disk);
	snprintf(path, 32, "/dev/vd%c", (char)('a' + disk));
	return true;
}

#ifndef AGENT_TEST
/* A clone may have read a disk's blocks when the disk was another one. */
bool forget_blocks(const char *device)
{
	int fd = open(device, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return fail("failed", errno, "disk %s", device);
	ioctl(fd, BLKFLSBUF, 0);
	close(fd);
	return true;
}

int open_port(const char *name)
{
	DIR *ports = opendir("/sys/class/virtio-ports");
	int fd = -1, error = ENOENT;
	if (ports == NULL) return -1;
	for (struct dirent *e; fd < 0 && (e = readdir(ports)) != NULL;) {
		char path[300], text[64];
		snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", e->d_name);
		if (e->d_name[0] == '.' || read_text(path, text, sizeof text) <= 0) continue;
		text[strcspn(text, "\n")] = 0;
		if (strcmp(text, name) != 0) continue;
		snprintf(path, sizeof path, "/dev/%s", e->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		error = errno;
	}
	closedir(ports);
	errno = error;
	return fd;
}

static void load_modules(const char *list)
{
	FILE *file = fopen(list, "re");
	char path[PATH_BYTES];
	while (file != NULL && fgets(path, sizeof path, file) != NULL) {
		path[strcspn(path, "\n")] = 0;
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST))
			dprintf(2, "gantry: module %s: %s\n", path, strerror(errno));
		if (fd >= 0) close(fd);
	}
	if (file != NULL) fclose(file);
}

static void need(int result, const char *what)
{
	if (result != 0 && errno != EBUSY && errno != EEXIST) dprintf(2, "gantry: %s: %s\n", what, strerror(errno));
}

/* The kernel calls /modprobe for modules that are not needed in every pod, such as a file system's. */
int main_modprobe(const char *alias)
{
	char list[300];
	if (strchr(alias, '/') != NULL) return 1;
	snprintf(list, sizeof list, "/modules/alias/%s", alias);
	load_modules(list);
	return 0;
}

void boot(void)
{
	char limit[32];
	umask(022);
	need(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "/proc");
	need(mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "/sys");
	need(mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755"), "/dev");
	int console = open("/dev/console", O_RDWR | O_NOCTTY);
	for (int fd = 0; console >= 0 && fd < 3; fd++) dup2(console, fd);
	if (console > 2) close(console);
	load_modules("/modules/boot");
	/* The first root file system cannot be pivoted away from, as containers must; one mounted over it can. */
	need(mount("/", "/root", NULL, MS_BIND | MS_REC, NULL), "/root");
	need(chdir("/root"), "/root");
	need(mount(".", "/", NULL, MS_MOVE, NULL), "moving the root");
	need(chroot("."), "chroot");
	need(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL), "private mounts");
	need(mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"), "/run");
	need(mount("cgroup2", CGROUPS, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), CGROUPS);
	static const char *directories[] = { RUN, RUN "/images", RUN "/volumes", RUN "/containers", RUN "/scratch", RUN "/shm" };
	for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) need(mkdir(directories[i], 0755), directories[i]);
	need(mount("shm", RUN "/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777"), "shm");
	need(mkdir(APPS, 0755), APPS);
	need(write_text(CGROUPS "/cgroup.subtree_control", "+cpu +memory +pids"), "cgroup controllers");
	need(write_text(APPS "/cgroup.subtree_control", "+cpu +memory +pids"), "cgroup controllers");
	/* What apps use, with all they put into a tmpfs, leaves the kernel and us enough to go on: no panic, ever. */
	struct sysinfo memory;
	sysinfo(&memory);
	snprintf(limit, sizeof limit, "%llu", (unsigned long long)memory.freeram * memory.mem_unit - RESERVED_BYTES);
	need(write_text(APPS "/memory.max", limit), "memory");
	need(write_text("/proc/sys/kernel/modprobe", "/modprobe"), "modprobe");
	need(write_text("/proc/self/oom_score_adj", "-1000"), "oom_score_adj");
	net_prepare();
	cgroup_prepare();
}

static bool add_entropy(const char *hex)
{
	struct { struct rand_pool_info info; uint8_t bytes[512]; } pool = { 0 };
	ssize_t n = parse_hex(hex, pool.bytes, sizeof pool.bytes);
	if (n < 32) return fail("invalid", 0, "entropy must be 32 to 512 bytes in hex");
	/* RNDADDENTROPY takes the bytes right behind its header: that is where the flexible array is. */
	pool.info.buf_size = (int)n;
	pool.info.entropy_count = (int)n * 8;
	int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) != 0 || ioctl(fd, RNDRESEEDCRNG) != 0) {
		int error = errno;
		if (fd >= 0) close(fd);
		return fail("failed", error, "entropy");
	}
	close(fd);
	configured = true;
	return true;
}

static bool set_clock(const char *text)
{
	uint64_t ns;
	if (!parse_u64(text, 10, INT64_MAX, &ns)) return false;
	struct timespec t = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
	return clock_settime(CLOCK_REALTIME, &t) == 0 || fail("failed", errno, "clock");
}

static bool set_sysctl(char *text)
{
	char path[300];
	char *value = strchr(text, '=');
	if (value == NULL || strstr(text, "..") != NULL || text[0] == '/') return fail("invalid", 0, "sysctl %.80s", text);
	int n = snprintf(path, sizeof path, "/proc/sys/%.*s", (int)(value - text), text);
	if (n < 0 || (size_t)n >= sizeof path) return fail("invalid", 0, "sysctl %.80s", text);
	for (char *p = path; *p != 0; p++) /* as sysctl(8): what comes first separates, the other stands for itself */
		if (*p == '.' && strchr(text, '/') == NULL) *p = '/';
	return write_text(path, value + 1) == 0 || fail("failed", errno, "sysctl %.80s", text);
}

static bool mount_scratch(const char *text)
{
	uint32_t disk;
	char path[32];
	if (scratch_disk[0] != 0) return true;
	if (!parse_u32(text, 10, 25, &disk) || !disk_path(disk, path) || !forget_blocks(path)) return false;
	if (mount(path, RUN "/scratch", "ext4", MS_NOATIME | MS_NODEV, "discard,prjquota,noinit_itable,no_prefetch_block_bitmaps") != 0) return fail("failed", errno, "scratch disk");
	mkdir(RUN "/scratch/containers", 0700);
	mkdir(RUN "/scratch/volumes", 0700);
	sync(); /* in a template: each of its clones would have to write the same */
	strcpy(scratch_disk, path);
	return true;
}

static bool limit_apps(const char *bytes)
{
	char text[32];
	uint64_t now, wanted;
	if (!parse_u64(bytes, 10, INT64_MAX, &wanted)) return false;
	if (read_text(APPS "/memory.max", text, sizeof text) < 0) return fail("failed", errno, "memory");
	text[strcspn(text, "\n")] = 0;
	if (parse_u64(text, 10, INT64_MAX, &now) && now <= wanted) return true;
	return write_text(APPS "/memory.max", bytes) == 0 || fail("failed", errno, "memory");
}

void power_off(void)
{
	containers_kill_all();
	sync();
	reboot(RB_POWER_OFF);
}
#else
static bool add_entropy(const char *hex)
{
	uint8_t bytes[512];
	if (parse_hex(hex, bytes, sizeof bytes) < 32) return fail("invalid", 0, "entropy");
	return configured = true;
}
static bool set_clock(const char *text) { uint64_t ns; return parse_u64(text, 10, INT64_MAX, &ns); }
static bool set_sysctl(char *text) { return strchr(text, '=') != NULL || fail("invalid", 0, "sysctl"); }
static bool limit_apps(const char *bytes) { uint64_t wanted; return parse_u64(bytes, 10, INT64_MAX, &wanted); }
static bool mount_scratch(const char *text) { uint32_t disk; return parse_u32(text, 10, 25, &disk) && disk_path(disk, scratch_disk); }
void power_off(void) {}
#endif

bool configure(struct fields f)
{
	const char *key, *value, *mac = NULL, *addresses[MAX_LIST], *routes[MAX_LIST];
	size_t n_addresses = 0, n_routes = 0;
	uint32_t mtu = 0;
	while (next_field(&f, &key, &value)) {
		bool fine = true;
		if (strcmp(key, "wall-clock-ns") == 0) fine = set_clock(value);
		else if (strcmp(key, "entropy") == 0) fine = add_entropy(value);
		else if (strcmp(key, "hostname") == 0) fine = sethostname(value, strlen(value)) == 0 || fail("failed", errno, "hostname");
		else if (strcmp(key, "mac") == 0) mac = value;
		else if (strcmp(key, "mtu") == 0) fine = parse_u32(value, 10, 65535, &mtu);
		else if (strcmp(key, "address") == 0 && n_addresses < MAX_LIST) addresses[n_addresses++] = value;
		else if (strcmp(key, "route") == 0 && n_routes < MAX_LIST) routes[n_routes++] = value;
		else if (strcmp(key, "sysctl") == 0) fine = set_sysctl((char *)(uintptr_t)value);
		else if (strcmp(key, "scratch-disk") == 0) fine = mount_scratch(value);
		else if (strcmp(key, "memory-bytes") == 0) fine = limit_apps(value);
		else fine = fail("invalid", 0, "configure knows no %.40s, or too many", key);
		if (!fine) return false;
	}
	return mac == NULL || net_configure(mac, mtu, addresses, n_addresses, routes, n_routes);
}
