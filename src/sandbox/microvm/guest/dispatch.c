#include <string.h>
#include <sys/utsname.h>
#include "agent.h"

/* The host of before is gone: what was only for it ends. Containers stay. */
void session_reset(void)
{
	execs_reset();
	push_reset();
	containers_reset();
}

static bool hello(uint32_t id, struct fields f)
{
	const char *key, *value, *nonce = "";
	struct utsname kernel;
	while (next_field(&f, &key, &value))
		if (strcmp(key, "nonce") == 0) nonce = value;
	if (strlen(nonce) > 64) return fail("invalid", 0, "the nonce is too long");
	uname(&kernel);
	out_begin();
	out_field("nonce", "%s", nonce);
	out_field("version", "%d", PROTOCOL_VERSION);
	out_field("kernel", "%s", kernel.release);
	out_field("configured", "%d", configured);
	out_send(OK, id);
	return true;
}

static bool number(struct fields f, const char *wanted, uint32_t max, uint32_t *result)
{
	const char *key, *value;
	while (next_field(&f, &key, &value))
		if (strcmp(key, wanted) == 0) return parse_u32(value, 10, max, result);
	return fail("invalid", 0, "%s is missing", wanted);
}

/* Who answers: this function at once, the one called some time later, or nobody. */
enum answer { NOW, LATER, ONLY_ERRORS };

static bool handle(struct frame frame, struct fields f, enum answer *answer)
{
	const char *name;
	uint32_t n, credit, id = frame.id;
	*answer = LATER;
	switch (frame.type) {
	case HELLO: return hello(id, f);
	case PING: *answer = NOW; return true;
	case CONFIGURE: *answer = NOW; return configure(f);
	case VOLUME: *answer = NOW; return volume_create(f);
	case PUSH_BEGIN: *answer = NOW; return push_begin(id, f);
	case PUSH_FILE: *answer = ONLY_ERRORS; return push_file(id, f);
	case PUSH_DATA: *answer = ONLY_ERRORS; return push_data(id, f.at, (size_t)(f.end - f.at));
	case PUSH_COMMIT: *answer = NOW; return push_commit(id);
	case CREATE: return parse_spec(f, false) && container_create(id);
	case START: return read_name(f, "container", &name) && container_start(id, name);
	case SIGNAL: *answer = NOW; return read_name(f, "container", &name) && number(f, "signal", 64, &n) && container_signal(name, n);
	case KILL: *answer = NOW; return read_name(f, "container", &name) && container_kill(name);
	case REMOVE: return read_name(f, "container", &name) && container_remove(id, name);
	case LIST: container_list(id); return true;
	case STATS: container_stats(id); return true;
	case USAGE: disk_usage(id); return true;
	case LOG: return read_name(f, "container", &name) && number(f, "log-port", 63, &n) && container_log(id, name, n);
	case EXEC: return parse_spec(f, true) && exec_start(id);
	case ATTACH: *answer = NOW; return attach_start(id, f);
	case DIAL: return number(f, "port", 65535, &n) && number(f, "credit", MAX_MESSAGE, &credit) && dial_start(id, (uint16_t)n, credit);
	case EXEC_STDIN: *answer = ONLY_ERRORS; return exec_stdin(id, f.at, (size_t)(f.end - f.at), (frame.flags & FLAG_EOF) != 0);
	case EXEC_RESIZE: *answer = ONLY_ERRORS; return exec_resize(id, f);
	case EXEC_SIGNAL: *answer = ONLY_ERRORS; return number(f, "signal", 64, &n) && exec_signal(id, n);
	case EXEC_CREDIT: *answer = ONLY_ERRORS; return number(f, "bytes", MAX_MESSAGE, &n) && exec_credit(id, n);
	case SHUTDOWN: *answer = NOW; return true;
	default: return fail("invalid", 0, "there is no request %u", frame.type);
	}
}

void dispatch(struct frame frame, char *payload, size_t bytes)
{
	struct fields f = { payload, payload + bytes };
	enum answer answer;
	if (frame.id == 0) return; /* nobody to answer to */
	fail_reset();
	if (!handle(frame, f, &answer)) {
		if (frame.type == PUSH_FILE || frame.type == PUSH_DATA) push_reset();
		send_error(frame.id);
	} else if (answer == NOW) {
		out_begin();
		out_send(OK, frame.id);
	}
	fail_reset();
	if (frame.type == SHUTDOWN) {
		channel_flush();
		power_off();
	}
}
