/* Memory for secrets: left out of core dumps, locked where the system allows it, and wiped
 * when it is freed or the process ends. */
#include "internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <openssl/crypto.h>

static struct secret_memory *memories;

static void wipe_all(void)
{
	for (struct secret_memory *memory = memories; memory != NULL; memory = memory->next)
		OPENSSL_cleanse(memory->bytes, memory->size);
}

static void lock(struct secret_memory *memory)
{
	memory->locked = mlock(memory->bytes, memory->size) == 0;
}

/* The child of a fork does not inherit locks. */
static void lock_all(void)
{
	for (struct secret_memory *memory = memories; memory != NULL; memory = memory->next)
		lock(memory);
}

static bool register_handlers(void)
{
	static bool registered;
	if (!registered)
		registered = atexit(wipe_all) == 0 && pthread_atfork(NULL, NULL, lock_all) == 0;
	return registered;
}

bool secret_memory_map(struct secret_memory *memory, size_t size)
{
	if (!register_handlers())
		return false;
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return false;
#ifdef MADV_DONTDUMP
	if (madvise(bytes, size, MADV_DONTDUMP) != 0) {
		munmap(bytes, size);
		return false;
	}
#endif
	memory->bytes = bytes;
	memory->size = size;
	lock(memory);
	memory->next = memories;
	memories = memory;
	return true;
}

void secret_memory_unmap(struct secret_memory *memory)
{
	struct secret_memory **link = &memories;
	while (*link != memory)
		link = &(*link)->next;
	*link = memory->next;
	OPENSSL_cleanse(memory->bytes, memory->size);
	munmap(memory->bytes, memory->size);
}
