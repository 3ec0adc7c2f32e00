/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What p2pdma-pool.c needs of the kernel, for user space
 *
 * Threads stand for CPUs, and a thread can also pretend to be several CPUs by turns. RCU is the
 * kind without a cost for readers: a grace period ends when every thread that takes part has been
 * in shim_quiescent(), which threads call between operations. Interrupts are a function that
 * shim_interrupt() runs, at once or when the thread enables interrupts again; a signal handler may
 * call it.
 *
 * With SHIM_CHECKS the rules are enforced: what may sleep does not run in atomic context, RCU lists
 * are walked by readers only, locks are held where the code says so. Benchmarks build without.
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

/* ---- types, compiler, numbers ------------------------------------------------------------- */

#define u8			uint8_t
#define u16			uint16_t
#define u32			uint32_t
#define u64			uint64_t
#define gfp_t			unsigned int

#define U32_MAX			UINT32_MAX
#define BITS_PER_LONG		((int)sizeof(long) * CHAR_BIT)
#define PAGE_SHIFT		12
#define PAGE_SIZE		4096UL
#define offset_in_page(p)	((unsigned long)(p) % PAGE_SIZE)

#define __percpu
#define noinline		__attribute_noinline__
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))

#define DIV_ROUND_UP(n, d) ({				\
	__auto_type __div = (d);			\
	((n) + __div - 1) / __div;			\
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

#define max3(a, b, c)		max(a, max(b, c))
#define clamp(v, lo, hi)	min(max(v, lo), hi)

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

static inline unsigned long roundup_pow_of_two(unsigned long n)
{
	return n < 2 ? 1 : 2UL << __fls(n - 1);
}

/* ---- atomic operations -------------------------------------------------------------------- */

#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v)	__atomic_store_n(&(x), v, __ATOMIC_RELAXED)
#define try_cmpxchg(p, old, new) \
	__atomic_compare_exchange_n(p, old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)

struct shim_atomic_long {
	long counter;
};

#define atomic_long_t		struct shim_atomic_long
#define atomic_long_read(v)	READ_ONCE((v)->counter)
#define atomic_long_add_return(n, v) \
	__atomic_add_fetch(&(v)->counter, n, __ATOMIC_SEQ_CST)
#define atomic_long_try_cmpxchg(v, old, new) \
	try_cmpxchg(&(v)->counter, old, new)

/* Barriers are at least as strong as those of the kernel. */
#define smp_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
/* Likewise. */
#define smp_wmb()		__atomic_thread_fence(__ATOMIC_RELEASE)
/* Likewise. */
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)

/* ---- complaints --------------------------------------------------------------------------- */

extern unsigned int shim_warnings;

/* Returns whether there was a reason. */
bool shim_warn(bool reason, const char *file, int line, const char *what);

#define WARN_ON(x)		shim_warn(x, __FILE__, __LINE__, #x)
#define SHIM_RULE(x)		((void)(SHIM_CHECKS && WARN_ON(!(x))))

/* ---- CPUs --------------------------------------------------------------------------------- */

#define SHIM_CPUS		8
#define SHIM_CPU_STRIDE		128

/* Of this thread, as an offset into what alloc_percpu() returns. */
extern __thread size_t shim_cpu_offset;
extern __thread unsigned int shim_irqs_off, shim_readers;

static inline void shim_set_cpu(unsigned int cpu)
{
	shim_cpu_offset = cpu * SHIM_CPU_STRIDE;
}

void *shim_alloc_percpu(size_t size);
void shim_free_percpu(void *base);

/* In one instruction, so that an interrupt comes before or after; other CPUs only read. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
static inline long shim_this_cpu_add_return(long *v, long n)
{
	long old = n;

	asm volatile("xaddq %0, %1" : "+r" (old), "+m" (*v));
	return old + n;
}
#else
static inline long shim_this_cpu_add_return(long *v, long n)
{
	return __atomic_add_fetch(v, n, __ATOMIC_RELAXED);
}
#endif

static inline void *shim_cpu_at(const void *p, size_t offset)
{
	return (char *)p + offset;
}

#define alloc_percpu(type)	shim_alloc_percpu(sizeof(type))
#define free_percpu(p)		shim_free_percpu(p)
#define shim_cpu_ptr(p, offset)	((__typeof__(p))shim_cpu_at(p, offset))
#define per_cpu_ptr(p, cpu)	shim_cpu_ptr(p, (cpu) * SHIM_CPU_STRIDE)
#define this_cpu_ptr(p)		(SHIM_RULE(shim_irqs_off), shim_cpu_ptr(p, shim_cpu_offset))
#define this_cpu_read(v)	READ_ONCE(*shim_cpu_ptr(&(v), shim_cpu_offset))
#define this_cpu_xchg(v, n) \
	__atomic_exchange_n(shim_cpu_ptr(&(v), shim_cpu_offset), n, __ATOMIC_RELAXED)
#define this_cpu_add_return(v, n) \
	shim_this_cpu_add_return(shim_cpu_ptr(&(v), shim_cpu_offset), n)
#define num_possible_cpus()	SHIM_CPUS
#define for_each_possible_cpu(i) \
	for (int __cpu = 0; __cpu < SHIM_CPUS && ((i) = __cpu, true); __cpu++)

/* ---- interrupts --------------------------------------------------------------------------- */

