#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "agent.h"

static void install_filter(void)
{
	if (spec.seccomp.len == 0) return;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &spec.seccomp) != 0) die("seccomp");
}

/* Everything that takes power away from the child; the last steps before execve. */
void set_rights(void)
{
	for (size_t i = 0; i < spec.n_rlimits; i++) {
		struct rlimit limit = { spec.rlimits[i].soft, spec.rlimits[i].hard };
		if (setrlimit((__rlimit_resource_t)spec.rlimits[i].resource, &limit) != 0) die("rlimit");
	}
	if (spec.no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) die("no_new_privs");
	/* Without no_new_privs the kernel wants CAP_SYS_ADMIN for a filter, which is about to go. */
	if (!spec.no_new_privs) install_filter();
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if ((spec.caps >> cap & 1) == 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) die("bounding capabilities");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) die("ambient capabilities");
	if (setgroups(spec.n_groups, spec.groups) != 0) die("groups");
	if (setresgid(spec.gid, spec.gid, spec.gid) != 0) die("gid %u", spec.gid);
	if (setresuid(spec.uid, spec.uid, spec.uid) != 0) die("uid %u", spec.uid);
	uint64_t caps = spec.uid == 0 ? spec.caps : 0;
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct sets[2] = { { (uint32_t)caps, (uint32_t)caps, 0 }, { (uint32_t)(caps >> 32), (uint32_t)(caps >> 32), 0 } };
	if (syscall(SYS_capset, &head, sets) != 0) die("capabilities");
	if (spec.no_new_privs) install_filter();
}
