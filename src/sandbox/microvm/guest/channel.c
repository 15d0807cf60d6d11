#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent.h"

/* Above LOW_WATER no request is read and no exec output either; replies and events that are due still fit. */
#define LOW_WATER (256u << 10)
#define QUEUE_BYTES (4u << 20)

static int port = -1;
static bool greeted;
static uint8_t in[HEADER_BYTES + MAX_PAYLOAD + TRAILER_BYTES];
static size_t in_bytes;
static struct { uint8_t data[QUEUE_BYTES]; size_t start, end; } queue;
static struct message message; /* being put together from frames with MORE */
static struct frame open_frame;
static bool is_open;
struct message out;

static uint32_t crc_table[256];

static uint32_t crc32(const uint8_t *data, size_t bytes)
{
	uint32_t crc = ~0u;
	while (bytes-- > 0) crc = crc_table[(crc ^ *data++) & 0xff] ^ crc >> 8;
	return ~crc;
}

void channel_init(int fd)
{
	port = fd;
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
		crc_table[i] = c;
	}
}

bool channel_open(void) { return greeted; }

size_t channel_room(void)
{
	size_t used = queue.end - queue.start;
	return used >= LOW_WATER ? 0 : LOW_WATER - used;
}

static uint32_t get32(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }
static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static void put32(uint8_t *p, uint32_t v) { for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i); }
static void put16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)v; p[1] = (uint8_t)(v >> 8); }

bool channel_flush(void)
{
	while (queue.start < queue.end) {
		ssize_t n = write(port, queue.data + queue.start, queue.end - queue.start);
		if (n <= 0) return false; /* full, or no host: it asks again when it comes */
		queue.start += (size_t)n;
	}
	queue.start = queue.end = 0;
	return true;
}

/* Without a host nothing is kept: LIST tells the next one everything. The same if the queue is full. */
void send_frame(uint16_t type, uint16_t flags, uint32_t id, const void *data, size_t bytes)
{
	size_t total = HEADER_BYTES + bytes + TRAILER_BYTES;
	if (!greeted || bytes > MAX_PAYLOAD) return;
	if (queue.end + total > QUEUE_BYTES) {
		memmove(queue.data, queue.data + queue.start, queue.end - queue.start);
		queue.end -= queue.start;
		queue.start = 0;
		if (queue.end + total > QUEUE_BYTES) return;
	}
	uint8_t *p = queue.data + queue.end;
	put32(p, FRAME_MAGIC);
	put32(p + 4, (uint32_t)bytes);
	put16(p + 8, type);
	put16(p + 10, flags);
	put32(p + 12, id);
	if (bytes > 0) memcpy(p + HEADER_BYTES, data, bytes);
	put32(p + HEADER_BYTES + bytes, crc32(p, HEADER_BYTES + bytes));
	queue.end += total;
}

void out_begin(void) { out.bytes = 0; }

void out_field(const char *key, const char *format, ...)
{
	size_t room = sizeof out.data - out.bytes;
	char *p = out.data + out.bytes;
	int k = snprintf(p, room, "%s=", key);
	if (k < 0 || (size_t)k >= room) return;
	va_list args;
	va_start(args, format);
	int v = vsnprintf(p + k, room - (size_t)k, format, args);
	va_end(args);
	if (v >= 0 && (size_t)(k + v) < room) out.bytes += (size_t)(k + v) + 1;
}

void out_send(uint16_t type, uint32_t id)
{
	size_t at = 0;
	do {
		size_t n = out.bytes - at > MAX_PAYLOAD ? MAX_PAYLOAD : out.bytes - at;
		send_frame(type, at + n < out.bytes ? FLAG_MORE : 0, id, out.data + at, n);
		at += n;
	} while (at < out.bytes);
}

void channel_reset(void)
{
	greeted = is_open = false;
	message.bytes = queue.start = queue.end = 0;
	session_reset();
}

static bool broken(uint32_t id, const char *what)
{
	is_open = false;
	message.bytes = 0;
	if (id != 0) {
		fail("invalid", 0, "%s", what);
		send_error(id);
	}
	return false;
}

/* Frames of one message become one; HELLO and raw data go straight on. */
static bool assemble(struct frame f, uint8_t *payload)
{
	if (f.type == HELLO) {
		channel_reset();
		greeted = true;
	} else if (!greeted) {
		return false;
	}
	if (is_open && (f.type != open_frame.type || f.id != open_frame.id)) return broken(f.id, "one message interrupts another");
	bool more = (f.flags & FLAG_MORE) != 0;
	if (message.bytes + f.length >= MAX_MESSAGE) return broken(f.id, "the message is too large");
	memcpy(message.data + message.bytes, payload, f.length);
	message.bytes += f.length;
	open_frame = f;
	is_open = more;
	if (more) return true;
	size_t bytes = message.bytes;
	message.bytes = 0;
	message.data[bytes] = 0;
	dispatch(f, message.data, bytes);
	return true;
}

/* One frame from `in`, or rubbish up to the next magic. False: more bytes are needed. */
static bool take_frame(void)
{
	if (in_bytes < HEADER_BYTES) return false;
	struct frame f = { get32(in + 4), get16(in + 8), get16(in + 10), get32(in + 12) };
	size_t skip = 1, total = HEADER_BYTES + (size_t)f.length + TRAILER_BYTES;
	if (get32(in) == FRAME_MAGIC && f.length <= MAX_PAYLOAD) {
		if (in_bytes < total) return false;
		if (crc32(in, HEADER_BYTES + f.length) == get32(in + HEADER_BYTES + f.length)) {
			assemble(f, in + HEADER_BYTES);
			skip = total;
		}
	}
	while (skip > 0 && skip < total && skip < in_bytes && in[skip] != (FRAME_MAGIC & 0xff)) skip++;
	in_bytes -= skip;
	memmove(in, in + skip, in_bytes);
	return true;
}

bool channel_pump(void)
{
	for (int turns = 0; turns < 64; turns++) {
		channel_flush();
		while (channel_room() > 0 && take_frame()) {}
		if (!channel_flush() && channel_room() == 0) return false; /* the port says when it can be written again */
		ssize_t n = read(port, in + in_bytes, sizeof in - in_bytes);
		if (n < 0) return errno == EINTR;
		if (n == 0) { /* the host has gone */
			in_bytes = 0;
			if (greeted) channel_reset();
#ifdef AGENT_TEST
			exit(0); /* the sanitizers look for leaks now */
#endif
			return false;
		}
		in_bytes += (size_t)n;
	}
	return true;
}
