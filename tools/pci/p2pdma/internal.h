/* SPDX-License-Identifier: GPL-2.0 */
/*
 * libp2pdma: interfaces between the files of the library
 *
 *	libp2pdma.c			the functions of libp2pdma.h
 *	peers.c verdict.c stock.c	verdicts of the kernel, from its rules, of stock Linux
 *	words.c				words for verdicts, reasons, effects and capabilities
 *	machine.c config.c		PCI functions and the hierarchy; configuration space
 *	sysfs.c dump.c text.c input.c	sources of a machine
 *	files.c replay.c		files of a machine; captures
 *	ground.c guess.c		is enough known for a verdict? Processor and hypervisor
 *	names.c				names of vendors and devices, and IDs with a name
 *	context.c util.c		memory and errors; numbers
 *
 * The p2pdma command uses these interfaces, too. Other programs use libp2pdma.h.
 *
 * Input is untrusted: a copy may be from another machine, cut off, or manipulated. An unreadable
 * part of the input is unknown, and no error.
 */
#ifndef LIBP2PDMA_INTERNAL_H
#define LIBP2PDMA_INTERNAL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct json_object;
struct libp2pdma;
struct names_cache;
struct shadows;

#define __noreturn		__attribute((noreturn))
#define __printf(a, b)		__attribute((format(printf, a, b)))

#define COUNT_OF(array)	(sizeof(array) / sizeof((array)[0]))

/**
 * enum status - exit statuses
 * @STATUS_YES: success, or the answer is yes
 * @STATUS_NO: failure, or the answer is no
 * @STATUS_USAGE: wrong usage
 * @STATUS_UNKNOWN: the answer is unknown
 */
enum status {
	STATUS_YES,
	STATUS_NO,
	STATUS_USAGE,
	STATUS_UNKNOWN,
};

/* context.c */

/**
 * struct block - header of allocated memory
 * @previous: block before in the list of the context
 * @next: block after in the list of the context
 */
struct block {
	struct block *previous;
	struct block *next;
} __attribute((aligned(16)));

/**
 * struct context - memory, files and errors of a machine
 * @blocks: head of the list of all memory; see context_enter()
 * @handler: where die() continues, or NULL: die() ends the process
 * @status: exit status of the command after the last error
 * @error: message of the last error, or NULL
 * @odd: messages about unreadable parts of the input
 * @nr_odd: length of @odd
 * @kept: words, see keep_word()
 * @nr_kept: length of @kept
 * @release: releases @resource, or NULL; see context_hold()
 * @resource: a resource that is not memory
 * @root: root of the sysfs tree in names of files
 * @capture: the capture that files are read from, or NULL
 * @replayed: files of @capture, or NULL
 * @recorded: files that were read, if all are recorded; or NULL
 * @names: names of vendors and devices, or NULL
 */
struct context {
	struct block blocks;
	jmp_buf *handler;
	enum status status;
	const char *error;
	char **odd;
	unsigned int nr_odd;
	char **kept;
	unsigned int nr_kept;
	void (*release)(void *resource);
	void *resource;
	const char *root;
	struct json_object *capture;
	struct json_object *replayed;
	struct json_object *recorded;
	struct names_cache *names;
};

void context_init(struct context *context);
struct context *context_enter(struct context *context);
struct context *context_current(void);
void context_free(struct context *context);
void context_hold(void (*release)(void *resource), void *resource);
void context_release(void);
void __noreturn __printf(2, 3) die(enum status status, const char *format, ...);
void __printf(1, 2) note_odd(const char *format, ...);
char *escape_text(const char *text);
void *xzalloc(size_t size);
void *xgrow(void *old, size_t old_size, size_t size);
void xfree(void *memory);
char *xstrdup(const char *text);
__printf(1, 2) char *xasprintf(const char *format, ...);
__printf(1, 0) char *xvasprintf(const char *format, va_list args);
const char *keep_word(const char *word);

/* util.c */

int hex_digit(char digit);
bool parse_number(const char *text, int base, unsigned long long max, unsigned long long *number);
bool parse_size(const char *text, unsigned long long *bytes);

/* files.c */

