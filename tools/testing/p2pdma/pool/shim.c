// SPDX-License-Identifier: GPL-2.0
/* The parts of the shim that are not inline, see include/shim.h. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shim.h>

unsigned int shim_warnings;
__thread size_t shim_cpu_offset;
__thread unsigned int shim_irqs_off, shim_readers;
__thread void (*shim_handler)(void);
__thread bool shim_pending;
__thread int shim_fail_after = -1;

bool shim_warn(bool reason, const char *file, int line, const char *what)
{
	if (reason) {
		__atomic_fetch_add(&shim_warnings, 1, __ATOMIC_RELAXED);
		fprintf(stderr, "# WARNING: %s:%d: %s\n", file, line, what);
	}
	return reason;
}

/* ---- CPUs and interrupts ------------------------------------------------------------------ */

void *shim_alloc_percpu(size_t size)
{
	SHIM_RULE(size <= SHIM_CPU_STRIDE);
	return kzalloc((size_t)SHIM_CPUS * SHIM_CPU_STRIDE, GFP_KERNEL);
}

void shim_free_percpu(void *base)
{
	kfree(base);
}

/* Interrupts do not interrupt each other. */
void shim_interrupt(void)
{
	if (!shim_handler)
		return;
	if (shim_irqs_off) {
		shim_pending = true;
		return;
	}
	shim_irqs_off++;
	shim_handler();
	shim_irqs_off--;
}

void shim_irq_enable(void)
{
	if (shim_irqs_off)
		return;
	shim_pending = false;
	shim_interrupt();
}

/* ---- locks -------------------------------------------------------------------------------- */

void shim_lock_contended(struct shim_lock *lock)
{
	unsigned int spins = 0;

	do {
		while (__atomic_load_n(&lock->locked, __ATOMIC_RELAXED))
			if (++spins % 100 == 0)
				sched_yield();
	} while (__atomic_exchange_n(&lock->locked, true, __ATOMIC_ACQUIRE));
}

/* ---- RCU ---------------------------------------------------------------------------------- */

#define THREADS 64

/* Of each thread that takes part: 0 offline, else the number of grace periods it has seen begin. */
static unsigned long rcu_seen[THREADS];
static unsigned long rcu_period = 1;
static pthread_mutex_t rcu_mutex = PTHREAD_MUTEX_INITIALIZER;
static __thread unsigned long *rcu_self;

void shim_quiescent(void)
{
	SHIM_RULE(!shim_readers && !shim_irqs_off);
	if (rcu_self)
		__atomic_store_n(rcu_self, __atomic_load_n(&rcu_period, __ATOMIC_SEQ_CST),
				 __ATOMIC_SEQ_CST);
}

void shim_online(void)
{
	unsigned int i = 0;

	pthread_mutex_lock(&rcu_mutex);
	while (i < THREADS - 1 && __atomic_load_n(&rcu_seen[i], __ATOMIC_SEQ_CST))
		i++;
	rcu_self = &rcu_seen[i];
	shim_quiescent();
	pthread_mutex_unlock(&rcu_mutex);
}

void shim_offline(void)
{
	SHIM_RULE(!shim_readers && !shim_irqs_off);
	__atomic_store_n(rcu_self, 0, __ATOMIC_SEQ_CST);
	rcu_self = NULL;
}

void synchronize_rcu(void)
{
	unsigned long period, seen;
	unsigned int i;

	SHIM_RULE(!shim_readers && !shim_irqs_off);
	period = __atomic_add_fetch(&rcu_period, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < THREADS; i++) {
		for (;;) {
			/* Others may wait for this thread at the same time. */
			shim_quiescent();
			seen = __atomic_load_n(&rcu_seen[i], __ATOMIC_SEQ_CST);
			if (!seen || seen >= period)
				break;
			sched_yield();
		}
	}
}

/* ---- memory ------------------------------------------------------------------------------- */

void *kzalloc(size_t size, gfp_t gfp)
{
	void *p;

	SHIM_RULE(!shim_irqs_off && !shim_readers);
	if (shim_fail_after == 0) {
		shim_fail_after = -1;
		return NULL;
	}
	if (shim_fail_after > 0)
		shim_fail_after--;
	if (posix_memalign(&p, 128, size))
		return NULL;
	return memset(p, 0, size);
}

void kfree(const void *p)
{
	SHIM_RULE(!shim_irqs_off && !shim_readers);
	free((void *)p);
}
