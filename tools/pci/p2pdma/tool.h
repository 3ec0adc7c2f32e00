/* SPDX-License-Identifier: GPL-2.0 */
/*
 * p2pdma: the parts of the command, and what they share
 *
 *	p2pdma.c			command line, one table of subcommands
 *	list.c path.c matrix.c ...	subcommands: fill a JSON report, print one as text
 *	verdict.c			asks the kernel, or the kernel's own rules, about a route
 *	machine.c config.c		functions and how they hang together; configuration space
 *	sysfs.c dump.c			where a machine is read from
 *	report.c util.c			JSON and text; memory, files and messages
 *
 * Everything a subcommand says goes through its report: the text is printed from the same JSON
 * that -j shows, so neither knows more than the other.
 *
 * Input is not to be trusted. It may be a copy from elsewhere, cut off, or made by somebody who
 * means harm: what cannot be read is unknown, and never a reason to stop.
 */
#ifndef P2PDMA_TOOL_H
#define P2PDMA_TOOL_H

#include <getopt.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#define TOOL_VERSION	"1.0"

/* Goes up when the meaning of something in the JSON changes, or something goes. */
#define SCHEMA_VERSION	1

#define __noreturn		__attribute((noreturn))
#define __printf(a, b)		__attribute((format(printf, a, b)))

#define COUNT_OF(array)	(sizeof(array) / sizeof((array)[0]))

/**
 * enum status - exit statuses
 * @STATUS_YES: done, or the answer is yes
 * @STATUS_NO: the answer is no, or it did not work
 * @STATUS_USAGE: the command line makes no sense
 * @STATUS_UNKNOWN: nothing can be said
 */
enum status {
	STATUS_YES,
	STATUS_NO,
	STATUS_USAGE,
	STATUS_UNKNOWN,
};

/* ---- util.c ------------------------------------------------------------------------------- */

void __noreturn __printf(2, 3) fail(enum status status, const char *format, ...);
void __printf(1, 2) complain(const char *format, ...);
void *keep(size_t size);
void *keep_more(void *old, size_t old_size, size_t size);
char *keep_text(const char *text);
__printf(1, 2) char *keep_format(const char *format, ...);
__printf(1, 2) char *read_line(const char *format, ...);
char *read_text(const char *path, size_t limit);
__printf(1, 2) char *read_link(const char *format, ...);
int read_bytes(const char *path, unsigned char *bytes, size_t size);
int write_text(const char *path, const char *text);
bool parse_number(const char *text, int base, unsigned long long max, unsigned long long *number);
bool parse_size(const char *text, unsigned long long *bytes);
const char *show_size(unsigned long long bytes);
int list_directory(const char *path, char ***names);

/* ---- machine.c ---------------------------------------------------------------------------- */

/* More would be no machine. */
#define MAX_FUNCTIONS	16384
#define CONFIG_SIZE	4096
#define ADDRESS_SIZE	20

enum policy {
	POLICY_AUTO,
	POLICY_ALLOW,
	POLICY_DENY,
};

/**
 * enum known - an answer that may not be there
 * @KNOWN_NO: no
 * @KNOWN_YES: yes
 * @KNOWN_NOT: cannot be read
 */
enum known {
	KNOWN_NO,
	KNOWN_YES,
	KNOWN_NOT,
};

/**
 * struct address - where a function is
 * @domain: wider than 16 bits: behind Intel VMD, domains begin at 0x10000
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
 * @name: as the kernel names it: pci0000:00
 * @index: in the table of host bridges
 * @domain: of its root bus
 * @bus: number of its root bus
 * @path: directory in sysfs, or NULL
 * @first: the first function on the root bus; it identifies the host bridge
 * @capability: the kernel's word, or NULL where the kernel has none
 * @policy: as set in the kernel
 * @translates: bus addresses differ from CPU addresses
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
};

/**
 * struct memory - what a provider says in p2pmem/
 * @size: bytes
 * @available: bytes that are not allocated
 * @published: offered to orchestrators
 * @counters: there are counters, which only our kernel has
 * @peak: most bytes that were allocated at a time
 * @failed: allocations for which there was no memory
 * @bus: mappings by bus address
 * @host: mappings through a host bridge
 * @refused: mappings for which there was no route
 */
struct memory {
	unsigned long long size;
	unsigned long long available;
	bool published;
	bool counters;
	unsigned long long peak;
	unsigned long long failed;
	unsigned long long bus;
	unsigned long long host;
	unsigned long long refused;
};

/**
 * struct bar - a base address register with something behind it
 * @start: first address as the CPU sees it, or the bus where only that is known
 * @size: bytes; 0 if unknown
 * @memory: memory rather than I/O ports
 */
struct bar {
	unsigned long long start;
	unsigned long long size;
	bool memory;
};

