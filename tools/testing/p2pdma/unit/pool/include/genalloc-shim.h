/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The part of the kernel that lib/genalloc.c needs beyond shim.h, for the
 * benchmark
 *
 * The Makefile defines macros of the kernel to nothing, and the linker leaves
 * out functions without a declaration.
 */
#ifndef _GENALLOC_SHIM_H
#define _GENALLOC_SHIM_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <shim.h>

struct device;
struct device_node;

#define phys_addr_t		u64
#define dma_addr_t		u64
#define spinlock_t		struct shim_lock

#define WARN(x, args...)	WARN_ON(x)
#define ERR_PTR(error)		((void *)(long)(error))
#define NUMA_NO_NODE		(-1)
#define in_nmi()		false
#define cpu_relax()		__builtin_ia32_pause()

/* Barriers of the kernel by the same names. */
#define smp_wmb()		__atomic_thread_fence(__ATOMIC_RELEASE)

#define spin_lock_init(lock)	((lock)->locked = false)

struct shim_lock {
	bool locked;
};

static inline void spin_lock(spinlock_t *lock)
{
	while (__atomic_exchange_n(&lock->locked, true, __ATOMIC_ACQUIRE))
		cpu_relax();
}

static inline void spin_unlock(spinlock_t *lock)
{
	__atomic_store_n(&lock->locked, false, __ATOMIC_RELEASE);
}

static inline void *kzalloc_node(size_t size, gfp_t gfp, int node)
{
	return kzalloc(size, gfp);
}

static inline void *vzalloc_node(size_t size, int node)
{
	return kzalloc(size, GFP_KERNEL);
}

static inline void *kmalloc_node(size_t size, gfp_t gfp, int node)
{
	return kzalloc(size, gfp);
}

static inline void vfree(const void *p)
{
	kfree(p);
}

/* Names are string constants here. */
static inline void kfree_const(const void *p)
{
}

#define rcu_dereference(p)	__atomic_load_n(&(p), __ATOMIC_CONSUME)
#define list_add_rcu(node, head)	list_add_tail_rcu(node, head)
#define list_del(node)		list_del_rcu(node)
#define list_entry(p, type, member)	((type *)((char *)(p) - offsetof(type, member)))

/* Nodes may go while the walk is at them. */
static inline bool shim_node_on(struct list_head **pos, struct list_head **next,
				const struct list_head *head)
{
	*pos = *next;
	*next = (*pos)->next;
	return *pos != head;
}

static inline struct list_head *shim_first(struct list_head **next, struct list_head *head)
{
	*next = head->next;
	return head;
}

#define list_for_each_safe(pos, n, head)						\
	for (struct list_head **__next = &(n), *__head = shim_first(__next, head);	\
	     shim_node_on(&(pos), __next, __head);)

/* Bits. */

#define BITMAP_FIRST_WORD_MASK(start)	(~0UL << (start) % BITS_PER_LONG)
#define BITMAP_LAST_WORD_MASK(nr) \
	(~0UL >> -(nr) % (unsigned int)BITS_PER_LONG)
#define round_up(x, y) ({				\
	__auto_type __unit = (y);			\
	DIV_ROUND_UP(x, __unit) * __unit;		\
})
#define find_first_bit(map, size)	find_next_bit(map, size, 0)
#define find_next_zero_bit(map, size, start) \
	shim_find_next(map, size, start, ~0UL)

/* The first @nr zeros from @start on, aligned with @offset added; else something beyond @size. */
static inline unsigned long
bitmap_find_next_zero_area_off(unsigned long *map, unsigned long size, unsigned long start,
			       unsigned int nr, unsigned long align_mask, unsigned long offset)
{
	unsigned long first, set;

	for (;;) {
		first = find_next_zero_bit(map, size, start);
		first = ((first + offset + align_mask) & ~align_mask) - offset;
		if (first + nr > size)
			return first + nr;
		set = find_next_bit(map, first + nr, first);
		if (set >= first + nr)
			return first;
		start = set + 1;
	}
}

#define bitmap_find_next_zero_area(map, size, start, nr, align_mask) \
	bitmap_find_next_zero_area_off(map, size, start, nr, align_mask, 0)

#endif /* _GENALLOC_SHIM_H */
