#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "agent.h"

/* One rtnetlink request: header, fixed part, attributes. Sizes are ours, not the peer's. */
static struct { struct nlmsghdr head; char rest[512]; } request;

static void begin(uint16_t type, uint16_t flags, const void *fixed, size_t bytes)
{
	memset(&request, 0, sizeof request);
	request.head = (struct nlmsghdr){ .nlmsg_len = (uint32_t)NLMSG_LENGTH(bytes), .nlmsg_type = type,
					  .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags) };
	memcpy(NLMSG_DATA(&request.head), fixed, bytes);
}

static void attribute(uint16_t type, const void *data, size_t bytes)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)&request + NLMSG_ALIGN(request.head.nlmsg_len));
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(bytes);
	memcpy(RTA_DATA(a), data, bytes);
	request.head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(request.head.nlmsg_len) + RTA_LENGTH(bytes));
}

static int talk(int fd)
{
	static union { struct nlmsghdr head; char bytes[8192]; } reply;
	if (send(fd, &request, request.head.nlmsg_len, 0) < 0) return errno;
	ssize_t n = recv(fd, &reply, sizeof reply, 0);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || reply.head.nlmsg_type != NLMSG_ERROR) return EPROTO;
	return -((struct nlmsgerr *)NLMSG_DATA(&reply.head))->error;
}

static int set_link(int fd, int index, bool up, const uint8_t *mac, uint32_t mtu)
{
	struct ifinfomsg link = { .ifi_index = index, .ifi_change = IFF_UP, .ifi_flags = up ? IFF_UP : 0 };
	begin(RTM_NEWLINK, 0, &link, sizeof link);
	if (mac != NULL) attribute(IFLA_ADDRESS, mac, 6);
	if (mtu != 0) attribute(IFLA_MTU, &mtu, sizeof mtu);
	return talk(fd);
}

struct prefix { uint8_t family, length; size_t bytes; uint8_t address[16]; };

static bool parse_address(const char *text, struct prefix *p)
{
	p->family = strchr(text, ':') == NULL ? AF_INET : AF_INET6;
	p->bytes = p->family == AF_INET ? 4 : 16;
	p->length = (uint8_t)(p->bytes * 8);
	return inet_pton(p->family, text, p->address) == 1 || fail("invalid", 0, "not an address: %.60s", text);
}

static bool parse_prefix(const char *text, struct prefix *p)
{
	char copy[64];
	uint32_t length;
	snprintf(copy, sizeof copy, "%s", text);
	char *slash = strchr(copy, '/');
	if (slash != NULL) *slash = 0;
	if (!parse_address(copy, p)) return false;
	if (slash == NULL) return true;
	if (!parse_u32(slash + 1, 10, p->length, &length)) return false;
	p->length = (uint8_t)length;
	return true;
}

static bool add_address(int fd, int index, const char *text)
{
	struct prefix p;
	if (!parse_prefix(text, &p)) return false;
	struct ifaddrmsg address = { .ifa_family = p.family, .ifa_prefixlen = p.length, .ifa_index = (uint32_t)index,
				     .ifa_flags = p.family == AF_INET6 ? IFA_F_NODAD : 0 };
	begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &address, sizeof address);
	attribute(IFA_LOCAL, p.address, p.bytes);
	attribute(IFA_ADDRESS, p.address, p.bytes);
	int error = talk(fd);
	return error == 0 || fail("failed", error, "address %.60s", text);
}

static bool add_route(int fd, int index, const char *text)
{
	char destination[128];
	struct prefix to = { 0 }, via = { 0 };
	snprintf(destination, sizeof destination, "%s", text);
	char *gateway = strchr(destination, ' ');
	if (gateway != NULL) *gateway++ = 0;
	if (gateway != NULL && !parse_address(gateway, &via)) return false;
	if (strcmp(destination, "default") == 0) to.family = gateway != NULL ? via.family : AF_INET;
	else if (!parse_prefix(destination, &to)) return false;
	if (gateway != NULL && via.family != to.family) return fail("invalid", 0, "route %.80s", text);
	struct rtmsg route = { .rtm_family = to.family, .rtm_dst_len = to.length, .rtm_table = RT_TABLE_MAIN,
			       .rtm_protocol = RTPROT_STATIC, .rtm_type = RTN_UNICAST,
			       .rtm_scope = gateway != NULL ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK };
	begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route, sizeof route);
	if (to.length > 0) attribute(RTA_DST, to.address, to.bytes);
	if (gateway != NULL) attribute(RTA_GATEWAY, via.address, via.bytes);
	attribute(RTA_OIF, &index, sizeof index);
	int error = talk(fd);
	return error == 0 || fail("failed", error, "route %.80s", text);
}

static int first_interface(void)
{
	DIR *all = opendir("/sys/class/net");
	unsigned index = 0;
	for (struct dirent *e; all != NULL && index == 0 && (e = readdir(all)) != NULL;)
		if (e->d_name[0] != '.' && strcmp(e->d_name, "lo") != 0) index = if_nametoindex(e->d_name);
	if (all != NULL) closedir(all);
	return (int)index;
}

/*
 * With link-local addresses of its own a card must be taken down and up again to get another MAC address, which a clone
 * is long about: so it has them only in a pod with IPv6.
 */
static void link_local(int index, bool wanted)
{
	char name[IF_NAMESIZE], path[64 + IF_NAMESIZE];
	if (if_indextoname((unsigned)index, name) == NULL) return;
	snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/addr_gen_mode", name);
	write_text(path, wanted ? "0" : "1"); /* a kernel without IPv6 has none */
}

/* What no pod's address is needed for: clones find it done. */
void net_prepare(void)
{
	int index = first_interface(), fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0) return;
	set_link(fd, (int)if_nametoindex("lo"), true, NULL, 0);
	if (index != 0) {
		link_local(index, false);
		set_link(fd, index, true, NULL, 0);
	}
	close(fd);
}

bool net_configure(const char *mac_text, uint32_t mtu, const char **addresses, size_t n_addresses, const char **routes,
		   size_t n_routes)
{
	uint8_t mac[6];
	int used = 0, index = first_interface();
	if (sscanf(mac_text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5, &used) != 6
	    || mac_text[used] != 0) return fail("invalid", 0, "not a MAC address: %.40s", mac_text);
	if (index == 0) return fail("failed", ENODEV, "network");
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0) return fail("failed", errno, "netlink");
	int lo = (int)if_nametoindex("lo");
	int error = set_link(fd, lo, true, NULL, 0);
	bool ipv6 = false;
	for (size_t i = 0; i < n_addresses; i++) ipv6 |= strchr(addresses[i], ':') != NULL;
	/* virtio's cards may change their MAC while they are up; old IPv4 routes go with the last address. */
	if (ipv6) link_local(index, true);
	if (error == 0) error = set_link(fd, index, !ipv6, mac, mtu);
	struct ifaddrmsg all = { .ifa_family = AF_INET, .ifa_index = (uint32_t)index };
	for (int i = 0; error == 0 && i < MAX_LIST; i++) { /* one at a time until none is left */
		begin(RTM_DELADDR, 0, &all, sizeof all);
		if (talk(fd) != 0) break;
	}
	if (error == 0 && ipv6) error = set_link(fd, index, true, NULL, 0);
	bool fine = error == 0 || fail("failed", error, "network link");
	for (size_t i = 0; fine && i < n_addresses; i++) fine = add_address(fd, index, addresses[i]);
	for (size_t i = 0; fine && i < n_routes; i++) fine = add_route(fd, index, routes[i]);
	close(fd);
	return fine;
}
