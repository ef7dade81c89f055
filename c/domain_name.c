#include "internal.h"

#include <stdint.h>
#include <string.h>

#include <openssl/asn1.h>

/* rfc1035.2.3.4.lengths */
#define LABEL_SIZE 63

#define ACE_PREFIX      "xn--"
#define ACE_PREFIX_SIZE (sizeof ACE_PREFIX - 1)

/* rfc3492.5.parameters */
enum {
	PUNYCODE_BASE = 36,
	PUNYCODE_T_MIN = 1,
	PUNYCODE_T_MAX = 26,
	PUNYCODE_SKEW = 38,
	PUNYCODE_DAMP = 700,
	PUNYCODE_BIAS = 72,
	PUNYCODE_FIRST = 0x80,
};

struct label {
	uint32_t points[LABEL_SIZE];
	size_t length;
	bool ascii;
};

struct output {
	char *text;
	size_t length;
	size_t size;
};

static bool output_add(struct output *output, uint32_t character)
{
	if (output->length >= output->size)
		return false;
	output->text[output->length++] = (char)character;
	return true;
}

static uint32_t lower(uint32_t point)
{
	return point >= 'A' && point <= 'Z' ? point - 'A' + 'a' : point;
}

static bool is_digit(uint32_t point)
{
	return point >= '0' && point <= '9';
}

/* Whether a label may hold this character, which is in lower case. Outside ASCII the tables of
 * IDNA2008 (RFC 5892) are not needed: if no registry gives a label out, no certificate has its
 * A-label. The characters that other software may take for a dot (rfc3490.3.1.other-dots) are never
 * part of a label. */
