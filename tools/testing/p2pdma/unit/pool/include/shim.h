/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel functions of p2pdma-pool.c, for user space
 *
 * A thread plays a CPU, or several CPUs by turns. RCU costs readers nothing: a
 * grace period ends when every online thread has called shim_quiescent(), and
 * threads call shim_quiescent() between operations.
 *
 * With SHIM_CHECKS, code that may sleep complains in an RCU read-side section,
 * and a walk along an RCU list complains outside of a section. Each atomic
 * access of a thread that called shim_disturb() may also give the CPU to
 * another thread or run the interrupt handler of the thread. Benchmarks build
 * without SHIM_CHECKS.
 */
#ifndef _SHIM_H
#define _SHIM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/cdefs.h>

#ifndef SHIM_CHECKS
#define SHIM_CHECKS		0
#endif

/* Types, compiler, numbers. */

#define u8			uint8_t
#define u16			uint16_t
#define u32			uint32_t
#define u64			uint64_t
#define gfp_t			unsigned int

#define BITS_PER_LONG		((int)sizeof(long) * CHAR_BIT)
#define PAGE_SHIFT		12
#define PAGE_SIZE		4096UL

#define __percpu
#define __maybe_unused		__attribute_maybe_unused__
#define __rcu
#define noinline		__attribute_noinline__
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define DIV_ROUND_UP(n, d) ({				\
	__auto_type __div_d = (d);			\
	((n) + __div_d - 1) / __div_d;			\
})

#define min(a, b) ({					\
	__auto_type __min_a = (a);			\
	__auto_type __min_b = (b);			\
	__min_a < __min_b ? __min_a : __min_b;		\
})

#define max(a, b) ({					\
	__auto_type __max_a = (a);			\
	__auto_type __max_b = (b);			\
	__max_a > __max_b ? __max_a : __max_b;		\
})

#define __ffs(x)		((unsigned long)__builtin_ctzl(x))
#define __fls(x)		((unsigned long)(BITS_PER_LONG - 1 - __builtin_clzl(x)))
#define hweight_long(x)		((unsigned long)__builtin_popcountl(x))

static inline u64 ror64(u64 n, unsigned int shift)
{
	return n >> shift | n << (64 - shift);
}

static inline bool is_power_of_2(unsigned long n)
{
	return n && !(n & (n - 1));
}

/* Complaints. */

extern unsigned int shim_warnings;

/* Print and count a complaint if there is a reason. Return the reason. */
bool shim_warn(bool reason, const char *file, int line, const char *text);

#define WARN_ON(x)		shim_warn(x, __FILE__, __LINE__, #x)
#define SHIM_RULE(x)		((void)(SHIM_CHECKS && WARN_ON(!(x))))

/* Disturbances: other threads and interrupts, between any two atomic accesses. */

/* The interrupt handler of this thread, or NULL. */
typedef void shim_handler_fn(void);
extern __thread shim_handler_fn *shim_handler;
/* Accesses until the next disturbance of this thread; 0 for none. */
extern __thread unsigned int shim_countdown;

void shim_disturb(u64 seed);
void shim_disturbance(void);

static inline void shim_step(void)
{
	if (SHIM_CHECKS && shim_countdown && !--shim_countdown)
		shim_disturbance();
}

/* Atomic operations: the orders are the orders of the kernel. */

#define READ_ONCE(x) ({						\
	shim_step();						\
	__atomic_load_n(&(x), __ATOMIC_RELAXED);		\
})

#define WRITE_ONCE(x, v)	__atomic_store_n(&(x), v, __ATOMIC_RELAXED)

#define try_cmpxchg(p, old, new) ({				\
	shim_step();						\
	__atomic_compare_exchange_n(p, old, new, false,		\
				    __ATOMIC_SEQ_CST,		\
				    __ATOMIC_RELAXED);		\
})

/* Data races that the kernel allows. */
#define data_race(x)		(x)
/* Full barrier by the name of the kernel. */
#define smp_mb__after_atomic()	__atomic_thread_fence(__ATOMIC_SEQ_CST)

struct shim_atomic_long {
	long counter;
};