void hold_descriptor(int fd);
struct json_object *files_record(const char *sysfs);
void files_replay(const char *sysfs, struct json_object *files);
__printf(1, 2) char *read_line(const char *format, ...);
char *read_text(const char *path, size_t limit);
__printf(1, 2) char *read_link(const char *format, ...);
int read_bytes(const char *path, unsigned char *bytes, size_t size);
bool file_exists(const char *path);
int list_directory(const char *path, char ***names);

/* machine.c */

/* Limit for broken input: no machine has more functions. */
#define MAX_FUNCTIONS	16384
#define CONFIG_SIZE	4096
#define ADDRESS_SIZE	20

/**
 * enum policy - decision of the administrator about a bridge or host bridge
 * @POLICY_AUTO: no decision
 * @POLICY_ALLOW: the administrator vouches for a host bridge
 * @POLICY_DENY: no peer-to-peer transaction may pass
 */
enum policy {
	POLICY_AUTO,
	POLICY_ALLOW,
	POLICY_DENY,
};

/**
 * enum capability - known peer routing of a host bridge, as enum p2pdma_capability of the kernel
 * @CAPABILITY_UNLISTED: nothing is known, so the host bridge counts as not routing
 * @CAPABILITY_LISTED_SAME: routes between its own ports only
 * @CAPABILITY_LISTED: routes between its ports and to other host bridges
 * @CAPABILITY_CPU: as @CAPABILITY_LISTED, known from the processor model
 * @CAPABILITY_UNKNOWN: depends on a part of the machine that is unknown
 */
enum capability {
	CAPABILITY_UNLISTED,
	CAPABILITY_LISTED_SAME,
	CAPABILITY_LISTED,
	CAPABILITY_CPU,
	CAPABILITY_UNKNOWN,
};

/**
 * enum known - an answer that may be unknown
 * @KNOWN_NO: no
 * @KNOWN_YES: yes
 * @UNKNOWN: the input does not tell
 */
enum known {
	KNOWN_NO,
	KNOWN_YES,
	UNKNOWN,
};

/**
 * struct address - address of a function
 * @domain: domain; more than 16 bits, because Intel VMD domains begin at 0x10000
 * @bus: bus number
 * @devfn: device and function number as in &struct pci_dev
 */
struct address {
	unsigned int domain;
	unsigned char bus;
	unsigned char devfn;
};

/**
 * struct host - a host bridge
 * @name: name in sysfs, such as pci0000:00
 * @index: index in the table of host bridges
 * @domain: domain of the root bus
 * @bus: number of the root bus
 * @path: directory in sysfs, or NULL
 * @first: first function on the root bus, the identity of the host bridge; may be NULL
 * @capability: content of p2pdma/capability, or NULL
 * @policy: policy in effect
 * @translates: bus addresses differ from CPU addresses
 * @unsure: the input may lack the function that identifies the host bridge
 */
struct host {
	char name[ADDRESS_SIZE];
	unsigned int index;
	unsigned int domain;
	unsigned char bus;
	char *path;
	struct function *first;
	char *capability;
	enum policy policy;
	bool translates;
	bool unsure;
};

/**
 * struct memory - content of a provider's p2pmem/
 * @size: size in bytes
 * @available: bytes that are not allocated
 * @published: drivers other than the provider's may use the memory
 * @counters: the counters below exist; stock Linux has no counters
 * @heap: the provider has a DMA heap
 * @exports: @exported exists; stock Linux exports no peer memory
 * @exported: bytes in dma-bufs
 * @peak: largest number of bytes allocated at the same time
 * @failed: number of allocations that failed for lack of memory
 * @bus: number of mappings with bus addresses
 * @host: number of mappings through a host bridge
 * @refused: number of mappings refused for lack of a route
 */
struct memory {
	unsigned long long size;
	unsigned long long available;
	bool published;
	bool counters;
	bool heap;
	bool exports;
	unsigned long long exported;
	unsigned long long peak;
	unsigned long long failed;
	unsigned long long bus;
	unsigned long long host;
	unsigned long long refused;
};

/**
 * struct bar - a base address register
 * @start: first CPU address from sysfs, or first bus address from a dump
 * @size: size in bytes; 0 if unknown
 * @memory: memory, not I/O ports
 */
