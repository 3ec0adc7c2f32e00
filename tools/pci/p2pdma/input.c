// SPDX-License-Identifier: GPL-2.0
/*
 * libp2pdma: reading a file as people send it
 *
 * A file may come through a pipe, may be packed by gzip or xz, and may have the byte order marks
 * of an editor.
 */
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "internal.h"

/* Limit for broken input, far above the dump of any machine. */
#define INPUT_LIMIT	(256U << 20)

/* Files are read and unpacked in chunks. */
#define CHUNK		65536U

/* Mail programs and browsers pack files that are packed already. */
#define MOST_LAYERS	4U

/**
 * struct bytes - content of a file
 * @data: the bytes, followed by a zero byte
 * @size: number of bytes
 * @room: allocated size of @data
 */
struct bytes {
	char *data;
	size_t size;
	size_t room;
};

static int open_input(const char *name)
{
	struct stat stat;
	int fd;

	if (!strcmp(name, "-"))
		return STDIN_FILENO;
	fd = open(name, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		die(STATUS_USAGE, "%s: %m", name);
	hold_descriptor(fd);
	if (fstat(fd, &stat))
		die(STATUS_USAGE, "%s: %m", name);
	if (S_ISDIR(stat.st_mode))
		die(STATUS_USAGE, "%s: is a directory; a copy of /sys is read with --sysfs", name);
	if (S_ISBLK(stat.st_mode))
		die(STATUS_USAGE, "%s: is a block device", name);
	return fd;
}

/* Makes room for a chunk and a zero byte. Returns the place of the chunk. */
static void *reserve(const char *name, struct bytes *bytes)
{
	size_t wanted = bytes->size + CHUNK;

	if (wanted > INPUT_LIMIT)
		die(STATUS_UNKNOWN, "%s: larger than %u MiB", name, INPUT_LIMIT >> 20);
	if (wanted >= bytes->room) {
		bytes->data = xgrow(bytes->data, bytes->size, 2 * wanted + 1);
		bytes->room = 2 * wanted + 1;
	}
	return bytes->data + bytes->size;
}

static struct bytes read_all(const char *name)
{
	struct bytes bytes = {};
	int fd = open_input(name);
	ssize_t got;

	do {
		got = read(fd, reserve(name, &bytes), CHUNK);
		if (got > 0)
			bytes.size += got;
	} while (got > 0 || (got < 0 && errno == EINTR));
	if (got < 0)
		die(STATUS_USAGE, "%s: %m", name);
	context_release();
	bytes.data[bytes.size] = '\0';
	return bytes;
}

static void end_gzip(void *stream)
{
	inflateEnd(stream);
}

static void end_xz(void *stream)
{
	lzma_end(stream);
}

/* A damaged archive gives the bytes before the damage. */
static struct bytes unpack_gzip(const char *name, struct bytes packed)
{
	z_stream stream = { .next_in = (void *)packed.data, .avail_in = packed.size };
	struct bytes bytes = {};
	int result;

	if (inflateInit2(&stream, 15 + 16) != Z_OK)
		die(STATUS_UNKNOWN, "out of memory");
	context_hold(end_gzip, &stream);
	do {
		stream.next_out = reserve(name, &bytes);
		stream.avail_out = CHUNK;
		result = inflate(&stream, Z_NO_FLUSH);
		bytes.size += CHUNK - stream.avail_out;
		/* A file of gzip may have several parts. */
		if (result == Z_STREAM_END && stream.avail_in)
			result = inflateReset(&stream);
	} while (result == Z_OK);
	context_release();
	if (result != Z_STREAM_END)
		note_odd("%s: the packed file is damaged or cut off", name);
	bytes.data[bytes.size] = '\0';
	return bytes;
}

static struct bytes unpack_xz(const char *name, struct bytes packed)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	struct bytes bytes = {};
	lzma_ret result;

	if (lzma_stream_decoder(&stream, 1U << 30, LZMA_CONCATENATED) != LZMA_OK)
		die(STATUS_UNKNOWN, "out of memory");
	context_hold(end_xz, &stream);
	stream.next_in = (const uint8_t *)packed.data;
	stream.avail_in = packed.size;
	do {
		stream.next_out = reserve(name, &bytes);
		stream.avail_out = CHUNK;
		result = lzma_code(&stream, LZMA_FINISH);
		bytes.size += CHUNK - stream.avail_out;
	} while (result == LZMA_OK);
	context_release();
	if (result != LZMA_STREAM_END)
		note_odd("%s: the packed file is damaged or cut off", name);
	bytes.data[bytes.size] = '\0';
	return bytes;
}

static bool starts(struct bytes bytes, const char *mark, size_t size)
{
	return bytes.size >= size && !memcmp(bytes.data, mark, size);
}

/* Returns false if the bytes are not packed. */
static bool unpack(const char *name, struct bytes *bytes)
{
	struct bytes plain;

	if (starts(*bytes, "\x1f\x8b", 2))
		plain = unpack_gzip(name, *bytes);
	else if (starts(*bytes, "\3757zXZ", 6))
		plain = unpack_xz(name, *bytes);
	else if (starts(*bytes, "BZh", 3))
		die(STATUS_UNKNOWN, "%s: packed: bzcat FILE | p2pdma -l - ...", name);
	else if (starts(*bytes, "\x28\xb5\x2f\xfd", 4))
		die(STATUS_UNKNOWN, "%s: packed: zstdcat FILE | p2pdma -l - ...", name);
	else if (starts(*bytes, "PK\3\4", 4))
		die(STATUS_UNKNOWN, "%s: packed: unzip -p FILE | p2pdma -l - ...", name);
	else
		return false;
	xfree(bytes->data);
	*bytes = plain;
	if (plain.size > 262 && !memcmp(plain.data + 257, "ustar", 5))
		die(STATUS_UNKNOWN, "%s: an archive of files; --sysfs reads a copy of /sys", name);
	return true;
}

/* Text in UTF-16 becomes ASCII, with "?" for everything else. */
static void narrow(struct bytes *bytes, unsigned int high)
{
	size_t i, nr = 0;

	for (i = 2; i + 1 < bytes->size; i += 2)
		bytes->data[nr++] = bytes->data[i + high] ? '?' : bytes->data[i + !high];
	bytes->size = nr;
	bytes->data[nr] = '\0';
}

/**
 * read_input - read a text file, a pipe, or a packed file
 * @name: name of the file, or "-" for standard input
 *
 * Fails if the file cannot be read.
 *
 * Return: the text, without zero bytes.
 */
char *read_input(const char *name)
{
	struct bytes bytes = read_all(name);
	unsigned int layers = 0;
	size_t i;

	/* There are files that unpack to themselves. */
	while (unpack(name, &bytes))
		if (++layers > MOST_LAYERS)
			die(STATUS_UNKNOWN, "%s: packed more than %u times", name, MOST_LAYERS);
	if (starts(bytes, "\xff\xfe", 2))
		narrow(&bytes, 1);
	else if (starts(bytes, "\xfe\xff", 2))
		narrow(&bytes, 0);
	for (i = 0; i < bytes.size; i++)
		if (!bytes.data[i])
			bytes.data[i] = '?';
	if (starts(bytes, "\xef\xbb\xbf", 3))
		memset(bytes.data, ' ', 3);
	return bytes.data;
}