static bool is_label_point(unsigned long point)
{
	if (point < 0x80)
		return (point >= 'a' && point <= 'z') || is_digit((uint32_t)point) || point == '-';
	if (point < 0xA0 || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
		return false;
	return point != 0x3002 && point != 0xFF0E && point != 0xFF61;
}

static bool label_decode(struct label *label, const char *text, size_t length)
{
	label->length = 0;
	label->ascii = true;
	while (length > 0) {
		unsigned long point = 0;
		/* At most four bytes: UTF8_getc would also read the obsolete longer forms. */
		int used =
		    UTF8_getc((const unsigned char *)text, length < 4 ? (int)length : 4, &point);

		if (used <= 0 || label->length >= LABEL_SIZE)
			return false;
		if (point < 0x80)
			point = lower((uint32_t)point);
		else
			label->ascii = false;
		if (!is_label_point(point))
			return false;
		label->points[label->length++] = (uint32_t)point;
		text += used;
		length -= (size_t)used;
	}
	return label->length > 0 && label->points[0] != '-' &&
	       label->points[label->length - 1] != '-';
}

/* rfc3492.6.1.bias */
static uint32_t punycode_adapt(uint32_t delta, uint32_t count, bool first)
{
	uint32_t k = 0;

	delta = first ? delta / PUNYCODE_DAMP : delta / 2;
	delta += delta / count;
	while (delta > (PUNYCODE_BASE - PUNYCODE_T_MIN) * PUNYCODE_T_MAX / 2) {
		delta /= PUNYCODE_BASE - PUNYCODE_T_MIN;
		k += PUNYCODE_BASE;
	}
	return k + (PUNYCODE_BASE - PUNYCODE_T_MIN + 1) * delta / (delta + PUNYCODE_SKEW);
}

static uint32_t punycode_threshold(uint32_t k, uint32_t bias)
{
	if (k <= bias + PUNYCODE_T_MIN)
		return PUNYCODE_T_MIN;
	return k >= bias + PUNYCODE_T_MAX ? PUNYCODE_T_MAX : k - bias;
}

static bool punycode_add_digit(struct output *output, uint32_t digit)
{
	return output_add(output, digit < 26 ? 'a' + digit : '0' + (digit - 26));
}

static bool punycode_add_number(struct output *output, uint32_t number, uint32_t bias)
{
	for (uint32_t k = PUNYCODE_BASE;; k += PUNYCODE_BASE) {
		uint32_t threshold = punycode_threshold(k, bias);

		if (number < threshold)
			return punycode_add_digit(output, number);
		number -= threshold;
		if (!punycode_add_digit(output, threshold + number % (PUNYCODE_BASE - threshold)))
			return false;
		number /= PUNYCODE_BASE - threshold;
	}
}

static uint32_t label_smallest(const struct label *label, uint32_t from)
{
	uint32_t smallest = UINT32_MAX;

	for (size_t i = 0; i < label->length; i++)
		if (label->points[i] >= from && label->points[i] < smallest)
			smallest = label->points[i];
	return smallest;
}

/* rfc3492.6.3.encoding */
static bool punycode_encode(struct output *output, const struct label *label)
{
	uint32_t next = PUNYCODE_FIRST, delta = 0, bias = PUNYCODE_BIAS, basic = 0, done;

	for (size_t i = 0; i < label->length; i++) {
		if (label->points[i] >= PUNYCODE_FIRST)
			continue;
		if (!output_add(output, label->points[i]))
			return false;
		basic++;
	}
	if (basic > 0 && !output_add(output, '-'))
		return false;

	for (done = basic; done < label->length; next++) {
		uint32_t point = label_smallest(label, next);

		if (point - next > (UINT32_MAX - delta) / (done + 1))
			return false;
		delta += (point - next) * (done + 1);
		next = point;
		for (size_t i = 0; i < label->length; i++) {
			if (label->points[i] < next && ++delta == 0)
				return false;
			if (label->points[i] != next)
				continue;
			if (!punycode_add_number(output, delta, bias))
				return false;
			bias = punycode_adapt(delta, done + 1, done == basic);
			delta = 0;
			done++;
		}
		if (++delta == 0)
			return false;
	}
	return true;
}

/* rfc5891.4.2.3.1.no-double-hyphen. "xn--" before letters outside ASCII would be an A-label of an
 * A-label. */
static bool label_looks_encoded(const struct label *label)
{
	return label->length >= 4 && label->points[2] == '-' && label->points[3] == '-';
}

static bool label_normalise(struct output *output, const char *text, size_t length)
{
	struct label label;
	struct output normal = { output->text + output->length, 0, output->size - output->length };

	if (normal.size > LABEL_SIZE)
		normal.size = LABEL_SIZE;
	if (!label_decode(&label, text, length))
		return false;
	if (label.ascii) {
		for (size_t i = 0; i < label.length; i++)
			if (!output_add(&normal, label.points[i]))
				return false;
	} else {
		if (label_looks_encoded(&label))
			return false;
		for (size_t i = 0; i < ACE_PREFIX_SIZE; i++)
			if (!output_add(&normal, (uint32_t)ACE_PREFIX[i]))
				return false;
		if (!punycode_encode(&normal, &label))
			return false;
	}
	output->length += normal.length;
	return true;
}

static bool is_number(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!is_digit((unsigned char)text[i]))
			return false;
	return true;
}

static bool labels_normalise(struct output *output, const char *name, size_t length)
{
	for (;;) {
		const char *dot = memchr(name, '.', length);
		size_t label_length = dot == NULL ? length : (size_t)(dot - name);
		size_t start = output->length;

		if (!label_normalise(output, name, label_length))
			return false;
		/* rfc1123.2.1.last-label-is-no-number: an IPv4 address is no name. */
		if (dot == NULL)
			return !is_number(output->text + start, output->length - start);
		if (!output_add(output, '.'))
			return false;
		name = dot + 1;
		length -= label_length + 1;
	}
}

bool domain_name_normalise(const char *name, size_t length, char normal[DOMAIN_NAME_SIZE])
{
	struct output output = { normal, 0, DOMAIN_NAME_SIZE - 1 };

	if (length > 0 && name[length - 1] == '.')
		length--;
	if (length == 0 || !labels_normalise(&output, name, length))
		output.length = 0;
	normal[output.length] = '\0';
	return output.length > 0;
}