/* What an interrupt of this thread does; unset: nothing. */
extern __thread void (*shim_handler)(void);
extern __thread bool shim_pending;

void shim_interrupt(void);
void shim_irq_enable(void);

/* ---- locks -------------------------------------------------------------------------------- */

struct shim_lock {
	bool locked;
	const void *owner;
};

#define raw_spinlock_t		struct shim_lock

void shim_lock_contended(struct shim_lock *lock);

static inline void raw_spin_lock_init(struct shim_lock *lock)
{
	*lock = (struct shim_lock) {};
}

static inline void shim_lock(struct shim_lock *lock)
{
	shim_irqs_off++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&lock->locked, true, __ATOMIC_ACQUIRE))
		shim_lock_contended(lock);
	if (SHIM_CHECKS)
		lock->owner = &shim_irqs_off;
}

static inline void shim_unlock(struct shim_lock *lock)
{
	if (SHIM_CHECKS)
		lock->owner = NULL;
	__atomic_store_n(&lock->locked, false, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	shim_irqs_off--;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (shim_pending)
		shim_irq_enable();
}

#define lockdep_assert_held(lock) SHIM_RULE((lock)->owner == &shim_irqs_off)

/* ---- RCU ---------------------------------------------------------------------------------- */

void shim_online(void);
void shim_offline(void);
void shim_quiescent(void);
void synchronize_rcu(void);

/* ---- guards ------------------------------------------------------------------------------- */

struct shim_guard {
	bool done;
	struct shim_lock *lock;
};

static inline struct shim_guard shim_enter_rcu(void)
{
	shim_readers += SHIM_CHECKS;
	return (struct shim_guard) {};
}

static inline void shim_leave_rcu(struct shim_guard *guard)
{
	shim_readers -= SHIM_CHECKS;
}

static inline struct shim_guard shim_enter_raw_spinlock_irqsave(struct shim_lock *lock)
{
	shim_lock(lock);
	return (struct shim_guard) { .lock = lock };
}

static inline void shim_leave_raw_spinlock_irqsave(struct shim_guard *guard)
{
	shim_unlock(guard->lock);
}

#define SHIM_GUARD(kind, name)						\
	struct shim_guard name __attribute__((cleanup(shim_leave_##kind))) = shim_enter_##kind
#define SHIM_UNIQUE(line)	SHIM_PASTE(shim_guard_, line)
#define SHIM_PASTE(a, b)	SHIM_PASTE2(a, b)
#define SHIM_PASTE2(a, b)	a##b
#define guard(kind)		SHIM_GUARD(kind, SHIM_UNIQUE(__LINE__))
#define scoped_guard(kind, args...)					\
	for (SHIM_GUARD(kind, __scope)(args); !__scope.done; __scope.done = true)

/* ---- lists -------------------------------------------------------------------------------- */

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

static inline void list_add_tail_rcu(struct list_head *node, struct list_head *head)
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

/* Where the walk through a list is, and where in an entry its node is. */
struct shim_walk {
	const struct list_head *head, *node;
	size_t offset;
};

static inline struct shim_walk shim_walk_begin(const struct list_head *head, size_t offset,
					       bool allowed)
{
	SHIM_RULE(allowed);
	return (struct shim_walk) { head, head, offset };
}

/* Returns the next entry, or NULL behind the last one. */
static inline void *shim_walk_on(struct shim_walk *walk)
{
	walk->node = __atomic_load_n(&walk->node->next, __ATOMIC_CONSUME);
	return walk->node == walk->head ? NULL : (char *)walk->node - walk->offset;
}

#define shim_for_each(pos, head, member, allowed)					\
	for (struct shim_walk __walk = shim_walk_begin(head,				\
			offsetof(__typeof__(pos[0]), member), allowed);			\
	     (pos = shim_walk_on(&__walk));)
#define list_for_each_entry(pos, head, member)		shim_for_each(pos, head, member, true)
#define list_for_each_entry_rcu(pos, head, member) \
	shim_for_each(pos, head, member, shim_readers || shim_irqs_off)

/* ---- memory ------------------------------------------------------------------------------- */

#define GFP_KERNEL		0U

/* Let the allocation after that many fail; negative: none. */
extern __thread int shim_fail_after;

void *kzalloc(size_t size, gfp_t gfp);
void kfree(const void *p);

static inline void *kvzalloc(size_t size, gfp_t gfp)
{
	return kzalloc(size, gfp);
}

static inline void kvfree(const void *p)
{
	kfree(p);
}

/* ---- completions -------------------------------------------------------------------------- */

struct completion {
	unsigned int done;
};

static inline void complete(struct completion *completion)
{
	__atomic_fetch_add(&completion->done, 1, __ATOMIC_RELEASE);
}

static inline bool completion_done(struct completion *completion)
{
	return __atomic_load_n(&completion->done, __ATOMIC_ACQUIRE);
}

#endif /* _SHIM_H */
