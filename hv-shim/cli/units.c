/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Figures for people, and values out of the daemon's answers; see output.h.
 * Called by the commands, on the program's one thread.
 */
#include <math.h>
#include <string.h>

#include "output.h"

const char *value_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : "-";
}

int64_t value_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

bool value_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

bool value_is_set(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return value && !json_is_null(value) &&
	       !(json_is_string(value) && json_string_length(value) == 0);
}

/* Three significant digits: 1.23, 12.3, 123. */
static int digits_after_point(double value)
{
	return value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
}

static struct unit_text scaled(double value, double step, const char *const *prefixes,
			       size_t count, const char *unit)
{
	struct unit_text out;
	size_t power = 0;

	if (value < 0 || !isfinite(value))
		value = 0;
	/* 999.5 and more is shown as 1.00 of the next prefix. */
	while (power + 1 < count && value >= (step == 1000 ? 999.5 : step)) {
		value /= step;
		power++;
	}
	if (value == floor(value) && (power == 0 || step != 1000))
		snprintf(out.text, sizeof(out.text), "%.0f", value);
	else
		snprintf(out.text, sizeof(out.text), "%.*f", digits_after_point(value), value);
	if (*prefixes[power] || *unit)
		snprintf(out.text + strlen(out.text), sizeof(out.text) - strlen(out.text), " %s%s",
			 prefixes[power], unit);
	return out;
}

static const char *const si[] = {"", "k", "M", "G", "T", "P", "E"};
static const char *const binary[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};

struct unit_text unit_si(double value)
{
	return scaled(value, 1000, si, sizeof(si) / sizeof(si[0]), "");
}

struct unit_text unit_bytes(int64_t bytes)
{
	return scaled((double)bytes, 1000, si, sizeof(si) / sizeof(si[0]), "B");
}

struct unit_text unit_memory(int64_t bytes)
{
	return scaled((double)bytes, 1024, binary, sizeof(binary) / sizeof(binary[0]), "B");
}

/* The two largest units: nobody wants the seconds of a day. */
struct unit_text unit_duration(int64_t ns)
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
	struct unit_text out;
	int64_t seconds = ns / 1000000000;
	size_t i = 0;

	if (ns < 0)
		ns = seconds = 0;
	if (seconds < 1) {
		snprintf(out.text, sizeof(out.text), "%d ms", (int)(ns / 1000000));
		return out;
	}
	if (seconds < 10) {
		snprintf(out.text, sizeof(out.text), "%.1f s", (double)ns / 1e9);
		return out;
	}
	while (seconds < units[i].seconds)
		i++;
	snprintf(out.text, sizeof(out.text), "%lld %s", (long long)(seconds / units[i].seconds),
		 units[i].name);
	seconds %= units[i].seconds;
	if (i + 1 < 4 && seconds / units[i + 1].seconds > 0)
		snprintf(out.text + strlen(out.text), sizeof(out.text) - strlen(out.text),
			 " %lld %s", (long long)(seconds / units[i + 1].seconds),
			 units[i + 1].name);
	return out;
}