#define BARS	6

/**
 * struct function - a PCI function
 * @address: where it is
 * @index: in the table of functions
 * @bdf: the same in words: 0000:03:00.0
 * @vendor: vendor ID
 * @device: device ID
 * @class: class code, 24 bits
 * @header: header type without the multi-function bit
 * @config: configuration space, as far as it is known
 * @config_size: bytes in @config
 * @extended_known: what @config does not hold of the extended space is not there
 * @path: directory in sysfs, or NULL
 * @driver: name of its driver, or NULL
 * @names: other names it goes by: nvme0, eth0 ...
 * @nr_names: length of @names
 * @iommu_group: number, or -1
 * @iommu: does an IOMMU translate for the function?
 * @mask_bits: address bits that its driver lets it emit, 0 if unknown
 * @numa_node: number, or -1
 * @physfn: the function that this one is a virtual function of, or NULL
 * @up: the bridge above, or NULL below a host bridge
 * @host: the host bridge
 * @bars: base address registers
 * @memory: what it provides, or NULL
 * @capability: the kernel's word for a bridge, or NULL
 * @policy: as set in the kernel, for a bridge
 * @peers: the kernel's verdicts with this function as client, or NULL; read when needed
 * @peers_read: it was tried to read @peers
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
	bool extended_known;
	char *path;
	char *driver;
	char **names;
	unsigned int nr_names;
	int iommu_group;
	enum known iommu;
	unsigned int mask_bits;
	int numa_node;
	struct function *physfn;
	struct function *up;
	struct host *host;
	struct bar bars[BARS];
	struct memory *memory;
	char *capability;
	enum policy policy;
	char *peers;
	bool peers_read;
};

enum support {
	SUPPORT_UNKNOWN,
	SUPPORT_NONE,
	SUPPORT_OTHER,
	SUPPORT_OURS,
};

enum cpu_rule {
	CPU_UNKNOWN,
	CPU_ROUTES,
	CPU_OTHER,
};

/**
 * struct machine - what is looked at
 * @sysfs: root of the sysfs tree, or NULL
 * @dump: name of the dump, or NULL
 * @live: this very machine
 * @release: of the kernel, or NULL
 * @support: what the kernel knows of peer-to-peer DMA
 * @cpu: does the processor route between host bridges?
 * @iommu: does an IOMMU translate for clients, if @iommu_given
 * @iommu_given: the user said so
 * @virtual: a virtual machine
 * @numeric: no names from the database of IDs
 * @functions: sorted by address
 * @nr: length of @functions
 * @hosts: host bridges
 * @nr_hosts: length of @hosts
 * @odd: things that could not be read, in words
 */
struct machine {
	const char *sysfs;
	const char *dump;
	bool live;
	char *release;
	enum support support;
	enum cpu_rule cpu;
	enum known iommu;
	bool iommu_given;
	bool virtual;
	bool numeric;
	struct function **functions;
	unsigned int nr;
	struct host **hosts;
	unsigned int nr_hosts;
	json_object *odd;
};

/**
 * struct resolved - what a name stands for
 * @given: the name
 * @function: the function, or NULL
 * @host: the host bridge, where one was allowed, or NULL
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
void __printf(2, 3) machine_odd(struct machine *machine, const char *format, ...);
void function_name(struct function *function, const char *name);
bool function_is_bridge(const struct function *function);
const char *function_kind(const struct function *function);
const char *function_class(const struct function *function);
const char *function_title(const struct machine *machine, const struct function *function);
struct function *find_device(const struct machine *machine, const char *name);
struct function *resolve(struct machine *machine, const char *name);
struct resolved resolve_bridge(struct machine *machine, const char *name);

/* ---- sysfs.c, dump.c ---------------------------------------------------------------------- */

void sysfs_load(struct machine *machine);
void sysfs_load_memory(struct function *function);
enum policy sysfs_policy(const char *path);
void sysfs_cpu(struct machine *machine);
const char *sysfs_peers(struct function *client);
void dump_load(struct machine *machine);

/* ---- config.c ----------------------------------------------------------------------------- */

bool config_read(const struct function *function, unsigned int where, unsigned int size,
		 unsigned int *value);
enum known config_pcie(const struct function *function, unsigned int *where);
int config_pcie_type(const struct function *function);
enum known config_extended(const struct function *function, unsigned int id,
			   unsigned int *where);
enum known config_acs(const struct function *function, unsigned int *capability,
		      unsigned int *control);
bool config_dead(const struct function *function);
bool config_uses_ats(const struct function *function);
bool config_ari(const struct function *bridge);
json_object *config_acs_report(const struct function *function);

/* ---- verdict.c ---------------------------------------------------------------------------- */

enum answer {
	ANSWER_DIRECT,
	ANSWER_HOST,
	ANSWER_NONE,
	ANSWER_UNKNOWN,
};

