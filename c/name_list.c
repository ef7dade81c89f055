/* A list of names as OpenSSL takes it: one string, with colons between the names. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

bool name_list_add(struct name_list *list, const char *mark, const char *name)
{
	size_t needed = list->length + 1 + strlen(mark) + strlen(name) + 1;
	if (needed > list->size) {
		size_t size = 2 * needed + 128;
		char *grown = realloc(list->text, size);
		if (grown == NULL)
			return false;
		list->text = grown;
		list->size = size;
	}
	char *end = list->text + list->length;
	if (list->length > 0)
		*end++ = ':';
	end = stpcpy(stpcpy(end, mark), name);
	list->length = (size_t)(end - list->text);
	return true;
}

const char *name_list_text(const struct name_list *list)
{
	return list->text == NULL ? "" : list->text;
}

void name_list_free(struct name_list *list)
{
	free(list->text);
	memset(list, 0, sizeof *list);
}
