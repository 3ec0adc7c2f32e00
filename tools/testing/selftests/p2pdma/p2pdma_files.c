// SPDX-License-Identifier: GPL-2.0
/*
 * Files of functions and of host bridges: the form of each verdict, the names in a verdict, and
 * the distances in both directions. A host bridge may be anywhere in sysfs: at the top on x86,
 * below a platform device on arm64. The test changes nothing.
 */
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../kselftest_harness.h"

#define DEVICES	"/sys/bus/pci/devices"

/* The first columns of a line of peers. */
struct peer {
	char provider[32];
	char verdict[16];
	char distance[16];
	char parent[64];
};

FIXTURE(files)
{
	glob_t clients;
};

FIXTURE_SETUP(files)
{
	if (glob(DEVICES "/*/p2pdma/peers", 0, NULL, &self->clients))
		SKIP(return, "no PCI function here has p2pdma/peers");
}

FIXTURE_TEARDOWN(files)
{
	if (self->clients.gl_pathc)
		globfree(&self->clients);
}

static int is_word(const char *text, const char *const *words)
{
	while (*words && strcmp(text, *words))
		words++;
	return *words ? 1 : 0;
}

static int name_of(const char *path, char *function)
{
	return sscanf(path, DEVICES "/%31[^/]", function) == 1;
}

static int parse(const char *line, struct peer *peer)
{
	return sscanf(line, "%31s %15s %15s %63s", peer->provider, peer->verdict, peer->distance,
		      peer->parent) == 4;
}

/* Find the line about @provider in the file of @client. Return 0 without such a line. */
static int find_peer(const char *client, const char *provider, struct peer *peer)
{
	char path[PATH_MAX], line[1024];
	int found = 0;
	FILE *file;

	snprintf(path, sizeof(path), DEVICES "/%s/p2pdma/peers", client);
	file = fopen(path, "r");
	while (file && !found && fgets(line, sizeof(line), file))
		found = parse(line, peer) && !strcmp(peer->provider, provider);
	if (file)
		fclose(file);
	return found;
}

/* Write the directory of the host bridge above a file of a function to @dir. Return 0 or -1. */
static int host_bridge_of(const char *path, char *dir)
{
	unsigned int domain, bus;
	char *at, *last = NULL;

	if (!realpath(path, dir))
		return -1;
	/* A host bridge of Intel VMD is below a function of another host bridge. */
	for (at = strstr(dir, "/pci"); at; at = strstr(at + 1, "/pci")) {
		if (sscanf(at, "/pci%x:%x", &domain, &bus) == 2)
			last = at;
	}
	if (!last)
		return -1;
	last[1 + strcspn(last + 1, "/")] = '\0';
	return 0;
}

/* Return whether @name is a function, or the host bridge in the directory @host. */
static int is_parent(const char *name, const char *host)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), DEVICES "/%s", name);
	return !access(path, F_OK) || !strcmp(name, strrchr(host, '/') + 1);
}

static void check_line(struct __test_metadata *_metadata, const char *path, const char *line)
{
	static const char *const verdicts[] = { "direct", "host-bridge", "none", "unknown", NULL };
	char client[32], host[PATH_MAX];
	struct peer peer, back;

	ASSERT_TRUE(name_of(path, client));
	ASSERT_EQ(host_bridge_of(path, host), 0);
	ASSERT_TRUE(parse(line, &peer));
	EXPECT_TRUE(is_word(peer.verdict, verdicts));
	EXPECT_TRUE(find_peer(peer.provider, client, &back));
	if (!strcmp(peer.verdict, "unknown") || !strcmp(back.verdict, "unknown"))
		return;
	EXPECT_STREQ(back.distance, peer.distance);
	peer.parent[strcspn(peer.parent, ",")] = '\0';
	EXPECT_TRUE(is_parent(peer.parent, host)) {
		TH_LOG("%s names %s", path, peer.parent);
	}
}

TEST_F(files, peers_agree)
{
	char line[1024];
	size_t i, lines = 0;
	FILE *file;

	for (i = 0; i < self->clients.gl_pathc; i++) {
		file = fopen(self->clients.gl_pathv[i], "r");
		ASSERT_NE(file, NULL);
		while (fgets(line, sizeof(line), file)) {
			check_line(_metadata, self->clients.gl_pathv[i], line);
			lines++;
		}
		fclose(file);
	}
	TH_LOG("%zu verdicts of %zu functions", lines, self->clients.gl_pathc);
}

/* Read the first line of a file of a host bridge. */
static char *host_file(const char *host, const char *name, char *line, int size)
{
	char path[PATH_MAX + 32], *got = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "%s/p2pdma/%s", host, name);
	file = fopen(path, "r");
	if (file) {
		got = fgets(line, size, file);
		fclose(file);
	}
	if (got)
		line[strcspn(line, "\n")] = '\0';
	return got;
}

TEST_F(files, host_bridges_have_theirs)
{
	static const char *const policies[] = { "[auto] allow deny", "auto [allow] deny",
						"auto allow [deny]", NULL };
	char host[PATH_MAX], line[256];
	size_t i;

	for (i = 0; i < self->clients.gl_pathc; i++) {
		ASSERT_EQ(host_bridge_of(self->clients.gl_pathv[i], host), 0);
		ASSERT_NE(host_file(host, "policy", line, sizeof(line)), NULL);
		EXPECT_TRUE(is_word(line, policies));
		ASSERT_NE(host_file(host, "capability", line, sizeof(line)), NULL);
		EXPECT_GT(strlen(line), 0);
		TH_LOG("%s: %s", host, line);
	}
}

TEST_HARNESS_MAIN