struct bar {
	unsigned long long start;
	unsigned long long size;
	bool memory;
};

#define BARS	6

/**
 * struct function - a PCI function
 * @address: address of the function
 * @index: index in the table of functions
 * @bdf: @address as text, such as 0000:03:00.0
 * @vendor: vendor ID
 * @device: device ID
 * @class: class code, 24 bits
 * @header: header type without the multi-function bit
 * @config: known part of configuration space, or NULL
 * @config_size: number of bytes in @config
 * @known: which bytes of @config are known; NULL if all bytes are known
 * @extended_known: capabilities beyond @config_size do not exist, rather than are unknown
 * @title: vendor and device as the input names the function, or NULL
 * @placed: a link in sysfs tells the position in the hierarchy, rather than bus numbers
 * @orphan: a link in sysfs names a bridge above that is not in the input
 * @path: directory in sysfs, or NULL
 * @driver: name of the bound driver, or NULL
 * @bound: is a driver bound?
 * @names: names of devices on the function, such as nvme0 or eth0
 * @nr_names: length of @names
 * @iommu_group: number of the IOMMU group, or -1
 * @iommu: does an IOMMU translate DMA of the function?
 * @mask_bits: width in bits of the DMA mask, 0 if unknown
 * @numa_node: number of the NUMA node, or -1
 * @physfn: physical function of a virtual function, or NULL
 * @up: the bridge above, or NULL directly below a host bridge
 * @rival: another bridge with the same secondary bus number, or NULL
 * @host: the host bridge
 * @bars: base address registers
 * @memory: peer memory of a provider, or NULL
 * @capability: content of a bridge's p2pdma/capability, or NULL
 * @policy: policy of a bridge
 * @peers: content of p2pdma/peers, or NULL; see sysfs_peers()
 * @peers_read: sysfs_peers() has tried to read @peers
 * @peers_odd: a line of @peers makes no sense, and there is a message
 * @next_peer: line of @peers after the last one that was found, or NULL
 * @stock_redirects: do registers that stock Linux reads redirect? See stock.c
 */
struct function {
	struct address address;
	unsigned int index;
	char bdf[ADDRESS_SIZE];
	unsigned short vendor;
	unsigned short device;
	unsigned int class;
	unsigned char header;
	unsigned char *config;
	unsigned int config_size;
	bool *known;
	bool extended_known;
	char *title;
	bool placed;
	bool orphan;
	char *path;
	char *driver;
	enum known bound;
	char **names;
	unsigned int nr_names;
	int iommu_group;
	enum known iommu;
	unsigned int mask_bits;
	int numa_node;
	struct function *physfn;
	struct function *up;
	struct function *rival;
	struct host *host;
	struct bar bars[BARS];
	struct memory *memory;
	char *capability;
	enum policy policy;
	char *peers;
	bool peers_read;
	bool peers_odd;
	const char *next_peer;
	enum known stock_redirects;
};

/**
 * enum support - support of the kernel for peer-to-peer DMA
 * @SUPPORT_UNKNOWN: unknown
 * @SUPPORT_NONE: built without CONFIG_PCI_P2PDMA
 * @SUPPORT_OTHER: peer memory, but no verdicts and no policies
 * @SUPPORT_OURS: peer memory, verdicts and policies
 */
enum support {
	SUPPORT_UNKNOWN,
	SUPPORT_NONE,
	SUPPORT_OTHER,
	SUPPORT_OURS,
};

/**
 * enum cpu_rule - known peer routing of the processor
 * @CPU_UNKNOWN: the processor is unknown
 * @CPU_ROUTES: routes between all host bridges
 * @CPU_OTHER: not known to route; the table of host bridges decides
 */
enum cpu_rule {
	CPU_UNKNOWN,
	CPU_ROUTES,
	CPU_OTHER,
};

