/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Spin model of reservations in drivers/pci/p2pdma-pool.c
 *
 * Threads take lists and contiguous runs of pages, and free the pages. The
 * memory is weakly ordered: a change by an atomic operation without order waits
 * in a store buffer of the thread, and the changes of different variables reach
 * memory in any order. A successful compare-and-exchange is a full barrier: all
 * earlier changes reach memory first.
 *
 * Checked for all orders of steps:
 *
 * - In memory, the set bits are at least the available pages and the pages
 *   reserved and not yet taken.
 * - A scan for reserved pages finds a page, unless another thread has changed a
 *   word meanwhile. So no owner of a reservation scans for ever alone.
 * - An allocation fails only if too few pages are free; none fails if all
 *   threads together want no more pages than the pool has (QUOTA).
 * - In the end, all pages are free and available.
 *
 * RUNS adds runs. The macros SWAP_FREE, RELAX_FREE and SWAP_GIVE_BACK break the
 * order of two steps, and a check fails; ONLY_SCANS leaves out the first check,
 * so the second check fails.
 */
#ifndef THREADS
#define THREADS	2
#endif
#ifndef ROUNDS
#define ROUNDS	2
#endif
#ifndef MOST		/* pages of a list */
#define MOST	2
#endif

#define PAGES		4	/* in two words */
#define ALL		3
#define ONES(bits)	(((bits) & 1) + ((bits) >> 1))
#define LOWEST(bits)	((bits) & 1 -> 1 : 2)

byte word[2] = ALL;
short available = PAGES;

typedef store_buffer {
	byte set[2];		/* bits of each word */
	byte add;		/* to available */
};

store_buffer buffer[THREADS];

/* For the checks only. */
byte reserved[THREADS];		/* and not yet taken */
byte owned[THREADS];		/* from the reservation to the end of a free */
bool moved[THREADS];		/* another thread has changed a word */
byte ended;

#if THREADS == 2
#define SUM(a)		(a[0] + a[1])
#else
#define SUM(a)		(a[0] + a[1] + a[2])
#endif

inline check_memory()
{
#ifndef ONLY_SCANS
	assert(ONES(word[0]) + ONES(word[1]) >= available + SUM(reserved))
#else
	skip
#endif
}

inline store_word(thread, w, bits)
{
	word[w] = bits;
	moved[0] = moved[0] || thread != 0;
	moved[1] = moved[1] || thread != 1;
#if THREADS == 3
	moved[2] = moved[2] || thread != 2;
#endif
}

inline drain_word(thread, w)
{
	if
	:: buffer[thread].set[w] ->
		store_word(thread, w, word[w] | buffer[thread].set[w]);
		buffer[thread].set[w] = 0
	:: else
	fi
}

inline drain_pages(thread)
{
	available = available + buffer[thread].add;
	buffer[thread].add = 0
}

/* A full barrier. */
inline barrier()
{
	drain_word(me, 0);
	drain_word(me, 1);
	drain_pages(me)
}

/* Changes of a thread reach memory at any time. */
proctype memory(byte thread)
{
end:	do
	:: atomic {
		buffer[thread].set[0] ->
		drain_word(thread, 0);
		check_memory()
	}
	:: atomic {
		buffer[thread].set[1] ->
		drain_word(thread, 1);
		check_memory()
	}
	:: atomic {
		buffer[thread].add ->
		drain_pages(thread);
		check_memory()
	}
	od
}

/* A thread sees its own changes. */
#define SEEN(w)		(word[w] | buffer[me].set[w])

/* Pages on the way to memory are not free for other threads. */
#if THREADS == 2
#define PENDING		(buffer[1 - me].add)
#else
#define PENDING		(buffer[0].add + buffer[1].add + \
			 buffer[2].add - buffer[me].add)
#endif

/* atomic_long_add(): without order. */
inline add_available(nr)
{
	atomic {
		buffer[me].add = buffer[me].add + nr;
		owned[me] = owned[me] - nr
	}
}

/* Sets good. */
inline reserve(nr)
{
	atomic {
		good = available + buffer[me].add >= nr;
		if
		:: good ->
			barrier();
			available = available - nr;
			reserved[me] = reserved[me] + nr;
			owned[me] = owned[me] + nr;
			check_memory()
		:: else ->
			assert(PAGES - SUM(owned) - PENDING < nr);
#ifdef QUOTA
			assert(false)
#endif
		fi
	}
}