#define atomic_long_t		struct shim_atomic_long
#define atomic_long_read(v)	READ_ONCE((v)->counter)
#define atomic_long_set(v, n)	WRITE_ONCE((v)->counter, n)
#define atomic_long_sub(n, v)	atomic_long_add(-(long)(n), v)
#define atomic_long_try_cmpxchg(v, old, new) \
	try_cmpxchg(&(v)->counter, old, new)

static inline void atomic_long_add(long n, atomic_long_t *v)
{
	shim_step();
	__atomic_fetch_add(&v->counter, n, __ATOMIC_RELAXED);
}

/* Bits. */

#define BIT_WORD(nr)		((nr) / BITS_PER_LONG)
#define BIT_MASK(nr)		(1UL << (nr) % BITS_PER_LONG)
#define BITS_TO_LONGS(nr)	DIV_ROUND_UP(nr, BITS_PER_LONG)

static inline bool test_bit(unsigned long nr, unsigned long *map)
{
	return READ_ONCE(map[BIT_WORD(nr)]) & BIT_MASK(nr);
}

static inline void set_bit(unsigned long nr, unsigned long *map)
{
	shim_step();
	__atomic_fetch_or(&map[BIT_WORD(nr)], BIT_MASK(nr), __ATOMIC_RELAXED);
}

static inline void clear_bit(unsigned long nr, unsigned long *map)
{
	shim_step();
	__atomic_fetch_and(&map[BIT_WORD(nr)], ~BIT_MASK(nr), __ATOMIC_RELAXED);
}

static inline void bitmap_set(unsigned long *map, unsigned int start,
			      unsigned int nr)
{
	for (; nr && start % BITS_PER_LONG; start++, nr--)
		map[BIT_WORD(start)] |= BIT_MASK(start);
	for (; nr >= 64; start += 64, nr -= 64)
		map[BIT_WORD(start)] = ~0UL;
	for (; nr; start++, nr--)
		map[BIT_WORD(start)] |= BIT_MASK(start);
}

/* The next set bit from @start on, or @size; @flip is ~0UL in a search for zeros. */
static inline unsigned long shim_find_next(const unsigned long *map,
					   unsigned long size,
					   unsigned long start,
					   unsigned long flip)
{
	unsigned long word;

	if (start >= size)
		return size;
	word = __atomic_load_n(&map[BIT_WORD(start)], __ATOMIC_RELAXED) ^ flip;
	word &= ~0UL << start % BITS_PER_LONG;
	start -= start % BITS_PER_LONG;
	while (!word) {
		start += BITS_PER_LONG;
		if (start >= size)
			return size;
		word = __atomic_load_n(&map[BIT_WORD(start)],
				       __ATOMIC_RELAXED) ^ flip;
	}
	return min(start + __ffs(word), size);
}

#define find_next_bit(map, size, start)	shim_find_next(map, size, start, 0)

/* CPUs. */

#define SHIM_CPUS		8
#define SHIM_CPU_STRIDE		128

/* The CPU of this thread, as an offset into memory from alloc_percpu(). */
extern __thread size_t shim_cpu_offset;

static inline void shim_set_cpu(unsigned int cpu)
{
	shim_cpu_offset = cpu * SHIM_CPU_STRIDE;
}

void *shim_alloc_percpu(size_t size);

static inline void *shim_cpu_at(const void *p, size_t offset)
{
	return (char *)p + offset;
}

#define alloc_percpu(type)	shim_alloc_percpu(sizeof(type))
#define free_percpu(p)		kfree(p)
#define shim_cpu_ptr(p, offset)	((__typeof__(p))shim_cpu_at(p, offset))
#define per_cpu_ptr(p, cpu)	shim_cpu_ptr(p, (cpu) * SHIM_CPU_STRIDE)
#define this_cpu_read(v)	READ_ONCE(*shim_cpu_ptr(&(v), shim_cpu_offset))
#define this_cpu_write(v, n) \
	WRITE_ONCE(*shim_cpu_ptr(&(v), shim_cpu_offset), n)
#define num_possible_cpus()	SHIM_CPUS
#define for_each_possible_cpu(i) \
	for (int __cpu = 0; __cpu < SHIM_CPUS && ((i) = __cpu, true); __cpu++)