/**
 * struct machine - the machine to look at
 * @sysfs: root of the sysfs tree, or NULL for a dump
 * @dump: name of a file with the output of lspci, or NULL
 * @live: the running machine, not a copy
 * @captured: a capture
 * @complete: the capture is of a running machine, so the reads were complete
 * @release: release of the running kernel, or NULL
 * @support: support of the kernel for peer-to-peer DMA
 * @cpu: does the processor route between host bridges?
 * @cpu_from: function from which @cpu was derived, or NULL
 * @iommu: does an IOMMU translate for clients? Valid with @iommu_given
 * @iommu_given: the option --iommu was given
 * @virtual: a virtual machine
 * @numeric: print IDs instead of names of devices
 * @functions: functions, sorted by address
 * @nr: length of @functions
 * @hosts: host bridges
 * @nr_hosts: length of @hosts
 * @shadows: the functions in the form that the rules of the kernel read; see verdict.c
 */
struct machine {
	const char *sysfs;
	const char *dump;
	bool live;
	bool captured;
	bool complete;
	const char *release;
	enum support support;
	enum cpu_rule cpu;
	const struct function *cpu_from;
	enum known iommu;
	bool iommu_given;
	bool virtual;
	bool numeric;
	struct function **functions;
	unsigned int nr;
	struct host **hosts;
	unsigned int nr_hosts;
	struct shadows *shadows;
};

/**
 * struct resolved - result of resolve_bridge()
 * @given: name as the user gave it
 * @function: the bridge, or NULL
 * @host: the host bridge, or NULL
 */
struct resolved {
	const char *given;
	struct function *function;
	struct host *host;
};

bool parse_address(const char *text, struct address *address);
struct function *machine_add(struct machine *machine, struct address address);
struct function *machine_find(const struct machine *machine, struct address address);
struct host *machine_host(struct machine *machine, unsigned int domain, unsigned char bus);
void machine_link(struct machine *machine);
void function_name(struct function *function, const char *name);
bool function_is_bridge(const struct function *function);
const char *function_kind(const struct function *function);
const char *function_class(const struct function *function);
void check_classes(const char *list);
const char *function_title(const struct machine *machine, const struct function *function);
struct function *find_device(const struct machine *machine, const char *name);
struct function *resolve(struct machine *machine, const char *name);
struct resolved resolve_bridge(struct machine *machine, const char *name);

/* sysfs.c, dump.c, input.c, text.c, ground.c */

void sysfs_load(struct machine *machine);
void sysfs_load_memory(const struct machine *machine, struct function *function);
enum policy sysfs_policy(const char *path);
void sysfs_cpu(struct machine *machine);
char *sysfs_parameter(const struct machine *machine, const char *name);
const char *sysfs_peers(struct function *client);
void dump_load(struct machine *machine);
char *read_input(const char *name);
char *normal_line(char *line);
void text_read(struct function *function, const char *title, const char *body, bool ended);
void text_compare(struct machine *machine);
bool text_agrees(struct function *function, const char *title);
bool text_is_of(struct function *function, const char *title, const char *body);
void __noreturn text_refuse(const char *name, const char *text, bool functions);
bool ground_first(const struct function *function);
void ground_hosts(struct machine *machine);
const char *ground_missing(const struct machine *machine, const struct function *function,
			   const struct function **culprit);

/* names.c */

typedef bool names_test(unsigned int vendor, unsigned int device, int type);

void names_free(void);
const char *names_title(unsigned int vendor, unsigned int device);
enum known names_any(const char *title, names_test *test, int type);

/* guess.c */

void guess_machine(struct machine *machine);

/* config.c */

bool config_read(const struct function *function, unsigned int where, unsigned int size,
		 unsigned int *value);
enum known config_places_bars(const struct function *function);
enum known config_pcie(const struct function *function, unsigned int *where);
int config_pcie_type(const struct function *function);
enum known config_extended(const struct function *function, unsigned int id,
			   unsigned int *where);
enum known config_acs(const struct function *function, unsigned int *capability,
		      unsigned int *control);
bool config_dead(const struct function *function);
enum known config_uses_ats(const struct function *function);
enum known config_ari(const struct function *bridge);

/* replay.c */

#define CAPTURE_KEY	"p2pdma-capture"
#define CAPTURE_VERSION	1

const char *support_word(enum support support);
bool capture_is(const char *text);
void capture_load(struct machine *machine, const char *name, const char *text);

