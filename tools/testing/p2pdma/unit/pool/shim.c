// SPDX-License-Identifier: GPL-2.0
/* The functions of include/shim.h without an inline body. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shim.h>

unsigned int shim_warnings;
__thread size_t shim_cpu_offset;
__thread unsigned int shim_readers;
__thread shim_handler_fn *shim_handler;
__thread unsigned int shim_countdown;
__thread int shim_fail_after = -1;

bool shim_warn(bool reason, const char *file, int line, const char *text)
{
	if (reason) {
		__atomic_fetch_add(&shim_warnings, 1, __ATOMIC_RELAXED);
		fprintf(stderr, "# WARNING: %s:%d: %s\n", file, line, text);
	}
	return reason;
}

/* Disturbances. */

static __thread u64 disturb_state;

static unsigned int disturb_draw(unsigned int limit)
{
	disturb_state ^= disturb_state << 13;
	disturb_state ^= disturb_state >> 7;
	disturb_state ^= disturb_state << 17;
	return (disturb_state >> 32) % limit;
}

/* Disturb the current thread from now on; a seed of 0 ends the disturbances. */
void shim_disturb(u64 seed)
{
	disturb_state = seed * 0x9e3779b97f4a7c15UL;
	shim_countdown = seed ? 1 : 0;
}

/* The countdown is 0 meanwhile, so no interrupt interrupts an interrupt. */
void shim_disturbance(void)
{
	if (shim_handler && disturb_draw(2))
		shim_handler();
	else
		sched_yield();
	shim_countdown = 1 + disturb_draw(disturb_draw(2) ? 8 : 200);
}

/* RCU. */

#define THREADS 64

/* Last grace period of which each thread knows; 0 while offline. */
static unsigned long rcu_seen[THREADS];
static unsigned long rcu_period = 1;
static pthread_mutex_t rcu_mutex = PTHREAD_MUTEX_INITIALIZER;
static __thread unsigned long *rcu_self;

void shim_quiescent(void)
{
	SHIM_RULE(!shim_readers);
	if (rcu_self)
		__atomic_store_n(rcu_self, __atomic_load_n(&rcu_period,
							   __ATOMIC_SEQ_CST),
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
	SHIM_RULE(!shim_readers);
	__atomic_store_n(rcu_self, 0, __ATOMIC_SEQ_CST);
	rcu_self = NULL;
}

void synchronize_rcu(void)
{
	unsigned long period, seen;
	unsigned int i;

	SHIM_RULE(!shim_readers);
	period = __atomic_add_fetch(&rcu_period, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < THREADS; i++) {
		for (;;) {
			/* Another thread may wait for the current thread. */
			shim_quiescent();
			seen = __atomic_load_n(&rcu_seen[i], __ATOMIC_SEQ_CST);
			if (!seen || seen >= period)
				break;
			sched_yield();
		}
	}
}

/* Memory. */

void *shim_alloc_percpu(size_t size)
{
	SHIM_RULE(size <= SHIM_CPU_STRIDE);
	return kzalloc((size_t)SHIM_CPUS * SHIM_CPU_STRIDE, GFP_KERNEL);
}

void *kzalloc(size_t size, gfp_t gfp)
{
	void *p;

	SHIM_RULE(!shim_readers);
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
	SHIM_RULE(!shim_readers);
	free((void *)p);
}

/* Completions. */

void wait_for_completion(struct completion *completion)
{
	unsigned int done = __atomic_load_n(&completion->done, __ATOMIC_ACQUIRE);

	for (;;) {
		if (done && __atomic_compare_exchange_n(&completion->done, &done,
							done - 1, false,
							__ATOMIC_ACQUIRE,
							__ATOMIC_ACQUIRE))
			return;
		shim_quiescent();
		sched_yield();
		done = __atomic_load_n(&completion->done, __ATOMIC_ACQUIRE);
	}
}
