#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "agent.h"

static int loop = -1;

bool watch(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events | EPOLLET, .data.fd = fd };
	return epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) == 0 || fail("limit", errno, "epoll");
}

int pidfd_of(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

/* Our children, and every orphan of the machine: process 1 must take them all. */
static void reap(void)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (!container_reaped(pid, code)) exec_reaped(pid, code);
	}
}

#ifdef AGENT_TEST
/* Descriptor 3 is the channel; its end is ours. */
static void prepare(void)
{
	extern void test_prepare(void);
	test_prepare();
	channel_init(3);
	watch(3, EPOLLIN | EPOLLOUT);
}
#else
static void prepare(void)
{
	int fd = -1;
	boot();
	/* Ports and their names come one by one after the driver is loaded. */
	for (int tries = 0; fd < 0 && tries < 10000; tries++) {
		fd = open_port("gantry.agent");
		if (fd < 0) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
	if (fd < 0) {
		dprintf(2, "gantry: no port gantry.agent: %s\n", strerror(errno));
		exit(1); /* the kernel panics: the host sees the machine end */
	}
	channel_init(fd);
	watch(fd, EPOLLIN | EPOLLOUT);
}
#endif

int main(int argc, char **argv)
{
#ifndef AGENT_TEST
	extern int main_modprobe(const char *alias);
	if (getpid() != 1) return argc > 1 ? main_modprobe(argv[argc - 1]) : 1;
#else
	(void)argc;
	(void)argv;
#endif
	sigset_t children;
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_BLOCK, &children, NULL);
	signal(SIGPIPE, SIG_IGN);
	loop = epoll_create1(EPOLL_CLOEXEC);
	int signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
	watch(signals, EPOLLIN);
	prepare();
	for (;;) {
		struct epoll_event events[32];
		struct signalfd_siginfo info;
		while (read(signals, &info, sizeof info) > 0) {}
		reap();
		bool again = channel_pump();
		again |= containers_pump();
		again |= log_flush();
		again |= execs_pump();
		channel_flush();
		epoll_wait(loop, events, 32, again ? 0 : containers_timeout());
	}
}
