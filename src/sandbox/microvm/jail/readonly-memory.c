/*
 * Loaded before QEMU's libraries in a clone. QEMU 7.2 opens a template's memory for writing even where it only maps a
 * private copy of it; there it is mounted read-only, so that no VM can change what others are cloned from, and QEMU
 * must be content with reading. (From 8.2 on it can be told: memory-backend-file,readonly=on,rom=off.)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int opened(const char *path, int flags, unsigned mode)
{
	if (strcmp(path, "/memory") == 0) flags = (flags & ~O_ACCMODE) | O_RDONLY;
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list rest;
	va_start(rest, flags);
	unsigned mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, unsigned) : 0;
	va_end(rest);
	return opened(path, flags, mode);
}

int __open64_2(const char *path, int flags) { return opened(path, flags, 0); }