/* verdict.c */

/**
 * enum answer - does the client reach the memory of the provider?
 * @ANSWER_DIRECT: yes, bridges between the two route
 * @ANSWER_HOST: yes, through a host bridge
 * @ANSWER_NONE: no
 * @ANSWER_UNKNOWN: unknown
 */
enum answer {
	ANSWER_DIRECT,
	ANSWER_HOST,
	ANSWER_NONE,
	ANSWER_UNKNOWN,
};

#define MAX_PORTS	512

/**
 * enum reason - reason of a verdict
 * @REASON_SELF: first of the reasons that the rules of the kernel give, see enum p2pdma_reason
 * @REASON_SPEC: as P2PDMA_REASON_SPEC
 * @REASON_SAME_DEVICE: as P2PDMA_REASON_SAME_DEVICE
 * @REASON_LISTED: as P2PDMA_REASON_LISTED
 * @REASON_CPU: as P2PDMA_REASON_CPU
 * @REASON_POLICY: as P2PDMA_REASON_POLICY
 * @REASON_UNLISTED: as P2PDMA_REASON_UNLISTED
 * @REASON_SAME_ONLY: as P2PDMA_REASON_SAME_ONLY
 * @REASON_EGRESS: as P2PDMA_REASON_EGRESS
 * @REASON_UNREADABLE: as P2PDMA_REASON_UNREADABLE
 * @REASON_NO_FORWARDING: as P2PDMA_REASON_NO_FORWARDING
 * @REASON_TRANSLATED: as P2PDMA_REASON_TRANSLATED
 * @REASON_ADDRESS: as P2PDMA_REASON_ADDRESS
 * @REASON_DISCONNECTED: from the kernel only: a function is being unplugged
 * @REASON_ASLEEP: from the kernel only: a function has no power, and cannot be asked
 * @REASON_NEEDS_ROOT: computed: without root, access control is unreadable
 * @REASON_PROCESSOR_UNKNOWN: computed: an unknown processor decides
 * @REASON_IOMMU_UNKNOWN: computed: an unknown IOMMU decides
 * @REASON_INCOMPLETE: computed: the input lacks a part of the machine
 * @REASON_OTHER: a word of a newer kernel, see @other_reason of &struct verdict
 */
enum reason {
	REASON_SELF,
	REASON_SPEC,
	REASON_SAME_DEVICE,
	REASON_LISTED,
	REASON_CPU,
	REASON_POLICY,
	REASON_UNLISTED,
	REASON_SAME_ONLY,
	REASON_EGRESS,
	REASON_UNREADABLE,
	REASON_NO_FORWARDING,
	REASON_TRANSLATED,
	REASON_ADDRESS,
	REASON_DISCONNECTED,
	REASON_ASLEEP,
	REASON_NEEDS_ROOT,
	REASON_PROCESSOR_UNKNOWN,
	REASON_IOMMU_UNKNOWN,
	REASON_INCOMPLETE,
	REASON_OTHER,
};

/**
 * enum effect - effect of a port on a route, see enum p2pdma_port_effect of the kernel
 * @EFFECT_REDIRECTS: as P2PDMA_PORT_REDIRECTS
 * @EFFECT_ISOLATES: as P2PDMA_PORT_ISOLATES
 * @EFFECT_BLOCKS: as P2PDMA_PORT_BLOCKS
 * @EFFECT_UNREADABLE: as P2PDMA_PORT_UNREADABLE
 * @EFFECT_NO_FORWARDING: as P2PDMA_PORT_NO_FORWARDING
 * @EFFECT_DENIED: as P2PDMA_PORT_DENIED
 * @EFFECT_INVOLVED: from an earlier kernel, which named ports only
 * @EFFECT_OTHER: a word of a newer kernel, see @other_effect of &struct port
 */
enum effect {
	EFFECT_REDIRECTS,
	EFFECT_ISOLATES,
	EFFECT_BLOCKS,
	EFFECT_UNREADABLE,
	EFFECT_NO_FORWARDING,
	EFFECT_DENIED,
	EFFECT_INVOLVED,
	EFFECT_OTHER,
};

