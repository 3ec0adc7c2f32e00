// SPDX-License-Identifier: GPL-2.0
/*
 * p2pdma: the tree as a graph for Graphviz
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

/* Writes the text of a label, with a backslash before characters special to Graphviz. */
static void draw_text(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (strchr("\"\\", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void draw_acs(json_object *node, FILE *out)
{
	json_object *acs = get(node, "acs");
	size_t i;

	for (i = 0; i < get_length(acs, "on"); i++)
		fprintf(out, "%s%s", i ? " " : "\\n",
			json_object_get_string(get_item(acs, "on", i)));
}

/* True for ports to draw in red: ports with redirection or egress control on. */
static bool redirects(json_object *node)
{
	json_object *acs = get(node, "acs");
	const char *word;
	size_t i;

	for (i = 0; i < get_length(acs, "on"); i++) {
		word = json_object_get_string(get_item(acs, "on", i));
		if (!strcmp(word, "ReqRedir") || !strcmp(word, "CmpltRedir") ||
		    !strcmp(word, "EgressCtrl"))
			return true;
	}
	return false;
}

static void draw_node(json_object *node, const char *above, FILE *out)
{
	const char *bdf = get_text(node, "bdf");
	bool bridge = get_text(node, "policy");
	size_t i;

	fprintf(out, "\t\"%s\" [label=\"%s\\n", bdf, bdf);
	draw_text(get_text(node, bridge ? "kind" : "title"), out);
	if (*one_name(node))
		fprintf(out, "\\n%s", one_name(node));
	draw_acs(node, out);
	if (get(node, "memory"))
		fprintf(out, "\\nprovides %s",
			show_size(get_number(get(node, "memory"), "size")));
	fprintf(out, "\"%s%s];\n", bridge ? "" : ", shape=box, style=rounded",
		get(node, "memory") ? ", color=darkgreen, penwidth=2" :
		redirects(node) ? ", color=red" : "");
	fprintf(out, "\t\"%s\" -- \"%s\";\n", above, bdf);
	for (i = 0; i < get_length(node, "below"); i++)
		draw_node(get_item(node, "below", i), bdf, out);
}

/**
 * draw_dot - write a tree in the DOT language of Graphviz
 * @tree: report of p2pdma tree
 * @out: stream to write to
 */
void draw_dot(json_object *tree, FILE *out)
{
	json_object *host;
	const char *name;
	size_t i, j;

	fprintf(out, "graph p2pdma {\n\tgraph [rankdir=LR];\n\tnode [shape=box, fontsize=10];\n");
	for (i = 0; i < get_length(tree, "hosts"); i++) {
		host = get_item(tree, "hosts", i);
		name = get_text(host, "host");
		fprintf(out, "\t\"%s\" [label=\"%s\\nhost bridge, %s\", style=bold];\n", name, name,
			get_text(host, "capability"));
		for (j = 0; j < get_length(host, "below"); j++)
			draw_node(get_item(host, "below", j), name, out);
	}
	fprintf(out, "}\n");
}

static void run_graphviz(int input, const char *path)
{
	int output = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (output < 0)
		die(STATUS_NO, "%s: %m", path);
	if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
		die(STATUS_NO, "%s: %m", path);
	execlp("dot", "dot", "-Tsvg", (char *)NULL);
	if (errno == ENOENT)
		die(STATUS_NO, "Graphviz is not installed; --dot shows what it would draw");
	die(STATUS_NO, "dot: %m");
}

/**
 * draw_svg - run Graphviz to draw a tree
 * @tree: report of p2pdma tree
 * @path: name of the SVG file to write
 *
 * Ends the command on failure.
 */
void draw_svg(json_object *tree, const char *path)
{
	int ends[2], status;
	FILE *out;
	pid_t pid;

	fflush(stdout);
	if (pipe2(ends, O_CLOEXEC))
		die(STATUS_NO, "pipe: %m");
	pid = fork();
	if (pid < 0)
		die(STATUS_NO, "fork: %m");
	if (!pid)
		run_graphviz(ends[0], path);
	close(ends[0]);
	/* If the child ends early, the child has printed the reason: survive the broken pipe. */
	signal(SIGPIPE, SIG_IGN);
	out = fdopen(ends[1], "w");
	if (!out)
		die(STATUS_NO, "pipe: %m");
	draw_dot(tree, out);
	fclose(out);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		die(STATUS_NO, "%s: there is no picture", path);
}