#define MAX_PORTS	512

/**
 * struct port - a port that bears on a route
 * @function: the port
 * @effect: in a word
 */
struct port {
	const struct function *function;
	const char *effect;
};

/**
 * struct verdict - can a client reach a provider's memory?
 * @answer: can it?
 * @reason: why, in a word
 * @kernel: the kernel says so; otherwise it was computed
 * @distance: hops, or -1
 * @parent: where the paths meet, or NULL for the host bridge
 * @redirected: access control sends transactions up to the host bridge
 * @iommu: requests go to the host bridge with addresses that an IOMMU translates
 * @ports: ports that bear on it
 * @nr_ports: length of @ports
 * @unread: functions whose configuration space would have been needed
 * @nr_unread: length of @unread
 */
struct verdict {
	enum answer answer;
	char reason[32];
	bool kernel;
	int distance;
	const struct function *parent;
	bool redirected;
	bool iommu;
	struct port ports[MAX_PORTS];
	unsigned int nr_ports;
	const struct function *unread[MAX_PORTS];
	unsigned int nr_unread;
};

void verdict_compute(struct machine *machine, const struct function *client,
		     const struct function *provider, struct verdict *verdict);
void verdict_get(struct machine *machine, struct function *client, struct function *provider,
		 bool computed, struct verdict *verdict);
const char *policy_word(enum policy policy);
unsigned int acs_control_offset(const struct function *function);
bool cpu_routes(const char *vendor, unsigned int family);
const char *answer_word(enum answer answer);
const char *verdict_meaning(const struct verdict *verdict);
const char *host_capability(const struct machine *machine, const struct host *host);
json_object *verdict_report(struct machine *machine, const struct function *client,
			    const struct function *provider, const struct verdict *verdict);

/* ---- remedy.c ----------------------------------------------------------------------------- */

json_object *remedies(struct machine *machine, const struct function *client,
		      const struct function *provider, const struct verdict *verdict);

/* ---- report.c ----------------------------------------------------------------------------- */

json_object *add_object(json_object *to, const char *name);
json_object *add_array(json_object *to, const char *name);
void add_text(json_object *to, const char *name, const char *text);
void add_number(json_object *to, const char *name, long long number);
void add_bool(json_object *to, const char *name, bool value);
void add_item(json_object *to, json_object *item);
void __printf(2, 3) add_words(json_object *to, const char *format, ...);
json_object *get(json_object *from, const char *name);
const char *get_text(json_object *from, const char *name);
long long get_number(json_object *from, const char *name);
bool get_bool(json_object *from, const char *name);
size_t get_length(json_object *from, const char *name);
json_object *get_item(json_object *from, const char *name, size_t index);
json_object *function_report(const struct machine *machine, const struct function *function);
void print_lines(json_object *report, const char *name, const char *prefix);
const char *paint(const char *word);
void allow_colour(bool allowed);
const char *one_name(json_object *function);

/* ---- draw.c ------------------------------------------------------------------------------- */

void draw_dot(json_object *tree, FILE *out);
void draw_svg(json_object *tree, const char *path);

/* ---- subcommands -------------------------------------------------------------------------- */

/**
 * struct request - what was asked for
 * @machine: what is looked at
 * @args: arguments of the subcommand
 * @nr_args: length of @args
 * @computed: do not ask the kernel for verdicts
 * @json: JSON rather than text
 * @pretty: JSON for people
 * @report: what is answered
 */
struct request {
	struct machine *machine;
	char **args;
	int nr_args;
	bool computed;
	bool json;
	bool pretty;
	json_object *report;
};

/**
 * struct command - a subcommand
 * @name: as typed
 * @args: its arguments, for the help
 * @summary: what it does, in a line
 * @help: more about it
 * @options: beyond those that all have; terminated, or NULL
 * @min_args: at least so many arguments
 * @max_args: at most so many
 * @option: takes one of @options; returns false if its argument makes no sense
 * @run: fills the report; returns the exit status
 * @print: prints the report as text
 * @live_only: makes no sense on a copy
 */
struct command {
	const char *name;
	const char *args;
	const char *summary;
	const char *help;
	const struct option *options;
	int min_args;
	int max_args;
	bool (*option)(int option, const char *argument);
	enum status (*run)(struct request *request);
	void (*print)(json_object *report);
	bool live_only;
};

#define MANY_ARGS	65536

extern const struct command command_list;
extern const struct command command_tree;
extern const struct command command_matrix;
extern const struct command command_path;
extern const struct command command_check;
extern const struct command command_policy;
extern const struct command command_nvmet;
extern const struct command command_copy;
extern const struct command command_monitor;

void emit(const struct request *request, json_object *report);

#endif /* P2PDMA_TOOL_H */