/* Clear bits by compare-and-exchange. Sets good; updates old. */
inline clear_bits(w, bits)
{
	atomic {
		good = SEEN(w) == old;
		if
		:: good ->
			barrier();
			store_word(me, w, word[w] & ~(bits));
			held[w] = held[w] | (bits);
			reserved[me] = reserved[me] - ONES(bits);
			check_memory()
		:: else -> old = SEEN(w)
		fi
	}
}

/* Set bits by compare-and-exchange. */
inline set_bits(w)
{
	atomic {
		if
		:: held[w] ->
			assert(!(SEEN(w) & held[w]));
#ifdef RELAX_FREE
			buffer[me].set[w] = buffer[me].set[w] | held[w];
#else
			barrier();
			store_word(me, w, word[w] | held[w]);
#endif
			held[w] = 0;
			check_memory()
		:: else
		fi
	}
}

/* Take up to left pages of word w. */
inline take_word()
{
	old = SEEN(w);
	do
	:: old == 0 || left == 0 -> break
	:: else ->
		bits = (left >= ONES(old) -> old : LOWEST(old));
		clear_bits(w, bits);
		if
		:: good -> left = left - ONES(bits); break
		:: else
		fi
	od
}

/* Sets good, and frees the pages that were taken already if not good. */
inline take_list()
{
	reserve(nr);
	left = (good -> nr : 0);
	do
	:: left == 0 -> break
	:: else ->
		atomic {
			moved[me] = false;
			was = left;
			select (w : 0 .. 1)
		}
		take_word();
		w = 1 - w;
		take_word();
		if
		:: left == was ->
			/* A scan alone finds a page. */
			assert(moved[me]);
			atomic {
				reserved[me] = reserved[me] - left;
				add_available(left)
			}
			reserve(left);
			if
			:: good
			:: else -> left = 0
			fi
		:: else
		fi
	od
}

/* Two pages in one word, or in both words. */
inline find_run()
{
	nr = 2;
	atomic {
		if
		:: pair[0] = ALL; pair[1] = 0
		:: pair[0] = 0; pair[1] = ALL
		:: pair[0] = 2; pair[1] = 1
		fi
	}
	good = (SEEN(0) & pair[0]) == pair[0];
	good = good && (SEEN(1) & pair[1]) == pair[1]
}

/* Take the pages of word w of the run; sets good. */
inline take_part()
{
	old = SEEN(w);
	good = true;
	do
	:: (old & pair[w]) != pair[w] -> good = false; break
	:: else ->
		clear_bits(w, pair[w]);
		if
		:: good -> break
		:: else
		fi
	od
}

inline take_run()
{
	find_run();
	if
	:: good ->
		reserve(nr)
	:: else
	fi;
	if
	:: good ->
		w = 0;
		take_part();
		if
		:: good -> w = 1; take_part()
		:: else
		fi;
		if
		:: good
		:: else -> give_back()
		fi
	:: else
	fi
}

/* Another thread was faster. */
inline give_back()
{
#ifdef SWAP_GIVE_BACK
	end_run();
	set_bits(0)
#else
	set_bits(0);
	end_run()
#endif
}

inline end_run()
{
	atomic {
		add_available(nr);
		reserved[me] = 0
	}
}

inline free_pages()
{
	nr = ONES(held[0]) + ONES(held[1]);
#ifdef SWAP_FREE
	add_available(nr);
#endif
	set_bits(0);
	set_bits(1);
#ifndef SWAP_FREE
	add_available(nr)
#endif
}

proctype thread(byte me)
{
	byte round, nr, left, was, w, old, bits;
	byte held[2], pair[2];
	bool good;

	do
	:: round == ROUNDS -> break
	:: else ->
		round++;
		if
		:: select (nr : 1 .. MOST); take_list()
#ifdef RUNS
		:: take_run()
#endif
		fi;
		free_pages()
	od;
	atomic {
		nr = 0; left = 0; was = 0; w = 0; old = 0; bits = 0;
		good = false; pair[0] = 0; pair[1] = 0;
		ended++
	}
}

init
{
	byte t;

	atomic {
		do
		:: t == THREADS -> break
		:: else -> run thread(t); run memory(t); t++
		od
	}
	/* The threads have ended, and all changes have reached memory. */
	timeout;
	assert(ended == THREADS);
	assert(word[0] == ALL && word[1] == ALL && available == PAGES)
}