/* RCU. */

/* Depth of the read-side sections of this thread; counted with SHIM_CHECKS. */
extern __thread unsigned int shim_readers;

void shim_online(void);
void shim_offline(void);
void shim_quiescent(void);
#define rcu_dereference(p) ({						\
	SHIM_RULE(shim_readers);					\
	shim_step();							\
	__atomic_load_n(&(p), __ATOMIC_ACQUIRE);			\
})
#define rcu_read_lock_held()		(shim_readers > 0)
#define RCU_LOCKDEP_WARN(bad, ...)	SHIM_RULE(!(bad))
#define rcu_assign_pointer(p, v)	__atomic_store_n(&(p), v, __ATOMIC_RELEASE)

void synchronize_rcu(void);

static inline void rcu_read_lock(void)
{
	shim_readers += SHIM_CHECKS;
}

static inline void rcu_read_unlock(void)
{
	shim_readers -= SHIM_CHECKS;
}

static inline int shim_enter_rcu(void)
{
	rcu_read_lock();
	return 0;
}

static inline void shim_leave_rcu(int *section)
{
	rcu_read_unlock();
}

#define SHIM_PASTE2(a, b)	a##b
#define SHIM_PASTE(a, b)	SHIM_PASTE2(a, b)
#define guard(kind)						\
	int SHIM_PASTE(section_, __LINE__) __maybe_unused	\
	__attribute__((cleanup(shim_leave_##kind))) = shim_enter_##kind

static inline void cond_resched(void)
{
	SHIM_RULE(!shim_readers);
}

/* Lists. */

struct list_head {
	struct list_head *next, *prev;
};

static inline void INIT_LIST_HEAD(struct list_head *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

static inline void list_add_tail_rcu(struct list_head *node,
				     struct list_head *head)
{
	node->next = head;
	node->prev = head->prev;
	__atomic_store_n(&head->prev->next, node, __ATOMIC_RELEASE);
	head->prev = node;
}

static inline void list_del_rcu(struct list_head *node)
{
	node->next->prev = node->prev;
	__atomic_store_n(&node->prev->next, node->next, __ATOMIC_RELEASE);
	node->prev = NULL;
}

/* A walk along a list, and the offset of the node in an entry. */
struct shim_walk {
	const struct list_head *head, *node;
	size_t offset;
};

static inline struct shim_walk shim_walk_begin(const struct list_head *head,
					       size_t offset, bool allowed)
{
	SHIM_RULE(allowed);
	return (struct shim_walk) { head, head, offset };
}

/* The next entry, or NULL after the last entry. */
static inline void *shim_walk_on(struct shim_walk *walk)
{
	walk->node = __atomic_load_n(&walk->node->next, __ATOMIC_CONSUME);
	if (walk->node == walk->head)
		return NULL;
	return (char *)walk->node - walk->offset;
}

#define shim_for_each(pos, head, member, allowed)			\
	for (struct shim_walk __walk = shim_walk_begin(head,		\
			offsetof(__typeof__(pos[0]), member), allowed);	\
	     (pos = shim_walk_on(&__walk));)
#define list_for_each_entry(pos, head, member) \
	shim_for_each(pos, head, member, true)
#define list_for_each_entry_rcu(pos, head, member) \
	shim_for_each(pos, head, member, shim_readers)

/* Memory. */

#define GFP_KERNEL		0U

/* Number of allocations before a failure; negative for no failure. */
extern __thread int shim_fail_after;

void *kzalloc(size_t size, gfp_t gfp);
void kfree(const void *p);

static inline void *kvcalloc(size_t nr, size_t size, gfp_t gfp)
{
	return kzalloc(nr * size, gfp);
}

static inline void kvfree(const void *p)
{
	kfree(p);
}

/* Completions. */

struct completion {
	unsigned int done;
};

static inline void complete(struct completion *completion)
{
	__atomic_fetch_add(&completion->done, 1, __ATOMIC_RELEASE);
}

void wait_for_completion(struct completion *completion);

#endif /* _SHIM_H */