/**
 * struct port - a port that affects a route
 * @function: the port
 * @effect: the effect
 * @other_effect: word of a newer kernel, for EFFECT_OTHER
 */
struct port {
	const struct function *function;
	enum effect effect;
	const char *other_effect;
};

/**
 * struct verdict - can a client reach the memory of a provider?
 * @answer: the answer
 * @other_answer: word of a newer kernel that this version does not know, or NULL
 * @reason: reason of @answer
 * @other_reason: word of a newer kernel, for REASON_OTHER
 * @kernel: the verdict is from the kernel, not computed
 * @distance: number of hops, or -1
 * @parent: the shared parent, or NULL for the host bridge
 * @redirected: access control sends transactions up to the host bridge
 * @iommu: requests go to the host bridge with addresses that an IOMMU translates
 * @ports: ports that affect the route
 * @nr_ports: length of @ports
 * @unread: functions with unknown access control on the route, if @answer is unknown
 * @nr_unread: length of @unread
 * @missing: sentence about a missing part of the input, or NULL
 */
struct verdict {
	enum answer answer;
	const char *other_answer;
	enum reason reason;
	const char *other_reason;
	bool kernel;
	int distance;
	const struct function *parent;
	bool redirected;
	bool iommu;
	struct port ports[MAX_PORTS];
	unsigned int nr_ports;
	const struct function *unread[MAX_PORTS];
	unsigned int nr_unread;
	const char *missing;
};

void verdict_prepare(struct machine *machine);
bool verdict_ground(const struct machine *machine, const struct function *client,
		    const struct function *provider, struct verdict *verdict);
void verdict_explain_host(struct verdict *verdict, const struct function *client,
			  const struct function *provider);
void verdict_compute(struct machine *machine, const struct function *client,
		     const struct function *provider, struct verdict *verdict);
unsigned int acs_control_offset(const struct function *function);
bool cpu_routes(const char *vendor, unsigned int family);
enum capability host_capability(const struct machine *machine, const struct host *host);
bool host_routes_within(const struct host *host);

/* peers.c */

void verdict_get(struct machine *machine, struct function *client, struct function *provider,
		 bool computed, struct verdict *verdict);

/* words.c */

const char *answer_word(enum answer answer);
bool parse_answer(const char *word, enum answer *answer);
const char *reason_word(enum reason reason);
enum reason parse_reason(const char *word);
const char *effect_word(enum effect effect);
enum effect parse_effect(const char *word);
const char *capability_word(enum capability capability);
enum capability parse_capability(const char *word);
const char *policy_word(enum policy policy);
const char *verdict_reason(const struct verdict *verdict);
const char *port_effect(const struct port *port);
const char *verdict_meaning(const struct verdict *verdict);

/* stock.c */

/**
 * enum rules - kernel whose rules give the verdicts
 * @RULES_DEFAULT: the running kernel, or ours if unknown
 * @RULES_RUNNING: the running kernel
 * @RULES_OURS: a kernel with p2pdma policies
 * @RULES_STOCK: stock Linux 6.12
 */
enum rules {
	RULES_DEFAULT,
	RULES_RUNNING,
	RULES_OURS,
	RULES_STOCK,
};

bool is_below(const struct function *function, const struct function *bridge);
const struct function *find_meeting(const struct function *client,
				    const struct function *provider);
const struct function *side_below(const struct function *function,
				  const struct function *meeting);
void stock_prepare(struct machine *machine);
void stock_compute(const struct machine *machine, const struct function *client,
		   const struct function *provider, struct verdict *verdict);
void stock_ports(const struct machine *machine, struct function **set, unsigned int nr,
		 bool *ports);
bool parse_rules(const char *word, enum rules *rules);
enum rules choose_rules(const struct machine *machine, enum rules rules);
const char *rules_word(enum rules rules);
void verdict_under(struct machine *machine, enum rules rules, bool computed,
		   struct function *client, struct function *provider, struct verdict *verdict);

/* libp2pdma.c */

struct machine *libp2pdma_machine(struct libp2pdma *handle);
struct context *libp2pdma_context(struct libp2pdma *handle);

#endif /* LIBP2PDMA_INTERNAL_H */
