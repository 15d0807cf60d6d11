#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent.h"

static char error_code[24], error_message[512];
static int error_errno;

bool fail(const char *code, int error, const char *format, ...)
{
	if (error_code[0] != 0) return false;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(error_message, sizeof error_message, format, args);
	va_end(args);
	if (error != 0 && n >= 0 && (size_t)n < sizeof error_message)
		snprintf(error_message + n, sizeof error_message - (size_t)n, ": %s", strerror(error));
	snprintf(error_code, sizeof error_code, "%s", code);
	error_errno = error;
	return false;
}

void send_error(uint32_t id)
{
	out_begin();
	out_field("errno", "%d", error_errno);
	out_field("code", "%s", error_code[0] ? error_code : "failed");
	out_field("message", "%s", error_message);
	out_send(ERROR, id);
	fail_reset();
}

void fail_reset(void)
{
	error_code[0] = error_message[0] = 0;
	error_errno = 0;
}

bool next_field(struct fields *f, const char **key, const char **value)
{
	if (f->at >= f->end) return false;
	char *entry = f->at, *equals = strchr(entry, '=');
	f->at += strlen(entry) + 1; /* the reader put a NUL behind the message */
	*key = *value = entry;
	if (equals == NULL) return true; /* no key is called that: whoever asks for it says so */
	static char name[32];
	size_t n = (size_t)(equals - entry);
	if (n >= sizeof name) n = sizeof name - 1;
	memcpy(name, entry, n);
	name[n] = 0;
	*key = name;
	*value = equals + 1;
	return true;
}

bool parse_u64(const char *text, int base, uint64_t max, uint64_t *result)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, base);
	if (text[0] == 0 || strchr("+- \t\n\v\f\r", text[0]) != NULL || *end != 0 || errno != 0 || value > max)
		return fail("invalid", 0, "not a number up to %llu: %.40s", (unsigned long long)max, text);
	*result = value;
	return true;
}

bool parse_u32(const char *text, int base, uint32_t max, uint32_t *result)
{
	uint64_t value;
	if (!parse_u64(text, base, max, &value)) return false;
	*result = (uint32_t)value;
	return true;
}

bool parse_bool(const char *text, bool *result)
{
	if ((text[0] != '0' && text[0] != '1') || text[1] != 0) return fail("invalid", 0, "not 0 or 1: %.40s", text);
	*result = text[0] == '1';
	return true;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9') return c - '0';
	if (c >= 'a' && c <= 'f') return c - 'a' + 10;
	return -1;
}

ssize_t parse_hex(const char *text, uint8_t *result, size_t capacity)
{
	size_t n = strlen(text);
	if (n % 2 != 0 || n / 2 > capacity) return -1;
	for (size_t i = 0; i < n / 2; i++) {
		int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);
		if (high < 0 || low < 0) return -1;
		result[i] = (uint8_t)(high << 4 | low);
	}
	return (ssize_t)(n / 2);
}

static bool alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool valid_name(const char *name)
{
	size_t n = strlen(name);
	if (n == 0 || n > MAX_NAME || !alphanumeric(name[0]) || !alphanumeric(name[n - 1])) return false;
	for (size_t i = 0; i < n; i++)
		if (!alphanumeric(name[i]) && name[i] != '-' && name[i] != '.') return false;
	return true;
}

bool read_name(struct fields f, const char *wanted, const char **result)
{
	const char *key, *value;
	while (next_field(&f, &key, &value)) {
		if (strcmp(key, wanted) != 0) continue;
		if (!valid_name(value)) return fail("invalid", 0, "%s is not a name: %.80s", wanted, value);
		*result = value;
		return true;
	}
	return fail("invalid", 0, "%s is missing", wanted);
}
